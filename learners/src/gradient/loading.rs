//! Weights out of files, by the names of parameters.

use super::training::matches;
use crate::PRIVATE;
use safetensors::{Dtype, SafeTensors};
use speck_engine::{State, Tensor};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Dimension, SettingError, Settings};

pub(super) const DIMENSIONS: [Dimension; 2] = [
    Dimension {
        name: "load",
        doc: "tensors that begin as a file has them: \"PATTERN: FILE.safetensors\", by name, the first pattern that fits, `*` standing for anything; all others begin as `initialization` says. A run is known by the file's name, not by what is in it",
        kind: Kind::TextList,
        default: DefaultValue::TextList(&[]),
    },
    Dimension::choice(
        "load_missing",
        "what becomes of a tensor that a pattern fits and the file does not have, or has in another shape",
        &["refuse", "initialize"],
        "refuse",
    ),
];

/// Puts what the settings want from files into the state of a model; the names of the
/// tensors that now are as a file has them.
pub(super) fn load(settings: &Settings, state: &mut State) -> Result<Vec<String>, SettingError> {
    let wrong = |message: String| SettingError::new("load", message);
    let mut files = Vec::new();
    for text in settings.text_list("load") {
        let Some((pattern, path)) = text.split_once(':') else {
            let message = format!("{text:?}: expected \"PATTERN: FILE.safetensors\"");
            return Err(wrong(message));
        };
        let path = path.trim();
        let bytes = std::fs::read(path)
            .map_err(|error| wrong(format!("{path} cannot be read: {error}")))?;
        files.push((pattern.trim(), path, bytes));
    }
    let names: Vec<_> = state.iter().map(|(name, _)| name.to_owned()).collect();
    let own = names.iter().filter(|name| !name.starts_with(PRIVATE));
    for (pattern, ..) in &files {
        if !own.clone().any(|name| matches(pattern, name)) {
            let all: Vec<_> = own.map(String::as_str).collect();
            let all = all.join(", ");
            return Err(wrong(format!("no tensor is called {pattern:?}; there are {all}")));
        }
    }
    let keep = settings.text("load_missing") == "initialize";
    let mut loaded = Vec::new();
    for name in own {
        let fits = |(pattern, ..): &&(&str, &str, Vec<u8>)| matches(pattern, name);
        let Some((_, path, bytes)) = files.iter().find(fits) else { continue };
        let Some(slot) = state.get(name) else { continue };
        let found = read(bytes, name).map_err(|error| wrong(format!("{path}: {error}")))?;
        match found {
            Some((shape, values)) if shape == slot.shape() => {
                let tensor = Tensor::new(slot.ty(), &values);
                state.set(name, tensor).map_err(|error| wrong(error.to_string()))?;
                loaded.push(name.clone());
            }
            _ if keep => {}
            Some((shape, _)) => {
                let wanted = slot.shape();
                return Err(wrong(format!("{path}: {name} is {shape:?}, not {wanted:?}")));
            }
            None => return Err(wrong(format!("{path} has no tensor {name}"))),
        }
    }
    Ok(loaded)
}

/// Shape and values of a tensor, if there is one of that name.
fn read(bytes: &[u8], name: &str) -> Result<Option<(Vec<usize>, Vec<f64>)>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let Ok(view) = file.tensor(name) else { return Ok(None) };
    let values = match view.dtype() {
        Dtype::F32 => {
            let all = view.data().as_chunks::<4>().0.iter();
            all.map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        }
        Dtype::F64 => {
            let all = view.data().as_chunks::<8>().0.iter();
            all.map(|bytes| f64::from_le_bytes(*bytes)).collect()
        }
        other => return Err(format!("{name} is of {other}, not F32 or F64")),
    };
    Ok(Some((view.shape().to_vec(), values)))
}
