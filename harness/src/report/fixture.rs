//! A store filled with made-up but plausible results, to look at the report
//! and to test it.

use std::path::Path;

use serde_json::{Value, json};

use crate::store::{CurvePoint, PhaseResults, Plan, RunRecord, Score, Store};

/// The models, and how well each does.
const MODELS: [(&str, &str, f64); 5] = [
    ("linear", "adam", 0.55),
    ("mlp", "adam", 0.7),
    ("cnn", "adam", 0.8),
    ("cnn with coordinates", "adam", 0.95),
    ("hebbian", "hebbian", 0.4),
];

const COUNTS: [(u64, &[&str]); 4] = [
    (2, &["random", "line", "diagonal", "edges"]),
    (3, &["random", "line", "diagonal", "edges"]),
    (4, &["random", "line", "diagonal", "rectangle", "edges"]),
    (6, &["random", "line", "diagonal", "two-rectangles", "edges"]),
];

const COLOURS: [&str; 5] = ["training", "other", "random", "near", "contrast"];

/// Numbers that look random and are the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `value` give or take a little, within [0, 1].
    fn near(&mut self, value: f64) -> f64 {
        (value + 0.06 * (self.next() - 0.5)).clamp(0.0, 1.0)
    }
}

/// All five models with two seeds and all phases.
pub(super) fn fill(path: &Path) -> Store {
    let mut store = Store::open(path).unwrap();
    let mut plan = Plan { name: "first".to_string(), runs: Vec::new() };
    for (place, (model, learner, skill)) in MODELS.iter().enumerate() {
        for seed in 0..2 {
            let run = record(place, model, learner, seed);
            plan.runs.push(run.id.clone());
            store.record_run(&run).unwrap();
            let mut noise = Noise(place as u64 * 1000 + seed);
            let mut finish = |phase: &str, results: PhaseResults| {
                store.finish_phase(&run.id, phase, &results).unwrap();
            };
            finish("train", train(&mut noise, *skill, *learner == "adam"));
            finish("battery/general", general(&mut noise, *skill));
            finish("battery/generalization", generalization(&mut noise, *skill));
            for task in ["count", "colour", "both"] {
                for setting in ["same", "other"] {
                    for start in ["retrain", "scratch"] {
                        let phase = format!("transfer-7e57ab1e/{task}/{setting}/{start}");
                        finish(&phase, transfer(&mut noise, *skill, task, setting, start));
                    }
                }
            }
            for (dimension, value) in
                [("background", "white"), ("background", "random per sample"), ("speck", "near")]
            {
                let phase = format!("meta-5eed0001/{dimension}/{value}");
                finish(&phase, meta(&mut noise, *skill, dimension, value));
            }
        }
    }
    store.set_plan(&plan).unwrap();
    store
}

