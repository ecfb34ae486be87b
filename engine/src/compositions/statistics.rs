//! Products, spreads and norms over dimensions.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
