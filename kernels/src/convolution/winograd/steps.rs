//! The inner loops of `winograd`, written once for both instruction sets.

use super::form::{Form, MOST};
use super::weight::{self, Block};
use super::{Direction, LINE, Plan};
use crate::convolution::channels_last::{self, Band};
use crate::convolution::source::copy;
use crate::convolution::vector::Vector;
use crate::convolution::{avx2, avx512, correlate, reduce};
use crate::matmul::{Avx2 as Product256, Avx512 as Product512, PackedTile};
use std::arch::x86_64::*;
use std::array::from_fn;

/// An instruction set: its vectors, what it multiplies matrices with, what
/// takes the shapes that are not for `winograd`, and the steps with that
/// instruction set enabled. They are [`instructions`] of the functions below.
///
/// # Safety
/// To call any of them, the processor must have the instruction set, and the
/// operands be as long as the plan says.
pub(in crate::convolution) trait Instructions {
    /// Its vectors.
    type V: Vector;
    /// Its matrix product.
    type Product: PackedTile;
    /// Its direct convolution.
    type Direct: correlate::Tile + reduce::Tile;
    /// See [`weights`].
    unsafe fn weights<F: Form>(p: &Plan, from: &[f32], group: usize, tile: usize, to: &mut [f32]);
    /// Fills the copy of an image.
    unsafe fn deal<F: Form>(plan: &Plan, image: &[f32], copy: &mut [f32]);
    /// See [`transform`].
    unsafe fn transform<F: Form>(plan: &Plan, copy: &[f32], first: usize, out: &mut [f32]);
    /// See [`transform_back`].
    unsafe fn transform_back<F: Form>(plan: &Plan, lane: usize, from: &[f32], to: &mut [f32]);
    /// See [`channels_last::fill`].
    unsafe fn channels_last(band: &Band, image: &[f32], to: &mut [f32]);
    /// See [`weight::transform`].
    unsafe fn transform_block<F: Form>(block: &Block, band: &[f32], to: &mut [f32]);
    /// See [`weight::finish`].
    unsafe fn finish<F: Form>(plan: &weight::Plan, row: usize, sums: &[f32], to: &mut [f32]);
}

macro_rules! instructions {
    ($set:ty, $vector:ty, $product:ty, $features:literal, $deal:expr) => {
        impl Instructions for $set {
            type V = $vector;
            type Product = $product;
            type Direct = $set;

            instructions! { $features
                weights<F: Form>(p: &Plan, from: &[f32], group: usize, tile: usize, to: &mut [f32])
                    weights::<$vector, $product, F>;
                deal<F: Form>(plan: &Plan, image: &[f32], copy: &mut [f32]) $deal;
                transform<F: Form>(plan: &Plan, copy: &[f32], first: usize, out: &mut [f32])
                    transform::<$vector, F>;
                transform_back<F: Form>(plan: &Plan, lane: usize, from: &[f32], to: &mut [f32])
                    transform_back::<$vector, F>;
                channels_last<>(band: &Band, image: &[f32], to: &mut [f32])
                    channels_last::fill::<$vector>;
                transform_block<F: Form>(block: &Block, band: &[f32], to: &mut [f32])
                    weight::transform::<$vector, F>;
                finish<F: Form>(plan: &weight::Plan, row: usize, sums: &[f32], to: &mut [f32])
                    weight::finish::<$vector, F>;
            }
        }
    };
    ($features:literal $($name:ident<$($form:ident: Form)?>
        ($($argument:ident: $type:ty),*) $body:expr;)*) => {
        $(unsafe fn $name$(<$form: Form>)?($($argument: $type),*) {
            #[target_feature(enable = $features)]
            unsafe fn enabled$(<$form: Form>)?($($argument: $type),*) {
                // SAFETY: the caller's promise.
                unsafe { $body($($argument),*) }
            }
            // SAFETY: the caller's promise.
            unsafe { enabled$(::<$form>)?($($argument),*) }
        })*
    };
}

instructions!(
    avx512::Avx512,
    __m512,
    Product512,
    "avx512f,avx512dq,avx512bw,avx512vl",
    deal_512::<F>
);
instructions!(avx2::Avx2, __m256, Product256, "avx2,fma", deal_plain);

