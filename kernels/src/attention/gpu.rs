//! Attention on a GPU.

use super::place::Place;
use super::{AttentionRows, AttentionShape};
use crate::gpu::{Call, Calls, Operand, attention, attention_keys, size, spread, unless_empty};

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

fn queries(shape: &AttentionShape, pass: u32, c: Operand) -> Result<Calls, String> {
    if shape.keys > attention::MOST_KEYS as usize {
        return Err(format!("{} keys; {} are the most", shape.keys, attention::MOST_KEYS));
    }
    let own = operands(shape);
    let count = shape.batch * shape.queries;
    let mut calls = unless_empty(count, || {
        let [of_q, _, _] = shape.place_gradients();
        let places = [&read(shape, &own)[..], &[(of_q, 0)]].concat();
        let params = attention::Params {
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
        let [q, k, v, _] = own.all;
        let all = [q, k, v, c, Operand::Output, NOTES];
        let call = Call::new(&attention::SHADER, &params, &all, spread(count)?);
        Ok(call.with(&[(attention::PASS, f64::from(pass))]))
    })?;
    calls.scratch.push(4 * 3 * count);
    Ok(calls)
}

/// See [`ATTENTION`](super::ATTENTION); of rows that are packed the input is one array.
///
/// # Errors
/// Too many elements, or keys.
pub fn forward(shape: &AttentionShape) -> Result<Calls, String> {
    queries(shape, attention::FORWARD, Operand::Input(0))
}

/// See [`ATTENTION_GRADIENT`](super::ATTENTION_GRADIENT); the cotangent is the last
/// input.
///
/// # Errors
/// Too many elements, keys or queries.
pub fn backward(shape: &AttentionShape) -> Result<Calls, String> {
    if shape.queries > attention_keys::MOST_QUERIES as usize {
        let most = attention_keys::MOST_QUERIES;
        return Err(format!("{} queries; {most} are the most", shape.queries));
    }
    let own = operands(shape);
    let [q, k, v, c] = own.all;
    let mut calls = queries(shape, attention::QUERIES, c)?;
    let count = shape.batch * shape.keys;
    let keys = unless_empty(count, || {
        let [_, of_k, of_v] = shape.place_gradients();
        let places = [&read(shape, &own)[..], &[(of_k, 0), (of_v, 0)]].concat();
        let params = attention_keys::Params {
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
        let all = [q, k, v, c, NOTES, Operand::Output];
        Ok(Call::new(&attention_keys::SHADER, &params, &all, spread(count)?))
    })?;
    calls.calls.extend(keys.calls);
    Ok(calls)
}
