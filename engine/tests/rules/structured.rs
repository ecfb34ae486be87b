//! Rules of the ops that reduce, move, pool, draw and convert.

use crate::table::{Entry, INF, NAN, entry};
use speck_engine::kernels::window::OriginAxis;
use speck_engine::ops::TileShape;
use speck_engine::{DType, Tensor};

/// A floating-point tensor.
pub fn f(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, values.to_vec())
}

/// An integer tensor.
pub fn i(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::from_i32(shape, values.to_vec())
}

pub fn entries() -> Vec<Entry> {
    let mut all = reductions();
    all.extend(softmaxes());
    all.extend(pooling());
    all.extend(movement());
    all.extend(screens());
    all.extend(draws());
    all.extend(windows());
    all.extend(stored());
    all
}

/// Rounding to 16 bits: each format's ties, its largest value, its smallest.
fn stored() -> Vec<Entry> {
    let power = |exponent: i32| 2f64.powi(exponent);
    let name = "ties to even, infinity beyond the largest value, subnormal values kept";
    // Bits of the significand behind the point, the largest and the smallest exponent.
    let pairs = |bits: i32, most: i32, least: i32| {
        let unit = power(-bits);
        let (largest, smallest) = ((2.0 - unit) * power(most), power(least));
        vec![
            (1.0 + 0.5 * unit, 1.0),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * unit),
            (largest, largest),
            ((2.0 - 0.5 * unit) * power(most), INF),
            (smallest, smallest),
            (0.5 * smallest, 0.0),
            (1.5 * smallest, 2.0 * smallest),
            (-INF, -INF),
            (NAN, NAN),
        ]
    };
    let rule = |op: &'static str, pairs: Vec<(f64, f64)>, build| {
        let (given, kept): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let gradient = vec![1.0; given.len()];
        entry(op, name, vec![f(&[given.len()], &given)], build, &kept).gradients(&[&gradient])
    };
    vec![
        rule("store_f16", pairs(10, 15, -24), |g, x| g.widen(g.store(x[0], DType::F16)?)),
        rule("store_bf16", pairs(7, 127, -133), |g, x| g.widen(g.store(x[0], DType::Bf16)?)),
    ]
}

fn reductions() -> Vec<Entry> {
    vec![
        entry("sum", "of nothing is 0", vec![f(&[2, 0], &[])], |g, x| g.sum(x[0], &[1]), &[0.0; 2])
            .gradients(&[&[]]),
        entry(
            "sum",
            "every element gets the cotangent",
            vec![f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, NAN])],
            |g, x| g.sum(x[0], &[1]),
            &[6.0, NAN],
        )
        .gradients(&[&[1.0; 6]]),
        entry(
            "max",
            "ties share the cotangent equally",
            vec![f(&[3, 4], &[1.0, 3.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0, -0.0, 0.0, -1.0, -2.0])],
            |g, x| g.max(x[0], &[1]),
            &[3.0, 5.0, 0.0],
        )
        .gradients(&[&[0.0, 0.5, 0.5, 0.0, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.0, 0.0]]),
        entry(
            "max",
            "NaN wins at any place, -infinity is a value like others",
            vec![f(&[3, 3], &[NAN, 1.0, INF, 1.0, 2.0, NAN, -INF, -INF, -INF])],
            |g, x| g.max(x[0], &[1]),
            &[NAN, NAN, -INF],
        ),
        entry("max", "of nothing", vec![f(&[2, 0], &[])], |g, x| g.max(x[0], &[1]), &[-INF; 2])
            .gradients(&[&[]]),
        entry(
            "argmax",
            "the first of equals",
            vec![f(&[3, 3], &[1.0, 4.0, 4.0, 7.0, 7.0, 7.0, -0.0, 0.0, -INF])],
            |g, x| g.argmax(x[0], 1),
            &[1.0, 0.0, 0.0],
        ),
        entry(
            "argmax",
            "the first NaN is the largest",
            vec![f(&[3, 3], &[1.0, NAN, INF, NAN, 2.0, NAN, -INF, -INF, -INF])],
            |g, x| g.argmax(x[0], 1),
            &[1.0, 0.0, 0.0],
        ),
        entry(
            "argmax",
            "the first of equals down a column",
            vec![f(&[3, 2], &[1.0, NAN, 3.0, 5.0, 3.0, NAN])],
            |g, x| g.argmax(x[0], 0),
            &[1.0, 0.0],
        ),
        entry(
            "matmul",
            "over an empty dimension is 0",
            vec![f(&[2, 0], &[]), f(&[0, 3], &[])],
            |g, x| g.matmul(x[0], x[1]),
            &[0.0; 6],
        )
        .gradients(&[&[], &[]]),
        entry(
            "matmul_half",
            "over an empty dimension is 0",
            vec![f(&[2, 0], &[]), f(&[0, 3], &[])],
            |g, x| g.matmul(g.store(x[0], DType::Bf16)?, g.store(x[1], DType::Bf16)?),
            &[0.0; 6],
        )
        .gradients(&[&[], &[]]),
        entry(
            "attention",
            "without keys the output is 0",
            vec![f(&[1, 2, 1], &[1.0, 2.0]), f(&[1, 0, 1], &[]), f(&[1, 0, 2], &[])],
            |g, x| g.attention(x[0], x[1], x[2], 1.0, false),
            &[0.0; 4],
        )
        .gradients(&[&[0.0; 2], &[], &[]]),
    ]
}

