//! Helpers that wait for work without sleeping.
//!
//! A step of a program is hundreds of calls, most of some ten microseconds, with
//! shorter ones between them that one thread does alone. A thread of rayon's that
//! finds nothing to do for some twenty microseconds falls asleep, and waking it
//! costs as much as the call: a training step's element-wise groups took longer on
//! two threads than on one. So whoever runs a program takes a [`Team`] for as long
//! as it runs: threads that look for the next parts all the while, and sleep only
//! when no program has run for a moment.
//!
//! The caller takes parts from the front, helpers from the back. So, call by call,
//! the same thread has the same share of the samples, which lie in its own cache.
//! Which thread runs a part is no matter for what it computes.
//!
//! On a two-core AVX-512 server (Zen 5) the groups of a residual network's training
//! step took 1.71 ms on two threads of rayon's and 1.55 ms on one; with a helper
//! three quarters of one thread's. Whole steps: 0.30 to 0.27 ms (a perceptron of 32
//! samples), 5.2 to 4.9 ms (the residual network), 12.4 to 11.9 ms (a convolutional
//! network of 256 samples), where nearly all is in large calls.
//!
//! There are no more helpers in a process than processors besides the caller's:
//! whoever finds none free works with rayon's threads as ever.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often a helper looks before it lets others have the processor.
const LOOKS: usize = 1000;
/// How long it waits for the next program before it sleeps.
const PATIENCE: Duration = Duration::from_micros(500);
/// Most units that a call is cut into; a unit is one part or several.
const UNITS: usize = 1 << 12;

/// What is to be done: which call, and the units that nobody has taken yet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Open {
    call: u32,
    front: u16,
    back: u16,
}

impl Open {
    fn of(word: u64) -> Open {
        Open { call: (word >> 32) as u32, front: (word >> 16) as u16, back: word as u16 }
    }

    fn word(self) -> u64 {
        u64::from(self.call) << 32 | u64::from(self.front) << 16 | u64::from(self.back)
    }

    fn is_empty(self) -> bool {
        self.front >= self.back
    }
}

/// Threads that help one caller at a time.
struct Team {
    helpers: usize,
    /// Whether somebody has it.
    taken: AtomicBool,
    open: AtomicU64,
    /// The call's body: what to call with a unit, and on what.
    run: AtomicPtr<()>,
    data: AtomicPtr<()>,
    /// Units done by helpers.
    done: AtomicUsize,
    /// What a unit of a helper panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: AtomicUsize,
    threads: Mutex<Vec<Thread>>,
}

type Run = unsafe fn(*const (), usize);

/// # Safety
/// `data` is an `F`.
unsafe fn call<F: Fn(usize) + Sync>(data: *const (), unit: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*data.cast::<F>())(unit) }
}

