//! The phases of one run.

use super::course::{Course, Making};
use super::evaluate::{Probe, headline, scores, seed_for};
use super::progress::Bar;
use super::setup::{learner, unknown};
use super::stage::{self, Record, Stage, Watch};
use super::training::{self, LEG_MEASUREMENTS, MEASUREMENTS};
use super::{RunOptions, discard, file_name};
use crate::batteries;
use crate::config::{EntryConfig, Experiment, RunConfig};
use crate::data::{DataSettings, Source};
use crate::protocols::{self, Leg, Measurement, Outcome, Start};
use crate::store::{PhaseResults, Store};
use crate::{RunError, files, regimens};
use serde_json::{Value, json};
use speck_engine::Tensor;
use speck_learners::{BatchShape, Batches, Learner};
use speck_models::settings::Settings;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The phase in which the network is trained.
pub(super) const TRAIN: &str = "train";

/// One run with its phases prepared.
pub(super) struct Job<'a> {
    pub label: String,
    id: String,
    run: &'a RunConfig,
    batteries: &'a [EntryConfig],
    legs: Vec<(String, Leg)>,
    folder: PathBuf,
    options: &'a RunOptions,
}

type Weights = Vec<(String, Tensor)>;

impl<'a> Job<'a> {
    pub fn new(
        run: &'a RunConfig,
        experiment: &'a Experiment,
        options: &'a RunOptions,
    ) -> Result<Self, RunError> {
        let mut legs = Vec::new();
        for config in &experiment.protocols {
            let protocol =
                protocols::find(&config.kind).ok_or_else(|| unknown("protocol", &config.kind))?;
            let slug = config.slug();
            let own = (protocol.legs)(run, &config.settings)?;
            legs.extend(own.into_iter().map(|leg| (format!("{slug}/{}", leg.name), leg)));
        }
        let job = Job {
            label: format!("{}, seed {}", run.label(), run.seed),
            id: run.id(),
            run,
            batteries: &experiment.batteries,
            legs,
            folder: options.folder.join(&experiment.name).join(run.id()),
            options,
        };
        // A model that does not fit its learner is an error now, not after the
        // runs before it. The seeds of a run differ in nothing that could fail.
        if experiment.seeds.first() == Some(&run.seed) {
            let data = DataSettings::new(&run.data)?;
            job.learner(&run.learner.1, data.shape(job.batch(&run.learner.1)))?;
            if !job.is_plain() {
                Course::check(run, &job.making())?;
            }
        }
        Ok(job)
    }

    /// Steps of training in all phases.
    pub fn steps(&self) -> u64 {
        let legs: u64 = self.legs.iter().map(|(_, leg)| steps(&leg.learner)).sum();
        steps(&self.run.learner.1) + legs
    }

    fn batch(&self, settings: &Settings) -> usize {
        settings.usize("batch")
    }

    fn is_plain(&self) -> bool {
        self.run.regimen.0 == regimens::DEFAULT
    }

    fn making(&self) -> Making {
        Making { kernels: self.options.kernels.clone(), mode: self.options.mode }
    }

    /// The learner that is trained: as the run's regimen wants it.
    fn pupil(&self, shape: BatchShape) -> Result<Box<dyn Learner>, RunError> {
        match self.is_plain() {
            true => self.learner(&self.run.learner.1, shape),
            false => Ok(Box::new(Course::new(self.run, &self.making())?)),
        }
    }

    fn learner(
        &self,
        settings: &Settings,
        shape: BatchShape,
    ) -> Result<Box<dyn Learner>, RunError> {
        learner(self.run, settings, shape, &self.options.kernels, self.options.mode)
    }

    /// Does every phase that the store does not hold yet.
    pub fn run(&self, store: &Mutex<Store>, bar: &Bar, stop: &AtomicBool) -> Result<(), RunError> {
        files::tidy(&self.folder);
        let mut trained = self.train(store, bar)?;
        for config in self.batteries {
            let phase = format!("battery/{}", config.slug());
            if !stop.load(Ordering::Relaxed) && !guard(store).finished(&self.id, &phase)? {
                bar.message(&config.kind);
                let results = self.battery(config, &mut trained)?;
                guard(store).finish_phase(&self.id, &phase, &results)?;
            }
        }
        for (phase, leg) in &self.legs {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let path = self.folder.join(file_name(phase));
            if guard(store).finished(&self.id, phase)? {
                bar.advance(steps(&leg.learner));
            } else {
                bar.message(&leg.name);
                let outcome = self.leg(phase, leg, &trained, bar)?;
                guard(store).finish_phase(&self.id, phase, &(leg.results)(&outcome))?;
            }
            discard(&path);
        }
        Ok(())
    }