/// Transforms the weights of a register tile of a group:
/// `[point, channel, row]`, all rows of the tile in a vector.
///
/// # Safety
/// The processor has the instruction set of `V`; the operands are as long as
/// the plan says.
#[inline(always)]
unsafe fn weights<V: Vector, P: PackedTile, F: Form>(
    plan: &Plan,
    weight: &[f32],
    group: usize,
    tile: usize,
    out: &mut [f32],
) {
    const { assert!(P::ROWS <= V::LANES) };
    let filter = plan.shape.group_in() * 9;
    let weight = &weight[group * plan.shape.group_out() * filter..];
    let first = tile * plan.tile_rows;
    let rows = plan.tile_rows.min(plan.rows - first);
    for channel in 0..plan.channels {
        // The input's gradient exchanges the channels and turns the kernel round.
        let (at, step) = match plan.direction {
            Direction::Forward => (first * filter + channel * 9, filter),
            Direction::InputGradient => (channel * filter + first * 9, 9),
        };
        // SAFETY: the caller's promise.
        let mut w = [unsafe { V::splat(0.0) }; 9];
        for i in 0..9 {
            let from = at + if plan.direction == Direction::Forward { i } else { 8 - i };
            // SAFETY: the weights of `rows` rows, `step` apart.
            w[i] = unsafe { V::gather(weight[from..].as_ptr(), step, rows) };
        }
        let mut across = [[w[0]; MOST]; 3];
        for y in 0..3 {
            for p in 0..F::POINTS {
                across[y][p] = combine(F::WEIGHT[p], [w[3 * y], w[3 * y + 1], w[3 * y + 2]]);
            }
        }
        for py in 0..F::POINTS {
            for px in 0..F::POINTS {
                let value = combine(F::WEIGHT[py], [across[0][px], across[1][px], across[2][px]]);
                let at = ((py * F::POINTS + px) * plan.channels + channel) * plan.tile_rows;
                // SAFETY: the rows of a point and channel.
                unsafe { value.store_first(out[at..at + rows].as_mut_ptr(), rows) };
            }
        }
    }
}

/// A row of `G` times three values.
#[inline(always)]
fn combine<V: Vector>(factors: [f32; 3], [a, b, c]: [V; 3]) -> V {
    // SAFETY: there is a vector.
    let (zero, x, y, z) = unsafe {
        (V::splat(0.0), V::splat(factors[0]), V::splat(factors[1]), V::splat(factors[2]))
    };
    a.times_plus(x, b.times_plus(y, c.times_plus(z, zero)))
}

/// Fills the copy of an image.
///
/// # Safety
/// None; it stands beside [`deal_512`].
#[inline(always)]
unsafe fn deal_plain(plan: &Plan, image: &[f32], copy: &mut [f32]) {
    plan.source.fill(image, copy);
}

/// What [`Layout::fill`] does, a vector of each plane at a time. What lies
/// outside a row is masked out after it was dealt: with loads under a mask
/// (which it seems nothing reads ahead of) the convolution took 1.4 to 1.6 times
/// as long.
///
/// # Safety
/// The processor has AVX-512 F; `copy` is as long as the plan says, and zero or
/// what an image before left there.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn deal_512<F: Form>(plan: &Plan, image: &[f32], copy: &mut [f32]) {
    let ([vertical, horizontal], pitch) = (plan.source.axes, plan.source.pitch());
    let mask_of = |first: usize, end: usize| {
        let bits = |count: usize| (1u32 << count.min(16)) - 1;
        (bits(end) & !bits(first)) as __mmask16
    };
    for (row, start) in (0..image.len()).step_by(horizontal.pixels.max(1)).enumerate() {
        let (channel, row) = (row / vertical.pixels, row % vertical.pixels);
        let row = row + vertical.border as usize;
        let (plane, line) = (row % F::M, row / F::M);
        if line >= vertical.length {
            continue;
        }
        for position in (0..pitch).step_by(16) {
            let vectors = from_fn(|v| {
                // Element 0 is the first of the border.
                let at = (start + position * F::M + 16 * v) as isize - horizontal.border;
                let (first, end) = (-at, image.len() as isize - at);
                let pointer = image.as_ptr().wrapping_offset(at);
                if v >= F::M || end <= 0 {
                    return _mm512_setzero_ps();
                }
                // SAFETY: the vector lies in the image, or the mask leaves out
                // what does not.
                unsafe {
                    match first <= 0 && end >= 16 {
                        true => _mm512_loadu_ps(pointer),
                        false => {
                            let mask = mask_of(first.clamp(0, 16) as usize, end as usize);
                            _mm512_maskz_loadu_ps(mask, pointer)
                        }
                    }
                }
            });
            // SAFETY: the caller's promise.
            let dealt = unsafe { if F::M == 2 { deal_two(vectors) } else { deal_four(vectors) } };
            let written = mask_of(0, pitch - position);
            for x in 0..F::M {
                let pixels = horizontal.inside(x);
                let [first, end] =
                    [pixels.start, pixels.end].map(|end| end.saturating_sub(position).min(16));
                let values = _mm512_maskz_mov_ps(mask_of(first, end), dealt[x]);
                let at = plan.source.plane_at(channel, [plane, x]) + line * pitch + position;
                // SAFETY: a line of a plane, and the mask leaves out what lies
                // beyond it.
                unsafe { _mm512_mask_storeu_ps(copy.as_mut_ptr().add(at), written, values) };
            }
        }
    }
}

/// Of two vectors in a row the elements `0, 2, 4, …`, and those between.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn deal_two([a, b, ..]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b), a, b]
    }
}

