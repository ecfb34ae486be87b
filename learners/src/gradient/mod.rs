//! Gradient descent: a step is one program that renders the batch, runs the
//! model, takes the loss, its gradient, and the optimizer's update.

pub mod losses;
pub mod optimizers;
pub mod schedules;
mod step;

pub use step::Step;

use crate::batch::{BatchShape, Batches, SpeckBatch};
use crate::predictor::Predictor;
use crate::rows::Rows;
use crate::trainer::Trainer;
use crate::{
    BATCH, Description, Learner, LearnerEntry, LearnerError, PATIENCE, SEED, STEPS, Setup, port,
};
use schedules::Schedule;
use speck_engine::kernels::Choice;
use speck_engine::structure::{self, Ledger, Mode};
use speck_engine::{DType, Graph, Options, Program, RunError, State, StepTiming, Tensor};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Dimension, Model, Settings};
use std::sync::Arc;

pub(crate) const ENTRY: LearnerEntry = LearnerEntry {
    name: "gradient",
    summary: "gradient descent on a loss, by reverse-mode differentiation",
    dimensions: &[
        STEPS,
        BATCH,
        PATIENCE,
        Dimension {
            name: "optimizer",
            doc: "how a gradient becomes an update",
            kind: Kind::Choice(optimizers::NAMES),
            default: DefaultValue::Text("adam"),
        },
        Dimension {
            name: "rate",
            doc: "learning rate",
            kind: Kind::Float { min: 0.0, max: 1e6 },
            default: DefaultValue::Float(0.003),
        },
        Dimension {
            name: "momentum",
            doc: "share of the last update that is kept (optimizer momentum)",
            kind: Kind::Float { min: 0.0, max: 0.9999 },
            default: DefaultValue::Float(0.9),
        },
        Dimension {
            name: "beta1",
            doc: "decay of the mean gradient (optimizers adam, adamw, lion)",
            kind: Kind::Float { min: 0.0, max: 0.9999 },
            default: DefaultValue::Float(0.9),
        },
        Dimension {
            name: "beta2",
            doc: "decay of the mean squared gradient (optimizers adam, adamw; lion: of the mean gradient that is kept)",
            kind: Kind::Float { min: 0.0, max: 0.999_999 },
            default: DefaultValue::Float(0.999),
        },
        Dimension {
            name: "epsilon",
            doc: "added to the root of the mean squared gradient (optimizers adam, adamw, rmsprop)",
            kind: Kind::Float { min: 1e-12, max: 1.0 },
            default: DefaultValue::Float(1e-8),
        },
        Dimension {
            name: "alpha",
            doc: "decay of the mean squared gradient (optimizer rmsprop)",
            kind: Kind::Float { min: 0.0, max: 0.999_999 },
            default: DefaultValue::Float(0.99),
        },
        Dimension {
            name: "weight_decay",
            doc: "share of a weight taken away in a step, times the rate (optimizers adamw, lion)",
            kind: Kind::Float { min: 0.0, max: 1e6 },
            default: DefaultValue::Float(0.01),
        },
        Dimension {
            name: "l2",
            doc: "share of a weight added to its gradient (optimizers sgd, momentum, adam, rmsprop; adam and rmsprop then update all rows in every step: see rows)",
            kind: Kind::Float { min: 0.0, max: 1e6 },
            default: DefaultValue::Float(0.0),
        },
        Dimension {
            name: "schedule",
            doc: "how the rate changes over the steps",
            kind: Kind::Choice(schedules::NAMES),
            default: DefaultValue::Text("constant"),
        },
        Dimension {
            name: "final_rate",
            doc: "rate at the last step, as a share of the first (schedule cosine)",
            kind: Kind::Float { min: 0.0, max: 1.0 },
            default: DefaultValue::Float(0.0),
        },
        Dimension {
            name: "rows",
            doc: "what becomes of weights without a gradient where a layer is updated by rows: all rows in every step, brought up to date when next read (the same numbers to rounding), or left as they are",
            kind: Kind::Choice(&["exact", "dense", "masked"]),
            default: DefaultValue::Text("exact"),
        },
        Dimension {
            name: "loss",
            doc: "softmax cross-entropy of each axis, binary cross-entropy, squared error, or squared distance of the coordinates",
            kind: Kind::Choice(losses::NAMES),
            default: DefaultValue::Text("cross-entropy"),
        },
        Dimension {
            name: "heat_regularizer",
            doc: "what draws the softmax of each axis together: its variance, or a divergence from a Gaussian around the target (loss coordinate)",
            kind: Kind::Choice(losses::REGULARIZERS),
            default: DefaultValue::Text("none"),
        },
        Dimension {
            name: "heat_weight",
            doc: "what the heat regularizer is multiplied by (loss coordinate)",
            kind: Kind::Float { min: 0.0, max: 1e6 },
            default: DefaultValue::Float(1.0),
        },
        Dimension {
            name: "heat_deviation",
            doc: "standard deviation in pixels that the heat regularizer wants (loss coordinate)",
            kind: Kind::Float { min: 0.01, max: 64.0 },
            default: DefaultValue::Float(1.0),
        },
    ],
    models: &[],
    make: |settings, setup| Ok(Box::new(Gradient::new(settings, setup)?)),
};

