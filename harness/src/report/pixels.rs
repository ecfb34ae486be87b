//! Drawings of the screen: what a model saw beside what it answered, and maps
//! with one cell for every position.
//!
//! These are laid out by hand, one path a colour: a chart library would write
//! an element for every one of the 4096 cells and 128 bars, twenty times the
//! bytes, and the cells have to stay crisp at any size.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use speck_learners::{BatchShape, SpeckBatch};

use super::format::Unit;
use crate::metrics::Metrics;

/// Rows and columns of the screen.
pub(super) const EDGE: usize = 64;

/// Levels of a map; the style sheet has as many classes `h0` … `h8`.
const LEVELS: usize = 9;

/// A colour, components in [0, 1].
type Colour = [f64; 3];

/// One screen and a model's answer to it.
pub(super) struct Sample {
    pub title: String,
    /// Row and column of the top-left pixel of every speck.
    positions: Vec<[f64; 2]>,
    colours: Vec<Colour>,
    background: Colour,
    /// The edge of a speck in pixels.
    size: f64,
    /// Standard deviation in pixels by which specks fade; 0 where they do not.
    falloff: f64,
    /// The 64 values for the rows.
    rows: Vec<f64>,
    /// The 64 values for the columns.
    columns: Vec<f64>,
}

impl Sample {
    /// Reads one entry of the artefact `samples`; `None` if it is not one.
    pub fn read(value: &Value) -> Option<Self> {
        let background = colour(value.get("background")?)?;
        let positions: Vec<[f64; 2]> = value
            .get("positions")?
            .as_array()?
            .iter()
            .map(|pair| Some([pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?]))
            .collect::<Option<_>>()?;
        let colours: Vec<Colour> =
            value.get("colours")?.as_array()?.iter().map(colour).collect::<Option<_>>()?;
        let size = value.get("size").and_then(Value::as_f64).unwrap_or(1.0);
        let falloff = value.get("falloff").and_then(Value::as_f64).unwrap_or(0.0);
        let screen = 0.0..EDGE as f64;
        let placed = |[row, column]: &[f64; 2]| {
            *row < 0.0 || (screen.contains(row) && screen.contains(column))
        };
        let possible = (1.0..=EDGE as f64).contains(&size) && positions.iter().all(placed);
        if colours.len() != positions.len() || !possible {
            return None;
        }
        Some(Self {
            title: value.get("title").and_then(Value::as_str).unwrap_or("sample").to_string(),
            positions,
            colours,
            background,
            size,
            falloff,
            rows: numbers(value.get("rows")?)?,
            columns: numbers(value.get("columns")?)?,
        })
    }

    /// The specks that are there: an empty slot has a negative row.
    fn specks(&self) -> impl Iterator<Item = ([f64; 2], Colour)> {
        self.positions
            .iter()
            .copied()
            .zip(self.colours.iter().copied())
            .filter(|([row, _], _)| *row >= 0.0)
    }

    /// The pixels of a speck that fades into the background.
    fn pixels(&self, colour: Colour) -> impl Iterator<Item = ([f64; 2], Colour)> {
        let size = self.size as usize;
        let places = (0..size * size).map(move |i| [(i / size) as f64, (i % size) as f64]);
        places.map(move |place| {
            let off = |at: f64| (at - (self.size - 1.0) / 2.0).powi(2);
            let square = off(place[0]) + off(place[1]);
            let weight = (-0.5 * square / self.falloff.powi(2)).exp();
            let behind = self.background;
            (place, [0, 1, 2].map(|i| behind[i] + weight * (colour[i] - behind[i])))
        })
    }

