//! Gradient descent: a step is one program that renders the batch, runs the
//! model, takes the loss, its gradient, and the optimizer's update.

mod losses;
pub mod optimizers;
pub mod schedules;

use crate::batch::{Batches, SpeckBatch};
use crate::predictor::Predictor;
use crate::trainer::Trainer;
use crate::{
    BATCH, Description, Learner, LearnerEntry, LearnerError, PATIENCE, SEED, STEP, STEPS, Setup,
    screen,
};
use losses::Loss;
use optimizers::Update;
use schedules::Schedule;
use speck_engine::{
    DType, Graph, Initial, Options, Program, RunError, State, StepTiming, Tensor, TensorType,
};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Builder, Dimension, Mode, Settings};
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
            doc: "decay of the mean gradient (optimizer adam)",
            kind: Kind::Float { min: 0.0, max: 0.9999 },
            default: DefaultValue::Float(0.9),
        },
        Dimension {
            name: "beta2",
            doc: "decay of the mean squared gradient (optimizer adam)",
            kind: Kind::Float { min: 0.0, max: 0.999_999 },
            default: DefaultValue::Float(0.999),
        },
        Dimension {
            name: "epsilon",
            doc: "added to the root of the mean squared gradient (optimizer adam)",
            kind: Kind::Float { min: 1e-12, max: 1.0 },
            default: DefaultValue::Float(1e-8),
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
            name: "loss",
            doc: "softmax cross-entropy of each axis, binary cross-entropy, or squared error",
            kind: Kind::Choice(Loss::NAMES),
            default: DefaultValue::Text("cross-entropy"),
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
}

impl Gradient {
    fn new(settings: &Settings, setup: Setup) -> Result<Self, LearnerError> {
        let Setup { model, shape, seed, kernels } = setup;
        let loss = Loss::named(settings.text("loss"));
        let graph = Graph::new(DType::F32);
        let screen = screen::declare(&graph, shape)?;
        let words = TensorType::new(DType::I32, &[2]);
        let counter = TensorType::new(DType::I32, &[]);
        let seed_node = graph.state_of(SEED, &words, Initial::Constant(0.0))?;
        let step = graph.state_of(STEP, &counter, Initial::Constant(0.0))?;
        let mode = Mode::Training { seed: seed_node, step };
        let builder = Builder::new(&graph, mode);
        let outputs = model.append(&builder, screen.image)?;
        let value = graph.scoped("loss", |g| loss.build(g, outputs, screen.targets))?;
        graph.output("loss", value)?;

        let parameters = builder.parameters();
        let nodes: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
        let gradients = graph.gradient(value, &nodes)?;
        let optimizer = optimizers::find(settings.text("optimizer")).map(|entry| entry.make);
        let optimizer = optimizer.unwrap_or(optimizers::ALL[0].make)(settings);
        graph.scoped("optimizer", |g| {
            let rate = g.input("rate", DType::F32, &[])?;
            let next = g.increment(step)?;
            let count = g.cast(next)?;
            let update = Update { graph: g, rate, count };
            optimizer.build(&update, &parameters, &gradients)?;
            g.update(step, next)
        })?;

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
                predictor: Predictor::new(model, loss.readout(), kernels),
                state,
                batch: SpeckBatch::new(shape),
                parameters: nodes.iter().map(|node| graph.ty(*node).elements()).sum(),
            },
            schedule: schedule.unwrap_or(schedules::ALL[0].make)(settings).into(),
            rate: settings.float("rate"),
            total: settings.usize("steps") as u64,
        })
    }
}

impl Gradient {
    /// Sets the rate of a step.
    fn prepare(&self) -> impl Fn(&mut Program, u64) -> Result<(), RunError> + use<> {
        let (rate, total, schedule) = (self.rate, self.total, self.schedule.clone());
        move |program, step| {
            program.input_mut::<f32>("rate")?[0] = (rate * schedule.factor(step, total)) as f32;
            Ok(())
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

    fn state(&self) -> &State {
        &self.trainer.state
    }

    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        self.trainer.restore(saved)
    }

    fn describe(&self) -> Description {
        self.trainer.describe()
    }
}
