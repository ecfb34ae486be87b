//! The specification of the random kernels.

use super::philox::{Stream, uniform as draw};
use crate::Real;
use std::f64::consts::TAU;

pub(super) fn uniform<T: Real>(stream: &Stream, out: &mut [T]) {
    for i in 0..out.len() {
        out[i] = T::of(f64::from(draw(stream, i as u64)));
    }
}

pub(super) fn normal<T: Real>(stream: &Stream, out: &mut [T]) {
    for i in 0..out.len() {
        let pair = i as u64 / 2 * 2;
        let radius = (-2.0 * libm::log(1.0 - f64::from(draw(stream, pair)))).sqrt();
        let angle = TAU * f64::from(draw(stream, pair + 1));
        // `libm` rather than the platform's routines: the same bits everywhere.
        let direction = if i % 2 == 0 { libm::cos(angle) } else { libm::sin(angle) };
        out[i] = T::of(radius * direction);
    }
}
