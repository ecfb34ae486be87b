//! `window_linear` and its two adjoints: a linear layer on flattened maps that
//! are zero outside of windows.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::window::{self, Linear, WindowLinear as Signature, Windows};
use speck_kernels::{Choice, KernelError};

/// The windows [samples, slots, height, width, channels] and the map they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WindowMap {
    /// The shape of the windows.
    windows: [usize; 5],
    /// Height and width of the map.
    map: [usize; 2],
}

impl WindowMap {
    fn linear(&self, outputs: usize, origins: &TensorType) -> Result<Linear, String> {
        let [samples, slots, height, width, channels] = self.windows;
        if origins.dtype != DType::I32 || origins.shape != [samples, slots, 2] {
            return Err(format!("origins must be i32 [{samples}, {slots}, 2]"));
        }
        let size = [height, width];
        Ok(Linear { windows: Windows { samples, slots, channels, size, map: self.map }, outputs })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("windows", super::sizes(&self.windows)), ("map", super::sizes(&self.map))]
    }

    fn inputs(&self) -> usize {
        self.windows[4] * self.map[0] * self.map[1]
    }
}

/// The three bilinear maps, by what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// (windows, weight, origins) → outputs.
    Outputs,
    /// (outputs, weight, origins) → windows.
    Windows,
    /// (windows, outputs, origins) → weight.
    Weight,
}

#[derive(Debug)]
struct WindowLinear {
    map: WindowMap,
    wanted: Wanted,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const PLACES: Draw = Draw::Index(5);
const MAP: WindowMap = WindowMap { windows: [3, 2, 2, 3, 2], map: [5, 4] };
const WINDOWS: (&[usize], Draw) = (&MAP.windows, DRAW);
const WEIGHT: (&[usize], Draw) = (&[4, 40], DRAW);
const OUTPUTS: (&[usize], Draw) = (&[3, 4], DRAW);
const ORIGINS: (&[usize], Draw) = (&[3, 2, 2], PLACES);

pub(super) static INFO: OpInfo = OpInfo {
    name: "window_linear",
    formula: "y[b,o] = Σ x[b,s,i,j,c] w[o, (c, origin[b,s] + (i,j))] over places on the map",
    gradient: Gradient::Product("window_linear_patch(c, w) to x, window_linear_weight(x, c) to w"),
    rule: None,
    kernels: || vec![window::WINDOW_LINEAR.status()],
    cases: || {
        vec![Case::new("over the border", &[WINDOWS, WEIGHT, ORIGINS], |g, x| {
            g.window_linear(x[0], x[1], x[2], MAP.map)
        })]
    },
};

pub(super) static PATCH: OpInfo = OpInfo {
    name: "window_linear_patch",
    formula: "the adjoint of window_linear in x, applied to c",
    gradient: Gradient::Product(
        "window_linear(k, w) to c, window_linear_weight(k, c) to w, for cotangent k",
    ),
    rule: None,
    kernels: || vec![window::WINDOW_LINEAR_PATCH.status()],
    cases: || {
        vec![Case::new("over the border", &[OUTPUTS, WEIGHT, ORIGINS], |g, x| {
            g.append(WindowLinear { map: MAP, wanted: Wanted::Windows }, x)
        })]
    },
};

pub(super) static WEIGHT_GRADIENT: OpInfo = OpInfo {
    name: "window_linear_weight",
    formula: "the adjoint of window_linear in w, applied to c",
    gradient: Gradient::Product(
        "window_linear_patch(c, k) to x, window_linear(x, k) to c, for cotangent k",
    ),
    rule: None,
    kernels: || vec![window::WINDOW_LINEAR_WEIGHT.status()],
    cases: || {
        vec![Case::new("over the border", &[WINDOWS, OUTPUTS, ORIGINS], |g, x| {
            g.append(WindowLinear { map: MAP, wanted: Wanted::Weight }, x)
        })]
    },
};

impl WindowLinear {
    fn with(&self, wanted: Wanted) -> Self {
        WindowLinear { map: self.map.clone(), wanted }
    }

    fn kernel(&self) -> &'static Kernel<Signature> {
        match self.wanted {
            Wanted::Outputs => &window::WINDOW_LINEAR,
            Wanted::Windows => &window::WINDOW_LINEAR_PATCH,
            Wanted::Weight => &window::WINDOW_LINEAR_WEIGHT,
        }
    }

