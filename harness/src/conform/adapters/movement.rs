//! Operators that move, pick and repeat elements.

use super::Adapter;

pub(super) const ALL: &[(&str, Adapter)] = &[];
