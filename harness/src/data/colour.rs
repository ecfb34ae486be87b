//! Colours of specks, as points of the unit cube of red, green and blue.

use serde::Serialize;
use speck_models::settings::parse_colour;

use super::draws::Draws;

/// Red, green, blue in [0, 1].
pub type Rgb = [f32; 3];

/// Words that `speck` takes besides colours.
pub const WORDS: &[&str] =
    &["contrast", "near", "between", "other", "random-batch", "random-sample"];

/// How far the farthest corner of the colour cube is at least, from any point:
/// half the diagonal, reached by the centre.
pub const LEAST_REACH: f64 = 0.866_025_4;

/// How the colour of a speck is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpeckColour {
    /// One colour.
    Fixed(Rgb),
    /// The corner of the colour cube that is farthest from the background.
    Contrast,
    /// Exactly `distance` away from the background, in a random direction.
    Near,
    /// `distance` away from the background, towards its contrast corner.
    Between,
    /// A random corner of the colour cube, other than the one next to the
    /// background and other than the colour trained on.
    Other,
    /// Random, at least `distance` away from the background; one for a batch.
    RandomBatch,
    /// Random, at least `distance` away from the background; one for a speck.
    RandomSample,
}

impl SpeckColour {
    /// Reads a colour or one of [`WORDS`].
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "contrast" => Some(SpeckColour::Contrast),
            "near" => Some(SpeckColour::Near),
            "between" => Some(SpeckColour::Between),
            "other" => Some(SpeckColour::Other),
            "random-batch" => Some(SpeckColour::RandomBatch),
            "random-sample" => Some(SpeckColour::RandomSample),
            _ => parse_colour(text).map(SpeckColour::Fixed),
        }
    }

    /// The colour, where it is always the same whatever the background.
    pub fn fixed(&self) -> Option<Rgb> {
        match self {
            SpeckColour::Fixed(colour) => Some(*colour),
            _ => None,
        }
    }

    /// A colour for a speck on `background`. `trained` is the way of colouring
    /// that [`SpeckColour::Other`] has to differ from.
    pub(super) fn draw(
        &self,
        background: Rgb,
        distance: f64,
        trained: Option<SpeckColour>,
        draws: &mut Draws,
    ) -> Rgb {
        match self {
            SpeckColour::Fixed(colour) => *colour,
            SpeckColour::Contrast => contrast(background),
            SpeckColour::Between => towards(background, contrast(background), distance),
            SpeckColour::Near => {
                let direction = anywhere_from(background, distance, draws);
                towards(background, direction, distance)
            }
            SpeckColour::Other => {
                let known = match trained {
                    Some(SpeckColour::Fixed(colour)) => Some(corner(colour)),
                    Some(SpeckColour::Contrast | SpeckColour::Between) => {
                        Some(contrast(background))
                    }
                    _ => None,
                };
                let allowed: Vec<Rgb> = (0..8)
                    .map(|index| [4, 2, 1].map(|bit| if index & bit == 0 { 0.0 } else { 1.0 }))
                    .filter(|other| *other != corner(background) && Some(*other) != known)
                    .collect();
                allowed[draws.below(allowed.len())]
            }
            SpeckColour::RandomBatch | SpeckColour::RandomSample => {
                anywhere_from(background, distance, draws)
            }
        }
    }
}

/// Euclidean distance of two colours, from 0 to √3.
pub fn distance(a: Rgb, b: Rgb) -> f64 {
    let square = |i: usize| (f64::from(a[i]) - f64::from(b[i])).powi(2);
    (square(0) + square(1) + square(2)).sqrt()
}

/// The corner of the colour cube next to a colour; 0.5 counts as 1.
pub fn corner(colour: Rgb) -> Rgb {
    colour.map(|part| if part < 0.5 { 0.0 } else { 1.0 })
}

/// The corner of the colour cube farthest from a colour.
pub fn contrast(colour: Rgb) -> Rgb {
    corner(colour).map(|part| 1.0 - part)
}

/// How far from a colour another one can be: from √3 / 2 to √3.
pub fn reach(colour: Rgb) -> f64 {
    distance(colour, contrast(colour))
}

/// The point `length` away from `from` on the way to `to`. Both are in the
/// cube, and the cube is convex, so the point is in it as long as it does not
/// lie beyond `to`.
fn towards(from: Rgb, to: Rgb, length: f64) -> Rgb {
    let share = length / distance(from, to);
    [0, 1, 2].map(|i| {
        let (from, to) = (f64::from(from[i]), f64::from(to[i]));
        (from + share * (to - from)).clamp(0.0, 1.0) as f32
    })
}

