//! Predictions of a model on batches of any shape.

use crate::batch::{BatchShape, SpeckBatch, TARGETS};
use crate::screen::{self, Screen};
use crate::{LearnerError, port};
use speck_engine::kernels::Choice;
use speck_engine::structure::{self, Kinds};
use speck_engine::{DType, Graph, GraphError, NodeId, Options, Program, State};
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

/// Samples of one run of a dense program; larger batches are cut, smaller ones
/// filled up with empty screens.
const SAMPLES: usize = 64;
/// Slots for specks of the usual dense program.
const SLOTS: usize = 8;
/// Most samples of one run of a structured program. Some of its work is done once a
/// run: the base, and the weights of a head in rows and summed, 0.35 of 1.3 ms at 64
/// samples of the convolutional network of `speck bench`.
const MOST: usize = 256;
/// Fewest samples of which those that are alike are looked for, and most.
const ALIKE: [usize; 2] = [512, 4096];

/// The sizes of a program, and whether samples that are alike share their windows.
type Form = (BatchShape, bool);

struct Compiled {
    program: Program,
    part: SpeckBatch,
    /// The kinds of samples that are alike.
    kinds: Option<Kinds>,
}

pub(crate) struct Predictor {
    model: Arc<dyn Model>,
    readout: Readout,
    kernels: Choice,
    float: DType,
    mode: structure::Mode,
    /// `None` where there is no such program.
    programs: Vec<(Form, Option<Compiled>)>,
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
        let (model, readout, mode) = (self.model.clone(), self.readout, self.mode);
        let maker = Maker { model, readout, float: self.float, kernels: self.kernels.clone() };
        for form in forms(mode, batch) {
            let index = match self.programs.iter().position(|(known, _)| *known == form) {
                Some(index) => index,
                None => {
                    self.programs.push((form, maker.compile(mode, form)?));
                    self.programs.len() - 1
                }
            };
            if let Some(compiled) = &mut self.programs[index].1 {
                return compiled.predict(state, batch, brightness);
            }
        }
        Ok(())
    }
}

/// The programs for a batch, the best one first; there always is the last one.
fn forms(mode: structure::Mode, batch: &SpeckBatch) -> Vec<Form> {
    let BatchShape { samples, specks, backgrounds, .. } = batch.shape;
    let specks = specks.next_power_of_two();
    if mode == structure::Mode::Dense {
        // One program for nearly all batches: slots are rounded up and left
        // empty, and a shared background is given to each sample.
        let specks = specks.max(SLOTS);
        let shape = BatchShape { samples: SAMPLES, specks, backgrounds: SAMPLES, ..batch.shape };
        return vec![(shape, false)];
    }
    // Where only what differs is computed, an empty slot costs as much as a full
    // one, and one background less than many.
    let of = |samples: usize| BatchShape {
        samples,
        specks,
        backgrounds: if backgrounds == 1 { 1 } else { samples },
        ..batch.shape
    };
    let rounded = samples.next_power_of_two();
    let mut forms = Vec::new();
    if (ALIKE[0]..=ALIKE[1]).contains(&samples) && batch.is_of_one_colour() {
        forms.push((of(rounded), true));
    }
    forms.push((of(rounded.clamp(SAMPLES, MOST)), false));
    forms
}

impl Compiled {
    fn predict(
        &mut self,
        state: &mut State,
        batch: &SpeckBatch,
        brightness: &mut [f32],
    ) -> Result<(), LearnerError> {
        let Compiled { program, part, kinds } = self;
        let samples = part.shape.samples;
        let mut start = 0;
        let mut left = brightness;
        while !left.is_empty() {
            // A device goes on from part to part until somebody looks at one.
            let mut made = 0;
            loop {
                part.clear();
                part.take(batch, start);
                if let Some(kinds) = kinds {
                    let places = part.positions.as_chunks::<2>().0.iter();
                    let of = program.input_mut::<i32>(KIND)?.iter_mut();
                    of.zip(places)
                        .for_each(|(kind, [row, column])| *kind = kinds.kind(*row, *column));
                }
                screen::feed(program, part)?;
                program.run(state)?;
                (start, made) = (start + samples, made + 1);
                if made == program.kept() || made * samples * TARGETS >= left.len() {
                    break;
                }
            }
            let (now, later) = left.split_at_mut(left.len().min(made * samples * TARGETS));
            for (back, values) in (0..made).rev().zip(now.chunks_mut(samples * TARGETS)) {
                port::read(program, "brightness", back, values)?;
            }
            left = later;
        }
        Ok(())
    }
}

/// The input that says of which kind each sample is.
const KIND: &str = "kind";

/// What programs are made of.
struct Maker {
    model: Arc<dyn Model>,
    readout: Readout,
    kernels: Choice,
    float: DType,
}

impl Maker {
    fn compile(
        &self,
        mode: structure::Mode,
        (shape, alike): Form,
    ) -> Result<Option<Compiled>, LearnerError> {
        let sampled = BatchShape { samples: shape.samples.min(MOST), ..shape };
        let (mut graph, plan) =
            mode.choose(|structured| self.graph(sampled, structured), |graph| graph)?;
        let mut kinds = None;
        if alike {
            let (whole, screen) = self.declared(shape)?;
            let kind = whole.input(KIND, DType::I32, &[shape.samples])?;
            kinds = match plan.structured {
                true => structure::rewrite_alike(&whole, screen.colours, kind)?,
                false => None,
            };
            if kinds.is_none() {
                return Ok(None);
            }
            graph = whole;
        }
        let kinds = kinds.map(|(kinds, _)| kinds);
        let options = Options { kernels: self.kernels.clone(), ..Options::default() };
        let program = Program::compile(&graph, &options)?;
        Ok(Some(Compiled { program, part: SpeckBatch::new(shape), kinds }))
    }

    fn declared(&self, shape: BatchShape) -> Result<(Graph, Screen), GraphError> {
        let graph = Graph::new(self.float);
        let screen = screen::declare(&graph, shape)?;
        let outputs = self.model.append(&Builder::new(&graph, Mode::Evaluation), screen.image)?;
        graph.output("brightness", read(&graph, outputs, self.readout)?)?;
        Ok((graph, screen))
    }

    fn graph(
        &self,
        shape: BatchShape,
        structured: bool,
    ) -> Result<structure::Built<Graph>, GraphError> {
        let (graph, _) = self.declared(shape)?;
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
