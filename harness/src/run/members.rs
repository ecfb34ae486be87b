//! The phase of an ensemble: its members are trained, then tested together.

use super::evaluate::{Probe, headline, seed_for};
use super::job::{Job, steps};
use super::progress::Bar;
use super::setup::{learner, unknown};
use super::stage::{self, Mounted, Record, Stage};
use super::training::{self, LEG_MEASUREMENTS};
use super::{Making, discard, file_name, pupil};
use crate::config::EntryConfig;
use crate::data::{DataSettings, Split};
use crate::diagnostics::{Instrument, Readings};
use crate::ensembles::evaluate::{Test, Weights, scores};
use crate::ensembles::{self, Start, Training};
use crate::store::{CurvePoint, PhaseResults};
use crate::{RunError, batteries};
use serde_json::json;
use speck_engine::Tensor;
use speck_learners::{Batches, Learner};
use std::cell::RefCell;
use std::rc::Rc;

/// The phase that holds an ensemble's results.
pub(super) fn ensemble_phase(config: &EntryConfig) -> String {
    format!("ensemble/{}", config.slug())
}

impl Job<'_> {
    /// Trains the members of an ensemble, or takes up those that are trained, and
    /// tests them. [`Job::forget`] removes their files.
    pub(super) fn ensemble(
        &self,
        config: &EntryConfig,
        trained: &Weights,
        bar: &Bar,
    ) -> Result<PhaseResults, RunError> {
        let found = ensembles::find(&config.kind);
        let ensemble = found.ok_or_else(|| unknown("ensemble", &config.kind))?;
        let phase = ensemble_phase(config);
        let mut results = PhaseResults::default();
        let mut members = Vec::new();
        for training in (ensemble.trainings)(self.run, &config.settings)? {
            bar.message(&format!("{}, {}", config.kind, training.name));
            let (own, record) = self.members(&phase, &training, trained, bar)?;
            members.extend(own);
            let named = |point: CurvePoint| CurvePoint {
                series: format!("{}/{}", point.series, training.name),
                ..point
            };
            results.curves.extend(record.points().into_iter().map(named));
        }
        let mut learner = self.revived(trained)?;
        let tests = self.tests()?;
        let combination = ensemble.combination;
        results.scores = scores(&mut *learner, trained, &members, combination, &tests)?;
        let description = json!({
            "kind": config.kind,
            "settings": config.settings,
            "members": members.len(),
        });
        results.artefacts.push(("description".to_owned(), description));
        Ok(results)
    }

    /// Steps of training of an ensemble.
    pub(super) fn ensemble_steps(&self, config: &EntryConfig) -> u64 {
        let found = ensembles::find(&config.kind);
        let trainings = found.map(|ensemble| (ensemble.trainings)(self.run, &config.settings));
        let all = trainings.and_then(Result::ok).unwrap_or_default();
        all.iter().map(|training| steps(&training.learner)).sum()
    }

    /// Removes the members' files.
    pub(super) fn forget(&self, config: &EntryConfig) {
        let found = ensembles::find(&config.kind);
        let trainings = found.map(|ensemble| (ensemble.trainings)(self.run, &config.settings));
        for training in trainings.and_then(Result::ok).unwrap_or_default() {
            discard(&self.member_file(&ensemble_phase(config), &training));
        }
    }

    fn member_file(&self, phase: &str, training: &Training) -> std::path::PathBuf {
        self.folder.join(file_name(&format!("{phase}/{}", training.name)))
    }

    /// The members that come out of a training.
    fn members(
        &self,
        phase: &str,
        training: &Training,
        trained: &Weights,
        bar: &Bar,
    ) -> Result<(Vec<Weights>, Record), RunError> {
        let path = self.member_file(phase, training);
        let total = steps(&training.learner);
        if training.members == 1
            && let Some((weights, record)) = stage::finished(&path, &|text| bar.warn(text))?
        {
            bar.advance(total);
            return Ok((vec![weights], record));
        }
        let run = training.run(self.run);
        let settings = &training.learner;
        let batch = settings.usize("batch");
        let mut source = training::source(&run.data, batch, run.seed, &training.name)?;
        let bootstrap = training.bootstrap.then(|| seed_for(run.seed, "bootstrap"));
        if let Some(seed) = bootstrap {
            source = source.resampled(seed);
        }
        let watches = training::watches(&DataSettings::new(&run.data)?, run.seed);
        // Points that fall on the ends of equal shares.
        let share = (total / training.members as u64).max(1);
        let most = (LEG_MEASUREMENTS / training.members as u64).max(1);
        let points = (1..=most).rev().find(|points| share.is_multiple_of(*points)).unwrap_or(1);
        let every = match training.members {
            1 => total.div_ceil(LEG_MEASUREMENTS),
            _ => share / points,
        };
        loop {
            let shape = source.shape();
            let making = self.making();
            let mut learner = match training.start {
                Start::Scratch => pupil(&run, shape, &making, bootstrap)?,
                Start::Trained => {
                    let Making { kernels, mode } = &making;
                    let mut learner = learner(&run, settings, shape, kernels, *mode)?;
                    learner.adopt(trained)?;
                    learner
                }
            };
            let kept = Rc::new(RefCell::new(Vec::new()));
            let mut mounted = Vec::new();
            if training.members > 1 {
                let instrument = Box::new(Snapshots { kept: kept.clone() });
                mounted.push(Mounted { slug: "snapshots".to_owned(), every: points, instrument });
            }
            let stage = Stage {
                checkpoint: &path,
                interval: self.options.checkpoint_interval,
                data: &source,
                steps: total,
                every,
                patience: settings.usize("patience") as u64,
                watches: &watches,
                progress: &|steps| bar.advance(steps),
                warn: &|text| bar.warn(text),
            };
            let record = stage.run(&mut *learner, &mut mounted)?;
            bar.advance(total - record.steps);
            let members = match training.members {
                // With patience that is not the last network, but the best one.
                1 => vec![weights(&mut *learner)?],
                _ => kept.take(),
            };
            if !members.is_empty() {
                return Ok((members, record));
            }
            // A training that was done when it was taken up has kept the last
            // network only.
            discard(&path);
        }
    }

    /// What all networks are tested on: the positions, and the batteries.
    fn tests(&self) -> Result<Vec<Test>, RunError> {
        let data = DataSettings::new(&self.run.data)?;
        let sets = data.position_sets();
        let mut tests = Vec::new();
        for (cell, split, positions) in [
            ("training positions", Split::Training, &sets.training),
            ("held-out positions", Split::HeldOut, &sets.held_out),
        ] {
            if !positions.is_empty() {
                let part = DataSettings { split, count: 1, ..data.clone() };
                let probe = Probe::all_positions(&part, seed_for(self.run.seed, "positions"));
                tests.push(Test { cell: cell.to_owned(), metric: headline(&part), probe });
            }
        }
        for config in self.batteries {
            let battery =
                batteries::find(&config.kind).ok_or_else(|| unknown("battery", &config.kind))?;
            for cell in battery.cells(&data, &config.settings) {
                let seed = seed_for(self.run.seed, &cell.name);
                tests.push(Test {
                    cell: format!("{}: {}", config.kind, cell.name),
                    metric: headline(&cell.data),
                    probe: Probe::random(&cell.data, cell.samples, seed),
                });
            }
        }
        Ok(tests)
    }
}

