//! Sixteen Philox blocks side by side.
//!
//! The loops run over arrays of sixteen lanes without branches, so the
//! compiler turns them into vector instructions of whatever width the caller's
//! target features allow: the AVX2 and AVX-512 variants are these very routines
//! compiled again. (Hence plain loops in functions that are always inlined:
//! closures and array maps are compiled for the baseline, and cost two to four
//! times here.) Arithmetic is one rounding an operation, never contracted,
//! hence the same bits at every width.
//!
//! # What it gains
//! Reference: `scalar`, which draws each number by itself: it computes all four words of
//! the block and throws three away; a normal number draws both words of its pair, and
//! takes logarithm, sine or cosine in `f64` by calls. Ten rounds of Philox are a chain in
//! which each waits for the last multiplication. 14 ns a uniform number and more, 50 to
//! 80 a normal one.
//!
//! Limit: storing 4 bytes is nothing to that, so it is the arithmetic. Here all words of
//! a block are used, sixteen chains run beside each other, and both numbers of a pair
//! share one logarithm and one angle. With AVX-512, whose multiplication of 32 to 64 bits
//! takes eight blocks, a round of these is two multiplications, two shifts and two
//! exclusive ors of three: 120 instructions for 64 numbers.
//!
//! 2¹⁸ numbers, one thread of a two-core AVX-512 server (Zen 5), two runs with the
//! variants in turn, times as fast as `scalar`:
//!
//! | | compiled for any processor | AVX2 | AVX-512 |
//! |---|---|---|---|
//! | uniform | 10 | 17 to 20 | 33 |
//! | normal | 15 to 19 | 29 to 42 | 58 to 77 |
//!
//! AVX-512 takes 0.4 to 0.5 ns a uniform number and about 1 a normal one, 1.7 to 2 times
//! as fast as AVX2: twice the lanes are nearly twice the speed, for arithmetic is the limit.
//!
//! # The normal distribution in `f32`
//!
//! With k the upper 24 bits of a word, u = k·2⁻²⁴.
//!
//! *Logarithm of v = 1 − u*, exact as (2²⁴ − k)·2⁻²⁴ and in [2⁻²⁴, 1]. Written
//! v = 2ᵉ(1 + f) with 1 + f in [√½, √2), where f is exact too: ln v = e ln 2 +
//! ln(1 + f), and ln(1 + f) = f − f²/2 + f³P(f), P the degree 8 minimax
//! polynomial of Cephes' `logf` (Moshier). ln 2 is split in two, so that e
//! times its upper part is exact. Near v = 1 everything is relative to f, so
//! small radii keep their relative accuracy.
//!
//! *Cosine and sine of 2πu*. With q/4 the quarter turn nearest to u, u − q/4 in
//! [−⅛, ⅛] is found exactly, in integers. Then Cephes' polynomials for
//! |angle| ≤ π/4, swapped for odd q and with the sign of the quadrant.

use super::philox::{MULTIPLIERS, ROUNDS, Stream, WEYL, unit};
use crate::parallel::{GRAIN, Shared, for_parts};

/// Blocks side by side.
const LANES: usize = 16;
/// Numbers in them.
const CHUNK: usize = 4 * LANES;
/// Elementary operations of one number, roughly.
const COST: usize = 16;

/// Words `w` of the blocks `first..first + LANES` in row `w`.
///
/// A word lives in the lower half of 64 bits, where the multiplication wants
/// it; what is in the upper half never matters, since the multiplication
/// ignores it and all else works bit by bit. No shuffle is needed.
#[inline(always)]
fn blocks(stream: &Stream, key: [u32; 2], first: u64) -> [[u32; LANES]; 4] {
    let [mut a, mut b, mut c, mut d] = [[0u64; LANES]; 4];
    for lane in 0..LANES {
        let [block, block_high, step, step_high] = stream.counter(first + lane as u64);
        (a[lane], b[lane]) = (u64::from(block), u64::from(block_high));
        (c[lane], d[lane]) = (u64::from(step), u64::from(step_high));
    }
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        for lane in 0..LANES {
            let p = u64::from(MULTIPLIERS[0]) * (a[lane] & 0xffff_ffff);
            let q = u64::from(MULTIPLIERS[1]) * (c[lane] & 0xffff_ffff);
            a[lane] = (q >> 32) ^ b[lane] ^ u64::from(k0);
            b[lane] = q;
            c[lane] = (p >> 32) ^ d[lane] ^ u64::from(k1);
            d[lane] = p;
        }
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [words(a), words(b), words(c), words(d)]
}

#[inline(always)]
fn words(row: [u64; LANES]) -> [u32; LANES] {
    let mut words = [0; LANES];
    for lane in 0..LANES {
        words[lane] = row[lane] as u32;
    }
    words
}

