//! Test batteries: a table for every metric, and for conditions made of a
//! number, an arrangement and a colour a compact matrix for every model.

use maud::{Markup, html};

use crate::report::data::{Experiment, Group};
use crate::report::format::Unit;
use crate::report::page::{
    Section, Shade, drawing, figure, legend, scrolling, source, swatch, value_cell,
};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::mean;

/// The metrics that are shown first, where a battery has them.
const FOREMOST: [&str; 2] = ["exact hit", "f1"];

/// How the names of the phases begin.
pub(crate) const PREFIX: &str = "battery/";

/// A section for every battery that a run has finished.
pub(crate) fn sections(experiment: &Experiment) -> Vec<Section> {
    let phases = experiment.phases(PREFIX);
    phases
        .iter()
        .filter(|phase| !experiment.cells(phase).is_empty())
        .map(|phase| section(experiment, phase))
        .collect()
}

fn section(experiment: &Experiment, phase: &str) -> Section {
    let name = phase.trim_start_matches(PREFIX);
    let cells = experiment.cells(phase);
    let matrix = Matrix::of(&cells);
    let metrics = experiment.metrics(phase);
    let first = FOREMOST
        .iter()
        .find(|metric| metrics.contains(metric))
        .or(metrics.first())
        .copied()
        .unwrap_or_default();
    let one = |metric: &str| match &matrix {
        Some(matrix) => matrices(experiment, phase, metric, matrix),
        None => table(experiment, phase, metric, &cells),
    };
    Section {
        id: slug(phase),
        title: format!("Battery: {name}"),
        lead: html! { p {
            "Mean over seeds ± half of its 95 % confidence interval. The deeper the ground, the "
            "better. Point at a number to see every seed and the number of cases"
            @if matrix.is_some() { ", and the interval, which the matrices leave out" } "."
        } },
        body: html! {
            @if let Some(matrix) = &matrix { (by_count(experiment, phase, first, matrix)) }
            h3 { (heading(first)) (meaning(first)) }
            (one(first))
            @for metric in metrics.iter().filter(|metric| **metric != first) {
                details.metric {
                    summary { (heading(metric)) (meaning(metric)) }
                    (one(metric))
                }
            }
            (source(experiment, &[phase]))
        },
    }
}

/// A metric with its unit.
pub(crate) fn heading(metric: &str) -> String {
    match Unit::of(metric).sign() {
        "" => metric.to_string(),
        sign => format!("{metric}, {sign}"),
    }
}

/// What a metric measures, where that is known.
fn meaning(metric: &str) -> Markup {
    html! { @if let Some(info) = crate::metrics::info(metric) { small { " — " (info.summary) } } }
}

/// An anchor from the name of a phase.
fn slug(phase: &str) -> String {
    phase
        .chars()
        .map(|letter| match letter.is_ascii_alphanumeric() {
            true => letter,
            false => '-',
        })
        .collect()
}

/// Rows: conditions. Columns: models.
fn table(experiment: &Experiment, phase: &str, metric: &str, cells: &[&str]) -> Markup {
    let unit = Unit::of(metric);
    scrolling(&html! {
        table {
            thead { tr {
                th scope="col" { "condition" }
                @for group in &experiment.groups {
                    th scope="col" { (swatch(group.number)) (group.name) }
                }
            } }
            tbody { @for cell in cells { tr {
                th scope="row" { (cell) }
                @for group in &experiment.groups {
                    (value_cell(&group.estimate(phase, cell, metric), unit, Shade::of(unit)))
                }
            } } }
        }
    })
}

/// A condition with several specks, as its cell names it.
pub(crate) struct Condition<'a> {
    pub count: u32,
    pub arrangement: &'a str,
    pub colour: &'a str,
}

impl<'a> Condition<'a> {
    /// Reads "2 specks, in a line, random colour": the number first, the
    /// colour last; `None` for any other form.
    pub fn read(cell: &'a str) -> Option<Self> {
        let (count, rest) = cell.split_once(", ")?;
        let (arrangement, colour) = rest.rsplit_once(", ")?;
        let digits = count.split(' ').next()?;
        Some(Self { count: digits.parse().ok()?, arrangement, colour })
    }

    /// The condition nearest to training but for the number of specks.
    pub fn is_plain(&self) -> bool {
        self.arrangement.contains("random") && self.colour.contains("training")
    }
}

/// The conditions of a battery as a matrix.
struct Matrix<'a> {
    /// Number and arrangement.
    rows: Vec<(u32, &'a str)>,
    colours: Vec<&'a str>,
    cells: Vec<(&'a str, Condition<'a>)>,
}

