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

/// `calls` of numbers of this format: their inputs, of so many elements, are widened
/// before.
///
/// # Errors
/// Too many elements.
pub fn with_stored(mut calls: Calls, format: Storage, inputs: [usize; 2]) -> Result<Calls, String> {
    for variant in &mut calls.variants {
        variant.calls = with_stored(std::mem::take(&mut variant.calls), format, inputs)?;
    }
    let begin = calls.scratch.len();
    for operand in calls.calls.iter_mut().flat_map(|own| &mut own.operands) {
        if let Operand::Input(number) = *operand {
            *operand = Operand::Scratch(begin + number);
        }
    }
    let mut all = Vec::new();
    for (number, count) in inputs.into_iter().enumerate() {
        let operands = [Operand::Input(number), Operand::Scratch(begin + number)];
        all.extend(call(true, format, count, operands)?.calls);
        calls.scratch.push(4 * count);
    }
    all.append(&mut calls.calls);
    Ok(Calls { calls: all, ..calls })
}
