//! How the specks of one sample lie to each other.

use serde::Serialize;
use speck_learners::SCREEN;
use speck_models::settings::SettingError;

use super::draws::Draws;
use super::positions::starts;

/// How the specks of a sample lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// Anywhere.
    Random,
    /// In one row or one column, equally spaced.
    Line,
    /// On a diagonal in either direction, equally spaced.
    Diagonal,
    /// At the four corners of a rectangle.
    Rectangle,
    /// At the corners of two rectangles: six specks where the two share an
    /// edge, eight where no row and no column is shared.
    TwoRectangles,
    /// Each near an edge of the screen.
    Edges,
    /// Each near a corner of the screen.
    Corners,
}

/// The words for [`Arrangement`], in its order.
pub const WORDS: &[&str] =
    &["random", "line", "diagonal", "rectangle", "two-rectangles", "edges", "corners"];

/// A speck near an edge leaves fewer than this many pixels to it.
pub const EDGE: usize = 4;

/// A speck near a corner leaves fewer than this many pixels to both its edges.
pub const CORNER: usize = 8;

/// Attempts to place a speck without touching those before it.
const ATTEMPTS: usize = 64;

impl Arrangement {
    /// Reads one of [`WORDS`].
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "random" => Arrangement::Random,
            "line" => Arrangement::Line,
            "diagonal" => Arrangement::Diagonal,
            "rectangle" => Arrangement::Rectangle,
            "two-rectangles" => Arrangement::TwoRectangles,
            "edges" => Arrangement::Edges,
            "corners" => Arrangement::Corners,
            _ => return None,
        })
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        WORDS[self as usize]
    }

    /// Whether the specks are placed one by one on given positions; the other
    /// arrangements need the whole screen.
    pub fn places_singly(self) -> bool {
        matches!(self, Arrangement::Random | Arrangement::Edges | Arrangement::Corners)
    }

    /// Whether this many specks of `size` pixels can be arranged so.
    ///
    /// # Errors
    /// Names `count` or `size` and the numbers that would be right.
    pub(super) fn check(self, count: usize, size: usize) -> Result<(), SettingError> {
        let word = self.word();
        match self {
            Arrangement::Line | Arrangement::Diagonal if count < 2 => Err(SettingError::new(
                "count",
                format!("arrangement = \"{word}\" needs at least 2 specks, not {count}"),
            )),
            Arrangement::Line | Arrangement::Diagonal if count * size > SCREEN => {
                Err(SettingError::new(
                    "size",
                    format!("{count} specks of {size} pixels do not fit into a {word} of {SCREEN}"),
                ))
            }
            Arrangement::Rectangle if count != 4 => Err(SettingError::new(
                "count",
                format!("arrangement = \"{word}\" needs 4 specks, not {count}"),
            )),
            Arrangement::TwoRectangles if count != 6 && count != 8 => Err(SettingError::new(
                "count",
                format!(
                    "arrangement = \"{word}\" needs 6 specks (a shared edge) or 8 (apart), \
                     not {count}"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a speck may have its centre at a position.
    pub(super) fn admits(self, position: u16, size: usize) -> bool {
        let (row, column) = corner_of(position, size);
        let last = starts(size) - 1;
        let gap = |start: usize| start.min(last - start);
        match self {
            Arrangement::Edges => gap(row).min(gap(column)) < EDGE,
            Arrangement::Corners => gap(row).max(gap(column)) < CORNER,
            _ => true,
        }
    }

    /// Rows and columns of the top left pixels of `count` specks. No two are
    /// equal; larger specks do not overlap either, except where those placed
    /// singly find no room left.
    ///
    /// `positions` are those the specks may have, at least `count` of them; the
    /// arrangement must have passed [`Arrangement::check`].
    pub(super) fn place(
        self,
        count: usize,
        size: usize,
        positions: &[u16],
        draws: &mut Draws,
    ) -> Vec<(usize, usize)> {
        match self {
            Arrangement::Random | Arrangement::Edges | Arrangement::Corners => {
                singly(count, size, positions, draws)
            }
            Arrangement::Line => {
                let columns = equally_spaced(count, size, draws);
                let row = draws.below(starts(size));
                let upright = draws.coin();
                let turn = |column| {
                    if upright { (column, row) } else { (row, column) }
                };
                columns.into_iter().map(turn).collect()
            }
            Arrangement::Diagonal => {
                let rows = equally_spaced(count, size, draws);
                let width = rows[count - 1] - rows[0];
                let left = draws.below(starts(size) - width);
                let rising = draws.coin();
                let shift = |row: usize| match rising {
                    true => (row, left + width - (row - rows[0])),
                    false => (row, left + (row - rows[0])),
                };
                rows.iter().copied().map(shift).collect()
            }
            Arrangement::Rectangle => grid(&spread(2, size, draws), &spread(2, size, draws)),
            Arrangement::TwoRectangles if count == 6 => {
                let (two, three) = (spread(2, size, draws), spread(3, size, draws));
                match draws.coin() {
                    true => grid(&two, &three),
                    false => grid(&three, &two),
                }
            }
            Arrangement::TwoRectangles => {
                let (mut rows, mut columns) = (spread(4, size, draws), spread(4, size, draws));
                draws.shuffle(&mut rows);
                draws.shuffle(&mut columns);
                let mut places = grid(&rows[..2], &columns[..2]);
                places.extend(grid(&rows[2..], &columns[2..]));
                places
            }
        }
    }
}

/// The top left pixel of the speck whose centre is at a position.
pub(super) fn corner_of(position: u16, size: usize) -> (usize, usize) {
    let (row, column) = (usize::from(position) / SCREEN, usize::from(position) % SCREEN);
    (row - size / 2, column - size / 2)
}

/// Every crossing of the rows with the columns.
fn grid(rows: &[usize], columns: &[usize]) -> Vec<(usize, usize)> {
    let crossings = |&row: &usize| columns.iter().map(move |&column| (row, column));
    rows.iter().flat_map(crossings).collect()
}

/// Starts of `count` specks of `size` pixels that do not overlap, sorted.
fn spread(count: usize, size: usize, draws: &mut Draws) -> Vec<usize> {
    let starts = draws.spread(count, size, starts(size));
    starts.expect("four specks of the largest size fit side by side")
}

/// Starts of `count` specks of `size` pixels with equal gaps, sorted.
fn equally_spaced(count: usize, size: usize, draws: &mut Draws) -> Vec<usize> {
    let last = starts(size) - 1;
    let widest = last / (count - 1);
    let step = size + draws.below(widest - size + 1);
    let first = draws.below(last - step * (count - 1) + 1);
    (0..count).map(|index| first + index * step).collect()
}

/// Draws specks one after another until they do not overlap.
fn singly(count: usize, size: usize, positions: &[u16], draws: &mut Draws) -> Vec<(usize, usize)> {
    let mut placed: Vec<(usize, usize)> = Vec::with_capacity(count);
    let apart = |a: (usize, usize), b: (usize, usize)| {
        a.0.abs_diff(b.0) >= size || a.1.abs_diff(b.1) >= size
    };
    for _ in 0..count {
        let free = |place: &(usize, usize)| placed.iter().all(|other| apart(*other, *place));
        let drawn = (0..ATTEMPTS)
            .map(|_| corner_of(positions[draws.below(positions.len())], size))
            .find(free);
        let place = drawn.unwrap_or_else(|| {
            // Hardly any room: look through all positions from a random one on.
            let start = draws.below(positions.len());
            let order = positions[start..].iter().chain(&positions[..start]);
            let mut order = order.map(|position| corner_of(*position, size));
            let distinct = |place: &(usize, usize)| !placed.contains(place);
            let room = order.clone().find(free).or_else(|| order.find(distinct));
            room.expect("there are at least as many positions as specks")
        });
        placed.push(place);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::super::draws::Purpose;
    use super::super::positions::{Mask, Positions};
    use super::*;

    const ALL: [Arrangement; 7] = [
        Arrangement::Random,
        Arrangement::Line,
        Arrangement::Diagonal,
        Arrangement::Rectangle,
        Arrangement::TwoRectangles,
        Arrangement::Edges,
        Arrangement::Corners,
    ];

    fn admitted(arrangement: Arrangement, size: usize) -> Vec<u16> {
        let every = Positions::new(Mask::All, 1.0, 1, 0, size).training;
        let fits = |position: &u16| arrangement.admits(*position, size);
        every.into_iter().filter(fits).collect()
    }

    fn place(
        arrangement: Arrangement,
        count: usize,
        size: usize,
        sample: usize,
    ) -> Vec<(usize, usize)> {
        let mut draws = Draws::new(3, Purpose::Placement, 0, sample);
        let positions = admitted(arrangement, size);
        arrangement.place(count, size, &positions, &mut draws)
    }

    fn distinct(numbers: impl Iterator<Item = usize>) -> usize {
        numbers.collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn words_and_arrangements_agree() {
        for (word, arrangement) in WORDS.iter().zip(ALL) {
            assert_eq!(Arrangement::read(word), Some(arrangement));
            assert_eq!(arrangement.word(), *word);
        }
    }

    #[test]
    fn specks_fit_on_the_screen_and_do_not_overlap() {
        for arrangement in ALL {
            for (count, size) in [(1, 1), (2, 1), (4, 3), (6, 9), (8, 2), (16, 1), (16, 4)] {
                // The corner regions have no room for many large specks.
                let crowded = arrangement == Arrangement::Corners && count * size > 16;
                if crowded || arrangement.check(count, size).is_err() {
                    continue;
                }
                for sample in 0..50 {
                    let places = place(arrangement, count, size, sample);
                    assert_eq!(places.len(), count);
                    for (index, a) in places.iter().enumerate() {
                        assert!(
                            a.0 + size <= SCREEN && a.1 + size <= SCREEN,
                            "{arrangement:?} {a:?}"
                        );
                        for b in &places[..index] {
                            let apart = a.0.abs_diff(b.0) >= size || a.1.abs_diff(b.1) >= size;
                            assert!(apart, "{arrangement:?} {count} {size}: {a:?} {b:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lines_and_diagonals_are_straight() {
        let mut upright = 0;
        let mut rising = 0;
        for sample in 0..200 {
            let line = place(Arrangement::Line, 3, 1, sample);
            let rows = distinct(line.iter().map(|place| place.0));
            let columns = distinct(line.iter().map(|place| place.1));
            assert_eq!(rows.min(columns), 1);
            assert_eq!(rows.max(columns), 3);
            upright += usize::from(columns == 1);
            let diagonal = place(Arrangement::Diagonal, 4, 1, sample);
            let step = diagonal[1].0 - diagonal[0].0;
            assert!(step > 0);
            for pair in diagonal.windows(2) {
                assert_eq!(pair[1].0 - pair[0].0, step);
                assert_eq!(pair[1].1.abs_diff(pair[0].1), step);
            }
            rising += usize::from(diagonal[1].1 < diagonal[0].1);
        }
        assert!((70..130).contains(&upright), "{upright}");
        assert!((70..130).contains(&rising), "{rising}");
    }

    #[test]
    fn rectangles_have_the_right_rows_and_columns() {
        for sample in 0..100 {
            let count = |places: &[(usize, usize)]| {
                (
                    distinct(places.iter().map(|place| place.0)),
                    distinct(places.iter().map(|place| place.1)),
                )
            };
            assert_eq!(count(&place(Arrangement::Rectangle, 4, 1, sample)), (2, 2));
            let shared = count(&place(Arrangement::TwoRectangles, 6, 1, sample));
            assert!(shared == (2, 3) || shared == (3, 2));
            let apart = place(Arrangement::TwoRectangles, 8, 1, sample);
            assert_eq!(count(&apart), (4, 4));
            assert_eq!((count(&apart[..4]), count(&apart[4..])), ((2, 2), (2, 2)));
        }
    }

    #[test]
    fn edges_and_corners_are_near() {
        assert_eq!(admitted(Arrangement::Edges, 1).len(), 4096 - 56 * 56);
        assert_eq!(admitted(Arrangement::Corners, 1).len(), 4 * 64);
        assert_eq!(admitted(Arrangement::Corners, 9).len(), 4 * 64);
        for sample in 0..100 {
            for (row, column) in place(Arrangement::Corners, 2, 1, sample) {
                assert!(!(CORNER..SCREEN - CORNER).contains(&row));
                assert!(!(CORNER..SCREEN - CORNER).contains(&column));
            }
        }
    }

    #[test]
    fn crowded_positions_still_give_distinct_specks() {
        let mut draws = Draws::new(3, Purpose::Placement, 0, 0);
        // Three neighbours, and specks too large to lie side by side on them.
        let positions = [20 * 64 + 20, 20 * 64 + 21, 20 * 64 + 22];
        let mut places = Arrangement::Random.place(3, 9, &positions, &mut draws);
        places.sort_unstable();
        assert_eq!(places, [(16, 16), (16, 17), (16, 18)]);
    }

    #[test]
    fn impossible_counts_are_refused() {
        let refusal = |arrangement: Arrangement, count, size| {
            arrangement.check(count, size).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(Arrangement::Rectangle, 3, 1),
            "`count`: arrangement = \"rectangle\" needs 4 specks, not 3"
        );
        assert!(refusal(Arrangement::TwoRectangles, 4, 1).contains("needs 6 specks"));
        assert!(refusal(Arrangement::Line, 1, 1).contains("at least 2"));
        assert!(refusal(Arrangement::Diagonal, 16, 5).contains("do not fit"));
    }
}
