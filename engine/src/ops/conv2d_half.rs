//! `conv2d_half` and its two gradients: what `conv2d.rs` computes, of operands stored
//! in 16 bits, with sums in the graph's type.

use super::Window;
use crate::dtype::DType::{Bf16, F16};
use crate::op::{Case, Draw, Gradient, OpInfo};
use speck_kernels::convolution::half;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const STRIDED: Window = Window { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 };
const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

pub(super) static INFO: OpInfo = OpInfo {
    name: "conv2d_half",
    formula: "y as conv2d, of x and w stored in f16 or bf16, with sums in the graph's type",
    gradient: Gradient::Stated("that of conv2d, where c is rounded to 16 bits too"),
    rule: None,
    kernels: || vec![half::CONV2D_HALF.status()],
    cases: || {
        vec![
            Case::new(
                "3×3 padded, bf16",
                &[(&[2, 3, 5, 6], DRAW), (&[4, 3, 3, 3], DRAW)],
                |g, x| g.conv2d(g.store(x[0], Bf16)?, g.store(x[1], Bf16)?, PADDED),
            ),
            Case::new(
                "strided, dilated, f16",
                &[(&[1, 2, 6, 7], DRAW), (&[3, 2, 3, 2], DRAW)],
                |g, x| g.conv2d(g.store(x[0], F16)?, g.store(x[1], F16)?, STRIDED),
            ),
            Case::new("grouped, bf16", &[(&[3, 4, 4, 4], DRAW), (&[6, 2, 3, 3], DRAW)], |g, x| {
                let window = Window { groups: 2, ..PADDED };
                g.conv2d(g.store(x[0], Bf16)?, g.store(x[1], Bf16)?, window)
            }),
        ]
    },
};

pub(super) static INPUT_GRADIENT: OpInfo = OpInfo {
    name: "conv2d_input_gradient_half",
    formula: "the adjoint of conv2d_half in x, applied to c stored as w is",
    gradient: Gradient::Stated("that of conv2d_input_gradient, where k is rounded to 16 bits too"),
    rule: None,
    kernels: || vec![half::CONV2D_INPUT_GRADIENT_HALF.status()],
    cases: || {
        vec![
            Case::new(
                "3×3 padded, bf16",
                &[(&[2, 4, 5, 6], DRAW), (&[4, 3, 3, 3], DRAW)],
                |g, x| {
                    let (c, w) = (g.store(x[0], Bf16)?, g.store(x[1], Bf16)?);
                    g.conv2d_input_gradient(c, w, PADDED, [5, 6])
                },
            ),
            Case::new("strided, f16", &[(&[1, 3, 3, 9], DRAW), (&[3, 2, 3, 2], DRAW)], |g, x| {
                let (c, w) = (g.store(x[0], F16)?, g.store(x[1], F16)?);
                g.conv2d_input_gradient(c, w, STRIDED, [6, 7])
            }),
        ]
    },
};

pub(super) static WEIGHT_GRADIENT: OpInfo = OpInfo {
    name: "conv2d_weight_gradient_half",
    formula: "the adjoint of conv2d_half in w, applied to c stored as x is",
    gradient: Gradient::Stated("that of conv2d_weight_gradient, where k is rounded to 16 bits too"),
    rule: None,
    kernels: || vec![half::CONV2D_WEIGHT_GRADIENT_HALF.status()],
    cases: || {
        vec![
            Case::new(
                "3×3 padded, bf16",
                &[(&[3, 3, 5, 6], DRAW), (&[3, 4, 5, 6], DRAW)],
                |g, x| {
                    let (x, c) = (g.store(x[0], Bf16)?, g.store(x[1], Bf16)?);
                    g.conv2d_weight_gradient(x, c, PADDED, [3, 3])
                },
            ),
            Case::new("strided, f16", &[(&[1, 2, 6, 7], DRAW), (&[1, 3, 3, 9], DRAW)], |g, x| {
                let (x, c) = (g.store(x[0], F16)?, g.store(x[1], F16)?);
                g.conv2d_weight_gradient(x, c, STRIDED, [3, 2])
            }),
        ]
    },
};
