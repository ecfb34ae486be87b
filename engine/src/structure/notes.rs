//! What became of each op that depends on a `render`.

use std::fmt;

/// An op on structured values.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The path of its layer.
    pub path: String,
    /// Its name.
    pub op: &'static str,
    /// The shape of its value.
    pub shape: Vec<usize>,
    /// How its value is held.
    pub held: Held,
}

/// How a value is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// As base and windows.
    Structured {
        /// Height and width of a window.
        window: [usize; 2],
        /// Rows and columns of the base.
        base: [usize; 2],
        /// Rows and columns of the map.
        map: [usize; 2],
        /// Positions computed, of the base and in windows, over those of the maps
        /// of all samples.
        share: f64,
    },
    /// In full, computed out of base and windows: the structure ends.
    Full,
    /// In full, after base and windows were written out: there is no rule.
    Densified,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Structured { window, base, map, share } => {
                let sizes = |sizes: &[usize; 2]| format!("{}×{}", sizes[0], sizes[1]);
                write!(
                    f,
                    "structured: windows {} on {}, base {}, {:.2}% of positions",
                    sizes(window),
                    sizes(map),
                    sizes(base),
                    100.0 * share
                )
            }
            Held::Full => write!(f, "in full, out of base and windows"),
            Held::Densified => write!(f, "densified: no rule for it here"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "-" } else { &self.path };
        write!(f, "{path}: {} {:?}: {}", self.op, self.shape, self.held)
    }
}
