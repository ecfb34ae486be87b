//! Gradient descent: a step is one program that renders the batch, runs the
//! model, takes the loss, its gradient, and the optimizer's update.

mod adapters;
mod calibration;
mod guidance;
pub mod initializers;
pub mod landscape;
mod loading;
pub mod losses;
pub mod meta;
pub mod optimizers;
mod precision;
pub mod pretexts;
mod recorded;
pub mod regularizers;
pub mod schedules;
mod search;
mod step;
mod training;
mod update;
mod uphill;

pub use recorded::{Minimizer, Recorded, append_updates};
pub use step::Step;
pub(crate) use update::Clock;

use crate::batch::{BatchShape, Batches, SpeckBatch};
use crate::predictor::Predictor;
use crate::rows::Rows;
use crate::trainer::{Pace, Stepper, Trainer};
use crate::{
    BATCH, Description, Learner, LearnerEntry, LearnerError, ORIGIN, PATIENCE, SEED, STEPS, Setup,
    port, screen,
};
use precision::Precision;
use schedules::Place;
use search::{Loss, Objective, Search, Searcher};
use speck_engine::kernels::Choice;
use speck_engine::structure::{self, Ledger, Mode};
use speck_engine::{
    DType, Graph, GraphError, Initial, Options, Program, RunError, State, StateError, StepTiming,
    Tensor, TensorType,
};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Dimension, Model, Settings};
use std::sync::Arc;
use step::Parts;
use training::{Due, Group, Training};

/// The dimensions that are read outside of the registries' files.
const OWN: Own = Own {
    dimensions: &[
        STEPS,
        BATCH,
        PATIENCE,
        Dimension {
            name: "optimizer",
            doc: "how a gradient becomes an update",
            kind: Kind::Entry(optimizers::PARTS),
            default: DefaultValue::Text("adam"),
        },
        Dimension {
            name: "initialization",
            doc: "what weights of two dimensions and more are before the first step",
            kind: Kind::Entry(initializers::PARTS),
            default: DefaultValue::Text("model"),
        },
        Dimension {
            name: "schedule",
            doc: "how the rate changes over the steps",
            kind: Kind::Entry(schedules::PARTS),
            default: DefaultValue::Text("constant"),
        },
        schedules::WARM_UP[0],
        schedules::WARM_UP[1],
        schedules::WARM_UP[2],
        Dimension::int(
            "schedule_offset",
            "steps of the schedule and its warm-up that lie before the first step, in a later part of a longer training",
            (0, 100_000_000),
            0,
        ),
        Dimension {
            name: "groups",
            doc: "parameters with settings of their own: \"PATTERN: rate=0.1, weight_decay=0\", \"PATTERN: frozen\", \"PATTERN: ascend\" (up the loss); the first pattern that fits, `*` standing for anything",
            kind: Kind::TextList,
            default: DefaultValue::TextList(&[]),
        },
        loading::DIMENSIONS[0],
        loading::DIMENSIONS[1],
        Dimension::bool("maximize", "whether weights climb the loss", false),
        precision::PRECISION[0],
        precision::PRECISION[1],
        training::GRADIENTS[0],
        training::GRADIENTS[1],
        training::GRADIENTS[2],
        training::GRADIENTS[3],
        training::SHARPNESS[0],
        training::SHARPNESS[1],
        training::WEIGHTS[0],
        training::WEIGHTS[1],
        training::WEIGHTS[2],
        training::WEIGHTS[3],
        training::WEIGHTS[4],
        training::WEIGHTS[5],
        Dimension {
            name: "pretext",
            doc: "what is learned in place of the task: none for the task itself",
            kind: Kind::Entry(pretexts::PARTS),
            default: DefaultValue::Text(pretexts::NONE),
        },
        Dimension {
            name: "meta",
            doc: "what is learned from the tasks that the samples of a batch belong to; none: there is one task",
            kind: Kind::Entry(meta::PARTS),
            default: DefaultValue::Text(meta::NONE),
        },
        guidance::DIMENSIONS[0],
        guidance::DIMENSIONS[1],
        guidance::DIMENSIONS[2],
        adapters::DIMENSIONS[0],
        adapters::DIMENSIONS[1],
        adapters::DIMENSIONS[2],
        Dimension {
            name: "rows",
            doc: "what becomes of weights without a gradient where a layer is updated by rows: all rows in every step, brought up to date when next read (the same numbers to rounding), or left as they are",
            kind: Kind::Choice(&["exact", "dense", "masked"]),
            default: DefaultValue::Text("exact"),
        },
        Dimension {
            name: "loss",
            doc: "what is minimised",
            kind: Kind::Entry(losses::PARTS),
            default: DefaultValue::Text("cross-entropy"),
        },
    ],
};

