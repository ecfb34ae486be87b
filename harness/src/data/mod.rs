//! Data: screens with specks, made on the fly from a seed.
//!
//! [`DIMENSIONS`] lists what a user can choose, [`DataSettings`] is the checked
//! choice, [`Source`] makes the batches. Nothing is stored: every value of a
//! batch follows from the seed, the step and the sample, so batches can be made
//! in any order and on any thread.

pub mod arrangement;
pub mod background;
pub mod colour;
mod dimensions;
pub mod draws;
pub mod positions;
mod source;

use std::fmt;

use serde::Serialize;
use speck_learners::BatchShape;
use speck_models::settings::{COLOURS, SettingError, Settings, resolve};

use crate::config::RegistryEntry;
pub use arrangement::Arrangement;
pub use background::Background;
pub use colour::{Rgb, SpeckColour};
pub use dimensions::DIMENSIONS;
pub use positions::{Mask, Positions};
pub use source::Source;

/// The data as an entry of the registries.
pub fn entry() -> RegistryEntry {
    let summary = "screens of 64 by 64 pixels: specks on a background of one colour";
    RegistryEntry::new("data", summary, DIMENSIONS)
        .checked_by(|_, settings| DataSettings::new(settings).map(|_| ()))
}

/// Which positions are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Those trained on.
    Training,
    /// Those held out.
    HeldOut,
    /// All.
    Any,
}

impl Split {
    /// The words for it, in its order.
    pub const WORDS: &[&str] = &["training", "held-out", "any"];

    /// Reads one of [`Split::WORDS`].
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "training" => Split::Training,
            "held-out" => Split::HeldOut,
            "any" => Split::Any,
            _ => return None,
        })
    }
}

/// The least standard deviation by which specks fade: the four pixels of one of
/// edge 2 have 0.37 of its colour then.
const LEAST_FALLOFF: f64 = 0.5;

/// Slack for comparing a distance that a user rounded with an exact one.
const ROUNDING: f64 = 1e-6;

/// What the data are: one value for every dimension.
///
/// The fields are public so that a battery can vary them; [`Self::check`] says
/// whether a combination is possible.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// The background.
    pub background: Background,
    /// The specks' colour.
    pub speck: SpeckColour,
    /// The colour trained on, which [`SpeckColour::Other`] differs from; not a
    /// dimension, a battery sets it.
    pub trained: Option<SpeckColour>,
    /// Distance of speck and background in the colour cube: exact for near and
    /// between, the least one where a colour is random.
    pub distance: f64,
    /// How the positions are divided into training and held-out ones.
    pub positions: Mask,
    /// Share of the positions trained on, for the masks that have one.
    pub fraction: f64,
    /// Width of the held-out border in pixels.
    pub margin: usize,
    /// Seed of a mask that is drawn at random.
    pub positions_seed: u64,
    /// Which of the positions are drawn.
    pub split: Split,
    /// Specks in a sample.
    pub count: usize,
    /// How they lie to each other.
    pub arrangement: Arrangement,
    /// Edge of a speck in pixels.
    pub size: usize,
    /// Standard deviation in pixels by which specks fade; 0 where they do not.
    pub falloff: f64,
}

impl Default for DataSettings {
    /// Every dimension at its default: one white pixel anywhere on black.
    fn default() -> Self {
        let settings = resolve(DIMENSIONS, &[]);
        settings.and_then(|settings| Self::new(&settings)).expect("the defaults are valid")
    }
}

