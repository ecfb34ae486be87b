//! What a user can choose about the data.

use speck_models::settings::{DefaultValue, Dimension, Kind};

use super::{Split, arrangement, background, colour, positions};

/// The dimensions of the data, in the order in which they are listed.
pub const DIMENSIONS: &[Dimension] = &[
    Dimension {
        name: "background",
        doc: "colour of the background; random ones are uniform in the colour cube",
        kind: Kind::Colour { also: background::WORDS },
        default: DefaultValue::Text("black"),
    },
    Dimension {
        name: "speck",
        doc: "colour of the specks; contrast: cube corner farthest from the background; near, \
              between: `distance` away from it, in a random direction or towards that corner; \
              other: another corner",
        kind: Kind::Colour { also: colour::WORDS },
        default: DefaultValue::Text("white"),
    },
    Dimension {
        name: "distance",
        doc: "distance of speck and background in the colour cube: exact for near and between, \
              the least where one of them is random",
        kind: Kind::Float { min: 0.02, max: 1.732_050_8 },
        default: DefaultValue::Float(0.3),
    },
    Dimension {
        name: "positions",
        doc: "positions trained on: a random fraction, all but the bottom right quadrant, every \
              second one, all but a border, or all but some rows where they meet some columns",
        kind: Kind::Choice(positions::WORDS),
        default: DefaultValue::Text("all"),
    },
    Dimension {
        name: "fraction",
        doc: "share of the positions trained on, for positions = fraction and, roughly, \
              combination",
        kind: Kind::Float { min: 0.01, max: 1.0 },
        default: DefaultValue::Float(0.5),
    },
    Dimension {
        name: "margin",
        doc: "width of the held-out border in pixels, for positions = border",
        kind: Kind::Int { min: 1, max: 16 },
        default: DefaultValue::Int(4),
    },
    Dimension {
        name: "positions_seed",
        doc: "seed of the random masks fraction and combination",
        kind: Kind::Int { min: 0, max: i64::MAX },
        default: DefaultValue::Int(0),
    },
    Dimension {
        name: "split",
        doc: "which positions are drawn",
        kind: Kind::Choice(Split::WORDS),
        default: DefaultValue::Text("training"),
    },
    Dimension {
        name: "count",
        doc: "specks in a sample",
        kind: Kind::Int { min: 1, max: 16 },
        default: DefaultValue::Int(1),
    },
    Dimension {
        name: "arrangement",
        doc: "how several specks lie to each other; rectangle needs 4 of them, two-rectangles 6 \
              (a shared edge) or 8 (apart)",
        kind: Kind::Choice(arrangement::WORDS),
        default: DefaultValue::Text("random"),
    },
    Dimension {
        name: "size",
        doc: "edge of a speck in pixels",
        kind: Kind::Int { min: 1, max: 9 },
        default: DefaultValue::Int(1),
    },
    Dimension {
        name: "falloff",
        doc: "standard deviation in pixels of the Gaussian by which a speck fades from its centre \
              into the background, at least 0.5; 0: it does not. A speck of one pixel has nothing \
              to fade",
        kind: Kind::Float { min: 0.0, max: 100.0 },
        default: DefaultValue::Float(0.0),
    },
];