struct Gradient {
    trainer: Trainer,
    schedule: Arc<dyn Schedule>,
    rate: f64,
    total: u64,
    plan: structure::Plan,
    /// The step, and what it was made of.
    graph: Graph,
    settings: Settings,
    model: Arc<dyn Model>,
    shape: BatchShape,
    float: DType,
    kernels: Choice,
}

impl Gradient {
    fn new(settings: &Settings, setup: Setup) -> Result<Self, LearnerError> {
        let Setup { model, shape, seed, kernels, float, mode } = setup;
        let step = Step::training(settings, &*model, shape, float, mode)?;
        let Step { graph, parameters, rows, plan, .. } = step;
        let loss = losses::find(settings.text("loss")).unwrap_or(&losses::ALL[0]);
        // The program first: it says whether all this fits into memory.
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        let program = Program::compile(&graph, &options)?;
        let mut state = State::initialise(&graph, seed);
        let words = vec![seed as u32 as i32, (seed >> 32) as u32 as i32];
        state.set(SEED, Tensor::from_i32(&[2], words))?;
        let schedule = schedules::find(settings.text("schedule")).map(|entry| entry.make);
        Ok(Gradient {
            trainer: Trainer {
                program,
                rows: Rows::new(rows, kernels.clone(), float),
                predictor: Predictor::new(
                    model.clone(),
                    loss.readout,
                    kernels.clone(),
                    float,
                    mode,
                ),
                state,
                batch: SpeckBatch::new(shape),
                parameters: parameters.iter().map(|(_, node)| graph.ty(*node).elements()).sum(),
            },
            schedule: schedule.unwrap_or(schedules::ALL[0].make)(settings).into(),
            rate: settings.float("rate"),
            total: settings.usize("steps") as u64,
            plan,
            graph,
            settings: settings.clone(),
            model,
            shape,
            float,
            kernels,
        })
    }
}

impl Gradient {
    /// The work of a step against that of the dense one.
    fn ledger(&self) -> Result<Ledger, LearnerError> {
        if !self.plan.structured {
            return Ok(Ledger::new(&self.graph, &self.graph, &self.kernels)?);
        }
        let Gradient { settings, model, shape, float, .. } = self;
        let dense = Step::training(settings, &**model, *shape, *float, Mode::Dense)?;
        Ok(Ledger::new(&dense.graph, &self.graph, &self.kernels)?)
    }

    /// Sets the rate of a step.
    fn prepare(&self) -> impl Fn(&mut Program, u64) -> Result<(), RunError> + use<> {
        let (rate, total, schedule) = (self.rate, self.total, self.schedule.clone());
        move |program, step| {
            port::write_number(program, "rate", rate * schedule.factor(step, total))
        }
    }
}

impl Learner for Gradient {
    fn learn(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        let prepare = self.prepare();
        self.trainer.learn(data, steps, prepare)
    }

    fn profile(&mut self, data: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError> {
        let prepare = self.prepare();
        self.trainer.profile(data, prepare)
    }

    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn rate(&self) -> f64 {
        self.rate * self.schedule.factor(self.steps(), self.total)
    }

    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        self.trainer.predict(batch, brightness)
    }

    fn state(&mut self) -> Result<&State, LearnerError> {
        self.trainer.state()
    }

    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        self.trainer.restore(saved)
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
