//! How maps become smaller, and how they become a vector.

use crate::{SCREEN, SettingError};
use speck_engine::ops::AveragePool2d;
use speck_engine::{Graph, GraphError, NodeId};

/// Halving of maps after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The maximum of 2×2.
    Max,
    /// The mean of 2×2.
    Average,
    /// None.
    None,
}

impl Pool {
    /// The names, in the order of the variants.
    pub const NAMES: &[&str] = &["max", "average", "none"];

    /// The halving of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "max" => Some(Pool::Max),
            "average" => Some(Pool::Average),
            "none" => Some(Pool::None),
            _ => None,
        }
    }

    /// Whether the screen can be halved after each of `blocks` blocks, whose
    /// number the setting `key` decides.
    ///
    /// # Errors
    /// It is too small.
    pub fn check(self, key: &str, blocks: usize) -> Result<(), SettingError> {
        let halvings = SCREEN[0].ilog2() as usize;
        if self == Pool::None || blocks <= halvings {
            return Ok(());
        }
        let message = format!(
            "{blocks} blocks halve a screen of {} more often than it can be ({halvings} times)",
            SCREEN[0]
        );
        Err(SettingError::new(key, message))
    }

    /// Appends it to maps [samples, channels, height, width].
    ///
    /// # Errors
    /// Maps of less than two pixels.
    #[track_caller]
    pub fn apply(self, graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
        match self {
            Pool::None => Ok(x),
            Pool::Max => graph.max_pool2d(x, [2, 2], [2, 2], [0, 0]),
            Pool::Average => graph.average_pool2d(
                x,
                AveragePool2d { kernel: [2, 2], stride: [2, 2], ..AveragePool2d::default() },
            ),
        }
    }
}

/// From maps to a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Every position of every map, map after map.
    Flatten,
    /// The mean of each map (global average pooling): no position is left
    /// but what the maps encode.
    Gap,
}

impl Head {
    /// The names, in the order of the variants.
    pub const NAMES: &[&str] = &["flatten", "gap"];

    /// The head of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "flatten" => Some(Head::Flatten),
            "gap" => Some(Head::Gap),
            _ => None,
        }
    }

    /// Appends it to maps [samples, channels, height, width].
    ///
    /// # Errors
    /// No maps.
    #[track_caller]
    pub fn apply(self, graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
        match self {
            Head::Flatten => graph.flatten_from(x, 1),
            Head::Gap => graph.mean(x, &[2, 3]),
        }
    }
}
