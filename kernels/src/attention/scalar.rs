//! The specification of attention.

use super::{AttentionShape, Backward, Forward, pieces};
use crate::Real;
use crate::parallel::{Shared, for_parts};

pub(super) const fn forward<T: Real>() -> Forward<T> {
    Forward { scratch: |shape| pieces(shape.batch).1 * shape.keys, run: attention::<T> }
}

pub(super) const fn backward<T: Real>() -> Backward<T> {
    Backward { scratch: |shape| pieces(shape.batch).1 * 2 * shape.keys, run: gradient::<T> }
}

fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum()
}

/// The weights of one query.
fn weigh<T: Real>(shape: &AttentionShape, query: &[T], keys: &[T], weights: &mut [T]) {
    for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(shape.size.max(1))) {
        *weight = T::of(dot(query, key) * shape.scale);
    }
    if shape.size == 0 {
        weights.fill(T::zero());
    }
    let largest = weights.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b.wide()));
    let mut sum = 0.0;
    for weight in weights.iter_mut() {
        let value = (weight.wide() - largest).exp();
        sum += value;
        *weight = T::of(value);
    }
    weights.iter_mut().for_each(|weight| *weight = T::of(weight.wide() / sum));
}

unsafe fn attention<T: Real>(
    shape: &AttentionShape,
    q: &[T],
    k: &[T],
    v: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    let AttentionShape { batch, queries, keys, size, value, .. } = *shape;
    let (each, _) = pieces(batch);
    let (out, scratch) = (Shared::new(out), Shared::new(scratch));
    for_parts(batch, each, |range| {
        let piece = range.start / each;
        // SAFETY: each part has a piece of its own.
        let weights = unsafe { scratch.part(piece * keys..(piece + 1) * keys) };
        for b in range {
            let k = &k[b * keys * size..][..keys * size];
            let v = &v[b * keys * value..][..keys * value];
            for i in b * queries..(b + 1) * queries {
                let weights = &mut weights[..shape.met(i - b * queries)];
                weigh(shape, &q[i * size..][..size], k, weights);
                // SAFETY: each query's output is written by one part.
                let out = unsafe { out.part(i * value..(i + 1) * value) };
                for (column, out) in out.iter_mut().enumerate() {
                    let terms = weights.iter().enumerate();
                    let terms = terms.map(|(j, w)| w.wide() * v[j * value + column].wide());
                    *out = T::of(terms.sum());
                }
            }
        }
    });
}

unsafe fn gradient<T: Real>(
    shape: &AttentionShape,
    q: &[T],
    k: &[T],
    v: &[T],
    c: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    let AttentionShape { batch, queries, keys, size, value, .. } = *shape;
    let [to_q, rest, _, _] = shape.elements();
    let (each, _) = pieces(batch);
    out.fill(T::zero());
    let (out, scratch) = (Shared::new(out), Shared::new(scratch));
    for_parts(batch, each, |range| {
        let piece = range.start / each;
        // SAFETY: each part has a piece of its own.
        let own = unsafe { scratch.part(piece * 2 * keys..(piece + 1) * 2 * keys) };
        for b in range {
            let (weights, slopes) = own.split_at_mut(keys);
            let k = &k[b * keys * size..][..keys * size];
            let v = &v[b * keys * value..][..keys * value];
            let (first_k, first_v) = (to_q + b * keys * size, to_q + rest + b * keys * value);
            // SAFETY: each attention's gradients are written by one part.
            let dk = unsafe { out.part(first_k..first_k + keys * size) };
            // SAFETY: as above.
            let dv = unsafe { out.part(first_v..first_v + keys * value) };
            for i in b * queries..(b + 1) * queries {
                let met = shape.met(i - b * queries);
                let (weights, slopes) = (&mut weights[..met], &mut slopes[..met]);
                let (q, c) = (&q[i * size..][..size], &c[i * value..][..value]);
                weigh(shape, q, k, weights);
                let mut mean = 0.0;
                for (j, slope) in slopes.iter_mut().enumerate() {
                    *slope = T::of(dot(c, &v[j * value..][..value]));
                    mean += slope.wide() * weights[j].wide();
                }
                // SAFETY: as above.
                let dq = unsafe { out.part(i * size..(i + 1) * size) };
                for j in 0..met {
                    let weight = weights[j].wide();
                    let score = T::of(weight * (slopes[j].wide() - mean) * shape.scale);
                    for column in 0..size {
                        dq[column] += score * k[j * size + column];
                        dk[j * size + column] += score * q[column];
                    }
                    for column in 0..value {
                        dv[j * value + column] += weights[j] * c[column];
                    }
                }
            }
        }
    });
}