    /// What the answer is worth, by the metrics of the batteries: "hit", "miss,
    /// 12 pixels away", or the F1 of several specks.
    pub fn outcome(&self) -> Option<String> {
        let specks: Vec<([f64; 2], Colour)> = self.specks().collect();
        let shape = BatchShape {
            samples: 1,
            specks: specks.len(),
            backgrounds: 1,
            size: self.size as usize,
            falloff: self.falloff,
        };
        let mut batch = SpeckBatch::new(shape);
        for (slot, (position, _)) in specks.iter().enumerate() {
            batch.positions[2 * slot] = position[0] as i32;
            batch.positions[2 * slot + 1] = position[1] as i32;
        }
        let outputs: Vec<f32> =
            self.rows.iter().chain(&self.columns).map(|&value| value as f32).collect();
        let mut metrics = Metrics::new();
        metrics.add(&outputs, &batch);
        match metrics.value("exact hit") {
            Some(1.0) => Some("hit".to_string()),
            Some(_) => {
                let distance = metrics.value("pixel distance")?;
                Some(format!("miss, {} pixels away", Unit::Plain.text(distance)))
            }
            None => Some(format!("F1 {} %", Unit::Fraction.text(metrics.value("f1")?))),
        }
    }

    /// How much of the answer's light is at the targets, in [0, 1].
    pub fn contrast(&self) -> f64 {
        let light = |values: &[f64]| values.iter().filter(|value| **value > 0.0).sum::<f64>();
        let half = (self.size / 2.0).floor();
        let at = |values: &[f64], place: f64| values.get((place + half) as usize).copied();
        let wanted: f64 = self
            .specks()
            .flat_map(|([row, column], _)| [at(&self.rows, row), at(&self.columns, column)])
            .flatten()
            .filter(|value| *value > 0.0)
            .sum();
        match light(&self.rows) + light(&self.columns) {
            total if total > 0.0 => wanted / total,
            _ => 0.0,
        }
    }

    /// The largest of the 128 values, which a bar of full length stands for.
    fn full(&self) -> f64 {
        let finite = self.rows.iter().chain(&self.columns).filter(|value| value.is_finite());
        finite.fold(0.0, |full: f64, &value| full.max(value))
    }

    /// The screen, the row profile at its right and the column profile below;
    /// targets are ringed and their bars stand out.
    pub fn draw(&self) -> Markup {
        const GAP: f64 = 3.0;
        const BAR: f64 = 20.0;
        let edge = EDGE as f64;
        let start = edge + GAP;
        let size = start + BAR + 1.0;
        let full = self.full();
        // The target of a speck is its centre.
        let half = (self.size / 2.0).floor();
        let targets = |axis: usize| -> Vec<usize> {
            self.specks().map(|(position, _)| (position[axis] + half) as usize).collect()
        };
        let (target_rows, target_columns) = (targets(0), targets(1));
        let mut other = String::new();
        let mut wanted = String::new();
        let mut marks = String::new();
        for index in 0..EDGE {
            let middle = index as f64 + 0.5;
            let length = |values: &[f64]| match full > 0.0 && values[index] > 0.0 {
                true => values[index] / full * BAR,
                false => 0.0,
            };
            let mut paths = [&mut other, &mut wanted];
            let row = length(&self.rows);
            if row > 0.05 {
                let bars = &mut paths[usize::from(target_rows.contains(&index))];
                let _ = write!(bars, "M{start} {middle}h{row:.1}");
            }
            let column = length(&self.columns);
            if column > 0.05 {
                let bars = &mut paths[usize::from(target_columns.contains(&index))];
                let _ = write!(bars, "M{middle} {start}v{column:.1}");
            }
            // A tick in the gap points at every target.
            if target_rows.contains(&index) {
                let _ = write!(marks, "M{edge} {middle}h{GAP}");
            }
            if target_columns.contains(&index) {
                let _ = write!(marks, "M{middle} {edge}v{GAP}");
            }
        }
        let title =
            format!("{}: targets at rows {target_rows:?}, columns {target_columns:?}", self.title);
        let ring = self.size / 2.0 + 2.0;
        html! {
            svg.screen role="img" viewBox={ "-0.5 -5 " (size + 0.5) " " (size + 5.0) } {
                title { (title) }
                rect.edge x="-0.25" y="-0.25" width=(edge + 0.5) height=(edge + 0.5) {}
                g shape-rendering="crispEdges" {
                    rect width=(edge) height=(edge) fill=(hex(self.background)) {}
                    @for ([row, column], colour) in self.specks() {
                        @if self.falloff > 0.0 {
                            @for ([down, across], colour) in self.pixels(colour) {
                                @if row + down < edge && column + across < edge {
                                    rect x=(column + across) y=(row + down)
                                        fill=(hex(colour)) width="1" height="1" {}
                                }
                            }
                        } @else {
                            rect x=(column) y=(row) fill=(hex(colour))
                                width=(self.size.min(edge - column))
                                height=(self.size.min(edge - row)) {}
                        }
                    }
                }
                @for ([row, column], _) in self.specks() {
                    circle.ring cx=(column + self.size / 2.0) cy=(row + self.size / 2.0) r=(ring) {}
                }
                path.axis d={ "M" (start) " 0v" (edge) "M0 " (start) "h" (edge) } {}
                path.bars d=(other) {}
                path.bars.wanted d=(wanted) {}
                path.ticks d=(marks) {}
                text x=(start) y="-1.5" { "rows" }
                text x=(start) y=(start + 5.0) { "columns" }
                text x=(start) y=(start + 15.0) { "longest" }
                text x=(start) y=(start + 20.0) { (Unit::Plain.text(full)) }
            }
        }
    }
}

