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
fn weigh<T: Real>(shape: &AttentionShape, b: usize, query: &[T], k: &[T], weights: &mut [T]) {
    let place = shape.place_k();
    for (key, weight) in weights.iter_mut().enumerate() {
        *weight = T::of(dot(query, &k[place.at(b, key)..][..shape.size]) * shape.scale);
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
    let (place_q, place_v, place_out) = (shape.place_q(), shape.place_v(), shape.place_out());
    let (each, _) = pieces(batch);
    let (out, scratch) = (Shared::new(out), Shared::new(scratch));
    for_parts(batch, each, |range| {
        let piece = range.start / each;
        // SAFETY: each part has a piece of its own.
        let weights = unsafe { scratch.part(piece * keys..(piece + 1) * keys) };
        for b in range {
            for i in 0..queries {
                let weights = &mut weights[..shape.met(i)];
                weigh(shape, b, &q[place_q.at(b, i)..][..size], k, weights);
                let own = place_out.at(b, i);
                // SAFETY: each query's output is written by one part.
                let out = unsafe { out.part(own..own + value) };
                for (column, out) in out.iter_mut().enumerate() {
                    let value = |j: usize| v[place_v.at(b, j) + column].wide();
                    let terms = weights.iter().enumerate();
                    *out = T::of(terms.map(|(j, w)| w.wide() * value(j)).sum());
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
    let (place_q, place_k) = (shape.place_q(), shape.place_k());
    let (place_v, place_c) = (shape.place_v(), shape.place_out());
    let [place_dq, place_dk, place_dv] = shape.place_gradients();
    let (each, _) = pieces(batch);
    out.fill(T::zero());
    let (out, scratch) = (Shared::new(out), Shared::new(scratch));
    for_parts(batch, each, |range| {
        let piece = range.start / each;
        // SAFETY: each part has a piece of its own.
        let own = unsafe { scratch.part(piece * 2 * keys..(piece + 1) * 2 * keys) };
        for b in range {
            let (weights, slopes) = own.split_at_mut(keys);
            // SAFETY: each attention's gradients are written by one part.
            let row = |at: usize, length: usize| unsafe { out.part(at..at + length) };
            for i in 0..queries {
                let met = shape.met(i);
                let (weights, slopes) = (&mut weights[..met], &mut slopes[..met]);
                let (q, c) = (&q[place_q.at(b, i)..][..size], &c[place_c.at(b, i)..][..value]);
                weigh(shape, b, q, k, weights);
                let mut mean = 0.0;
                for (j, slope) in slopes.iter_mut().enumerate() {
                    *slope = T::of(dot(c, &v[place_v.at(b, j)..][..value]));
                    mean += slope.wide() * weights[j].wide();
                }
                let dq = row(place_dq.at(b, i), size);
                for j in 0..met {
                    let k = &k[place_k.at(b, j)..][..size];
                    let (dk, dv) = (row(place_dk.at(b, j), size), row(place_dv.at(b, j), value));
                    let weight = weights[j].wide();
                    let score = T::of(weight * (slopes[j].wide() - mean) * shape.scale);
                    for column in 0..size {
                        dq[column] += score * k[column];
                        dk[column] += score * q[column];
                    }
                    for column in 0..value {
                        dv[column] += weights[j] * c[column];
                    }
                }
            }
        }
    });
}
