//! Windows of an image as columns, and layers made of them.

use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];
