//! Meta-generalization: does adapting along one dimension help on others?
//!
//! A network trained with one value of a dimension (say the speck's colour) is
//! measured on every value of every dimension. It is then retrained on another
//! value and measured again. The gains form a matrix: rows are what was
//! retrained on, columns what was measured.

use super::{Leg, Measurement, Outcome, Protocol, Start};
use crate::config::RunConfig;
use crate::data::DataSettings;
use crate::run::evaluate::headline;
use crate::store::{PhaseResults, Score};
use serde_json::json;
use speck_models::settings::{DefaultValue, Dimension, Kind, SettingError, Settings, Value};

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "meta",
    summary: "retrain on the other values of a dimension; gains on all values of all dimensions",
    dimensions: &[
        Dimension {
            name: "dimension",
            doc: "the dimension of the data along which to retrain",
            kind: Kind::Choice(&["speck", "background", "count", "size"]),
            default: DefaultValue::Text("speck"),
        },
        Dimension {
            name: "steps",
            doc: "steps of each retraining",
            kind: Kind::Int { min: 1, max: 100_000_000 },
            default: DefaultValue::Int(100),
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

/// The values of each dimension that are trained on and measured.
fn values() -> [(&'static str, Vec<Value>); 4] {
    let texts = |values: &[&str]| values.iter().map(|v| Value::Text((*v).to_owned())).collect();
    let numbers = |values: &[i64]| values.iter().map(|v| Value::Int(*v)).collect();
    [
        ("speck", texts(&["white", "red", "green", "near"])),
        ("background", texts(&["black", "#404040", "blue", "random-sample"])),
        ("count", numbers(&[1, 2, 3])),
        ("size", numbers(&[1, 2, 3])),
    ]
}

/// The training data with one dimension changed; `None` if that cannot be (a
/// speck of the background's own colour).
fn changed(base: &Settings, dimension: &str, value: &Value) -> Option<(Settings, DataSettings)> {
    let mut settings = base.with(dimension, value.clone());
    if dimension == "count" {
        settings = settings.with("arrangement", Value::Text("random".to_owned()));
    }
    let data = DataSettings::new(&settings).ok()?;
    Some((settings, data))
}

fn legs(run: &RunConfig, settings: &Settings) -> Result<Vec<Leg>, SettingError> {
    let samples = settings.usize("samples");
    let mut measured: Vec<Measurement> = Vec::new();
    for (dimension, values) in values() {
        for value in values {
            if let Some((_, data)) = changed(&run.data, dimension, &value) {
                measured.push(Measurement { name: format!("{dimension}={value}"), data, samples });
            }
        }
    }
    let along = settings.text("dimension");
    let own = run.data.get(along).cloned();
    let candidates = values().into_iter().filter(|(name, _)| *name == along);
    let mut legs = Vec::new();
    for value in candidates.flat_map(|(_, values)| values).filter(|v| Some(v) != own.as_ref()) {
        let Some((data, _)) = changed(&run.data, along, &value) else { continue };
        let cells: Vec<_> = measured.iter().map(|m| (m.name.clone(), headline(&m.data))).collect();
        let learner = run.learner.1.with("steps", Value::Int(settings.int("steps")));
        // What the leg is done with, so that the report can say it.
        let used = (json!(data), json!(learner));
        legs.push(Leg {
            name: format!("{along}/{value}"),
            data,
            learner,
            start: Start::Trained,
            watched: Vec::new(),
            compared: measured.clone(),
            results: Box::new(move |outcome| gains(&cells, &used, outcome)),
        });
    }
    Ok(legs)
}

/// `used`: the settings of the data and of the learner.
fn gains(
    cells: &[(String, &'static str)],
    used: &(serde_json::Value, serde_json::Value),
    outcome: &Outcome,
) -> PhaseResults {
    let mut results = PhaseResults { curves: outcome.record.points(), ..PhaseResults::default() };
    for (i, (cell, _)) in cells.iter().enumerate() {
        let ((before, cases), (after, _)) = (outcome.before[i], outcome.after[i]);
        let gain = before.zip(after).map(|(before, after)| after - before);
        for (metric, value) in [("before", before), ("after", after), ("gain", gain)] {
            results.scores.push(Score {
                battery: "meta".to_owned(),
                cell: cell.clone(),
                metric: metric.to_owned(),
                value,
                cases,
            });
        }
    }
    let metrics: serde_json::Map<_, _> =
        cells.iter().map(|(cell, metric)| (cell.clone(), json!(metric))).collect();
    let description = json!({
        "metric": "exact hits of one speck, F1 of several",
        "metrics": metrics,
        "data": used.0,
        "learner": used.1,
    });
    results.artefacts.push(("description".to_owned(), description));
    results
}
