//! Rules of the ops that work element by element.

use crate::table::{Build, Entry, INF, NAN, entry};
use speck_engine::Tensor;
use std::f64::consts::PI;

/// Copies of the listed values in every input: vectors of 16 lanes then hold
/// them in each lane, and a rest is left for the loop at the end.
const COPIES: usize = 37;

/// An entry whose inputs, outputs and gradients are written as columns: one
/// array an input, one for the output, one a gradient (or none at all).
fn columns(
    op: &'static str,
    name: &'static str,
    build: Build,
    inputs: &[&[f64]],
    output: &[f64],
    gradients: &[&[f64]],
) -> Entry {
    let tensor = |values: &&[f64]| {
        let long = values.repeat(COPIES);
        Tensor::from_f64(&[long.len()], long)
    };
    let long: Vec<Vec<f64>> = gradients.iter().map(|values| values.repeat(COPIES)).collect();
    let long: Vec<&[f64]> = long.iter().map(Vec::as_slice).collect();
    let inputs = inputs.iter().map(tensor).collect();
    entry(op, name, inputs, build, &output.repeat(COPIES)).gradients(&long)
}

pub fn entries() -> Vec<Entry> {
    let mut all = kinks();
    all.extend(domains());
    all.extend(comparisons());
    all.extend(powers());
    all
}

/// Kinks, signs of zero, steps.
fn kinks() -> Vec<Entry> {
    vec![
        columns(
            "abs",
            "the derivative at ±0 is 0",
            |g, x| g.abs(x[0]),
            &[&[-2.0, -0.0, 0.0, 3.0, NAN, -INF]],
            &[2.0, 0.0, 0.0, 3.0, NAN, INF],
            &[&[-1.0, 0.0, 0.0, 1.0, NAN, -1.0]],
        ),
        columns(
            "sign",
            "zeros and NaN stay what they are",
            |g, x| g.sign(x[0]),
            &[&[-0.5, -0.0, 0.0, INF, NAN, -INF]],
            &[-1.0, 0.0, 0.0, 1.0, NAN, -1.0],
            &[&[0.0; 6]],
        ),
        columns(
            "abs",
            "the sign of zero is dropped",
            |g, x| g.reciprocal(g.abs(x[0])?),
            &[&[-0.0, 0.0]],
            &[INF, INF],
            &[],
        ),
        columns(
            "relu",
            "the derivative at ±0 is 0",
            |g, x| g.relu(x[0]),
            &[&[-1.0, -1e-30, -0.0, 0.0, 1e-30, 2.0]],
            &[0.0, 0.0, 0.0, 0.0, 1e-30, 2.0],
            &[&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]],
        ),
        columns(
            "relu",
            "NaN stays NaN",
            |g, x| g.relu(x[0]),
            &[&[NAN, INF, -INF]],
            &[NAN, INF, 0.0],
            &[],
        ),
        columns(
            "floor",
            "an integer is its own floor",
            |g, x| g.floor(x[0]),
            &[&[-2.0, -1.5, -0.25, 0.0, 0.75, 3.0, 16777216.0]],
            &[-2.0, -2.0, -1.0, 0.0, 0.0, 3.0, 16777216.0],
            &[&[0.0; 7]],
        ),
        columns(
            "round",
            "halfway goes to the even integer, and the sign of zero is kept",
            |g, x| g.round(x[0]),
            &[&[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.75, 8388609.0, NAN, -INF]],
            &[-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 1.0, 8388609.0, NAN, -INF],
            &[&[0.0; 10]],
        ),
        columns(
            "round",
            "-0.25 becomes -0",
            |g, x| g.reciprocal(g.round(x[0])?),
            &[&[-0.25, 0.25]],
            &[-INF, INF],
            &[],
        ),
        columns(
            "maximum",
            "ties share the cotangent, the larger takes all of it",
            |g, x| g.maximum(x[0], x[1]),
            &[&[1.0, 2.0, 2.0, -0.0, INF], &[2.0, 1.0, 2.0, 0.0, INF]],
            &[2.0, 2.0, 2.0, 0.0, INF],
            &[&[0.0, 1.0, 0.5, 0.5, 0.5], &[1.0, 0.0, 0.5, 0.5, 0.5]],
        ),
        columns(
            "maximum",
            "NaN on either side",
            |g, x| g.maximum(x[0], x[1]),
            &[&[NAN, 1.0, NAN, INF], &[1.0, NAN, NAN, NAN]],
            &[NAN; 4],
            &[],
        ),
        columns(
            "minimum",
            "ties share the cotangent, the smaller takes all of it",
            |g, x| g.minimum(x[0], x[1]),
            &[&[1.0, 2.0, 2.0, -0.0, -INF], &[2.0, 1.0, 2.0, 0.0, -INF]],
            &[1.0, 1.0, 2.0, 0.0, -INF],
            &[&[1.0, 0.0, 0.5, 0.5, 0.5], &[0.0, 1.0, 0.5, 0.5, 0.5]],
        ),
        columns(
            "minimum",
            "NaN on either side",
            |g, x| g.minimum(x[0], x[1]),
            &[&[NAN, 1.0, NAN, -INF], &[1.0, NAN, NAN, NAN]],
            &[NAN; 4],
            &[],
        ),
        columns(
            "select",
            "any condition but ±0 is true, NaN too; the condition gets no gradient",
            |g, x| g.select(x[0], x[1], x[2]),
            &[
                &[0.0, -0.0, 1.0, -3.0, NAN, 1e-30, INF],
                &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
                &[-1.0, -2.0, -3.0, NAN, -5.0, -6.0, -7.0],
            ],
            &[-1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
            &[
                &[0.0; 7],
                &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            ],
        ),
    ]
}

