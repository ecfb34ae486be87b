//! What all learners share whose step is one program.

use crate::batch::{Batches, SpeckBatch};
use crate::predictor::Predictor;
use crate::rows::Rows;
use crate::{Description, LearnerError, STEP, port, screen};
use speck_engine::{Program, RunError, State, StateError, StepTiming, Tensor, structure};
use speck_models::SettingError;

/// A program that makes one step, the state it works on, and the predictor
/// that reads the same state. The program has the inputs of a screen and an
/// output `loss`, and counts its steps in the slot [`STEP`].
pub(crate) struct Trainer {
    pub program: Program,
    pub predictor: Predictor,
    pub state: State,
    /// Parameters that the steps hold in rows.
    pub rows: Rows,
    pub batch: SpeckBatch,
    /// Values that are learned.
    pub parameters: usize,
}

impl Trainer {
    /// The steps made so far.
    pub fn steps(&self) -> u64 {
        let counter = self.state.get(STEP).and_then(|tensor| tensor.values::<i32>());
        counter.map_or(0, |values| u64::from(values[0] as u32))
    }

    /// The state as others know it.
    pub fn state(&mut self) -> Result<&State, LearnerError> {
        self.rows.settle(&mut self.state)?;
        Ok(&self.state)
    }

    /// Makes `steps` steps; `prepare` sets what else the program needs, given
    /// the number of the step. Returns the mean loss.
    pub fn learn(
        &mut self,
        data: &dyn Batches,
        steps: u64,
        prepare: impl Fn(&mut Program, u64) -> Result<(), RunError>,
    ) -> Result<f64, LearnerError> {
        let mut sum = 0.0;
        for _ in 0..steps {
            self.feed(data, &prepare)?;
            self.program.run(&mut self.state)?;
            sum += port::read_number(&self.program, "loss")?;
        }
        Ok(sum / steps as f64)
    }

    /// Makes one step and times every kernel call in it.
    pub fn profile(
        &mut self,
        data: &dyn Batches,
        prepare: impl Fn(&mut Program, u64) -> Result<(), RunError>,
    ) -> Result<Vec<StepTiming>, LearnerError> {
        self.feed(data, &prepare)?;
        Ok(self.program.run_timed(&mut self.state)?)
    }

    fn feed(
        &mut self,
        data: &dyn Batches,
        prepare: &impl Fn(&mut Program, u64) -> Result<(), RunError>,
    ) -> Result<(), LearnerError> {
        if data.shape() != self.batch.shape {
            let message = format!(
                "batches are {:?}, the learner is made for {:?}",
                data.shape(),
                self.batch.shape
            );
            return Err(SettingError::new("data", message).into());
        }
        self.rows.hold(&mut self.state)?;
        let step = self.steps();
        data.fill(step, &mut self.batch);
        screen::feed(&mut self.program, &self.batch)?;
        Ok(prepare(&mut self.program, step)?)
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
        for (name, _) in self.state.iter() {
            if !saved.iter().any(|(saved, _)| saved == name) {
                return Err(StateError::Missing(name.to_owned()).into());
            }
        }
        for (name, tensor) in &saved {
            let slot = self.state.get(name).ok_or_else(|| StateError::Missing(name.clone()))?;
            if slot.ty() != tensor.ty() {
                return Err(StateError::Type {
                    name: name.clone(),
                    found: slot.ty().to_string(),
                    wanted: tensor.ty().to_string(),
                }
                .into());
            }
        }
        saved.into_iter().try_for_each(|(name, tensor)| self.state.set(&name, tensor))?;
        self.rows.forget();
        Ok(())
    }

    pub fn describe(&self) -> Description {
        Description {
            parameters: self.parameters,
            step: self.program.cost(),
            program: self.program.to_string(),
            plan: structure::Plan::default(),
            ledger: structure::Ledger::default(),
        }
    }
}
