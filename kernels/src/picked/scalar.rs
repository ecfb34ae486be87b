//! The plain loops, for any type: the specification.

use super::{BEYOND, Correlation, Routine};
use crate::Real;

pub(super) const fn forward<T: Real>() -> Routine<T> {
    Routine { run: run_forward::<T>, scratch: turned_weight }
}

pub(super) const fn input_gradient<T: Real>() -> Routine<T> {
    Routine { run: run_input_gradient::<T>, scratch: turned_weight }
}

pub(super) const fn weight_gradient<T: Real>() -> Routine<T> {
    Routine { run: run_weight_gradient::<T>, scratch: turned_weight_and_sums }
}

/// Room for the weights as [channels, taps, outputs].
fn turned_weight(c: &Correlation) -> usize {
    c.depth() * c.outputs
}

/// And for the sums of one tap: [channels, outputs].
fn turned_weight_and_sums(c: &Correlation) -> usize {
    turned_weight(c) + c.picks.channels * c.outputs
}

/// Positions that are summed before they are added to the sums of all: a sum of
/// thousands, one by one, would be off by their number.
const TOGETHER: usize = 64;

/// Between [outputs, channels · taps] and its transpose of `columns` rows.
fn transpose<T: Real>(from: &[T], columns: usize, to: &mut [T]) {
    let rows = from.len() / columns.max(1);
    for (i, value) in from.iter().enumerate() {
        to[i % columns * rows + i / columns] = *value;
    }
}

/// Calls `body` for each position of each image and each tap that reads inside it:
/// where the channels read begin, the tap, and the row of results.
fn for_reads(c: &Correlation, mut body: impl FnMut(usize, usize, usize)) {
    let positions = c.positions();
    for image in 0..c.picks.images {
        for (i, at) in c.reads.iter().enumerate().filter(|(_, at)| **at != BEYOND) {
            let (tap, position) = (i / positions, i % positions);
            body(image * c.image() + *at as usize, tap, image * positions + position);
        }
    }
}

/// # Safety
/// None is needed.
unsafe fn run_forward<T: Real>(
    c: &Correlation,
    x: &[T],
    weight: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    c.check(x, weight, out);
    let turned = &mut scratch[..turned_weight(c)];
    transpose(weight, c.depth(), turned);
    out.fill(T::zero());
    for_reads(c, |from, tap, row| {
        let out = &mut out[row * c.outputs..][..c.outputs];
        for channel in 0..c.picks.channels {
            let right = &turned[(channel * c.taps() + tap) * c.outputs..];
            let left = x[from + channel];
            out.iter_mut().zip(right).for_each(|(out, right)| *out += left * *right);
        }
    });
}

/// # Safety
/// None is needed.
unsafe fn run_input_gradient<T: Real>(
    c: &Correlation,
    cotangent: &[T],
    weight: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    c.check(out, weight, cotangent);
    let turned = &mut scratch[..turned_weight(c)];
    transpose(weight, c.depth(), turned);
    out.fill(T::zero());
    for_reads(c, |to, tap, row| {
        let left = &cotangent[row * c.outputs..][..c.outputs];
        for channel in 0..c.picks.channels {
            let right = &turned[(channel * c.taps() + tap) * c.outputs..];
            let sum = left.iter().zip(right).fold(T::zero(), |sum, (a, b)| sum + *a * *b);
            out[to + channel] += sum;
        }
    });
}

/// # Safety
/// None is needed.
unsafe fn run_weight_gradient<T: Real>(
    c: &Correlation,
    x: &[T],
    cotangent: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    c.check(x, out, cotangent);
    let (turned, sums) = scratch[..turned_weight_and_sums(c)].split_at_mut(turned_weight(c));
    turned.fill(T::zero());
    let outputs = c.outputs.max(1);
    for image in 0..c.picks.images {
        for (tap, inside) in c.inside.iter().enumerate() {
            for some in inside.chunks(TOGETHER) {
                sums.fill(T::zero());
                for &[position, at] in some {
                    let row = image * c.positions() + position as usize;
                    let right = &cotangent[row * c.outputs..][..c.outputs];
                    let left = &x[image * c.image() + at as usize..];
                    for (sums, left) in sums.chunks_exact_mut(outputs).zip(left) {
                        let products = right.iter().map(|right| *left * *right);
                        sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                    }
                }
                for (channel, sums) in sums.chunks_exact(outputs).enumerate() {
                    let totals = &mut turned[(channel * c.taps() + tap) * c.outputs..];
                    totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += *sum);
                }
            }
        }
    }
    transpose(turned, c.outputs, out);
}
