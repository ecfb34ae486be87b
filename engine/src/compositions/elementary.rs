//! Elementary functions made of others.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