/// Edges of the domain.
fn domains() -> Vec<Entry> {
    vec![
        columns(
            "sqrt",
            "NaN below 0, an infinite derivative at 0",
            |g, x| g.sqrt(x[0]),
            &[&[-1.0, 0.0, 4.0, INF, NAN]],
            &[NAN, 0.0, 2.0, INF, NAN],
            &[&[NAN, INF, 0.25, 0.0, NAN]],
        ),
        columns(
            "rsqrt",
            "infinity at 0, NaN below",
            |g, x| g.rsqrt(x[0]),
            &[&[-1.0, 0.0, 4.0, INF, NAN]],
            &[NAN, INF, 0.5, 0.0, NAN],
            &[],
        ),
        columns(
            "reciprocal",
            "the sign of zero is the sign of infinity",
            |g, x| g.reciprocal(x[0]),
            &[&[0.0, -0.0, 2.0, INF, -INF]],
            &[INF, -INF, 0.5, 0.0, 0.0],
            &[&[-INF, -INF, -0.25, 0.0, 0.0]],
        ),
        columns(
            "log",
            "-infinity at 0, NaN below",
            |g, x| g.log(x[0]),
            &[&[-1.0, -0.0, 0.0, 1.0, INF, NAN]],
            &[NAN, -INF, -INF, 0.0, INF, NAN],
            // c / x, also where the value is not a number.
            &[&[-1.0, -INF, INF, 1.0, 0.0, NAN]],
        ),
        columns(
            "log1p",
            "-infinity at -1, NaN below",
            |g, x| g.log1p(x[0]),
            &[&[-2.0, -1.0, 0.0, 1e-10, INF, NAN]],
            &[NAN, -INF, 0.0, 1e-10, INF, NAN],
            // c / (1 + x), also where the value is not a number.
            &[&[-1.0, INF, 1.0, 1.0 / (1.0 + 1e-10), 0.0, NAN]],
        ),
        columns(
            "atan2",
            "the signs of zeros, infinities, and NaN",
            |g, x| g.atan2(x[0], x[1]),
            &[
                &[0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 1.0, INF, -INF, 1.0, 1.0, NAN, 1.0],
                &[1.0, 1.0, -1.0, -1.0, -0.0, -0.0, 0.0, INF, -INF, INF, -INF, 1.0, NAN],
            ],
            &[0.0, -0.0, PI, -PI, PI, -PI, PI / 2.0, PI / 4.0, -3.0 * PI / 4.0, 0.0, PI, NAN, NAN],
            &[],
        ),
        columns(
            "atan2",
            "the derivatives on the axes, and at the origin",
            |g, x| g.atan2(x[0], x[1]),
            &[&[0.0, 2.0, 0.0], &[-2.0, 0.0, 0.0]],
            &[PI, PI / 2.0, 0.0],
            &[&[-0.5, 0.0, 0.0], &[0.0, -0.5, 0.0]],
        ),
        columns(
            "div",
            "division by ±0",
            |g, x| g.div(x[0], x[1]),
            &[&[1.0, -1.0, 1.0, 0.0, -0.0, NAN], &[0.0, 0.0, -0.0, 0.0, 0.0, 0.0]],
            &[INF, -INF, -INF, NAN, NAN, NAN],
            &[],
        ),
        columns(
            "div",
            "the derivative of a quotient by 0 is infinite",
            |g, x| g.div(x[0], x[1]),
            &[&[1.0, 6.0], &[0.0, 2.0]],
            &[INF, 3.0],
            &[&[INF, 0.5], &[-INF, -1.5]],
        ),
    ]
}

