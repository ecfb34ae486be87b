//! Gradient descent: a step is one program that renders the batch, runs the
//! model, takes the loss, its gradient, and the optimizer's update.

mod losses;
pub mod optimizers;
pub mod schedules;

use crate::batch::{BatchShape, Batches, SpeckBatch};
use crate::predictor::Predictor;
use crate::{
    BATCH, Description, Learner, LearnerEntry, LearnerError, PATIENCE, SEED, STEP, STEPS, Setup,
    restore, screen,
};
use losses::Loss;
use optimizers::Update;
use schedules::Schedule;
use speck_engine::{DType, Graph, Initial, Options, Program, State, Tensor, TensorType};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Builder, Dimension, Mode, Settings};

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
    make: |settings, setup| Ok(Box::new(Gradient::new(settings, setup)?)),
};

struct Gradient {
    program: Program,
    predictor: Predictor,
    state: State,
    schedule: Box<dyn Schedule>,
    rate: f64,
    total: u64,
    batch: SpeckBatch,
    parameters: usize,
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
        let outputs = model.build(&builder, screen.image)?;
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

        let mut state = State::initialise(&graph, seed);
        let words = vec![seed as u32 as i32, (seed >> 32) as u32 as i32];
        state.set(SEED, Tensor::from_i32(&[2], words))?;
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        let schedule = schedules::find(settings.text("schedule")).map(|entry| entry.make);
        Ok(Gradient {
            program: Program::compile(&graph, &options)?,
            predictor: Predictor::new(model, loss.readout(), kernels),
            state,
            schedule: schedule.unwrap_or(schedules::ALL[0].make)(settings),
            rate: settings.float("rate"),
            total: settings.usize("steps") as u64,
            batch: SpeckBatch::new(shape),
            parameters: nodes.iter().map(|node| graph.ty(*node).elements()).sum(),
        })
    }
}

/// The step counter of a state.
pub(crate) fn steps(state: &State) -> u64 {
    let counter = state.get(STEP).and_then(|tensor| tensor.values::<i32>());
    counter.map_or(0, |values| u64::from(values[0] as u32))
}

/// Whether a source of batches fits the program of a learner.
pub(crate) fn check_shape(data: &dyn Batches, made_for: BatchShape) -> Result<(), LearnerError> {
    if data.shape() == made_for {
        return Ok(());
    }
    let message = format!("batches are {:?}, the learner is made for {made_for:?}", data.shape());
    Err(speck_models::SettingError::new("data", message).into())
}

impl Learner for Gradient {
    fn learn(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        check_shape(data, self.batch.shape)?;
        let mut sum = 0.0;
        for _ in 0..steps {
            data.fill(self.steps(), &mut self.batch);
            screen::feed(&mut self.program, &self.batch)?;
            let rate = self.rate() as f32;
            self.program.input_mut::<f32>("rate")?[0] = rate;
            self.program.run(&mut self.state)?;
            sum += f64::from(self.program.values::<f32>("loss")?[0]);
        }
        Ok(sum / steps as f64)
    }

    fn steps(&self) -> u64 {
        steps(&self.state)
    }

    fn rate(&self) -> f64 {
        self.rate * self.schedule.factor(self.steps(), self.total)
    }

    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        self.predictor.predict(&mut self.state, batch, brightness)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        Ok(restore(&mut self.state, saved)?)
    }

    fn describe(&self) -> Description {
        Description {
            parameters: self.parameters,
            step: self.program.cost(),
            program: self.program.to_string(),
        }
    }
}
