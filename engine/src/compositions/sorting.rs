//! Order along a dimension: sorting, the largest, winners.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