impl DataSettings {
    /// Reads settings resolved against [`DIMENSIONS`].
    ///
    /// # Errors
    /// A combination of values that cannot be, see [`Self::check`].
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        fn word<T>(
            settings: &Settings,
            key: &str,
            read: impl Fn(&str) -> Option<T>,
        ) -> Result<T, SettingError> {
            let text = settings.text(key);
            read(text).ok_or_else(|| SettingError::new(key, format!("{text:?} is not known")))
        }
        let data = DataSettings {
            background: word(settings, "background", Background::read)?,
            speck: word(settings, "speck", SpeckColour::read)?,
            trained: None,
            distance: settings.float("distance"),
            positions: word(settings, "positions", Mask::read)?,
            fraction: settings.float("fraction"),
            margin: settings.usize("margin"),
            positions_seed: settings.int("positions_seed").unsigned_abs(),
            split: word(settings, "split", Split::read)?,
            count: settings.usize("count"),
            arrangement: word(settings, "arrangement", Arrangement::read)?,
            size: settings.usize("size"),
            falloff: settings.float("falloff"),
        };
        data.check()?;
        Ok(data)
    }

    /// Whether the values go together.
    ///
    /// # Errors
    /// Names the dimension to change: a colour that cannot be told from the
    /// background, a distance that no colour has, a split without positions, an
    /// arrangement that the number or size of the specks or the mask rules out.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_colours()?;
        self.arrangement.check(self.count, self.size)?;
        if self.falloff != 0.0 && !(self.falloff >= LEAST_FALLOFF) {
            return Err(SettingError::new(
                "falloff",
                format!(
                    "specks that fade by {} pixels are hardly seen; \
                     0 is without, {LEAST_FALLOFF} the least",
                    self.falloff
                ),
            ));
        }
        let split = self.split_positions();
        if split.is_empty() {
            let message = match self.split {
                Split::HeldOut => "nothing is held out; choose a mask with `positions`",
                _ => "no speck of this size fits the positions",
            };
            return Err(SettingError::new("split", message));
        }
        let everywhere = positions::starts(self.size).pow(2);
        if !self.arrangement.places_singly() && split.len() < everywhere {
            let word = self.arrangement.word();
            return Err(SettingError::new(
                "arrangement",
                format!("\"{word}\" needs the whole screen: set `split` to \"any\""),
            ));
        }
        let places = self.places().len();
        if places < self.count {
            return Err(SettingError::new(
                "count",
                format!("there are {places} positions for {} specks", self.count),
            ));
        }
        Ok(())
    }

    fn check_colours(&self) -> Result<(), SettingError> {
        let unreachable = |reach: f64, whose: &str| {
            if self.distance <= reach + ROUNDING {
                return Ok(());
            }
            let message = format!(
                "no colour is {} away from {whose}; the farthest is {reach:.4} away",
                self.distance
            );
            Err(SettingError::new("distance", message))
        };
        match (self.background, self.speck) {
            (Background::Fixed(background), SpeckColour::Fixed(speck)) if background == speck => {
                Err(SettingError::new(
                    "speck",
                    "the colour of the background: the speck cannot be seen",
                ))
            }
            (
                Background::Fixed(_),
                SpeckColour::Fixed(_) | SpeckColour::Contrast | SpeckColour::Other,
            ) => Ok(()),
            (Background::Fixed(background), _) => {
                unreachable(colour::reach(background), "the background")
            }
            (_, SpeckColour::Fixed(speck)) => unreachable(colour::reach(speck), "the speck"),
            (_, SpeckColour::Contrast | SpeckColour::Other) => Ok(()),
            _ => unreachable(colour::LEAST_REACH, "a background that may be grey"),
        }
    }

    /// The training and the held-out positions.
    pub fn position_sets(&self) -> Positions {
        Positions::new(self.positions, self.fraction, self.margin, self.positions_seed, self.size)
    }

    /// The positions of the split, sorted.
    fn split_positions(&self) -> Vec<u16> {
        let sets = self.position_sets();
        match self.split {
            Split::Training => sets.training,
            Split::HeldOut => sets.held_out,
            Split::Any => {
                let mut all = [sets.training, sets.held_out].concat();
                all.sort_unstable();
                all
            }
        }
    }

    /// The positions a speck can have, sorted: `row * 64 + column` of its centre.
    pub fn places(&self) -> Vec<u16> {
        let mut places = self.split_positions();
        places.retain(|place| self.arrangement.admits(*place, self.size));
        places
    }

    /// The sizes of batches of these data.
    pub fn shape(&self, samples: usize) -> BatchShape {
        let own_background = self.background == Background::RandomSample;
        BatchShape {
            samples,
            specks: self.count,
            backgrounds: if own_background { samples } else { 1 },
            size: self.size,
            falloff: self.falloff,
        }
    }
}

impl fmt::Display for DataSettings {
    /// A short description: `white on black, quadrant, 2 specks, line`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speck = match self.speck {
            SpeckColour::Fixed(colour) => colour_name(colour),
            SpeckColour::Near => format!("near ({})", self.distance),
            SpeckColour::Between => format!("between ({})", self.distance),
            SpeckColour::Contrast => "contrast".to_string(),
            SpeckColour::Other => "other".to_string(),
            SpeckColour::RandomBatch => "random-batch".to_string(),
            SpeckColour::RandomSample => "random-sample".to_string(),
        };
        let background = match self.background {
            Background::Fixed(colour) => colour_name(colour),
            Background::RandomBatch => "random-batch".to_string(),
            Background::RandomSample => "random-sample".to_string(),
        };
        write!(f, "{speck} on {background}")?;
        if self.positions != Mask::All {
            write!(f, ", {}", positions::WORDS[self.positions as usize])?;
            if self.split != Split::Training {
                write!(f, " ({})", Split::WORDS[self.split as usize])?;
            }
        }
        if self.count > 1 {
            write!(f, ", {} specks", self.count)?;
        }
        if self.arrangement != Arrangement::Random {
            write!(f, ", {}", self.arrangement.word())?;
        }
        if self.size > 1 {
            write!(f, ", {0}×{0} pixels", self.size)?;
            if self.falloff > 0.0 {
                write!(f, " fading by {}", self.falloff)?;
            }
        }
        Ok(())
    }
}

