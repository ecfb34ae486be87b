//! Checkpoints: the state of an unfinished phase, so that a killed run can go
//! on from where it was and end with the same bits.
//!
//! A checkpoint is a safetensors file, so the weights in it can be read by
//! other programs. Its metadata holds, under the key `speck`, a JSON object
//! with the notes, the order of the tensors and a blake3 checksum over all of
//! it. It is written beside its destination, flushed to the disk and only then
//! renamed, so under the final name there is always a whole checkpoint; and
//! because disks lie, reading verifies the checksum and treats everything that
//! does not match as torn. A torn checkpoint is no error: the phase starts
//! again from the last whole state, which costs time and changes no bit.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::files::write_atomically;

/// The key of our entry in the metadata of the file. There is one entry only:
/// safetensors writes several in random order, and the same state is to give
/// the same file.
const KEY: &str = "speck";

/// The version of what is under [`KEY`].
const VERSION: u32 = 1;

/// The element type of a tensor; little-endian in memory and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit floating point of IEEE 754.
    F16,
    /// The upper half of a 32-bit floating point number.
    Bf16,
}

impl TensorType {
    /// The size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F64 => 8,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn in_file(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F64 => Dtype::F64,
            Self::I32 => Dtype::I32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn from_file(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            Dtype::I32 => Some(Self::I32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }
}

/// A tensor by its name, e.g. `layer1.weight` or `adam/moment1/layer1.weight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// Its name, unique in the checkpoint.
    pub name: String,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// The type of its elements.
    pub dtype: TensorType,
    /// Its elements in row-major order, little-endian:
    /// product of `shape` × size of `dtype` bytes.
    pub bytes: Vec<u8>,
}

/// The state of an unfinished phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters, moments and other state; the order is kept.
    pub tensors: Vec<NamedTensor>,
    /// Whatever else resuming needs, small: the step, the curve so far.
    /// Finite floating point numbers keep their bits; JSON knows no NaN.
    pub notes: serde_json::Value,
}

/// A checkpoint could not be written, or the disk could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no room left. Nothing was left behind.
    #[error(
        "{}: the disk is full, the checkpoint was not written; \
         make room and start again",
        path.display()
    )]
    Full {
        /// The destination.
        path: PathBuf,
    },
    /// The system refused something else. Nothing was left behind.
    #[error("{}: cannot {action} the checkpoint: {source}", path.display())]
    System {
        /// The destination.
        path: PathBuf,
        /// "read" or "write".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tensors handed in do not make a checkpoint.
    #[error("{}: {detail}", path.display())]
    Invalid {
        /// The destination.
        path: PathBuf,
        /// What is wrong with them.
        detail: String,
    },
}

impl CheckpointError {
    fn from_write(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::System { path, action: "write", source },
        }
    }
}

/// What was found where a checkpoint was looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutcome {
    /// There is none.
    Missing,
    /// There is a file, but not a whole checkpoint; a warning for the user
    /// that names the file and says why. The file is to be ignored.
    Torn(String),
    /// There is one.
    Loaded(Checkpoint),
}

/// Our entry in the metadata of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    /// The names of the tensors in their order; the file sorts them.
    order: Vec<String>,
    /// The notes as text, so that the checksum covers exactly what is parsed.
    notes: String,
    /// 64 hex digits, see [`Checkpoint::checksum`].
    blake3: String,
}

impl Checkpoint {
    /// Writes the checkpoint to `path`: afterwards there is either the whole
    /// new checkpoint or what was there before. The folders above are made.
    ///
    /// # Errors
    /// [`CheckpointError::Full`] and [`CheckpointError::System`] from the
    /// disk; [`CheckpointError::Invalid`] where a name occurs twice or the
    /// number of bytes does not fit the shape.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let invalid =
            |detail: String| CheckpointError::Invalid { path: path.to_path_buf(), detail };
        let notes = self.notes.to_string();
        let bytes = self.to_bytes(&notes).map_err(invalid)?;
        write_atomically(path, &bytes).map_err(|source| CheckpointError::from_write(path, source))
    }

    /// Reads what is at `path`. The file is not trusted: whatever is in it,
    /// the outcome is a checkpoint that was written by [`Checkpoint::write`],
    /// or [`ReadOutcome::Torn`].
    ///
    /// # Errors
    /// [`CheckpointError::System`] if there is a file that cannot be read.
    pub fn read(path: &Path) -> Result<ReadOutcome, CheckpointError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ReadOutcome::Missing),
            Err(source) => {
                return Err(CheckpointError::System {
                    path: path.to_path_buf(),
                    action: "read",
                    source,
                });
            }
        };
        Ok(match Self::from_bytes(&bytes) {
            Ok(checkpoint) => ReadOutcome::Loaded(checkpoint),
            Err(reason) => ReadOutcome::Torn(format!(
                "{}: not a whole checkpoint ({reason}); it is ignored",
                path.display()
            )),
        })
    }

    fn to_bytes(&self, notes: &str) -> Result<Vec<u8>, String> {
        let mut names = HashSet::new();
        let mut views = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            let name = tensor.name.as_str();
            if name == "__metadata__" || !names.insert(name) {
                return Err(format!("two tensors named `{name}`, or a reserved name"));
            }
            let view = TensorView::new(tensor.dtype.in_file(), tensor.shape.clone(), &tensor.bytes)
                .map_err(|error| format!("tensor `{name}`: {error}"))?;
            views.push((name, view));
        }
        let entry = Entry {
            version: VERSION,
            order: self.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            notes: notes.to_string(),
            blake3: self.checksum(notes),
        };
        let entry = serde_json::to_string(&entry).map_err(|error| error.to_string())?;
        let metadata = HashMap::from([(KEY.to_string(), entry)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let entry: Entry = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(KEY))
            .ok_or_else(|| "it was not written by speck".to_string())
            .and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()))?;
        if entry.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", entry.version));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        if file.len() != entry.order.len() {
            return Err("a tensor is missing, or there is one too many".to_string());
        }
        let mut tensors = Vec::with_capacity(entry.order.len());
        for name in entry.order {
            let view = file.tensor(&name).map_err(|error| error.to_string())?;
            let dtype = TensorType::from_file(view.dtype())
                .ok_or_else(|| format!("tensor `{name}` has type {}", view.dtype()))?;
            tensors.push(NamedTensor {
                name,
                shape: view.shape().to_vec(),
                dtype,
                bytes: view.data().to_vec(),
            });
        }
        let checkpoint = Self {
            notes: serde_json::from_str(&entry.notes).map_err(|error| error.to_string())?,
            tensors,
        };
        if checkpoint.checksum(&entry.notes) != entry.blake3 {
            return Err("its checksum does not match".to_string());
        }
        Ok(checkpoint)
    }

    /// blake3 over the notes, and the name, type, shape and bytes of every
    /// tensor in order; each part preceded by its length, so that no two
    /// different checkpoints feed the hash the same bytes.
    fn checksum(&self, notes: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(notes.as_bytes());
        part(&(self.tensors.len() as u64).to_le_bytes());
        for tensor in &self.tensors {
            part(tensor.name.as_bytes());
            part(tensor.dtype.in_file().to_string().as_bytes());
            part(&(tensor.shape.len() as u64).to_le_bytes());
            for &extent in &tensor.shape {
                part(&(extent as u64).to_le_bytes());
            }
            part(&tensor.bytes);
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests;
