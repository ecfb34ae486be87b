//! The largest of some values on a GPU.

use super::Taps;
use crate::gpu::{Call, Calls, Operand, flag, largest, linear, size, unless_empty};

/// [`AT_LARGEST`](super::AT_LARGEST), or with `to` [`TO_LARGEST`](super::TO_LARGEST).
///
/// # Errors
/// Too many elements.
pub fn calls(taps: &Taps, to: bool) -> Result<Calls, String> {
    let count = taps.places * taps.channels;
    unless_empty(count, || {
        size(count * taps.taps)?;
        let params = largest::Params {
            count: size(count)?,
            taps: size(taps.taps)?,
            channels: size(taps.channels)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
        let groups = linear(&largest::SHADER, count)?;
        let call = Call::new(&largest::SHADER, &params, &operands, groups);
        let call = call.looping(2 * taps.taps + 2);
        Ok(call.with(&[(largest::TO, flag(to))]))
    })
}
