//! Which positions of the screen are trained on and which are held out.
//!
//! A position is the pixel at the centre of a speck, the one that gives its
//! target, as the number `row * 64 + column`. A speck always lies wholly on the
//! screen, so a large one has fewer positions.

use serde::Serialize;
use speck_learners::SCREEN;

use super::draws::{Draws, Purpose};

/// How the positions are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// Nothing is held out.
    All,
    /// A random share is trained on.
    Fraction,
    /// The bottom right quadrant is held out.
    Quadrant,
    /// The positions with an odd sum of row and column are held out.
    Checkerboard,
    /// The outermost pixels are held out.
    Border,
    /// Some rows are held out where they meet some columns: training has every
    /// row and every column, but not in every combination.
    Combination,
}

/// The words for [`Mask`], in its order.
pub const WORDS: &[&str] =
    &["all", "fraction", "quadrant", "checkerboard", "border", "combination"];

impl Mask {
    /// Reads one of [`WORDS`].
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "all" => Mask::All,
            "fraction" => Mask::Fraction,
            "quadrant" => Mask::Quadrant,
            "checkerboard" => Mask::Checkerboard,
            "border" => Mask::Border,
            "combination" => Mask::Combination,
            _ => return None,
        })
    }
}

/// The two sets of positions, each sorted; together every possible position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// Positions trained on.
    pub training: Vec<u16>,
    /// Positions kept for tests; empty for [`Mask::All`].
    pub held_out: Vec<u16>,
}

impl Positions {
    /// Divides the positions of specks of `size` pixels.
    ///
    /// `fraction` is the share trained on, for [`Mask::Fraction`] exactly (to
    /// the nearest position, at least one) and for [`Mask::Combination`]
    /// roughly; `margin` is the width of a held-out border; `seed` decides what
    /// is drawn at random. Masks are made for the whole screen first, so a
    /// position is in the same set whatever the size of the speck.
    pub fn new(mask: Mask, fraction: f64, margin: usize, seed: u64, size: usize) -> Self {
        let mut draws = Draws::new(seed, Purpose::Mask, 0, 0);
        let mut trained = vec![true; SCREEN * SCREEN];
        let mut hold_out = |held: &dyn Fn(usize, usize) -> bool| {
            for (index, trained) in trained.iter_mut().enumerate() {
                *trained = !held(index / SCREEN, index % SCREEN);
            }
        };
        match mask {
            Mask::All => {}
            Mask::Fraction => {
                let mut order: Vec<usize> = (0..SCREEN * SCREEN).collect();
                draws.shuffle(&mut order);
                let kept = ((order.len() as f64 * fraction).round() as usize).max(1);
                for held in &order[kept.min(order.len())..] {
                    trained[*held] = false;
                }
            }
            Mask::Quadrant => hold_out(&|row, column| row >= SCREEN / 2 && column >= SCREEN / 2),
            Mask::Checkerboard => hold_out(&|row, column| (row + column) % 2 == 1),
            Mask::Border => {
                let inside = margin..SCREEN - margin;
                hold_out(&|row, column| !(inside.contains(&row) && inside.contains(&column)));
            }
            Mask::Combination => {
                // k rows and k columns hold out k² combinations. At least one
                // column stays free, where the held rows are trained.
                let share = (1.0 - fraction).sqrt();
                let k = ((SCREEN as f64 * share).round() as usize).min(SCREEN - 1);
                let mut half = || {
                    let mut lines: Vec<usize> = (0..SCREEN).collect();
                    draws.shuffle(&mut lines);
                    lines.truncate(k);
                    lines
                };
                let (rows, columns) = (half(), half());
                hold_out(&|row, column| rows.contains(&row) && columns.contains(&column));
            }
        }
        let (training, held_out) = fitting(size).partition(|place| trained[usize::from(*place)]);
        Positions { training, held_out }
    }
}

/// The positions at which a speck of `size` pixels lies wholly on the screen.
fn fitting(size: usize) -> impl Iterator<Item = u16> {
    let before = size / 2;
    let centres = move || before..before + starts(size);
    centres().flat_map(move |row| centres().map(move |column| (row * SCREEN + column) as u16))
}

/// In how many rows (or columns) a speck of `size` pixels can start.
pub(super) fn starts(size: usize) -> usize {
    (SCREEN + 1).saturating_sub(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(mask: Mask, fraction: f64) -> Positions {
        Positions::new(mask, fraction, 4, 0, 1)
    }

    const MASKS: [Mask; 6] = [
        Mask::All,
        Mask::Fraction,
        Mask::Quadrant,
        Mask::Checkerboard,
        Mask::Border,
        Mask::Combination,
    ];

    #[test]
    fn words_and_masks_agree() {
        for (word, mask) in WORDS.iter().zip(MASKS) {
            assert_eq!(Mask::read(word), Some(mask));
        }
    }

    #[test]
    fn the_sets_are_complementary() {
        for mask in MASKS {
            for size in [1, 2, 9] {
                let sets = Positions::new(mask, 0.3, 4, 5, size);
                let mut all = [sets.training, sets.held_out].concat();
                all.sort_unstable();
                assert_eq!(all, fitting(size).collect::<Vec<_>>(), "{mask:?} {size}");
            }
        }
    }

    #[test]
    fn the_sets_have_their_sizes() {
        let sizes = MASKS.map(|mask| {
            let sets = positions(mask, 0.25);
            (sets.training.len(), sets.held_out.len())
        });
        let combination = (4096 - 55 * 55, 55 * 55);
        let expected =
            [(4096, 0), (1024, 3072), (3072, 1024), (2048, 2048), (3136, 960), combination];
        assert_eq!(sizes, expected);
        assert_eq!(Positions::new(Mask::All, 0.5, 4, 0, 3).training.len(), 62 * 62);
        assert_eq!(positions(Mask::Fraction, 0.01).training.len(), 41);
        assert!(positions(Mask::Fraction, 1.0).held_out.is_empty());
    }

    #[test]
    fn combination_trains_every_row_and_column() {
        for fraction in [0.01, 0.1, 0.5, 0.9] {
            let sets = positions(Mask::Combination, fraction);
            let rows =
                |set: &[u16]| set.iter().map(|p| p / 64).collect::<std::collections::BTreeSet<_>>();
            let columns =
                |set: &[u16]| set.iter().map(|p| p % 64).collect::<std::collections::BTreeSet<_>>();
            assert_eq!((rows(&sets.training).len(), columns(&sets.training).len()), (64, 64));
            let held = (rows(&sets.held_out), columns(&sets.held_out));
            assert_eq!(held.0.len() * held.1.len(), sets.held_out.len(), "all combinations");
            assert!(!sets.held_out.is_empty());
        }
    }

    #[test]
    fn places_are_where_they_should_be() {
        assert_eq!(positions(Mask::Quadrant, 0.5).held_out[0], 32 * 64 + 32);
        assert_eq!(positions(Mask::Border, 0.5).training[0], 4 * 64 + 4);
        assert_eq!(positions(Mask::Checkerboard, 0.5).training[..3], [0, 2, 4]);
    }

    #[test]
    fn the_seed_decides_the_fraction() {
        let with = |seed| Positions::new(Mask::Fraction, 0.5, 4, seed, 1);
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }
}
