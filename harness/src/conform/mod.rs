//! Conformance: ops and training against values computed by another system.
//!
//! A file holds cases of one operator in safetensors form: metadata `op`,
//! `source` and `cases` (a JSON list of id, attributes with PyTorch's names,
//! input names, and which gradients are given); tensors `ID/in/NAME`,
//! `ID/out/N`, `ID/cot/N` (the cotangent of output N) and `ID/grad/NAME`. Every
//! case is built through the ordinary graph API, forward and backward, and
//! compared.

mod adapters;
mod arguments;
mod case;
mod file;
mod twister;

pub use arguments::{Arguments, Problem};
pub use case::{Kernels, Outcome, Status};
pub use file::FileError;

use std::path::{Path, PathBuf};

/// The outcomes of all cases of one file.
pub struct FileOutcome {
    /// The operator.
    pub op: String,
    /// One outcome a case, in the file's order.
    pub cases: Vec<Outcome>,
}

/// The safetensors files in a folder and its subfolders that hold operator
/// cases, or the file itself, in order of their paths.
///
/// # Errors
/// The path cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::Unreadable { path: path.to_owned(), source };
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs every case of a file.
///
/// # Errors
/// The file cannot be read or is not of this format.
pub fn run(path: &Path, kernels: &Kernels) -> Result<FileOutcome, FileError> {
    let file = file::read(path)?;
    let cases = file.cases.iter().map(|case| case::run(&file, case, kernels)).collect();
    Ok(FileOutcome { op: file.op, cases })
}
