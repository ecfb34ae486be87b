//! The matrix product on a GPU.

use super::MatmulShape;
use crate::gpu::{
    Call, Calls, MOST_GROUPS, Operand, Variant, flag, matmul, matmul_half, matmul_thin, size,
    spread, unless_empty,
};
use crate::reduce::gpu::lanes;

/// From so many rows and columns on, tiles are worth while.
const THIN: usize = 16;

/// The product of the first two of `operands` into the third, times `scale`.
///
/// # Errors
/// Too many elements, or products in a batch.
pub fn product(shape: &MatmulShape, scale: f32, operands: [Operand; 3]) -> Result<Calls, String> {
    if shape.m.min(shape.n) < THIN {
        return thin(shape, scale, operands);
    }
    let tile = matmul::TILE as usize;
    let mut calls = unless_empty(shape.batch * shape.m * shape.n, || {
        let across = shape.n.div_ceil(tile);
        let tiles = shape.m.div_ceil(tile) * across;
        if tiles > MOST_GROUPS || shape.batch > MOST_GROUPS {
            return Err(format!("{} products of {tiles} tiles are too many", shape.batch));
        }
        let params = matmul::Params {
            m: size(shape.m)?,
            n: size(shape.n)?,
            k: size(shape.k)?,
            a_stride: size(shape.a_stride)?,
            b_stride: size(shape.b_stride)?,
            tiles: size(across)?,
        };
        let groups = [tiles as u32, shape.batch as u32, 1];
        let overrides = [
            (matmul::TRANSPOSE_A, flag(shape.transpose_a)),
            (matmul::TRANSPOSE_B, flag(shape.transpose_b)),
            (matmul::SCALE, f64::from(scale)),
        ];
        Ok(Call::new(&matmul::SHADER, &params, &operands, groups).with(&overrides))
    })?;
    // The same loops on tiles in half precision, where that is asked for.
    if let Some(call) = calls.calls.first() {
        let half = Call { shader: &matmul_half::SHADER, ..call.clone() };
        calls.variants.push(Variant { calls: half.into(), exact: false });
    }
    Ok(calls)
}

fn thin(shape: &MatmulShape, scale: f32, operands: [Operand; 3]) -> Result<Calls, String> {
    let count = shape.batch * shape.m * shape.n;
    unless_empty(count, || {
        let params = matmul_thin::Params {
            count: size(count)?,
            m: size(shape.m)?,
            n: size(shape.n)?,
            k: size(shape.k)?,
            a_stride: size(shape.a_stride)?,
            b_stride: size(shape.b_stride)?,
        };
        let lanes = lanes(count, shape.k);
        let overrides = [
            (matmul_thin::LANES, lanes as f64),
            (matmul_thin::TRANSPOSE_A, flag(shape.transpose_a)),
            (matmul_thin::TRANSPOSE_B, flag(shape.transpose_b)),
            (matmul_thin::SCALE, f64::from(scale)),
        ];
        let groups = spread(count.div_ceil(256 / lanes))?;
        Ok(Call::new(&matmul_thin::SHADER, &params, &operands, groups).with(&overrides))
    })
}
