//! Sums of a tile, for those who hold the tile in a cache already.
//!
//! A sum at the end of a chain of element-wise steps should not cost another
//! pass over memory: whoever runs the chain tile by tile hands each tile to
//! these loops while it is in the first-level cache, and keeps the totals.
//!
//! Two loops cover every layout. Where neighbours belong to one output, a
//! *run* of them gives one number. Where they belong to neighbouring outputs,
//! the *rows* of a tile are added to a row of totals. Totals are `f64`: a tile
//! adds at most a few hundred values plainly in a lane, so the error does not
//! grow with the length of the whole sum, and one wide addition a tile costs
//! nothing beside the tile. (The two-sum of `lanes.rs`, which needs no `f64`,
//! took six additions for one; here there is a scalar at the end anyway.)

#![allow(unsafe_op_in_unsafe_fn)]

use crate::elementwise::lanes::Lanes;
use crate::{Isa, Kernel, Real, Signature, Variant};

/// Sums of parts of a tile; see the fields of [`Tiles`].
pub struct SumTiles;

/// The loops of a variant.
///
/// Both are unsafe to call for the same reasons: pointers are valid for the
/// elements named, and the variant's instruction set is available.
#[derive(Clone, Copy)]
pub struct Tiles<T> {
    /// `(x, n)`: the sum of `n` neighbours.
    pub run: unsafe fn(*const T, usize) -> f64,
    /// `(x, rows, width, sums)`: the sum of each of `rows` rows of `width`
    /// neighbours, to the bit what `run` gives.
    pub each: unsafe fn(*const T, usize, usize, *mut f64),
    /// `(x, rows, width, totals)`: adds each of `rows` rows of `width`
    /// neighbours to `width` totals.
    pub rows: unsafe fn(*const T, usize, usize, *mut f64),
}

impl Signature for SumTiles {
    type Run<T: Real> = Tiles<T>;
}

/// The sum of a tile.
pub static SUM_TILES: Kernel<SumTiles> = Kernel {
    name: "sum_tiles",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::TILES },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::TILES },
        Variant {
            name: "scalar",
            isa: Isa::Portable,
            run: Tiles {
                run: scalar_run::<f32>,
                each: scalar_each::<f32>,
                rows: scalar_rows::<f32>,
            },
        },
    ],
    f64: &[Variant {
        name: "scalar",
        isa: Isa::Portable,
        run: Tiles { run: scalar_run::<f64>, each: scalar_each::<f64>, rows: scalar_rows::<f64> },
    }],
};

/// The specification: everything in `f64`, one after the other.
unsafe fn scalar_run<T: Real>(x: *const T, n: usize) -> f64 {
    (0..n).map(|i| (*x.add(i)).wide()).fold(0.0, |total, value| total + value)
}

unsafe fn scalar_each<T: Real>(x: *const T, rows: usize, width: usize, sums: *mut f64) {
    for row in 0..rows {
        *sums.add(row) = scalar_run(x.add(row * width), width);
    }
}

unsafe fn scalar_rows<T: Real>(x: *const T, rows: usize, width: usize, totals: *mut f64) {
    for row in 0..rows {
        for column in 0..width {
            *totals.add(column) += (*x.add(row * width + column)).wide();
        }
    }
}

/// Registers added to at once, to hide the latency of adding.
const GROUP: usize = 4;

#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
unsafe fn run<V: Lanes>(x: *const f32, n: usize) -> f64 {
    let mut sums = [V::splat(0.0); GROUP];
    let mut at = 0;
    while at + GROUP * V::WIDTH <= n {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(V::load(x.add(at + k * V::WIDTH)));
        }
        at += GROUP * V::WIDTH;
    }
    let mut k = 0;
    while at + V::WIDTH <= n {
        sums[k] = sums[k].add(V::load(x.add(at)));
        at += V::WIDTH;
        k += 1;
    }
    if at < n {
        sums[3] = sums[3].add(V::load_part(x.add(at), n - at, V::splat(0.0)));
    }
    let mut sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        sum = sum.add(sum.exchange(distance));
        distance /= 2;
    }
    f64::from(sum.first())
}

