//! Activation functions.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
