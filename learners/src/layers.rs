//! What the hidden layers of a model put out, for looking at them.

use crate::batch::{BatchShape, SpeckBatch};
use crate::{LearnerError, screen};
use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, NodeId, Options, Program, RunError, State, StateError};
use speck_models::{Builder, Mode, Model};

/// Which of a model's nodes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The image as the first, what each hidden layer hands on to the next, and the
    /// outputs as the last.
    Layers,
    /// What comes out of each non-linearity.
    Activations,
}

/// The name under which the image stands before the hidden layers.
pub const IMAGE_LAYER: &str = "image";
/// The name under which the outputs stand behind them.
pub const OUTPUTS_LAYER: &str = "outputs";

/// What a layer puts out for some samples, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The layer's name, that of its parameters.
    pub name: String,
    /// The sizes of what belongs to one row: channels or units first.
    pub shape: Vec<usize>,
    /// Rows of a sample: 1, or as many as it has tokens.
    pub rows: usize,
    /// `[samples, rows, shape…]`.
    pub values: Vec<f32>,
}

impl Representation {
    /// Values of a sample.
    pub fn width(&self) -> usize {
        self.rows * self.shape.iter().product::<usize>()
    }
}

/// A program of the model in evaluation mode that puts out its layers. It has
/// weights of its own, so that nothing it does changes those of a learner.
pub struct Layers {
    program: Program,
    state: State,
    names: Vec<(String, Vec<usize>)>,
    samples: usize,
}

impl Layers {
    /// The layers of `model` on batches of `shape`.
    ///
    /// # Errors
    /// A model that cannot be built.
    pub fn new(
        model: &dyn Model,
        look: Look,
        shape: BatchShape,
        float: DType,
        kernels: &Choice,
    ) -> Result<Self, LearnerError> {
        let graph = Graph::new(float);
        let screen = screen::declare(&graph, shape)?;
        let builder = Builder::new(&graph, Mode::Evaluation);
        let outputs = model.append(&builder, screen.image)?;
        let nodes: Vec<(String, NodeId)> = match look {
            Look::Activations => builder.activations(),
            Look::Layers => {
                let mut layers = vec![(IMAGE_LAYER.to_owned(), screen.image)];
                layers.extend(builder.layers());
                layers.push((OUTPUTS_LAYER.to_owned(), outputs));
                layers
            }
        };
        for (name, node) in &nodes {
            graph.output(&output(name), *node)?;
        }
        let names = nodes.into_iter().map(|(name, node)| (name, graph.shape(node)));
        let names = names.collect();
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        Ok(Layers {
            names,
            program: Program::compile(&graph, &options)?,
            state: State::initialise(&graph, 0),
            samples: shape.samples,
        })
    }

    /// The names of the layers, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// What the layers put out for batches of the shape this was made for, with
    /// the weights of a learner's state.
    ///
    /// # Errors
    /// Weights of another model, or a program that cannot be run.
    pub fn read(
        &mut self,
        weights: &State,
        batches: &[SpeckBatch],
    ) -> Result<Vec<Representation>, LearnerError> {
        copy_slots(&mut self.state, weights)?;
        let empty = |(name, shape): &(String, Vec<usize>)| Representation {
            name: name.clone(),
            rows: shape[0] / self.samples.max(1),
            shape: shape[1..].to_vec(),
            values: Vec::new(),
        };
        let mut all: Vec<_> = self.names.iter().map(empty).collect();
        for batch in batches {
            screen::feed(&mut self.program, batch)?;
            self.program.run(&mut self.state)?;
            for layer in &mut all {
                let name = output(&layer.name);
                match self.program.values::<f32>(&name) {
                    Ok(values) => layer.values.extend_from_slice(values),
                    Err(_) => {
                        let values = self.program.values::<f64>(&name)?;
                        layer.values.extend(values.iter().map(|value| *value as f32));
                    }
                }
            }
        }
        Ok(all)
    }
}

fn output(name: &str) -> String {
    format!("layer {name}")
}

/// Gives the slots of `to` the values that slots of the same names have in `from`.
pub(crate) fn copy_slots(to: &mut State, from: &State) -> Result<(), RunError> {
    from.fetch()?;
    let names: Vec<String> = to.names().map(str::to_owned).collect();
    for name in names {
        let value = from.get(&name).ok_or_else(|| StateError::Missing(name.clone()))?;
        to.set(&name, value.clone())?;
    }
    Ok(())
}
