//! What is in the store, gathered for a report: runs in groups that differ
//! only in their seeds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

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
    /// Its place in the list, which decides its colour.
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
        let file = store.path().file_stem();
        Ok(Self {
            name: match plan {
                Some(plan) => plan.name,
                None => file.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            },
            store: store.path().display().to_string(),
            groups: names
                .into_iter()
                .zip(groups)
                .enumerate()
                .map(|(number, (name, runs))| Group { name, number, runs })
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
    fn runs_of_one_group_differ_only_in_the_seed() {
        let first = run("mlp", "adam", r#"{"model":{"width":64},"seed":0}"#);
        let second = run("mlp", "adam", r#"{"model":{"width":64},"seed":1}"#);
        let third = run("mlp", "adam", r#"{"model":{"width":65},"seed":1}"#);
        assert_eq!(first.key(), second.key());
        assert_ne!(first.key(), third.key());
    }
}