#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
unsafe fn rows<V: Lanes>(x: *const f32, rows: usize, width: usize, totals: *mut f64) {
    let mut column = 0;
    while column < width {
        let count = V::WIDTH.min(width - column);
        let load = |row: usize| {
            let from = x.add(row * width + column);
            if count < V::WIDTH { V::load_part(from, count, V::splat(0.0)) } else { V::load(from) }
        };
        let mut sums = [V::splat(0.0); 2];
        let mut row = 0;
        while row + 2 <= rows {
            sums[0] = sums[0].add(load(row));
            sums[1] = sums[1].add(load(row + 1));
            row += 2;
        }
        if row < rows {
            sums[0] = sums[0].add(load(row));
        }
        let mut lanes = [0.0f32; 16];
        sums[0].add(sums[1]).store(lanes.as_mut_ptr());
        let totals = totals.add(column);
        if count == V::WIDTH {
            // A length known when compiled becomes conversions of registers.
            for (k, lane) in lanes.iter().enumerate().take(V::WIDTH) {
                *totals.add(k) += f64::from(*lane);
            }
        } else {
            for (k, lane) in lanes.iter().enumerate().take(count) {
                *totals.add(k) += f64::from(*lane);
            }
        }
        column += count;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::Tiles;
    use crate::elementwise::avx512::F32x16;

    pub(super) const TILES: Tiles<f32> = Tiles { run, each, rows };

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
    unsafe fn run(x: *const f32, n: usize) -> f64 {
        // SAFETY: the caller's promise; this function has the instruction set.
        unsafe { super::run::<F32x16>(x, n) }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
    unsafe fn each(x: *const f32, rows: usize, width: usize, sums: *mut f64) {
        for row in 0..rows {
            // SAFETY: as above; the sums of neighbouring rows overlap in time.
            unsafe { *sums.add(row) = super::run::<F32x16>(x.add(row * width), width) };
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
    unsafe fn rows(x: *const f32, rows: usize, width: usize, totals: *mut f64) {
        // SAFETY: as above.
        unsafe { super::rows::<F32x16>(x, rows, width, totals) }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Tiles;
    use crate::elementwise::avx2::F32x8;

    pub(super) const TILES: Tiles<f32> = Tiles { run, each, rows };

    #[target_feature(enable = "avx2,fma")]
    unsafe fn run(x: *const f32, n: usize) -> f64 {
        // SAFETY: the caller's promise; this function has the instruction set.
        unsafe { super::run::<F32x8>(x, n) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn each(x: *const f32, rows: usize, width: usize, sums: *mut f64) {
        for row in 0..rows {
            // SAFETY: as above; the sums of neighbouring rows overlap in time.
            unsafe { *sums.add(row) = super::run::<F32x8>(x.add(row * width), width) };
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows(x: *const f32, rows: usize, width: usize, totals: *mut f64) {
        // SAFETY: as above.
        unsafe { super::rows::<F32x8>(x, rows, width, totals) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RAGGED, random};

    #[test]
    fn runs_and_rows_of_ragged_sizes_agree_with_sums_in_f64() {
        for variant in SUM_TILES.f32.iter().filter(|v| v.isa.supported().is_ok()) {
            for n in RAGGED {
                // One element in front, so that nothing is aligned.
                let x: Vec<f32> = random(n as u64, n * 9 + 1, -1.0, 1.0);
                let x = &x[1..];
                let want: f64 = x[..n].iter().map(|v| f64::from(*v)).sum();
                // SAFETY: `n` elements are there; the variant is supported.
                let got = unsafe { (variant.run.run)(x.as_ptr(), n) };
                assert!((got - want).abs() <= 1e-5, "{} run of {n}: {got} {want}", variant.name);
                for rows in [0, 1, 2, 3, 8, 9] {
                    let mut sums = vec![f64::NAN; rows + 1];
                    // SAFETY: as above, for `rows · n` elements and as many sums.
                    unsafe { (variant.run.each)(x.as_ptr(), rows, n, sums.as_mut_ptr()) };
                    for (row, sum) in sums[..rows].iter().enumerate() {
                        // SAFETY: as above.
                        let one = unsafe { (variant.run.run)(x[row * n..].as_ptr(), n) };
                        assert!(sum.to_bits() == one.to_bits(), "{} row {row}", variant.name);
                    }
                    assert!(sums[rows].is_nan());
                    let mut totals = vec![0.5; n + 1];
                    // SAFETY: as above, for `rows · n` elements and `n` totals.
                    unsafe { (variant.run.rows)(x.as_ptr(), rows, n, totals.as_mut_ptr()) };
                    for (column, total) in totals.iter().enumerate() {
                        let own = (0..rows).map(|row| f64::from(x[row * n + column]));
                        let want = 0.5 + if column < n { own.sum::<f64>() } else { 0.0 };
                        let name = variant.name;
                        assert!((total - want).abs() <= 1e-6, "{name} {rows} rows of {n}");
                    }
                }
            }
        }
    }

    #[test]
    fn long_runs_and_infinities() {
        for variant in SUM_TILES.f32.iter().filter(|v| v.isa.supported().is_ok()) {
            let mut x = vec![0.1f32; 1024];
            // SAFETY: the elements are there; the variant is supported.
            let got = unsafe { (variant.run.run)(x.as_ptr(), x.len()) };
            assert!((got - 1024.0 * f64::from(0.1f32)).abs() < 1e-4, "{}: {got}", variant.name);
            x[700] = f32::INFINITY;
            // SAFETY: as above.
            assert_eq!(unsafe { (variant.run.run)(x.as_ptr(), x.len()) }, f64::INFINITY);
            x[3] = f32::NAN;
            // SAFETY: as above.
            assert!(unsafe { (variant.run.run)(x.as_ptr(), x.len()) }.is_nan());
        }
    }
}
