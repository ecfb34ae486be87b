//! Random numbers on a GPU.

use crate::gpu::{Call, Calls, Operand, flag, random, size, spread, unless_empty};

/// `count` draws of the op's stream; the inputs are the seed (two words) and the step.
///
/// # Errors
/// Too many elements.
pub fn drawn(count: usize, stream: u64, normal: bool) -> Result<Calls, String> {
    unless_empty(count, || {
        let params = random::Params {
            count: size(count)?,
            stream_low: stream as u32,
            stream_high: (stream >> 32) as u32,
        };
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
        // An invocation makes a block of four.
        let invocations = random::SHADER.workgroup[0] as usize;
        let groups = spread(count.div_ceil(4).div_ceil(invocations))?;
        let call = Call::new(&random::SHADER, &params, &operands, groups);
        Ok(call.with(&[(random::NORMAL, flag(normal))]))
    })
}
