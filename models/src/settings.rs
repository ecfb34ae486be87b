//! Settings: the one mechanism behind every registry.
//!
//! An entry of a registry (an architecture, a learner, a battery, the data)
//! lists its [`Dimension`]s: name, meaning, allowed values and default.
//! [`resolve`] checks what a user gave against that list and fills in the rest,
//! so a [`Settings`] always holds a valid value for every dimension. The same
//! list feeds `speck list`, the sweep of an experiment and the hash of a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A value as a user writes it and as a run's config stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A choice, a colour, a name.
    Text(String),
    /// Several values.
    List(Vec<Value>),
}

impl Value {
    /// What the value is, in an error message: `the text "abc"`.
    pub fn describe(&self) -> String {
        match self {
            Value::Bool(value) => format!("the truth value {value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(value) => format!("the text {value:?}"),
            Value::List(_) => format!("the list {self}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value}"),
            Value::List(values) => {
                write!(f, "[")?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                write!(f, "]")
            }
        }
    }
}

/// Which values a dimension allows. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// A real number; whole numbers are taken too, NaN and infinities are not.
    Float {
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// One of the entries of a registry, which brings its own dimensions along.
    Entry(&'static [Part]),
    /// Several texts.
    TextList,
    /// A colour that [`parse_colour`] reads, or one of some words.
    Colour {
        /// The words.
        also: &'static [&'static str],
    },
    /// Several whole numbers.
    IntList {
        /// The smallest value of an entry.
        min: i64,
        /// The largest value of an entry.
        max: i64,
        /// The smallest number of entries.
        shortest: usize,
        /// The largest number of entries.
        longest: usize,
    },
}

impl Kind {
    /// Checks a value and brings it to this kind (a whole number becomes a
    /// real one where a real one is asked for).
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        let refused = || Err(format!("expected {self}, found {}", value.describe()));
        match (*self, value) {
            (Kind::Bool, Value::Bool(_)) => Ok(value.clone()),
            (Kind::Int { min, max }, Value::Int(number)) if (min..=max).contains(number) => {
                Ok(value.clone())
            }
            (Kind::Float { min, max }, Value::Int(_) | Value::Float(_)) => {
                let number = match value {
                    Value::Int(number) => *number as f64,
                    Value::Float(number) => *number,
                    _ => f64::NAN,
                };
                // NaN is in no range, so it is refused here too. Adding zero
                // turns -0.0 into 0.0: equal settings have equal hashes.
                match (min..=max).contains(&number) {
                    true => Ok(Value::Float(number + 0.0)),
                    false => refused(),
                }
            }
            (Kind::Choice(of), Value::Text(word)) => match of.contains(&word.as_str()) {
                true => Ok(value.clone()),
                false => Err(unknown_word(word, of, self)),
            },
            (Kind::Entry(of), Value::Text(word)) => match of.iter().any(|part| part.name == word) {
                true => Ok(value.clone()),
                false => Err(unknown_word(word, &names(of), self)),
            },
            (Kind::TextList, Value::List(values)) => {
                match values.iter().all(|value| matches!(value, Value::Text(_))) {
                    true => Ok(value.clone()),
                    false => refused(),
                }
            }
            (Kind::Colour { also }, Value::Text(word)) => {
                if also.contains(&word.as_str()) || parse_colour(word).is_some() {
                    return Ok(value.clone());
                }
                let known: Vec<_> = COLOURS.iter().map(|colour| colour.0).collect();
                Err(unknown_word(word, &[&known, also].concat(), self))
            }
            (Kind::IntList { min, max, shortest, longest }, Value::List(values)) => {
                let fits = |value: &Value| match value {
                    Value::Int(number) => (min..=max).contains(number),
                    _ => false,
                };
                let length = shortest..=longest;
                match length.contains(&values.len()) && values.iter().all(fits) {
                    true => Ok(value.clone()),
                    false => refused(),
                }
            }
            _ => refused(),
        }
    }
}

