//! A learner that goes through the stretches of a regimen.
//!
//! To the runner it is one learner with one count of steps: what is measured and
//! when a checkpoint is written does not depend on where a stretch begins. Its
//! state is that of the stretch it is in and the count; from the count follows
//! which stretch that is, so a restored course goes on to the same bits. Between
//! two stretches the next one's learner is made anew and inherits.

use super::evaluate::seed_for;
use super::setup::learner;
use super::training;
use crate::RunError;
use crate::config::RunConfig;
use crate::data::{Background, Source};
use crate::regimens::{self, Start, Stretch};
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{State, StateError, StepTiming, Tensor};
use speck_learners::{
    BatchShape, Batches, Description, Inheritance, Learner, LearnerError, SpeckBatch,
};
use speck_models::SettingError;

/// The slot that counts the steps of all stretches: i32 [].
const COUNT: &str = "learner/course";

/// How programs are made; see [`super::RunOptions`].
#[derive(Clone)]
pub(crate) struct Making {
    pub kernels: Choice,
    pub mode: Mode,
}

/// The learner of a run as its regimen wants it, for batches of `shape`. With a seed
/// for `bootstrap`, one that is trained by another regimen than the plain one draws its
/// positions anew, with replacement; the plain one learns from the batches it is given.
///
/// # Errors
/// As [`super::learner`].
pub(crate) fn pupil(
    run: &RunConfig,
    shape: BatchShape,
    making: &Making,
    bootstrap: Option<u64>,
) -> Result<Box<dyn Learner>, RunError> {
    if run.regimen.0 == regimens::DEFAULT {
        return learner(run, &run.learner.1, shape, &making.kernels, making.mode);
    }
    Ok(Box::new(Course::resampled(run, making, bootstrap)?))
}

pub(super) struct Course {
    run: RunConfig,
    making: Making,
    bootstrap: Option<u64>,
    stretches: Vec<Stretch>,
    /// The stretch that the learner is in.
    current: usize,
    learner: Box<dyn Learner>,
    lessons: Lessons,
    /// Steps of all stretches.
    steps: u64,
    /// The learner's state and the count, as last asked for.
    state: State,
}

/// Batches of one task, or of several that a source draws one after the other.
struct Lessons {
    /// Of the samples of a task.
    source: Source,
    tasks: usize,
    /// Whether each sample has its own background.
    own: bool,
}

impl Lessons {
    fn new(run: &RunConfig, stretch: &Stretch, bootstrap: Option<u64>) -> Result<Self, RunError> {
        let tasks = stretch.tasks.max(1);
        let samples = stretch.learner.usize("batch") / tasks;
        let mut source = training::source(&stretch.data, samples, run.seed, super::job::TRAIN)?;
        if let Some(seed) = bootstrap {
            source = source.resampled(seed);
        }
        // A background of the batch is one of the task, so each sample has its own.
        let own = tasks > 1 && !matches!(source.data().background, Background::Fixed(_));
        Ok(Lessons { source: source.padded(1, own), tasks, own })
    }
}

impl Batches for Lessons {
    fn shape(&self) -> BatchShape {
        let shape = self.source.shape();
        BatchShape {
            samples: shape.samples * self.tasks,
            backgrounds: shape.backgrounds * if self.own { self.tasks } else { 1 },
            ..shape
        }
    }

    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        if self.tasks == 1 {
            return self.source.fill(step, batch);
        }
        let mut part = SpeckBatch::new(self.source.shape());
        batch.clear();
        let count = self.tasks as u64;
        for task in 0..self.tasks {
            self.source.fill(step.wrapping_mul(count).wrapping_add(task as u64), &mut part);
            let into = |all: usize| all * task..all * (task + 1);
            batch.positions[into(part.positions.len())].copy_from_slice(&part.positions);
            batch.colours[into(part.colours.len())].copy_from_slice(&part.colours);
            // One for all is the same for all tasks.
            let place =
                if self.own { into(part.background.len()) } else { 0..part.background.len() };
            batch.background[place].copy_from_slice(&part.background);
        }
    }
}

/// Batches from a later step on.
struct Later<'a> {
    source: &'a Lessons,
    offset: u64,
}

impl Batches for Later<'_> {
    fn shape(&self) -> BatchShape {
        self.source.shape()
    }

    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        self.source.fill(step.wrapping_add(self.offset), batch);
    }
}

impl Course {
    #[cfg(test)]
    fn new(run: &RunConfig, making: &Making) -> Result<Self, RunError> {
        Course::resampled(run, making, None)
    }

    fn resampled(
        run: &RunConfig,
        making: &Making,
        bootstrap: Option<u64>,
    ) -> Result<Self, RunError> {
        let stretches = regimens::stretches(run)?;
        let (learner, lessons) = made(run, making, bootstrap, &stretches, 0)?;
        Ok(Course {
            run: run.clone(),
            making: making.clone(),
            bootstrap,
            stretches,
            current: 0,
            learner,
            lessons,
            steps: 0,
            state: State::default(),
        })
    }

    /// Makes the learner of every stretch that is not like one before it.
    pub fn check(run: &RunConfig, making: &Making) -> Result<(), RunError> {
        let stretches = regimens::stretches(run)?;
        for (index, stretch) in stretches.iter().enumerate() {
            let alike = |other: &Stretch| {
                (&other.learner, &other.data) == (&stretch.learner, &stretch.data)
            };
            if !stretches[..index].iter().any(alike) {
                made(run, making, None, &stretches, index)?;
            }
        }
        Ok(())
    }

    /// The step at which a stretch begins.
    fn beginning(&self, index: usize) -> u64 {
        self.stretches[..index].iter().map(|stretch| stretch.steps).sum()
    }

