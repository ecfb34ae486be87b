//! What is in the store, gathered for a report: runs in groups that differ
//! only in their seeds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::format::setting;
use serde_json::Value;

use super::plots::COLOURS;
use super::statistics::{Estimate, Observation};
use crate::store::{PhaseResults, RunRecord, Store, StoreError};

/// A finished phase of a run.
pub(super) struct Phase {
    pub name: String,
    pub results: PhaseResults,
    /// Where in `results.scores` a cell and metric is.
    index: HashMap<(String, String), usize>,
}

/// A run with all that it has finished.
pub(super) struct Run {
    pub record: RunRecord,
    /// The resolved configuration; null where the text is not JSON.
    pub config: Value,
    pub phases: Vec<Phase>,
}

/// Runs that differ in nothing but the seed: one line of every figure.
pub(super) struct Group {
    pub name: String,
    /// The colour of its lines; beyond the number of colours also their style.
    pub number: usize,
    pub runs: Vec<Run>,
}

/// Everything a report is made from.
pub(super) struct Experiment {
    pub name: String,
    /// The file it was read from.
    pub store: String,
    pub groups: Vec<Group>,
    /// Planned runs of which the store knows nothing yet.
    pub absent: Vec<String>,
    /// Runs in the store that are no longer planned; they are not shown.
    pub superseded: usize,
}

impl Experiment {
    /// Reads the whole store.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        let plan = store.plan()?;
        let mut records = store.runs()?;
        let known: BTreeSet<String> = records.iter().map(|run| run.id.clone()).collect();
        let mut absent = Vec::new();
        let mut superseded = 0;
        if let Some(plan) = &plan {
            absent = plan.runs.clone();
            absent.retain(|id| !known.contains(id));
            // In the order of the plan, which is the order of the file.
            let place: HashMap<&str, usize> =
                plan.runs.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
            let before = records.len();
            records.retain(|run| place.contains_key(run.id.as_str()));
            superseded = before - records.len();
            records.sort_by_key(|run| place.get(run.id.as_str()).copied());
        }
        let mut keys: Vec<String> = Vec::new();
        let mut groups: Vec<Vec<Run>> = Vec::new();
        for record in records {
            let run = Run::load(store, record)?;
            let key = run.key();
            match keys.iter().position(|other| *other == key) {
                Some(place) => groups[place].push(run),
                None => {
                    keys.push(key);
                    groups.push(vec![run]);
                }
            }
        }
        let names = names(&groups);
        let styles = styles(&groups);
        let file = store.path().file_stem();
        Ok(Self {
            name: match plan {
                Some(plan) => plan.name,
                None => file.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            },
            store: store.path().display().to_string(),
            groups: names
                .into_iter()
                .zip(styles)
                .zip(groups)
                .map(|((name, number), runs)| Group { name, number, runs })
                .collect(),
            absent,
            superseded,
        })
    }

    /// All runs, group by group.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.groups.iter().flat_map(|group| &group.runs)
    }

    /// The names of all phases that begin with `prefix`, in the order in which
    /// they are first met.
    pub fn phases(&self, prefix: &str) -> Vec<&str> {
        ordered_union(self.runs().map(|run| {
            run.phases
                .iter()
                .map(|phase| phase.name.as_str())
                .filter(|name| name.starts_with(prefix))
        }))
    }

    /// The first part of the names of the phases that begin with `prefix`: of
    /// several, that of which the most is finished, and then the last. Numbers
    /// over all runs are made of this one, so that all are made alike.
    pub fn leading(&self, prefix: &str) -> Option<&str> {
        let first = |name: &'_ str| name.split('/').next().map_or(0, str::len);
        let phases = self.phases(prefix);
        let parts = ordered_union(std::iter::once(phases.iter().map(|name| &name[..first(name)])));
        let finished = |part: &&&str| {
            let phases = self.runs().flat_map(|run| &run.phases);
            phases.filter(|phase| phase.name[..first(&phase.name)] == ***part).count()
        };
        parts.iter().max_by_key(finished).copied()
    }

    /// The cells of a phase over all runs, in the order in which they are
    /// first met.
    pub fn cells(&self, phase: &str) -> Vec<&str> {
        ordered_union(
            self.scored(phase)
                .map(|results| results.scores.iter().map(|score| score.cell.as_str())),
        )
    }

    /// The metrics of a phase for which any run had a case, in the order in
    /// which they are first met: those of a single speck have none where there
    /// are several.
    pub fn metrics(&self, phase: &str) -> Vec<&str> {
        ordered_union(self.scored(phase).map(|results| {
            let measured = results.scores.iter().filter(|score| score.cases > 0);
            measured.map(|score| score.metric.as_str())
        }))
    }

    /// How the settings under `key` in the descriptions of these phases differ
    /// from those of their runs at `path`, every difference once.
    pub fn changes(&self, phases: &[&str], key: &str, path: &str) -> Vec<String> {
        let mut changes = Vec::new();
        for run in self.runs() {
            for phase in phases.iter().filter_map(|phase| run.phase(phase)) {
                let settings = phase.artefact("description").and_then(|text| text.get(key));
                if let Some(change) = run.changes(path, settings)
                    && !changes.contains(&change)
                {
                    changes.push(change);
                }
            }
        }
        changes
    }

    fn scored(&self, phase: &str) -> impl Iterator<Item = &PhaseResults> {
        self.runs().filter_map(move |run| run.phase(phase)).map(|phase| &phase.results)
    }
}

