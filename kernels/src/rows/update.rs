//! Steps of an optimizer on rows, over registers, for any [`Lanes`].

// See `Lanes` for the one condition; lengths and index are checked before.
#![allow(unsafe_op_in_unsafe_fn)]

use super::gaps::{Gap, Gaps};
use super::lanes::{Tile, for_tiles, load, store};
use super::rule::{Numbers, Rule, step};
use super::{Change, Classes, Missed, Rows};
use crate::elementwise::lanes::Lanes;
use std::ops::Range;

/// Part of [`super::ROW_UPDATE`]: the rows of some positions.
#[inline(always)]
pub unsafe fn change<V: Lanes, const N: usize>(
    rows: &Rows,
    classes: &Classes,
    rule: &Rule,
    numbers: &Numbers,
    change: &Change<f32>,
    positions: Range<usize>,
    out: *mut f32,
) {
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    let Change { windows, outputs: cotangent, sums, index, all, .. } = *change;
    let body = |tile: &Tile<V, N>| {
        let sum = classes.of[tile.position] as usize * channels + tile.channel;
        let row = tile.position * channels + tile.channel;
        for m in 0..tile.rows {
            let sum = sums.as_ptr().add((sum + m) * outputs + tile.at);
            let row = out.add((row + m) * rows.stride() + tile.at);
            for n in 0..tile.across {
                let at = n * V::WIDTH;
                let gradient = load::<V>(sum.add(at), tile.part).add(tile.gradient[m][n]);
                element(rule, numbers, row.add(at), outputs, tile.part, gradient);
            }
        }
    };
    for_tiles::<V, N>(rows, positions, all, windows, cotangent, index, body);
}

/// One step on one register of a row; [`step`] in lanes, operation by operation.
#[inline(always)]
unsafe fn element<V: Lanes>(
    rule: &Rule,
    numbers: &Numbers,
    row: *mut f32,
    outputs: usize,
    part: usize,
    g: V,
) {
    let of = |value: f64| V::splat(value as f32);
    let rate = of(numbers.rate);
    let w: V = load(row, part);
    let second = row.add(if rule.parts() > 1 { outputs } else { 0 });
    match *rule {
        Rule::Sgd { .. } => store(w.mul(of(numbers.keep)).sub(g.mul(rate)), row, part),
        Rule::Momentum { momentum, decay } => {
            let g = if decay == 0.0 { g } else { g.add(w.mul(of(decay))) };
            let v = load::<V>(second, part).mul(of(momentum)).add(g);
            store(v, second, part);
            store(w.sub(v.mul(rate)), row, part);
        }
        Rule::Rmsprop { alpha, epsilon } => {
            let kept = load::<V>(second, part).mul(of(alpha));
            let v = kept.add(g.mul(g).mul(of(1.0 - alpha)));
            store(v, second, part);
            let change = g.div(v.sqrt().add(of(epsilon))).mul(rate);
            store(w.sub(change), row, part);
        }
        Rule::Lion { beta1, beta2, .. } => {
            let m = load::<V>(second, part);
            let sign = sign(m.mul(of(beta1)).add(g.mul(of(1.0 - beta1))));
            store(m.mul(of(beta2)).add(g.mul(of(1.0 - beta2))), second, part);
            store(w.mul(of(numbers.keep)).sub(sign.mul(rate)), row, part);
        }
        Rule::Adam { beta1, beta2, epsilon, .. } => {
            let third = second.add(outputs);
            let m = load::<V>(second, part).mul(of(beta1)).add(g.mul(of(1.0 - beta1)));
            let v = load::<V>(third, part).mul(of(beta2)).add(g.mul(g).mul(of(1.0 - beta2)));
            store(m, second, part);
            store(v, third, part);
            let below = v.sqrt().mul(of(numbers.inverse_root)).add(of(epsilon));
            let change = m.div(below).mul(rate);
            store(w.mul(of(numbers.keep)).sub(change), row, part);
        }
    }
}

/// 1, −1, or the value itself if it is 0 or NaN.
#[inline(always)]
unsafe fn sign<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let negative = V::select(zero.greater(x), V::splat(-1.0), x);
    V::select(x.greater(zero), V::splat(1.0), negative)
}

