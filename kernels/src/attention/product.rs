//! Products of blocks that lie in the first-level cache, and transposition.
//!
//! All seven products of `lanes`, and those of `short` whose result goes to memory,
//! are one loop: rows of the left operand are read element by element, at any steps
//! along rows and depth (so either operand of a score matrix can be used transposed),
//! rows of the right one register by register.
//!
//! Reference: `scalar`, whose dot products add to one sum, each addition waiting for the
//! last. Limit: two multipliers, whose results take four cycles, so eight sums have to be
//! under way; and two reads a cycle. A tile of 4 rows of four registers, or 8 of two, has
//! 16 sums, and 8 or 10 reads for 16 multiply-adds, fewer than one for each; AVX2, with
//! half the registers, 4 of two: 8 sums, 6 reads. A single register of columns makes 8
//! rows, 9 reads for 8: there the reads are the limit, and so they are in the last rows,
//! taken one at a time. Nothing is packed, unlike in `matmul`: the operands are strips
//! that have just been written and lie in the cache, and there are too few columns to pay
//! for a copy. Only the keys are transposed.
//!
//! Products alone were not timed; with all the rest of `lanes`, one thread of a two-core
//! AVX-512 server (Zen 5), two runs: backwards with 128 keys of 32 values, five products,
//! 63 % of the multiply-add peak, and with AVX2, whose own peak is half, 32 %; forwards
//! with 512 keys of 64 values 72 and 34 %. `scalar` takes 30 and 54 times as long as
//! AVX-512.
//!
//! Steps: the transposition took as long as the product of scores that it is for, an
//! element at a time; in registers it does not, see `lanes` for what went wrong on the
//! way, and for what closures in these loops cost.

#![allow(unsafe_op_in_unsafe_fn)]

use crate::elementwise::lanes::Lanes;

/// The left operand: element (row, depth) is at `row · row_step + depth ·
/// depth_step`.
#[derive(Clone, Copy)]
pub struct Left {
    pub at: *const f32,
    pub row_step: usize,
    pub depth_step: usize,
}

/// The right operand and the product: rows of neighbours.
#[derive(Clone, Copy)]
pub struct Rows<P> {
    pub at: P,
    pub step: usize,
}

/// `out = left · right`, or `out += left · right`; with `shares`, the result of each
/// row times its share.
///
/// # Safety
/// The operands are valid for the sizes; the processor has `V`'s instructions
/// and the caller is compiled for them.
#[inline(always)]
pub unsafe fn product<V: Lanes>(
    [rows, columns, depth]: [usize; 3],
    left: Left,
    right: Rows<*const f32>,
    out: Rows<*mut f32>,
    add: bool,
    shares: Option<*const f32>,
) {
    let mut column = 0;
    while column < columns {
        let rest = columns - column;
        let right = Rows { at: right.at.add(column), ..right };
        let out = Rows { at: out.at.add(column), ..out };
        let wide = V::WIDTH == 16;
        column += if wide && rest >= 4 * V::WIDTH {
            bands::<V, 4, 4>(rows, depth, left, right, out, add, shares, V::WIDTH)
        } else if rest >= 2 * V::WIDTH {
            if wide {
                bands::<V, 8, 2>(rows, depth, left, right, out, add, shares, V::WIDTH)
            } else {
                bands::<V, 4, 2>(rows, depth, left, right, out, add, shares, V::WIDTH)
            }
        } else {
            bands::<V, 8, 1>(rows, depth, left, right, out, add, shares, V::WIDTH.min(rest))
        };
    }
}

/// All rows of some columns; returns how many columns.
#[inline(always)]
unsafe fn bands<V: Lanes, const R: usize, const N: usize>(
    rows: usize,
    depth: usize,
    left: Left,
    right: Rows<*const f32>,
    out: Rows<*mut f32>,
    add: bool,
    shares: Option<*const f32>,
    count: usize,
) -> usize {
    let mut row = 0;
    while row + R <= rows {
        let left = Left { at: left.at.add(row * left.row_step), ..left };
        let out = Rows { at: out.at.add(row * out.step), ..out };
        let shares = shares.map(|shares| shares.wrapping_add(row));
        if N > 1 || count == V::WIDTH {
            tile::<V, R, N, true>(depth, left, right, out, add, shares, count);
        } else {
            tile::<V, R, N, false>(depth, left, right, out, add, shares, count);
        }
        row += R;
    }
    while row < rows {
        let left = Left { at: left.at.add(row * left.row_step), ..left };
        let out = Rows { at: out.at.add(row * out.step), ..out };
        let shares = shares.map(|shares| shares.wrapping_add(row));
        if N > 1 || count == V::WIDTH {
            tile::<V, 1, N, true>(depth, left, right, out, add, shares, count);
        } else {
            tile::<V, 1, N, false>(depth, left, right, out, add, shares, count);
        }
        row += 1;
    }
    if N > 1 { N * V::WIDTH } else { count }
}

