//! The loss as a function of the weights, for looking at it: its gradient, and
//! products of its Hessian with vectors.
//!
//! It is the loss that the steps minimise, built as they build it: with statistics
//! of the batch, and with what dropout draws in the step that would come next. The
//! programs have weights of their own, so that nothing done here changes those of
//! a learner.

use super::step::Parts;
use super::training::Training;
use crate::batch::{BatchShape, SpeckBatch};
use crate::layers::copy_slots;
use crate::{LearnerError, port, screen};
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{DType, Graph, Options, Program, RunError, State};
use speck_models::{Model, Settings};

/// A parameter: its name, and how many values it has.
pub type Extent = (String, usize);

/// What is asked of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivative {
    /// ∂L/∂w.
    Gradient,
    /// (∂²L/∂w²) v.
    HessianProduct,
}

/// A derivative of the loss on batches of one shape.
pub struct Landscape {
    program: Program,
    state: State,
    parameters: Vec<Extent>,
    derivative: Derivative,
}

impl Landscape {
    /// The derivative of the loss that the settings of the gradient learner name,
    /// for `model` on batches of `shape`.
    ///
    /// # Errors
    /// A model that cannot be built, or settings that do not fit it.
    pub fn new(
        settings: &Settings,
        model: &dyn Model,
        derivative: Derivative,
        shape: BatchShape,
        (float, kernels, mode): (DType, &Choice, Mode),
    ) -> Result<Self, LearnerError> {
        let training = Training::new(settings)?;
        let parts = Parts { settings, training: &training, model, shape, float, rows: false };
        // Where the rewritten loss has the cheaper gradient, it has the cheaper
        // product too.
        let structured = match mode {
            Mode::Dense => false,
            Mode::Structured => true,
            Mode::Auto => parts.gradient(mode)?.plan.structured,
        };
        let graph = Graph::new(float);
        let loss = parts.objective(&graph, structured)?;
        graph.output("loss", loss.value)?;
        let nodes: Vec<_> = loss.parameters.iter().map(|(_, node)| *node).collect();
        let results = match derivative {
            Derivative::Gradient => graph.gradient(loss.value, &nodes)?,
            Derivative::HessianProduct => {
                let mut vectors = Vec::new();
                for (name, node) in &loss.parameters {
                    vectors.push(graph.input(&vector(name), float, &graph.shape(*node))?);
                }
                graph.hessian_vector_product(loss.value, &nodes, &vectors)?
            }
        };
        let mut parameters = Vec::new();
        for ((name, node), result) in loss.parameters.iter().zip(results) {
            graph.output(&product(name), result)?;
            parameters.push((name.clone(), graph.ty(*node).elements()));
        }
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        Ok(Landscape {
            program: Program::compile(&graph, &options)?,
            state: State::initialise(&graph, 0),
            parameters,
            derivative,
        })
    }

    /// The parameters, in the order in which their values stand in vectors.
    pub fn parameters(&self) -> &[Extent] {
        &self.parameters
    }

    /// How long vectors are.
    pub fn size(&self) -> usize {
        self.parameters.iter().map(|(_, elements)| elements).sum()
    }

    /// Takes the weights of a learner's state.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn take(&mut self, weights: &State) -> Result<(), LearnerError> {
        Ok(copy_slots(&mut self.state, weights)?)
    }

    /// The mean over the batches of the loss, and of its gradient.
    ///
    /// # Errors
    /// Batches of another shape.
    pub fn gradient(&mut self, batches: &[SpeckBatch]) -> Result<(f64, Vec<f64>), LearnerError> {
        debug_assert_eq!(self.derivative, Derivative::Gradient);
        self.run(batches)
    }

    /// The mean over the batches of the Hessian's product with a vector.
    ///
    /// # Errors
    /// Batches of another shape.
    pub fn product(
        &mut self,
        batches: &[SpeckBatch],
        direction: &[f32],
    ) -> Result<Vec<f64>, LearnerError> {
        debug_assert_eq!(self.derivative, Derivative::HessianProduct);
        let mut rest = direction;
        for (name, elements) in &self.parameters {
            let (own, others) = rest.split_at(*elements);
            port::write(&mut self.program, &vector(name), own)?;
            rest = others;
        }
        Ok(self.run(batches)?.1)
    }

    fn run(&mut self, batches: &[SpeckBatch]) -> Result<(f64, Vec<f64>), LearnerError> {
        let mut sum = vec![0.0; self.size()];
        let mut loss = 0.0;
        for batch in batches {
            screen::feed(&mut self.program, batch)?;
            self.program.run(&mut self.state)?;
            loss += port::read_number(&self.program, "loss")?;
            let mut rest = &mut sum[..];
            for (name, elements) in &self.parameters {
                let (own, others) = rest.split_at_mut(*elements);
                add(&self.program, &product(name), own)?;
                rest = others;
            }
        }
        let share = 1.0 / batches.len().max(1) as f64;
        sum.iter_mut().for_each(|value| *value *= share);
        Ok((loss * share, sum))
    }
}

fn vector(name: &str) -> String {
    format!("vector of {name}")
}

fn product(name: &str) -> String {
    format!("derivative of {name}")
}

fn add(program: &Program, name: &str, sum: &mut [f64]) -> Result<(), RunError> {
    match program.values::<f32>(name) {
        Ok(values) => sum.iter_mut().zip(values).for_each(|(s, v)| *s += f64::from(*v)),
        Err(_) => {
            let values = program.values::<f64>(name)?;
            sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
        }
    }
    Ok(())
}
