//! Reductions over segments of rows.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