struct Own {
    dimensions: &'static [Dimension],
}

const DIMENSIONS: [Dimension; OWN.dimensions.len() + regularizers::COUNT] =
    regularizers::behind(OWN.dimensions);

pub(crate) const ENTRY: LearnerEntry = LearnerEntry {
    name: "gradient",
    summary: "gradient descent on a loss, by reverse-mode differentiation",
    dimensions: &DIMENSIONS,
    models: &[],
    make: |settings, setup| Ok(Box::new(Gradient::new(settings, setup)?)),
};

struct Gradient {
    trainer: Trainer,
    /// Whether the weights are still to be scaled by the first batch: no other state
    /// was taken over.
    fresh: bool,
    /// Tensors that are as a file has them.
    loaded: Vec<String>,
    pace: Steering,
    /// What makes the steps instead of the trainer's programs, if the optimizer
    /// searches.
    search: Option<(Box<dyn Search>, Searcher)>,
    plan: structure::Plan,
    /// The step, and what it was made of.
    graph: Graph,
    settings: Settings,
    model: Arc<dyn Model>,
    shape: BatchShape,
    float: DType,
    kernels: Choice,
}

/// What steers the steps: rates, and which program makes a step.
struct Steering {
    training: Training,
    /// What each of the trainer's programs does.
    made: Vec<Due>,
    total: u64,
    /// Steps of the schedules before the first step.
    offset: u64,
}

impl Steering {
    fn place(&self, group: &Group, step: u64) -> Place {
        Place { base: group.rate, step: step + self.offset, total: self.total }
    }

    fn rate(&self, group: &Group, state: &State, step: u64) -> f64 {
        let place = self.place(group, step);
        let memory = match &group.memory {
            Some(name) => state.get(name).and_then(|slot| slot.values::<f64>()),
            None => None,
        };
        group.schedule.rate(place, memory.unwrap_or_default())
    }
}

impl Pace for Steering {
    fn choose(&self, step: u64) -> usize {
        let due = self.training.due(step);
        self.made.iter().position(|made| *made == due).unwrap_or(0)
    }

    fn prepare(&self, program: &mut Program, state: &State, step: u64) -> Result<(), RunError> {
        for group in &self.training.groups {
            port::write_number(program, &group.input, self.rate(group, state, step))?;
            group.write_momentum(program, Place { base: group.rate, step, total: self.total })?;
        }
        Ok(())
    }

    fn watches(&self) -> bool {
        self.training.groups.iter().any(|group| group.memory.is_some())
    }

    fn observe(&self, state: &mut State, step: u64, loss: f64) {
        for group in &self.training.groups {
            let Some(name) = &group.memory else { continue };
            let place = self.place(group, step);
            let slot = state.get_mut(name);
            if let Some(memory) = slot.and_then(|slot| slot.values_mut::<f64>()) {
                group.schedule.observe(place, loss, memory);
            }
        }
    }
}

