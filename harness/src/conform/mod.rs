//! Conformance: ops and training against values computed by another system.
//!
//! A file holds cases of one operator in safetensors form: metadata `op`,
//! `source` and `cases` (a JSON list of id, attributes with PyTorch's names,
//! input names, and which gradients are given); tensors `ID/in/NAME`,
//! `ID/out/N`, `ID/cot/N` (the cotangent of output N) and `ID/grad/NAME`. Every
//! case is built through the ordinary graph API, forward and backward, and
//! compared.
//!
//! Or a file holds a training run: metadata `kind` = `train`, `model`, `loss`,
//! `optimizer`, `batch`, `steps`; tensors `specks/…`, `background/colour` (the
//! batches), `init/NAME`, `grad0/NAME`, `loss`, `final/NAME`, `eval/output` (of
//! the final weights on the first batch). The run is repeated by the ordinary
//! models and learner.
//!
//! Or it holds a trajectory of an optimizer: metadata `optimizer`, `hyper`
//! (PyTorch's names), `steps`; tensors `pN/init`, `pN/grads`, `pN/params` (after
//! every step). Or, as JSON, sequences of learning rates: a list of `schedule`,
//! `base_lr`, `hyper`, `metric`, `lr` (before every step).

mod adapters;
mod arguments;
mod case;
mod file;
mod optimizer;
mod schedule;
mod train;
mod twister;

pub use arguments::{Arguments, Problem};
pub use case::{Kernels, Outcome, Status};
pub use file::FileError;

use file::Content;
use std::path::{Path, PathBuf};

/// The outcomes of all cases of one file.
pub struct FileOutcome {
    /// The operator; `train/` or `optim/` and the name of a run; `schedules`.
    pub op: String,
    /// One outcome a case, in the file's order.
    pub cases: Vec<Outcome>,
}

/// The files in a folder and its subfolders that may hold cases (safetensors and
/// JSON), or the file itself, in order of their paths.
///
/// # Errors
/// The path cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let failed = |source| FileError::Unreadable { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // A link to a folder may lead back here: only folders proper are entered.
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "safetensors" || end == "json") {
            found.push(path);
        }
    }
    Ok(())
}

/// Runs every case of a file; `None` if it is of a kind that is not read.
///
/// # Errors
/// The file cannot be read or is not of this format.
pub fn run(path: &Path, kernels: &Kernels) -> Result<Option<FileOutcome>, FileError> {
    if path.extension().is_some_and(|extension| extension == "json") {
        return schedule::run_file(path, kernels);
    }
    let file = file::read(path)?;
    Ok(match &file.content {
        Content::Operator { op, cases } => {
            let cases = cases.iter().map(|case| case::run(&file, op, case, kernels)).collect();
            Some(FileOutcome { op: op.clone(), cases })
        }
        Content::Train(spec) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let op = format!("train/{name}");
            let cases = vec![train::run(&file, &op, spec, kernels)];
            Some(FileOutcome { op, cases })
        }
        Content::Optimizer(spec) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let op = format!("optim/{name}");
            let cases = vec![optimizer::run(&file, &op, spec, kernels)];
            Some(FileOutcome { op, cases })
        }
        Content::Other => None,
    })
}
