//! Picking, turning and repeating elements along dimensions.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
