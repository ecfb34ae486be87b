//! What all learners share whose step is one program.

use crate::batch::{Batches, SpeckBatch};
use crate::gradient::Clock;
use crate::predictor::Predictor;
use crate::rows::Rows;
use crate::{Description, LearnerError, STEP, port, screen};
use speck_engine::{Program, RunError, State, StateError, StepTiming, Tensor, structure};
use speck_models::SettingError;

/// A program that makes a step: it has the inputs of a screen and an output
/// `loss`, and counts its steps in the slot [`STEP`].
pub(crate) struct Stepper {
    pub program: Program,
    /// Inputs that depend on the step alone.
    pub clocks: Vec<Clock>,
}

/// What steers a trainer.
pub(crate) trait Pace {
    /// Which of the programs makes a step.
    fn choose(&self, step: u64) -> usize {
        let _ = step;
        0
    }

    /// Sets what else the program needs.
    fn prepare(&self, program: &mut Program, state: &State, step: u64) -> Result<(), RunError> {
        let _ = (program, state, step);
        Ok(())
    }

    /// Whether the next step depends on what [`Pace::observe`] is told of this one.
    fn watches(&self) -> bool {
        false
    }

    /// Takes note of the loss of a step.
    fn observe(&self, state: &mut State, step: u64, loss: f64) {
        let _ = (state, step, loss);
    }
}

/// The pace of a learner that needs no steering.
impl Pace for () {}

/// Programs that make steps, the state they work on, and the predictor that
/// reads the same state.
pub(crate) struct Trainer {
    /// One at least.
    pub steppers: Vec<Stepper>,
    pub predictor: Predictor,
    pub state: State,
    /// Parameters that the steps hold in rows.
    pub rows: Rows,
    pub batch: SpeckBatch,
    /// Values that are learned.
    pub parameters: usize,
    /// The steps made so far, as the slot [`STEP`] counts them: that may be on a GPU,
    /// and to ask for it would be to wait.
    pub made: u64,
}

impl Trainer {
    /// The steps made so far.
    pub fn steps(&self) -> u64 {
        self.made
    }

    /// Makes the state what others know.
    pub fn settle(&mut self) -> Result<(), LearnerError> {
        self.rows.settle(&mut self.state)
    }

    /// The state as others know it, all of it on the host.
    pub fn state(&mut self) -> Result<&State, LearnerError> {
        self.settle()?;
        self.state.fetch().map_err(RunError::from)?;
        Ok(&self.state)
    }

    /// Makes `steps` steps. Returns the mean loss.
    pub fn learn(
        &mut self,
        data: &dyn Batches,
        steps: u64,
        pace: &dyn Pace,
    ) -> Result<f64, LearnerError> {
        let (mut sum, mut done) = (0.0, 0);
        while done < steps {
            let (first, chosen) = self.feed(data, pace)?;
            let mut made = 0;
            // A device goes on from step to step until somebody looks at a loss.
            loop {
                let program = &mut self.steppers[chosen].program;
                program.run(&mut self.state)?;
                (self.made, made) = (self.made + 1, made + 1);
                let most = if pace.watches() { 1 } else { program.kept() as u64 };
                if made == most.min(steps - done) || pace.choose(self.made) != chosen {
                    break;
                }
                self.feed(data, pace)?;
            }
            for step in 0..made {
                let program = &self.steppers[chosen].program;
                let loss = port::read_earlier(program, "loss", (made - 1 - step) as usize)?;
                pace.observe(&mut self.state, first + step, loss);
                sum += loss;
            }
            done += made;
        }
        Ok(sum / steps as f64)
    }

    /// Makes one step and times every kernel call in it.
    pub fn profile(
        &mut self,
        data: &dyn Batches,
        pace: &dyn Pace,
    ) -> Result<Vec<StepTiming>, LearnerError> {
        let (_, chosen) = self.feed(data, pace)?;
        let timings = self.steppers[chosen].program.run_timed(&mut self.state)?;
        self.made += 1;
        Ok(timings)
    }

    /// Makes the next step's batch; returns the step.
    pub fn fill(&mut self, data: &dyn Batches) -> Result<u64, LearnerError> {
        self.fits(data)?;
        self.rows.hold(&mut self.state)?;
        let step = self.steps();
        data.fill(step, &mut self.batch);
        Ok(step)
    }

    /// Whether batches are of the shape that the programs are made for.
    pub fn fits(&self, data: &dyn Batches) -> Result<(), LearnerError> {
        if data.shape() != self.batch.shape {
            let message = format!(
                "batches are {:?}, the learner is made for {:?}",
                data.shape(),
                self.batch.shape
            );
            return Err(SettingError::new("data", message).into());
        }
        Ok(())
    }

    /// Counts a step that was made otherwise.
    pub fn count(&mut self) {
        let counter = self.state.get_mut(STEP).and_then(|slot| slot.values_mut::<i32>());
        if let Some([count]) = counter {
            *count = count.wrapping_add(1);
        }
        self.made += 1;
    }

    /// Makes the next step's program ready; returns the step and the program.
    fn feed(&mut self, data: &dyn Batches, pace: &dyn Pace) -> Result<(u64, usize), LearnerError> {
        let step = self.fill(data)?;
        let chosen = pace.choose(step);
        let Stepper { program, clocks } = &mut self.steppers[chosen];
        screen::feed(program, &self.batch)?;
        for clock in clocks {
            port::write_number(program, &clock.input, (clock.value)(step))?;
        }
        pace.prepare(program, &self.state, step)?;
        Ok((step, chosen))
    }

    pub fn predict(
        &mut self,
        batch: &SpeckBatch,
        brightness: &mut [f32],
    ) -> Result<(), LearnerError> {
        self.rows.settle(&mut self.state)?;
        self.predictor.predict(&mut self.state, batch, brightness)
    }

    /// Puts saved tensors into the state: all of its slots, nothing else. Where
    /// they do not fit, the state stays as it is.
    pub fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        for name in self.state.names() {
            if !saved.iter().any(|(saved, _)| saved == name) {
                return Err(StateError::Missing(name.to_owned()).into());
            }
        }
        for (name, tensor) in &saved {
            let ty = self.state.ty(name).ok_or_else(|| StateError::Missing(name.clone()))?;
            if ty != tensor.ty() {
                return Err(StateError::Type {
                    name: name.clone(),
                    found: ty.to_string(),
                    wanted: tensor.ty().to_string(),
                }
                .into());
            }
        }
        saved.into_iter().try_for_each(|(name, tensor)| self.state.set(&name, tensor))?;
        self.rows.forget();
        let counter = self.state.get(STEP).and_then(|tensor| tensor.values::<i32>());
        self.made = counter.map_or(0, |values| u64::from(values[0] as u32));
        Ok(())
    }

    pub fn describe(&self) -> Description {
        Description {
            parameters: self.parameters,
            step: self.steppers[0].program.cost(),
            program: self.steppers[0].program.to_string(),
            plan: structure::Plan::default(),
            ledger: structure::Ledger::default(),
        }
    }
}
