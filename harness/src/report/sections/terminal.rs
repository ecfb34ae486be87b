//! The verdict as aligned plain text, for the end of a run.

use super::findings;
use super::verdict::{Verdict, verdicts};
use crate::report::cells::{NOTHING, margin};
use crate::report::data::Experiment;
use crate::report::format::Unit;

/// Names longer than this are continued on the next line.
const NAME: usize = 36;

/// Headings longer than this likewise.
const HEADING: usize = 11;

/// The table, one line a model or more where its name is long, and below it
/// what is needed to read it.
pub(crate) fn text(experiment: &Experiment) -> String {
    let verdicts = verdicts(experiment);
    let mut rows: Vec<Vec<Vec<String>>> = Vec::new();
    let heading = |verdict: &Verdict| {
        let unit = match verdict.unit {
            Unit::Steps => "",
            unit => unit.sign(),
        };
        wrap(&format!("{} {unit}", verdict.title), ' ', HEADING)
    };
    let first = std::iter::once(vec!["model".to_string()]);
    rows.push(first.chain(verdicts.iter().map(heading)).collect());
    for (place, group) in experiment.groups.iter().enumerate() {
        let cell = |verdict: &Verdict| {
            let estimate = &verdict.estimates[place];
            vec![match (estimate.mean(), margin(estimate, verdict.unit)) {
                (Some(mean), Some(margin)) => format!("{} {margin}", verdict.unit.text(mean)),
                (Some(mean), None) => verdict.unit.text(mean),
                (None, _) => NOTHING.to_string(),
            }]
        };
        let mut name = wrap(&group.name, '·', NAME);
        name.iter_mut().skip(1).for_each(|line| line.insert_str(0, "  "));
        let first = std::iter::once(name);
        rows.push(first.chain(verdicts.iter().map(cell)).collect());
    }
    let mut text = aligned(&rows);
    text.push('\n');
    text.push_str(&notes(experiment, &verdicts));
    text
}

/// What the numbers are, in a few lines.
fn notes(experiment: &Experiment, verdicts: &[Verdict]) -> String {
    let two = experiment.groups.iter().all(|group| group.runs.len() == 2);
    let example = if two { "; two seeds 2 points apart give ±12.7" } else { "" };
    let mut text = format!(
        "Mean over seeds ± half of its 95 % confidence interval{example}.\n\
         Positions, colours and corners: exact hits, row and column both right. F1: of the lit \
         rows and columns.\n",
    );
    let has = |title: &str| verdicts.iter().any(|verdict| verdict.title == title);
    if has("transfer gain") {
        text.push_str(
            "Transfer gain: a retrained model less a new one on the same data, mean over steps and \
             trials.\n",
        );
    }
    if has("gain elsewhere") {
        text.push_str(
            "Gain elsewhere: what retraining on one value of a dimension changes on everything \
             else.\n",
        );
    }
    let nothing = |verdict: &Verdict| verdict.estimates.iter().any(|one| one.mean().is_none());
    if verdicts.iter().any(nothing) {
        text.push_str(&format!(
            "{NOTHING}: nothing to measure (no position is held out) or not finished.\n"
        ));
    }
    for group in findings::failed(experiment) {
        text.push_str(&format!(
            "Not learned: {} is under 50 % on its own training positions; its other numbers say \
             nothing.\n",
            group.name
        ));
    }
    text
}

/// Cells of several lines in columns: the first column to the left, all others
/// to the right; the headings stand on their last line, the others on their
/// first.
fn aligned(rows: &[Vec<Vec<String>>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let lines = rows.iter().flat_map(|row| &row[column]);
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let height = row.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut whole = String::new();
            for (column, cell) in row.iter().enumerate() {
                let skipped = if place == 0 { height - cell.len() } else { 0 };
                let part = line.checked_sub(skipped).and_then(|line| cell.get(line));
                let part = part.map_or("", String::as_str);
                let padding = " ".repeat(widths[column] - part.chars().count());
                match column {
                    0 => whole.extend([part, &padding]),
                    _ => whole.extend(["  ", &padding, part]),
                }
            }
            text.push_str(whole.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Breaks text after separators into lines of at most `width` letters, where
/// its parts allow that.
fn wrap(text: &str, separator: char, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive(separator) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.trim_end().chars().count() <= width => {
                line.push_str(part);
            }
            _ => lines.push(part.trim_start().to_string()),
        }
    }
    lines.iter().map(|line| line.trim_end().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_its_parts() {
        assert_eq!(wrap("training positions %", ' ', 11), ["training", "positions %"]);
        assert_eq!(wrap("corners %", ' ', 11), ["corners %"]);
        assert_eq!(wrap("cnn · adam · all", '·', 12), ["cnn · adam ·", "all"]);
        assert_eq!(wrap("unbreakable", ' ', 3), ["unbreakable"]);
    }

    #[test]
    fn columns_are_aligned() {
        let cell = |lines: &[&str]| lines.iter().map(|line| (*line).to_string()).collect();
        let rows = vec![
            vec![cell(&["model"]), cell(&["two", "lines %"])],
            vec![cell(&["long", "name"]), cell(&["1.0"])],
        ];
        assert_eq!(aligned(&rows), "           two\nmodel  lines %\nlong       1.0\nname\n");
    }
}
