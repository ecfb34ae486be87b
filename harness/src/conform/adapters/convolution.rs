//! Convolutions.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::compositions::{Border, Convolution, TransposedConvolution};

/// Stride, border, dilation and groups of a convolution.
fn form<const N: usize>(call: &Arguments<'_>) -> Result<Convolution<N>, Problem> {
    let border = match call.get("padding").and_then(|value| value.as_str()) {
        Some("same") => Border::Same,
        Some("valid") => Border::Zeros([0; N]),
        _ => Border::Zeros(call.sizes("padding", [0; N])?),
    };
    Ok(Convolution {
        stride: call.sizes("stride", [1; N])?,
        border,
        dilation: call.sizes("dilation", [1; N])?,
        groups: groups(call)?,
    })
}

fn transposed<const N: usize>(call: &Arguments<'_>) -> Result<TransposedConvolution<N>, Problem> {
    Ok(TransposedConvolution {
        stride: call.sizes("stride", [1; N])?,
        padding: call.sizes("padding", [0; N])?,
        output_padding: call.sizes("output_padding", [0; N])?,
        dilation: call.sizes("dilation", [1; N])?,
        groups: groups(call)?,
    })
}

fn groups(call: &Arguments<'_>) -> Result<usize, Problem> {
    let [groups] = call.sizes("groups", [1])?;
    Ok(groups)
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("conv1d", |call| {
        let (x, weight) = (call.input("input")?, call.input("weight")?);
        let y = call.graph.convolution1d(x, weight, call.optional("bias"), &form(call)?)?;
        Ok(vec![y])
    }),
    ("conv2d", |call| {
        let (x, weight) = (call.input("input")?, call.input("weight")?);
        let y = call.graph.convolution2d(x, weight, call.optional("bias"), &form(call)?)?;
        Ok(vec![y])
    }),
    ("conv_transpose1d", |call| {
        let (x, weight, bias) =
            (call.input("input")?, call.input("weight")?, call.optional("bias"));
        Ok(vec![call.graph.transposed_convolution1d(x, weight, bias, &transposed(call)?)?])
    }),
    ("conv_transpose2d", |call| {
        let (x, weight, bias) =
            (call.input("input")?, call.input("weight")?, call.optional("bias"));
        Ok(vec![call.graph.transposed_convolution2d(x, weight, bias, &transposed(call)?)?])
    }),
];
