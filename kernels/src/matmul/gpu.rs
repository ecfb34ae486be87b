//! The matrix product on a GPU.

use super::MatmulShape;
use crate::gpu::{Call, Calls, MOST_GROUPS, Operand, flag, matmul, size, unless_empty};

/// The product of the first two of `operands` into the third, times `scale`.
///
/// # Errors
/// Too many elements, or products in a batch.
pub fn product(shape: &MatmulShape, scale: f32, operands: [Operand; 3]) -> Result<Calls, String> {
    let tile = matmul::TILE as usize;
    unless_empty(shape.batch * shape.m * shape.n, || {
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
    })
}