/// A point of the cube at least `least` away from `from`, which must not be
/// more than [`reach`].
///
/// Drawn uniformly until it is far enough. Where few points are, the draws
/// after the first [`PATIENCE`] come from ever smaller cubes at the contrast
/// corner, and at last from the corner itself, which is always far enough.
pub(super) fn anywhere_from(from: Rgb, least: f64, draws: &mut Draws) -> Rgb {
    /// Draws from a cube before it is halved.
    const PATIENCE: usize = 16;
    /// Times the cube is halved.
    const HALVINGS: i32 = 12;
    let corner = contrast(from);
    for halvings in 0..=HALVINGS {
        let edge = f64::from(2.0f32.powi(-halvings));
        for _ in 0..PATIENCE {
            let drawn = corner.map(|corner| {
                let corner = f64::from(corner);
                (corner + edge * (draws.uniform() - corner)) as f32
            });
            if distance(drawn, from) >= least {
                return drawn;
            }
        }
    }
    corner
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::draws::Purpose;
    use super::*;

    fn draws(sample: usize) -> Draws {
        Draws::new(1, Purpose::Colour, 0, sample)
    }

    fn in_cube(colour: Rgb) -> bool {
        colour.iter().all(|part| (0.0..=1.0).contains(part))
    }

    proptest! {
        #[test]
        fn colours_keep_their_distance_and_stay_in_the_cube(
            red in 0.0f32..=1.0, green in 0.0f32..=1.0, blue in 0.0f32..=1.0,
            share in 0.02f64..=1.0, sample in 0usize..1000,
        ) {
            let background = [red, green, blue];
            let length = share * reach(background);
            let draw = |colour: SpeckColour| {
                colour.draw(background, length, None, &mut draws(sample))
            };
            for exact in [SpeckColour::Near, SpeckColour::Between] {
                let colour = draw(exact);
                prop_assert!(in_cube(colour));
                prop_assert!((distance(colour, background) - length).abs() < 1e-6);
            }
            for random in [SpeckColour::RandomBatch, SpeckColour::RandomSample] {
                let colour = draw(random);
                prop_assert!(in_cube(colour));
                prop_assert!(distance(colour, background) >= length - 1e-9);
            }
            prop_assert!(distance(draw(SpeckColour::Contrast), background) >= LEAST_REACH - 1e-6);
            prop_assert!(distance(draw(SpeckColour::Other), background) >= 0.5);
        }
    }

    #[test]
    fn near_goes_in_many_directions() {
        let colours: Vec<Rgb> = (0..200)
            .map(|sample| SpeckColour::Near.draw([0.0; 3], 0.3, None, &mut draws(sample)))
            .collect();
        for part in 0..3 {
            let mean = colours.iter().map(|colour| colour[part]).sum::<f32>() / 200.0;
            assert!((0.12..0.2).contains(&mean), "{mean}");
        }
        assert!(colours.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_extremes_are_the_corners() {
        let white = SpeckColour::Near.draw([0.0; 3], 3f64.sqrt(), None, &mut draws(0));
        assert!(distance(white, [1.0; 3]) < 1e-6);
        assert_eq!(contrast([0.2, 0.9, 0.5]), [1.0, 0.0, 0.0]);
        assert!((reach([0.5; 3]) - LEAST_REACH).abs() < 1e-7);
    }

    #[test]
    fn between_lies_on_the_way_to_the_contrast_corner() {
        let colour = SpeckColour::Between.draw([0.0; 3], 0.3, None, &mut draws(0));
        let part = (0.3 / 3f64.sqrt()) as f32;
        assert!(colour.iter().all(|value| (value - part).abs() < 1e-6), "{colour:?}");
    }

    #[test]
    fn other_is_neither_background_nor_training_colour() {
        for trained in [SpeckColour::Fixed([0.9; 3]), SpeckColour::Contrast] {
            let mut seen = Vec::new();
            for sample in 0..300 {
                let mut draws = draws(sample);
                let colour = SpeckColour::Other.draw([0.1; 3], 0.3, Some(trained), &mut draws);
                assert!(colour != [0.0; 3] && colour != [1.0; 3]);
                assert_eq!(corner(colour), colour);
                if !seen.contains(&colour) {
                    seen.push(colour);
                }
            }
            assert_eq!(seen.len(), 6);
        }
    }

    #[test]
    fn every_word_is_read() {
        for word in WORDS {
            assert!(SpeckColour::read(word).is_some_and(|colour| colour.fixed().is_none()));
        }
        assert_eq!(SpeckColour::read("red"), Some(SpeckColour::Fixed([1.0, 0.0, 0.0])));
        assert_eq!(SpeckColour::read("nothing"), None);
    }
}
