//! Tests that span the crates; they stand in the folder `tests` of this crate.