fn softmaxes() -> Vec<Entry> {
    // A row each: masked by -infinity, a NaN, +infinity, nothing but -infinity.
    let rows =
        [0.0, -INF, 0.0, -INF, 0.0, 1.0, NAN, 2.0, 0.0, 3.0, INF, 1.0, -INF, -INF, -INF, -INF];
    let minus_ln_2 = -std::f64::consts::LN_2;
    vec![
        entry(
            "softmax",
            "infinities and NaN",
            vec![f(&[4, 4], &rows)],
            |g, x| g.softmax(x[0], 1),
            &[&[0.5, 0.0, 0.5, 0.0][..], &[NAN; 12]].concat(),
        ),
        entry(
            "log_softmax",
            "infinities and NaN",
            vec![f(&[4, 4], &rows)],
            |g, x| g.log_softmax(x[0], 1),
            &[&[minus_ln_2, -INF, minus_ln_2, -INF][..], &[NAN; 12]].concat(),
        ),
    ]
}

fn pooling() -> Vec<Entry> {
    let halves = |values: &[f64]| vec![f(&[1, 1, 2, 4], values)];
    vec![
        entry(
            "max_pool2d_indices",
            "the first of equals in row-major order",
            halves(&[1.0, 2.0, 5.0, 3.0, 2.0, 2.0, 5.0, 5.0]),
            |g, x| g.max_pool2d_indices(x[0], [2, 2], [2, 2], [0, 0]),
            &[1.0, 2.0],
        ),
        entry(
            "max_pool2d_indices",
            "NaN wins, wherever it is; of nothing but -infinity the first",
            vec![f(
                &[1, 1, 2, 6],
                &[1.0, NAN, INF, 3.0, -INF, -INF, 2.0, 2.0, 5.0, NAN, -INF, -INF],
            )],
            |g, x| g.max_pool2d_indices(x[0], [2, 2], [2, 2], [0, 0]),
            &[1.0, 9.0, 4.0],
        ),
        entry(
            "max_pool2d_indices",
            "padding never wins, not even over negative numbers",
            vec![f(&[1, 1, 2, 2], &[-3.0, -4.0, -INF, -5.0])],
            |g, x| g.max_pool2d_indices(x[0], [2, 2], [2, 2], [1, 1]),
            &[0.0, 1.0, 2.0, 3.0],
        ),
        entry(
            "max_pool2d_indices",
            "max pooling sends the cotangent to the first of equals",
            halves(&[1.0, 2.0, 5.0, 3.0, 2.0, 2.0, 5.0, 5.0]),
            |g, x| g.max_pool2d(x[0], [2, 2], [2, 2], [0, 0]),
            &[2.0, 5.0],
        )
        .gradients(&[&[0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]),
        entry(
            "max_pool2d_indices",
            "an element that wins two windows gets both cotangents",
            vec![f(&[1, 1, 1, 4], &[1.0, 9.0, 9.0, 2.0])],
            |g, x| g.max_pool2d(x[0], [1, 2], [1, 1], [0, 0]),
            &[9.0, 9.0, 9.0],
        )
        .gradients(&[&[0.0, 2.0, 1.0, 0.0]]),
    ]
}

fn movement() -> Vec<Entry> {
    vec![
        entry(
            "gather",
            "an index outside gives NaN and passes no cotangent",
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
                i(&[2, 4], &[0, 3, -1, 2, 1, 1, i32::MIN, i32::MAX]),
            ],
            |g, x| g.gather(x[0], 1, x[1]),
            &[1.0, NAN, NAN, 3.0, 5.0, 5.0, NAN, NAN],
        )
        .gradients(&[&[1.0, 0.0, 1.0, 0.0, 2.0, 0.0]]),
        entry(
            "scatter_add",
            "an index outside adds nothing and gets no number",
            vec![f(&[1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]), i(&[1, 5], &[0, -1, 2, 0, 3])],
            |g, x| g.scatter_add(x[0], 1, x[1], 3),
            &[5.0, 0.0, 3.0],
        ),
        entry(
            "scatter_add",
            "sums run in the order of the elements",
            // 2⁶⁰ swallows a 1 that comes before its opposite, not one after.
            vec![
                f(&[2, 3], &[TWO_60, 1.0, -TWO_60, TWO_60, -TWO_60, 1.0]),
                i(&[2, 3], &[1, 1, 1, 1, 1, 1]),
            ],
            |g, x| g.scatter_add(x[0], 1, x[1], 2),
            &[0.0, 0.0, 0.0, 1.0],
        ),
    ]
}