thread_local! {
    /// The team that this thread has taken.
    static OWN: Cell<Option<&'static Team>> = const { Cell::new(None) };
    /// Whether this thread is at work on a part: what it calls, it does alone.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

static TEAMS: Mutex<Vec<&'static Team>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body`, whose parts of work find helpers awake.
pub fn with_helpers<R>(body: impl FnOnce() -> R) -> R {
    let threads = rayon::current_num_threads();
    if threads == 1 || OWN.get().is_some() || AT_WORK.get() {
        return body();
    }
    let Some(team) = taken(threads - 1) else { return body() };
    /// Gives the team back, whatever happens.
    struct Back(&'static Team);
    impl Drop for Back {
        fn drop(&mut self) {
            OWN.set(None);
            self.0.taken.store(false, Ordering::SeqCst);
        }
    }
    let _back = Back(team);
    OWN.set(Some(team));
    body()
}

/// A team of so many helpers, if there is one free.
fn taken(helpers: usize) -> Option<&'static Team> {
    let mut teams = lock(&TEAMS);
    let is_free = |team: &&&Team| {
        let (set, relaxed) = (Ordering::SeqCst, Ordering::Relaxed);
        team.helpers == helpers && team.taken.compare_exchange(false, true, set, relaxed).is_ok()
    };
    if let Some(team) = teams.iter().find(is_free) {
        return Some(team);
    }
    let most = thread::available_parallelism().map_or(1, usize::from);
    if teams.iter().map(|team| team.helpers).sum::<usize>() + helpers >= most {
        return None;
    }
    let team = Team::start(helpers);
    teams.push(team);
    Some(team)
}

/// Whether what this thread does is a part of something already.
pub(crate) fn is_at_work() -> bool {
    AT_WORK.get()
}

/// Calls `body` with each of `parts` parts, with the help of this thread's team;
/// false if it has none.
pub(crate) fn shared<F: Fn(usize) + Sync>(parts: usize, body: &F) -> bool {
    let Some(team) = OWN.get() else { return false };
    let each = parts.div_ceil(UNITS).max(1);
    let units = parts.div_ceil(each);
    let unit = |unit: usize| (unit * each..((unit + 1) * each).min(parts)).for_each(body);
    team.share(units, &unit);
    true
}

impl Team {
    /// A team that is taken. Its helpers live as long as the process.
    fn start(helpers: usize) -> &'static Team {
        let team: &'static Team = Box::leak(Box::new(Team {
            helpers,
            taken: AtomicBool::new(true),
            open: AtomicU64::new(0),
            run: AtomicPtr::new(std::ptr::null_mut()),
            data: AtomicPtr::new(std::ptr::null_mut()),
            done: AtomicUsize::new(0),
            panic: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            threads: Mutex::new(Vec::new()),
        }));
        for number in 0..helpers {
            let thread = thread::Builder::new().name(format!("helper {number}"));
            // Fewer helpers than wanted do as well.
            if let Ok(handle) = thread.spawn(|| team.help()) {
                lock(&team.threads).push(handle.thread().clone());
            }
        }
        team
    }

    fn share<F: Fn(usize) + Sync>(&self, units: usize, body: &F) {
        let old = Open::of(self.open.load(Ordering::Relaxed));
        self.run.store(call::<F> as Run as *mut (), Ordering::Relaxed);
        self.data.store(std::ptr::from_ref(body).cast_mut().cast(), Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        *lock(&self.panic) = None;
        let open = Open { call: old.call.wrapping_add(1), front: 0, back: units as u16 };
        self.open.store(open.word(), Ordering::Release);
        // None falls asleep while the team is taken.
        if self.asleep.load(Ordering::SeqCst) > 0 {
            lock(&self.threads).iter().for_each(Thread::unpark);
        }

        /// Waits for the helpers, also where a part of this thread's panics: what
        /// they work on is gone afterwards.
        struct Wait<'a>(&'a Team, usize, usize);
        impl Drop for Wait<'_> {
            fn drop(&mut self) {
                AT_WORK.set(false);
                let Wait(team, units, own) = *self;
                // What nobody has taken is not done any more.
                let mut open = Open::of(team.open.load(Ordering::Relaxed));
                let left = loop {
                    let none = Open { front: open.back, ..open };
                    match team.replace(open, none) {
                        Ok(()) => break usize::from(open.back.saturating_sub(open.front)),
                        Err(now) => open = now,
                    }
                };
                let helped = units - own - left;
                let mut looks = 0;
                while team.done.load(Ordering::Acquire) < helped {
                    rest(&mut looks);
                }
            }
        }
        let mut wait = Wait(self, units, 0);
        AT_WORK.set(true);
        while let Some(unit) = self.take(open.call, |open| {
            let unit = open.front;
            (unit, Open { front: unit + 1, ..open })
        }) {
            wait.2 += 1;
            body(unit);
        }
        drop(wait);
        let panic = lock(&self.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn replace(&self, old: Open, new: Open) -> Result<(), Open> {
        let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
        let replaced = self.open.compare_exchange(old.word(), new.word(), order, failed);
        replaced.map(|_| ()).map_err(Open::of)
    }

    /// Takes a unit of a call that `of` names, if there is one left.
    fn take(&self, call: u32, of: impl Fn(Open) -> (u16, Open)) -> Option<usize> {
        let mut open = Open::of(self.open.load(Ordering::Acquire));
        while open.call == call && !open.is_empty() {
            let (unit, rest) = of(open);
            match self.replace(open, rest) {
                Ok(()) => return Some(usize::from(unit)),
                Err(now) => open = now,
            }
        }
        None
    }

    /// What a helper does all its life.
    fn help(&self) {
        AT_WORK.set(true);
        let mut looks = 0;
        let mut idle: Option<Instant> = None;
        loop {
            let open = Open::of(self.open.load(Ordering::Acquire));
            // Of another call if this one is over: then no unit of it can be taken.
            let run = self.run.load(Ordering::Relaxed);
            let data = self.data.load(Ordering::Relaxed);
            if !open.is_empty() {
                let last = |open: Open| (open.back - 1, Open { back: open.back - 1, ..open });
                while let Some(unit) = self.take(open.call, last) {
                    // SAFETY: the pointers are those of the call of which the unit
                    // is: they were read after the call was opened, and written
                    // again only when it was over, which it is not before the unit
                    // is done.
                    let work = || unsafe {
                        std::mem::transmute::<*mut (), Run>(run)(data, unit);
                    };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                        *lock(&self.panic) = Some(panic);
                    }
                    self.done.fetch_add(1, Ordering::Release);
                }
                (looks, idle) = (0, None);
                continue;
            }
            rest(&mut looks);
            if !looks.is_multiple_of(LOOKS) || self.taken.load(Ordering::Relaxed) {
                continue;
            }
            if idle.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                self.asleep.fetch_add(1, Ordering::SeqCst);
                if !self.taken.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                idle = None;
            }
        }
    }
}

