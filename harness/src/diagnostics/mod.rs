//! Diagnostics: what is measured about a network while it is trained, beyond how
//! well it does.
//!
//! A diagnostic makes an [`Instrument`] for a run, which looks at the learner at
//! the points at which curves are measured and notes numbers. It has weights of its
//! own, copied from the learner's, so the training goes on to the same bits as
//! without it. One file a diagnostic, one line in [`ALL`].

mod dead_units;
mod effective_rank;
mod eigenvalues;
mod gradient_norm;
mod grokking;
mod lanczos;
mod prediction_depth;
mod products;
mod sharpness;
mod similarity;
mod spectrum;
#[cfg(test)]
mod tests;
mod update_ratio;
mod weight_norm;

use crate::RunError;
use crate::config::{RegistryEntry, RunConfig};
use crate::data::{DataSettings, Source};
use crate::run::evaluate::seed_for;
use crate::store::{CurvePoint, PhaseResults};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{DType, Graph, NodeId, State, Tensor};
use speck_learners::gradient::landscape::{Derivative, Extent, Landscape};
use speck_learners::layers::{Layers, Look};
use speck_learners::{Batches, Learner, SpeckBatch};
use speck_models::settings::{Dimension, SettingError, Settings};
use speck_models::{Builder, Model};
use std::collections::BTreeMap;

/// A diagnostic in the registry.
pub struct Diagnostic {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Whether it can be applied to a run.
    pub applies: fn(&RunConfig, &Settings) -> Result<(), SettingError>,
    /// Makes the instrument for a run.
    pub make: fn(&Scene<'_>) -> Result<Box<dyn Instrument>, RunError>,
    /// What of it is drawn in the report.
    pub figures: &'static [Figure],
}

/// Every diagnostic.
pub static ALL: &[Diagnostic] = &[
    gradient_norm::DIAGNOSTIC,
    weight_norm::DIAGNOSTIC,
    update_ratio::DIAGNOSTIC,
    dead_units::DIAGNOSTIC,
    sharpness::DIAGNOSTIC,
    spectrum::DIAGNOSTIC,
    prediction_depth::DIAGNOSTIC,
    effective_rank::DIAGNOSTIC,
    similarity::DIAGNOSTIC,
    grokking::DIAGNOSTIC,
];

/// The diagnostic called `name`.
pub fn find(name: &str) -> Option<&'static Diagnostic> {
    ALL.iter().find(|diagnostic| diagnostic.name == name)
}

/// The registry as experiment files and listings see it.
pub fn entries() -> Vec<RegistryEntry> {
    let entry = |d: &Diagnostic| RegistryEntry {
        applies: |name, settings, run| {
            find(name).map_or(Ok(()), |diagnostic| (diagnostic.applies)(run, settings))
        },
        ..RegistryEntry::new(d.name, d.summary, d.dimensions)
    };
    ALL.iter().map(entry).collect()
}

/// How a diagnostic is drawn.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// A series against steps, one line a model.
    Curve(Drawn),
    /// Series `NAME/LAYER` against steps, one chart a model, one line a layer.
    Layers(Drawn),
    /// The artefact: a list of `{step, values, density}`, of which the first, the
    /// middle and the last are drawn, one chart a model.
    Density(Drawn),
    /// The artefact: `{rows, columns, values}`, numbers from 0 to 1, one table a
    /// model.
    Matrix(Drawn),
    /// The artefact: an object of numbers, a column each, one row a model.
    Facts(Drawn),
}

/// What is drawn, and what is written beside it.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The series or the artefact.
    pub name: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What stands at the axis.
    pub label: &'static str,
    /// Whether the values are fractions.
    pub fraction: bool,
    /// What is to be seen.
    pub remark: &'static str,
}

/// What looks at a learner. The learner is the same afterwards.
pub trait Instrument {
    /// Looks at the learner and notes what it finds.
    ///
    /// # Errors
    /// A program that cannot be run.
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError>;

    /// What it remembers of earlier points, for a checkpoint.
    fn memory(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// Takes up what it remembered.
    fn recall(&mut self, memory: Vec<(String, Tensor)>) {
        let _ = memory;
    }
}

/// What an instrument has noted; kept in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// The step at which notes are taken.
    #[serde(skip)]
    pub step: u64,
    /// (series, step, value); a value that is not finite is absent.
    curves: Vec<(String, u64, Option<f64>)>,
    artefacts: BTreeMap<String, Value>,
}

impl Readings {
    /// Notes a number.
    pub fn push(&mut self, series: &str, value: f64) {
        self.curves.push((series.to_owned(), self.step, Some(value).filter(|v| v.is_finite())));
    }

