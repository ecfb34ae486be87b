//! A curriculum: from easy data to the run's own.

use super::{Regimen, Start, Stretch, parts, total};
use crate::config::RunConfig;
use crate::data::{DataSettings, SpeckColour};
use speck_models::settings::{Dimension, SettingError, Settings, Value};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "curriculum",
    summary: "data from easy to the run's own, in equal steps: stage i of n has easiest + (own - easiest) · i / (n - 1); weights, moments and schedule go on",
    source: "Bengio, Louradour, Collobert, Weston, \"Curriculum Learning\", 2009",
    dimensions: &[
        Dimension::choice(
            "of",
            "what becomes harder: the number of specks grows to the data's `count`, or their distance from the background shrinks to `distance`",
            &["specks", "contrast"],
            "specks",
        ),
        Dimension::int("stages", "stages, the last one with the run's own data", (1, 1000), 3),
        Dimension::int("fewest", "specks of the first stage (of = specks)", (1, 16), 1),
        Dimension::float(
            "farthest",
            "distance of the first stage (of = contrast)",
            (0.02, 1.732_050_8),
            0.8,
        ),
    ],
    stretches,
};

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    let own = DataSettings::new(&run.data)?;
    let specks = settings.text("of") == "specks";
    let (first, last) = match specks {
        true => (settings.int("fewest") as f64, own.count as f64),
        false => (settings.float("farthest"), own.distance),
    };
    if specks && first >= last {
        let message = format!(
            "the data have {last} specks, which is not more than the {first} of the first stage; \
             give the data a `count` of {} at least, or choose of = contrast",
            first + 1.0
        );
        return Err(SettingError::new("fewest", message));
    }
    let fixed = matches!(own.speck, SpeckColour::Fixed(_) | SpeckColour::Contrast);
    if !specks && fixed {
        let message = "the colour of the specks does not depend on `distance`; \
                       give the data speck = \"near\"";
        return Err(SettingError::new("of", message));
    }
    if !specks && first <= last {
        let message = format!("is not farther than the {last} of the data");
        return Err(SettingError::new("farthest", message));
    }
    let lengths = parts(run, "stages", settings.usize("stages"))?;
    let most = (lengths.len() - 1).max(1) as f64;
    let mut stretches = Vec::new();
    for (index, steps) in lengths.iter().enumerate() {
        let way = if lengths.len() == 1 { 1.0 } else { index as f64 / most };
        let value = first + (last - first) * way;
        let (name, data) = match (way == 1.0, specks) {
            (true, _) => ("the run's own data".to_owned(), run.data.clone()),
            (_, true) => {
                let count = Value::Int(value.round() as i64);
                let data = run.data.with("count", count.clone());
                // Figures of several specks are made of as many as they need.
                let data = match count == Value::Int(own.count as i64) {
                    true => data,
                    false => data.with("arrangement", Value::Text("random".to_owned())),
                };
                (format!("{count} specks"), data)
            }
            (_, false) => {
                (format!("distance {value:.3}"), run.data.with("distance", Value::Float(value)))
            }
        };
        DataSettings::new(&data)?;
        let stretch = Stretch::of(run, name, *steps).scheduled(total(run), 0);
        stretches.push(Stretch { data, start: Start::Everything, ..stretch });
    }
    Ok(stretches)
}
