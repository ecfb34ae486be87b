//! `render`: the screen as an op.
//!
//! The image is not data: it is computed from a few specks and a background, so
//! that a rewrite of the graph can see its structure.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::render::{self, RenderShape};
use speck_kernels::{Choice, KernelError};

/// Specks of size × size pixels on a background of one colour.
#[derive(Debug, Clone, Copy)]
struct Render {
    screen: [usize; 2],
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "render",
    formula: "y[b] = background, with colour[b,s] on the size × size pixels from position[b,s] on",
    gradient: Gradient::Product(
        "unrender(c) to the colours, c summed over uncovered pixels to the background",
    ),
    rule: Some(
        "a later speck covers an earlier one; parts outside the screen are cut off; position (-1,-1) is an empty slot",
    ),
    kernels: || vec![render::RENDER.status()],
    cases: || {
        let draw = Draw::Uniform(0.0, 1.0);
        let build = |graph: &Graph, x: &[NodeId]| {
            let colours = graph.square(x[1])?;
            graph.render(x[0], colours, x[2], [6, 5], 2)
        };
        let positions = Draw::Index(6);
        vec![
            Case::new(
                "one background",
                &[(&[3, 2, 2], positions), (&[3, 2, 3], draw), (&[1, 3], draw)],
                build,
            ),
            Case::new(
                "a background a sample",
                &[(&[3, 4, 2], positions), (&[3, 4, 3], draw), (&[3, 3], draw)],
                build,
            ),
        ]
    },
};

/// The loops of the rendering ops, from the shapes of positions and background.
pub(super) fn render_shape(
    positions: &TensorType,
    backgrounds: usize,
    channels: usize,
    screen: [usize; 2],
    size: usize,
) -> Result<RenderShape, String> {
    let &[samples, specks, 2] = positions.shape.as_slice() else {
        return Err("positions must be [samples, specks, 2]".to_owned());
    };
    if positions.dtype != DType::I32 {
        return Err("positions must be i32".to_owned());
    }
    if backgrounds != 1 && backgrounds != samples {
        return Err(format!("there must be 1 background or {samples}, not {backgrounds}"));
    }
    if size == 0 {
        return Err("a speck has at least one pixel".to_owned());
    }
    let [height, width] = screen;
    Ok(RenderShape { samples, specks, backgrounds, channels, height, width, size })
}

impl Render {
    fn shape(&self, inputs: &[&TensorType]) -> Result<RenderShape, String> {
        let &[backgrounds, channels] = inputs[2].shape.as_slice() else {
            return Err("the background must be [1 or samples, channels]".to_owned());
        };
        let shape = render_shape(inputs[0], backgrounds, channels, self.screen, self.size)?;
        if inputs[1].shape != [shape.samples, shape.specks, channels] {
            return Err(format!("colours must be [samples, specks, {channels}]"));
        }
        Ok(shape)
    }
}

impl Op for Render {
    fn form(&self) -> Form<'_> {
        Form::Render(self.size)
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("screen", super::sizes(&self.screen)), ("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 3)?;
        super::same_floats(&inputs[1..])?;
        let shape = self.shape(inputs)?;
        Ok(inputs[1].with_shape(&[shape.samples, shape.channels, shape.height, shape.width]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [positions, colours, background] = [vjp.inputs[0], vjp.inputs[1], vjp.inputs[2]];
        let to_colours = vjp.needs[1]
            .then(|| graph.unrender(positions, vjp.cotangent, self.size))
            .transpose()?;
        let to_background = vjp.needs[2].then(|| {
            // 1 on every pixel that shows the background.
            let hidden = graph.constant_like(colours, 0.0)?;
            let shown = graph.constant_like(background, 1.0)?;
            let mask = graph.render(positions, hidden, shown, self.screen, self.size)?;
            let seen = graph.mul(vjp.cotangent, mask)?;
            let sample = graph.sum(seen, &[2, 3])?;
            graph.sum_to(sample, &graph.shape(background))
        });
        Ok(vec![None, to_colours, to_background.transpose()?])
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
        let shape =
            self.shape(inputs).unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = render::RENDER.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("render", variant.name, 0, move |call| {
                let positions = call.input::<i32>(0);
                let (colours, background) = (call.input::<T>(1), call.input::<T>(2));
                // SAFETY: sizes come from the shapes; positions are clipped.
                unsafe { run(&shape, positions, colours, background, call.into_output()) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        render::gpu::calls(render::gpu::RENDER, &self.shape(inputs)?)
    }
}

impl Graph {
    /// Images [samples, channels, H, W]: a background of one colour (one for
    /// all samples, [1, channels], or one each) and specks of `size` × `size`
    /// pixels whose top-left pixels are at `positions` (i32 [samples, specks,
    /// 2], row then column) in `colours` [samples, specks, channels].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn render(
        &self,
        positions: NodeId,
        colours: NodeId,
        background: NodeId,
        screen: [usize; 2],
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(Render { screen, size }, &[positions, colours, background])
    }
}