impl Gradient {
    fn new(settings: &Settings, setup: Setup) -> Result<Self, LearnerError> {
        let Setup { model, shape, seed, kernels, float, mode } = setup;
        let training = Training::new(settings)?;
        meta::check(settings, shape.samples)?;
        let search = training.search()?;
        Precision::new(settings).check(search.is_some())?;
        let all = training.all();
        let parts =
            Parts { settings, training: &training, model: &*model, shape, float, rows: true };
        let Step { graph, parameters, weights, rows, plan, clocks, .. } = match &search {
            None => parts.step(all, mode)?,
            Some(_) => parts.gradient(mode)?,
        };
        training.check(weights.iter().map(|(name, _)| name.as_str()))?;
        let loss = losses::chosen(settings);
        // The program first: it says whether all this fits into memory.
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        let program = Program::compile(&graph, &options)?;
        let mut state = State::initialise(&graph, seed);
        let words = vec![seed as u32 as i32, (seed >> 32) as u32 as i32];
        state.set(SEED, Tensor::from_i32(&[2], words))?;
        for (name, node) in &weights {
            let ty = graph.ty(*node);
            if ty.rank() > 1
                && let Some(values) = training.initial(name, &ty.shape, seed)
            {
                state.set(name, Tensor::new(&ty, &values))?;
            }
        }
        let loaded = loading::load(settings, &mut state)?;
        bind(&mut state)?;
        for group in &training.groups {
            let Some(name) = &group.memory else { continue };
            let memory = group.schedule.memory();
            let slot = Graph::new(float);
            let ty = TensorType::new(DType::F64, &[memory.len()]);
            slot.state_of(name, &ty, Initial::Constant(0.0))?;
            state.extend(&slot, seed);
            state.set(name, Tensor::from_f64(&[memory.len()], memory))?;
        }
        let total = settings.usize("steps") as u64;
        let search = match search {
            None => None,
            Some(search) => {
                let batch = SpeckBatch::new(shape);
                let structured = plan.structured;
                let objective = OnBatch { parts: Some(&parts), structured, batch: &batch };
                let searcher =
                    Searcher::new(&*search, &objective, float, &kernels, &mut state, seed)?;
                Some((search, searcher))
            }
        };
        Ok(Gradient {
            search,
            fresh: true,
            loaded,
            trainer: Trainer {
                steppers: vec![Stepper { program, clocks }],
                rows: Rows::new(rows, kernels.clone(), float),
                predictor: Predictor::new(
                    model.clone(),
                    loss.readout,
                    kernels.clone(),
                    float,
                    mode,
                ),
                state,
                made: 0,
                batch: SpeckBatch::new(shape),
                parameters: parameters.iter().map(|(_, node)| graph.ty(*node).elements()).sum(),
            },
            pace: Steering {
                training,
                made: vec![all],
                total,
                offset: settings.usize("schedule_offset") as u64,
            },
            plan,
            graph,
            settings: settings.clone(),
            model,
            shape,
            float,
            kernels,
        })
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            settings: &self.settings,
            training: &self.pace.training,
            model: &*self.model,
            shape: self.shape,
            float: self.float,
            rows: true,
        }
    }

    /// Compiles the programs that the next steps want and that are not there.
    fn ready(&mut self, steps: u64) -> Result<(), LearnerError> {
        let now = self.steps();
        for step in now..now + steps {
            let due = self.pace.training.due(step);
            if !self.pace.made.contains(&due) {
                let Step { graph, clocks, .. } = self.parts().step(due, self.mode())?;
                let options = Options { kernels: self.kernels.clone(), ..Options::default() };
                let program = Program::compile(&graph, &options)?;
                self.trainer.steppers.push(Stepper { program, clocks });
                self.pace.made.push(due);
            }
        }
        Ok(())
    }

    /// The mode that was chosen for the first program, for all others.
    fn mode(&self) -> Mode {
        if self.plan.structured { Mode::Structured } else { Mode::Dense }
    }

    /// The work of a step against that of the dense one.
    fn ledger(&self) -> Result<Ledger, LearnerError> {
        if !self.plan.structured {
            return Ok(Ledger::new(&self.graph, &self.graph, &self.kernels)?);
        }
        let parts = self.parts();
        let dense = match &self.search {
            None => parts.step(self.pace.training.all(), Mode::Dense)?,
            Some(_) => parts.gradient(Mode::Dense)?,
        };
        Ok(Ledger::new(&dense.graph, &self.graph, &self.kernels)?)
    }

    /// Exchanges the weights and their means, where those are to predict.
    fn exchange(&mut self) -> Result<(), LearnerError> {
        if !self.pace.training.averaged(self.steps()) {
            return Ok(());
        }
        let state = &mut self.trainer.state;
        let names: Vec<_> = state.names().map(str::to_owned).collect();
        for name in &names {
            state.exchange(name, &Training::averaged_slot(name)).map_err(RunError::from)?;
        }
        Ok(())
    }
}

/// The loss on a batch. The parts are wanted to build it only.
struct OnBatch<'a> {
    parts: Option<&'a Parts<'a>>,
    structured: bool,
    batch: &'a SpeckBatch,
}

