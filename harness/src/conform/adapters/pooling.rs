//! Pooling.

use super::Adapter;

pub(super) const ALL: &[(&str, Adapter)] = &[];
