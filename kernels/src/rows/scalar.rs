//! The plain loops.

use super::rule::{Rule, step};
use super::{Change, Classes, HISTORY, Missed, Rows};
use crate::Real;

pub(super) fn index(rows: &Rows, origins: &[i32], out: &mut [i32]) {
    let windows = &rows.windows;
    windows.check(origins.len());
    assert_eq!(out.len(), rows.index_elements(), "length of the index");
    let positions = rows.positions();
    let [height, width] = windows.size;
    let (offsets, entries) = out.split_at_mut(positions + 1);
    offsets.fill(0);
    entries.fill(0);
    // Runs of places on the map: of each row of a window, its first place, the
    // position that it lies on, and how many follow.
    let for_runs = |body: &mut dyn FnMut(usize, usize, usize, usize)| {
        for window in 0..windows.samples * windows.slots {
            let [top, left] = [origins[2 * window], origins[2 * window + 1]].map(i64::from);
            let first = (-left).clamp(0, width as i64) as usize;
            let end = (windows.map[1] as i64 - left).clamp(first as i64, width as i64) as usize;
            for i in 0..height {
                let row = top + i as i64;
                if (0..windows.map[0] as i64).contains(&row) && first < end {
                    let place = (window * height + i) * width + first;
                    let column = (left + first as i64) as usize;
                    let position = row as usize * windows.map[1] + column;
                    body(window / windows.slots, place, position, end - first);
                }
            }
        }
    };
    for_runs(&mut |_, _, position, count| {
        offsets[position + 1..][..count].iter_mut().for_each(|offset| *offset += 1);
    });
    (0..positions).for_each(|i| offsets[i + 1] += offsets[i]);
    // Each offset moves to the end of its list while the list is filled.
    for_runs(&mut |sample, place, position, count| {
        for i in 0..count {
            let at = 2 * offsets[position + i] as usize;
            entries[at] = sample as i32;
            entries[at + 1] = (place + i) as i32;
            offsets[position + i] += 1;
        }
    });
    (0..positions).rev().for_each(|i| offsets[i + 1] = offsets[i]);
    offsets[0] = 0;
}

pub(super) fn row_linear<T: Real>(rows: &Rows, a: &[T], b: &[T], index: &[i32], out: &mut [T]) {
    rows.check(a.len(), out.len(), b.len(), index);
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    out.fill(T::zero());
    for position in 0..rows.positions() {
        for [sample, place] in rows.entries(index, position) {
            let out = &mut out[*sample as usize * outputs..][..outputs];
            for channel in 0..channels {
                let x = a[*place as usize * channels + channel];
                let row = &b[(position * channels + channel) * rows.stride()..][..outputs];
                out.iter_mut().zip(row).for_each(|(to, weight)| *to += x * *weight);
            }
        }
    }
}

pub(super) fn row_linear_patch<T: Real>(
    rows: &Rows,
    a: &[T],
    b: &[T],
    index: &[i32],
    out: &mut [T],
) {
    rows.check(out.len(), a.len(), b.len(), index);
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    out.fill(T::zero());
    for position in 0..rows.positions() {
        for [sample, place] in rows.entries(index, position) {
            let a = &a[*sample as usize * outputs..][..outputs];
            for channel in 0..channels {
                let row = &b[(position * channels + channel) * rows.stride()..][..outputs];
                let products = a.iter().zip(row).map(|(a, weight)| *a * *weight);
                out[*place as usize * channels + channel] = products.fold(T::zero(), |s, p| s + p);
            }
        }
    }
}

/// Adds to `out` the gradient of one row.
fn add_gradient<T: Real>(
    rows: &Rows,
    a: &[T],
    b: &[T],
    entries: &[[i32; 2]],
    channel: usize,
    out: &mut [T],
) {
    for [sample, place] in entries {
        let x = a[*place as usize * rows.windows.channels + channel];
        let b = &b[*sample as usize * rows.outputs..][..rows.outputs];
        out.iter_mut().zip(b).for_each(|(to, b)| *to += x * *b);
    }
}

pub(super) fn row_linear_weight<T: Real>(
    rows: &Rows,
    a: &[T],
    b: &[T],
    index: &[i32],
    out: &mut [T],
) {
    assert_eq!(rows.parts, 1, "a gradient has one part");
    rows.check(a.len(), b.len(), out.len(), index);
    let channels = rows.windows.channels;
    out.fill(T::zero());
    for position in 0..rows.positions() {
        for channel in 0..channels {
            let out = &mut out[(position * channels + channel) * rows.outputs..][..rows.outputs];
            add_gradient(rows, a, b, rows.entries(index, position), channel, out);
        }
    }
}