impl Run {
    fn load(store: &Store, record: RunRecord) -> Result<Self, StoreError> {
        let mut phases = Vec::new();
        for name in store.phases(&record.id)? {
            let results = store.results(&record.id, &name)?;
            let index = results
                .scores
                .iter()
                .enumerate()
                .map(|(place, score)| ((score.cell.clone(), score.metric.clone()), place))
                .collect();
            phases.push(Phase { name, results, index });
        }
        Ok(Self {
            config: serde_json::from_str(&record.config_json).unwrap_or(Value::Null),
            record,
            phases,
        })
    }

    /// What runs that differ only in the seed have in common.
    fn key(&self) -> String {
        let RunRecord { model, learner, data_label, .. } = &self.record;
        match self.config.as_object() {
            Some(config) => {
                let mut config = config.clone();
                config.remove("seed");
                format!("{model}\n{learner}\n{data_label}\n{}", Value::from(config))
            }
            None => format!("{model}\n{learner}\n{data_label}"),
        }
    }

    /// How settings that a phase was done with differ from those of the run
    /// at `path` in its configuration: "rate 0.003 → 0.0009"; `None` if they do
    /// not or either is not known.
    pub fn changes(&self, path: &str, settings: Option<&Value>) -> Option<String> {
        let own = self.config.pointer(path)?.as_object()?;
        let changed: Vec<String> = settings?
            .as_object()?
            .iter()
            .filter_map(|(key, value)| Some((key, own.get(key)?, value)))
            .filter(|(_, before, after)| before != after)
            .map(|(key, before, after)| format!("{key} {} → {}", setting(before), setting(after)))
            .collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }

    /// A finished phase by its name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

impl Phase {
    /// A score by its cell and metric.
    pub fn score(&self, cell: &str, metric: &str) -> Option<&crate::store::Score> {
        self.index
            .get(&(cell.to_string(), metric.to_string()))
            .map(|&place| &self.results.scores[place])
    }

    /// An artefact by its name.
    pub fn artefact(&self, name: &str) -> Option<&Value> {
        self.results.artefacts.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The points of a series: step and value.
    pub fn curve(&self, series: &str) -> Vec<(f64, f64)> {
        self.results
            .curves
            .iter()
            .filter(|point| point.series == series)
            .map(|point| (point.step as f64, point.value))
            .collect()
    }
}

impl Group {
    /// What the runs of the group say about a score.
    pub fn estimate(&self, phase: &str, cell: &str, metric: &str) -> Estimate {
        self.collect(phase, |phase| {
            phase.score(cell, metric).map(|score| (score.value, score.cases))
        })
    }

    /// What the runs of the group say about a number in an artefact of the
    /// phase `train`.
    pub fn artefact_number(&self, artefact: &str, key: &str) -> Estimate {
        self.collect("train", |phase| {
            let value = phase.artefact(artefact)?.get(key)?.as_f64()?;
            Some((Some(value), 1))
        })
    }

