use super::*;
use crate::config::Experiment;
use crate::data::DataSettings;
use crate::regimens::layers;
use crate::registries;
use speck_models::settings::Value;

const RATE: f64 = 0.05;

/// A run of 12 steps by stochastic gradient descent, without a schedule.
fn run(model: &str, regimen: &str) -> RunConfig {
    // Tasks have to differ.
    let meta = ["\"maml\"", "\"reptile\""].iter().any(|kind| regimen.contains(kind));
    let speck = if meta { "random-batch" } else { "near" };
    let text = format!(
        "[data]\nspeck = \"{speck}\"\ncount = 2\n\
         [learner.gradient]\nsteps = 12\nbatch = 8\noptimizer = \"sgd\"\nrate = {RATE}\n\
         [[model]]\n{model}\n[[regimen]]\n{regimen}\n"
    );
    let experiment = Experiment::parse(&text, "test.toml", &registries()).unwrap();
    experiment.runs.into_iter().next().unwrap()
}

const NORMED: &str =
    "kind = \"cnn\"\nchannels = [2, 3]\nnorm = \"batch\"\ndropout = 0.2\nresidual = \"none\"";
const BARE: &str = "kind = \"cnn\"\nchannels = [2, 3]";

fn making() -> Making {
    Making { kernels: Choice::default(), mode: Mode::Auto }
}

/// Batches that a course does not look at.
struct Unused;

impl Batches for Unused {
    fn shape(&self) -> BatchShape {
        DataSettings::default().shape(1)
    }
    fn fill(&self, _: u64, _: &mut SpeckBatch) {}
}

fn state(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    slots(learner.state().unwrap())
}

fn values(state: &[(String, Tensor)], name: &str) -> Vec<f32> {
    let found = state.iter().find(|(slot, _)| slot == name);
    let (_, tensor) = found.unwrap_or_else(|| panic!("no slot {name}"));
    tensor.values::<f32>().unwrap().to_vec()
}

/// Weights that a plain learner has after one step from `before`, on the batch
/// that the run has in that step.
fn stepped(run: &RunConfig, before: &[(String, Tensor)], step: u64) -> Vec<(String, Tensor)> {
    let batch = run.learner.1.usize("batch");
    let source = training::source(&run.data, batch, run.seed, super::super::job::TRAIN).unwrap();
    let Making { kernels, mode } = making();
    let mut plain = learner(run, &run.learner.1, source.shape(), &kernels, mode).unwrap();
    plain.adopt(before).unwrap();
    plain
        .learn(
            &Later {
                source: &Lessons { source: source.clone(), tasks: 1, own: false },
                offset: step,
            },
            1,
        )
        .unwrap();
    state(&mut *plain)
}

#[test]
fn a_course_of_one_stretch_is_the_plain_training() {
    let run = run(NORMED, "kind = \"plain\"");
    let mut course = Course::new(&run, &making()).unwrap();
    let batch = run.learner.1.usize("batch");
    let source = training::source(&run.data, batch, run.seed, super::super::job::TRAIN).unwrap();
    let Making { kernels, mode } = making();
    let mut plain = learner(&run, &run.learner.1, source.shape(), &kernels, mode).unwrap();
    let losses = [course.learn(&Unused, 7).unwrap(), plain.learn(&source, 7).unwrap()];
    assert_eq!(losses[0].to_bits(), losses[1].to_bits());
    let mut found = state(&mut course);
    assert_eq!(found.pop().unwrap().0, COUNT);
    assert_eq!(found, state(&mut *plain));
}

#[test]
fn every_regimen_resumes_to_the_same_bits_wherever_it_was_cut() {
    let mut kinds: Vec<_> =
        regimens::ALL.iter().map(|regimen| format!("kind = \"{}\"", regimen.name)).collect();
    let tuning = "kind = \"fine_tuning\"\nnew_head = true\nmethod";
    kinds.extend(["l2_sp", "adapters"].map(|method| format!("{tuning} = \"{method}\"")));
    kinds.push("kind = \"fine_tuning\"\npretext = \"byol\"".to_owned());
    for kind in kinds {
        // Moments and a schedule that a wrong step would show in.
        let mut run = run(NORMED, &kind);
        for (key, value) in [("optimizer", "adam"), ("schedule", "cosine")] {
            let mut given: Vec<_> =
                run.learner.1.iter().map(|(k, v)| (k.to_owned(), v.clone())).collect();
            given.retain(|(name, _)| name != key);
            given.push((key.to_owned(), Value::Text(value.to_owned())));
            let dimensions = speck_learners::find("gradient").unwrap().dimensions;
            let given = speck_models::settings::applicable(dimensions, &given);
            run.learner.1 = speck_models::settings::resolve(dimensions, &given).unwrap();
        }
        let mut whole = Course::new(&run, &making()).unwrap();
        let mut states = vec![state(&mut whole)];
        for _ in 0..12 {
            whole.learn(&Unused, 1).unwrap();
            states.push(state(&mut whole));
        }
        let cuts = [1, 3, 4, 6, 7, 9, 11];
        for cut in cuts {
            let mut resumed = Course::new(&run, &making()).unwrap();
            resumed.restore(states[cut].clone()).unwrap();
            assert_eq!(resumed.steps(), cut as u64);
            // Asking for the state settles what a step put off, which rounds.
            for wanted in &states[cut + 1..] {
                resumed.learn(&Unused, 1).unwrap();
                assert!(state(&mut resumed) == *wanted, "{kind}, cut after {cut}");
            }
        }
        // Back from a later stretch to an earlier one, as patience goes back.
        whole.restore(states[2].clone()).unwrap();
        whole.learn(&Unused, 1).unwrap();
        assert!(state(&mut whole) == states[3], "{kind}, back to 2");
        // In one piece, as far as nothing was settled in between.
        let mut piece = Course::new(&run, &making()).unwrap();
        assert!(piece.learn(&Unused, 12).unwrap().is_finite(), "{kind}");
        assert_eq!(piece.steps(), 12);
    }
}

