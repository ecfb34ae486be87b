//! Predictions of a model on batches of any shape.

use crate::batch::{BatchShape, SpeckBatch, TARGETS};
use crate::{LearnerError, port, screen};
use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, GraphError, NodeId, Options, Program, State, structure};
use speck_models::{Builder, Mode, Model, SCREEN};
use std::sync::Arc;

/// How outputs become brightness values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readout {
    /// The softmax of each axis: probabilities that sum to 1.
    Softmax,
    /// The logistic function of each output.
    Sigmoid,
    /// The outputs as they are.
    Identity,
    /// The positive parts, divided by their sum over the axis.
    Share,
}

/// Samples of one run of the program; larger batches are cut, smaller ones
/// filled up with empty screens.
const SAMPLES: usize = 64;
/// Slots for specks of the usual program.
const SLOTS: usize = 8;

pub(crate) struct Predictor {
    model: Arc<dyn Model>,
    readout: Readout,
    kernels: Choice,
    float: DType,
    mode: structure::Mode,
    programs: Vec<(BatchShape, Program, SpeckBatch)>,
}

impl Predictor {
    pub fn new(
        model: Arc<dyn Model>,
        readout: Readout,
        kernels: Choice,
        float: DType,
        mode: structure::Mode,
    ) -> Self {
        Predictor { model, readout, kernels, float, mode, programs: Vec::new() }
    }

    /// Predicts [samples, 128] values.
    pub fn predict(
        &mut self,
        state: &mut State,
        batch: &SpeckBatch,
        brightness: &mut [f32],
    ) -> Result<(), LearnerError> {
        let BatchShape { specks, backgrounds, size, .. } = batch.shape;
        let specks = specks.next_power_of_two();
        let shape = match self.mode {
            // One program for nearly all batches: slots are rounded up and left
            // empty, and a shared background is given to each sample.
            structure::Mode::Dense => BatchShape {
                samples: SAMPLES,
                specks: specks.max(SLOTS),
                backgrounds: SAMPLES,
                size,
            },
            // Where only what differs is computed, an empty slot costs as much as
            // a full one, and one background less than many.
            _ => {
                let backgrounds = if backgrounds == 1 { 1 } else { SAMPLES };
                BatchShape { samples: SAMPLES, specks, backgrounds, size }
            }
        };
        let index = match self.programs.iter().position(|(known, ..)| *known == shape) {
            Some(index) => index,
            None => {
                let program = self.compile(shape)?;
                self.programs.push((shape, program, SpeckBatch::new(shape)));
                self.programs.len() - 1
            }
        };
        let (_, program, part) = &mut self.programs[index];
        for (start, values) in brightness.chunks_mut(SAMPLES * TARGETS).enumerate() {
            part.clear();
            part.take(batch, start * SAMPLES);
            screen::feed(program, part)?;
            program.run(state)?;
            port::read(program, "brightness", values)?;
        }
        Ok(())
    }

    fn compile(&self, shape: BatchShape) -> Result<Program, LearnerError> {
        let build = |structured| self.graph(shape, structured);
        let (graph, _) = self.mode.choose(build, |graph| graph)?;
        let options = Options { kernels: self.kernels.clone(), ..Options::default() };
        Ok(Program::compile(&graph, &options)?)
    }

    fn graph(
        &self,
        shape: BatchShape,
        structured: bool,
    ) -> Result<structure::Built<Graph>, GraphError> {
        let graph = Graph::new(self.float);
        let screen = screen::declare(&graph, shape)?;
        let outputs = self.model.append(&Builder::new(&graph, Mode::Evaluation), screen.image)?;
        let brightness = read(&graph, outputs, self.readout)?;
        graph.output("brightness", brightness)?;
        let notes = if structured { structure::rewrite_noted(&graph, &[])?.1 } else { Vec::new() };
        Ok((graph, notes))
    }
}

/// Appends the readout.
pub(crate) fn read(graph: &Graph, outputs: NodeId, readout: Readout) -> Result<NodeId, GraphError> {
    let each_axis = |share: &dyn Fn(NodeId) -> Result<NodeId, GraphError>| {
        let rows = share(graph.narrow(outputs, 1, 0, 1, SCREEN[0])?)?;
        let columns = share(graph.narrow(outputs, 1, SCREEN[0], 1, SCREEN[1])?)?;
        graph.concat(&[rows, columns], 1)
    };
    match readout {
        Readout::Identity => Ok(outputs),
        Readout::Sigmoid => graph.sigmoid(outputs),
        Readout::Softmax => each_axis(&|axis| graph.softmax(axis, 1)),
        Readout::Share => each_axis(&|axis| {
            let positive = graph.relu(axis)?;
            let sum = graph.sum(positive, &[1])?;
            let sum = graph.restore_axes(sum, &graph.shape(axis), &[1])?;
            // An axis without any positive output stays dark.
            let tiny = graph.scalar(1e-30)?;
            let sum = graph.maximum(sum, tiny)?;
            graph.div(positive, sum)
        }),
    }
}
