//! Test batteries: a table for every metric, and for conditions made of a
//! number, an arrangement and a colour a compact matrix for every model.

use maud::{Markup, html};

use super::words;
use crate::report::cells::{Shade, brief_cell, cases, value_cell};
use crate::report::data::{Experiment, Group, without_hash};
use crate::report::format::{Unit, thousands};
use crate::report::page::{
    Section, drawing, figure, legend, model, narrow_model, run_links, scrolling, source,
};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::{Estimate, mean};

/// The metrics that are shown first, where a battery has them.
const FOREMOST: [&str; 3] = ["exact hit", "f1", "map"];

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

/// The name of a battery, with the hash of its settings where several of the
/// same kind were asked for.
pub(crate) fn name<'a>(experiment: &Experiment, phase: &'a str) -> &'a str {
    let all: Vec<&str> = experiment
        .phases(PREFIX)
        .into_iter()
        .map(|phase| phase.trim_start_matches(PREFIX))
        .collect();
    without_hash(phase.trim_start_matches(PREFIX), &all)
}

/// The metric by which a battery is judged at a glance.
pub(crate) fn foremost<'a>(metrics: &[&'a str]) -> &'a str {
    FOREMOST
        .iter()
        .find_map(|wanted| metrics.iter().find(|metric| *metric == wanted))
        .or(metrics.first())
        .copied()
        .unwrap_or_default()
}

/// A metric as people write it.
pub(crate) fn short_name(metric: &str) -> String {
    match metric.split_once(' ') {
        Some((first @ ("f1" | "map"), rest)) => format!("{} {rest}", short_name(first)),
        _ => metric.replace("f1", "F1").replace("map", "mAP"),
    }
}

fn section(experiment: &Experiment, phase: &str) -> Section {
    let cells = experiment.cells(phase);
    let matrix = Matrix::of(&cells);
    let metrics = experiment.metrics(phase);
    let first = foremost(&metrics);
    let one = |metric: &str| match &matrix {
        Some(matrix) => matrices(experiment, phase, metric, matrix),
        None => table(experiment, phase, metric, &cells),
    };
    let others: Vec<&str> = metrics.iter().copied().filter(|metric| *metric != first).collect();
    Section {
        id: slug(phase),
        title: format!("Battery: {}", name(experiment, phase)),
        lead: html! { p {
            @match &matrix {
                None => {
                    "The trained models on screens that differ from those of the training, one "
                    "condition a row. Mean over seeds, below it ± half of its 95 % confidence "
                    "interval. The deeper the ground, the better. Point at a number to see every seed."
                }
                Some(_) => {
                    "The trained models on screens with several specks. F1 compares the rows and "
                    "columns that are lit with those of the specks; lit is what is at least half as "
                    "bright as the brightest. mAP looks at the order of the 64 values alone. Mean "
                    "over seeds; the deeper the ground, the better. Point at a number to see its "
                    "interval and every seed."
                }
            }
        } },
        body: html! {
            @if let Some(matrix) = &matrix {
                (legend(experiment.groups.iter()))
                @for metric in FOREMOST { @if metrics.contains(&metric) {
                    (by_count(experiment, phase, metric, matrix))
                } }
            }
            h3 { (heading(first)) (meaning(first)) }
            (one(first))
            @if let Some(matrix) = &matrix {
                @let arrangements: Vec<&str> = matrix.rows.iter().map(|row| row.1).collect();
                (words::of_matrix(&arrangements, &matrix.colours))
            } @else {
                (words::of_conditions(&cells))
            }
            @if !others.is_empty() {
                details.metric {
                    summary {
                        "All other metrics "
                        small { (others.iter().map(|metric| short_name(metric)).collect::<Vec<_>>().join(", ")) }
                    }
                    @for metric in others {
                        @if is_perfect(experiment, phase, metric) {
                            p.note { (heading(metric)) (meaning(metric)) ": 100 in every condition and run." }
                        } @else {
                            details.metric {
                                summary { (heading(metric)) (meaning(metric)) }
                                (one(metric))
                            }
                        }
                    }
                }
            }
            (source(experiment, &[phase]))
        },
    }
}

/// Whether a share is 1 wherever it was measured: a table of it says nothing.
fn is_perfect(experiment: &Experiment, phase: &str, metric: &str) -> bool {
    let mut scores = experiment
        .runs()
        .filter_map(|run| run.phase(phase))
        .flat_map(|phase| &phase.results.scores)
        .filter(|score| score.metric == metric);
    Unit::of(metric) == Unit::Fraction && scores.all(|score| score.value == Some(1.0))
}

