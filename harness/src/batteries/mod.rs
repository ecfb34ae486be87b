//! Test batteries: what a trained model is measured on.
//!
//! A battery turns the training data into a list of [`Cell`]s, each of which
//! differs from the training data in named ways. All batteries stand in
//! [`ALL`].

mod general;
mod generalization;

use serde::Serialize;
use speck_models::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};

pub use general::General;
pub use generalization::Generalization;

use crate::config::RegistryEntry;
use crate::data::{Arrangement, Background, DataSettings, SpeckColour};

/// Every battery.
pub static ALL: &[&dyn Battery] = &[&General, &Generalization];

/// The batteries as entries of the registries.
pub fn entries() -> Vec<RegistryEntry> {
    let entry = |battery: &&dyn Battery| {
        RegistryEntry::new(battery.name(), battery.summary(), battery.dimensions())
    };
    ALL.iter().map(entry).collect()
}

/// The battery of a name.
pub fn find(name: &str) -> Option<&'static dyn Battery> {
    ALL.iter().copied().find(|battery| battery.name() == name)
}

/// A list of tests made from the training data.
pub trait Battery: Sync {
    /// Its name in an experiment file.
    fn name(&self) -> &'static str;

    /// What it measures, in one line.
    fn summary(&self) -> &'static str;

    /// What a user can choose about it.
    fn dimensions(&self) -> &'static [Dimension] {
        DIMENSIONS
    }

    /// The tests, in the order in which they are reported. Every cell's data
    /// pass [`DataSettings::check`]; a combination that cannot be (such as a
    /// distance that no colour has) is left out. Names are unique.
    ///
    /// `settings` are resolved against [`Battery::dimensions`].
    fn cells(&self, training: &DataSettings, settings: &Settings) -> Vec<Cell>;
}

/// One test: data that differ from the training data in named ways.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The name in tables, unique in its battery: `3 specks, line, near`.
    pub name: String,
    /// The group of tests it belongs to, for the rows of a table.
    pub group: &'static str,
    /// Specks in a sample.
    pub count: usize,
    /// How they lie to each other.
    pub arrangement: Arrangement,
    /// The specks' colour in a word: `training`, `near`, …
    pub colour: &'static str,
    /// The data.
    pub data: DataSettings,
    /// How many samples are measured.
    pub samples: usize,
}

/// Dimensions that all batteries have.
pub const DIMENSIONS: &[Dimension] = &[Dimension {
    name: "samples",
    doc: "samples measured for each cell",
    kind: Kind::Int { min: 1, max: 1 << 20 },
    default: DefaultValue::Int(256),
}];

/// The ways of colouring specks that batteries go through, with the word that
/// names each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColourTest {
    /// As in training.
    Training,
    /// A corner of the colour cube that was not trained on.
    Other,
    /// Random for each speck.
    Random,
    /// Near the background.
    Near,
    /// As far from the background as can be.
    Contrast,
}

impl ColourTest {
    const ALL: [ColourTest; 5] = [
        ColourTest::Training,
        ColourTest::Other,
        ColourTest::Random,
        ColourTest::Near,
        ColourTest::Contrast,
    ];

    fn word(self) -> &'static str {
        match self {
            ColourTest::Training => "training",
            ColourTest::Other => "other",
            ColourTest::Random => "random",
            ColourTest::Near => "near",
            ColourTest::Contrast => "contrast",
        }
    }

    /// The training data with specks coloured so.
    fn apply(self, training: &DataSettings) -> DataSettings {
        DataSettings {
            speck: match self {
                ColourTest::Training => training.speck,
                ColourTest::Other => SpeckColour::Other,
                ColourTest::Random => SpeckColour::RandomSample,
                ColourTest::Near => SpeckColour::Near,
                ColourTest::Contrast => SpeckColour::Contrast,
            },
            // Data trained on "other" keep what that differs from.
            trained: training.trained.or(Some(training.speck)),
            ..training.clone()
        }
    }
}