pub(super) fn row_sum<T: Real>(
    rows: &Rows,
    classes: &Classes,
    wanted: bool,
    x: &[T],
    out: &mut [T],
) {
    classes.check(rows);
    assert_eq!(x.len(), rows.elements(), "length of the rows");
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    assert_eq!(out.len(), classes.count * channels * outputs, "length of the sums");
    out.fill(T::zero());
    if !wanted {
        return;
    }
    for (position, class) in classes.of.iter().enumerate() {
        for channel in 0..channels {
            let row = &x[(position * channels + channel) * rows.stride()..][..outputs];
            let out = &mut out[(*class as usize * channels + channel) * outputs..][..outputs];
            out.iter_mut().zip(row).for_each(|(to, from)| *to += *from);
        }
    }
}

impl<T: Real> Change<'_, T> {
    pub(super) fn check(&self, rows: &Rows, classes: &Classes, rule: &Rule, out: usize) {
        classes.check(rows);
        rows.check(self.windows.len(), self.outputs.len(), out, self.index);
        assert_eq!(rows.parts, rule.parts(), "parts of the rows");
        let sums = classes.count * rows.windows.channels * rows.outputs;
        assert_eq!(self.sums.len(), sums, "length of the sums");
    }
}

/// Calls `body` with each element of a row's parts, and takes what it returns.
pub(super) fn for_elements<T: Real>(
    outputs: usize,
    row: &mut [T],
    mut body: impl FnMut(usize, [T; 3]) -> [T; 3],
) {
    let parts = row.len() / outputs.max(1);
    for i in 0..outputs {
        let mut values = [T::zero(); 3];
        (0..parts).for_each(|part| values[part] = row[part * outputs + i]);
        let values = body(i, values);
        (0..parts).for_each(|part| row[part * outputs + i] = values[part]);
    }
}

pub(super) fn row_update<T: Real>(
    rows: &Rows,
    classes: &Classes,
    rule: &Rule,
    change: &Change<T>,
    out: &mut [T],
) {
    change.check(rows, classes, rule, out.len());
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    let numbers = rule.numbers(change.rate, change.step);
    for (position, class) in classes.of.iter().enumerate() {
        let entries = rows.entries(change.index, position);
        if !change.all && entries.is_empty() {
            continue;
        }
        for channel in 0..channels {
            let sum = (*class as usize * channels + channel) * outputs;
            let gradient = |i: usize| {
                let product = |[sample, place]: &[i32; 2]| {
                    let x = change.windows[*place as usize * channels + channel];
                    x * change.outputs[*sample as usize * outputs + i]
                };
                entries.iter().map(product).fold(change.sums[sum + i], |sum, x| sum + x)
            };
            let at = (position * channels + channel) * rows.stride();
            for_elements(outputs, &mut out[at..at + rows.stride()], |i, values| {
                step(rule, &numbers, values, gradient(i))
            });
        }
    }
}

pub(super) fn row_catch_up<T: Real>(rows: &Rows, rule: &Rule, missed: &Missed<T>, out: &mut [T]) {
    assert_eq!(rows.parts, rule.parts(), "parts of the rows");
    missed.check(rows, out.len());
    let length = rows.windows.channels * rows.stride();
    for position in 0..rows.positions() {
        let Some(last) = missed.from(rows, position) else { continue };
        for number in last + 1..=missed.step {
            let numbers = rule.numbers(missed.rate(number), number);
            for row in out[position * length..][..length].chunks_exact_mut(rows.stride().max(1)) {
                for_elements(rows.outputs, row, |_, values| {
                    step(rule, &numbers, values, T::zero())
                });
            }
        }
    }
}

pub(super) fn due<T: Real>(base: &[T], step: &[i32], out: &mut [i32]) {
    let all =
        base.iter().any(|value| *value != T::zero()) || (step[0] as usize).is_multiple_of(HISTORY);
    out[0] = i32::from(all);
}

pub(super) fn seen(last: &[i32], index: &[i32], due: &[i32], step: &[i32], out: &mut [i32]) {
    assert!(index.len() > out.len(), "length of the index");
    for (position, (out, last)) in out.iter_mut().zip(last).enumerate() {
        let touched = index[position] < index[position + 1];
        *out = if touched || due[0] != 0 { step[0] } else { *last };
    }
}

pub(super) fn rates<T: Real>(rates: &[T], rate: &[T], step: &[i32], out: &mut [T]) {
    out.copy_from_slice(rates);
    out[step[0].wrapping_add(1) as usize % HISTORY] = rate[0];
}
