//! The matrix product on a GPU.

use super::MatmulShape;
use crate::gpu::{
    BUSY_LANES, Call, Calls, MOST_GROUPS, Operand, Split, Variant, flag, matmul, matmul_half,
    matmul_subgroup, matmul_thin, matmul_wide, size, spread, tile_rows, unless_empty,
};
use crate::reduce::gpu::lanes;

/// From so many rows and columns on, tiles are worth while.
const THIN: usize = 16;

/// Wide tiles from which on they fill a large GPU: one for each of its cores, about.
const MANY: usize = 128;

/// The product of the first two of `operands` into the third, times `scale`.
///
/// # Errors
/// Too many elements, or products in a batch.
pub fn product(shape: &MatmulShape, scale: f32, operands: [Operand; 3]) -> Result<Calls, String> {
    if shape.batch * shape.m * shape.n == 0 {
        return Ok(Calls::default());
    }
    if shape.m.min(shape.n) < THIN {
        return thin(shape, scale, operands);
    }
    let rows = tile_rows(shape.m, shape.n, matmul::AREA as usize);
    let columns = matmul::AREA as usize / rows;
    let split = tiled(shape, scale, operands, [rows, columns])?;
    let mut calls = split.0;
    let call = split.1.with(&[(matmul::ROWS, rows as f64)]);
    let half = Call { shader: &matmul_half::SHADER, ..call.clone() };
    calls.calls.insert(0, call);
    let mut halves = calls.clone();
    halves.calls[0] = half;
    let other = |shader, tile| -> Result<(Calls, usize), String> {
        let (mut calls, call, tiles) = tiled(shape, scale, operands, tile)?;
        calls.calls.insert(0, Call { shader, ..call });
        Ok((calls, tiles))
    };
    let shader = &matmul_wide::SHADER;
    let (wide, tiles) = other(shader, [matmul_wide::TILE as usize; 2])?;
    calls.variants.push(Variant { shader, calls: wide, suits: tiles * shape.batch >= MANY });
    let shader = &matmul_subgroup::SHADER;
    let tile = [matmul_subgroup::ROWS, matmul_subgroup::COLUMNS].map(|size| size as usize);
    let (handed, _) = other(shader, tile)?;
    calls.variants.push(Variant { shader, calls: handed, suits: true });
    calls.variants.push(Variant { shader: &matmul_half::SHADER, calls: halves, suits: true });
    Ok(calls)
}

/// The call of a product in tiles of this size, the calls that follow it, and the tiles
/// there are.
fn tiled(
    shape: &MatmulShape,
    scale: f32,
    [a, b, y]: [Operand; 3],
    [rows, columns]: [usize; 2],
) -> Result<(Calls, Call, usize), String> {
    let across = shape.n.div_ceil(columns);
    let tiles = shape.m.div_ceil(rows) * across;
    if tiles > MOST_GROUPS || shape.batch > MOST_GROUPS {
        return Err(format!("{} products of {tiles} tiles are too many", shape.batch));
    }
    let depth = matmul::DEPTH as usize;
    let split = match y {
        Operand::Output => {
            Split::new(shape.k, depth, tiles * shape.batch, shape.batch * shape.m * shape.n)
        }
        _ => Split::none(shape.k, depth),
    };
    let params = matmul::Params {
        m: size(shape.m)?,
        n: size(shape.n)?,
        k: size(shape.k)?,
        a_stride: size(shape.a_stride)?,
        b_stride: size(shape.b_stride)?,
        tiles: size(across)?,
        batch: size(shape.batch)?,
        share: size(split.share)?,
    };
    let into = if split.parts > 1 { split.target() } else { y };
    let groups = [tiles as u32, shape.batch as u32, split.parts as u32];
    let call = Call::new(&matmul::SHADER, &params, &[a, b, into], groups);
    let call = call.looping(split.rounds(depth)).with(&[
        (matmul::TRANSPOSE_A, flag(shape.transpose_a)),
        (matmul::TRANSPOSE_B, flag(shape.transpose_b)),
        (matmul::SCALE, f64::from(scale)),
    ]);
    let mut rest = Calls::default();
    split.finish(&mut rest, shape.batch * shape.m * shape.n)?;
    Ok((rest, call, tiles))
}

/// Results that an invocation of the thin shader has at most.
const MOST_FEW: usize = 8;
/// Results that are neighbours at least, where the many lie together.
const NEIGHBOURS: usize = 32;
/// Steps of the sum that each invocation makes at least.
const LONG: usize = 16;

fn thin(shape: &MatmulShape, scale: f32, [a, b, y]: [Operand; 3]) -> Result<Calls, String> {
    let &MatmulShape { m, n, k, batch, .. } = shape;
    // From one row of A, or column of B, to the next, and along the sum.
    let of_a = if shape.transpose_a { [1, m] } else { [k, 1] };
    let of_b = if shape.transpose_b { [k, 1] } else { [1, n] };
    let by_rows = m <= n;
    let (few, many) = if by_rows { (m, n) } else { (n, m) };
    let [few_in, many_in] = if by_rows { [of_a, of_b] } else { [of_b, of_a] };
    let strides = [shape.a_stride, shape.b_stride];
    let [few_batch, many_batch] = if by_rows { strides } else { [strides[1], strides[0]] };
    let each = few.next_power_of_two().min(MOST_FEW);
    let blocks = few.div_ceil(each);
    let invocations = many * blocks * batch;
    let across = many_in[0] == 1 && many > 1;
    let most = if across { 256 / many.next_power_of_two().min(NEIGHBOURS) } else { 256 };
    let lanes = lanes(invocations, k).min(most);
    let wanted = match y {
        Operand::Output => BUSY_LANES.div_ceil(invocations * lanes).min(k / (lanes * LONG)).max(1),
        _ => 1,
    };
    let share = k.div_ceil(wanted).max(1);
    let split = Split { parts: k.div_ceil(share).max(1), share };
    let params = matmul_thin::Params {
        few: size(few)?,
        many: size(many)?,
        k: size(k)?,
        batch: size(batch)?,
        blocks: size(blocks)?,
        share: size(share)?,
        few_step: size(few_in[0])?,
        few_along: size(few_in[1])?,
        few_batch: size(few_batch)?,
        many_step: size(many_in[0])?,
        many_along: size(many_in[1])?,
        many_batch: size(many_batch)?,
        y_few: size(if by_rows { n } else { 1 })?,
        y_many: size(if by_rows { 1 } else { n })?,
    };
    let operands = if by_rows { [a, b] } else { [b, a] };
    let into = if split.parts > 1 { split.target() } else { y };
    let [groups_across, down, _] = spread(many.div_ceil(256 / lanes) * blocks * batch)?;
    let groups = [groups_across, down, size(split.parts)?];
    let mut calls = unless_empty(batch * m * n, || {
        let all = [operands[0], operands[1], into];
        let call = Call::new(&matmul_thin::SHADER, &params, &all, groups);
        let along = share.div_ceil(lanes);
        Ok(call.looping((along + 12) * (each + 2)).with(&[
            (matmul_thin::FEW, each as f64),
            (matmul_thin::LANES, lanes as f64),
            (matmul_thin::ACROSS, flag(across)),
            (matmul_thin::SCALE, f64::from(scale)),
        ]))
    })?;
    split.finish(&mut calls, batch * m * n)?;
    Ok(calls)
}
