//! Random draws with gradients where there are some.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
