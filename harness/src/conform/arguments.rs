//! The arguments of an operator call, under PyTorch's names.

use serde_json::{Map, Value};
use speck_engine::{Graph, GraphError, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Why a case could not be run.
#[derive(Debug)]
pub enum Problem {
    /// The operator, or this use of it, is not there.
    Unsupported(String),
    /// A node cannot be built.
    Graph(GraphError),
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Problem::Graph(error)
    }
}

/// The inputs and attributes of one call.
pub struct Arguments<'a> {
    /// Where the call is built.
    pub graph: &'a Graph,
    pub(super) inputs: BTreeMap<String, NodeId>,
    pub(super) attributes: &'a Map<String, Value>,
    /// The inputs that hold truth values, as 0 and 1.
    pub(super) truths: BTreeSet<String>,
}

impl Arguments<'_> {
    /// A tensor input.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn input(&self, name: &str) -> Result<NodeId, Problem> {
        self.optional(name).ok_or_else(|| Problem::Unsupported(format!("no input `{name}`")))
    }

    /// A tensor input that may be missing.
    pub fn optional(&self, name: &str) -> Option<NodeId> {
        self.inputs.get(name).copied()
    }

    /// Whether an input holds truth values, which the graph has as 0 and 1.
    pub fn is_truth(&self, name: &str) -> bool {
        self.truths.contains(name)
    }

    /// The inputs `NAME.0`, `NAME.1`, … of a list of tensors.
    pub fn list(&self, name: &str) -> Vec<NodeId> {
        (0..).map_while(|i| self.optional(&format!("{name}.{i}"))).collect()
    }

    /// An attribute that is there and not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || Problem::Unsupported(format!("`{name}` is {value}, not {wanted}"));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// A whole number, or nothing.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.typed(name, "a whole number", Value::as_i64)
    }

    /// A number, or `default`.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self, name: &str, default: f64) -> Result<f64, Problem> {
        let read = |value: &Value| match value.as_str() {
            Some("Infinity") => Some(f64::INFINITY),
            Some("-Infinity") => Some(f64::NEG_INFINITY),
            _ => value.as_f64(),
        };
        Ok(self.typed(name, "a number", read)?.unwrap_or(default))
    }

    /// A truth value, or `default`.
    ///
    /// # Errors
    /// It is something else.
    pub fn truth(&self, name: &str, default: bool) -> Result<bool, Problem> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A word, or `default`.
    ///
    /// # Errors
    /// It is something else.
    pub fn word(&self, name: &str, default: &'static str) -> Result<String, Problem> {
        let word = self.typed(name, "a word", |value| value.as_str().map(str::to_owned))?;
        Ok(word.unwrap_or_else(|| default.to_owned()))
    }

    /// Whole numbers, one number counting as a list of one; nothing if missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, Problem> {
        self.typed(name, "whole numbers", |value| match value {
            Value::Array(values) => values.iter().map(Value::as_i64).collect(),
            value => value.as_i64().map(|value| vec![value]),
        })
    }

    /// Sizes for `N` dimensions, one number standing for all, or `default`.
    ///
    /// # Errors
    /// Another number of sizes, or a negative one.
    pub fn sizes<const N: usize>(
        &self,
        name: &str,
        default: [usize; N],
    ) -> Result<[usize; N], Problem> {
        let Some(values) = self.integers(name)?.filter(|values| !values.is_empty()) else {
            return Ok(default);
        };
        let wrong = || Problem::Unsupported(format!("`{name}` is {values:?}, not {N} sizes"));
        let sizes: Option<Vec<usize>> =
            values.iter().map(|value| usize::try_from(*value).ok()).collect();
        let sizes = sizes.ok_or_else(wrong)?;
        match sizes.as_slice() {
            [one] => Ok([*one; N]),
            all => all.try_into().map_err(|_| wrong()),
        }
    }

    /// The axis named by an attribute, counted from the end if negative, for a
    /// tensor of `rank` dimensions; a 0-d tensor has the axes 0 and -1 as well.
    ///
    /// # Errors
    /// It does not exist.
    pub fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize, Problem> {
        axis(self.integer(name)?.unwrap_or(default), rank)
    }

    /// The axes named by an attribute, all of them if it is missing.
    ///
    /// # Errors
    /// One does not exist.
    pub fn axes(&self, name: &str, rank: usize) -> Result<Vec<usize>, Problem> {
        match self.integers(name)? {
            Some(values) => values.iter().map(|value| axis(*value, rank)).collect(),
            None => Ok((0..rank).collect()),
        }
    }
}

/// An axis that may count from the end.
///
/// # Errors
/// It does not exist.
pub fn axis(value: i64, rank: usize) -> Result<usize, Problem> {
    let rank = rank.max(1);
    let index = if value < 0 { value + rank as i64 } else { value };
    usize::try_from(index)
        .ok()
        .filter(|index| *index < rank)
        .ok_or_else(|| Problem::Unsupported(format!("axis {value} of {rank} dimensions")))
}