impl fmt::Display for Kind {
    /// What the kind allows, as it stands in lists and error messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => write!(f, "true or false"),
            Kind::Int { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Float { min, max } => write!(f, "a number from {min} to {max}"),
            Kind::Choice(of) => write!(f, "one of {}", of.join(", ")),
            Kind::Entry(of) => write!(f, "one of {}", names(of).join(", ")),
            Kind::TextList => write!(f, "a list of texts"),
            Kind::Colour { also } => {
                let names: Vec<_> = COLOURS.iter().map(|colour| colour.0).collect();
                write!(f, "a colour (\"#rrggbb\", {})", names.join(", "))?;
                match also {
                    [] => Ok(()),
                    _ => write!(f, " or one of {}", also.join(", ")),
                }
            }
            Kind::IntList { min, max, shortest, longest } => {
                write!(f, "a list of {shortest} to {longest} whole numbers from {min} to {max}")
            }
        }
    }
}

fn names(parts: &[Part]) -> Vec<&'static str> {
    parts.iter().map(|part| part.name).collect()
}

/// The message for a word that is none of `known`.
fn unknown_word(word: &str, known: &[&str], kind: &Kind) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("{word:?} is not {kind}; did you mean \"{near}\"?"),
        None => format!("{word:?} is not {kind}"),
    }
}