#[test]
fn forgetting_keeps_early_layers_and_draws_later_ones_anew() {
    let run = run(NORMED, "kind = \"llf\"\ngenerations = 2");
    let mut course = Course::new(&run, &making()).unwrap();
    let first = state(&mut course);
    course.learn(&Unused, 6).unwrap();
    let before = state(&mut course);
    course.steps = 6;
    course.proceed().unwrap();
    let after = state(&mut course);
    for layer in layers(&run).unwrap() {
        for slot in &layer.slots {
            let [start, old, new] = [&first, &before, &after].map(|state| values(state, slot));
            assert_eq!(old == new, layer.name == "conv.0", "{slot}");
            let drawn = slot.ends_with(".weight") && !slot.starts_with("norm");
            if layer.name != "conv.0" && drawn {
                assert_ne!(new, start, "{slot}: not the first draw again");
                // As the first draw was: uniform within the same bound.
                let most = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                assert!(most(&new) < most(&start) * 1.3, "{slot}");
            }
        }
    }
    assert_eq!(course.learner.steps(), 0, "a new optimizer");
}

#[test]
fn new_layers_begin_as_in_a_new_network() {
    for regimen in ["born_again", "llf"] {
        let mut run = run(BARE, &format!("kind = \"{regimen}\"\ngenerations = 2"));
        let own = run.learner.1.iter().filter(|(key, _)| *key != "initialization");
        let mut given: Vec<_> = own.map(|(k, v)| (k.to_owned(), v.clone())).collect();
        given.push(("initialization".to_owned(), Value::Text("lsuv".to_owned())));
        let dimensions = speck_learners::find("gradient").unwrap().dimensions;
        run.learner.1 = speck_models::settings::resolve(dimensions, &given).unwrap();
        let mut course = Course::new(&run, &making()).unwrap();
        let drawn = state(&mut course);
        course.begin(&Unused).unwrap();
        let begun = state(&mut course);
        let scaled = |old: &[f32], new: &[f32]| {
            let length = |all: &[f32]| all.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
            (length(new) / length(old)).sqrt()
        };
        // Of a later layer, the weight that is scaled most.
        let all = layers(&run).unwrap();
        let later = all[1..].iter().flat_map(|layer| &layer.slots);
        let weights = later.filter(|slot| slot.ends_with(".weight"));
        let ways = weights.map(|slot| (slot, scaled(&values(&drawn, slot), &values(&begun, slot))));
        let most = ways.max_by(|a, b| a.1.ln().abs().total_cmp(&b.1.ln().abs()));
        let (last, wanted) = most.unwrap();
        assert!(wanted.ln().abs() > 0.2, "{last}: {wanted}");
        course.learn(&Unused, 6).unwrap();
        course.proceed().unwrap();
        // Orthogonal weights are of one length, whatever was drawn.
        let new = scaled(&values(&drawn, last), &values(&state(&mut course), last));
        assert!((new / wanted - 1.0).abs() < 0.5, "{regimen}: {new}, at first {wanted}");
    }
}

#[test]
fn early_layers_climb_by_the_papers_formula() {
    let share = 0.25;
    let regimen =
        format!("kind = \"seal\"\ngenerations = 2\nascent_share = 0.5\nascent_rate = {share}");
    let run = run(BARE, &regimen);
    let mut course = Course::new(&run, &making()).unwrap();
    course.learn(&Unused, 6).unwrap();
    let before = state(&mut course);
    course.learn(&Unused, 1).unwrap();
    let climbed = state(&mut course);
    // w - rate · g from a plain step on the same batch.
    let descended = stepped(&run, &before, 6);
    let mut moved = 0;
    for layer in layers(&run).unwrap() {
        for name in &layer.parameters {
            let [old, down, found] =
                [&before, &descended, &climbed].map(|state| values(state, name));
            for ((old, down), found) in old.iter().zip(&down).zip(&found) {
                let gradient = (f64::from(*old) - f64::from(*down)) / RATE;
                let wanted = match layer.name.as_str() {
                    "conv.0" => f64::from(*old) + share * RATE * gradient,
                    _ => f64::from(*old) - RATE * gradient,
                };
                assert!(
                    (f64::from(*found) - wanted).abs() <= 2e-7 * (1.0 + wanted.abs()),
                    "{name}"
                );
                moved += usize::from(gradient.abs() > 1e-4 && layer.name == "conv.0");
            }
        }
    }
    assert!(moved > 0, "the gradient of the early layer is seen");
}

