//! What learners ask of a GPU once all is made.

use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::{DType, structure};
use speck_learners::{BatchShape, Batches, Learner, Setup, SpeckBatch, TARGETS};
use speck_models::settings::{Value, resolve};
use std::sync::Arc;

const SHAPE: BatchShape =
    BatchShape { samples: 8, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };

/// A white speck a sample, on black.
struct Specks(BatchShape);

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        self.0
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for (sample, position) in batch.positions.chunks_exact_mut(2).enumerate() {
            let place = (step as usize * self.0.samples + sample) * 83 % 4096;
            position.copy_from_slice(&[(place / 64) as i32, (place % 64) as i32]);
        }
    }
}

fn learner(
    model: &str,
    sizes: (&str, &[i64]),
    mode: structure::Mode,
    gpu: &Arc<Gpu>,
) -> Box<dyn Learner> {
    let model = speck_models::find(model).expect("a model");
    let list = Value::List(sizes.1.iter().map(|size| Value::Int(*size)).collect());
    let settings = resolve(model.dimensions, &[(sizes.0.to_owned(), list)]).expect("settings");
    let model = (model.make)(&settings).expect("a model").into();
    let entry = speck_learners::find("gradient").expect("a learner");
    let settings = resolve(entry.dimensions, &[]).expect("settings");
    let kernels = Choice::default().on(Some(gpu.clone()));
    let setup = Setup { model, shape: SHAPE, seed: 7, kernels, float: DType::F32, mode };
    (entry.make)(&settings, setup).expect("a learner")
}

/// Steps between two evaluations.
const STEPS: u64 = 16;

#[test]
fn steady_steps_and_evaluations_make_nothing_and_are_submitted_together() {
    let gpu = match Gpu::open(0, false) {
        Ok(gpu) => gpu,
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: counting what learners make, for there is no GPU");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let probed = BatchShape { samples: 100, ..SHAPE };
    let mut batch = SpeckBatch::new(probed);
    Specks(probed).fill(0, &mut batch);
    let mut brightness = vec![f32::NAN; probed.samples * TARGETS];
    for (model, sizes) in [("mlp", ("hidden", &[8][..])), ("cnn", ("channels", &[2, 2][..]))] {
        for mode in [structure::Mode::Dense, structure::Mode::Structured] {
            let mut learner = learner(model, sizes, mode, &gpu);
            let mut cycle = || {
                learner.learn(&Specks(SHAPE), STEPS).expect("steps");
                learner.settle().expect("a state");
                learner.predict(&batch, &mut brightness).expect("an evaluation");
            };
            // The evaluation has slots of its own: the steps are bound once more then.
            cycle();
            cycle();
            let before = gpu.counts();
            cycle();
            let after = gpu.counts();
            assert_eq!(after.buffers, before.buffers, "{model} {mode:?}: buffers");
            assert_eq!(after.pipelines, before.pipelines, "{model} {mode:?}: pipelines");
            assert_eq!(after.bind_groups, before.bind_groups, "{model} {mode:?}: bind groups");
            let submits = after.submits - before.submits;
            assert!(submits <= STEPS / 2, "{model} {mode:?}: {submits} submissions");
        }
    }
    assert!(brightness.iter().all(|value| value.is_finite()));
}
