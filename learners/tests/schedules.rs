//! Schedules against their formulas; more of them are held to PyTorch's by the
//! conformance tests.

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