pub const TWO_60: f64 = (1u64 << 60) as f64;

fn screens() -> Vec<Entry> {
    // A screen of 3 × 4 and three slots: a speck at (0,1), one over its lower
    // right corner and beyond the screen's edge, and an empty slot.
    let overlapping = || i(&[1, 3, 2], &[0, 1, 1, 2, -1, -1]);
    let edge = || i(&[1, 4, 2], &[-1, 0, 2, 3, 0, -1, 7, -9]);
    vec![
        entry(
            "render",
            "a later speck covers an earlier one, an empty slot draws nothing",
            vec![overlapping(), f(&[1, 3, 1], &[0.25, 0.5, 0.75]), f(&[1, 1], &[0.1])],
            |g, x| g.render(x[0], x[1], x[2], [3, 4], 2),
            &[0.1, 0.25, 0.25, 0.1, 0.1, 0.25, 0.5, 0.5, 0.1, 0.1, 0.5, 0.5],
        )
        .gradients(&[&[3.0, 4.0, 0.0], &[5.0]]),
        entry(
            "render",
            "what lies outside is cut off, wholly if need be",
            // (-1,0) shows its lower row, (2,3) a corner, (0,-1) its right
            // column, which covers part of the first; (7,-9) is off the screen.
            vec![edge(), f(&[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]), f(&[1, 1], &[0.0])],
            |g, x| g.render(x[0], x[1], x[2], [3, 4], 2),
            &[3.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0],
        )
        .gradients(&[&[1.0, 1.0, 2.0, 0.0], &[8.0]]),
        entry(
            "unrender",
            "a pixel belongs to the last speck that covers it",
            vec![
                overlapping(),
                f(&[1, 1, 3, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]),
            ],
            |g, x| g.unrender(x[0], x[1], 2),
            &[11.0, 38.0, 0.0],
        )
        .gradients(&[&[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]]),
        entry(
            "speck_targets",
            "the centre of an even size is below and right of the middle",
            vec![i(&[2, 1, 2], &[0, 1, 1, 0])],
            |g, x| g.speck_targets(x[0], [3, 4], 2),
            &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
        ),
        entry(
            "speck_targets",
            "of size 3 the centre is the middle; empty slots and centres outside mark nothing",
            vec![i(&[1, 3, 2], &[0, -1, -1, -1, 2, 1])],
            |g, x| g.speck_targets(x[0], [3, 4], 3),
            &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
        ),
    ]
}