    /// One observation for every run that has the phase and in which `read`
    /// finds a value and a number of cases.
    pub fn collect(
        &self,
        phase: &str,
        read: impl Fn(&Phase) -> Option<(Option<f64>, u64)>,
    ) -> Estimate {
        Estimate {
            observations: self
                .runs
                .iter()
                .filter_map(|run| {
                    let (value, cases) = read(run.phase(phase)?)?;
                    Some(Observation {
                        run: run.record.id.clone(),
                        value: value.filter(|value| !value.is_nan()),
                        cases,
                    })
                })
                .collect(),
        }
    }

    /// The runs that have finished the phase.
    pub fn finished<'a>(&'a self, phase: &'a str) -> impl Iterator<Item = (&'a Run, &'a Phase)> {
        self.runs.iter().filter_map(move |run| Some((run, run.phase(phase)?)))
    }
}

/// All items of several lists, each once, in the order of the first that has
/// it.
pub(super) fn ordered_union<'a>(
    lists: impl Iterator<Item = impl Iterator<Item = &'a str>>,
) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    lists.flatten().filter(|item| seen.insert(*item)).collect()
}

/// A name for every group: the model, and of learner, data and single settings
/// as much as it takes to tell the groups apart.
fn names(groups: &[Vec<Run>]) -> Vec<String> {
    let records: Vec<&RunRecord> = groups.iter().map(|runs| &runs[0].record).collect();
    let differ = |part: fn(&RunRecord) -> &str| {
        records.iter().map(|record| part(record)).collect::<BTreeSet<_>>().len() > 1
    };
    let learners = differ(|record| &record.learner);
    let data = differ(|record| &record.data_label);
    let mut names: Vec<String> = records
        .iter()
        .map(|record| {
            let mut parts = vec![record.model.as_str()];
            if learners && record.learner != record.model {
                parts.push(&record.learner);
            }
            if data {
                parts.push(&record.data_label);
            }
            parts.join(" · ")
        })
        .collect();
    for place in 0..names.len() {
        let twins: Vec<usize> =
            (place..names.len()).filter(|&other| names[other] == names[place]).collect();
        if twins.len() < 2 {
            continue;
        }
        let settings: Vec<BTreeMap<String, String>> = twins
            .iter()
            .map(|&twin| {
                let mut leaves = BTreeMap::new();
                flatten("", &groups[twin][0].config, &mut leaves);
                leaves.remove("seed");
                leaves
            })
            .collect();
        for (own, &twin) in settings.iter().zip(&twins) {
            let telling: Vec<String> = own
                .iter()
                .filter(|(path, value)| {
                    settings.iter().any(|other| other.get(*path) != Some(*value))
                })
                .map(|(path, value)| {
                    let leaf = path.rsplit('.').next().unwrap_or(path);
                    format!("{leaf} {value}")
                })
                .collect();
            names[twin] = match telling.is_empty() {
                true => format!("{} · {}", names[twin], groups[twin][0].record.id),
                false => format!("{} · {}", names[twin], telling.join(", ")),
            };
        }
    }
    names
}

/// The colour and style of every group: where the same models learned on two
/// kinds of data, a model keeps its colour and is dashed on the second kind;
/// else one after the other.
fn styles(groups: &[Vec<Run>]) -> Vec<usize> {
    let distinct = |part: &dyn Fn(&RunRecord) -> String| -> (Vec<usize>, usize) {
        let mut known: Vec<String> = Vec::new();
        let places = groups.iter().map(|runs| {
            let own = part(&runs[0].record);
            known.iter().position(|other| *other == own).unwrap_or_else(|| {
                known.push(own);
                known.len() - 1
            })
        });
        (places.collect(), known.len())
    };
    let (models, kinds) = distinct(&|record| format!("{}\n{}", record.model, record.learner));
    let (data, sets) = distinct(&|record| record.data_label.clone());
    let pairs: BTreeSet<(&usize, &usize)> = models.iter().zip(&data).collect();
    match sets == 2 && kinds <= COLOURS && pairs.len() == groups.len() {
        true => models.iter().zip(&data).map(|(model, set)| model + COLOURS * set).collect(),
        false => (0..groups.len()).collect(),
    }
}

