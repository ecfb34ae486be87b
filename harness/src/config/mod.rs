//! Experiments: what a file asks for, checked and expanded into runs.
//!
//! [`Experiment::load`] reads a TOML file against the [`Registries`], so that
//! every name, key and value is known to be right before anything runs. The
//! runs are data × model × its learners × regimens × seeds, in the order of the file; a
//! list in place of a value is a sweep. A fully resolved [`RunConfig`] is hashed
//! and its hash names the run.

mod parse;
mod runs;
mod sweep;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use speck_models::settings::{Dimension, SettingError, Settings, nearest};

/// Version of the configs' meaning. It is part of every hash: raise it when the
/// same config would lead to another result, and finished runs are not mistaken
/// for up-to-date ones.
pub const FORMAT: u32 = 2;

/// The most runs that one experiment may ask for.
pub const MOST_RUNS: usize = 10_000;

/// What is wrong with an experiment file: `FILE:LINE: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as the user named it.
    pub file: String,
    /// Line, counted from 1, where there is one to point at.
    pub line: Option<usize>,
    /// What is wrong and what would be right; starts with the key.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// An entry of a registry, as far as an experiment file has to know it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RegistryEntry {
    /// The name a user writes as `kind`.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What a user can choose about it.
    pub dimensions: &'static [Dimension],
    /// For a learner: the models it can learn; empty for all.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub models: &'static [&'static str],
    /// Whether resolved settings go together; given the entry's name.
    #[serde(skip)]
    pub check: fn(&str, &Settings) -> Result<(), SettingError>,
    /// For a protocol, a regimen, a diagnostic or an ensemble: whether it can be
    /// applied to a run.
    #[serde(skip)]
    pub applies: fn(&str, &Settings, &RunConfig) -> Result<(), SettingError>,
}

impl RegistryEntry {
    /// An entry whose settings all go together.
    pub fn new(
        name: &'static str,
        summary: &'static str,
        dimensions: &'static [Dimension],
    ) -> Self {
        RegistryEntry {
            name,
            summary,
            dimensions,
            models: &[],
            check: |_, _| Ok(()),
            applies: |_, _, _| Ok(()),
        }
    }

    /// The same entry with a check of resolved settings.
    #[must_use]
    pub fn checked_by(self, check: fn(&str, &Settings) -> Result<(), SettingError>) -> Self {
        RegistryEntry { check, ..self }
    }
}

/// Everything an experiment file can name.
#[derive(Clone, Debug, Serialize)]
pub struct Registries {
    /// Architectures.
    pub models: Vec<RegistryEntry>,
    /// Kinds of learners.
    pub learners: Vec<RegistryEntry>,
    /// Protocols.
    pub protocols: Vec<RegistryEntry>,
    /// Ways through a training.
    pub regimens: Vec<RegistryEntry>,
    /// The data: one entry.
    pub data: RegistryEntry,
    /// Test batteries.
    pub batteries: Vec<RegistryEntry>,
    /// What is measured about a network while it is trained.
    pub diagnostics: Vec<RegistryEntry>,
    /// Networks that answer together.
    pub ensembles: Vec<RegistryEntry>,
}

/// A registry entry with its settings: a battery, a protocol, a diagnostic or an
/// ensemble of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryConfig {
    /// Name of the registry entry.
    pub kind: String,
    /// A value for each of its dimensions.
    pub settings: Settings,
}

/// A battery with its settings.
pub type BatteryConfig = EntryConfig;

/// A protocol with its settings.
pub type ProtocolConfig = EntryConfig;

impl EntryConfig {
    /// The kind with a hash of the settings, for names of phases and files:
    /// `transfer-1f0c99e2`.
    pub fn slug(&self) -> String {
        #[derive(Serialize)]
        struct Canonical<'a> {
            kind: &'a str,
            settings: &'a Settings,
            version: u32,
        }
        let canonical = canonical_json(&Canonical {
            kind: &self.kind,
            settings: &self.settings,
            version: FORMAT,
        });
        format!("{}-{}", self.kind, hash(&canonical, 8))
    }
}

/// A fully resolved run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The training data.
    pub data: Settings,
    /// Name and settings of the architecture.
    pub model: (String, Settings),
    /// Kind and settings of the learner.
    pub learner: (String, Settings),
    /// Name and settings of the regimen.
    #[serde(default = "plain", skip_serializing_if = "is_plain")]
    pub regimen: (String, Settings),
    /// The learner's name in the file.
    pub learner_name: String,
    /// The seed of everything random in the run.
    pub seed: u64,
    /// The model's kind and those of its settings that the experiment varies.
    pub model_label: String,
    /// The learner's name, those of its settings that the experiment varies, and the
    /// regimen where it is not the usual one.
    pub learner_label: String,
    /// The data settings that the experiment varies; empty for none.
    pub data_label: String,
}

