//! A learner without gradients: the supervised Hebbian rule, normalized as Oja
//! does.
//!
//! Units that are active together are wired together: with the outputs held at
//! their targets t, the weights grow by t xᵀ. Oja's term keeps them bounded
//! ("A Simplified Neuron Model as a Principal Component Analyzer", 1982,
//! equation 3): Δw = η t (x - t w), so that a row of weights tends to the mean
//! of the images in which its unit was active. No loss, no chain of derivatives.

use crate::batch::{Batches, SpeckBatch};
use crate::predictor::{Predictor, Readout};
use crate::rows::Rows;
use crate::trainer::{Stepper, Trainer};
use crate::{
    BATCH, Description, Learner, LearnerEntry, LearnerError, PATIENCE, STEPS, Setup, declare_step,
    screen,
};
use speck_engine::{Graph, Options, Program, State, StepTiming, Tensor};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Builder, Dimension, Linear, Mode, Model, SettingError, Settings};

pub(crate) const ENTRY: LearnerEntry = LearnerEntry {
    name: "hebbian",
    summary: "supervised Hebbian rule with Oja's normalization, on the linear model",
    dimensions: &[
        STEPS,
        BATCH,
        PATIENCE,
        Dimension {
            name: "rate",
            doc: "plasticity: the share of its own image that an active unit takes over a sample",
            kind: Kind::Float { min: 0.0, max: 1.0 },
            default: DefaultValue::Float(0.02),
        },
    ],
    models: &["linear"],
    make: |settings, setup| Ok(Box::new(Hebbian::new(settings, setup)?)),
};

struct Hebbian {
    trainer: Trainer,
    rate: f64,
}

impl Hebbian {
    fn new(settings: &Settings, setup: Setup) -> Result<Self, LearnerError> {
        // The product of targets and pixels has no rule: its own program is dense.
        let Setup { model, shape, seed, kernels, float, mode } = setup;
        if model.name() != Linear.name() {
            let message = format!(
                "the hebbian learner changes one layer of weights: it learns the model `{}`, not `{}`",
                Linear.name(),
                model.name()
            );
            return Err(SettingError::new("model", message).into());
        }
        let rate = settings.float("rate");
        let graph = Graph::new(float);
        let screen = screen::declare(&graph, shape)?;
        let step = declare_step(&graph)?;
        let builder = Builder::new(&graph, Mode::Evaluation);
        let outputs = model.append(&builder, screen.image)?;
        let error = graph.mean_squared_error(outputs, screen.targets)?;
        graph.output("loss", error)?;
        let parameters = builder.parameters();
        let weight = parameters[0].1;
        graph.scoped("hebbian", |g| {
            // Δw = η Σ t xᵀ - η (Σ t²) w, the sums over the batch. The decay is
            // taken as (1 - η)^Σt² rather than 1 - η Σ t²: the sum of that
            // many single steps to first order, and never negative.
            let pixels = g.flatten_from(screen.image, 1)?;
            let together = g.matmul_with(screen.targets, pixels, true, false)?;
            let growth = g.scale(together, rate)?;
            let squares = g.square(screen.targets)?;
            let activity = g.sum(squares, &[0])?;
            let exponent = g.scale(activity, (1.0 - rate).max(1e-30).ln())?;
            let kept = g.exp(exponent)?;
            let kept = g.reshape(kept, &[speck_models::OUTPUTS, 1])?;
            let decayed = g.mul(weight, kept)?;
            g.update(weight, g.add(decayed, growth)?)?;
            g.update(step, g.increment(step)?)
        })?;
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        let program = Program::compile(&graph, &options)?;
        let mut state = State::initialise(&graph, seed);
        // Before anything was seen, nothing is wired.
        for (name, node) in &parameters {
            state.set(name, Tensor::zeros(&graph.ty(*node)))?;
        }
        Ok(Hebbian {
            trainer: Trainer {
                steppers: vec![Stepper { program, clocks: Vec::new() }],
                rows: Rows::new(Vec::new(), kernels.clone(), float),
                predictor: Predictor::new(model, Readout::Share, kernels, float, mode),
                state,
                made: 0,
                batch: SpeckBatch::new(shape),
                parameters: graph.ty(weight).elements(),
            },
            rate,
        })
    }
}

impl Learner for Hebbian {
    fn learn(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        self.trainer.learn(data, steps, &())
    }

    fn profile(&mut self, data: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError> {
        self.trainer.profile(data, &())
    }

    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        self.trainer.predict(batch, brightness)
    }

    fn settle(&mut self) -> Result<(), LearnerError> {
        self.trainer.settle()
    }

    fn state(&mut self) -> Result<&State, LearnerError> {
        self.trainer.state()
    }

    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        self.trainer.restore(saved)
    }

    fn describe(&self) -> Description {
        self.trainer.describe()
    }
}
