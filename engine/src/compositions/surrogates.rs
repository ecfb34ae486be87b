//! Steps with a gradient of their own.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