/// A metric with its unit.
pub(crate) fn heading(metric: &str) -> String {
    match Unit::of(metric).sign() {
        "" => short_name(metric),
        sign => format!("{}, {sign}", short_name(metric)),
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
    let row = |cell: &str| -> Vec<Estimate> {
        experiment.groups.iter().map(|group| group.estimate(phase, cell, metric)).collect()
    };
    scrolling(&html! {
        table.stacked {
            thead { tr {
                th scope="col" { "condition" }
                th scope="col" { "cases in each run" }
                @for group in &experiment.groups { th scope="col" { (narrow_model(group)) } }
            } }
            tbody { @for cell in cells {
                @let estimates = row(cell);
                tr {
                    th scope="row" { (cell) }
                    td.v.cases { (cases(estimates.iter()).unwrap_or_default()) }
                    @for estimate in &estimates { (value_cell(estimate, unit, Shade::of(unit))) }
                }
            } }
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
        let estimates: Vec<Estimate> =
            matrix.cells.iter().map(|(cell, _)| group.estimate(phase, cell, metric)).collect();
        html! {
            div.scroll { table.compact.shaded {
                caption {
                    (model(group)) " "
                    small {
                        @if let Some(cases) = cases(estimates.iter()) { (cases) " cases a cell and run: " }
                        (run_links(group.finished(phase).map(|(run, _)| run)))
                    }
                }
                thead {
                    tr {
                        th scope="col" rowspan="2" { "specks" }
                        th.left scope="col" rowspan="2" { "arrangement" }
                        th.group scope="colgroup" colspan=(matrix.colours.len()) { "colour of the specks" }
                    }
                    tr { @for colour in &matrix.colours { th scope="col" { (colour) } } }
                }
                tbody { @for (place, row) in matrix.rows.iter().enumerate() {
                    @let begins = place == 0 || matrix.rows[place - 1].0 != row.0;
                    tr.begins[begins] {
                        @if begins { th scope="rowgroup" rowspan=(matrix.span(row.0)) { (row.0) } }
                        th scope="row" { (row.1) }
                        @for colour in &matrix.colours {
                            @match matrix.cell(*row, colour) {
                                Some(cell) => {
                                    (brief_cell(&group.estimate(phase, cell, metric), unit, Shade::of(unit)))
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
    let title = short_name(metric);
    let chart = |wanted: &dyn Fn(&Condition<'_>) -> bool, what: &str, lit: bool| {
        let mut lines: Vec<Series> = experiment
            .groups
            .iter()
            .map(|group| by_count_of(group, phase, metric, matrix, wanted))
            .collect();
        if lit {
            lines.push(everything_lit(matrix));
        }
        let frame = Frame {
            size: (560, 300),
            x_label: "number of specks",
            x_text: thousands,
            begin: matrix.rows.first().map_or(0.0, |row| f64::from(row.0)),
            y_label: &title,
            scale: Scale::Fraction,
            level: None,
            description: &format!("{title} against the number of specks, {what}"),
        };
        drawing(&line_chart(&frame, &lines))
    };
    let lit = metric == "f1";
    let remark = html! {
        @if lit {
            "Line: mean over seeds. Band: from the lowest to the highest seed. Dashed without dots: "
            "the score of lighting all 64 rows and 64 columns."
        }
    };
    html! {
        div.pair {
            (figure(&format!("{title}: placed at random, training colour"),
                &chart(&|condition| condition.is_plain(), "at random, training colour", lit), &remark))
            (figure(&format!("{title}: mean of all conditions with that number"),
                &chart(&|_| true, "mean of all conditions", false), &html! {}))
        }
    }
}

/// F1 of an answer that lights everything, for specks that share no row and no
/// column: all k targets are found among 64, 2k / (64 + k).
fn everything_lit(matrix: &Matrix<'_>) -> Series {
    let mut counts: Vec<f64> = matrix.rows.iter().map(|row| f64::from(row.0)).collect();
    counts.dedup();
    Series {
        colour: 0,
        line: Line::Dashed,
        points: counts.iter().map(|count| (*count, 2.0 * count / (64.0 + count))).collect(),
        band: Vec::new(),
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
        Series { colour: group.number, line: Line::Own, points: Vec::new(), band: Vec::new() };
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