    /// Notes a number of a layer.
    pub fn push_layer(&mut self, series: &str, layer: &str, value: f64) {
        self.push(&format!("{series}/{layer}"), value);
    }

    /// Notes something else, in place of what it was.
    pub fn keep(&mut self, name: &str, value: Value) {
        self.artefacts.insert(name.to_owned(), value);
    }

    /// Adds to a list of something else.
    pub fn append(&mut self, name: &str, value: Value) {
        let list = self.artefacts.entry(name.to_owned()).or_insert_with(|| Value::Array(vec![]));
        if let Value::Array(all) = list {
            all.push(value);
        }
    }

    /// The points of one curve.
    pub fn series(&self, name: &str) -> Vec<(u64, f64)> {
        let own = self.curves.iter().filter(|(series, ..)| series == name);
        own.filter_map(|(_, step, value)| Some((*step, (*value)?))).collect()
    }

    /// As rows of the store. The order of the series is that in which they were
    /// noted first: that of the layers.
    pub fn results(&self, kind: &str, settings: &Settings) -> PhaseResults {
        let mut order: Vec<&str> = Vec::new();
        for (series, ..) in &self.curves {
            if !order.contains(&series.as_str()) {
                order.push(series);
            }
        }
        let description =
            serde_json::json!({ "kind": kind, "settings": settings, "series": order });
        let point = |(series, step, value): &(String, u64, Option<f64>)| {
            Some(CurvePoint { series: series.clone(), step: *step, value: (*value)? })
        };
        let mut artefacts: Vec<_> =
            self.artefacts.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        artefacts.push(("description".to_owned(), description));
        PhaseResults {
            scores: Vec::new(),
            curves: self.curves.iter().filter_map(point).collect(),
            artefacts,
        }
    }
}

/// What an instrument is made for.
pub struct Scene<'a> {
    /// The run.
    pub run: &'a RunConfig,
    /// The settings of the diagnostic.
    pub settings: &'a Settings,
    /// The batches of the training.
    pub source: &'a Source,
    /// Forced kernel variants.
    pub kernels: &'a Choice,
    /// Whether programs compute every pixel or what differs.
    pub mode: Mode,
}

/// Samples of one run of a diagnostic's program.
const CHUNK: usize = 256;
/// Samples of one run where their number is to be free.
const PIECE: usize = 64;

impl Scene<'_> {
    fn data(&self) -> Result<DataSettings, RunError> {
        Ok(DataSettings::new(&self.run.data)?)
    }

    fn model(&self) -> Result<Box<dyn Model>, RunError> {
        Ok(model(self.run)?)
    }

    /// `samples` fresh samples of `data`, in batches of one shape: more than
    /// [`CHUNK`] are rounded up to whole batches. The same for the same purpose.
    fn batches(&self, data: &DataSettings, samples: usize, purpose: &str) -> Vec<SpeckBatch> {
        let seed = seed_for(self.run.seed, &format!("diagnostic, {purpose}"));
        let source = Source::new(data, samples.clamp(1, CHUNK), seed);
        let filled = |step| filled(&source, step);
        (0..samples.div_ceil(CHUNK).max(1) as u64).map(filled).collect()
    }

    /// The same in batches of 64 samples, so that one program runs different numbers
    /// of them.
    fn cut(&self, data: &DataSettings, samples: usize, purpose: &str) -> Vec<SpeckBatch> {
        let seed = seed_for(self.run.seed, &format!("diagnostic, {purpose}"));
        let source = Source::new(data, PIECE, seed);
        let filled = |step| filled(&source, step);
        (0..samples.div_ceil(PIECE).max(1) as u64).map(filled).collect()
    }

    /// The hidden layers on such batches.
    fn layers(&self, look: Look, batches: &[SpeckBatch]) -> Result<Layers, RunError> {
        let shape = batches[0].shape;
        Ok(Layers::new(&*self.model()?, look, shape, DType::F32, self.kernels)?)
    }

    /// A derivative of the loss on such batches.
    fn landscape(
        &self,
        derivative: Derivative,
        batches: &[SpeckBatch],
    ) -> Result<Landscape, RunError> {
        let settings = &self.run.learner.1;
        let means = (DType::F32, self.kernels, self.mode);
        let shape = batches[0].shape;
        Ok(Landscape::new(settings, &*self.model()?, derivative, shape, means)?)
    }

    /// A random direction of length 1: ±1 divided by the root of the size.
    fn direction(&self, size: usize, number: usize) -> Vec<f32> {
        let seed = seed_for(self.run.seed, &format!("direction {number}"));
        lanczos::signs(size, seed)
    }
}

