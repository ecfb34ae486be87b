//! From the text of an experiment file to an [`Experiment`].

use std::path::Path;

use speck_models::settings::{
    SettingError, Settings, Value, all_dimensions, applicable, nearest, resolve, unchosen,
};
use toml_edit::{Document, Item, TableLike};

use super::runs::{self, Expanded, Learner, Model, Span};
use super::sweep::{Given, combinations, expand, swept_values};
use super::{
    ConfigError, EntryConfig, Experiment, MOST_RUNS, Registries, RegistryEntry, RunConfig,
};

/// The keys at the top of a file.
const KEYS: [&str; 14] = [
    "name",
    "summary",
    "seeds",
    "batteries",
    "battery",
    "diagnostics",
    "diagnostic",
    "ensembles",
    "ensemble",
    "data",
    "learner",
    "model",
    "protocol",
    "regimen",
];

/// Where errors come from.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

/// See [`Experiment::parse`].
pub(super) fn experiment(
    text: &str,
    file: &str,
    registries: &Registries,
) -> Result<Experiment, ConfigError> {
    let reader = Reader { text, file };
    let document = Document::parse(text)
        .map_err(|error| reader.error(error.span(), error.message().trim().replace('\n', "; ")))?;
    let top = document.as_table();
    for (key, _) in top.iter() {
        if !KEYS.contains(&key) {
            let error = SettingError::unknown(key, KEYS.into_iter());
            return Err(reader.error(key_span(top, key), error.to_string()));
        }
    }
    let name = reader.name(top)?;
    let summary = match top.get("summary") {
        Some(item) => Some(reader.text(top, "summary", item)?),
        None => None,
    };
    let seeds = reader.seeds(top)?;
    let batteries = reader.listed(top, ["batteries", "battery"], &registries.batteries)?;
    let diagnostics = reader.listed(top, ["diagnostics", "diagnostic"], &registries.diagnostics)?;
    let ensembles = reader.listed(top, ["ensembles", "ensemble"], &registries.ensembles)?;
    let protocols = reader.entries(top, "protocol", &registries.protocols)?;
    let data = reader.data(top, &registries.data)?;
    let learners = reader.learners(top, &registries.learners)?;
    let models = reader.models(top, registries, &learners)?;
    let regimens = reader.regimens(top, &registries.regimens)?;
    let runs = runs::expand(&data, &models, &learners, &regimens, &seeds)
        .map_err(|(span, message)| reader.error(span, message))?;
    reader.check_applicable(top, "protocol", &registries.protocols, &runs)?;
    reader.check_applicable(top, "diagnostic", &registries.diagnostics, &runs)?;
    reader.check_named(top, "diagnostics", &registries.diagnostics, &runs)?;
    reader.check_applicable(top, "ensemble", &registries.ensembles, &runs)?;
    reader.check_named(top, "ensembles", &registries.ensembles, &runs)?;
    reader.check_regimens(top, &registries.regimens, &runs)?;
    Ok(Experiment { name, summary, seeds, batteries, protocols, diagnostics, ensembles, runs })
}

/// Where a key of a table stands.
fn key_span(table: &dyn TableLike, key: &str) -> Span {
    table.key(key).and_then(|key| key.span())
}

/// A value of the file as a [`Value`]; the error says what it is instead.
fn value(value: &toml_edit::Value) -> Result<Value, &'static str> {
    Ok(match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Int(*number.value()),
        toml_edit::Value::Float(number) => Value::Float(*number.value()),
        toml_edit::Value::Boolean(truth) => Value::Bool(*truth.value()),
        toml_edit::Value::Array(array) => {
            Value::List(array.iter().map(self::value).collect::<Result<_, _>>()?)
        }
        toml_edit::Value::Datetime(_) => return Err("a date"),
        toml_edit::Value::InlineTable(_) => return Err("a table"),
    })
}

/// Whether a text can be the name of a file on any system.
fn is_safe_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    starts_well && name.len() <= 100 && name.chars().all(plain)
}

