//! Table cells with the mean over seeds.

use maud::{Markup, html};

use super::format::Unit;
use super::page::short;
use super::statistics::Estimate;

/// What a cell without a value shows.
pub(super) const NOTHING: &str = "–";

/// How the background of a cell follows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shade {
    /// Not at all.
    None,
    /// The nearer to 1 the deeper.
    Good,
    /// Two colours, for above and below 0.
    Gain,
}

impl Shade {
    /// What fits a unit.
    pub fn of(unit: Unit) -> Self {
        match unit {
            Unit::Fraction => Self::Good,
            Unit::Gain => Self::Gain,
            Unit::Shortfall | Unit::Plain | Unit::Steps => Self::None,
        }
    }

    /// The classes of a cell and how deep its ground is.
    fn style(self, value: f64) -> (&'static str, Option<String>) {
        let (class, depth) = match self {
            Self::None => return ("v", None),
            Self::Good => ("v good", value.clamp(0.0, 1.0)),
            Self::Gain if value > 0.0 => ("v gain", value.min(1.0)),
            Self::Gain if value < 0.0 => ("v loss", -value.max(-1.0)),
            Self::Gain => return ("v", None),
        };
        (class, Some(format!("--v:{depth:.2}")))
    }
}

/// A table cell with the mean over seeds and its interval; pointing at it
/// shows every run's value and number of cases.
pub(super) fn value_cell(estimate: &Estimate, unit: Unit, shade: Shade) -> Markup {
    let Some(mean) = estimate.mean() else { return empty(estimate, unit) };
    let (class, depth) = shade.style(mean);
    html! {
        td class=(class) style=[depth] title=(observations(estimate, unit)) {
            (unit.text(mean))
            @if let Some(margin) = margin(estimate, unit) { " " small { (margin) } }
            (part(estimate))
        }
    }
}

/// A cell of a dense matrix: runs and cases stand in the matrix's caption, and
/// pointing at the cell shows the interval and every seed's value. There are
/// thousands of them, so the classes stand at the table.
pub(super) fn brief_cell(estimate: &Estimate, unit: Unit, shade: Shade) -> Markup {
    let Some(mean) = estimate.mean() else { return empty(estimate, unit) };
    let (_, depth) = shade.style(mean);
    let seeds: Vec<String> = estimate.values().map(|value| unit.text(value)).collect();
    let margin = margin(estimate, unit).map_or_else(String::new, |margin| format!("{margin}: "));
    html! {
        td style=[depth] title={ (margin) (seeds.join(", ")) } { (unit.text(mean)) (part(estimate)) }
    }
}

/// A gain in a matrix: framed if it is to stand out, bold where its interval
/// leaves out 0, with a remark before what is shown by pointing at it.
pub(super) fn gain_cell(estimate: &Estimate, framed: bool, remark: &str) -> Markup {
    let unit = Unit::Gain;
    let Some(mean) = estimate.mean() else { return empty(estimate, unit) };
    let (class, depth) = Shade::Gain.style(mean);
    let class = format!("{class}{}", if framed { " framed" } else { "" });
    // Where nothing changes in any run, a margin of 0 is only noise.
    let margin = margin(estimate, unit).filter(|_| estimate.values().any(|value| value != 0.0));
    html! {
        td class=(class) style=[depth] title={ (remark) (observations(estimate, unit)) } {
            @if estimate.excludes_zero() { b { (unit.text(mean)) } } @else { (unit.text(mean)) }
            @if let Some(margin) = margin { " " small { (margin) } }
            (part(estimate))
        }
    }
}

fn empty(estimate: &Estimate, unit: Unit) -> Markup {
    let why = match estimate.observations.is_empty() {
        true => "not measured".to_string(),
        false => observations(estimate, unit),
    };
    html! { td.v.none title=(why) { (NOTHING) } }
}

/// Says so where only some of the runs have a value.
fn part(estimate: &Estimate) -> Markup {
    let there = estimate.values().count();
    let all = estimate.observations.len();
    html! { @if there < all { " " small { (there) " of " (all) } } }
}

/// Half of the interval as text; `None` where there is none, and for counts
/// that are the same in every run.
pub(super) fn margin(estimate: &Estimate, unit: Unit) -> Option<String> {
    let half_width = estimate.half_width()?;
    let constant = half_width == 0.0 && unit == Unit::Steps;
    (!constant).then(|| format!("±{}", unit.margin(half_width)))
}

/// Every run's value and cases, in one line of plain text.
fn observations(estimate: &Estimate, unit: Unit) -> String {
    let values: Vec<String> = estimate
        .observations
        .iter()
        .map(|observation| {
            let value = match observation.value {
                Some(value) => unit.text(value),
                None => "none".to_string(),
            };
            format!("{} {value}", short(&observation.run))
        })
        .collect();
    let cases = match estimate.cases() {
        Some((least, most)) if least == most => format!("{least} cases each"),
        Some((least, most)) => format!("{least} to {most} cases"),
        None => String::new(),
    };
    let margin =
        margin(estimate, unit).map_or_else(String::new, |margin| format!("mean {margin}; "));
    format!("{margin}runs: {}; {cases}", values.join(", "))
}

/// The number of cases behind one run's values, over several estimates: "256"
/// or "256 to 512"; `None` where nothing was measured.
pub(super) fn cases<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Option<String> {
    let (least, most) = estimates
        .filter_map(Estimate::cases)
        .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
    Some(match least == most {
        true => least.to_string(),
        false => format!("{least} to {most}"),
    })
}