/// Looks again soon; lets others have the processor now and then.
fn rest(looks: &mut usize) {
    *looks = looks.wrapping_add(1);
    if looks.is_multiple_of(LOOKS) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Runs `work` where there are three threads, with helpers if any are free.
    fn on_three(work: impl Fn() + Sync + Send) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        pool.expect("a pool of threads").install(|| with_helpers(&work));
    }

    #[test]
    fn every_part_is_done_once_call_after_call() {
        let team = Team::start(2);
        OWN.set(Some(team));
        for round in 0..3000 {
            let parts = [0, 1, 2, 3, 7, 100, UNITS, UNITS + 1, 70_000][round % 9];
            if parts > 100 && round > 100 {
                continue;
            }
            let visits: Vec<_> = (0..parts).map(|_| AtomicU32::new(0)).collect();
            assert!(shared(parts, &|part| {
                visits[part].fetch_add(1, Ordering::Relaxed);
            }));
            assert!(visits.iter().all(|visits| visits.load(Ordering::Relaxed) == 1), "{parts}");
        }
        OWN.set(None);
        team.taken.store(false, Ordering::SeqCst);
    }

    #[test]
    fn a_panic_of_a_part_reaches_the_caller_when_all_others_are_over() {
        let team = Team::start(2);
        for bad in [0, 5, 19] {
            let body = |part: usize| {
                thread::sleep(Duration::from_micros(50));
                assert!(part != bad, "part {bad}");
            };
            OWN.set(Some(team));
            assert!(catch_unwind(AssertUnwindSafe(|| shared(20, &body))).is_err());
            let count = AtomicU32::new(0);
            shared(20, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 20);
            OWN.set(None);
        }
        team.taken.store(false, Ordering::SeqCst);
    }

    #[test]
    fn parts_within_parts_are_done_alone() {
        let count = AtomicU32::new(0);
        on_three(|| {
            crate::parallel::for_parts(10, 1, |_| {
                crate::parallel::for_parts(10, 1, |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(count.load(Ordering::Relaxed), 100);
    }
}
