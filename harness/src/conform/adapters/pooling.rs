//! Pooling.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::ops::{AveragePool2d, PoolWindow};

/// Taps of a window, and its stride: as wide as the window unless given.
fn window(call: &Arguments<'_>) -> Result<([usize; 2], [usize; 2]), Problem> {
    let missing = || Problem::Unsupported("no `kernel_size`".to_owned());
    call.get("kernel_size").ok_or_else(missing)?;
    let kernel = call.sizes("kernel_size", [1, 1])?;
    Ok((kernel, call.sizes("stride", kernel)?))
}

/// `output_size`: one for both dimensions or a list, null keeping a size.
fn output_size(call: &Arguments<'_>) -> Result<[Option<usize>; 2], Problem> {
    use serde_json::Value;
    let wrong = || Problem::Unsupported("`output_size` should be sizes or null".to_owned());
    let one = |value: &Value| match value {
        Value::Null => Some(None),
        value => value.as_u64().and_then(|size| usize::try_from(size).ok()).map(Some),
    };
    let sizes: Option<Vec<_>> = match call.get("output_size") {
        Some(Value::Array(values)) => values.iter().map(one).collect(),
        value => one(value.unwrap_or(&Value::Null)).map(|size| vec![size]),
    };
    match sizes.ok_or_else(wrong)?.as_slice() {
        [one] => Ok([*one; 2]),
        [height, width] => Ok([*height, *width]),
        _ => Err(wrong()),
    }
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("adaptive_avg_pool2d", |call| {
        Ok(vec![call.graph.adaptive_average_pool(call.input("input")?, &output_size(call)?)?])
    }),
    ("adaptive_max_pool2d", |call| {
        Ok(vec![call.graph.adaptive_max_pool2d(call.input("input")?, output_size(call)?)?])
    }),
    ("avg_pool2d", |call| {
        let (kernel, stride) = window(call)?;
        let pool = AveragePool2d {
            kernel,
            stride,
            padding: call.sizes("padding", [0, 0])?,
            count_padding: call.truth("count_include_pad", true)?,
            ceil_mode: call.truth("ceil_mode", false)?,
            divisor: call.integer("divisor_override")?,
        };
        Ok(vec![call.graph.average_pool2d(call.input("input")?, pool)?])
    }),
    ("max_pool2d", |call| {
        let (kernel, stride) = window(call)?;
        let window = PoolWindow {
            kernel,
            stride,
            padding: call.sizes("padding", [0, 0])?,
            dilation: call.sizes("dilation", [1, 1])?,
            ceil_mode: call.truth("ceil_mode", false)?,
        };
        let [largest, index] = call.graph.max_pool2d_of(call.input("input")?, window)?;
        let both = call.truth("return_indices", false)?;
        Ok(if both { vec![largest, index] } else { vec![largest] })
    }),
];
