//! Attention on a GPU.

use super::place::Place;
use super::{AttentionRows, AttentionShape};
use crate::gpu::{
    Call, Calls, Operand, Variant, attention, attention_keys, attention_keys_tile, attention_tile,
    size, spread, unless_empty,
};

const NOTES: Operand = Operand::Scratch(0);

/// Queries, keys, values and cotangent, as the op has them: arrays of their own, or one
/// for the first three.
struct Operands {
    all: [Operand; 4],
    heads: usize,
    /// Elements in front of keys and values in their arrays.
    skipped: [usize; 2],
}

fn operands(shape: &AttentionShape) -> Operands {
    match shape.rows {
        AttentionRows::Apart => {
            Operands { all: [0, 1, 2, 3].map(Operand::Input), heads: 1, skipped: [0, 0] }
        }
        AttentionRows::Packed { heads } => {
            let row = heads * shape.size;
            let all = [0, 0, 0, 1].map(Operand::Input);
            Operands { all, heads: heads.max(1), skipped: [row, 2 * row] }
        }
    }
}

/// The numbers of places, one after the other.
fn flat<const N: usize>(places: &[(Place, usize)]) -> Result<[u32; N], String> {
    let mut all = [0; N];
    let steps = places.iter().flat_map(|(place, skipped)| place.steps(*skipped));
    for (number, step) in all.iter_mut().zip(steps) {
        *number = size(step)?;
    }
    Ok(all)
}

fn read(shape: &AttentionShape, own: &Operands) -> [(Place, usize); 4] {
    [
        (shape.place_q(), 0),
        (shape.place_k(), own.skipped[0]),
        (shape.place_v(), own.skipped[1]),
        (shape.place_out(), 0),
    ]
}

/// Rows that a workgroup has: one, or with tiles several.
fn groups_of(rows: usize, batch: usize, tiled: bool) -> usize {
    let together = if tiled { attention_tile::TILE as usize } else { 1 };
    rows.div_ceil(together) * batch
}

fn queries(shape: &AttentionShape, pass: u32, c: Operand, tiled: bool) -> Result<Calls, String> {
    let count = groups_of(shape.queries, shape.batch, tiled);
    let own = operands(shape);
    let [of_q, _, _] = shape.place_gradients();
    let places = [&read(shape, &own)[..], &[(of_q, 0)]].concat();
    let [q, k, v, _] = own.all;
    let all = [q, k, v, c, Operand::Output, NOTES];
    macro_rules! call {
        ($shader:ident) => {{
            let params = $shader::Params {
                queries: size(shape.queries)?,
                keys: size(shape.keys)?,
                size: size(shape.size)?,
                value: size(shape.value)?,
                scale: shape.scale as f32,
                causal: u32::from(shape.causal),
                lowest: f32::NEG_INFINITY.to_bits(),
                count: size(count)?,
                heads: size(own.heads)?,
                places: flat(&places)?,
            };
            let call = Call::new(&$shader::SHADER, &params, &all, spread(count)?);
            Ok(call.with(&[($shader::PASS, f64::from(pass))]))
        }};
    }
    let mut calls = unless_empty(count, || match tiled {
        true => call!(attention_tile),
        false => call!(attention),
    })?;
    calls.scratch.push(4 * 3 * shape.batch * shape.queries);
    Ok(calls)
}

fn keys(shape: &AttentionShape, tiled: bool) -> Result<Calls, String> {
    let count = groups_of(shape.keys, shape.batch, tiled);
    let own = operands(shape);
    let [q, k, v, c] = own.all;
    let [_, of_k, of_v] = shape.place_gradients();
    let places = [&read(shape, &own)[..], &[(of_k, 0), (of_v, 0)]].concat();
    let all = [q, k, v, c, NOTES, Operand::Output];
    macro_rules! call {
        ($shader:ident) => {{
            let params = $shader::Params {
                queries: size(shape.queries)?,
                keys: size(shape.keys)?,
                size: size(shape.size)?,
                value: size(shape.value)?,
                scale: shape.scale as f32,
                causal: u32::from(shape.causal),
                count: size(count)?,
                heads: size(own.heads)?,
                places: flat(&places)?,
            };
            Ok(Call::new(&$shader::SHADER, &params, &all, spread(count)?))
        }};
    }
    unless_empty(count, || match tiled {
        true => call!(attention_keys_tile),
        false => call!(attention_keys),
    })
}

fn gradient(shape: &AttentionShape, tiled: bool) -> Result<Calls, String> {
    let [.., c] = operands(shape).all;
    let mut calls = queries(shape, attention::QUERIES, c, tiled)?;
    calls.calls.extend(keys(shape, tiled)?.calls);
    Ok(calls)
}

/// What `of` gives without tiles and, for rows short enough, with them; with them alone
/// where there are too many rows to keep what belongs to one.
fn either(
    shape: &AttentionShape,
    rows: [(&str, usize, u32); 2],
    of: impl Fn(bool) -> Result<Calls, String>,
) -> Result<Calls, String> {
    let short = shape.size.max(shape.value) <= attention_tile::MOST_SIZE as usize;
    if let Some((what, rows, most)) =
        rows.into_iter().find(|(_, rows, most)| *rows > *most as usize)
    {
        return if short { of(true) } else { Err(format!("{rows} {what}; {most} are the most")) };
    }
    let mut calls = of(false)?;
    if short && !calls.calls.is_empty() {
        let shader = &attention_tile::SHADER;
        calls.variants.push(Variant { shader, calls: of(true)?, suits: true });
    }
    Ok(calls)
}

/// See [`ATTENTION`](super::ATTENTION); of rows that are packed the input is one array.
///
/// # Errors
/// Too many elements, or keys of long rows.
pub fn forward(shape: &AttentionShape) -> Result<Calls, String> {
    let most = ("keys", shape.keys, attention::MOST_KEYS);
    either(shape, [most; 2], |tiled| queries(shape, attention::FORWARD, Operand::Input(0), tiled))
}

/// See [`ATTENTION_GRADIENT`](super::ATTENTION_GRADIENT); the cotangent is the last
/// input.
///
/// # Errors
/// Too many elements, or keys or queries of long rows.
pub fn backward(shape: &AttentionShape) -> Result<Calls, String> {
    let keys = ("keys", shape.keys, attention::MOST_KEYS);
    let queries = ("queries", shape.queries, attention_keys::MOST_QUERIES);
    either(shape, [keys, queries], |tiled| gradient(shape, tiled))
}
