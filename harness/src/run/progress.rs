//! Progress bars: one for the experiment, one for each run at work.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Bars if the error stream is a terminal; else one line a finished run, and one now
    /// and then of how far the others are.
    Shown,
    /// Nothing but warnings.
    Quiet,
}

pub(super) struct Progress {
    all: MultiProgress,
    total: ProgressBar,
    display: Display,
    /// When something was last said where there are no bars.
    said: Mutex<Instant>,
}

/// How long nothing is said where there are no bars.
const SILENCE: Duration = Duration::from_secs(10);

/// The bar of one run.
pub(super) struct Bar<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    label: String,
}

impl Progress {
    pub fn new(display: Display, steps: u64) -> Self {
        let all = match display {
            Display::Shown => MultiProgress::new(),
            Display::Quiet => MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
        };
        let total = all.add(ProgressBar::new(steps));
        total.set_style(style(
            "{bar:30} {percent:>3}%  {pos} of {len} steps  {elapsed} gone, {eta} left",
        ));
        total.enable_steady_tick(Duration::from_millis(500));
        Progress { all, total, display, said: Mutex::new(Instant::now()) }
    }

    pub fn start(&self, label: &str, steps: u64) -> Bar<'_> {
        let bar = self.all.insert_before(&self.total, ProgressBar::new(steps));
        bar.set_style(style("{bar:30} {percent:>3}%  {prefix}  {msg:.dim}"));
        bar.set_prefix(label.to_owned());
        Bar { progress: self, bar, label: label.to_owned() }
    }

    pub fn finish(&self) {
        self.total.finish_and_clear();
    }

    /// A line above the bars, or on the error stream if there are none.
    fn print(&self, line: &str) {
        if self.all.is_hidden() || self.all.println(line).is_err() {
            crate::cli::complain(line);
        }
    }
}

impl Bar<'_> {
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
        self.progress.total.inc(steps);
        self.say();
    }

    pub fn message(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        self.say();
    }

    /// Says how far the run is, where there are no bars and nothing was said for a while.
    fn say(&self) {
        let Progress { all, display, said, .. } = self.progress;
        if *display == Display::Quiet || !all.is_hidden() {
            return;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= SILENCE {
            *said = Instant::now();
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let (label, phase) = (&self.label, self.bar.message());
            let space = if phase.is_empty() { "" } else { "  " };
            self.progress.print(&format!("{label}: {done} of {all} steps{space}{phase}"));
        }
    }

    pub fn warn(&self, text: &str) {
        self.progress.print(&format!("warning: {text}"));
    }

    pub fn finish(&self) {
        let seconds = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        if self.progress.display == Display::Shown {
            self.progress.print(&format!("{}: {seconds:.1} s", self.label));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}
