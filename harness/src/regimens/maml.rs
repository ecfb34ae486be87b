//! Learning to learn: the samples of a batch belong to tasks, whose colours differ,
//! and what is trained are weights from which a few steps lead to any of them.
//!
//! A step sees one batch, whatever it does with it, so that regimens have the same
//! samples. What the weights are worth is seen after some retraining: the protocols
//! `meta` and `transfer` measure that.

use super::{Regimen, Stretch, needs, total};
use crate::config::RunConfig;
use crate::data::{Background, DataSettings, SpeckColour};
use speck_learners::gradient::meta;
use speck_models::settings::{Dimension, SettingError, Settings, Value};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "maml",
    summary: "θ ← θ - rate · ∂/∂θ mean over tasks of L_query(θ'), θ' ← θ' - α ∂L_support/∂θ' from θ; tasks are what data that are random-batch draw",
    source: "Finn, Abbeel, Levine, \"Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks\", 2017",
    dimensions: &[
        Dimension::choice(
            "order",
            "whether the gradient goes through the inner steps (second) or not (first)",
            &["first", "second"],
            "second",
        ),
        meta::ALL[0].dimensions[0],
        meta::ALL[0].dimensions[1],
        meta::ALL[0].dimensions[2],
    ],
    stretches: |run, settings| {
        let first = settings.text("order") == "first";
        stretches(run, settings, if first { "first_order_maml" } else { "maml" })
    },
};

/// Meta-training of one kind: every step has a batch of several tasks.
pub(super) fn stretches(
    run: &RunConfig,
    settings: &Settings,
    way: &str,
) -> Result<Vec<Stretch>, SettingError> {
    needs(run, way, "meta")?;
    let data = DataSettings::new(&run.data)?;
    let differ =
        data.speck == SpeckColour::RandomBatch || data.background == Background::RandomBatch;
    if !differ {
        let message = format!(
            "{way} learns from tasks that differ; give the data speck = \"random-batch\" or \
             background = \"random-batch\""
        );
        return Err(SettingError::new("kind", message));
    }
    let changes = settings.iter().filter(|(key, _)| *key != "order");
    let mut changes: Vec<_> = changes.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    changes.push(("meta".to_owned(), Value::Text(way.to_owned())));
    let stretch = Stretch::of(run, "meta-training", total(run)).changed(run, changes)?;
    meta::check(&stretch.learner, stretch.learner.usize("batch"))?;
    let tasks = settings.usize(meta::TASKS.name);
    Ok(vec![Stretch { tasks, ..stretch }])
}