pub(super) fn record(place: usize, model: &str, learner: &str, seed: u64) -> RunRecord {
    RunRecord {
        id: format!("{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(place as u64 * 2 + seed + 1)),
        label: format!("{model}, {learner}, seed {seed}"),
        config_json: json!({
            "version": 1,
            "data": {"background": "black", "speck": "white", "positions": "all"},
            "model": {"kind": model, "width": 64, "depth": place},
            "learner": {"kind": learner, "rate": 0.003, "steps": 2000},
            "seed": seed,
        })
        .to_string(),
        seed,
        model: model.to_string(),
        learner: learner.to_string(),
        data_label: "white on black".to_string(),
    }
}

pub(super) fn score(battery: &str, cell: &str, metric: &str, value: Option<f64>) -> Score {
    Score {
        battery: battery.to_string(),
        cell: cell.to_string(),
        metric: metric.to_string(),
        value,
        cases: 4096,
    }
}

fn train(noise: &mut Noise, skill: f64, gradient: bool) -> PhaseResults {
    let mut results = PhaseResults::default();
    let mut point = |series: &str, step: u64, value: f64| {
        results.curves.push(CurvePoint { series: series.to_string(), step, value });
    };
    for step in (0..=2000).step_by(50) {
        let learned = 1.0 - (-(step as f64) * skill / 180.0).exp();
        if gradient {
            point("loss", step, 8.3 * (1.0 - learned) + 0.003 + 0.02 * noise.next());
            point("rate", step, 0.003);
        }
        point("exact hit", step, noise.near(learned * skill.powf(0.05)));
    }
    let exact: Vec<Value> = (0..4096)
        .map(|cell| {
            let (row, column) = (cell / 64, cell % 64);
            let edge = row.min(column).min(63 - row).min(63 - column) as f64;
            let miss = (1.0 - skill) * (0.9 - edge / 18.0) + (0.45 - skill).max(0.0);
            match (row > 47 && column > 47, skill < 0.5) {
                (true, true) => Value::Null,
                _ => json!(if noise.next() < miss { 0.0 } else { 1.0 }),
            }
        })
        .collect();
    let distance: Vec<f64> = exact
        .iter()
        .map(|hit| match hit.as_f64() {
            Some(1.0) => 0.0,
            _ => (noise.next() * 9.0).ceil(),
        })
        .collect();
    let brightness: Vec<f64> =
        exact.iter().map(|hit| hit.as_f64().unwrap_or(0.0) * noise.near(0.9)).collect();
    for (cell, value) in [("training positions", skill.powf(0.05)), ("held-out positions", skill)] {
        for metric in ["row hit", "column hit", "axis hit", "exact hit", "brightness"] {
            results.scores.push(score("train", cell, metric, Some(noise.near(value))));
        }
        results.scores.push(score("train", cell, "pixel distance", Some(3.0 * (1.0 - skill))));
    }
    let pictures = [
        ("training position", vec![[31, 12]], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        ("corner", vec![[0, 63]], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        ("random colours", vec![[50, 40]], [0.2, 0.5, 0.35], [0.9, 0.3, 0.6]),
        ("3 specks, line", vec![[10, 8], [10, 30], [10, 52]], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    ];
    let samples: Vec<Value> = pictures
        .iter()
        .map(|(title, positions, background, colour)| {
            let mut profile = |axis: usize| -> Vec<f64> {
                let mut values: Vec<f64> =
                    (0..64).map(|_| (1.0 - skill) * 0.4 * noise.next()).collect();
                for position in positions {
                    values[position[axis]] = noise.near(skill);
                }
                values
            };
            json!({
                "title": title, "positions": positions, "background": background, "size": 1,
                "colours": vec![colour; positions.len()],
                "rows": profile(0), "columns": profile(1),
            })
        })
        .collect();
    results.artefacts = vec![
        (
            "error map".to_string(),
            json!({"exact": exact, "distance": distance, "brightness": brightness}),
        ),
        ("samples".to_string(), json!(samples)),
        (
            "model".to_string(),
            json!({"parameters": (skill * 1e6) as u64, "flops_per_step": (skill * 3e8) as u64,
                   "plan": {"structured": true, "why": "structured, as asked for", "ops": []},
                   "ledger": {
                       "total": work(3_000_000, 40_000), "ops": [
                           op("conv.0", "conv2d", false, work(1_000_000, 10_000)),
                           op("conv.0", "conv2d", true, work(2_000_000, 20_000)),
                           op("loss", "log", false, work(0, 10_000)),
                       ],
                   },
                   "program": "render   [64,3,64,64]  0 FLOPs\nlinear   [64,128]      100663296 FLOPs  matmul:matrixmultiply"}),
        ),
        (
            "timing".to_string(),
            json!({"seconds": 20.0 * skill, "steps": 2000, "milliseconds_per_step": 10.0 * skill}),
        ),
    ];
    results
}

fn work(dense: u64, executed: u64) -> serde_json::Value {
    let cost = |flops: u64| json!({"flops": flops, "bytes": 2 * flops});
    json!({"dense": cost(dense), "executed": cost(executed)})
}

fn op(layer: &str, name: &str, backward: bool, work: serde_json::Value) -> serde_json::Value {
    let mut value = work;
    value["layer"] = json!(layer);
    value["op"] = json!(name);
    value["backward"] = json!(backward);
    value
}

fn general(noise: &mut Noise, skill: f64) -> PhaseResults {
    let mut results = PhaseResults::default();
    let cells = [
        ("training colours", 0.05),
        ("near colours", 2.0),
        ("far colours", 0.4),
        ("random colours", 3.0),
        ("corners", 0.6),
        ("borders", 0.5),
        ("held-out positions", 1.0),
    ];
    for (cell, power) in cells {
        for metric in ["exact hit", "row hit", "column hit", "axis hit", "brightness"] {
            let value = noise.near(skill.powf(power));
            results.scores.push(score("general", cell, metric, Some(value)));
        }
        let error = noise.near(0.2 * (1.0 - skill));
        results.scores.push(score("general", cell, "calibration", Some(error)));
        let distance = (cell != "corners").then_some(20.0 * (1.0 - skill).powf(1.5));
        results.scores.push(score("general", cell, "pixel distance", distance));
    }
    results
}

fn generalization(noise: &mut Noise, skill: f64) -> PhaseResults {
    let mut results = PhaseResults::default();
    for (count, arrangements) in COUNTS {
        for arrangement in arrangements {
            for (place, colour) in COLOURS.iter().enumerate() {
                let cell = format!("{count} specks, {arrangement}, {colour}");
                let power = 0.3 * count as f64 + 0.5 * place as f64;
                for metric in ["f1", "precision", "recall", "map", "exact set"] {
                    let value = noise.near(skill.powf(power));
                    results.scores.push(score("generalization", &cell, metric, Some(value)));
                }
            }
        }
    }
    results
}

fn transfer(noise: &mut Noise, skill: f64, task: &str, setting: &str, start: &str) -> PhaseResults {
    let mut results = PhaseResults::default();
    let retrain = start == "retrain";
    let pace =
        if setting == "same" { 1.0 } else { 2.0 } * skill / if retrain { 60.0 } else { 200.0 };
    let metric = if task == "colour" { "exact hit" } else { "f1" };
    let limit = skill.powf(0.2);
    let begin = if retrain { 0.3 * skill } else { 0.0 };
    let mut reached = None;
    for step in (0..=500).step_by(20) {
        let value = noise.near(begin + (limit - begin) * (1.0 - (-(step as f64) * pace).exp()));
        if value >= 0.9 && reached.is_none() {
            reached = Some(step as f64);
        }
        for (series, value) in
            [("new task", value), ("old task", noise.near(1.0 - 0.0006 * step as f64))]
        {
            results.curves.push(CurvePoint { series: series.to_string(), step, value });
        }
    }
    let cell = format!("{task}, {setting}, {start}");
    for (metric, value) in [
        ("steps to threshold", reached),
        ("area", Some(noise.near(limit * 0.8))),
        ("final", Some(noise.near(limit))),
        ("forgetting", retrain.then(|| noise.near(0.3))),
    ] {
        results.scores.push(score("transfer", &cell, metric, value));
    }
    results.artefacts.push((
        "description".to_string(),
        json!({"metric": metric, "threshold": 0.9, "task": task, "setting": setting}),
    ));
    results
}

fn meta(noise: &mut Noise, skill: f64, dimension: &str, value: &str) -> PhaseResults {
    let mut results = PhaseResults::default();
    let columns = [
        ("background", ["black", "white", "random per sample"]),
        ("speck", ["white", "near", "contrast"]),
        ("positions", ["all", "quadrant", "border"]),
    ];
    for (other, values) in columns {
        for measured in values {
            let before = noise.near(0.4 * skill);
            let gain = match (other == dimension, measured == value) {
                (true, true) => 0.6,
                (true, false) => -0.2 + 0.5 * noise.next(),
                _ => -0.1 + 0.25 * noise.next(),
            };
            let after = (before + gain).clamp(0.0, 1.0);
            let cell = format!("{other}={measured}");
            for (metric, value) in [("before", before), ("after", after), ("gain", after - before)]
            {
                results.scores.push(score("meta", &cell, metric, Some(value)));
            }
        }
    }
    results
}
