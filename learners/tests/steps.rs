//! No training step allocates, whether a layer's weights are held by rows or not.

#[path = "../../tests/allocations.rs"]
mod counting;

use counting::{Counting, allocations};
use speck_engine::kernels::Choice;
use speck_engine::{DType, structure};
use speck_learners::{BatchShape, Batches, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};

#[global_allocator]
static COUNTING: Counting = Counting;

const SHAPE: BatchShape =
    BatchShape { samples: 9, specks: 2, backgrounds: 1, size: 1, falloff: 0.0 };

/// Steps of a try: the first bind the state, gather the rows, wake threads, and
/// compile the programs of what is not done in every step; the last four are counted.
const STEPS: u64 = 36;

/// On a busy machine a thread may steal work for the first time, and so make itself known
/// to the others, in a counted step. What a step itself allocates is seen in every try.
const TRIES: usize = 5;

struct Specks;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for (i, place) in batch.positions.iter_mut().enumerate() {
            *place = ((step as usize + 1) * (i + 3) * 29 % 64) as i32;
        }
        // Once in each try every weight has a gradient.
        batch.background.fill(if step % STEPS == STEPS - 1 { 0.5 } else { 0.0 });
    }
}

#[test]
fn no_training_step_allocates() {
    let text = |value: &str| Value::Text(value.to_owned());
    let wrapped = vec![
        ("optimizer".to_owned(), text("radam")),
        ("schedule".to_owned(), text("reduce_on_plateau")),
        ("plateau_steps".to_owned(), Value::Int(2)),
        ("accumulate".to_owned(), Value::Int(2)),
        ("lookahead".to_owned(), Value::Int(2)),
        ("average".to_owned(), text("swa")),
        ("clip_norm".to_owned(), Value::Float(1.0)),
    ];
    let mixed =
        vec![("storage".to_owned(), text("bf16")), ("loss_scaling".to_owned(), text("dynamic"))];
    let learners = [Vec::new(), wrapped, mixed];
    let models = [("mlp", "hidden"), ("cnn", "channels")];
    for ((model, size), given) in models.iter().flat_map(|m| learners.iter().map(move |l| (*m, l)))
    {
        // Once is enough for what goes around any optimizer.
        if model == "mlp" && !given.is_empty() {
            continue;
        }
        let wanted = given;
        for mode in [structure::Mode::Dense, structure::Mode::Structured] {
            let found = speck_models::find(model).expect("a model");
            let given = [(size.to_owned(), Value::List(vec![Value::Int(20)]))];
            let settings = resolve(found.dimensions, &given).expect("settings");
            let model = (found.make)(&settings).expect("a model").into();
            let entry = speck_learners::find("gradient").expect("a learner");
            let settings = resolve(entry.dimensions, wanted).expect("settings");
            let (kernels, float) = (Choice::default(), DType::F32);
            let setup = Setup { model, shape: SHAPE, seed: 1, kernels, float, mode };
            let mut learner = (entry.make)(&settings, setup).expect("a learner");
            for threads in [1, 2] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let mut made = || {
                    learner.learn(&Specks, STEPS - 4).expect("steps");
                    allocations(|| {
                        learner.learn(&Specks, 4).expect("steps");
                    })
                };
                let tries: Vec<_> = pool.expect("a pool of threads").install(|| {
                    rayon::broadcast(|_| ());
                    (0..TRIES).map(|_| made()).take_while(|made| *made > 0).collect()
                });
                assert!(tries.len() < TRIES, "{} {mode:?} {threads}: {tries:?}", found.name);
            }
        }
    }
}
