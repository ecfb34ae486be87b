//! What can go wrong with a run, and the exit code it means.

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::conform::FileError;
use crate::report::ReportError;
use crate::store::StoreError;
use speck_engine::CompileError;
use speck_engine::kernels::KernelError;
use speck_engine::kernels::gpu::GpuError;
use speck_learners::LearnerError;
use speck_models::SettingError;
use std::path::PathBuf;
use thiserror::Error;

/// Any failure of the `speck` command.
#[derive(Debug, Error)]
pub enum RunError {
    /// The experiment file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A forced kernel variant cannot be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A GPU cannot be used.
    #[error(transparent)]
    Device(#[from] GpuError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Notes of a checkpoint cannot be written as JSON.
    #[error("the notes of a checkpoint cannot be written: {0}")]
    Notes(serde_json::Error),
    /// A learner fails.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Another process works on the same experiment.
    #[error("{}: another `speck run` is working on this experiment; wait for it or stop it", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A conformance file cannot be used.
    #[error(transparent)]
    ConformanceFile(#[from] FileError),
    /// Cases that do not conform.
    #[error("{failed} cases failed")]
    Conformance {
        /// How many.
        failed: usize,
    },
    /// Words of the command that make no sense together.
    #[error("{0}")]
    Usage(String),
}

impl RunError {
    /// 2 for bad input, 1 for a failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Config(_)
            | RunError::Setting(_)
            | RunError::Kernel(_)
            | RunError::Usage(_) => 2,
            RunError::ConformanceFile(_) => 2,
            RunError::Learner(LearnerError::Setting(_) | LearnerError::Graph(_)) => 2,
            // A forced kernel that this machine cannot run, a model too large for it or for
            // its GPU.
            RunError::Learner(LearnerError::Compile(
                CompileError::Kernel(_) | CompileError::Memory(_) | CompileError::Gpu { .. },
            )) => 2,
            RunError::Store(error) if error.is_bad_input() => 2,
            RunError::Report(ReportError::Store(error)) if error.is_bad_input() => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_for_a_machine_or_its_gpu_is_bad_input() {
        let code = |error| RunError::Learner(LearnerError::Compile(error)).exit_code();
        let (path, message) = ("layer".to_owned(), "too large".to_owned());
        assert_eq!(code(CompileError::Memory(1)), 2);
        assert_eq!(code(CompileError::Gpu { op: "matmul", path, message }), 2);
        // A device that fails while a program is made is not.
        assert_eq!(code(CompileError::Device(GpuError::None)), 1);
    }
}