/// Fills `out` with the chunks `chunk(key, first block)`. A variant passes a
/// closure of its own, because a closure is compiled for the features of the
/// function that it is written in.
pub(super) fn fill(
    stream: &Stream,
    out: &mut [f32],
    chunk: impl Fn([u32; 2], u64) -> [f32; CHUNK] + Send + Sync,
) {
    let key = stream.key();
    let length = out.len();
    let target = Shared::new(out);
    for_parts(length.div_ceil(CHUNK), GRAIN / (CHUNK * COST), |range| {
        for i in range {
            let numbers = chunk(key, (i * LANES) as u64);
            let start = i * CHUNK;
            let count = CHUNK.min(length - start);
            // SAFETY: chunks lie in `out` and do not overlap.
            let part = unsafe { target.part(start..start + count) };
            part.copy_from_slice(&numbers[..count]);
        }
    });
}

/// Interleaves rows of numbers into the order of the stream. Two by two the
/// numbers are packed into 64 bits, since compilers interleave two rows well
/// and four rows badly (by scatter instructions).
#[inline(always)]
fn interleave([a, b, c, d]: [[f32; LANES]; 4]) -> [f32; CHUNK] {
    let (mut left, mut right) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        left[lane] = pack(a[lane], b[lane]);
        right[lane] = pack(c[lane], d[lane]);
    }
    let mut pairs = [0; 2 * LANES];
    for lane in 0..LANES {
        pairs[2 * lane] = left[lane];
        pairs[2 * lane + 1] = right[lane];
    }
    bytemuck::cast(pairs)
}

/// Two numbers in the order in which they lie in memory.
#[inline(always)]
fn pack(first: f32, second: f32) -> u64 {
    let (first, second) = (u64::from(first.to_bits()), u64::from(second.to_bits()));
    if cfg!(target_endian = "little") { second << 32 | first } else { first << 32 | second }
}

#[inline(always)]
pub(super) fn uniform_chunk(stream: &Stream, key: [u32; 2], first: u64) -> [f32; CHUNK] {
    let [a, b, c, d] = blocks(stream, key, first);
    interleave([units(a), units(b), units(c), units(d)])
}

#[inline(always)]
fn units(words: [u32; LANES]) -> [f32; LANES] {
    let mut numbers = [0.0; LANES];
    for lane in 0..LANES {
        numbers[lane] = unit(words[lane]);
    }
    numbers
}

#[inline(always)]
pub(super) fn normal_chunk(stream: &Stream, key: [u32; 2], first: u64) -> [f32; CHUNK] {
    let [a, b, c, d] = blocks(stream, key, first);
    let ([a, b], [c, d]) = (normals(a, b), normals(c, d));
    interleave([a, b, c, d])
}

#[inline(always)]
fn normals(first: [u32; LANES], second: [u32; LANES]) -> [[f32; LANES]; 2] {
    let [mut even, mut odd] = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        [even[lane], odd[lane]] = box_muller(first[lane], second[lane]);
    }
    [even, odd]
}

/// Two normal draws from two random words.
#[inline(always)]
pub(super) fn box_muller(first: u32, second: u32) -> [f32; 2] {
    let radius = (-2.0 * ln(1.0 - unit(first))).sqrt();
    let [cosine, sine] = direction(second);
    [radius * cosine, radius * sine]
}

/// The natural logarithm of a normal number in (0, 1].
#[inline(always)]
fn ln(v: f32) -> f32 {
    // Adding 1 − √½ (as bits) carries into the exponent exactly when the
    // mantissa is at least √2.
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let shifted = v.to_bits().wrapping_add(1f32.to_bits() - HALF_ROOT);
    let exponent = ((shifted >> 23) as i32 - 127) as f32;
    let f = f32::from_bits((shifted & 0x007f_ffff) + HALF_ROOT) - 1.0;
    let mut p = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * f + coefficient;
    }
    let square = f * f;
    let tail = p * f * square - 2.121_944_4e-4 * exponent - 0.5 * square;
    (f + tail) + 0.693_359_4 * exponent
}

/// Cosine and sine of the angle that a random word stands for.
#[inline(always)]
fn direction(word: u32) -> [f32; 2] {
    const QUARTER: i32 = 1 << 22;
    let turn = (word >> 8) as i32;
    let quarter = (turn + QUARTER / 2) / QUARTER;
    let rest = turn - quarter * QUARTER;
    let angle = rest as f32 * (std::f32::consts::TAU / 16_777_216.0);
    let z = angle * angle;
    let sine = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * angle + angle;
    let cosine =
        ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    let odd = quarter & 1 == 1;
    let (x, y) = if odd { (sine, cosine) } else { (cosine, sine) };
    // Cosine is negative in quarters 1 and 2, sine in 2 and 3.
    [negate_if_bit_1(x, quarter + 1), negate_if_bit_1(y, quarter)]
}

#[inline(always)]
fn negate_if_bit_1(value: f32, bits: i32) -> f32 {
    f32::from_bits(value.to_bits() ^ ((bits as u32 & 2) << 30))
}

pub(super) fn uniform(stream: &Stream, out: &mut [f32]) {
    fill(stream, out, |key, first| uniform_chunk(stream, key, first));
}

pub(super) fn normal(stream: &Stream, out: &mut [f32]) {
    fill(stream, out, |key, first| normal_chunk(stream, key, first));
}
