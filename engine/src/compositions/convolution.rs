//! Convolutions of other shapes out of the plain one.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
