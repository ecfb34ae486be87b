//! Numbers of which only a bound may be known, such as the steps to something
//! that was not reached in time.

use maud::{Markup, html};

use crate::report::cells::{NOTHING, Shade, value_cell};
use crate::report::format::Unit;
use crate::report::page::short;
use crate::report::statistics::{Estimate, Observation};

/// A number of steps that lies between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    /// A number that is known.
    pub fn exactly(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// A number of which is known that it is larger.
    pub fn above(low: f64) -> Self {
        Self { low, high: f64::INFINITY }
    }

    /// The difference of two such numbers.
    pub fn less(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }
    }

    fn known(self) -> Option<f64> {
        (self.low == self.high).then_some(self.low)
    }

    fn text(self) -> String {
        let number = |value| Unit::Steps.text(value);
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => number(self.low),
            (true, false) => format!("> {}", number(self.low)),
            (false, true) => format!("< {}", number(self.high)),
            (false, false) => NOTHING.to_string(),
        }
    }
}

/// A table cell: the mean over runs with its interval where all are known, else
/// what is known, from the lowest to the highest.
pub(crate) fn bounds_cell(runs: &[(&str, Bounds)]) -> Markup {
    let known: Option<Vec<Observation>> = runs
        .iter()
        .map(|(run, bounds)| {
            let value = Some(bounds.known()?);
            Some(Observation { run: (*run).to_string(), value, cases: 1 })
        })
        .collect();
    if let Some(observations) = known {
        return value_cell(&Estimate { observations }, Unit::Steps, Shade::None);
    }
    let mut sorted: Vec<Bounds> = runs.iter().map(|(_, bounds)| *bounds).collect();
    sorted
        .sort_by(|one, other| one.low.total_cmp(&other.low).then(one.high.total_cmp(&other.high)));
    let mut texts: Vec<String> = sorted.into_iter().map(Bounds::text).collect();
    texts.dedup();
    let shown = match texts.as_slice() {
        [first, .., last] if texts.len() > 2 => format!("{first} … {last}"),
        _ => texts.join("; "),
    };
    let each: Vec<String> =
        runs.iter().map(|(run, bounds)| format!("{} {}", short(run), bounds.text())).collect();
    html! { td.v title={ "runs: " (each.join(", ")) } { (shown) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_keep_what_is_known() {
        let (soon, late) = (Bounds::exactly(20.0), Bounds::exactly(120.0));
        let never = Bounds::above(150.0);
        for (scratch, retrain, text) in [
            (late, soon, "100"),
            (never, soon, "> 130"),
            (soon, never, "< −130"),
            (never, never, "–"),
        ] {
            assert_eq!(scratch.less(retrain).text(), text);
        }
    }

    #[test]
    fn a_cell_shows_a_mean_only_if_all_is_known() {
        let cell = |values: &[Bounds]| {
            let runs: Vec<(&str, Bounds)> = values.iter().map(|bounds| ("run", *bounds)).collect();
            bounds_cell(&runs).into_string()
        };
        let (zero, late, never) =
            (Bounds::exactly(0.0), Bounds::exactly(120.0), Bounds::above(150.0));
        assert!(cell(&[zero, zero]).contains(">0</td>"));
        assert!(cell(&[never, late]).contains(">120; &gt; 150</td>"), "{}", cell(&[never, late]));
        assert!(cell(&[never, never]).contains(">&gt; 150</td>"));
        assert!(cell(&[never, zero, late]).contains(">0 … &gt; 150</td>"));
        assert!(cell(&[]).contains("not measured"));
    }
}
