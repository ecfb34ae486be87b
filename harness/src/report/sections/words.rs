//! What the words in the names of conditions mean.

use maud::{Markup, html};

/// Words as they stand in the names of conditions, and what they mean.
const WORDS: &[(&str, &str)] = &[
    ("training colour", "colour and background as in training"),
    ("other colour", "a corner of the colour cube that was not trained on"),
    ("random colour", "every screen has a speck of its own random colour"),
    ("near, ", "a colour so far away from the background; black and white are 1.73 apart"),
    ("far (contrast)", "the corner of the colour cube that is farthest from the background"),
    (
        "exchanged with the background",
        "the speck has the background's colour and the other way round",
    ),
    ("random background", "every screen has a background of its own random colour"),
    ("corners", "within 8 pixels of both edges at a corner, wherever training was"),
    ("borders", "within 4 pixels of an edge, wherever training was"),
    ("held-out positions", "positions that never occurred in training"),
];

/// The words for arrangements of several specks.
const ARRANGEMENTS: &[(&str, &str)] = &[
    ("random", "anywhere on the screen"),
    ("line", "in one row or one column, equally spaced"),
    ("diagonal", "on a diagonal, equally spaced"),
    ("rectangle", "at the corners of a rectangle: two rows and two columns for four specks"),
    ("two-rectangles", "at the corners of two rectangles that share an edge"),
    ("edges", "within 4 pixels of an edge"),
];

/// The words for the colours of several specks.
const COLOURS: &[(&str, &str)] = &[
    ("training", "the colour trained on"),
    ("other", "a corner of the colour cube that was not trained on"),
    ("random", "every speck its own random colour"),
    ("near", "a colour near the background"),
    ("contrast", "the corner of the colour cube that is farthest from the background"),
];

/// What the words in these names mean, for those that are known.
pub(crate) fn of_conditions(cells: &[&str]) -> Markup {
    list(WORDS, |word| cells.iter().any(|cell| cell.starts_with(word)))
}

/// The same for arrangements and colours of several specks.
pub(crate) fn of_matrix(arrangements: &[&str], colours: &[&str]) -> Markup {
    html! {
        (list(ARRANGEMENTS, |word| arrangements.contains(&word)))
        (list(COLOURS, |word| colours.contains(&word)))
    }
}

fn list(words: &[(&str, &str)], used: impl Fn(&str) -> bool) -> Markup {
    html! {
        dl.meanings { @for (word, meaning) in words {
            @if used(word) {
                dt { (word.trim_end_matches([',', ' '])) } dd { (meaning) }
            }
        } }
    }
}
