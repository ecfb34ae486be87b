//! Schedules against their formulas; more of them are held to PyTorch's by the
//! conformance tests.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor};
use speck_learners::gradient::Recorded;
use speck_learners::gradient::schedules::{self, Place};
use speck_models::settings::{Settings, Value, resolve};

const TOTAL: u64 = 100;

fn settings(given: &[(&str, Value)]) -> Settings {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    resolve(speck_learners::find("gradient").unwrap().dimensions, &given).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// The rates of all steps, from a base of 2.
fn rates(given: &[(&str, Value)]) -> Vec<f64> {
    let schedule = schedules::make(&settings(given));
    let memory = schedule.memory();
    let rate = |step| schedule.rate(Place { base: 2.0, step, total: TOTAL }, &memory);
    (0..TOTAL).map(rate).collect()
}

fn hold(given: &[(&str, Value)], formula: impl Fn(f64) -> f64) {
    for (step, found) in rates(given).into_iter().enumerate() {
        let wanted = formula(step as f64);
        assert!((found - wanted).abs() <= 1e-12, "{given:?} {step}: {found} instead of {wanted}");
    }
}

#[test]
fn schedules_without_a_reference_follow_their_formulas() {
    let schedule = |name| ("schedule", text(name));
    let scale = ("timescale", Value::Int(30));
    hold(&[schedule("inverse_square_root"), scale], |t| 2.0 * (30.0 / (30.0 + t)).sqrt());
    let share = ("decay_share", Value::Float(0.25));
    let last = ("final_rate", Value::Float(0.1));
    for (form, left) in [
        ("linear", (|x| 1.0 - x) as fn(f64) -> f64),
        ("cosine", |x| 0.5 * (1.0 + (std::f64::consts::PI * x).cos())),
        ("sqrt", |x| 1.0 - x.sqrt()),
    ] {
        let given =
            [schedule("warmup_stable_decay"), share.clone(), last.clone(), ("decay", text(form))];
        hold(&given, |t| {
            let into = ((t - 75.0) / 25.0).max(0.0);
            2.0 * (0.1 + 0.9 * left(into))
        });
    }
    let top = ("max_lr", Value::Float(32.0));
    hold(&[schedule("range_test"), top.clone()], |t| 2.0 * 16f64.powf(t / 99.0));
    hold(&[schedule("range_test"), top, ("rise", text("linear"))], |t| 2.0 + 30.0 * t / 99.0);
}

#[test]
fn a_warm_up_stands_in_front_of_any_schedule() {
    for entry in schedules::ALL {
        let own = ("schedule", text(entry.name));
        let plain = {
            let schedule = schedules::make(&settings(std::slice::from_ref(&own)));
            let memory = schedule.memory();
            let rate = |step| schedule.rate(Place { base: 2.0, step, total: TOTAL - 10 }, &memory);
            (0..TOTAL - 10).map(rate).collect::<Vec<_>>()
        };
        for (kind, rise) in [
            ("linear", (|x| 0.2 + 0.8 * x) as fn(f64) -> f64),
            ("exponential", |x| 0.2f64.powf(1.0 - x)),
            ("constant", |_| 0.2),
        ] {
            let given = [
                own.clone(),
                ("warmup", text(kind)),
                ("warmup_steps", Value::Int(10)),
                ("warmup_factor", Value::Float(0.2)),
            ];
            let found = rates(&given);
            for step in 0..10 {
                let wanted = plain[0] * rise(step as f64 / 10.0);
                assert!((found[step] - wanted).abs() < 1e-12, "{} {kind} {step}", entry.name);
            }
            assert_eq!(found[10..], plain, "{} {kind}", entry.name);
        }
    }
}

#[test]
fn every_schedule_gives_rates_within_its_bounds_for_ever() {
    for entry in schedules::ALL {
        assert!(entry.source.len() > 5 && entry.summary.len() > 5, "{}", entry.name);
        let schedule = schedules::make(&settings(&[("schedule", text(entry.name))]));
        let memory = schedule.memory();
        for step in (0..1000).chain([1 << 20, 1 << 40]) {
            let rate = schedule.rate(Place { base: 2.0, step, total: TOTAL }, &memory);
            assert!((0.0..=20.0).contains(&rate), "{} {step}: {rate}", entry.name);
        }
    }
}

#[test]
fn a_plateau_is_measured_over_several_steps() {
    let given = [
        ("schedule", text("reduce_on_plateau")),
        ("plateau_steps", Value::Int(5)),
        ("plateau_patience", Value::Int(1)),
        ("factor", Value::Float(0.5)),
    ];
    let schedule = schedules::make(&settings(&given));
    let mut memory = schedule.memory();
    let mut rates = Vec::new();
    for step in 0..30 {
        let place = Place { base: 2.0, step, total: TOTAL };
        rates.push(schedule.rate(place, &memory));
        // The mean of five steps is 3 throughout, the losses themselves vary.
        schedule.observe(place, (step % 5) as f64 + 1.0, &mut memory);
    }
    // The first measurement is the best; two more are no better, then it falls.
    assert_eq!((rates[14], rates[15], rates[24], rates[25]), (2.0, 1.0, 1.0, 0.5));
}

/// A number in (-1, 1) that depends on its place.
fn noise(seed: u64, at: usize) -> f64 {
    let mut bits = (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Twelve updates of three weights with `noise` as weights (seed 99) and gradients
/// (the step, from 1), by PyTorch 2 in f64: the momentum of each step, and the
/// weights behind the last.
#[test]
fn momentum_is_cycled_as_pytorch_cycles_it() {
    let number = Value::Float;
    let cycle = ("cycle_momentum", Value::Bool(true));
    let range =
        |low, high| [("base_momentum", number(low)), ("max_momentum", number(high))].to_vec();
    let one = [vec![("schedule", text("one_cycle")), ("max_lr", number(0.1))], range(0.85, 0.95)];
    let three = [
        ("schedule", text("one_cycle")),
        ("max_lr", number(0.1)),
        ("three_phase", Value::Bool(true)),
        ("anneal", text("linear")),
    ];
    let three = [three.to_vec(), range(0.6, 0.9)];
    let cyclic = [
        ("schedule", text("cyclic")),
        ("max_lr", number(0.1)),
        ("step_size_up", Value::Int(3)),
        ("step_size_down", Value::Int(4)),
        ("cycle_mode", text("triangular2")),
    ];
    let cyclic = [cyclic.to_vec(), range(0.7, 0.9)];
    let of_one = [
        0.95,
        0.9177302443521267,
        0.8625744625914449,
        0.8505584586887436,
        0.856698729810778,
        0.8688255099070633,
        0.8852622412794547,
        0.9037365046793212,
        0.9216941869558779,
        0.9366525935914912,
        0.9465436874322102,
        0.95,
    ];
    let of_three = [
        0.9,
        0.7846153846153846,
        0.6692307692307692,
        0.6461538461538462,
        0.7615384615384616,
        0.876923076923077,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
    ];
    let of_cyclic = [
        0.9,
        0.8333333333333334,
        0.7666666666666667,
        0.7,
        0.75,
        0.8,
        0.85,
        0.9,
        0.8666666666666667,
        0.8333333333333334,
        0.8,
        0.825,
    ];
    for (optimizer, given, momenta, weights) in [
        ("momentum", &one, of_one, [0.19358444814792303, -0.8780190391501991, 0.6355112709530119]),
        (
            "nesterov",
            &three,
            of_three,
            [-0.20186323471223475, -0.8468686219267514, 0.6855368104155732],
        ),
        (
            "rmsprop",
            &cyclic,
            of_cyclic,
            [3.042076834254665, -3.7925093223693316, -2.377834708363568],
        ),
        ("adam", &one, of_one, [-0.280563253692765, -0.8434046204398241, 0.7679431420368896]),
        (
            "adamw",
            &cyclic,
            of_cyclic,
            [-0.3410028778662978, -0.797235877189411, 0.6896609901230834],
        ),
    ] {
        let mut all = vec![
            ("optimizer", text(optimizer)),
            ("rate", number(0.02)),
            ("steps", Value::Int(12)),
            cycle.clone(),
        ];
        all.extend(given.iter().flatten().cloned());
        let settings = settings(&all);
        let schedule = schedules::make(&settings);
        let start = Tensor::from_f64(&[3], (0..3).map(|at| noise(99, at)).collect());
        let start = [("w".to_owned(), start)];
        let mut found = Recorded::new(&settings, &start, DType::F64, Choice::default()).unwrap();
        for step in 0..12 {
            let momentum = schedule.momentum(Place { base: 0.02, step, total: 12 }).unwrap();
            let wanted = momenta[step as usize];
            assert!((momentum - wanted).abs() < 1e-14, "{optimizer} {step}: {momentum}");
            found.step(&[(0..3).map(|at| noise(step + 1, at)).collect()]).unwrap();
        }
        let found = found.state().get("w").unwrap().to_f64();
        for (found, wanted) in found.iter().zip(weights) {
            assert!((found - wanted).abs() < 1e-10, "{optimizer}: {found}, {wanted}");
        }
    }
    // Behind a warm-up it is what the schedule says at its own first step.
    let mut given = one.concat();
    given.extend([cycle.clone(), ("warmup_steps", Value::Int(5))]);
    let schedule = schedules::make(&settings(&given));
    let momentum = |step| schedule.momentum(Place { base: 0.1, step, total: 17 }).unwrap();
    assert_eq!((momentum(0), momentum(5)), (0.95, 0.95));
    assert!((momentum(8) - of_one[3]).abs() < 1e-14);
    // An optimizer whose momentum is fixed says so.
    given.push(("optimizer", text("lamb")));
    let start = [("w".to_owned(), Tensor::from_f64(&[1], vec![0.0]))];
    let error = Recorded::new(&settings(&given), &start, DType::F64, Choice::default());
    assert!(error.err().unwrap().to_string().contains("whose momentum can be set"));
}
