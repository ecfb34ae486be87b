//! The `speck` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    speck_harness::cli::main()
}
