//! Products of matrices and attention.

use super::Adapter;

pub(super) const ALL: &[(&str, Adapter)] = &[];
