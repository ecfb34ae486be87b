//! Derivatives along a direction, and recomputation.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