/// A map of 64 × 64 values, row-major, `None` where there is none; 0 is the
/// lightest level and `full` the deepest.
pub(super) fn map(values: &[Option<f64>], full: f64, description: &str) -> Markup {
    // Runs of equal cells in a row, drawn as one thick line each.
    let mut paths = vec![String::new(); LEVELS + 1];
    for row in 0..EDGE {
        let cells = values.get(row * EDGE..(row + 1) * EDGE).unwrap_or(&[]);
        let mut start = 0;
        while start < cells.len() {
            let own = level(cells[start], full);
            let same = cells[start..].iter().take_while(|&&cell| level(cell, full) == own).count();
            // The lightest level is the ground that all is drawn on.
            if own != Some(0) {
                let path = &mut paths[own.unwrap_or(LEVELS)];
                let _ = write!(path, "M{start} {row}.5h{same}");
            }
            start += same;
        }
    }
    html! {
        svg.map role="img" aria-label=(description) viewBox="-6 -6 70.5 70.5" {
            text x="0" y="-1.5" { "0" }
            text.middle x="32" y="-1.5" { "column" }
            text.end x="64" y="-1.5" { "63" }
            g transform="rotate(-90)" {
                text.end x="0" y="-1.5" { "0" }
                text.middle x="-32" y="-1.5" { "row" }
                text x="-64" y="-1.5" { "63" }
            }
            rect.edge x="-0.25" y="-0.25" width="64.5" height="64.5" {}
            g shape-rendering="crispEdges" {
                rect.h0 width="64" height="64" {}
                @for (number, path) in paths.iter().enumerate() {
                    @if !path.is_empty() {
                        @if number == LEVELS {
                            path.unknown d=(path) {}
                        } @else {
                            path class={ "h" (number) } d=(path) {}
                        }
                    }
                }
            }
        }
    }
}

/// What the levels of a map mean.
pub(super) fn map_key(least: &str, most: &str, unknown: bool) -> Markup {
    html! {
        p.key {
            span { (least) }
            svg viewBox="0 0 36 4" preserveAspectRatio="none" aria-hidden="true" {
                @for number in 0..LEVELS {
                    path class={ "h" (number) } d={ "M" (number * 4) " 2h4" } stroke-width="4" {}
                }
            }
            span { (most) }
            @if unknown {
                svg.one viewBox="0 0 4 4" aria-hidden="true" { path.unknown d="M0 2h4" stroke-width="4" {} }
                span { "not measured" }
            }
        }
    }
}

/// The level of a value; anything above 0 is told apart from 0.
fn level(value: Option<f64>, full: f64) -> Option<usize> {
    let value = value.filter(|value| value.is_finite())?;
    if value <= 0.0 || full <= 0.0 {
        return Some(0);
    }
    let top = (LEVELS - 1) as f64;
    Some(((value / full * top).ceil().clamp(1.0, top)) as usize)
}

/// Reads an array of 4096 numbers or nulls; `None` if it is not one.
pub(super) fn read_map(value: &Value) -> Option<Vec<Option<f64>>> {
    let cells = value.as_array()?;
    (cells.len() == EDGE * EDGE).then(|| cells.iter().map(Value::as_f64).collect())
}

/// Reads an array of 64 numbers; null stands for a value that was not finite.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let values = value.as_array()?;
    (values.len() == EDGE)
        .then(|| values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect())
}

