//! Early stopping: after how many measurements training ends, and with which weights,
//! whether it was cut or not.

mod support;

use speck_engine::kernels::Choice;
use speck_engine::{DType, structure};
use speck_engine::{Graph, Initial, State, StepTiming, Tensor, TensorType};
use speck_harness::data::{DataSettings, Source};
use speck_harness::run::evaluate::{Probe, headline};
use speck_harness::run::stage::{Record, Stage, Watch, finished};
use speck_learners::{
    Batches, Description, Learner, LearnerError, SCREEN, Setup, SpeckBatch, TARGETS,
};
use speck_models::settings::{Value, resolve};
use std::path::Path;
use std::time::Duration;
use support::Place;

/// Knows the answers to a share of all samples: to as many sixteenths as are listed,
/// by the number of measurements before.
struct Scripted {
    state: State,
    known: Vec<usize>,
}

impl Scripted {
    fn new(known: &[usize]) -> Self {
        let graph = Graph::new(DType::F32);
        let ty = TensorType::new(DType::I32, &[]);
        graph.state_of("learner/step", &ty, Initial::Constant(0.0)).expect("a slot");
        Scripted { state: State::initialise(&graph, 0), known: known.to_vec() }
    }
}

impl Learner for Scripted {
    fn learn(&mut self, _: &dyn Batches, steps: u64) -> Result<f64, LearnerError> {
        let slot = self.state.get_mut("learner/step").and_then(|slot| slot.values_mut::<i32>());
        slot.expect("the count")[0] += steps as i32;
        Ok(1.0)
    }
    fn profile(&mut self, _: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError> {
        Ok(Vec::new())
    }
    fn steps(&self) -> u64 {
        let slot = self.state.get("learner/step").and_then(|slot| slot.values::<i32>());
        slot.map_or(0, |values| values[0] as u64)
    }
    fn rate(&self) -> f64 {
        0.0
    }
    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError> {
        let known = self.known[(self.steps() / 10) as usize];
        for (sample, values) in brightness.chunks_mut(TARGETS).enumerate() {
            values.fill(0.0);
            let (row, column) = batch.targets(sample).next().expect("a speck");
            let wrong = usize::from(sample % 16 >= known);
            values[(row + wrong) % SCREEN] = 1.0;
            values[SCREEN + (column + wrong) % SCREEN] = 1.0;
        }
        Ok(())
    }
    fn state(&mut self) -> Result<&State, LearnerError> {
        Ok(&self.state)
    }
    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError> {
        saved.into_iter().try_for_each(|(name, tensor)| self.state.set(&name, tensor))?;
        Ok(())
    }
    fn describe(&self) -> Description {
        Description {
            parameters: 0,
            step: Default::default(),
            program: String::new(),
            plan: structure::Plan::default(),
            ledger: structure::Ledger::default(),
        }
    }
}

fn trained(path: &Path, known: &[usize], patience: u64, steps: u64) -> (Record, u64) {
    let mut learner = Scripted::new(known);
    let record = staged(path, &mut learner, patience, steps, &|_| {});
    (record, learner.steps())
}

fn staged(
    path: &Path,
    learner: &mut dyn Learner,
    patience: u64,
    steps: u64,
    progress: &dyn Fn(u64),
) -> Record {
    let data = DataSettings::default();
    let source = Source::new(&data, 8, 0);
    let metric = headline(&data);
    let watches = [Watch { series: metric, metric, probe: Probe::random(&data, 256, 1) }];
    let stage = Stage {
        checkpoint: path,
        interval: Duration::ZERO,
        data: &source,
        steps,
        every: 10,
        patience,
        watches: &watches,
        progress,
        warn: &|text| panic!("{text}"),
    };
    stage.run(learner, &mut []).expect("a stage")
}

#[test]
fn training_ends_after_so_many_measurements_with_the_best_weights() {
    let place = Place::new();
    let known = [2, 4, 4, 3, 5, 5, 1, 5, 16, 16, 16];
    // Of equally good ones the first; without patience the last of all.
    let wanted = [(0, 100, 80, 100), (1, 20, 10, 10), (2, 30, 10, 10), (3, 70, 40, 40)];
    for (patience, steps, best, kept) in wanted.into_iter().chain([(4, 100, 80, 80)]) {
        let path = place.path(&format!("patience{patience}.safetensors"));
        let (record, weights) = trained(&path, &known, patience, 100);
        assert_eq!((record.steps, record.best_step), (steps, best), "patience {patience}");
        assert_eq!(weights, kept, "patience {patience}");
        let saved = finished(&path, &|text| panic!("{text}")).expect("a file").expect("an end").0;
        assert_eq!(saved.len(), 1, "the best weights are not there twice");
        assert_eq!(saved[0].1.values::<i32>(), Some([kept as i32].as_slice()));
        // What ended stays ended.
        assert_eq!(trained(&path, &known, patience, 100), (record, weights));
    }
}

#[test]
fn patience_is_remembered_over_an_interruption() {
    // As many measurements without a better one lie before the cut as behind it: a
    // program that crashes in the eighth measurement, and one that does not.
    let place = Place::new();
    let known = [2, 4, 4, 3, 5, 5, 1, 5, 16, 16, 16];
    let path = place.path("cut.safetensors");
    let cut = std::panic::catch_unwind(|| trained(&path, &known[..7], 3, 100));
    assert!(cut.is_err());
    let (record, weights) = trained(&path, &known, 3, 100);
    assert_eq!((record.steps, record.best_step, weights), (70, 40, 40));
}

/// A network that gets better and worse again: its rate is far too large.
fn network() -> Box<dyn Learner> {
    let model = speck_models::find("mlp").expect("a model");
    let hidden = ("hidden".to_owned(), Value::List(vec![Value::Int(8)]));
    let settings = resolve(model.dimensions, &[hidden]).expect("settings");
    let setup = Setup {
        model: (model.make)(&settings).expect("a model").into(),
        shape: DataSettings::default().shape(8),
        seed: 3,
        kernels: Choice::default(),
        float: DType::F32,
        mode: structure::Mode::Structured,
    };
    let entry = speck_learners::find("gradient").expect("the gradient learner");
    // Moments and means of weights come back too.
    let given = [
        ("rate", Value::Float(0.3)),
        ("optimizer", Value::Text("adam".to_owned())),
        ("average", Value::Text("ema".to_owned())),
        ("average_decay", Value::Float(0.5)),
    ];
    let given: Vec<_> = given.map(|(key, value)| (key.to_owned(), value)).into();
    let settings = resolve(entry.dimensions, &given).expect("settings");
    (entry.make)(&settings, setup).expect("a learner")
}

fn slots(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().expect("a state").iter();
    state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

#[test]
fn the_best_weights_are_the_same_wherever_training_was_cut() {
    let place = Place::new();
    let mut whole = network();
    let record = staged(&place.path("whole.safetensors"), &mut *whole, 3, 200, &|_| {});
    let wanted = slots(&mut *whole);
    assert!(record.best_step > 0 && record.best_step < record.steps, "{record:?}");
    assert_eq!(whole.steps(), record.best_step);
    // As it was then.
    let mut short = network();
    staged(&place.path("short.safetensors"), &mut *short, 0, record.best_step, &|_| {});
    assert!(slots(&mut *short) == wanted);
    for cut in 1..=record.steps / 10 {
        // Killed before the checkpoint of a measurement is written, once and again.
        let path = place.path(&format!("cut{cut}.safetensors"));
        for _ in 0..2 {
            let left = std::cell::Cell::new(cut);
            let progress = |steps| {
                left.set(left.get() - u64::from(steps == 10));
                assert!(left.get() > 0, "killed");
            };
            let killed = std::panic::AssertUnwindSafe(|| {
                staged(&path, &mut *network(), 3, 200, &progress);
            });
            // The second time it may be over.
            let _ = std::panic::catch_unwind(killed);
        }
        let mut resumed = network();
        let found = staged(&path, &mut *resumed, 3, 200, &|_| {});
        assert_eq!((found.steps, found.best_step), (record.steps, record.best_step), "{cut}");
        assert_eq!(found.curves, record.curves, "{cut}");
        assert!(slots(&mut *resumed) == wanted, "cut at the {cut}th measurement");
    }
}