impl Objective for OnBatch<'_> {
    fn build(&self, graph: &Graph) -> Result<Loss, GraphError> {
        match self.parts {
            Some(parts) => parts.objective(graph, self.structured),
            None => Ok(Loss { value: graph.scalar(0.0)?, outputs: None, parameters: Vec::new() }),
        }
    }

    fn feed(&self, program: &mut Program) -> Result<(), RunError> {
        screen::feed(program, self.batch)
    }
}

impl Gradient {
    /// Steps of an optimizer that searches.
    fn searched(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        let mut sum = 0.0;
        for _ in 0..steps {
            let step = self.trainer.fill(data)?;
            let rate = self.rate();
            let Gradient { search: Some((search, searcher)), trainer, pace, .. } = self else {
                break;
            };
            let Trainer { state, batch, .. } = trainer;
            let objective = OnBatch { parts: None, structured: false, batch };
            let loss = searcher.step(&**search, &objective, state, rate)?;
            pace.observe(state, step, loss);
            trainer.count();
            sum += loss;
        }
        Ok(sum / steps as f64)
    }
}

/// Whether a slot of a state holds averaged weights: its learner predicts with those, see
/// [`Learner::learned`].
pub fn is_mean(slot: &str) -> bool {
    Training::is_mean(slot)
}

/// Training that is bound to where it began begins with the weights as they are now.
fn bind(state: &mut State) -> Result<(), StateError> {
    let bound = |name: &str| -> Option<(String, String)> {
        let of = name.strip_prefix(ORIGIN).or_else(|| name.strip_prefix(pretexts::TARGET))?;
        Some((name.to_owned(), of.to_owned()))
    };
    let all: Vec<_> = state.names().filter_map(bound).collect();
    for (slot, of) in all {
        if let Some(began) = state.get(&of).cloned() {
            state.set(&slot, began)?;
        }
    }
    Ok(())
}

impl Learner for Gradient {
    fn begin(&mut self, data: &dyn Batches) -> Result<(), LearnerError> {
        if !self.fresh || self.steps() > 0 {
            return Ok(());
        }
        self.trainer.fits(data)?;
        self.fresh = false;
        let mut state = std::mem::take(&mut self.trainer.state);
        let scaled =
            calibration::calibrate(&self.parts(), &self.kernels, &self.loaded, data, &mut state);
        self.trainer.state = state;
        if scaled? {
            bind(&mut self.trainer.state)?;
            self.trainer.rows.forget();
        }
        Ok(())
    }

    fn learn(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        self.begin(data)?;
        if self.search.is_some() {
            return self.searched(data, steps);
        }
        self.ready(steps)?;
        self.trainer.learn(data, steps, &self.pace)
    }

    fn profile(&mut self, data: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError> {
        self.begin(data)?;
        self.ready(1)?;
        self.trainer.profile(data, &self.pace)
    }

    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn rate(&self) -> f64 {
        let groups = &self.pace.training.groups;
        // The last group is that of all which no other one takes.
        self.pace.rate(&groups[groups.len() - 1], &self.trainer.state, self.steps())
    }

    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        self.exchange()?;
        let result = self.trainer.predict(batch, brightness);
        self.exchange()?;
        result
    }

    fn settle(&mut self) -> Result<(), LearnerError> {
        self.trainer.settle()
    }

    fn state(&mut self) -> Result<&State, LearnerError> {
        self.trainer.state()
    }

    fn learned(&mut self) -> Result<Vec<(String, Tensor)>, LearnerError> {
        let averaged = self.pace.training.averaged(self.steps());
        let state = self.trainer.state()?;
        let slot = |(name, tensor): (&str, &Tensor)| {
            let mean = state.get(&Training::averaged_slot(name)).filter(|_| averaged);
            (name.to_owned(), mean.unwrap_or(tensor).clone())
        };
        Ok(state.iter().map(slot).collect())
    }

    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        self.trainer.restore(saved)?;
        self.fresh = false;
        Ok(())
    }

    fn describe(&self) -> Description {
        Description {
            plan: self.plan.clone(),
            // It was built before without an error.
            ledger: self.ledger().unwrap_or_default(),
            ..self.trainer.describe()
        }
    }
}
