//! Attention and its gradient.

use crate::cases;
use crate::compare::agree;
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::attention::{self, AttentionRows, AttentionShape};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn attentions(
        batch in 0usize..3, queries in 0usize..80, keys in 0usize..150,
        size in 1usize..40, value in 0usize..40, causal: bool,
        shifts in [SHIFTS; 5], seed: u64,
    ) {
        let scale = 1.0 / (size as f64).sqrt();
        let shape = AttentionShape { batch, queries, keys, size, value, scale, causal, rows: AttentionRows::Apart };
        let lengths = shape.elements();
        let arrays = [0, 1, 2, 3].map(|i| Memory::random(lengths[i], shifts[i], seed.wrapping_add(i as u64)));
        let [q, k, v, c] = [0, 1, 2, 3].map(|i| arrays[i].slice());
        agree(&attention::ATTENTION, lengths[3], shifts[4], 1.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { (run.run)(&shape, q, k, v, out, scratch.slice_mut()) }
        })?;
        // Up to `queries` products are added up.
        let length = lengths[0] + lengths[1] + lengths[2];
        agree(&attention::ATTENTION_GRADIENT, length, shifts[4], 100.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: as above.
            unsafe { (run.run)(&shape, q, k, v, c, out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn packed_attentions(
        samples in 0usize..3, heads in 1usize..4, tokens in 0usize..140, size in 1usize..40,
        causal: bool, shifts in [SHIFTS; 3], seed: u64,
    ) {
        let shape = AttentionShape {
            batch: samples * heads,
            queries: tokens,
            keys: tokens,
            size,
            value: size,
            scale: 1.0 / (size as f64).sqrt(),
            causal,
            rows: AttentionRows::Packed { heads },
        };
        let length = samples * tokens * heads * size;
        let x = Memory::random(3 * length, shifts[0], seed);
        let c = Memory::random(length, shifts[1], seed ^ 1);
        let part = |which: usize| &x.slice()[(which * heads * size).min(3 * length)..];
        agree(&attention::ATTENTION, length, shifts[2], 1.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { (run.run)(&shape, part(0), part(1), part(2), out, scratch.slice_mut()) }
        })?;
        agree(&attention::ATTENTION_GRADIENT, 3 * length, shifts[2], 100.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            let (c, scratch) = (c.slice(), scratch.slice_mut());
            // SAFETY: as above.
            unsafe { (run.run)(&shape, part(0), part(1), part(2), c, out, scratch) }
        })?;
    }
}
