//! Transfer: how much retraining buys how much.
//!
//! A network trained on one task is retrained on another: with more specks,
//! with another colour, with both; with the learning settings it was trained
//! with, and with another rate. Beside each retraining a new network is
//! trained on the same data with the same settings. The curves say what the
//! first training was worth, and the old task, measured along the way, what is
//! forgotten.

use super::{Leg, Measurement, Outcome, Protocol, Start};
use crate::config::RunConfig;
use crate::data::DataSettings;
use crate::run::evaluate::headline;
use crate::store::{PhaseResults, Score};
use serde_json::json;
use speck_models::settings::{DefaultValue, Dimension, Kind, SettingError, Settings, Value};

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "transfer",
    summary: "retrain on more specks, another colour, or both, beside training from scratch",
    dimensions: &[
        Dimension {
            name: "steps",
            doc: "steps of each retraining",
            kind: Kind::Int { min: 1, max: 100_000_000 },
            default: DefaultValue::Int(150),
        },
        Dimension {
            name: "count",
            doc: "specks of the task with another number of them",
            kind: Kind::Int { min: 1, max: 16 },
            default: DefaultValue::Int(2),
        },
        Dimension {
            name: "speck",
            doc: "colour of the task with another colour",
            kind: Kind::Colour {
                also: &["near", "contrast", "between", "random-batch", "random-sample"],
            },
            default: DefaultValue::Text("red"),
        },
        Dimension {
            name: "rate_factor",
            doc: "the other learning setting: the learner's rate times this",
            kind: Kind::Float { min: 1e-6, max: 1e6 },
            default: DefaultValue::Float(0.3),
        },
        Dimension {
            name: "threshold",
            doc: "performance whose first reaching is reported in steps",
            kind: Kind::Float { min: 0.0, max: 1.0 },
            default: DefaultValue::Float(0.9),
        },
        Dimension {
            name: "samples",
            doc: "samples of each measurement",
            kind: Kind::Int { min: 1, max: 1 << 20 },
            default: DefaultValue::Int(256),
        },
    ],
    legs,
};

fn legs(run: &RunConfig, settings: &Settings) -> Result<Vec<Leg>, SettingError> {
    let count = Value::Int(settings.int("count"));
    let colour = Value::Text(settings.text("speck").to_owned());
    let more = run.data.with("count", count).with("arrangement", Value::Text("random".to_owned()));
    let tasks = [
        ("count", more.clone()),
        ("colour", run.data.with("speck", colour.clone())),
        ("both", more.with("speck", colour)),
    ];
    let same = run.learner.1.with("steps", Value::Int(settings.int("steps")));
    // A learner without a rate has no other setting to try.
    let factor = settings.float("rate_factor");
    let other =
        same.get("rate").map(|_| same.with("rate", Value::Float(same.float("rate") * factor)));
    let learners: Vec<_> = [("same", Some(same)), ("other", other)]
        .into_iter()
        .filter_map(|(n, s)| Some((n, s?)))
        .collect();
    let samples = settings.usize("samples");
    let old = DataSettings::new(&run.data)?;
    let mut legs = Vec::new();
    for (task, data) in tasks {
        let new = DataSettings::new(&data)?;
        for (setting, learner) in &learners {
            let setting = *setting;
            for (word, start) in [("retrain", Start::Trained), ("scratch", Start::Scratch)] {
                let measured = |name: &str, data: &DataSettings| Measurement {
                    name: name.to_owned(),
                    data: data.clone(),
                    samples,
                };
                let mut watched = vec![("new task", measured(task, &new))];
                if start == Start::Trained {
                    watched.push(("old task", measured("old task", &old)));
                }
                let threshold = settings.float("threshold");
                let metric = headline(&new);
                // What the leg is done with, so that the report can say it.
                let used = (json!(data), json!(learner));
                legs.push(Leg {
                    name: format!("{task}/{setting}/{word}"),
                    data: data.clone(),
                    learner: learner.clone(),
                    start,
                    watched,
                    compared: Vec::new(),
                    results: Box::new(move |outcome| {
                        let cell = format!("{task}, {setting}, {word}");
                        let mut results = summary(&cell, outcome, threshold, samples as u64);
                        let description = json!({
                            "metric": metric,
                            "threshold": threshold,
                            "task": task,
                            "setting": setting,
                            "data": used.0,
                            "learner": used.1,
                        });
                        results.artefacts.push(("description".to_owned(), description));
                        results
                    }),
                });
            }
        }
    }
    Ok(legs)
}

/// Steps to the threshold, mean over the curve (its area by the trapezoid rule,
/// divided by the steps), the last value, and what the old task lost.
fn summary(cell: &str, outcome: &Outcome, threshold: f64, cases: u64) -> PhaseResults {
    let new = outcome.record.series("new task");
    let old = outcome.record.series("old task");
    let reached = new.iter().find(|(_, value)| *value >= threshold).map(|(step, _)| *step as f64);
    let area: f64 =
        new.windows(2).map(|w| (w[1].0 - w[0].0) as f64 * (w[0].1 + w[1].1) / 2.0).sum();
    let length = new.last().map_or(0, |(step, _)| *step);
    let area = (length > 0).then(|| area / length as f64);
    let mut values = vec![
        ("steps to threshold", reached),
        ("area", area),
        ("final", new.last().map(|(_, value)| *value)),
    ];
    if let (Some((_, first)), Some((_, last))) = (old.first(), old.last()) {
        values.push(("forgetting", Some(first - last)));
    }
    let score = |(metric, value): (&str, Option<f64>)| Score {
        battery: "transfer".to_owned(),
        cell: cell.to_owned(),
        metric: metric.to_owned(),
        value,
        cases,
    };
    PhaseResults {
        scores: values.into_iter().map(score).collect(),
        curves: outcome.record.points(),
        artefacts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::stage::Record;

    #[test]
    fn the_summary_of_a_curve() {
        let curve = |series: &str, points: &[(u64, f64)]| {
            points.iter().map(|(s, v)| (series.to_owned(), *s, Some(*v))).collect::<Vec<_>>()
        };
        let mut curves = curve("new task", &[(0, 0.0), (10, 0.5), (20, 1.0)]);
        curves.extend(curve("old task", &[(0, 1.0), (10, 0.9), (20, 0.25)]));
        let mut record = Record::default();
        record.curves = curves;
        let outcome = Outcome { record, before: Vec::new(), after: Vec::new() };
        let value = |metric: &str, threshold: f64| {
            let results = summary("cell", &outcome, threshold, 8);
            results.scores.iter().find(|s| s.metric == metric).and_then(|s| s.value)
        };
        assert_eq!(value("steps to threshold", 0.5), Some(10.0));
        assert_eq!(value("steps to threshold", 1.5), None);
        assert_eq!(value("area", 0.5), Some(0.5));
        assert_eq!(value("final", 0.5), Some(1.0));
        assert_eq!(value("forgetting", 0.5), Some(0.75));
    }
}
