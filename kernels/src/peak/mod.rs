//! The machine's own limits: what a roofline is drawn from.
//!
//! Arithmetic: fused multiply-adds on registers, as many independent chains as
//! hide their latency, nothing else in the loop. Memory: a copy of arrays that
//! no cache holds. Both are measured, never looked up: what counts is what this
//! machine gives in this run, with whatever else runs on it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::parallel::{Shared, for_parts, prefetch, stream, streamed};
use crate::{Isa, Variant};
use std::hint::black_box;
use std::time::Instant;

/// Runs `rounds` rounds of multiply-adds and returns a value that depends on
/// all of them; each round is a multiply-add a chain and lane.
type Run = unsafe fn(rounds: usize) -> f32;

/// Independent chains of multiply-adds. Two units with a latency of four
/// cycles need eight; more cost nothing while registers last.
const CHAINS: usize = 12;

/// What the chains start from, kept from the compiler: it once saw that the
/// chain that starts at the fixed point 2 stays there, left it out, and so made
/// the peak read 12/11 of what it is.
fn starts() -> [f32; CHAINS] {
    black_box(std::array::from_fn(|i| i as f32))
}

/// The loops, the widest first, with their lanes.
const VARIANTS: &[(usize, Variant<Run>)] = &[
    #[cfg(target_arch = "x86_64")]
    (16, Variant { name: "avx512", isa: Isa::Avx512, run: avx512::multiply_add }),
    #[cfg(target_arch = "x86_64")]
    (8, Variant { name: "avx2", isa: Isa::Avx2, run: avx2::multiply_add }),
    #[cfg(target_arch = "aarch64")]
    (4, Variant { name: "neon", isa: Isa::Neon, run: neon::multiply_add }),
    (1, Variant { name: "scalar", isa: Isa::Portable, run: scalar::multiply_add }),
];

/// What one measurement found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// The loop that ran.
    pub variant: &'static str,
    /// f32 operations a second, on all threads of the current pool.
    pub flops: f64,
}

/// Multiply-adds a second on all threads of the current rayon pool, for about
/// `seconds`: the best of several bursts.
pub fn arithmetic(seconds: f64) -> Arithmetic {
    let supported = VARIANTS.iter().find(|(_, variant)| variant.isa.supported().is_ok());
    let Some((lanes, variant)) = supported else { unreachable!("the scalar loop always runs") };
    let threads = rayon::current_num_threads();
    // About a millisecond.
    let rounds = 100_000;
    let work = (threads * rounds * CHAINS * 2 * lanes) as f64;
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds || best.is_infinite() {
        let start = Instant::now();
        for_parts(threads, 1, |_| {
            // SAFETY: the instruction set is there.
            black_box(unsafe { (variant.run)(black_box(rounds)) });
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    Arithmetic { variant: variant.name, flops: work / best }
}

/// Values in each array of the copy: 128 MiB, beyond any cache.
const COPIED: usize = 32 << 20;
/// Values a thread copies at a time.
const PART: usize = 1 << 18;
/// Values written between two requests, and how many bytes ahead those are.
const CHUNK: usize = 128;
const AHEAD: usize = 4096;

/// Copies of arrays beyond the caches, by the fastest of three ways.
///
/// A plain copy reads the lines that it overwrites, unless the processor sees
/// that they are written whole; one past the caches does not, but drains its
/// stores when a part is done; and one that asks for what it reads a page ahead
/// does not wait where the processor's own prefetcher begins anew. Which is
/// fastest depends on the machine; the roof is what the best one reaches.
pub struct Copy {
    from: Vec<f32>,
    to: Vec<f32>,
}

impl Default for Copy {
    fn default() -> Self {
        Self::new()
    }
}

impl Copy {
    /// How many ways to copy there are.
    pub const WAYS: usize = 3;

    /// Arrays of 128 MiB.
    pub fn new() -> Self {
        // Written, for memory that is not reads as one page of zeros.
        Copy { from: vec![1.0; COPIED], to: vec![2.0; COPIED] }
    }

    /// Bytes that a copy reads and writes.
    pub fn bytes(&self) -> usize {
        2 * size_of_val(self.from.as_slice())
    }

    /// Seconds that a copy takes on all threads of the current rayon pool, the
    /// best way.
    pub fn seconds(&mut self) -> f64 {
        let plain = self.timed(|from, to| to.copy_from_slice(from));
        let past = self.timed(|from, to| {
            // SAFETY: both are as long, and apart.
            unsafe { stream(from.as_ptr().cast(), to.as_mut_ptr().cast(), size_of_val(from)) };
            streamed();
        });
        let ahead = self.timed(|from, to| {
            for (from, to) in from.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
                let (from, bytes): (*const u8, _) = (from.as_ptr().cast(), size_of_val(from));
                prefetch(from.wrapping_add(AHEAD), bytes);
                // SAFETY: as above.
                unsafe { stream(from, to.as_mut_ptr().cast(), bytes) };
            }
            streamed();
        });
        plain.min(past).min(ahead)
    }

    fn timed(&mut self, copy: impl Fn(&[f32], &mut [f32]) + Sync + Send) -> f64 {
        let target = Shared::new(&mut self.to);
        let from = &self.from;
        let start = Instant::now();
        for_parts(from.len(), PART, |range| {
            // SAFETY: the ranges lie in the array and do not overlap.
            copy(&from[range.clone()], unsafe { target.part(range) });
        });
        let seconds = start.elapsed().as_secs_f64();
        black_box(&mut self.to);
        seconds
    }
}

/// Bytes a second that a copy moves, read and written counted, on all threads
/// of the current rayon pool: the best of `rounds`.
pub fn copy(rounds: usize) -> f64 {
    let mut copy = Copy::new();
    let best = (0..rounds.max(1)).map(|_| copy.seconds()).fold(f64::INFINITY, f64::min);
    copy.bytes() as f64 / best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_does_its_work() {
        for (lanes, variant) in VARIANTS.iter().filter(|(_, v)| v.isa.supported().is_ok()) {
            // SAFETY: the instruction set is there.
            let found = unsafe { (variant.run)(3) };
            // Each chain starts at its number and gains 1/2 · itself + 1 three times.
            let chain = |start: f32| (0..3).fold(start, |x, _| x.mul_add(0.5, 1.0));
            let expected: f32 = (0..CHAINS).map(|i| chain(i as f32)).sum::<f32>() * *lanes as f32;
            assert!((found - expected).abs() < 1e-3, "{}: {found} {expected}", variant.name);
        }
    }

    #[test]
    fn peaks_are_positive() {
        assert!(arithmetic(0.001).flops > 1e6);
        assert!(copy(1) > 1e6);
    }
}
