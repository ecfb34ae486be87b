//! The background: what lies behind the specks.

use serde::Serialize;
use speck_models::settings::parse_colour;

use super::colour::{Rgb, anywhere_from};
use super::draws::Draws;

/// Words that `background` takes besides colours.
pub const WORDS: &[&str] = &["random-batch", "random-sample"];

/// How the background is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Background {
    /// One colour.
    Fixed(Rgb),
    /// A random colour for each batch.
    RandomBatch,
    /// A random colour for each sample.
    RandomSample,
}

impl Background {
    /// Reads a colour or one of [`WORDS`].
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "random-batch" => Some(Background::RandomBatch),
            "random-sample" => Some(Background::RandomSample),
            _ => parse_colour(text).map(Background::Fixed),
        }
    }

    /// The colour, where it is always the same.
    pub fn fixed(&self) -> Option<Rgb> {
        match self {
            Background::Fixed(colour) => Some(*colour),
            Background::RandomBatch | Background::RandomSample => None,
        }
    }

    /// A background. A random one is uniform in the colour cube, or, where the
    /// specks' colour is known before (`speck`), uniform in the part of it that
    /// is at least `distance` away from that colour.
    pub(super) fn draw(&self, speck: Option<Rgb>, distance: f64, draws: &mut Draws) -> Rgb {
        match (self, speck) {
            (Background::Fixed(colour), _) => *colour,
            (_, Some(speck)) => anywhere_from(speck, distance, draws),
            (_, None) => [0, 1, 2].map(|_| draws.uniform() as f32),
        }
    }
}