    /// The loops, if the inputs are what they should be.
    fn linear(&self, inputs: &[&TensorType]) -> Result<Linear, String> {
        super::arity(inputs, 3)?;
        super::same_floats(&inputs[..2])?;
        // Outputs [samples, O] come last or first, the weight [O, inputs] in the middle.
        let outputs = match self.wanted {
            Wanted::Outputs | Wanted::Windows => inputs[1].shape.first().copied(),
            Wanted::Weight => inputs[1].shape.get(1).copied(),
        };
        let linear = self.map.linear(outputs.unwrap_or(0), inputs[2])?;
        let windows = self.map.windows.as_slice();
        let weight = [linear.outputs, self.map.inputs()];
        let out = [self.map.windows[0], linear.outputs];
        let [first, second]: [&[usize]; 2] = match self.wanted {
            Wanted::Outputs => [windows, &weight],
            Wanted::Windows => [&out, &weight],
            Wanted::Weight => [windows, &out],
        };
        for (input, expected) in inputs.iter().zip([first, second]) {
            if input.shape != expected {
                return Err(format!("an input must be {expected:?}"));
            }
        }
        Ok(linear)
    }
}

impl Op for WindowLinear {
    fn info(&self) -> &'static OpInfo {
        match self.wanted {
            Wanted::Outputs => &INFO,
            Wanted::Windows => &PATCH,
            Wanted::Weight => &WEIGHT_GRADIENT,
        }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.map.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let linear = self.linear(inputs)?;
        let matrix = match self.wanted {
            Wanted::Outputs => [self.map.windows[0], linear.outputs],
            Wanted::Windows => return Ok(inputs[0].with_shape(&self.map.windows)),
            Wanted::Weight => [linear.outputs, linear.inputs()],
        };
        Ok(inputs[0].with_shape(&matrix))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let (c, [a, b, origins]) = (vjp.cotangent, [0, 1, 2].map(|i| vjp.inputs[i]));
        // Each is linear in both inputs: the other two give the gradients.
        let (to_a, to_b) = match self.wanted {
            Wanted::Outputs => ((Wanted::Windows, [c, b]), (Wanted::Weight, [a, c])),
            Wanted::Windows => ((Wanted::Outputs, [c, b]), (Wanted::Weight, [c, a])),
            Wanted::Weight => ((Wanted::Windows, [b, c]), (Wanted::Outputs, [a, c])),
        };
        let gradient = |needed: bool, (wanted, [first, second]): (Wanted, [NodeId; 2])| {
            let op = self.with(wanted);
            needed.then(|| graph.append(op, &[first, second, origins])).transpose()
        };
        Ok(vec![gradient(vjp.needs[0], to_a)?, gradient(vjp.needs[1], to_b)?, None])
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        let linear = self.map.windows.iter().product::<usize>();
        let outputs = match self.wanted {
            Wanted::Outputs => output.shape[1],
            Wanted::Windows => 0,
            Wanted::Weight => output.shape[0],
        };
        // Each value of a window meets each output, and a value of the weight.
        let products = (linear * outputs.max(1)) as u64;
        let bytes = output.dtype.bytes() as u64;
        Cost { flops: 2 * products, read: products * bytes, written: output.bytes() as u64 }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let linear = self.linear(inputs);
        let linear = linear.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        let kernel = self.kernel();
        with_real!(output.dtype, T => {
            let variant = kernel.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine(kernel.name, variant.name, 0, move |call| {
                let (a, b, origins) = (call.input::<T>(0), call.input::<T>(1), call.input(2));
                run(&linear, a, b, origins, call.into_output());
            }))
        })
    }
}

impl Graph {
    /// x Wᵀ where `x`, [samples, channels · height · width] of a map of size
    /// `map`, is zero but for the `windows` [samples, slots, height, width,
    /// channels] that begin at `origins`; where windows overlap they add up.
    /// `weight` is [outputs, channels · height · width]; the result [samples,
    /// outputs].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn window_linear(
        &self,
        windows: NodeId,
        weight: NodeId,
        origins: NodeId,
        map: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(windows);
        let Ok(windows_shape) = shape.as_slice().try_into() else {
            let message = "windows must be [samples, slots, height, width, channels]".to_owned();
            return Err(self.error("window_linear", &[windows, weight], message));
        };
        let map = WindowMap { windows: windows_shape, map };
        self.append(WindowLinear { map, wanted: Wanted::Outputs }, &[windows, weight, origins])
    }
}