/// The value a dimension has where the user gives none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DefaultValue {
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Int`].
    Int(i64),
    /// For [`Kind::Float`].
    Float(f64),
    /// For [`Kind::Choice`], [`Kind::Entry`] and [`Kind::Colour`].
    Text(&'static str),
    /// For [`Kind::TextList`].
    TextList(&'static [&'static str]),
    /// For [`Kind::IntList`].
    IntList(&'static [i64]),
}

impl DefaultValue {
    /// The default as a [`Value`].
    pub fn value(&self) -> Value {
        match *self {
            DefaultValue::Bool(value) => Value::Bool(value),
            DefaultValue::Int(value) => Value::Int(value),
            DefaultValue::Float(value) => Value::Float(value),
            DefaultValue::Text(value) => Value::Text(value.to_string()),
            DefaultValue::IntList(values) => {
                Value::List(values.iter().map(|&value| Value::Int(value)).collect())
            }
            DefaultValue::TextList(values) => {
                Value::List(values.iter().map(|&value| Value::Text(value.to_string())).collect())
            }
        }
    }
}

/// One thing a user can choose about an entry of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dimension {
    /// The key in an experiment file.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// The allowed values.
    pub kind: Kind,
    /// The value where none is given.
    pub default: DefaultValue,
}

impl Dimension {
    /// A number in a range.
    pub const fn float(
        name: &'static str,
        doc: &'static str,
        (min, max): (f64, f64),
        default: f64,
    ) -> Self {
        let (kind, default) = (Kind::Float { min, max }, DefaultValue::Float(default));
        Dimension { name, doc, kind, default }
    }

    /// A whole number in a range.
    pub const fn int(
        name: &'static str,
        doc: &'static str,
        (min, max): (i64, i64),
        default: i64,
    ) -> Self {
        let (kind, default) = (Kind::Int { min, max }, DefaultValue::Int(default));
        Dimension { name, doc, kind, default }
    }

    /// A truth value.
    pub const fn bool(name: &'static str, doc: &'static str, default: bool) -> Self {
        Dimension { name, doc, kind: Kind::Bool, default: DefaultValue::Bool(default) }
    }

    /// One of some words.
    pub const fn choice(
        name: &'static str,
        doc: &'static str,
        of: &'static [&'static str],
        default: &'static str,
    ) -> Self {
        Dimension { name, doc, kind: Kind::Choice(of), default: DefaultValue::Text(default) }
    }
}

/// An entry of a registry whose choice is a dimension of something larger: its
/// dimensions are settings of the larger one while it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// The word that chooses it.
    pub name: &'static str,
    /// What can be varied about it.
    pub dimensions: &'static [Dimension],
}

/// Every dimension that settings may have, those of parts that are not chosen
/// too, and of parts of those; two parts may have dimensions of one name.
pub fn all_dimensions(
    dimensions: &'static [Dimension],
) -> impl Iterator<Item = &'static Dimension> + Clone {
    let mut all: Vec<_> = dimensions.iter().collect();
    let mut at = 0;
    while let Some(dimension) = all.get(at) {
        if let Kind::Entry(parts) = dimension.kind {
            all.extend(parts.iter().flat_map(|part| part.dimensions));
        }
        at += 1;
    }
    all.into_iter()
}

/// The dimensions that go with the parts that are chosen, by what was given or
/// by default, and with the parts of those.
fn valid_dimensions(
    dimensions: &'static [Dimension],
    given: &[(String, Value)],
) -> Vec<&'static Dimension> {
    let mut valid: Vec<_> = dimensions.iter().collect();
    let mut at = 0;
    while let Some(dimension) = valid.get(at) {
        at += 1;
        let Kind::Entry(parts) = dimension.kind else { continue };
        let chosen = given.iter().find(|(key, _)| key == dimension.name);
        let chosen = chosen.map_or_else(|| dimension.default.value(), |(_, value)| value.clone());
        let part = parts.iter().find(|part| Value::Text(part.name.to_string()) == chosen);
        valid.extend(part.map_or(&[][..], |part| part.dimensions));
    }
    valid
}

/// What was given without the settings of parts that are not chosen, for sweeps
/// over the choice. What no part has stays, for [`resolve`] to refuse.
pub fn applicable(
    dimensions: &'static [Dimension],
    given: &[(String, Value)],
) -> Vec<(String, Value)> {
    let valid = valid_dimensions(dimensions, given);
    let kept = given.iter().filter(|(key, _)| {
        valid.iter().any(|known| known.name == key)
            || all_dimensions(dimensions).all(|known| known.name != key)
    });
    kept.cloned().collect()
}

/// The error for a setting of parts that are not chosen, if it is one.
pub fn unchosen(dimensions: &'static [Dimension], key: &str) -> Option<SettingError> {
    for dimension in all_dimensions(dimensions) {
        let Kind::Entry(parts) = dimension.kind else { continue };
        let has = |part: &&Part| part.dimensions.iter().any(|known| known.name == key);
        let having: Vec<_> = parts.iter().filter(has).map(|part| part.name).collect();
        if !having.is_empty() {
            let message = format!(
                "goes with `{}` = {} only, which is not chosen",
                dimension.name,
                having.join(" or ")
            );
            return Some(SettingError::new(key, message));
        }
    }
    None
}

/// A valid value for every dimension of an entry, made by [`resolve`].
///
/// It serializes as a JSON object with sorted keys. The accessors panic when
/// asked for a name or a type that the entry's dimensions do not have: that is
/// a mistake in the program, no input of a user can cause it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, Value>);

impl Settings {
    fn value(&self, name: &str) -> &Value {
        match self.0.get(name) {
            Some(value) => value,
            None => panic!("`{name}` is not a dimension of these settings"),
        }
    }

    /// The value of a [`Kind::Bool`] dimension.
    pub fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(value) => *value,
            other => panic!("`{name}` holds {}, not a truth value", other.describe()),
        }
    }

    /// The value of a [`Kind::Int`] dimension.
    pub fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Int(value) => *value,
            other => panic!("`{name}` holds {}, not a whole number", other.describe()),
        }
    }

    /// The value of a [`Kind::Int`] dimension whose range has no negative number.
    pub fn usize(&self, name: &str) -> usize {
        let value = self.int(name);
        usize::try_from(value).unwrap_or_else(|_| panic!("`{name}` holds {value}, below 0"))
    }

    /// The value of a [`Kind::Float`] dimension.
    pub fn float(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Float(value) => *value,
            Value::Int(value) => *value as f64,
            other => panic!("`{name}` holds {}, not a number", other.describe()),
        }
    }

    /// The value of a [`Kind::Choice`] or [`Kind::Colour`] dimension.
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Value::Text(value) => value,
            other => panic!("`{name}` holds {}, not a text", other.describe()),
        }
    }

    /// The value of a [`Kind::IntList`] dimension whose range has no negative number.
    pub fn int_list(&self, name: &str) -> Vec<usize> {
        let Value::List(values) = self.value(name) else {
            panic!("`{name}` holds {}, not a list", self.value(name).describe());
        };
        let entry = |value: &Value| match value {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let numbers: Option<Vec<usize>> = values.iter().map(entry).collect();
        numbers.unwrap_or_else(|| panic!("`{name}` holds an entry that is no count"))
    }

    /// The value of a [`Kind::TextList`] dimension.
    pub fn text_list(&self, name: &str) -> Vec<&str> {
        let Value::List(values) = self.value(name) else {
            panic!("`{name}` holds {}, not a list", self.value(name).describe());
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            let Value::Text(text) = value else {
                panic!("`{name}` holds {}, not a text", value.describe());
            };
            texts.push(text.as_str());
        }
        texts
    }

    /// The same settings with one value replaced. The value is not checked
    /// again; for input of a user go through [`resolve`].
    #[must_use]
    pub fn with(&self, name: &str, value: Value) -> Self {
        self.value(name);
        let mut changed = self.clone();
        changed.0.insert(name.to_string(), value);
        changed
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a dimension, `None` where there is no such dimension.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct SettingError {
    /// The name the user wrote, or the name of the dimension concerned.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl SettingError {
    /// An error about the setting `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        SettingError { key: key.into(), message: message.into() }
    }

    /// The error for a key that is none of `known`, with the nearest of them.
    pub fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.collect();
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if known.is_empty() => "; none can be given here".to_string(),
            None => format!("; there are {}", known.join(", ")),
        };
        SettingError::new(key, format!("no such setting{hint}"))
    }
}