/// The name of a phase's first part without the hash of its settings, where
/// that leaves no doubt which one of `all` is meant.
pub(super) fn without_hash<'a>(name: &'a str, all: &[&str]) -> &'a str {
    let stem = |name: &'a str| match name.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            stem
        }
        _ => name,
    };
    let short = stem(name);
    let twins = all.iter().filter(|other| {
        **other == short || other.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'))
    });
    if twins.count() > 1 { name } else { short }
}

/// The leaves of a configuration by their path.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let below = match path.is_empty() {
                    true => key.clone(),
                    false => format!("{path}.{key}"),
                };
                flatten(&below, value, leaves);
            }
        }
        Value::String(text) => {
            leaves.insert(path.to_string(), text.clone());
        }
        other => {
            leaves.insert(path.to_string(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(model: &str, learner: &str, config: &str) -> Run {
        Run {
            record: RunRecord {
                id: "0123456789abcdef".to_string(),
                label: String::new(),
                config_json: config.to_string(),
                seed: 0,
                model: model.to_string(),
                learner: learner.to_string(),
                data_label: "black".to_string(),
            },
            config: serde_json::from_str(config).unwrap(),
            phases: Vec::new(),
        }
    }

    #[test]
    fn names_say_what_differs_and_no_more() {
        let alone = vec![vec![run("mlp", "adam", "{}")]];
        assert_eq!(names(&alone), ["mlp"]);
        let sweep = vec![
            vec![run("mlp", "adam", r#"{"model":{"width":64,"depth":2},"seed":0}"#)],
            vec![run("mlp", "adam", r#"{"model":{"width":128,"depth":2},"seed":1}"#)],
            vec![run("hebbian", "hebbian", "{}")],
        ];
        assert_eq!(names(&sweep), ["mlp · adam · width 64", "mlp · adam · width 128", "hebbian"]);
    }

    #[test]
    fn changes_are_told_from_the_run() {
        let run = run("mlp", "adam", r#"{"data":{"count":1,"speck":"white"},"seed":0}"#);
        let changes = |json: &str| {
            let settings: Value = serde_json::from_str(json).unwrap();
            run.changes("/data", Some(&settings))
        };
        assert_eq!(
            changes(r#"{"count":2,"speck":"red","unknown":1}"#).as_deref(),
            Some("count 1 → 2, speck white → red")
        );
        assert_eq!(changes(r#"{"count":1}"#), None);
        assert_eq!(changes("[]"), None);
        assert_eq!(run.changes("/learner/settings", None), None);
    }

    #[test]
    fn a_model_keeps_its_colour_on_other_data() {
        let on = |model: &str, data: &str| {
            let mut run = run(model, "adam", "{}");
            run.record.data_label = data.to_string();
            vec![run]
        };
        let two = [on("a", "x"), on("b", "x"), on("b", "y"), on("a", "y")];
        assert_eq!(styles(&two), [0, 1, 1 + COLOURS, COLOURS]);
        assert_eq!(styles(&[on("a", "x"), on("a", "x"), on("b", "y")]), [0, 1, 2]);
        assert_eq!(styles(&[on("a", "x"), on("b", "x")]), [0, 1]);
    }

    #[test]
    fn a_hash_is_left_out_where_it_tells_nothing() {
        let all = ["general-0123abcd", "other-0123abcd", "other-89abcdef", "plain"];
        let short: Vec<&str> = all.iter().map(|name| without_hash(name, &all)).collect();
        assert_eq!(short, ["general", "other-0123abcd", "other-89abcdef", "plain"]);
        assert_eq!(without_hash("two-rectangles", &[]), "two-rectangles");
    }

    #[test]
    fn runs_of_one_group_differ_only_in_the_seed() {
        let first = run("mlp", "adam", r#"{"model":{"width":64},"seed":0}"#);
        let second = run("mlp", "adam", r#"{"model":{"width":64},"seed":1}"#);
        let third = run("mlp", "adam", r#"{"model":{"width":65},"seed":1}"#);
        assert_eq!(first.key(), second.key());
        assert_ne!(first.key(), third.key());
    }
}