    /// Goes on to the next stretch where this one is over.
    fn proceed(&mut self) -> Result<(), RunError> {
        while self.current + 1 < self.stretches.len()
            && self.steps >= self.beginning(self.current + 1)
        {
            let next = self.current + 1;
            let before: Vec<_> = slots(self.learner.state()?);
            let (mut learner, lessons) = self.made(next)?;
            match &self.stretches[next].start {
                Start::Everything => learner.inherit(&Inheritance {
                    from: &before,
                    keeps: &|_| true,
                    private: true,
                })?,
                Start::Weights { renewed } => {
                    // What is not taken over begins as in a new network.
                    if !renewed.is_empty() {
                        learner.begin(&lessons)?;
                    }
                    let layers = regimens::layers(&self.run)?;
                    let new = layers.iter().filter(|layer| renewed.contains(&layer.name));
                    let new: Vec<_> = new.flat_map(|layer| &layer.slots).collect();
                    learner.inherit(&Inheritance {
                        from: &before,
                        keeps: &|name| !new.iter().any(|slot| *slot == name),
                        private: false,
                    })?;
                }
            }
            (self.learner, self.lessons, self.current) = (learner, lessons, next);
        }
        Ok(())
    }

    fn made(&self, index: usize) -> Result<(Box<dyn Learner>, Lessons), RunError> {
        made(&self.run, &self.making, self.bootstrap, &self.stretches, index)
    }

    /// What to add to the learner's own count of steps.
    fn offset(&self) -> u64 {
        self.steps.wrapping_sub(self.learner.steps())
    }

    /// Steps up to the end of the stretch.
    fn left(&self) -> u64 {
        let end = self.beginning(self.current) + self.stretches[self.current].steps;
        // After the last one it goes on as it is.
        if self.current + 1 < self.stretches.len() { end - self.steps } else { u64::MAX }
    }
}

/// The learner of a stretch and its data. New weights and what is random in the
/// steps are others in each stretch; the first one has those of the run.
fn made(
    run: &RunConfig,
    making: &Making,
    bootstrap: Option<u64>,
    stretches: &[Stretch],
    index: usize,
) -> Result<(Box<dyn Learner>, Lessons), RunError> {
    let stretch = &stretches[index];
    let lessons = Lessons::new(run, stretch, bootstrap)?;
    let seed = match index {
        0 => run.seed,
        _ => seed_for(run.seed, &format!("stretch {index}")),
    };
    let run = RunConfig { seed, ..run.clone() };
    let Making { kernels, mode } = making;
    let learner = learner(&run, &stretch.learner, lessons.shape(), kernels, *mode)?;
    Ok((learner, lessons))
}

fn slots(state: &State) -> Vec<(String, Tensor)> {
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

/// An error of the runner as one of a learner.
fn as_learner(error: RunError) -> LearnerError {
    match error {
        RunError::Learner(error) => error,
        RunError::Setting(error) => LearnerError::Setting(error),
        other => SettingError::new("regimen", other.to_string()).into(),
    }
}

impl Learner for Course {
    /// At the end of a stretch, goes on to the next one, as the next step would.
    fn begin(&mut self, _: &dyn Batches) -> Result<(), LearnerError> {
        self.proceed().map_err(as_learner)?;
        let data = Later { source: &self.lessons, offset: self.offset() };
        self.learner.begin(&data)
    }

    fn learn(&mut self, _: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        let (mut left, mut sum) = (steps, 0.0);
        while left > 0 {
            self.proceed().map_err(as_learner)?;
            let part = left.min(self.left());
            let data = Later { source: &self.lessons, offset: self.offset() };
            sum += self.learner.learn(&data, part)? * part as f64;
            self.steps += part;
            left -= part;
        }
        Ok(sum / steps as f64)
    }

    fn profile(&mut self, _: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError> {
        self.proceed().map_err(as_learner)?;
        let data = Later { source: &self.lessons, offset: self.offset() };
        let timings = self.learner.profile(&data)?;
        self.steps += 1;
        Ok(timings)
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn rate(&self) -> f64 {
        self.learner.rate()
    }

    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        self.learner.predict(batch, brightness)
    }

    fn settle(&mut self) -> Result<(), LearnerError> {
        self.learner.settle()
    }

    fn state(&mut self) -> Result<&State, LearnerError> {
        let mut slots = slots(self.learner.state()?);
        slots.push((COUNT.to_owned(), Tensor::from_i32(&[], vec![self.steps as u32 as i32])));
        self.state = slots.into_iter().collect();
        Ok(&self.state)
    }

    fn learned(&mut self) -> Result<Vec<(String, Tensor)>, LearnerError> {
        self.learner.learned()
    }

    fn restore(&mut self, mut saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        let missing = || StateError::Missing(COUNT.to_owned());
        let count = saved.iter().position(|(name, _)| name == COUNT).ok_or_else(missing)?;
        let (_, count) = saved.swap_remove(count);
        let count = count.values::<i32>().and_then(|values| values.first().copied());
        let steps = u64::from(count.ok_or_else(missing)? as u32);
        // At the end of a stretch the learner is still that of the stretch.
        let ended = |index: &usize| self.beginning(index + 1) < steps;
        let current = (0..self.stretches.len() - 1).take_while(ended).count();
        if current == self.current {
            self.learner.restore(saved)?;
        } else {
            let (mut learner, lessons) = self.made(current).map_err(as_learner)?;
            // Where it does not fit, all stays as it is.
            learner.restore(saved)?;
            (self.learner, self.lessons, self.current) = (learner, lessons, current);
        }
        self.steps = steps;
        Ok(())
    }

    fn describe(&self) -> Description {
        self.learner.describe()
    }
}

#[cfg(test)]
mod tests;
