//! Coordinates out of heat maps.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
