//! Kernels on shapes and alignments nobody thought of: every variant against
//! `scalar`, on slices that begin anywhere in a cache line, with elements before
//! and after the output that must stay what they are, or with the end of the
//! allocation right behind it. Where variants are to agree on them too, some values
//! are NaN, infinite, zero of either sign or denormal.
//!
//! `tests/unsafe.sh` runs this under AddressSanitizer and valgrind.

mod attention;
mod compare;
mod convolutions;
mod drawing;
mod elementwise;
mod folding;
mod memory;
mod movement;
mod norms;
mod order;
mod picked;
mod pooling;
mod products;
mod rows;
mod windows;

/// How many cases: as many as usual, or `SPECK_FUZZ_CASES` of them (fewer under a
/// checker that slows them down, more for a long hunt).
fn cases(usual: u32) -> u32 {
    let given = std::env::var("SPECK_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(usual)
}
