//! Borders around a tensor.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