/// Part of [`super::ROW_CATCH_UP`]: the rows of some positions.
#[inline(always)]
pub unsafe fn catch_up<V: Lanes>(
    rows: &Rows,
    rule: &Rule,
    missed: &Missed<f32>,
    gaps: &Gaps,
    positions: Range<usize>,
    out: *mut f32,
) {
    let channels = rows.windows.channels;
    for position in positions {
        let Some(last) = missed.from(rows, position) else { continue };
        let gap = gaps.of(missed.step - last);
        for row in 0..channels {
            let row = out.add((position * channels + row) * rows.stride());
            let mut at = 0;
            while at < rows.outputs {
                let part = (rows.outputs - at).min(V::WIDTH) % V::WIDTH;
                let row = row.add(at);
                if !fade::<V>(rule, gap, row, rows.outputs, part) {
                    one_by_one(rule, missed, last, row, rows.outputs, part, V::WIDTH);
                }
                at += V::WIDTH;
            }
        }
    }
}

/// All missed steps on one register of a row in one; false, and nothing done,
/// where that would not be exact to rounding.
#[inline(always)]
unsafe fn fade<V: Lanes>(
    rule: &Rule,
    gap: &Gap,
    row: *mut f32,
    outputs: usize,
    part: usize,
) -> bool {
    let splat = |value: f32| V::splat(value);
    let second = row.add(if rule.parts() > 1 { outputs } else { 0 });
    match rule {
        Rule::Sgd { decay } => {
            if *decay != 0.0 {
                store(load::<V>(row, part).mul(splat(gap.keep)), row, part);
            }
        }
        Rule::Rmsprop { .. } => {
            store(load::<V>(second, part).mul(splat(gap.second)), second, part);
        }
        Rule::Momentum { decay, .. } => {
            let (w, v) = (load::<V>(row, part), load::<V>(second, part));
            let (mut kept, mut faded) = (w, v.mul(splat(gap.second)));
            if *decay != 0.0 {
                kept = w.mul(splat(gap.keep));
                faded = faded.add(w.mul(splat(gap.centre)));
            }
            store(kept.sub(v.mul(splat(gap.scale))), row, part);
            store(faded, second, part);
        }
        Rule::Lion { .. } => {
            let m = load::<V>(second, part);
            let kept = load::<V>(row, part).mul(splat(gap.keep));
            store(kept.sub(sign(m).mul(splat(gap.scale))), row, part);
            store(m.mul(splat(gap.second)), second, part);
        }
        Rule::Adam { .. } => {
            let third = second.add(outputs);
            let (m, v) = (load::<V>(second, part), load::<V>(third, part));
            let one = splat(1.0);
            let inverse = one.div(v.sqrt().add(splat(gap.centre)));
            let y = inverse.mul(splat(gap.centre));
            let square = y.mul(y);
            let risk = square.mul(square).mul(splat(gap.bound));
            let zero = splat(0.0);
            // Where nothing was gathered nothing is applied.
            let risk = V::select(m.equal(zero), zero, risk);
            if V::any(risk.greater(one)) {
                return false;
            }
            let [second_moment, third_moment] = gap.moments.map(splat);
            let terms = y.neg_mul_add(third_moment, second_moment);
            let sum = inverse.mul(square.mul_add(terms, one));
            let kept = load::<V>(row, part).mul(splat(gap.keep));
            let change = m.mul(splat(gap.scale)).mul(sum);
            // 0 · ∞ where the bound is infinite.
            let change = V::select(m.equal(zero), m, change);
            store(kept.sub(change), row, part);
            store(m.mul(splat(gap.second)), second, part);
            store(v.mul(splat(gap.third)), third, part);
        }
    }
    true
}

/// The missed steps on one register of a row, as the plain loop makes them.
#[cold]
unsafe fn one_by_one(
    rule: &Rule,
    missed: &Missed<f32>,
    last: u64,
    row: *mut f32,
    outputs: usize,
    part: usize,
    width: usize,
) {
    let parts = rule.parts();
    let lanes = if part == 0 { width } else { part };
    for lane in 0..lanes {
        // In f64: it is rare, and rounds once.
        let mut values = [0.0; 3];
        (0..parts).for_each(|i| values[i] = f64::from(*row.add(i * outputs + lane)));
        for number in last + 1..=missed.step {
            let numbers = rule.numbers(missed.rate(number), number);
            values = step(rule, &numbers, values, 0.0);
        }
        (0..parts).for_each(|i| *row.add(i * outputs + lane) = values[i] as f32);
    }
}