// No closures in this file: a closure is compiled without the instruction set
// of the function that it is inlined into, if it is inlined at all.
#[inline(always)]
unsafe fn load<V: Lanes, const WHOLE: bool>(from: *const f32, count: usize) -> V {
    if WHOLE || count == V::WIDTH {
        V::load(from)
    } else {
        V::load_part(from, count, V::splat(0.0))
    }
}

#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const N: usize, const WHOLE: bool>(
    depth: usize,
    left: Left,
    right: Rows<*const f32>,
    out: Rows<*mut f32>,
    add: bool,
    shares: Option<*const f32>,
    count: usize,
) {
    let mut sums = [[V::splat(0.0); N]; R];
    if add {
        for (r, row) in sums.iter_mut().enumerate() {
            for (k, sum) in row.iter_mut().enumerate() {
                *sum = load::<V, WHOLE>(out.at.add(r * out.step + k * V::WIDTH), count);
            }
        }
    }
    for p in 0..depth {
        let mut b = [V::splat(0.0); N];
        for (k, b) in b.iter_mut().enumerate() {
            *b = load::<V, WHOLE>(right.at.add(p * right.step + k * V::WIDTH), count);
        }
        for (r, row) in sums.iter_mut().enumerate() {
            let a = V::splat(*left.at.add(r * left.row_step + p * left.depth_step));
            for (sum, b) in row.iter_mut().zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    for (r, row) in sums.iter_mut().enumerate() {
        if let Some(shares) = shares {
            let share = V::splat(*shares.add(r));
            for sum in row.iter_mut() {
                *sum = sum.mul(share);
            }
        }
        for (k, sum) in row.iter().enumerate() {
            let to = out.at.add(r * out.step + k * V::WIDTH);
            if WHOLE { sum.store(to) } else { sum.store_part(to, count) }
        }
    }
}

/// `to[c · step + r] = from[r · from.step + c]`.
///
/// A square of registers is transposed by exchanging halves, quarters, … of
/// pairs of them.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
pub unsafe fn transpose<V: Lanes>(
    rows: usize,
    columns: usize,
    from: Rows<*const f32>,
    to: *mut f32,
    step: usize,
) {
    let mut row = 0;
    while row < rows {
        let height = V::WIDTH.min(rows - row);
        let mut column = 0;
        while column < columns {
            let width = V::WIDTH.min(columns - column);
            let first = from.at.add(row * from.step + column);
            let to = to.add(column * step + row);
            if width == V::WIDTH && height == V::WIDTH {
                square::<V, true>(height, width, first, from.step, to, step);
            } else {
                square::<V, false>(height, width, first, from.step, to, step);
            }
            column += width;
        }
        row += height;
    }
}

/// Transposes a square of registers, or a part of one.
#[inline(always)]
unsafe fn square<V: Lanes, const WHOLE: bool>(
    height: usize,
    width: usize,
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    let mut square = [V::splat(0.0); 16];
    for (r, register) in square.iter_mut().enumerate() {
        if r < V::WIDTH && (WHOLE || r < height) {
            *register = load::<V, WHOLE>(from.add(r * from_step), width);
        }
    }
    if V::WIDTH > 8 {
        exchange::<V, 8>(&mut square);
    }
    exchange::<V, 4>(&mut square);
    exchange::<V, 2>(&mut square);
    exchange::<V, 1>(&mut square);
    for (c, register) in square.iter().enumerate() {
        if c < V::WIDTH && (WHOLE || c < width) {
            let to = to.add(c * to_step);
            if WHOLE || height == V::WIDTH {
                register.store(to);
            } else {
                register.store_part(to, height);
            }
        }
    }
}

/// Exchanges the off-diagonal blocks of this size.
#[inline(always)]
unsafe fn exchange<V: Lanes, const SIZE: usize>(square: &mut [V; 16]) {
    // Whether a lane is in the second one of its pair of blocks.
    let mut second = [0.0f32; 16];
    for (lane, second) in second.iter_mut().enumerate() {
        *second = if lane & SIZE != 0 { 1.0 } else { 0.0 };
    }
    let second = V::load(second.as_ptr()).greater(V::splat(0.5));
    for r in 0..16 {
        if r < V::WIDTH && r & SIZE == 0 {
            let (a, b) = (square[r], square[r + SIZE]);
            square[r] = V::select(second, b.exchange(SIZE), a);
            square[r + SIZE] = V::select(second, b, a.exchange(SIZE));
        }
    }
}
