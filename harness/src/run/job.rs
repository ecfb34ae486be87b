//! The phases of one run.

use super::course::{self, Making};
use super::evaluate::{Probe, headline, scores, seed_for};
use super::members::ensemble_phase;
use super::progress::Bar;
use super::setup::{learner, unknown};
use super::stage::{self, Mounted, Record, Stage, Watch};
use super::training::{self, LEG_MEASUREMENTS, MEASUREMENTS};
use super::{RunOptions, discard, file_name};
use crate::config::{EntryConfig, Experiment, RunConfig};
use crate::data::{DataSettings, Source};
use crate::diagnostics::Scene;
use crate::protocols::{self, Leg, Measurement, Outcome, Start};
use crate::store::{PhaseResults, Store};
use crate::{RunError, batteries, diagnostics, files, regimens};
use serde_json::{Value, json};
use speck_engine::Tensor;
use speck_learners::{BatchShape, Batches, Learner};
use speck_models::settings::Settings;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The phase in which the network is trained.
pub(super) const TRAIN: &str = "train";
/// The file of a training that is done again for diagnostics that came later.
const AGAIN: &str = "diagnostics";

/// One run with its phases prepared.
pub(super) struct Job<'a> {
    pub label: String,
    id: String,
    pub(super) run: &'a RunConfig,
    pub(super) batteries: &'a [EntryConfig],
    diagnostics: &'a [EntryConfig],
    ensembles: &'a [EntryConfig],
    legs: Vec<(String, Leg)>,
    pub(super) folder: PathBuf,
    pub(super) options: &'a RunOptions,
}

type Weights = Vec<(String, Tensor)>;