#[test]
fn a_born_again_network_has_the_one_before_as_its_teacher() {
    let run = run(NORMED, "kind = \"born_again\"\ngenerations = 3");
    let mut course = Course::new(&run, &making()).unwrap();
    course.learn(&Unused, 4).unwrap();
    let first = state(&mut course);
    course.learn(&Unused, 3).unwrap();
    let second = state(&mut course);
    for slot in layers(&run).unwrap().iter().flat_map(|layer| &layer.slots) {
        let teacher = values(&second, &format!("learner/teacher/{slot}"));
        assert_eq!(teacher, values(&first, slot), "{slot}");
        if slot.ends_with(".weight") && !slot.starts_with("norm") {
            assert_ne!(values(&second, slot), teacher, "{slot}: the pupil is another network");
        }
    }
}

#[test]
fn a_state_of_another_course_is_refused_and_changes_nothing() {
    let mut other = Course::new(&run(BARE, "kind = \"llf\""), &making()).unwrap();
    other.learn(&Unused, 8).unwrap();
    let saved = state(&mut other);
    let mut course = Course::new(&run(NORMED, "kind = \"llf\""), &making()).unwrap();
    let before = state(&mut course);
    assert!(course.restore(saved).is_err());
    assert_eq!((state(&mut course), course.current), (before, 0));
}

#[test]
fn each_task_of_a_batch_has_a_colour_of_its_own() {
    let run = run(BARE, "kind = \"reptile\"");
    let course = Course::new(&run, &making()).unwrap();
    assert_eq!(course.lessons.shape().samples, 8);
    let batch = |step: u64| {
        let mut batch = SpeckBatch::new(course.lessons.shape());
        course.lessons.fill(step, &mut batch);
        batch
    };
    let one = batch(3);
    // Four tasks of two samples with two specks each.
    let colours: Vec<_> = one.colours.chunks(12).collect();
    for (task, colours) in colours.iter().enumerate() {
        assert!(colours.chunks(3).all(|colour| colour == &colours[..3]), "task {task}");
    }
    assert!((1..4).all(|task| colours[task] != colours[0]));
    assert!(one.positions.iter().all(|at| *at >= 0));
    assert_eq!(batch(3), one);
    assert_ne!(batch(4).colours, one.colours);
}

#[test]
fn every_regimen_is_the_same_on_a_gpu() {
    use speck_engine::kernels::gpu::{Gpu, GpuError};
    let gpu = match Gpu::open(0, false) {
        Ok(gpu) => gpu,
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: {} regimens, for there is no GPU", regimens::ALL.len());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for regimen in regimens::ALL {
        let few = match regimen.dimensions.iter().any(|d| d.name == "generations") {
            true => "generations = 2\n",
            false => "",
        };
        let small = "kind = \"mlp\"\nhidden = [6, 5]";
        let run = run(small, &format!("kind = \"{}\"\n{few}", regimen.name));
        for mode in [Mode::Dense, Mode::Structured] {
            let [mut cpu, mut other] = [None, Some(gpu.clone())].map(|gpu| {
                let making = Making { kernels: Choice::default().on(gpu), mode };
                Course::new(&run, &making).unwrap()
            });
            let before = state(&mut cpu);
            for _ in 0..4 {
                let [wanted, found] = [&mut cpu, &mut other].map(|c| c.learn(&Unused, 3).unwrap());
                assert!((found - wanted).abs() <= 1e-4 * wanted.abs(), "{}", regimen.name);
            }
            let (wanted, found) = (state(&mut cpu), state(&mut other));
            assert_eq!(wanted.len(), found.len(), "{}", regimen.name);
            for ((name, a), (_, b)) in wanted.iter().zip(&found) {
                let [a, b] = [a, b].map(Tensor::to_f64);
                let length = |all: &mut dyn Iterator<Item = f64>| all.map(|x| x * x).sum::<f64>();
                // What was not there at first has come all the way.
                let start =
                    before.iter().find(|(slot, t)| slot == name && t.to_f64().len() == a.len());
                let start = start.map_or_else(|| vec![0.0; a.len()], |(_, tensor)| tensor.to_f64());
                let way = length(&mut a.iter().zip(&start).map(|(a, start)| a - start)).sqrt();
                let away = length(&mut a.iter().zip(&b).map(|(a, b)| a - b)).sqrt();
                let least = 1e-6 * length(&mut a.iter().copied()).sqrt();
                let context = format!("{} {mode:?} {name}: {away:e} of {way:e}", regimen.name);
                assert!(away <= 2e-3 * way + least, "{context}");
            }
        }
    }
}