    /// Trains, or takes up the trained network. Its file is the learner's
    /// state after the last step, and stays for later protocols.
    fn train(&self, store: &Mutex<Store>, bar: &Bar) -> Result<Weights, RunError> {
        let settings = &self.run.learner.1;
        let path = self.folder.join(file_name(TRAIN));
        if guard(store).finished(&self.id, TRAIN)?
            && let Some((weights, _)) = stage::finished(&path, &|text| bar.warn(text))?
        {
            bar.advance(steps(settings));
            return Ok(weights);
        }
        bar.message(TRAIN);
        let data = DataSettings::new(&self.run.data)?;
        let seed = self.run.seed;
        let source = training::source(&self.run.data, self.batch(settings), seed, TRAIN)?;
        let watches = training::watches(&data, seed);
        let mut learner = self.pupil(source.shape())?;
        let record = self.stage(TRAIN, settings, &source, &watches, &mut *learner, bar)?;
        let mut results = training::results(&mut *learner, &self.run.data, &record, seed)?;
        results.artefacts.extend(self.regimen()?);
        guard(store).finish_phase(&self.id, TRAIN, &results)?;
        weights(&mut *learner)
    }

    /// What the regimen made of the training, where that is more than one stretch.
    fn regimen(&self) -> Result<Option<(String, Value)>, RunError> {
        if self.is_plain() {
            return Ok(None);
        }
        let mut from = 0;
        let mut list = Vec::new();
        for stretch in regimens::stretches(self.run)? {
            list.push(json!({
                "name": stretch.name,
                "from": from,
                "steps": stretch.steps,
                "learner": stretch.learner,
                "data": stretch.data,
            }));
            from += stretch.steps;
        }
        let (kind, settings) = &self.run.regimen;
        let value = json!({ "kind": kind, "settings": settings, "stretches": list });
        Ok(Some(("regimen".to_owned(), value)))
    }

    fn stage(
        &self,
        phase: &str,
        settings: &Settings,
        source: &Source,
        watches: &[Watch],
        learner: &mut dyn Learner,
        bar: &Bar,
    ) -> Result<Record, RunError> {
        let total = steps(settings);
        let stage = Stage {
            checkpoint: &self.folder.join(file_name(phase)),
            interval: self.options.checkpoint_interval,
            data: source,
            steps: total,
            every: total.div_ceil(if phase == TRAIN { MEASUREMENTS } else { LEG_MEASUREMENTS }),
            patience: settings.usize("patience") as u64,
            watches,
            progress: &|steps| bar.advance(steps),
            warn: &|text| bar.warn(text),
        };
        let record = stage.run(learner)?;
        bar.advance(total - record.steps);
        Ok(record)
    }

    /// A learner of the run's kind with the trained weights, for measuring.
    fn revived(&self, trained: &Weights) -> Result<Box<dyn Learner>, RunError> {
        let data = DataSettings::new(&self.run.data)?;
        let shape = data.shape(self.batch(&self.run.learner.1));
        let mut learner = self.learner(&self.run.learner.1, shape)?;
        learner.adopt(trained)?;
        Ok(learner)
    }

    fn battery(
        &self,
        config: &EntryConfig,
        trained: &mut Weights,
    ) -> Result<PhaseResults, RunError> {
        let battery =
            batteries::find(&config.kind).ok_or_else(|| unknown("battery", &config.kind))?;
        let data = DataSettings::new(&self.run.data)?;
        let mut learner = self.revived(trained)?;
        let mut results = PhaseResults::default();
        for cell in battery.cells(&data, &config.settings) {
            let seed = seed_for(self.run.seed, &cell.name);
            let metrics = Probe::random(&cell.data, cell.samples, seed).measure(&mut *learner)?;
            results.scores.extend(scores(&config.kind, &cell.name, &metrics.finish()));
        }
        Ok(results)
    }

    fn leg(
        &self,
        phase: &str,
        leg: &Leg,
        trained: &Weights,
        bar: &Bar,
    ) -> Result<Outcome, RunError> {
        let seed = self.run.seed;
        // Both starts see the same batches.
        let purpose = format!("retrain {}", serde_json::json!(leg.data));
        let source = training::source(&leg.data, self.batch(&leg.learner), seed, &purpose)?;
        let mut learner = self.learner(&leg.learner, source.shape())?;
        if leg.start == Start::Trained {
            learner.adopt(trained)?;
        }
        let compare = |learner: &mut dyn Learner| -> Result<Vec<_>, RunError> {
            leg.compared.iter().map(|m| Ok((self.value(m, learner)?, m.samples as u64))).collect()
        };
        let before = compare(&mut *learner)?;
        let watches: Vec<Watch> = leg
            .watched
            .iter()
            .map(|(series, measurement)| Watch {
                series,
                metric: headline(&measurement.data),
                probe: self.probe(measurement),
            })
            .collect();
        let record = self.stage(phase, &leg.learner, &source, &watches, &mut *learner, bar)?;
        let after = compare(&mut *learner)?;
        Ok(Outcome { record, before, after })
    }

    fn probe(&self, measurement: &Measurement) -> Probe {
        let seed = seed_for(self.run.seed, &measurement.name);
        Probe::random(&measurement.data, measurement.samples, seed)
    }

    fn value(
        &self,
        measurement: &Measurement,
        learner: &mut dyn Learner,
    ) -> Result<Option<f64>, RunError> {
        let metrics = self.probe(measurement).measure(learner)?;
        Ok(metrics.value(headline(&measurement.data)))
    }
}

fn steps(settings: &Settings) -> u64 {
    settings.usize("steps") as u64
}

fn weights(learner: &mut dyn Learner) -> Result<Weights, RunError> {
    let state = learner.state()?.iter();
    Ok(state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
}

fn guard(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    // A panic in another worker leaves the store as its last transaction did.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
