//! The command line: what `speck` understands.

mod bench;
mod conform;
mod device;
mod list;
mod print;
mod run;

use crate::RunError;
use clap::{Parser, Subcommand, ValueEnum};
use speck_engine::structure;
use std::path::PathBuf;
use std::process::ExitCode;

/// A laboratory for one small, fully understood task: find the speck.
///
/// On a screen of 64 × 64 pixels one differs from the background; of 128 outputs
/// the one of its row and the one of its column should light up.
#[derive(Parser)]
#[command(name = "speck", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an experiment: train, test, transfer, report.
    ///
    /// What is in the store already is not run again, and a run that was killed
    /// goes on where it was. Exit code 2 for bad input, 1 for a failure.
    Run(run::RunArguments),
    /// Write the report of an experiment that was run.
    Report {
        /// The store, or the name of an experiment in the folder of runs.
        store: PathBuf,
        /// Folder of stores and checkpoints.
        #[arg(long, default_value = "runs")]
        runs: PathBuf,
        /// The file to write, instead of one beside the store.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// List what there is: ops, kernels, models, …
    List(list::ListArguments),
    /// Time kernels and training steps.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run operators on cases that another system computed, and compare.
    ///
    /// Exit code 1 if a case fails.
    Conform(conform::ConformArguments),
    /// Print the program of one training step: ops, shapes, costs, kernels.
    Print(print::PrintArguments),
}

/// How screens are computed.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Every pixel of every sample.
    Dense,
    /// What differs from the background, exactly.
    Structured,
    /// Whichever of the two is predicted to be cheaper.
    Auto,
}

impl From<Mode> for structure::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Dense => structure::Mode::Dense,
            Mode::Structured => structure::Mode::Structured,
            Mode::Auto => structure::Mode::Auto,
        }
    }
}

/// Runs the command named by the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Report { store, runs, out } => run::report(&store, &runs, out),
        Command::List(arguments) => list::list(&arguments),
        Command::Bench(command) => bench::bench(&command),
        Command::Conform(arguments) => conform::conform(&arguments),
        Command::Print(arguments) => print::print(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough.
        Err(RunError::File { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes a line to the error stream; if nobody reads it, nothing is lost.
pub(crate) fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes to the standard output; a closed pipe is an error, not a panic.
fn say(text: &str) -> Result<(), RunError> {
    use std::io::Write;
    let failed = |source| RunError::File { path: "standard output".into(), source };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
}
