//! `max_pool2d_indices`: where the maximum of each window lies.
//!
//! Max pooling itself is a gather at these indices (see
//! [`Graph::max_pool2d`]): its gradient is then a scatter, of any order, and
//! the tie rule stands in one place.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::pooling::{self, PoolShape};
use speck_kernels::{Choice, KernelError};

/// Windows of a pooling: [vertical, horizontal].
#[derive(Debug, Clone, Copy)]
struct MaxPool2dIndices {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "max_pool2d_indices",
    formula: "y = the index h·W + w of the largest element of each window",
    gradient: Gradient::Zero("an index is constant except at ties"),
    rule: Some("ties: the first in row-major order; padding never wins; NaN wins (PyTorch)"),
    kernels: || vec![pooling::MAX_POOL2D_INDICES.status()],
    cases: || {
        vec![
            Case::new("halves", &[(&[2, 3, 4, 6], Draw::Distinct)], |graph, x| {
                graph.max_pool2d_indices(x[0], [2, 2], [2, 2], [0, 0])
            }),
            Case::new("overlapping, padded", &[(&[1, 2, 5, 4], Draw::Distinct)], |graph, x| {
                graph.max_pool2d_indices(x[0], [3, 2], [2, 1], [1, 1])
            }),
        ]
    },
};

/// The loops of a pooling without dilation over images [N,C,H,W].
pub(super) fn pool_shape(
    x: &TensorType,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Result<PoolShape, String> {
    let &[batch, channels, height, width] = x.shape.as_slice() else {
        return Err("takes images [N,C,H,W]".to_owned());
    };
    if kernel.contains(&0) || stride.contains(&0) {
        return Err("window and stride must be at least 1".to_owned());
    }
    if (0..2).any(|i| padding[i] > kernel[i] / 2) {
        return Err("the padding may be at most half of the window".to_owned());
    }
    let size = |i: usize, input: usize| {
        // At most half of the window each side, so the sum cannot overflow by much.
        let padded = input.saturating_add(2 * padding[i]);
        padded.checked_sub(kernel[i]).map_or(0, |room| room / stride[i] + 1)
    };
    let output = [size(0, height), size(1, width)];
    if output.contains(&0) {
        return Err(format!("a window of {}×{} does not fit", kernel[0], kernel[1]));
    }
    Ok(PoolShape {
        planes: batch * channels,
        input: [height, width],
        output,
        kernel,
        stride,
        padding,
        dilation: [1, 1],
    })
}

/// Attributes of a pooling.
pub(super) fn attributes(
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Vec<(&'static str, String)> {
    vec![
        ("kernel", super::sizes(&kernel)),
        ("stride", super::sizes(&stride)),
        ("padding", super::sizes(&padding)),
    ]
}

impl Op for MaxPool2dIndices {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        attributes(self.kernel, self.stride, self.padding)
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let shape = pool_shape(x, self.kernel, self.stride, self.padding)?;
        Ok(TensorType::new(DType::I32, &[&x.shape[..2], &shape.output].concat()))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements() * self.kernel[0] * self.kernel[1], inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = pool_shape(inputs[0], self.kernel, self.stride, self.padding)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(inputs[0].dtype, T => {
            let variant = pooling::MAX_POOL2D_INDICES.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("max_pool2d_indices", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: sizes come from the shapes.
                unsafe { run(&shape, x, call.into_output()) };
            }))
        })
    }
}

impl Graph {
    /// The index `h·W + w` of the maximum of each window: i32 [N,C,H',W'].
    ///
    /// # Errors
    /// Not images, a window that does not fit, padding over half the window.
    #[track_caller]
    pub fn max_pool2d_indices(
        &self,
        x: NodeId,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        self.append(MaxPool2dIndices { kernel, stride, padding }, &[x])
    }
}
