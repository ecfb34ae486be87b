//! Pooling on a GPU.

use super::{AveragePool, PoolShape};
use crate::gpu::{Call, Calls, Operand, linear, pool, signed, size, unless_empty};

fn calls(pass: u32, shape: &PoolShape, mean: Option<&AveragePool>) -> Result<Calls, String> {
    let plane = if pass == pool::MEAN_GRADIENT { shape.input } else { shape.output };
    let count = shape.planes * plane[0] * plane[1];
    unless_empty(count, || {
        let divisor = mean.and_then(|mean| mean.divisor).unwrap_or(0);
        let params = pool::Params {
            count: size(count)?,
            in_height: signed(shape.input[0])?,
            in_width: signed(shape.input[1])?,
            out_height: signed(shape.output[0])?,
            out_width: signed(shape.output[1])?,
            kernel_height: signed(shape.kernel[0])?,
            kernel_width: signed(shape.kernel[1])?,
            stride_down: signed(shape.stride[0])?,
            stride_across: signed(shape.stride[1])?,
            padding_down: signed(shape.padding[0])?,
            padding_across: signed(shape.padding[1])?,
            dilation_down: signed(shape.dilation[0].max(1))?,
            dilation_across: signed(shape.dilation[1].max(1))?,
            divisor: divisor as f32,
            count_padding: u32::from(mean.is_some_and(|mean| mean.count_padding)),
        };
        let operands = [Operand::Input(0), Operand::Output];
        let call = Call::new(&pool::SHADER, &params, &operands, linear(&pool::SHADER, count)?);
        let [down, across] = shape.kernel;
        let rounds = match pass {
            // The outputs that may have a tap on an input; each asks what it is divided by.
            pool::MEAN_GRADIENT => {
                let reach = |axis: usize| {
                    let reach = shape.kernel[axis] * shape.dilation[axis].max(1);
                    (reach / shape.stride[axis].max(1) + 1).min(shape.output[axis])
                };
                reach(0) * (reach(1) * (down + across + 3) + 2)
            }
            _ => down * (across + 3) + across + 4,
        };
        let call = call.looping(rounds);
        Ok(call.with(&[(pool::PASS, f64::from(pass))]))
    })
}

/// See [`MAX_POOL2D_INDICES`](super::MAX_POOL2D_INDICES).
///
/// # Errors
/// Too many elements.
pub fn max_indices(shape: &PoolShape) -> Result<Calls, String> {
    calls(pool::LARGEST, shape, None)
}

/// See [`AVERAGE_POOL2D`](super::AVERAGE_POOL2D).
///
/// # Errors
/// Too many elements.
pub fn average(pool: &AveragePool) -> Result<Calls, String> {
    calls(pool::MEAN, &pool.shape, Some(pool))
}

/// See [`AVERAGE_POOL2D_GRADIENT`](super::AVERAGE_POOL2D_GRADIENT).
///
/// # Errors
/// Too many elements.
pub fn average_gradient(pool: &AveragePool) -> Result<Calls, String> {
    calls(pool::MEAN_GRADIENT, &pool.shape, Some(pool))
}
