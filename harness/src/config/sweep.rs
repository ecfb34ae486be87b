//! Sweeps: lists of values become lists of settings.

use speck_models::settings::{Kind, Settings, Value};
use std::collections::BTreeSet;

/// The values given for one key: one, or several for a sweep.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub key: String,
    pub values: Vec<Value>,
}

/// The values of a sweep, or the one value. A list is a sweep, except that for
/// a dimension of lists only a list of lists is one.
pub(super) fn swept_values(kind: &Kind, value: Value) -> Result<Vec<Value>, String> {
    let values = match value {
        Value::List(values) => match kind {
            Kind::IntList { .. } | Kind::TextList => {
                let all_lists = values.iter().all(|value| matches!(value, Value::List(_)));
                if values.is_empty() || !all_lists {
                    return Ok(vec![Value::List(values)]);
                }
                values
            }
            _ => values,
        },
        single => return Ok(vec![single]),
    };
    if values.is_empty() {
        return Err(format!("the list is empty; expected {kind}, or a list of several"));
    }
    let mut checked = Vec::with_capacity(values.len());
    for value in &values {
        let value = kind.check(value)?;
        if checked.contains(&value) {
            return Err(format!("{value} stands twice in the list"));
        }
        checked.push(value);
    }
    Ok(checked)
}

/// How many combinations [`expand`] makes; `usize::MAX` for too many to count.
pub(super) fn combinations(given: &[Given]) -> usize {
    let lengths = given.iter().map(|given| given.values.len());
    lengths.fold(1, usize::saturating_mul)
}

/// Every combination of the given values. The keys keep their order, and the
/// last one varies fastest.
pub(super) fn expand(given: &[Given]) -> Vec<Vec<(String, Value)>> {
    let mut all = vec![Vec::new()];
    for Given { key, values } in given {
        all = all
            .into_iter()
            .flat_map(|before: Vec<(String, Value)>| {
                let with = |value: &Value| {
                    let mut longer = before.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                };
                values.iter().map(with).collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

/// The names of the dimensions that do not have the same value in all settings,
/// sorted. A dimension that goes with the choice of an entry may be missing from
/// some.
pub(super) fn varying(all: &[&Settings]) -> Vec<String> {
    let names: BTreeSet<&str> =
        all.iter().flat_map(|settings| settings.iter().map(|(name, _)| name)).collect();
    let differs = |name: &&str| {
        let mut values = all.iter().filter_map(|settings| settings.get(name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    names.into_iter().filter(differs).map(str::to_string).collect()
}

/// A name with some of its settings: `mlp depth=2 width=64`.
pub(super) fn label(name: &str, settings: &Settings, shown: &[String]) -> String {
    let setting = |key: &String| settings.get(key).map(|value| format!("{key}={value}"));
    let name = Some(name.to_string()).filter(|name| !name.is_empty());
    let parts: Vec<_> = name.into_iter().chain(shown.iter().filter_map(setting)).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use speck_models::settings::{DefaultValue, Dimension, Kind, resolve};

    use super::*;

    fn given(key: &str, values: &[i64]) -> Given {
        Given { key: key.to_string(), values: values.iter().copied().map(Value::Int).collect() }
    }

    #[test]
    fn the_last_key_varies_fastest() {
        let given = [given("a", &[1, 2]), given("b", &[5]), given("c", &[7, 8])];
        assert_eq!(combinations(&given), 4);
        let numbers: Vec<Vec<String>> = expand(&given)
            .iter()
            .map(|all| all.iter().map(|(_, value)| value.to_string()).collect())
            .collect();
        let expected = [["1", "5", "7"], ["1", "5", "8"], ["2", "5", "7"], ["2", "5", "8"]];
        assert_eq!(numbers, expected);
        assert_eq!(expand(&[]).len(), 1);
    }

    #[test]
    fn huge_sweeps_are_counted_without_overflow() {
        let long: Vec<i64> = (0..1000).collect();
        let given: Vec<_> = (0..10).map(|index| given(&index.to_string(), &long)).collect();
        assert_eq!(combinations(&given), usize::MAX);
    }

    #[test]
    fn labels_name_what_varies() {
        const DIMENSIONS: &[Dimension] = &[
            Dimension {
                name: "width",
                doc: "",
                kind: Kind::Int { min: 0, max: 9 },
                default: DefaultValue::Int(1),
            },
            Dimension {
                name: "depth",
                doc: "",
                kind: Kind::Int { min: 0, max: 9 },
                default: DefaultValue::Int(1),
            },
        ];
        let with = |width| resolve(DIMENSIONS, &[("width".to_string(), Value::Int(width))]);
        let (one, two) = (with(1).unwrap(), with(2).unwrap());
        assert_eq!(varying(&[&one, &two, &one]), ["width"]);
        assert!(varying(&[&one]).is_empty() && varying(&[]).is_empty());
        assert_eq!(label("mlp", &two, &["width".to_string()]), "mlp width=2");
        assert_eq!(label("", &two, &["width".to_string()]), "width=2");
        assert_eq!(label("mlp", &two, &[]), "mlp");
    }
}