fn filled(source: &Source, step: u64) -> SpeckBatch {
    let mut batch = SpeckBatch::new(source.shape());
    source.fill(step, &mut batch);
    batch
}

fn model(run: &RunConfig) -> Result<Box<dyn Model>, SettingError> {
    let (kind, settings) = &run.model;
    let unknown = || SettingError::new("model", format!("there is no model `{kind}`"));
    (speck_models::find(kind).ok_or_else(unknown)?.make)(settings)
}

/// Samples that are looked at: a dimension of most diagnostics.
const SAMPLES: Dimension = Dimension::int(
    "samples",
    "samples of the training data that it looks at; above 256, rounded up to a multiple",
    (1, 65_536),
    256,
);

/// How often: a dimension of every diagnostic.
const EVERY: Dimension = Dimension::int(
    "every",
    "looks at the first, the last and every so manieth point at which curves are measured, 25 over a training",
    (1, 10_000),
    1,
);

/// Whether a learner has a loss with a gradient.
fn needs_gradient(run: &RunConfig, what: &str) -> Result<(), SettingError> {
    match run.learner.0.as_str() {
        "gradient" => Ok(()),
        other => {
            let message = format!("{what}: the {other} learner has no loss to differentiate");
            Err(SettingError::new("kind", message))
        }
    }
}

/// A run's model in a graph of its own, on one image.
fn built<T>(
    run: &RunConfig,
    read: impl FnOnce(&Graph, &Builder<'_>) -> T,
) -> Result<T, SettingError> {
    let graph = Graph::new(DType::F32);
    let shape = [1, speck_models::CHANNELS, speck_models::SCREEN[0], speck_models::SCREEN[1]];
    let builder = Builder::new(&graph, speck_models::Mode::Evaluation);
    let wrong = |error: speck_engine::GraphError| SettingError::new("model", error.to_string());
    let image = graph.input("image", DType::F32, &shape).map_err(wrong)?;
    model(run)?.build(&builder, image).map_err(wrong)?;
    Ok(read(&graph, &builder))
}

/// Whether a model has hidden layers, or non-linearities.
fn needs_layers(run: &RunConfig, look: Look, what: &str) -> Result<(), SettingError> {
    let (named, thing) = built(run, |_, builder| match look {
        Look::Layers => (builder.layers(), "hidden layers"),
        Look::Activations => (builder.activations(), "non-linearities"),
    })?;
    if named.is_empty() {
        let message = format!("{what}: the model `{}` has no {thing}", run.model.0);
        return Err(SettingError::new("kind", message));
    }
    Ok(())
}

/// The parameters of a run's model with their shapes.
fn sizes(run: &RunConfig) -> Result<Vec<(String, Vec<usize>)>, SettingError> {
    built(run, |graph, builder| {
        let shape = |(name, node): (String, NodeId)| (name, graph.shape(node));
        builder.parameters().into_iter().map(shape).collect()
    })
}

/// The parameters of a run's model.
fn parameters(run: &RunConfig) -> Result<Vec<Extent>, SettingError> {
    let extent = |(name, shape): (String, Vec<usize>)| (name, shape.iter().product());
    Ok(sizes(run)?.into_iter().map(extent).collect())
}

/// All weights, one parameter behind the other.
fn weights(state: &State, parameters: &[Extent]) -> Vec<f64> {
    let values = |(name, elements): &Extent| match state.get(name) {
        Some(tensor) => tensor.to_f64(),
        None => vec![f64::NAN; *elements],
    };
    parameters.iter().flat_map(values).collect()
}

/// The length of a vector of the parameters' values, and of each layer's part: that of
/// all parameters that differ in the last part of the name only.
fn lengths(parameters: &[Extent], values: &[f64]) -> (f64, Vec<(String, f64)>) {
    let mut layers: Vec<(String, f64)> = Vec::new();
    let mut rest = values;
    for (name, elements) in parameters {
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
        let (own, others) = rest.split_at(*elements);
        let square: f64 = own.iter().map(|value| value * value).sum();
        match layers.iter_mut().find(|(known, _)| known == layer) {
            Some((_, sum)) => *sum += square,
            None => layers.push((layer.to_owned(), square)),
        }
        rest = others;
    }
    let all: f64 = layers.iter().map(|(_, square)| square).sum();
    layers.iter_mut().for_each(|(_, square)| *square = square.sqrt());
    (all.sqrt(), layers)
}
