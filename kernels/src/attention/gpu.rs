//! Attention on a GPU.

use super::AttentionShape;
use crate::gpu::{Call, Calls, Operand, attention, attention_keys, size, spread, unless_empty};

fn queries(shape: &AttentionShape, pass: u32, operands: &[Operand]) -> Result<Calls, String> {
    if shape.keys > attention::MOST_KEYS as usize {
        return Err(format!("{} keys; {} are the most", shape.keys, attention::MOST_KEYS));
    }
    let count = shape.batch * shape.queries;
    unless_empty(count, || {
        let params = attention::Params {
            queries: size(shape.queries)?,
            keys: size(shape.keys)?,
            size: size(shape.size)?,
            value: size(shape.value)?,
            scale: shape.scale as f32,
            causal: u32::from(shape.causal),
            lowest: f32::NEG_INFINITY.to_bits(),
            count: size(count)?,
        };
        let call = Call::new(&attention::SHADER, &params, operands, spread(count)?);
        Ok(call.with(&[(attention::PASS, f64::from(pass))]))
    })
}

/// See [`ATTENTION`](super::ATTENTION).
///
/// # Errors
/// Too many elements, or keys.
pub fn forward(shape: &AttentionShape) -> Result<Calls, String> {
    let [q, k, v] = [0, 1, 2].map(Operand::Input);
    let mut calls = queries(shape, attention::FORWARD, &[q, k, v, q, Operand::Output, NOTES])?;
    // Bound, not written.
    calls.scratch.push(4);
    Ok(calls)
}

const NOTES: Operand = Operand::Scratch(0);

/// See [`ATTENTION_GRADIENT`](super::ATTENTION_GRADIENT).
///
/// # Errors
/// Too many elements, keys or queries.
pub fn backward(shape: &AttentionShape) -> Result<Calls, String> {
    if shape.queries > attention_keys::MOST_QUERIES as usize {
        let most = attention_keys::MOST_QUERIES;
        return Err(format!("{} queries; {most} are the most", shape.queries));
    }
    let [q, k, v, c] = [0, 1, 2, 3].map(Operand::Input);
    let mut calls = queries(shape, attention::QUERIES, &[q, k, v, c, Operand::Output, NOTES])?;
    calls.scratch.push(4 * 3 * shape.batch * shape.queries);
    let count = shape.batch * shape.keys;
    let [of_q, of_k, _, _] = shape.elements();
    let keys = unless_empty(count, || {
        let params = attention_keys::Params {
            queries: size(shape.queries)?,
            keys: size(shape.keys)?,
            size: size(shape.size)?,
            value: size(shape.value)?,
            scale: shape.scale as f32,
            causal: u32::from(shape.causal),
            count: size(count)?,
            keys_at: size(of_q)?,
            values_at: size(of_q + of_k)?,
        };
        let operands = [q, k, v, c, NOTES, Operand::Output];
        Ok(Call::new(&attention_keys::SHADER, &params, &operands, spread(count)?))
    })?;
    calls.calls.extend(keys.calls);
    Ok(calls)
}