/// A colour's name, or `#rrggbb` for one without.
pub fn colour_name(colour: Rgb) -> String {
    if let Some((name, _)) = COLOURS.iter().find(|(_, known)| *known == colour) {
        return (*name).to_string();
    }
    let byte = colour.map(|part| (part * 255.0).round() as u8);
    format!("#{:02x}{:02x}{:02x}", byte[0], byte[1], byte[2])
}

#[cfg(test)]
mod tests {
    use speck_models::settings::Value;

    use super::*;

    fn data(given: &[(&str, Value)]) -> Result<DataSettings, String> {
        let given: Vec<_> =
            given.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        resolve(DIMENSIONS, &given)
            .and_then(|settings| DataSettings::new(&settings))
            .map_err(|error| error.to_string())
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_string())
    }

    #[test]
    fn every_default_and_choice_is_read() {
        use speck_models::settings::Kind;
        for dimension in DIMENSIONS {
            let value = dimension.default.value();
            assert_eq!(dimension.kind.check(&value), Ok(value), "{}", dimension.name);
            let words = match dimension.kind {
                Kind::Choice(words) | Kind::Colour { also: words } => words,
                _ => continue,
            };
            for word in words {
                let given = [(dimension.name, text(word)), ("count", Value::Int(4))];
                match data(&given) {
                    Ok(_) => {}
                    Err(error) => assert!(!error.contains("not known"), "{error}"),
                }
            }
        }
    }

    #[test]
    fn specks_fade_by_half_a_pixel_or_more() {
        let of =
            |falloff: f64| data(&[("size", Value::Int(9)), ("falloff", Value::Float(falloff))]);
        let fading = of(1.5).expect("possible data");
        assert_eq!(fading.to_string(), "white on black, 9×9 pixels fading by 1.5");
        assert_eq!(fading.shape(4).falloff, 1.5);
        assert!(of(0.0).is_ok() && of(0.5).is_ok());
        assert!(of(0.499).is_err_and(|error| error.contains("hardly seen")));
    }

    #[test]
    fn the_default_is_one_white_pixel_on_black() {
        let data = DataSettings::default();
        assert_eq!(data.to_string(), "white on black");
        assert_eq!(data.places().len(), 4096);
        assert_eq!(data.shape(8).backgrounds, 1);
    }

    #[test]
    fn descriptions_name_what_is_special() {
        let data = data(&[
            ("background", text("random-sample")),
            ("speck", text("near")),
            ("positions", text("quadrant")),
            ("split", text("held-out")),
            ("count", Value::Int(2)),
            ("size", Value::Int(3)),
        ])
        .unwrap();
        assert_eq!(
            data.to_string(),
            "near (0.3) on random-sample, quadrant (held-out), 2 specks, 3×3 pixels"
        );
        assert_eq!(data.shape(8).backgrounds, 8);
        assert_eq!(colour_name([0.0, 128.0 / 255.0, 1.0]), "#0080ff");
    }

    #[test]
    fn impossible_combinations_are_refused() {
        let refusal = |given: &[(&str, Value)]| data(given).unwrap_err();
        assert_eq!(
            refusal(&[("speck", text("#000000"))]),
            "`speck`: the colour of the background: the speck cannot be seen"
        );
        let grey = ("background", text("grey"));
        assert_eq!(
            refusal(&[grey, ("speck", text("near")), ("distance", Value::Int(1))]),
            "`distance`: no colour is 1 away from the background; the farthest is 0.8660 away"
        );
        let random = ("background", text("random-batch"));
        let far = ("distance", Value::Float(0.9));
        assert!(
            refusal(&[random.clone(), ("speck", text("random-batch")), far.clone()])
                .contains("may be grey")
        );
        assert!(
            refusal(&[random.clone(), ("speck", text("grey")), far.clone()])
                .contains("away from the speck")
        );
        assert!(data(&[random, far]).is_ok(), "white can be 0.9 away");
        assert_eq!(
            refusal(&[("split", text("held-out"))]),
            "`split`: nothing is held out; choose a mask with `positions`"
        );
        assert!(
            refusal(&[
                ("positions", text("border")),
                ("arrangement", text("line")),
                ("count", Value::Int(2))
            ])
            .starts_with("`arrangement`: \"line\" needs the whole screen")
        );
        assert!(
            refusal(&[
                ("positions", text("border")),
                ("margin", Value::Int(8)),
                ("arrangement", text("corners")),
            ])
            .starts_with("`count`: there are 0 positions")
        );
        assert!(
            refusal(&[
                ("positions", text("border")),
                ("split", text("held-out")),
                ("size", Value::Int(9)),
            ])
            .starts_with("`split`: nothing is held out")
        );
        assert!(refusal(&[("arrangement", text("rectangle"))]).contains("needs 4 specks"));
    }
}
