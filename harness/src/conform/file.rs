//! Reading a conformance file, which others may have made: parsed as hostile.

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A conformance file that cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// The file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not a conformance file.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// The values of a stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Floating-point, and truth values as 0 and 1.
    Real(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
}

/// A stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub shape: Vec<usize>,
    pub values: Values,
    /// Whether they are truth values.
    pub truth: bool,
}

impl Stored {
    /// The values as floats.
    pub fn reals(&self) -> Vec<f64> {
        match &self.values {
            Values::Real(values) => values.clone(),
            Values::Integer(values) => values.iter().map(|value| *value as f64).collect(),
        }
    }
}

/// A case as the file describes it.
#[derive(Debug, Deserialize)]
pub(super) struct CaseSpec {
    pub id: String,
    pub inputs: Vec<String>,
    #[serde(default, rename = "attrs")]
    pub attributes: Map<String, Value>,
    pub outputs: usize,
    #[serde(default)]
    pub grads: Vec<String>,
}

/// A training run as the file describes it.
#[derive(Debug)]
pub(super) struct TrainSpec {
    pub model: Map<String, Value>,
    pub loss: String,
    pub optimizer: Map<String, Value>,
    pub batch: usize,
    pub steps: usize,
}

/// A trajectory of an optimizer as the file describes it.
#[derive(Debug)]
pub(super) struct OptimizerSpec {
    pub optimizer: String,
    pub hyper: Map<String, Value>,
    pub steps: usize,
    /// The function to minimise, where there are no recorded gradients.
    pub objective: Option<String>,
}

/// A sequence of rates as the file describes it.
#[derive(Debug, Deserialize)]
pub(super) struct ScheduleSpec {
    pub schedule: String,
    pub base_lr: f64,
    #[serde(default)]
    pub hyper: Map<String, Value>,
    #[serde(default)]
    pub metric: Option<Vec<f64>>,
    pub lr: Vec<f64>,
}

/// What a file is about, by its metadata.
pub(super) enum Content {
    /// Cases of an operator: `op`, `cases`.
    Operator { op: String, cases: Vec<CaseSpec> },
    /// A training run: `kind` is `train`.
    Train(TrainSpec),
    /// A trajectory: `optimizer`, `hyper`, `steps`.
    Optimizer(OptimizerSpec),
    /// Something this version does not read.
    Other,
}

/// A conformance file.
pub(super) struct File {
    pub content: Content,
    pub tensors: BTreeMap<String, Stored>,
}

pub(super) fn read(path: &Path) -> Result<File, FileError> {
    let malformed = |message: String| FileError::Malformed { path: path.to_owned(), message };
    let bytes = std::fs::read(path)
        .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| malformed(format!("not a safetensors file: {error}")))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| {
        metadata.get(key).ok_or_else(|| malformed(format!("its metadata has no `{key}`")))
    };
    fn parsed<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T, String> {
        let value = serde_json::from_str(&quote_infinities(text));
        value.map_err(|error| format!("`{key}` in its metadata: {error}"))
    }
    let content = match (metadata.get("op"), metadata.get("kind").map(String::as_str)) {
        (Some(op), _) => Content::Operator {
            op: op.clone(),
            cases: parsed("cases", entry("cases")?).map_err(malformed)?,
        },
        (None, Some("train")) => Content::Train(TrainSpec {
            model: parsed("model", entry("model")?).map_err(malformed)?,
            loss: entry("loss")?.clone(),
            optimizer: parsed("optimizer", entry("optimizer")?).map_err(malformed)?,
            batch: parsed("batch", entry("batch")?).map_err(malformed)?,
            steps: parsed("steps", entry("steps")?).map_err(malformed)?,
        }),
        (None, None) if metadata.contains_key("hyper") => Content::Optimizer(OptimizerSpec {
            optimizer: entry("optimizer")?.clone(),
            hyper: parsed("hyper", entry("hyper")?).map_err(malformed)?,
            steps: parsed("steps", entry("steps")?).map_err(malformed)?,
            objective: metadata.get("objective").cloned(),
        }),
        (None, _) => return Ok(File { content: Content::Other, tensors: BTreeMap::new() }),
    };
    let stored = SafeTensors::deserialize(&bytes)
        .map_err(|error| malformed(format!("not a safetensors file: {error}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in stored.tensors() {
        let values = values(view.dtype(), view.data())
            .ok_or_else(|| malformed(format!("tensor `{name}` is of type {}", view.dtype())))?;
        let truth = view.dtype() == Dtype::BOOL;
        tensors.insert(name, Stored { shape: view.shape().to_vec(), values, truth });
    }
    Ok(File { content, tensors })
}

/// The sequences of rates in a JSON file: a list of objects with `schedule` and
/// `lr`. `None` if the file holds something else.
pub(super) fn read_schedules(path: &Path) -> Result<Option<Vec<ScheduleSpec>>, FileError> {
    let malformed = |message: String| FileError::Malformed { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path)
        .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    let text = quote_infinities(&text);
    let Ok(Value::Array(all)) = serde_json::from_str(&text) else { return Ok(None) };
    if all.is_empty() || all.iter().any(|one| one.get("schedule").is_none()) {
        return Ok(None);
    }
    let specs: Result<_, _> = all.into_iter().map(serde_json::from_value).collect();
    specs.map(Some).map_err(|error| malformed(error.to_string()))
}

/// Python writes numbers that JSON does not have as bare words: `Infinity`,
/// `-Infinity`, `NaN`. They are put in quotes, outside of strings only.
fn quote_infinities(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside = false;
    while let Some(c) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word));
        if let (false, Some(word)) = (inside, word) {
            quoted.extend(["\"", word, "\""]);
            rest = &rest[word.len()..];
            continue;
        }
        let length = match c {
            // A backslash takes the character after it along.
            '\\' if inside => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            c => c.len_utf8(),
        };
        inside ^= c == '"';
        quoted.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    quoted
}

fn values(dtype: Dtype, bytes: &[u8]) -> Option<Values> {
    fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (chunks, _) = bytes.as_chunks::<N>();
        chunks.iter().map(|chunk| read(*chunk)).collect()
    }
    Some(match dtype {
        Dtype::F64 => Values::Real(numbers(bytes, f64::from_le_bytes)),
        Dtype::F32 => Values::Real(numbers(bytes, |b| f64::from(f32::from_le_bytes(b)))),
        Dtype::BOOL => Values::Real(bytes.iter().map(|b| f64::from(u8::from(*b != 0))).collect()),
        Dtype::I64 => Values::Integer(numbers(bytes, i64::from_le_bytes)),
        Dtype::I32 => Values::Integer(numbers(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        Dtype::U8 => Values::Integer(bytes.iter().map(|b| i64::from(*b)).collect()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::quote_infinities;

    #[test]
    fn only_bare_words_are_quoted() {
        let text = r#"{"a": Infinity, "b": [-Infinity, NaN], "NaN \" Infinity": "NaN"}"#;
        let want = r#"{"a": "Infinity", "b": ["-Infinity", "NaN"], "NaN \" Infinity": "NaN"}"#;
        assert_eq!(quote_infinities(text), want);
    }
}
