//! Numbers stored in 16 bits on a GPU.
//!
//! Values are two to a word. What computes with them widens them into memory of its own
//! first: half the room between ops, not half the reading within one.

use super::Storage;
use crate::gpu::{Call, Calls, Operand, flag, linear, size, storage, unless_empty};

fn call(
    widens: bool,
    format: Storage,
    count: usize,
    [from, into]: [Operand; 2],
) -> Result<Calls, String> {
    unless_empty(count, || {
        let params = storage::Params { count: size(count)? };
        let shader = &storage::SHADER;
        let groups = linear(shader, count.div_ceil(2))?;
        let call = Call::new(shader, &params, &[from, into], groups);
        let brain = matches!(format, Storage::Bf16);
        Ok(call.with(&[(storage::WIDENS, flag(widens)), (storage::BRAIN, flag(brain))]))
    })
}

/// `count` numbers rounded to this format.
///
/// # Errors
/// Too many elements.
pub fn stored(format: Storage, count: usize) -> Result<Calls, String> {
    call(false, format, count, [Operand::Input(0), Operand::Output])
}

/// `count` numbers of this format.
///
/// # Errors
/// Too many elements.
pub fn widened(format: Storage, count: usize) -> Result<Calls, String> {
    call(true, format, count, [Operand::Input(0), Operand::Output])
}

/// `calls` of numbers of this format: the inputs for which there is a number of
/// elements are widened before, and what comes out is rounded to it, if there is one
/// for the output.
///
/// # Errors
/// Too many elements.
pub fn with_stored(
    mut calls: Calls,
    format: Storage,
    inputs: &[Option<usize>],
    output: Option<usize>,
) -> Result<Calls, String> {
    for variant in &mut calls.variants {
        let own = std::mem::take(&mut variant.calls);
        variant.calls = with_stored(own, format, inputs, output)?;
    }
    let mut wide = |count: usize| {
        calls.scratch.push(4 * count);
        Operand::Scratch(calls.scratch.len() - 1)
    };
    let places: Vec<_> = inputs.iter().map(|count| Some((wide((*count)?), (*count)?))).collect();
    let result = output.map(|count| (wide(count), count));
    for operand in calls.calls.iter_mut().flat_map(|own| &mut own.operands) {
        let wide = match *operand {
            Operand::Input(number) => places[number],
            Operand::Output => result,
            _ => None,
        };
        *operand = wide.map_or(*operand, |(place, _)| place);
    }
    let mut all = Vec::new();
    for (number, place) in places.iter().enumerate() {
        if let Some((place, count)) = *place {
            all.extend(call(true, format, count, [Operand::Input(number), place])?.calls);
        }
    }
    all.append(&mut calls.calls);
    if let Some((place, count)) = result {
        all.extend(call(false, format, count, [place, Operand::Output])?.calls);
    }
    Ok(Calls { calls: all, ..calls })
}