fn colour(value: &Value) -> Option<Colour> {
    let part = |index| value.get(index).and_then(Value::as_f64);
    Some([part(0)?, part(1)?, part(2)?])
}

/// A colour as the web writes it.
fn hex(colour: Colour) -> PreEscaped<String> {
    let [red, green, blue] = colour.map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8);
    PreEscaped(format!("#{red:02x}{green:02x}{blue:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_of_the_wrong_form_is_none() {
        let good = json!({
            "positions": [[3, 4], [-1, 0]], "colours": [[1, 1, 1], [0, 0, 0]],
            "background": [0, 0, 0], "size": 1, "title": "<here>",
            "rows": vec![0.5; 64], "columns": vec![0.5; 64],
        });
        let sample = Sample::read(&good).unwrap();
        let drawn = sample.draw().into_string();
        assert!(drawn.contains("&lt;here&gt;: targets at rows [3], columns [4]"), "{drawn}");
        for (key, bad) in [
            ("positions", json!([[3]])),
            ("positions", json!([[3, -4], [-1, 0]])),
            ("positions", json!([[3, 4], [64, 0]])),
            ("size", json!(0)),
            ("colours", json!([[1, 1, 1]])),
            ("background", json!("black")),
            ("rows", json!([1, 2, 3])),
            ("columns", Value::Null),
        ] {
            let mut broken = good.clone();
            broken[key] = bad;
            assert!(Sample::read(&broken).is_none(), "{key}");
        }
    }

    #[test]
    fn a_sample_says_what_the_answer_is_worth() {
        let sample = |positions: Value, row: usize, column: usize| {
            let (mut rows, mut columns) = (vec![0.01; 64], vec![0.01; 64]);
            (rows[row], columns[column]) = (0.5, 0.5);
            let colours = vec![[1.0; 3]; positions.as_array().unwrap().len()];
            let value = json!({
                "positions": positions, "colours": colours, "background": [0, 0, 0],
                "rows": rows, "columns": columns,
            });
            Sample::read(&value).unwrap().outcome().unwrap()
        };
        assert_eq!(sample(json!([[3, 4]]), 3, 4), "hit");
        assert_eq!(sample(json!([[3, 4]]), 6, 8), "miss, 5.00 pixels away");
        // One of two rows and one of two columns.
        assert_eq!(sample(json!([[3, 4], [9, 9]]), 3, 4), "F1 66.7 %");
    }

    #[test]
    fn bars_are_drawn_relative_to_the_largest() {
        let flat = json!({
            "positions": [[3, 4]], "colours": [[1, 1, 1]], "background": [0, 0, 0],
            "rows": vec![0.015; 64], "columns": vec![Value::Null; 64],
        });
        let sample = Sample::read(&flat).unwrap();
        assert_eq!(sample.full(), 0.015);
        let drawn = sample.draw().into_string();
        assert_eq!(drawn.matches("h20.0").count(), 64);
        assert_eq!(drawn.matches("v20.0").count(), 0);
    }

    #[test]
    fn only_nothing_is_the_lightest_level() {
        assert_eq!(level(Some(0.0), 1.0), Some(0));
        assert_eq!(level(Some(1e-9), 1.0), Some(1));
        assert_eq!(level(Some(1.0), 1.0), Some(LEVELS - 1));
        assert_eq!(level(Some(9.0), 1.0), Some(LEVELS - 1));
        assert_eq!(level(Some(f64::NAN), 1.0), None);
        assert_eq!(level(None, 1.0), None);
    }

    #[test]
    fn a_map_covers_every_cell_that_is_not_ground() {
        let values: Vec<Option<f64>> = (0..EDGE * EDGE)
            .map(|cell| (cell % 3 != 0).then_some((cell % 7) as f64 / 6.0))
            .collect();
        let drawn = map(&values, 1.0, "a map").into_string();
        let lengths: usize = drawn
            .split(".5h")
            .skip(1)
            .filter_map(|rest| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<usize>().ok()
            })
            .sum();
        let expected = values.iter().filter(|value| **value != Some(0.0)).count();
        assert_eq!(lengths, expected);
        assert!(read_map(&json!(vec![0.0; 4095])).is_none());
    }
}