/// Of four vectors in a row the elements `0, 4, 8, …`, those after them, and so
/// on.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn deal_four([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let ([ab, ab_odd, ..], [cd, cd_odd, ..]) = (deal_two([a, b, a, b]), deal_two([c, d, c, d]));
        let ([first, third, ..], [second, fourth, ..]) =
            (deal_two([ab, cd, ab, cd]), deal_two([ab_odd, cd_odd, ab_odd, cd_odd]));
        [first, second, third, fourth]
    }
}

/// `Bᵀ x B` of a block of tiles: `[point, channel, tile]`.
///
/// # Safety
/// The processor has the instruction set of `V`; `copy` and `out` are as long
/// as the plan says.
#[inline(always)]
unsafe fn transform<V: Vector, F: Form>(plan: &Plan, copy: &[f32], first: usize, out: &mut [f32]) {
    let (pitch, [point_step, _]) = (plan.source.pitch(), plan.point_steps());
    let offset = |i: usize, j: usize| {
        plan.source.plane_at(0, [i % F::M, j % F::M]) + i / F::M * pitch + j / F::M
    };
    let offsets: [[usize; MOST]; MOST] = from_fn(|i| from_fn(|j| offset(i, j)));
    // SAFETY: the caller's promise.
    let zero = unsafe { V::splat(0.0) };
    for channel in 0..plan.channels {
        let copy = copy[plan.source.plane_at(channel, [0, 0])..].as_ptr();
        for lanes in [0, V::LANES] {
            let mut x = [[zero; MOST]; MOST];
            for j in 0..F::POINTS {
                let mut column = [zero; MOST];
                for i in 0..F::POINTS {
                    let at = copy.wrapping_add(offsets[i][j] + first + lanes);
                    // SAFETY: the copy is readable for a block of positions
                    // beyond the last tile.
                    column[i] = unsafe { V::load(at) };
                }
                let column = F::input(column);
                for i in 0..F::POINTS {
                    x[i][j] = column[i];
                }
            }
            for i in 0..F::POINTS {
                let row = F::input(x[i]);
                for j in 0..F::POINTS {
                    let at = (i * F::POINTS + j) * point_step + channel * plan.block + lanes;
                    // SAFETY: a point, channel and vector of the block.
                    unsafe { row[j].store(out.as_mut_ptr().add(at)) };
                }
            }
        }
    }
}

/// `Aᵀ y A` of a row of products: `[i, tile, j]`.
///
/// # Safety
/// The processor has the instruction set of `V`; the buffers are as long as the
/// plan says.
#[inline(always)]
unsafe fn transform_back<V: Vector, F: Form>(
    plan: &Plan,
    lane: usize,
    products: &[f32],
    out: &mut [f32],
) {
    let [_, point_step] = plan.point_steps();
    // SAFETY: the caller's promise.
    let zero = unsafe { V::splat(0.0) };
    for lanes in [0, V::LANES] {
        let mut x = [[zero; MOST]; 4];
        for j in 0..F::POINTS {
            let mut column = [zero; MOST];
            for i in 0..F::POINTS {
                let at = (i * F::POINTS + j) * point_step + lane * plan.block + lanes;
                // SAFETY: a point, row and vector of the products.
                column[i] = unsafe { V::load(products.as_ptr().add(at)) };
            }
            let column = F::output(column);
            for i in 0..F::M {
                x[i][j] = column[i];
            }
        }
        for i in 0..F::M {
            // SAFETY: a row of the tiles' results, and a vector of tiles.
            unsafe {
                let to = out.as_mut_ptr().add((i * plan.block + lanes) * F::M);
                F::interleave(F::output(x[i]), to);
            }
        }
    }
}

/// Asks for the lines that the results of a block of tiles will be stored to:
/// else the stores of a few channels, all at once, wait for memory.
pub(super) fn expect<F: Form>(plan: &Plan, first: usize, results: &mut [f32]) {
    let ([height, width], pitch) = (plan.result, plan.source.pitch());
    let end = (first + plan.block).min(plan.positions) - 1;
    let start = first / pitch * F::M * width + first % pitch * F::M;
    let end = ((end / pitch + 1) * F::M * width).min(height * width);
    for result in results.chunks_exact_mut(height * width) {
        for line in result[start.min(end)..end].chunks(LINE) {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
        }
    }
}

/// Puts the results of a block of tiles at their pixels, and drops those that
/// are none.
pub(super) fn store<F: Form>(plan: &Plan, first: usize, staged: &[f32], result: &mut [f32]) {
    let ([height, width], pitch) = (plan.result, plan.source.pitch());
    let end = (first + plan.block).min(plan.positions);
    let mut position = first;
    while position < end {
        let (row, column) = (position / pitch, position % pitch);
        let tiles = (pitch - column).min(end - position);
        let columns = (column * F::M).min(width)..((column + tiles) * F::M).min(width);
        for i in 0..F::M.min(height - row * F::M) {
            let from = &staged[(i * plan.block + position - first) * F::M..][..columns.len()];
            let at = (row * F::M + i) * width;
            copy(from, &mut result[at + columns.start..at + columns.end]);
        }
        position += tiles;
    }
    debug_assert!(plan.tiles[0] * F::M >= height);
}
