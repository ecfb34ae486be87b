//! The generalization battery: several specks.

use speck_models::settings::Settings;

use super::{Battery, Cell, Cells, ColourTest};
use crate::data::{Arrangement, DataSettings, Split};

/// Numbers of specks.
const COUNTS: [usize; 4] = [2, 3, 4, 6];

/// Arrangements, in the order of the report.
const ARRANGEMENTS: [Arrangement; 6] = [
    Arrangement::Random,
    Arrangement::Line,
    Arrangement::Diagonal,
    Arrangement::Rectangle,
    Arrangement::TwoRectangles,
    Arrangement::Edges,
];

/// 2, 3, 4 and 6 specks in every arrangement and colour.
pub struct Generalization;

impl Battery for Generalization {
    fn name(&self) -> &'static str {
        "generalization"
    }

    fn summary(&self) -> &'static str {
        "2, 3, 4 and 6 specks at random, in a line, on a diagonal, at the corners of one and two \
         rectangles, near edges, each in five ways of colouring"
    }

    /// Specks lie anywhere on the screen, held-out positions included: a line or
    /// a rectangle cannot keep to a mask, and the arrangements are to be compared.
    fn cells(&self, training: &DataSettings, settings: &Settings) -> Vec<Cell> {
        let mut cells = Cells::new(settings);
        for count in COUNTS {
            for arrangement in ARRANGEMENTS {
                for colour in ColourTest::ALL {
                    let data = DataSettings {
                        count,
                        arrangement,
                        split: Split::Any,
                        ..colour.apply(training)
                    };
                    let words = (arrangement.word(), colour.word());
                    let name = format!("{count} specks, {}, {}", words.0, words.1);
                    cells.add(name, words.0, words.1, data);
                }
            }
        }
        cells.cells
    }
}

#[cfg(test)]
mod tests {
    use speck_models::settings::resolve;

    use super::*;
    use crate::data::Mask;

    #[test]
    fn every_count_and_arrangement_that_go_together_is_there() {
        let settings = resolve(Generalization.dimensions(), &[]).expect("defaults");
        let training = DataSettings { positions: Mask::Quadrant, ..DataSettings::default() };
        let cells = Generalization.cells(&training, &settings);
        // Random, line, diagonal and edges for all four counts, the rectangle
        // for 4, two rectangles for 6; five colours each.
        assert_eq!(cells.len(), (4 * 4 + 1 + 1) * 5);
        assert_eq!(cells[0].name, "2 specks, random, training");
        assert!(cells.iter().any(|cell| cell.name == "3 specks, line, near"));
        let six = cells.iter().find(|cell| cell.arrangement == Arrangement::TwoRectangles);
        assert_eq!(six.map(|cell| cell.count), Some(6));
        assert!(cells.iter().all(|cell| cell.samples == 256));
    }
}
