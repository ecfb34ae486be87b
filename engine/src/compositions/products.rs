//! Matrix products with broadcasting, and Einstein sums.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
