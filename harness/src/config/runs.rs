//! From the parts of an experiment to its runs.

use std::collections::BTreeSet;
use std::ops::Range;

use speck_models::settings::Settings;

use super::sweep::{label, varying};
use super::{MOST_RUNS, RunConfig};

/// Bytes of the file that a message points at.
pub(super) type Span = Option<Range<usize>>;

/// An entry of a registry with every combination of its settings.
pub(super) struct Expanded {
    pub kind: &'static str,
    pub settings: Vec<Settings>,
}

/// A learner of the file.
pub(super) struct Learner {
    pub name: String,
    pub expanded: Expanded,
}

/// A model of the file.
pub(super) struct Model {
    pub expanded: Expanded,
    /// The learners that train it, as indices.
    pub learners: Vec<usize>,
    pub span: Span,
}

/// A kind with its settings and the label that tells it from its like.
struct Labelled<'a> {
    kind: &'static str,
    settings: &'a Settings,
    label: String,
}

/// Every setting of an entry. The label is `name` with the settings that vary
/// within `alike`.
fn labelled<'a>(expanded: &'a Expanded, name: &str, alike: &[&Settings]) -> Vec<Labelled<'a>> {
    let shown = varying(alike);
    let one =
        |settings| Labelled { kind: expanded.kind, settings, label: label(name, settings, &shown) };
    expanded.settings.iter().map(one).collect()
}

/// Data × model × its learners × regimen × seed, the last varying fastest.
///
/// # Errors
/// Too many runs, or the same run twice; with the place to point at.
pub(super) fn expand(
    data: &[Settings],
    models: &[Model],
    learners: &[Learner],
    regimens: &[Expanded],
    seeds: &[u64],
) -> Result<Vec<RunConfig>, (Span, String)> {
    let ways: usize = regimens.iter().map(|regimen| regimen.settings.len()).sum();
    let count = count(models, learners).saturating_mul(ways);
    let count = count.saturating_mul(data.len()).saturating_mul(seeds.len());
    if count > MOST_RUNS {
        let message = format!("asks for {count} runs; at most {MOST_RUNS} are allowed");
        return Err((None, message));
    }
    let learners: Vec<(&str, Vec<Labelled>)> = learners
        .iter()
        .map(|Learner { name, expanded }| {
            let alike: Vec<_> = expanded.settings.iter().collect();
            (name.as_str(), labelled(expanded, name, &alike))
        })
        .collect();
    let models: Vec<(&Model, Vec<Labelled>)> = models
        .iter()
        .map(|model| {
            let kind = model.expanded.kind;
            let alike = models.iter().filter(|other| other.expanded.kind == kind);
            let alike: Vec<_> = alike.flat_map(|other| &other.expanded.settings).collect();
            (model, labelled(&model.expanded, kind, &alike))
        })
        .collect();
    let regimens: Vec<Labelled> = regimens
        .iter()
        .flat_map(|regimen| {
            let alike = regimens.iter().filter(|other| other.kind == regimen.kind);
            let alike: Vec<_> = alike.flat_map(|other| &other.settings).collect();
            labelled(regimen, regimen.kind, &alike)
        })
        .collect();
    let data_shown = varying(&data.iter().collect::<Vec<_>>());
    let mut runs = Vec::with_capacity(count);
    for data in data {
        let data_label = label("", data, &data_shown);
        for (model, variants) in &models {
            for variant in variants {
                for (learner_name, learner_variants) in model.learners.iter().map(|i| &learners[*i])
                {
                    for (learner, regimen) in pairs(learner_variants, &regimens) {
                        let learner_label = match regimen.kind {
                            crate::regimens::DEFAULT => learner.label.clone(),
                            _ => format!("{} + {}", learner.label, regimen.label),
                        };
                        runs.extend(seeds.iter().map(|&seed| {
                            let run = RunConfig {
                                data: data.clone(),
                                model: (variant.kind.to_string(), variant.settings.clone()),
                                learner: (learner.kind.to_string(), learner.settings.clone()),
                                learner_name: learner_name.to_string(),
                                seed,
                                model_label: variant.label.clone(),
                                regimen: (regimen.kind.to_string(), regimen.settings.clone()),
                                learner_label: learner_label.clone(),
                                data_label: data_label.clone(),
                            };
                            (run, &model.span)
                        }));
                    }
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (run, span) in &runs {
        if !seen.insert(run.id()) {
            let message =
                format!("the same run comes out twice: {}, seed {}", run.label(), run.seed);
            return Err(((*span).clone(), message));
        }
    }
    Ok(runs.into_iter().map(|(run, _)| run).collect())
}

/// Every pair, the second one varying faster.
fn pairs<'a, T>(first: &'a [T], second: &'a [T]) -> impl Iterator<Item = (&'a T, &'a T)> {
    first.iter().flat_map(move |one| second.iter().map(move |other| (one, other)))
}

/// How many pairs of a model and a learner there are.
fn count(models: &[Model], learners: &[Learner]) -> usize {
    let pairs = |model: &Model| {
        let variants = |learner: &usize| learners[*learner].expanded.settings.len();
        let learners: usize = model.learners.iter().map(variants).sum();
        model.expanded.settings.len().saturating_mul(learners)
    };
    models.iter().map(pairs).fold(0, usize::saturating_add)
}