/// What a stage trains on, and what is watched.
struct Course<'a> {
    settings: &'a Settings,
    source: &'a Source,
    watches: &'a [Watch],
}

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
            diagnostics: &experiment.diagnostics,
            ensembles: &experiment.ensembles,
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
                course::Course::check(run, &job.making())?;
            }
        }
        Ok(job)
    }

    /// Steps of training in all phases.
    pub fn steps(&self) -> u64 {
        let legs: u64 = self.legs.iter().map(|(_, leg)| steps(&leg.learner)).sum();
        let members: u64 = self.ensembles.iter().map(|config| self.ensemble_steps(config)).sum();
        steps(&self.run.learner.1) + members + legs
    }

    fn batch(&self, settings: &Settings) -> usize {
        settings.usize("batch")
    }

    fn is_plain(&self) -> bool {
        self.run.regimen.0 == regimens::DEFAULT
    }

    pub(super) fn making(&self) -> Making {
        Making { kernels: self.options.kernels.clone(), mode: self.options.mode }
    }

    /// The shape of the run's own batches.
    fn shape(&self) -> Result<BatchShape, RunError> {
        Ok(DataSettings::new(&self.run.data)?.shape(self.batch(&self.run.learner.1)))
    }

    /// The learner that is trained: as the run's regimen wants it.
    fn pupil(&self, shape: BatchShape) -> Result<Box<dyn Learner>, RunError> {
        course::pupil(self.run, shape, &self.making(), None)
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
        for config in self.ensembles {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let phase = ensemble_phase(config);
            if guard(store).finished(&self.id, &phase)? {
                bar.advance(self.ensemble_steps(config));
            } else {
                let results = self.ensemble(config, &trained, bar)?;
                guard(store).finish_phase(&self.id, &phase, &results)?;
            }
            self.forget(config);
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
            && let Some((weights, record)) = stage::finished(&path, &|text| bar.warn(text))?
        {
            bar.advance(steps(settings));
            self.diagnosed(store, &record)?;
            if !self.wanted(store)?.is_empty() {
                self.train_again(store, bar)?;
            }
            return self.learned(weights);
        }
        bar.message(TRAIN);
        let data = DataSettings::new(&self.run.data)?;
        let seed = self.run.seed;
        let source = training::source(&self.run.data, self.batch(settings), seed, TRAIN)?;
        let watches = training::watches(&data, seed);
        let mut learner = self.pupil(source.shape())?;
        let instruments = &mut self.instruments(&self.wanted(store)?, &source)?;
        let course = Course { settings, source: &source, watches: &watches };
        let record = self.stage(TRAIN, &course, &mut *learner, instruments, bar)?;
        let mut results = training::results(&mut *learner, &self.run.data, &record, seed)?;
        results.artefacts.extend(self.regimen()?);
        guard(store).finish_phase(&self.id, TRAIN, &results)?;
        self.diagnosed(store, &record)?;
        if !self.wanted(store)?.is_empty() {
            self.train_again(store, bar)?;
        }
        Ok(learner.learned()?)
    }

    /// What a finished training has learned, of all its slots.
    fn learned(&self, slots: Weights) -> Result<Weights, RunError> {
        if !slots.iter().any(|(name, _)| speck_learners::gradient::is_mean(name)) {
            return Ok(slots);
        }
        let mut learner = self.pupil(self.shape()?)?;
        learner.restore(slots)?;
        Ok(learner.learned()?)
    }

    /// What the regimen made of the training, where that is more than one stretch.
    fn regimen(&self) -> Result<Option<(String, Value)>, RunError> {
        if self.is_plain() {
            return Ok(None);
        }
        let mut from = 0;
        let mut list = Vec::new();
        for stretch in regimens::stretches(self.run)? {
            let begins = match (&stretch.start, from) {
                (_, 0) => "new weights".to_owned(),
                (regimens::Start::Everything, _) => "all as it was, moments too".to_owned(),
                (regimens::Start::Weights { renewed }, _) if renewed.is_empty() => {
                    "the weights as they were, new moments".to_owned()
                }
                (regimens::Start::Weights { renewed }, _) => {
                    format!("new weights of {}, new moments", renewed.join(", "))
                }
            };
            list.push(json!({
                "name": stretch.name,
                "from": from,
                "steps": stretch.steps,
                "begins": begins,
                "learner": stretch.learner,
                "data": stretch.data,
            }));
            from += stretch.steps;
        }
        let (kind, settings) = &self.run.regimen;
        let value = json!({ "kind": kind, "settings": settings, "stretches": list });
        Ok(Some(("regimen".to_owned(), value)))
    }

    /// The diagnostics whose notes the store does not hold yet.
    fn wanted(&self, store: &Mutex<Store>) -> Result<Vec<&'a EntryConfig>, RunError> {
        let mut wanted = Vec::new();
        for config in self.diagnostics {
            if !guard(store).finished(&self.id, &diagnostic_phase(config))? {
                wanted.push(config);
            }
        }
        Ok(wanted)
    }

    /// Puts into the store what instruments have noted in a whole training.
    fn diagnosed(&self, store: &Mutex<Store>, record: &Record) -> Result<(), RunError> {
        for config in self.wanted(store)? {
            if let Some(readings) = record.readings.get(&config.slug()) {
                let results = readings.results(&config.kind, &config.settings);
                guard(store).finish_phase(&self.id, &diagnostic_phase(config), &results)?;
            }
        }
        Ok(())
    }

    /// Trains another time, to the same bits, for diagnostics that were asked for when
    /// the training was done or under way.
    fn train_again(&self, store: &Mutex<Store>, bar: &Bar) -> Result<(), RunError> {
        bar.message("training again, for diagnostics");
        let settings = &self.run.learner.1;
        let source = training::source(&self.run.data, self.batch(settings), self.run.seed, TRAIN)?;
        let watches = training::watches(&DataSettings::new(&self.run.data)?, self.run.seed);
        let path = self.folder.join(file_name(AGAIN));
        // A checkpoint of other diagnostics would leave these out once more.
        for _ in 0..2 {
            let wanted = self.wanted(store)?;
            if wanted.is_empty() {
                break;
            }
            let mut learner = self.pupil(source.shape())?;
            let instruments = &mut self.instruments(&wanted, &source)?;
            let course = Course { settings, source: &source, watches: &watches };
            let record = self.stage(AGAIN, &course, &mut *learner, instruments, bar)?;
            self.diagnosed(store, &record)?;
            discard(&path);
        }
        Ok(())
    }

    fn instruments(
        &self,
        wanted: &[&EntryConfig],
        source: &Source,
    ) -> Result<Vec<Mounted>, RunError> {
        let mount = |config: &&EntryConfig| {
            let diagnostic = diagnostics::find(&config.kind)
                .ok_or_else(|| unknown("diagnostic", &config.kind))?;
            let scene = Scene {
                run: self.run,
                settings: &config.settings,
                source,
                kernels: &self.options.kernels,
                mode: self.options.mode,
            };
            Ok(Mounted {
                slug: config.slug(),
                every: config.settings.usize("every") as u64,
                instrument: (diagnostic.make)(&scene)?,
            })
        };
        wanted.iter().map(mount).collect()
    }

    fn stage(
        &self,
        phase: &str,
        course: &Course<'_>,
        learner: &mut dyn Learner,
        instruments: &mut [Mounted],
        bar: &Bar,
    ) -> Result<Record, RunError> {
        let Course { settings, source, watches } = *course;
        let total = steps(settings);
        // Steps made again were not planned.
        let advance = |steps| {
            if phase != AGAIN {
                bar.advance(steps)
            }
        };
        let points = if phase.contains('/') { LEG_MEASUREMENTS } else { MEASUREMENTS };
        let stage = Stage {
            checkpoint: &self.folder.join(file_name(phase)),
            interval: self.options.checkpoint_interval,
            data: source,
            steps: total,
            every: total.div_ceil(points),
            patience: settings.usize("patience") as u64,
            watches,
            progress: &advance,
            warn: &|text| bar.warn(text),
        };
        let record = stage.run(learner, instruments)?;
        advance(total - record.steps);
        Ok(record)
    }

    /// A learner of the run's kind with the trained weights, for measuring.
    pub(super) fn revived(&self, trained: &Weights) -> Result<Box<dyn Learner>, RunError> {
        let mut learner = self.learner(&self.run.learner.1, self.shape()?)?;
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
        match leg.start {
            Start::Trained => learner.adopt(trained)?,
            Start::Scratch => learner.begin(&source)?,
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
        let course = Course { settings: &leg.learner, source: &source, watches: &watches };
        let record = self.stage(phase, &course, &mut *learner, &mut [], bar)?;
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

/// The phase that holds a diagnostic's notes.
fn diagnostic_phase(config: &EntryConfig) -> String {
    format!("diagnostic/{}", config.slug())
}

pub(super) fn steps(settings: &Settings) -> u64 {
    settings.usize("steps") as u64
}

fn guard(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    // A panic in another worker leaves the store as its last transaction did.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
