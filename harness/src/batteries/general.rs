//! The general battery: one speck, in other colours and at other places.

use speck_models::settings::Settings;

use super::{Battery, Cell, Cells, ColourTest, exchanged};
use crate::data::{Arrangement, Background, DataSettings, SpeckColour, Split};

/// Distances of the colours near the background.
const NEAR: [f64; 3] = [0.1, 0.2, 0.4];

/// One speck: colours near and far from the background, random colours, other
/// backgrounds, corners, borders and the held-out positions.
pub struct General;

impl Battery for General {
    fn name(&self) -> &'static str {
        "general"
    }

    fn summary(&self) -> &'static str {
        "one speck: colours near and far from the background, random colours, other backgrounds, \
         corners, borders, held-out positions"
    }

    /// Colours and backgrounds are tested on the training positions; corners and
    /// borders in the training colour, wherever they lie.
    fn cells(&self, training: &DataSettings, settings: &Settings) -> Vec<Cell> {
        let single = DataSettings {
            count: 1,
            arrangement: Arrangement::Random,
            split: Split::Training,
            ..training.clone()
        };
        let mut cells = Cells::new(settings);
        for colour in ColourTest::ALL {
            let data = colour.apply(&single);
            let word = colour.word();
            match colour {
                ColourTest::Near => {
                    for distance in NEAR {
                        let data = DataSettings { distance, ..data.clone() };
                        cells.add(format!("near, {distance} away"), "colour", word, data);
                    }
                }
                ColourTest::Training => {
                    cells.add("training colour".to_string(), "colour", word, data);
                }
                ColourTest::Contrast => {
                    cells.add("far (contrast)".to_string(), "colour", word, data);
                }
                ColourTest::Other | ColourTest::Random => {
                    cells.add(format!("{word} colour"), "colour", word, data);
                }
            }
        }
        let training_word = ColourTest::Training.word();
        if let Some(data) = exchanged(&single) {
            let name = "exchanged with the background".to_string();
            cells.add(name, "background", "exchanged", data);
        }
        if single.background != Background::RandomSample {
            let data = DataSettings { background: Background::RandomSample, ..single.clone() };
            let name = "random background".to_string();
            cells.add(name, "background", training_word, data);
            let data = DataSettings {
                background: Background::RandomSample,
                speck: SpeckColour::RandomSample,
                ..single.clone()
            };
            let name = "random background and colour".to_string();
            cells.add(name, "background", ColourTest::Random.word(), data);
        }
        for (name, arrangement) in
            [("corners", Arrangement::Corners), ("borders", Arrangement::Edges)]
        {
            let data = DataSettings { arrangement, split: Split::Any, ..single.clone() };
            cells.add(name.to_string(), "position", training_word, data);
        }
        let held_out = DataSettings { split: Split::HeldOut, ..single };
        let name = "held-out positions".to_string();
        cells.add(name, "position", training_word, held_out);
        cells.cells
    }
}

#[cfg(test)]
mod tests {
    use speck_models::settings::resolve;

    use super::*;
    use crate::data::Mask;

    fn names(training: &DataSettings) -> Vec<String> {
        let settings = resolve(General.dimensions(), &[]).expect("defaults");
        let cells = General.cells(training, &settings);
        cells.into_iter().map(|cell| cell.name).collect()
    }

    #[test]
    fn white_on_black_has_every_cell_but_held_out() {
        let expected = [
            "training colour",
            "other colour",
            "random colour",
            "near, 0.1 away",
            "near, 0.2 away",
            "near, 0.4 away",
            "far (contrast)",
            "exchanged with the background",
            "random background",
            "random background and colour",
            "corners",
            "borders",
        ];
        assert_eq!(names(&DataSettings::default()), expected);
    }

    #[test]
    fn held_out_positions_are_tested_where_there_are_some() {
        let training = DataSettings { positions: Mask::Checkerboard, ..DataSettings::default() };
        assert_eq!(names(&training).pop().as_deref(), Some("held-out positions"));
    }

    #[test]
    fn several_specks_in_training_are_one_here() {
        let training = DataSettings {
            count: 4,
            arrangement: Arrangement::Rectangle,
            ..DataSettings::default()
        };
        let settings = resolve(General.dimensions(), &[]).expect("defaults");
        let cells = General.cells(&training, &settings);
        assert!(cells.iter().all(|cell| cell.count == 1));
        assert!(cells.len() > 10);
    }
}
