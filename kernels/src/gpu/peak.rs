//! What a device can do: multiply-adds in registers, and a copy of its memory.

use super::buffer::Buffer;
use super::call::{Call, Operand, linear};
use super::device::{Gpu, GpuError};
use super::plan::{Ends, Plan, PlanStep};
use super::{peak_arithmetic, peak_copy};
use std::sync::Arc;

/// The limits of a device, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Multiply-adds, f32 operations a second.
    pub flops: f64,
    /// Bytes read and written a second by a copy.
    pub bandwidth: f64,
}

/// Invocations that keep a large GPU busy.
const INVOCATIONS: usize = 1 << 20;
/// Bytes of the copied array, beyond the caches of most devices.
const BYTES: usize = 256 << 20;
/// Seconds that the arithmetic takes at least.
const LONG: f64 = 0.02;
/// Runs, of which the fastest counts.
const ROUNDS: usize = 6;

impl Peak {
    /// Measures them by the device's own times; `None` where it takes none.
    ///
    /// # Errors
    /// The device failed, or has no memory left.
    pub fn measure(gpu: &Arc<Gpu>) -> Result<Option<Peak>, GpuError> {
        if !gpu.limits().timestamps {
            return Ok(None);
        }
        Ok(Some(Peak { flops: arithmetic(gpu)?, bandwidth: copy(gpu)? }))
    }
}

/// The seconds of the fastest of some runs of one call.
fn fastest(gpu: &Arc<Gpu>, call: Call, buffers: Vec<Buffer>) -> Result<f64, GpuError> {
    let steps = vec![PlanStep::Call(call, buffers)];
    let mut plan = Plan::new(gpu, steps, &Ends::default())?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let seconds: f64 = plan.run_timed()?.unwrap_or_default().iter().sum();
        // A clock that did not move says nothing.
        if seconds > 0.0 {
            best = best.min(seconds);
        }
    }
    Ok(best)
}

fn arithmetic(gpu: &Arc<Gpu>) -> Result<f64, GpuError> {
    // A program on the processor has two lanes of eight, not thousands.
    let invocations = if gpu.is_software() { INVOCATIONS >> 8 } else { INVOCATIONS };
    let y = gpu.buffer(4 * invocations)?;
    let most = if gpu.is_software() { 1 << 14 } else { 1 << 20 };
    let mut rounds = 64;
    loop {
        let params = peak_arithmetic::Params { rounds, factor: 0.999, summand: 0.001 };
        let shader = &peak_arithmetic::SHADER;
        let groups = linear(shader, invocations).unwrap_or([1; 3]);
        let call = Call::new(shader, &params, &[Operand::Output], groups);
        let seconds = fastest(gpu, call, vec![y.clone()])?;
        if seconds >= LONG || rounds >= most {
            let each = 2.0 * 4.0 * f64::from(peak_arithmetic::CHAINS) * f64::from(rounds);
            return Ok(invocations as f64 * each / seconds);
        }
        rounds *= 4;
    }
}

fn copy(gpu: &Arc<Gpu>) -> Result<f64, GpuError> {
    let limits = gpu.limits();
    let most = limits.binding.min(limits.buffer).min(BYTES as u64) as usize;
    let bytes = if gpu.is_software() { most.min(BYTES / 4) } else { most } / 16 * 16;
    let (x, y) = (gpu.buffer(bytes)?, gpu.buffer(bytes)?);
    let count = bytes / 16;
    let shader = &peak_copy::SHADER;
    let groups = linear(shader, count).unwrap_or([1; 3]);
    let params = peak_copy::Params { count: count as u32 };
    let call = Call::new(shader, &params, &[Operand::Input(0), Operand::Output], groups);
    Ok(2.0 * bytes as f64 / fastest(gpu, call, vec![x, y])?)
}