/// The regimen of runs that name none.
fn plain() -> (String, Settings) {
    (crate::regimens::DEFAULT.to_owned(), Settings::default())
}

fn is_plain((kind, _): &(String, Settings)) -> bool {
    kind == crate::regimens::DEFAULT
}

impl RunConfig {
    /// What the run computes, and nothing else: JSON with sorted keys. Names and
    /// labels are not part of it.
    pub fn canonical_json(&self) -> String {
        #[derive(Serialize)]
        struct Part<'a> {
            kind: &'a str,
            settings: &'a Settings,
        }
        #[derive(Serialize)]
        struct Canonical<'a> {
            data: &'a Settings,
            learner: Part<'a>,
            model: Part<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            regimen: Option<Part<'a>>,
            seed: u64,
            version: u32,
        }
        fn part((kind, settings): &(String, Settings)) -> Part<'_> {
            Part { kind, settings }
        }
        canonical_json(&Canonical {
            data: &self.data,
            learner: part(&self.learner),
            model: part(&self.model),
            // A plain run is what it was before there were regimens.
            regimen: (!is_plain(&self.regimen)).then(|| part(&self.regimen)),
            seed: self.seed,
            version: FORMAT,
        })
    }

    /// The run's name: 16 hexadecimal digits of the BLAKE3 hash of
    /// [`RunConfig::canonical_json`].
    pub fn id(&self) -> String {
        hash(&self.canonical_json(), 16)
    }

    /// A short name for people, the same for all seeds: model, learner and what
    /// the experiment varies.
    pub fn label(&self) -> String {
        let parts = [&self.model_label, &self.learner_label, &self.data_label];
        let named: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        named.join(" · ")
    }
}

/// A checked experiment with all its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name: a safe file name, by default that of the file.
    pub name: String,
    /// What it is about, in the user's words.
    pub summary: Option<String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The batteries, in the order of the file.
    pub batteries: Vec<BatteryConfig>,
    /// The protocols, in the order of the file.
    pub protocols: Vec<ProtocolConfig>,
    /// The diagnostics, in the order of the file.
    pub diagnostics: Vec<EntryConfig>,
    /// The ensembles, in the order of the file.
    pub ensembles: Vec<EntryConfig>,
    /// The runs: data × model × learners × regimens × seeds, the last varying fastest.
    pub runs: Vec<RunConfig>,
}

impl Experiment {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A file that cannot be read (with the nearest name beside it), or the
    /// first thing wrong in it.
    pub fn load(path: &Path, registries: &Registries) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let near = match error.kind() {
                std::io::ErrorKind::NotFound => nearest_file(path),
                _ => None,
            };
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            ConfigError {
                file: file.clone(),
                line: None,
                message: format!("cannot be read: {error}{hint}"),
            }
        })?;
        Self::parse(&text, &file, registries)
    }

    /// Checks the text of a file; `file` is its name for messages and, where the
    /// text gives none, for the experiment.
    ///
    /// # Errors
    /// The first thing wrong in it.
    pub fn parse(text: &str, file: &str, registries: &Registries) -> Result<Self, ConfigError> {
        parse::experiment(text, file, registries)
    }
}

/// The TOML file in the folder of `path` whose name is most like it.
fn nearest_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let listed = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let mut names: Vec<String> = std::fs::read_dir(listed)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort_unstable();
    // The ending, which they share, says nothing of how alike two names are.
    let stem = |name: &str| name.strip_suffix(".toml").unwrap_or(name).to_owned();
    let stems: Vec<String> = names.iter().map(|name| stem(name)).collect();
    let near = nearest(&stem(wanted), stems.iter().map(String::as_str))?;
    Some(folder.join(format!("{near}.toml")).display().to_string())
}

/// JSON of a structure whose fields stand in alphabetical order. The order of
/// fields is that of the structure, whatever map type `serde_json` is built with.
fn canonical_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("settings are plain values with text keys")
}

/// The first `digits` hexadecimal digits of a text's BLAKE3 hash.
fn hash(text: &str, digits: usize) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..digits].to_string()
}

#[cfg(test)]
mod tests;
