//! Early stopping: after how many measurements training ends, whether it was cut
//! or not.

mod support;

use speck_engine::{DType, structure};
use speck_engine::{Graph, Initial, State, StepTiming, Tensor, TensorType};
use speck_harness::data::{DataSettings, Source};
use speck_harness::run::evaluate::{Probe, headline};
use speck_harness::run::stage::{Record, Stage, Watch};
use speck_learners::{Batches, Description, Learner, LearnerError, SCREEN, SpeckBatch, TARGETS};
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

fn trained(path: &Path, known: &[usize], patience: u64, steps: u64) -> Record {
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
        progress: &|_| {},
        warn: &|text| panic!("{text}"),
    };
    stage.run(&mut Scripted::new(known), &mut []).expect("a stage")
}

#[test]
fn training_ends_after_so_many_measurements_without_a_better_one() {
    let place = Place::new();
    let known = [2, 4, 4, 3, 5, 5, 1, 5, 16, 16, 16];
    for (patience, steps) in [(0, 100), (1, 20), (2, 30), (3, 70), (4, 100)] {
        let path = place.path(&format!("patience{patience}.safetensors"));
        let record = trained(&path, &known, patience, 100);
        assert_eq!(record.steps, steps, "patience {patience}");
        // What ended stays ended.
        assert_eq!(trained(&path, &known, patience, 100), record);
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
    assert_eq!(trained(&path, &known, 3, 100).steps, 70);
}