/// Checks what was given against the dimensions and fills in the defaults.
///
/// # Errors
/// The first key that is unknown or given twice, or whose value has the wrong
/// type or lies outside its range.
pub fn resolve(
    dimensions: &'static [Dimension],
    given: &[(String, Value)],
) -> Result<Settings, SettingError> {
    let mut settings = BTreeMap::new();
    let valid = valid_dimensions(dimensions, given);
    for (key, value) in given {
        let Some(dimension) = valid.iter().find(|dimension| dimension.name == key) else {
            let known = valid.iter().map(|known| known.name);
            return Err(
                unchosen(dimensions, key).unwrap_or_else(|| SettingError::unknown(key, known))
            );
        };
        let value = dimension.kind.check(value).map_err(|why| SettingError::new(key, why))?;
        if settings.insert(key.clone(), value).is_some() {
            return Err(SettingError::new(key, "given twice"));
        }
    }
    for dimension in valid {
        settings.entry(dimension.name.to_string()).or_insert_with(|| dimension.default.value());
    }
    Ok(Settings(settings))
}

/// The candidate most like `word`, if any is like it at all: the highest
/// Jaro-Winkler likeness above 0.7, the first of equals. That measure sees no
/// likeness in short words with two letters exchanged, so a single edit of a
/// word of three letters or more counts as a likeness of 0.9.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut highest = 0.7;
    for candidate in candidates {
        let mut likeness = strsim::jaro_winkler(word, candidate);
        if word.chars().count() >= 3 && strsim::osa_distance(word, candidate) <= 1 {
            likeness = likeness.max(0.9);
        }
        if likeness > highest {
            highest = likeness;
            best = Some(candidate);
        }
    }
    best
}

/// The colours that have a name; components red, green, blue in [0, 1].
pub const COLOURS: [(&str, [f32; 3]); 9] = [
    ("black", [0.0, 0.0, 0.0]),
    ("white", [1.0, 1.0, 1.0]),
    ("grey", [0.5, 0.5, 0.5]),
    ("red", [1.0, 0.0, 0.0]),
    ("green", [0.0, 1.0, 0.0]),
    ("blue", [0.0, 0.0, 1.0]),
    ("yellow", [1.0, 1.0, 0.0]),
    ("cyan", [0.0, 1.0, 1.0]),
    ("magenta", [1.0, 0.0, 1.0]),
];

/// Reads `#rrggbb` or a name of [`COLOURS`]: red, green, blue in [0, 1].
pub fn parse_colour(text: &str) -> Option<[f32; 3]> {
    if let Some((_, colour)) = COLOURS.iter().find(|(name, _)| *name == text) {
        return Some(*colour);
    }
    let digits = text.strip_prefix('#')?;
    if digits.len() != 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    let component = |shift: u32| ((number >> shift) & 0xff) as f32 / 255.0;
    Some([component(16), component(8), component(0)])
}

#[cfg(test)]
mod tests;
