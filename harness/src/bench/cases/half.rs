//! The sizes at which products and conversions of 16 bits are timed: products as
//! those of 32 bits are, conversions on as many values as element-wise ops.

use super::ELEMENTS;
use speck_engine::DType::{self, Bf16, F16};
use speck_engine::Graph;
use speck_engine::op::{Case, Draw};

const VALUE: Draw = Draw::Uniform(-1.0, 1.0);
const BF16: Draw = Draw::Stored(Bf16);
const HALF: Draw = Draw::Stored(F16);

pub(super) fn products() -> Vec<Case> {
    let square = |name, size: usize, how| {
        Case::new(name, &[(&[size, size], how), (&[size, size], how)], |g, x| g.matmul(x[0], x[1]))
    };
    let plain = |name, [m, n, k]: [usize; 3], how| {
        Case::new(name, &[(&[m, k], how), (&[k, n], how)], |g, x| g.matmul(x[0], x[1]))
    };
    let transposed = |name, [m, n, k]: [usize; 3], how| {
        let build = |g: &_, x: &[_]| Graph::matmul_with(g, x[0], x[1], false, true);
        Case::new(name, &[(&[m, k], how), (&[n, k], how)], build)
    };
    vec![
        square("bf16, 1024×1024·1024×1024", 1024, BF16),
        square("f16, 1024×1024·1024×1024", 1024, HALF),
        plain("bf16, 256×512·512×12288", [256, 12288, 512], BF16),
        plain("bf16, 256×12288·12288×512", [256, 512, 12288], BF16),
        plain("bf16, 64×512·512×512", [64, 512, 512], BF16),
        plain("bf16, 1×4096·4096×4096", [1, 4096, 4096], BF16),
        transposed("bf16, 1×4096·(4096×4096)ᵀ", [1, 4096, 4096], BF16),
        plain("f16, 256×512·512×12288", [256, 12288, 512], HALF),
        plain("f16, 64×512·512×512", [64, 512, 512], HALF),
        plain("f16, 8×4096·4096×4096", [8, 4096, 4096], HALF),
        plain("f16, 1×4096·4096×4096", [1, 4096, 4096], HALF),
        transposed("f16, 1×4096·(4096×4096)ᵀ", [1, 4096, 4096], HALF),
        transposed("bf16, 256×512·(512×512)ᵀ", [256, 512, 512], BF16),
        Case::new(
            "bf16, (256×512)ᵀ·256×12288",
            &[(&[256, 512], BF16), (&[256, 12288], BF16)],
            |g, x| g.matmul_with(x[0], x[1], true, false),
        ),
    ]
}

pub(super) fn store(dtype: DType) -> Vec<Case> {
    vec![match dtype {
        F16 => Case::new("1 MiB", &[(&[ELEMENTS], VALUE)], |g, x| g.store(x[0], F16)),
        _ => Case::new("1 MiB", &[(&[ELEMENTS], VALUE)], |g, x| g.store(x[0], Bf16)),
    }]
}

pub(super) fn widen(dtype: DType) -> Vec<Case> {
    let stored = Draw::Stored(dtype);
    vec![Case::new("to 1 MiB", &[(&[ELEMENTS], stored)], |g, x| g.widen(x[0]))]
}