impl<'a> Matrix<'a> {
    /// `None` unless every cell has the form of a [`Condition`].
    fn of(cells: &[&'a str]) -> Option<Self> {
        let cells: Vec<(&str, Condition<'_>)> = cells
            .iter()
            .map(|cell| Some((*cell, Condition::read(cell)?)))
            .collect::<Option<_>>()?;
        let mut rows = Vec::new();
        let mut colours = Vec::new();
        for (_, condition) in &cells {
            let row = (condition.count, condition.arrangement);
            if !rows.contains(&row) {
                rows.push(row);
            }
            if !colours.contains(&condition.colour) {
                colours.push(condition.colour);
            }
        }
        rows.sort_by_key(|row| row.0);
        Some(Self { rows, colours, cells })
    }

    fn cell(&self, row: (u32, &str), colour: &str) -> Option<&'a str> {
        self.cells
            .iter()
            .find(|(_, condition)| {
                (condition.count, condition.arrangement) == row && condition.colour == colour
            })
            .map(|(cell, _)| *cell)
    }

    /// How many rows have this number of specks.
    fn span(&self, count: u32) -> usize {
        self.rows.iter().filter(|row| row.0 == count).count()
    }
}

/// A small table for every model: number × arrangement down, colours across.
fn matrices(experiment: &Experiment, phase: &str, metric: &str, matrix: &Matrix<'_>) -> Markup {
    let unit = Unit::of(metric);
    let one = |group: &Group| {
        html! {
            div.scroll { table.compact {
                caption { (swatch(group.number)) (group.name) }
                thead { tr {
                    th scope="col" { "specks" }
                    th.left scope="col" { "arrangement" }
                    @for colour in &matrix.colours { th scope="col" { (colour) } }
                } }
                tbody { @for (place, row) in matrix.rows.iter().enumerate() {
                    @let begins = place == 0 || matrix.rows[place - 1].0 != row.0;
                    tr.begins[begins] {
                        @if begins { th scope="rowgroup" rowspan=(matrix.span(row.0)) { (row.0) } }
                        th scope="row" { (row.1) }
                        @for colour in &matrix.colours {
                            @match matrix.cell(*row, colour) {
                                Some(cell) => {
                                    (value_cell(&group.estimate(phase, cell, metric), unit, Shade::of(unit)))
                                }
                                None => { td.v.none {} }
                            }
                        }
                    }
                } }
            } }
        }
    };
    html! {
        div.matrices { @for group in &experiment.groups {
            @if group.finished(phase).next().is_some() { (one(group)) }
        } }
    }
}

/// The metric against the number of specks: for specks placed at random in the
/// training colour, and averaged over all arrangements and colours.
fn by_count(experiment: &Experiment, phase: &str, metric: &str, matrix: &Matrix<'_>) -> Markup {
    let unit = Unit::of(metric);
    if unit != Unit::Fraction {
        return html! {};
    }
    let chart = |wanted: &dyn Fn(&Condition<'_>) -> bool, what: &str| {
        let lines: Vec<Series> = experiment
            .groups
            .iter()
            .map(|group| by_count_of(group, phase, metric, matrix, wanted))
            .collect();
        let frame = Frame {
            size: (560, 300),
            x_label: "specks",
            begin: matrix.rows.first().map_or(0.0, |row| f64::from(row.0)),
            y_label: metric,
            scale: Scale::Fraction,
            level: None,
            description: &format!("{metric} against the number of specks, {what}"),
        };
        drawing(&line_chart(&frame, &lines))
    };
    let remark = html! { "Line: mean over seeds. Band: from the lowest to the highest seed." };
    html! {
        (legend(experiment.groups.iter()))
        div.pair {
            (figure(&format!("{metric}: at random, training colour"),
                &chart(&|condition| condition.is_plain(), "at random, training colour"), &remark))
            (figure(&format!("{metric}: mean of all conditions"),
                &chart(&|_| true, "mean of all conditions"), &remark))
        }
    }
}

fn by_count_of(
    group: &Group,
    phase: &str,
    metric: &str,
    matrix: &Matrix<'_>,
    wanted: &dyn Fn(&Condition<'_>) -> bool,
) -> Series {
    let mut counts: Vec<u32> = matrix.rows.iter().map(|row| row.0).collect();
    counts.dedup();
    let mut series =
        Series { colour: group.number, line: Line::Solid, points: Vec::new(), band: Vec::new() };
    for count in counts {
        // Every seed's mean over the conditions with this number of specks.
        let seeds: Vec<f64> = group
            .finished(phase)
            .filter_map(|(_, finished)| {
                let cells = matrix
                    .cells
                    .iter()
                    .filter(|(_, condition)| condition.count == count && wanted(condition));
                mean(cells.filter_map(|(cell, _)| finished.score(cell, metric)?.value))
            })
            .collect();
        if let Some(middle) = mean(seeds.iter().copied()) {
            let x = f64::from(count);
            let least = seeds.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = seeds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            series.points.push((x, middle));
            series.band.push((x, least, greatest));
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_from_their_cells() {
        let read = Condition::read("2 specks, at random, training colour").unwrap();
        assert_eq!(
            (read.count, read.arrangement, read.colour),
            (2, "at random", "training colour")
        );
        assert!(read.is_plain());
        for cell in ["corners", "near, far", "specks, line, red"] {
            assert!(Condition::read(cell).is_none(), "{cell}");
        }
    }
}
