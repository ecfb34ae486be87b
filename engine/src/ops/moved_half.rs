//! `permute_half`, `concat_half`, `gather_half` and `index_select_half`: the moves of
//! elements stored in 16 bits, which stay what they are, bit for bit.

use crate::dtype::DType::{Bf16, F16};
use crate::op::{Case, Draw, Gradient, Lowered, OpInfo};
use speck_kernels::movement::Gathering;
use speck_kernels::movement::half::{
    GATHER_HALF, INDEX_SELECT_HALF, PickHalf, READ_STRIDED_HALF, WRITE_STRIDED_HALF,
};
use speck_kernels::{Choice, Kernel, KernelError};

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) static PERMUTE: OpInfo = OpInfo {
    name: "permute_half",
    formula: "y as permute, of x stored in f16 or bf16",
    gradient: Gradient::Stated("c permuted back, in the graph's type"),
    rule: None,
    kernels: || vec![READ_STRIDED_HALF.status()],
    cases: || {
        vec![
            Case::new("transpose, bf16", &[(&[19, 35], DRAW)], |g, x| {
                g.widen(g.permute(g.store(x[0], Bf16)?, &[1, 0])?)
            }),
            Case::new("channels last, f16", &[(&[2, 3, 4, 2], DRAW)], |g, x| {
                g.widen(g.permute(g.store(x[0], F16)?, &[0, 2, 3, 1])?)
            }),
        ]
    },
};

pub(super) static CONCAT: OpInfo = OpInfo {
    name: "concat_half",
    formula: "y as concat, of inputs all stored in f16 or all in bf16",
    gradient: Gradient::Stated("to each input its range of c, in the graph's type"),
    rule: None,
    kernels: || vec![WRITE_STRIDED_HALF.status()],
    cases: || {
        vec![Case::new("channels, bf16", &[(&[2, 3, 2], DRAW), (&[2, 1, 2], DRAW)], |g, x| {
            g.widen(g.concat(&[g.store(x[0], Bf16)?, g.store(x[1], Bf16)?], 1)?)
        })]
    },
};

pub(super) static GATHER: OpInfo = OpInfo {
    name: "gather_half",
    formula: "y as gather, of x stored in f16 or bf16",
    gradient: Gradient::Stated("c added at the indices, in the graph's type"),
    rule: None,
    kernels: || vec![GATHER_HALF.status()],
    cases: || {
        let operands: [(&[usize], Draw); 2] = [(&[3, 5], DRAW), (&[3, 4], Draw::Index(5))];
        vec![Case::new("last, bf16", &operands, |g, x| {
            g.widen(g.gather(g.store(x[0], Bf16)?, 1, x[1])?)
        })]
    },
};

pub(super) static INDEX_SELECT: OpInfo = OpInfo {
    name: "index_select_half",
    formula: "y as index_select, of x stored in f16 or bf16",
    gradient: Gradient::Stated("c added at the indices, slice by slice, in the graph's type"),
    rule: None,
    kernels: || vec![INDEX_SELECT_HALF.status()],
    cases: || {
        let operands: [(&[usize], Draw); 2] = [(&[5, 3], DRAW), (&[7], Draw::Index(5))];
        vec![
            Case::new("rows, f16", &operands, |g, x| {
                g.widen(g.index_select(g.store(x[0], F16)?, 0, x[1])?)
            }),
            Case::new("or zero", &[(&[3, 2], DRAW), (&[4], Draw::Index(5))], |g, x| {
                g.widen(g.index_select_or_zero(g.store(x[0], Bf16)?, 0, x[1])?)
            }),
        ]
    },
};

/// Picks with `outside` where an index is.
pub(super) fn lower_picks(
    kernel: &'static Kernel<PickHalf>,
    shape: Gathering,
    outside: u16,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let variant = kernel.select::<f32>(choice)?;
    let run = variant.run;
    Ok(super::routine(kernel.name, variant.name, 0, move |call| {
        let (x, index) = (call.input_stored(0), call.input(1));
        // SAFETY: sizes come from the shapes; indices are checked.
        unsafe { run(&shape, x, index, outside, call.into_output_stored()) };
    }))
}