/// Collects the cells of a battery and leaves out those that cannot be.
struct Cells {
    samples: usize,
    cells: Vec<Cell>,
}

impl Cells {
    fn new(settings: &Settings) -> Self {
        Cells { samples: settings.usize("samples"), cells: Vec::new() }
    }

    fn add(&mut self, name: String, group: &'static str, colour: &'static str, data: DataSettings) {
        let possible: Result<(), SettingError> = data.check();
        if possible.is_ok() {
            self.cells.push(Cell {
                name,
                group,
                count: data.count,
                arrangement: data.arrangement,
                colour,
                data,
                samples: self.samples,
            });
        }
    }
}

/// The data with background and speck exchanged: the speck's colour, or the
/// contrast corner where that is not fixed, as the background. `None` where the
/// background is random.
fn exchanged(training: &DataSettings) -> Option<DataSettings> {
    let background = training.background.fixed()?;
    let (behind, speck) = match training.speck {
        SpeckColour::Fixed(speck) => (speck, SpeckColour::Fixed(background)),
        other => (crate::data::colour::contrast(background), other),
    };
    Some(DataSettings { background: Background::Fixed(behind), speck, ..training.clone() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use speck_models::settings::{Value, resolve};

    use super::*;
    use crate::data::{Mask, Source};

    fn cells(battery: &dyn Battery, training: &DataSettings) -> Vec<Cell> {
        let given = [("samples".to_string(), Value::Int(64))];
        let settings = resolve(battery.dimensions(), &given).expect("valid settings");
        battery.cells(training, &settings)
    }

    fn trainings() -> Vec<DataSettings> {
        let mut all = Vec::new();
        for background in [
            Background::Fixed([0.0; 3]),
            Background::Fixed([0.5; 3]),
            Background::RandomBatch,
            Background::RandomSample,
        ] {
            for speck in [
                SpeckColour::Fixed([1.0; 3]),
                SpeckColour::Contrast,
                SpeckColour::Near,
                SpeckColour::RandomSample,
                SpeckColour::Other,
            ] {
                for positions in [Mask::All, Mask::Quadrant, Mask::Border] {
                    all.push(DataSettings {
                        background,
                        speck,
                        positions,
                        ..DataSettings::default()
                    });
                }
            }
        }
        all
    }

    #[test]
    fn names_are_unique_and_cells_possible() {
        for battery in ALL {
            for training in trainings() {
                training.check().expect("the training data are possible");
                let cells = cells(*battery, &training);
                let names: BTreeSet<_> = cells.iter().map(|cell| &cell.name).collect();
                assert_eq!(names.len(), cells.len(), "{names:?}");
                for cell in &cells {
                    assert_eq!(cell.data.check(), Ok(()), "{}", cell.name);
                    assert_eq!((cell.count, cell.samples), (cell.data.count, 64));
                    Source::new(&cell.data, 1, 0);
                }
            }
        }
    }

    #[test]
    fn batteries_are_found_by_name() {
        for battery in ALL {
            assert_eq!(find(battery.name()).map(Battery::name), Some(battery.name()));
            assert!(!battery.summary().is_empty());
        }
        assert!(find("generl").is_none());
    }

    #[test]
    fn other_differs_from_the_training_colour() {
        let data = ColourTest::Other.apply(&DataSettings::default());
        assert_eq!(data.trained, Some(SpeckColour::Fixed([1.0; 3])));
    }

    #[test]
    fn exchanged_swaps_fixed_colours() {
        let swapped = exchanged(&DataSettings::default()).expect("both are fixed");
        assert_eq!(swapped.to_string(), "black on white");
        let contrast = DataSettings { speck: SpeckColour::Contrast, ..DataSettings::default() };
        assert_eq!(exchanged(&contrast).unwrap().to_string(), "contrast on white");
        let random =
            DataSettings { background: Background::RandomBatch, ..DataSettings::default() };
        assert_eq!(exchanged(&random), None);
    }
}
