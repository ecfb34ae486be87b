//! The layers of a run's model, in their order.

use crate::config::RunConfig;
use speck_engine::{DType, Graph};
use speck_models::settings::SettingError;
use speck_models::{Builder, CHANNELS, Mode, SCREEN};

/// A layer: a tensor of weights, and what goes with it up to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What the names of its weight and bias begin with: `conv.0`.
    pub name: String,
    /// The model's slots: weights, biases, and norms with their statistics.
    pub slots: Vec<String>,
    /// Those of the slots that are learned.
    pub parameters: Vec<String>,
}

/// The layers of a run's model, from the image on. A norm, and what else has no
/// matrix of weights or kernels of its own, belongs to the layer before.
///
/// # Errors
/// A model that cannot be built.
pub fn layers(run: &RunConfig) -> Result<Vec<Layer>, SettingError> {
    let (kind, settings) = &run.model;
    let entry = speck_models::find(kind).ok_or_else(|| {
        SettingError::unknown(kind, speck_models::ALL.iter().map(|known| known.name))
    })?;
    let model = (entry.make)(settings)?;
    let graph = Graph::new(DType::F32);
    let wrong = |error: speck_engine::GraphError| SettingError::new("model", error.to_string());
    let image = graph.input("image", DType::F32, &[1, CHANNELS, SCREEN[0], SCREEN[1]]);
    let builder = Builder::new(&graph, Mode::Evaluation);
    model.append(&builder, image.map_err(wrong)?).map_err(wrong)?;
    let learned: Vec<_> = builder.parameters().into_iter().map(|(name, _)| name).collect();
    let mut layers: Vec<Layer> = Vec::new();
    // What stands before the first matrix goes with it.
    let mut before = Vec::new();
    for slot in graph.states() {
        let owner = slot.name.strip_suffix(".weight").filter(|_| slot.ty.rank() > 1);
        if let Some(name) = owner {
            let slots = std::mem::take(&mut before);
            layers.push(Layer { name: name.to_owned(), slots, parameters: Vec::new() });
        }
        match layers.last_mut() {
            Some(layer) => layer.slots.push(slot.name),
            None => before.push(slot.name),
        }
    }
    for layer in &mut layers {
        layer.parameters = layer.slots.iter().filter(|s| learned.contains(s)).cloned().collect();
    }
    Ok(layers)
}

/// The first `count` layers of a run's model and the others, of which there has
/// to be one at least.
///
/// # Errors
/// A model with too few layers; `key` is the setting that names the number.
pub(super) fn split(
    run: &RunConfig,
    key: &str,
    count: usize,
) -> Result<(Vec<Layer>, Vec<Layer>), SettingError> {
    let mut early = layers(run)?;
    let (all, model) = (early.len(), &run.model.0);
    if all < 2 {
        let message = format!("the model `{model}` has one layer; two are needed at least");
        return Err(SettingError::new(key, message));
    }
    if count >= all {
        let message = format!(
            "{count} layers of the {all} that the model `{model}` has leave none; \
             {} is the most",
            all - 1
        );
        return Err(SettingError::new(key, message));
    }
    let later = early.split_off(count);
    Ok((early, later))
}

/// The names of layers.
pub(super) fn names(layers: &[Layer]) -> Vec<String> {
    layers.iter().map(|layer| layer.name.clone()).collect()
}

/// Groups that say the same about every parameter of some layers.
pub(super) fn groups(layers: &[Layer], text: &str) -> Vec<String> {
    let parameters = layers.iter().flat_map(|layer| &layer.parameters);
    parameters.map(|name| format!("{name}: {text}")).collect()
}
