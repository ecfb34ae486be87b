//! Attention on a GPU.

use super::place::Place;
use super::{AttentionRows, AttentionShape};
use crate::gpu::{
    Call, Calls, Operand, Variant, attention, attention_keys, attention_keys_tile, attention_tile,
    in_turn, size, spread,
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

/// Rounds of loops for a query or a key that goes through all keys or queries in lanes of
/// 64, makes so many products of each with one of its rows, and adds up rows of the others.
fn long_rounds(shape: &AttentionShape, others: usize, products: usize, sums: usize) -> usize {
    let long = shape.size.max(shape.value);
    others.div_ceil(64) * (products * (long + 2) + 2) + sums * long.div_ceil(64) * (others + 2) + 64
}

/// Steps of 16 keys or queries in a tile that a dispatch goes through, as ranges of these;
/// `each` are the rounds of a step beside those for two products of rows.
fn tile_turns(
    shape: &AttentionShape,
    others: usize,
    each: usize,
    products: usize,
) -> impl Iterator<Item = ([usize; 2], usize)> {
    let tile = attention_tile::TILE as usize;
    let each = each + 4 * products * (shape.size.max(shape.value).div_ceil(4) + 2);
    in_turn(others.div_ceil(tile), each).map(move |[first, last]| {
        ([first * tile, (last * tile).min(others)], (last - first) * each + 64)
    })
}

fn queries(shape: &AttentionShape, pass: u32, c: Operand, tiled: bool) -> Result<Calls, String> {
    let count = groups_of(shape.queries, shape.batch, tiled);
    let own = operands(shape);
    let [of_q, _, _] = shape.place_gradients();
    let places = [&read(shape, &own)[..], &[(of_q, 0)]].concat();
    let [q, k, v, _] = own.all;
    let all = [q, k, v, c, Operand::Output, NOTES];
    macro_rules! call {
        ($shader:ident, $rounds:expr $(, $name:ident: $value:expr)*) => {{
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
                $($name: $value,)*
                places: flat(&places)?,
            };
            let call = Call::new(&$shader::SHADER, &params, &all, spread(count)?);
            call.looping($rounds).with(&[($shader::PASS, f64::from(pass))])
        }};
    }
    let mut calls = Calls::default();
    if count > 0 && !tiled {
        let products = if pass == attention::FORWARD { 1 } else { 3 };
        calls.calls.push(call!(attention, long_rounds(shape, shape.keys, products, 1)));
    }
    if count > 0 && tiled {
        // A step of the first walk and of the second one, or both where keys are few.
        let mut walks = match pass {
            attention::FORWARD => vec![(1, 90, 1)],
            _ => vec![(3, 110, 4)],
        };
        if pass != attention::FORWARD && tile_turns(shape, shape.keys, 110, 4).count() > 1 {
            walks = vec![(1, 40, 2), (2, 70, 2)];
        }
        for (walks, each, products) in walks {
            for ([first, last], rounds) in tile_turns(shape, shape.keys, each, products) {
                let (first, last) = (size(first)?, size(last)?);
                let call = call!(attention_tile, rounds, first: first, last: last, walks: walks);
                calls.calls.push(call);
            }
        }
    }
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
        ($shader:ident, $rounds:expr $(, $name:ident: $value:expr)*) => {{
            let params = $shader::Params {
                queries: size(shape.queries)?,
                keys: size(shape.keys)?,
                size: size(shape.size)?,
                value: size(shape.value)?,
                scale: shape.scale as f32,
                causal: u32::from(shape.causal),
                count: size(count)?,
                heads: size(own.heads)?,
                $($name: $value,)*
                places: flat(&places)?,
            };
            Call::new(&$shader::SHADER, &params, &all, spread(count)?).looping($rounds)
        }};
    }
    let mut calls = Calls::default();
    if count > 0 && !tiled {
        calls.calls.push(call!(attention_keys, long_rounds(shape, shape.queries, 2, 2)));
    }
    if count > 0 && tiled {
        for ([first, last], rounds) in tile_turns(shape, shape.queries, 70, 2) {
            let (first, last) = (size(first)?, size(last)?);
            calls.calls.push(call!(attention_keys_tile, rounds, first: first, last: last));
        }
    }
    Ok(calls)
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