fn draws() -> Vec<Entry> {
    let at = |step: i32| vec![i(&[2], &[0, 0]), i(&[], &[step])];
    vec![
        entry(
            "random_uniform",
            "0 can be drawn",
            // Found by search: the second of these four draws is 0.
            at(4_915_664),
            |g, x| {
                let draws = g.random_uniform(&[4], x[0], x[1])?;
                let zero = g.scalar(0.0)?;
                g.equal(draws, zero)
            },
            &[0.0, 1.0, 0.0, 0.0],
        ),
        entry(
            "random_uniform",
            "1 cannot be drawn: the largest draw is 1 - 2⁻²⁴",
            // Found by search: the last of these four draws is the largest.
            at(151_813),
            |g, x| {
                let draws = g.random_uniform(&[4], x[0], x[1])?;
                let largest = g.scalar(1.0 - 2f64.powi(-24))?;
                g.greater_equal(draws, largest)
            },
            &[0.0, 0.0, 0.0, 1.0],
        ),
        entry(
            "random_uniform",
            "every draw is a multiple of 2⁻²⁴ in [0, 1)",
            at(7),
            |g, x| {
                let draws = g.random_uniform(&[50_000], x[0], x[1])?;
                let steps = g.scale(draws, 2f64.powi(24))?;
                let whole = g.floor(steps)?;
                let below = g.floor(draws)?;
                let rest = g.sub(steps, whole)?;
                let wrong = g.add(rest, below)?;
                g.max(wrong, &[0])
            },
            &[0.0],
        ),
        entry(
            "cast",
            "integers beyond 2²⁴ are exact in f64",
            vec![i(&[4], &[-5, 16_777_217, i32::MAX, i32::MIN])],
            |g, x| g.cast(x[0]),
            &[-5.0, 16_777_217.0, 2_147_483_647.0, -2_147_483_648.0],
        ),
        entry(
            "increment",
            "the largest integer wraps to the smallest",
            vec![i(&[4], &[i32::MAX, -1, i32::MIN, 6])],
            |g, x| g.increment(x[0]),
            &[f64::from(i32::MIN), 0.0, f64::from(i32::MIN + 1), 7.0],
        ),
    ]
}

fn windows() -> Vec<Entry> {
    vec![
        entry(
            "window_origins",
            "an empty slot lies beyond every map",
            vec![i(&[1, 3, 2], &[-1, -1, 0, 3, -1, 4])],
            |g, x| {
                let axis = OriginAxis { add: -1, divide: 2, multiply: 3, offset: 1 };
                g.window_origins(x[0], [axis, axis])
            },
            &[-16_777_216.0, -16_777_216.0, -2.0, 4.0, -2.0, 4.0],
        ),
        entry(
            "render_windows",
            "a later speck covers an earlier one, an empty slot is 0",
            vec![i(&[1, 3, 2], &[0, 0, 0, 1, -1, -1]), f(&[1, 3, 1], &[5.0, 7.0, 9.0])],
            |g, x| g.render_windows(x[0], x[1], 2),
            &[5.0, 7.0, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0, 0.0, 0.0, 0.0, 0.0],
        )
        .gradients(&[&[2.0, 6.0, 0.0]]),
        entry(
            "unrender_windows",
            "a later speck covers an earlier one, an empty slot gets 0",
            vec![
                i(&[1, 3, 2], &[0, 0, 0, 1, -1, -1]),
                f(&[1, 3, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, 9.0]),
            ],
            |g, x| g.unrender_windows(x[0], x[1]),
            &[4.0, 32.0, 0.0],
        )
        .gradients(&[&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]),
        entry(
            "window_tile",
            "own windows first, then others, then the base; -infinity beyond the border",
            vec![
                f(&[1, 1, 4, 1], &[1.0, 2.0, 3.0, 4.0]),
                f(&[1, 2, 1, 2, 1], &[10.0, 20.0, 30.0, 40.0]),
                i(&[1, 2, 2], &[0, 0, 0, 1]),
                i(&[1, 2, 2], &[0, -1, 0, 1]),
            ],
            |g, x| {
                let classes = [[0].as_slice().into(), [0, 1, 2, 3].as_slice().into()];
                let shape = TileShape { classes, size: [1, 3], negative: true };
                g.window_tile(x[0], x[1], x[2], x[3], &shape)
            },
            &[-INF, 10.0, 20.0, 30.0, 40.0, 4.0],
        )
        .gradients(&[&[0.0, 0.0, 0.0, 1.0], &[1.0, 1.0, 1.0, 1.0]]),
    ]
}