/// Comparisons at ties and with NaN.
fn comparisons() -> Vec<Entry> {
    let (a, b) =
        ([1.0, 2.0, 2.0, -0.0, INF, NAN, 1.0, NAN], [2.0, 1.0, 2.0, 0.0, INF, 1.0, NAN, NAN]);
    let compare = |op, name, build, output: [f64; 8]| {
        columns(op, name, build, &[&a, &b], &output, &[&[0.0; 8], &[0.0; 8]])
    };
    vec![
        compare(
            "greater",
            "0 at ties and for NaN",
            |g, x| g.greater(x[0], x[1]),
            [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ),
        compare(
            "greater_equal",
            "1 at ties, 0 for NaN",
            |g, x| g.greater_equal(x[0], x[1]),
            [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        ),
        compare(
            "equal",
            "-0 equals 0, NaN equals nothing",
            |g, x| g.equal(x[0], x[1]),
            [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        ),
    ]
}

/// Powers where a or b is 0, and of negative numbers.
fn powers() -> Vec<Entry> {
    vec![
        columns(
            "pow",
            "anything to the 0 is 1, and there the derivative in the base is 0",
            |g, x| g.pow(x[0], x[1]),
            &[&[0.0, -0.0, NAN, INF, -3.0, 2.0], &[0.0, 0.0, 0.0, 0.0, 0.0, -0.0]],
            &[1.0; 6],
            &[&[0.0; 6], &[0.0, 0.0, NAN, INF, NAN, std::f64::consts::LN_2]],
        ),
        columns(
            "pow",
            "a negative base: fine for integers, else NaN",
            |g, x| g.pow(x[0], x[1]),
            &[&[-2.0, -2.0, -8.0, -2.0, -0.5], &[3.0, 2.0, 1.0 / 3.0, 0.5, -2.0]],
            &[-8.0, 4.0, NAN, NAN, 4.0],
            // Along b such a power is not a function: the logarithm says NaN.
            &[&[12.0, -4.0, NAN, NAN, 16.0], &[NAN; 5]],
        ),
        columns(
            "pow",
            "a base of 0 has no derivative in the exponent",
            |g, x| g.pow(x[0], x[1]),
            &[&[0.0, 0.0, 0.0], &[2.0, 1.0, 0.5]],
            &[0.0, 0.0, 0.0],
            &[&[0.0, 1.0, INF], &[0.0, 0.0, 0.0]],
        ),
        columns(
            "pow",
            "a negative power of 0 is infinite, and so are its derivatives",
            |g, x| g.pow(x[0], x[1]),
            &[&[0.0, 0.0], &[-1.0, -0.5]],
            &[INF, INF],
            &[&[-INF, -INF], &[-INF, -INF]],
        ),
        columns(
            "pow",
            "second derivatives of x², x³ and x⁰ at 0, and of x⁰ elsewhere",
            |g, x| {
                let power = g.pow(x[0], x[1])?;
                let ones = g.constant_like(power, 1.0)?;
                Ok(g.pull_back(power, ones, &x[..1])?[0])
            },
            &[&[0.0, 0.0, 0.0, 3.0], &[2.0, 3.0, 0.0, 0.0]],
            &[0.0; 4],
            &[&[2.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 1.0 / 3.0]],
        ),
    ]
}
