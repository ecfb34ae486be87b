//! `render_windows` and its adjoint: specks drawn in their own windows.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::window::{self, RenderWindows as Signature, Windows};
use speck_kernels::{Choice, KernelError};

/// Colours to windows of this edge.
#[derive(Debug)]
struct RenderWindows(usize);

/// Windows to colours.
#[derive(Debug)]
struct UnrenderWindows;

const DRAW: Draw = Draw::Uniform(0.0, 1.0);
const POSITIONS: Draw = Draw::Index(4);

pub(super) static INFO: OpInfo = OpInfo {
    name: "render_windows",
    formula: "y[b,s,i,j] = the colour of the speck seen at position[b,s] + (i,j)",
    gradient: Gradient::Product("unrender_windows(c) to the colours"),
    rule: Some("a later speck covers an earlier one; the window of an empty slot is 0"),
    kernels: || vec![window::RENDER_WINDOWS.status()],
    cases: || {
        vec![Case::new("overlapping", &[(&[3, 3, 2], POSITIONS), (&[3, 3, 3], DRAW)], |g, x| {
            let colours = g.square(x[1])?;
            g.render_windows(x[0], colours, 3)
        })]
    },
};

pub(super) static ADJOINT: OpInfo = OpInfo {
    name: "unrender_windows",
    formula: "y[b,t] = Σ x[b,s,i,j] where speck t is seen",
    gradient: Gradient::Product("render_windows(c) to x"),
    rule: Some("a later speck covers an earlier one; an empty slot gets 0"),
    kernels: || vec![window::UNRENDER_WINDOWS.status()],
    cases: || {
        let shape: &[usize] = &[3, 3, 2, 2, 3];
        vec![Case::new("overlapping", &[(&[3, 3, 2], POSITIONS), (shape, DRAW)], |g, x| {
            let windows = g.square(x[1])?;
            g.unrender_windows(x[0], windows)
        })]
    },
};

fn windows(positions: &TensorType, channels: usize, size: [usize; 2]) -> Result<Windows, String> {
    let &[samples, slots, 2] = positions.shape.as_slice() else {
        return Err("positions must be [samples, specks, 2]".to_owned());
    };
    if positions.dtype != DType::I32 {
        return Err("positions must be i32".to_owned());
    }
    // Nothing here depends on the map.
    Ok(Windows { samples, slots, channels, size, map: [0, 0] })
}

impl RenderWindows {
    fn windows(&self, inputs: &[&TensorType]) -> Result<Windows, String> {
        let channels = inputs[1].shape.last().copied().unwrap_or(0);
        let windows = windows(inputs[0], channels, [self.0; 2])?;
        if inputs[1].shape != [windows.samples, windows.slots, channels] {
            return Err("colours must be [samples, specks, channels]".to_owned());
        }
        Ok(windows)
    }
}

impl UnrenderWindows {
    fn windows(&self, inputs: &[&TensorType]) -> Result<Windows, String> {
        let &[samples, slots, height, width, channels] = inputs[1].shape.as_slice() else {
            return Err("windows must be [samples, specks, height, width, channels]".to_owned());
        };
        let windows = windows(inputs[0], channels, [height, width])?;
        if [windows.samples, windows.slots] != [samples, slots] {
            return Err("as many windows as positions".to_owned());
        }
        Ok(windows)
    }
}

fn lower(
    kernel: &'static Kernel<Signature>,
    windows: Windows,
    output: &TensorType,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    with_real!(output.dtype, T => {
        let variant = kernel.select::<T>(choice)?;
        let run = variant.run;
        Ok(super::routine(kernel.name, variant.name, 0, move |call| {
            let (positions, x) = (call.input(0), call.input::<T>(1));
            run(&windows, positions, x, call.into_output());
        }))
    })
}

impl Op for RenderWindows {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("size", self.0.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(&inputs[1..])?;
        let Windows { samples, slots, channels, size, .. } = self.windows(inputs)?;
        Ok(inputs[1].with_shape(&[samples, slots, size[0], size[1], channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![None, Some(graph.unrender_windows(vjp.inputs[0], vjp.cotangent)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let windows = self.windows(inputs);
        let windows = windows.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        lower(&window::RENDER_WINDOWS, windows, output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        window::gpu::calls(window::gpu::RENDER, &self.windows(inputs)?, false)
    }
}

impl Op for UnrenderWindows {
    fn info(&self) -> &'static OpInfo {
        &ADJOINT
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(&inputs[1..])?;
        let Windows { samples, slots, channels, size, .. } = self.windows(inputs)?;
        if size[0] != size[1] {
            return Err("the windows of specks are squares".to_owned());
        }
        Ok(inputs[1].with_shape(&[samples, slots, channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let size = graph.shape(vjp.inputs[1])[2];
        Ok(vec![None, Some(graph.render_windows(vjp.inputs[0], vjp.cotangent, size)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[1].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let windows = self.windows(inputs);
        let windows = windows.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        lower(&window::UNRENDER_WINDOWS, windows, output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        window::gpu::calls(window::gpu::UNRENDER, &self.windows(inputs)?, false)
    }
}

impl Graph {
    /// Windows [samples, specks, size, size, channels] at the specks' own
    /// `positions` (i32 [samples, specks, 2]): what [`Graph::render`] draws there
    /// in `colours` [samples, specks, channels], the border of the screen aside.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn render_windows(
        &self,
        positions: NodeId,
        colours: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(RenderWindows(size), &[positions, colours])
    }

    /// The adjoint of [`Graph::render_windows`] in the colours.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn unrender_windows(&self, positions: NodeId, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(UnrenderWindows, &[positions, x])
    }
}
