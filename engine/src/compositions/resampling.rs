//! Images resampled to other sizes and along grids.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