impl Reader<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> ConfigError {
        let line = span.map(|span| {
            let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        });
        ConfigError { file: self.file.to_string(), line, message: message.into() }
    }

    /// An error about a key of a table, or about the table where the key is not
    /// in it.
    fn about(&self, table: &dyn TableLike, key: &str, span: &Span, message: &str) -> ConfigError {
        let span = key_span(table, key).or_else(|| span.clone());
        self.error(span, format!("`{key}`: {message}"))
    }

    /// The error for a name that no entry has.
    fn no_such<'n>(
        &self,
        span: Span,
        key: &str,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> ConfigError {
        let known: Vec<_> = known.collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => "there is none".to_string(),
            None => format!("there are {}", known.join(", ")),
        };
        self.error(span, format!("`{key}`: no {what} {name:?}; {hint}"))
    }

    fn text(&self, table: &dyn TableLike, key: &str, item: &Item) -> Result<String, ConfigError> {
        let wrong = || {
            let message = format!("expected a text, found {}", describe(item));
            self.about(table, key, &item.span(), &message)
        };
        item.as_str().map(str::to_string).ok_or_else(wrong)
    }

    fn name(&self, top: &dyn TableLike) -> Result<String, ConfigError> {
        let rule = "a name is made of letters, digits, `-`, `_` and `.`, starts with a letter or \
                    digit and is at most 100 long";
        if let Some(item) = top.get("name") {
            let name = self.text(top, "name", item)?;
            if is_safe_name(&name) {
                return Ok(name);
            }
            return Err(self.about(top, "name", &None, &format!("{name:?} will not do: {rule}")));
        }
        let stem = Path::new(self.file).file_stem();
        let stem = stem.and_then(|stem| stem.to_str()).unwrap_or_default();
        if is_safe_name(stem) {
            return Ok(stem.to_string());
        }
        let message = format!("`name`: missing, and the file's name will not do: {rule}");
        Err(self.error(None, message))
    }

    fn seeds(&self, top: &dyn TableLike) -> Result<Vec<u64>, ConfigError> {
        let Some(item) = top.get("seeds") else {
            return Ok(vec![0]);
        };
        let expected = "expected a list of different whole numbers from 0, such as [0, 1]";
        let wrong = |found: &str| {
            let message = format!("{expected}; found {found}");
            self.about(top, "seeds", &item.span(), &message)
        };
        let array = item.as_array().ok_or_else(|| wrong(&describe(item)))?;
        let mut seeds = Vec::new();
        for entry in array {
            let number = entry.as_integer().and_then(|number| u64::try_from(number).ok());
            let seed = number.ok_or_else(|| wrong(&describe_value(entry)))?;
            if seeds.contains(&seed) {
                return Err(wrong(&format!("{seed} twice")));
            }
            seeds.push(seed);
        }
        match seeds.is_empty() {
            true => Err(wrong("an empty list")),
            false => Ok(seeds),
        }
    }

    /// The tables under a key: `[key]`, `[[key]]` or their inline forms.
    fn tables<'t>(
        &self,
        top: &'t dyn TableLike,
        key: &str,
    ) -> Result<Vec<(&'t dyn TableLike, Span)>, ConfigError> {
        let Some(item) = top.get(key) else {
            return Ok(Vec::new());
        };
        if let Some(table) = item.as_table_like() {
            return Ok(vec![(table, item.span().or_else(|| key_span(top, key)))]);
        }
        if let Some(tables) = item.as_array_of_tables() {
            let one = |table: &'t toml_edit::Table| (table as &dyn TableLike, table.span());
            return Ok(tables.iter().map(one).collect());
        }
        let wrong = |found: &str| {
            let message = format!("expected tables ([[{key}]]), found {found}");
            self.about(top, key, &item.span(), &message)
        };
        let array = item.as_array().ok_or_else(|| wrong(&describe(item)))?;
        let mut tables: Vec<(&dyn TableLike, Span)> = Vec::new();
        for entry in array {
            let table = entry.as_inline_table();
            let table = table.ok_or_else(|| wrong(&describe_value(entry)))?;
            tables.push((table, entry.span()));
        }
        Ok(tables)
    }

    /// The registry entry that a table names as its `kind`.
    fn kind<'r>(
        &self,
        (table, span): &(&dyn TableLike, Span),
        what: &str,
        default: Option<&str>,
        entries: &'r [RegistryEntry],
    ) -> Result<&'r RegistryEntry, ConfigError> {
        let names = || entries.iter().map(|entry| entry.name);
        let kind = match (table.get("kind"), default) {
            (Some(item), _) => self.text(*table, "kind", item)?,
            (None, Some(default)) => default.to_string(),
            (None, None) => {
                let known: Vec<_> = names().collect();
                let message = format!("missing; one of {}", known.join(", "));
                return Err(self.about(*table, "kind", span, &message));
            }
        };
        let span = key_span(*table, "kind").or_else(|| span.clone());
        let found = entries.iter().find(|entry| entry.name == kind);
        found.ok_or_else(|| self.no_such(span, "kind", what, &kind, names()))
    }

    /// Every combination of the settings in a table. Keys in `reserved` are none.
    fn expand(
        &self,
        (table, span): &(&dyn TableLike, Span),
        entry: &RegistryEntry,
        reserved: &[&str],
    ) -> Result<Expanded, ConfigError> {
        let wrong = |error: SettingError| self.about(*table, &error.key, span, &error.message);
        let mut given = Vec::new();
        for (key, item) in table.iter().filter(|(key, _)| !reserved.contains(key)) {
            let dimension = all_dimensions(entry.dimensions).find(|known| known.name == key);
            let Some(dimension) = dimension else {
                let known = all_dimensions(entry.dimensions).map(|known| known.name);
                return Err(wrong(SettingError::unknown(
                    key,
                    known.chain(reserved.iter().copied()),
                )));
            };
            let read = match item.as_value() {
                Some(value) => self::value(value),
                None => Err("a table"),
            };
            let values = read
                .map_err(|found| format!("expected {}, found {found}", dimension.kind))
                .and_then(|value| swept_values(&dimension.kind, value))
                .map_err(|message| wrong(SettingError::new(key, message)))?;
            given.push(Given { key: key.to_string(), values });
        }
        let count = combinations(&given);
        if count > MOST_RUNS {
            let message = format!("the sweep has more than {MOST_RUNS} combinations");
            return Err(self.error(span.clone(), message));
        }
        let mut settings = Vec::with_capacity(count);
        let mut used = vec![false; given.len()];
        for one in expand(&given) {
            // In a sweep over entries, each takes the settings that it has; two
            // combinations that differ in nothing else are one.
            let one = applicable(entry.dimensions, &one);
            let has = |given: &Given| one.iter().any(|(key, _)| *key == given.key);
            used.iter_mut().zip(&given).for_each(|(used, given)| *used |= has(given));
            let resolved = resolve(entry.dimensions, &one).map_err(wrong)?;
            (entry.check)(entry.name, &resolved).map_err(wrong)?;
            if one.len() == given.len() || !settings.contains(&resolved) {
                settings.push(resolved);
            }
        }
        if let Some((_, given)) = used.iter().zip(&given).find(|(used, _)| !**used) {
            let error = unchosen(entry.dimensions, &given.key);
            return Err(error.map_or_else(|| self.error(span.clone(), "no combination"), wrong));
        }
        Ok(Expanded { kind: entry.name, settings })
    }

    /// Tables of batteries, protocols, diagnostics or ensembles.
    fn entries(
        &self,
        top: &dyn TableLike,
        key: &str,
        known: &[RegistryEntry],
    ) -> Result<Vec<EntryConfig>, ConfigError> {
        let mut all: Vec<EntryConfig> = Vec::new();
        for table in self.tables(top, key)? {
            let entry = self.kind(&table, key, None, known)?;
            let expanded = self.expand(&table, entry, &["kind"])?;
            for settings in expanded.settings {
                let kind = expanded.kind.to_string();
                self.add_entry(&mut all, key, &table.1, EntryConfig { kind, settings })?;
            }
        }
        Ok(all)
    }

    fn add_entry(
        &self,
        all: &mut Vec<EntryConfig>,
        key: &str,
        span: &Span,
        entry: EntryConfig,
    ) -> Result<(), ConfigError> {
        if all.contains(&entry) {
            let message = format!("`{key}`: {:?} with the same settings twice", entry.kind);
            return Err(self.error(span.clone(), message));
        }
        all.push(entry);
        Ok(())
    }

    /// The regimens of all runs; the usual one where none is named.
    fn regimens(
        &self,
        top: &dyn TableLike,
        known: &[RegistryEntry],
    ) -> Result<Vec<Expanded>, ConfigError> {
        let mut all = Vec::new();
        for table in self.tables(top, "regimen")? {
            let entry = self.kind(&table, "regimen", None, known)?;
            all.push(self.expand(&table, entry, &["kind"])?);
        }
        if all.is_empty() {
            all.push(Expanded {
                kind: crate::regimens::DEFAULT,
                settings: vec![Settings::default()],
            });
        }
        Ok(all)
    }

    /// Whether every regimen can train every run that names it.
    fn check_regimens(
        &self,
        top: &dyn TableLike,
        known: &[RegistryEntry],
        runs: &[RunConfig],
    ) -> Result<(), ConfigError> {
        for table in self.tables(top, "regimen")? {
            let entry = self.kind(&table, "regimen", None, known)?;
            for settings in self.expand(&table, entry, &["kind"])?.settings {
                let own = (entry.name.to_string(), settings);
                for run in runs.iter().filter(|run| run.regimen == own) {
                    (entry.applies)(entry.name, &own.1, run).map_err(|error| {
                        self.about(table.0, &error.key, &table.1, &error.message)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Whether every entry of tables under a key can be applied to every run.
    fn check_applicable(
        &self,
        top: &dyn TableLike,
        key: &str,
        known: &[RegistryEntry],
        runs: &[RunConfig],
    ) -> Result<(), ConfigError> {
        for table in self.tables(top, key)? {
            let entry = self.kind(&table, key, None, known)?;
            for settings in self.expand(&table, entry, &["kind"])?.settings {
                for run in runs {
                    (entry.applies)(entry.name, &settings, run).map_err(|error| {
                        self.about(table.0, &error.key, &table.1, &error.message)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The same for those that stand in a list of names.
    fn check_named(
        &self,
        top: &dyn TableLike,
        key: &str,
        known: &[RegistryEntry],
        runs: &[RunConfig],
    ) -> Result<(), ConfigError> {
        let Some(item) = top.get(key) else { return Ok(()) };
        for (name, span) in self.names(top, key, item)? {
            let Some(entry) = known.iter().find(|entry| entry.name == name) else { continue };
            let wrong = |error: SettingError| {
                self.error(span.clone(), format!("`{key}`: {}", error.message))
            };
            let settings = resolve(entry.dimensions, &[]).map_err(wrong)?;
            runs.iter()
                .try_for_each(|run| (entry.applies)(&name, &settings, run))
                .map_err(wrong)?;
        }
        Ok(())
    }

    /// The names under the first key (`batteries`), then the tables under the second
    /// (`battery`).
    fn listed(
        &self,
        top: &dyn TableLike,
        [list, single]: [&str; 2],
        known: &[RegistryEntry],
    ) -> Result<Vec<EntryConfig>, ConfigError> {
        let mut all = Vec::new();
        if let Some(item) = top.get(list) {
            for (name, span) in self.names(top, list, item)? {
                let entry = known.iter().find(|entry| entry.name == name);
                let names = || known.iter().map(|entry| entry.name);
                let entry = entry
                    .ok_or_else(|| self.no_such(span.clone(), list, single, &name, names()))?;
                let settings = resolve(entry.dimensions, &[])
                    .map_err(|error| self.error(span.clone(), error.to_string()))?;
                let kind = name;
                self.add_entry(&mut all, list, &span, EntryConfig { kind, settings })?;
            }
        }
        for entry in self.entries(top, single, known)? {
            self.add_entry(&mut all, single, &key_span(top, single), entry)?;
        }
        Ok(all)
    }

    /// A list of names, or one name.
    fn names(
        &self,
        table: &dyn TableLike,
        key: &str,
        item: &Item,
    ) -> Result<Vec<(String, Span)>, ConfigError> {
        if let Some(name) = item.as_str() {
            return Ok(vec![(name.to_string(), item.span())]);
        }
        let wrong = |found: &str| {
            let message = format!("expected a list of names, found {found}");
            self.about(table, key, &item.span(), &message)
        };
        let array = item.as_array().ok_or_else(|| wrong(&describe(item)))?;
        let mut names = Vec::new();
        for entry in array {
            let name = entry.as_str().ok_or_else(|| wrong(&describe_value(entry)))?;
            names.push((name.to_string(), entry.span()));
        }
        Ok(names)
    }

    fn data(
        &self,
        top: &dyn TableLike,
        entry: &RegistryEntry,
    ) -> Result<Vec<Settings>, ConfigError> {
        let tables = self.tables(top, "data")?;
        if tables.is_empty() {
            let defaults = resolve(entry.dimensions, &[]);
            let wrong = |error: SettingError| self.error(None, error.to_string());
            return Ok(vec![defaults.map_err(wrong)?]);
        }
        let mut all = Vec::new();
        for table in &tables {
            all.extend(self.expand(table, entry, &[])?.settings);
        }
        Ok(all)
    }

    fn learners(
        &self,
        top: &dyn TableLike,
        known: &[RegistryEntry],
    ) -> Result<Vec<Learner>, ConfigError> {
        let Some(item) = top.get("learner") else {
            let message = "`learner`: missing; give at least one table [learner.NAME]";
            return Err(self.error(None, message));
        };
        let wrong = |key: &str, item: &Item| {
            let message = format!("expected tables [learner.NAME], found {}", describe(item));
            self.about(top, key, &item.span(), &message)
        };
        let tables = item.as_table_like().ok_or_else(|| wrong("learner", item))?;
        let mut learners = Vec::new();
        for (name, item) in tables.iter() {
            let table = item.as_table_like().ok_or_else(|| wrong(name, item))?;
            let table = (table, item.span().or_else(|| key_span(tables, name)));
            let entry = self.kind(&table, "learner", Some(name), known)?;
            learners.push(Learner {
                name: name.to_string(),
                expanded: self.expand(&table, entry, &["kind"])?,
            });
        }
        Ok(learners)
    }

    fn models(
        &self,
        top: &dyn TableLike,
        registries: &Registries,
        learners: &[Learner],
    ) -> Result<Vec<Model>, ConfigError> {
        let mut models = Vec::new();
        for table in self.tables(top, "model")? {
            let entry = self.kind(&table, "model", None, &registries.models)?;
            let names: Vec<(String, Span)> = match (table.0.get("learner"), learners) {
                (Some(item), _) => self.names(table.0, "learner", item)?,
                (None, [only]) => vec![(only.name.clone(), table.1.clone())],
                (None, _) => Vec::new(),
            };
            let known = || learners.iter().map(|learner| learner.name.as_str());
            if names.is_empty() {
                let all: Vec<_> = known().collect();
                let message = format!("name at least one learner of {}", all.join(", "));
                return Err(self.about(table.0, "learner", &table.1, &message));
            }
            let mut chosen = Vec::new();
            for (name, span) in names {
                let Some(index) = known().position(|known| known == name) else {
                    return Err(self.no_such(span, "learner", "learner", &name, known()));
                };
                let kind = learners[index].expanded.kind;
                let learner = registries.learners.iter().find(|learner| learner.name == kind);
                let models = learner.map_or(&[][..], |learner| learner.models);
                if !models.is_empty() && !models.contains(&entry.name) {
                    let message = format!(
                        "the {kind} learner learns the model `{}`, not `{}`",
                        models.join("` or `"),
                        entry.name
                    );
                    return Err(self.error(span, format!("`learner`: {message}")));
                }
                chosen.push(index);
            }
            models.push(Model {
                expanded: self.expand(&table, entry, &["kind", "learner"])?,
                learners: chosen,
                span: table.1,
            });
        }
        match models.is_empty() {
            true => {
                let message = "`model`: missing; give at least one table [[model]]";
                Err(self.error(None, message))
            }
            false => Ok(models),
        }
    }
}

/// What an item is, in an error message.
fn describe(item: &Item) -> String {
    match item.as_value() {
        Some(value) => describe_value(value),
        None => "a table".to_string(),
    }
}

fn describe_value(value: &toml_edit::Value) -> String {
    match self::value(value) {
        Ok(value) => value.describe(),
        Err(what) => what.to_string(),
    }
}