/// The network of a learner: what is not private.
fn weights(learner: &mut dyn Learner) -> Result<Weights, RunError> {
    let mut slots = learner.learned()?;
    slots.retain(|(name, _)| !name.starts_with(speck_learners::PRIVATE));
    Ok(slots)
}

/// Keeps the networks at the points it looks at, the start left out.
struct Snapshots {
    kept: Rc<RefCell<Vec<Weights>>>,
}

impl Instrument for Snapshots {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        if notes.step > 0 {
            self.kept.borrow_mut().push(weights(learner)?);
        }
        Ok(())
    }

    fn memory(&self) -> Vec<(String, Tensor)> {
        let named = |(number, weights): (usize, &Weights)| -> Vec<(String, Tensor)> {
            let one =
                |(name, tensor): &(String, Tensor)| (format!("{number}/{name}"), tensor.clone());
            weights.iter().map(one).collect()
        };
        self.kept.borrow().iter().enumerate().flat_map(named).collect()
    }

    fn recall(&mut self, memory: Vec<(String, Tensor)>) {
        let mut kept: Vec<Weights> = Vec::new();
        for (name, tensor) in memory {
            let Some((number, name)) = name.split_once('/') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            if kept.len() <= number {
                kept.resize(number + 1, Vec::new());
            }
            kept[number].push((name.to_owned(), tensor));
        }
        *self.kept.borrow_mut() = kept;
    }
}
