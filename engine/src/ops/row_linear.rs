//! `row_index`, `row_linear`, its two adjoints, and `row_sum`: linear layers on
//! flattened maps that are zero outside of windows, one row of weights for each
//! position and channel.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::rows::{self, Classes, Product, Rows};
use speck_kernels::window::Windows;
use speck_kernels::{Choice, KernelError};

/// Windows [samples, slots, height, width, channels] and the map they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowMap {
    /// The shape of the windows.
    pub windows: [usize; 5],
    /// Height and width of the map.
    pub map: [usize; 2],
}

impl RowMap {
    pub(super) fn rows(&self, outputs: usize, parts: usize) -> Rows {
        let [samples, slots, height, width, channels] = self.windows;
        let size = [height, width];
        let windows = Windows { samples, slots, channels, size, map: self.map };
        Rows { windows, outputs, parts }
    }

    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("windows", super::sizes(&self.windows)), ("map", super::sizes(&self.map))]
    }

    /// Rows: one a position and channel.
    pub(super) fn count(&self) -> usize {
        self.windows[4] * self.map[0] * self.map[1]
    }

    pub(super) fn check_index(&self, index: &TensorType) -> Result<(), String> {
        let elements = self.rows(0, 0).index_elements();
        if index.dtype == DType::I32 && index.shape == [elements] {
            return Ok(());
        }
        Err(format!("the index must be i32 [{elements}]"))
    }

    /// Parts and outputs of rows of this type.
    pub(super) fn row_shape(&self, rows: &TensorType) -> Result<[usize; 2], String> {
        match rows.shape.as_slice() {
            &[count, parts, outputs] if count == self.count() && parts > 0 => Ok([parts, outputs]),
            _ => Err(format!("rows must be [{}, parts, outputs]", self.count())),
        }
    }
}

/// Origins to the index.
#[derive(Debug)]
struct RowIndex {
    size: [usize; 2],
    map: [usize; 2],
}

/// The three bilinear maps, by what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// (windows, rows, index) → outputs.
    Outputs,
    /// (outputs, rows, index) → windows.
    Windows,
    /// (windows, outputs, index) → rows of one part.
    Rows,
}

#[derive(Debug)]
struct RowLinear {
    map: RowMap,
    wanted: Wanted,
}

/// (rows) or (rows, due) → sums over classes of positions.
#[derive(Debug)]
struct RowSum {
    map: RowMap,
    classes: Classes,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const MAP: RowMap = RowMap { windows: [3, 2, 2, 3, 2], map: [5, 4] };
const WINDOWS: (&[usize], Draw) = (&MAP.windows, DRAW);
const ROWS: (&[usize], Draw) = (&[40, 2, 4], DRAW);
const OUTPUTS: (&[usize], Draw) = (&[3, 4], DRAW);
const ORIGINS: (&[usize], Draw) = (&[3, 2, 2], Draw::Index(5));

/// The index of a case, whose last input are origins.
fn index(g: &Graph, x: &[NodeId]) -> Result<NodeId, GraphError> {
    g.row_index(x[x.len() - 1], [2, 3], MAP.map)
}

pub(super) static INDEX: OpInfo = OpInfo {
    name: "row_index",
    formula: "for each position of the map which places of windows lie on it; those beyond the border are left out",
    gradient: Gradient::Zero("origins are integers"),
    rule: None,
    kernels: || vec![rows::ROW_INDEX.status()],
    cases: || vec![Case::new("over the border", &[ORIGINS], index)],
};

pub(super) static INFO: OpInfo = OpInfo {
    name: "row_linear",
    formula: "y[b,o] = Σ x[b,s,i,j,c] w[(origin[b,s] + (i,j), c), 0, o] over places on the map",
    gradient: Gradient::Product("row_linear_patch(c, w) to x, row_linear_weight(x, c) to w"),
    rule: None,
    kernels: || vec![rows::ROW_LINEAR.status()],
    cases: || {
        vec![Case::new("over the border", &[WINDOWS, ROWS, ORIGINS], |g, x| {
            g.row_linear(x[0], x[1], index(g, x)?, MAP.map)
        })]
    },
};

pub(super) static PATCH: OpInfo = OpInfo {
    name: "row_linear_patch",
    formula: "the adjoint of row_linear in x, applied to c",
    gradient: Gradient::Product(
        "row_linear(k, w) to c, row_linear_weight(k, c) to w, for cotangent k",
    ),
    rule: None,
    kernels: || vec![rows::ROW_LINEAR_PATCH.status()],
    cases: || {
        vec![Case::new("over the border", &[OUTPUTS, ROWS, ORIGINS], |g, x| {
            let index = index(g, x)?;
            g.append(RowLinear { map: MAP, wanted: Wanted::Windows }, &[x[0], x[1], index])
        })]
    },
};

pub(super) static WEIGHT: OpInfo = OpInfo {
    name: "row_linear_weight",
    formula: "the adjoint of row_linear in w, applied to c",
    gradient: Gradient::Product(
        "row_linear_patch(c, k) to x, row_linear(x, k) to c, for cotangent k",
    ),
    rule: None,
    kernels: || vec![rows::ROW_LINEAR_WEIGHT.status()],
    cases: || {
        vec![Case::new("over the border", &[WINDOWS, OUTPUTS, ORIGINS], |g, x| {
            let index = index(g, x)?;
            g.append(RowLinear { map: MAP, wanted: Wanted::Rows }, &[x[0], x[1], index])
        })]
    },
};

pub(super) static SUM: OpInfo = OpInfo {
    name: "row_sum",
    formula: "y[k,c,o] = Σ x[(p,c), 0, o] over the positions p of class k; 0 where rows are not due",
    gradient: Gradient::Product("c[class[p],c,o] to part 0 of x"),
    rule: None,
    kernels: || vec![rows::ROW_SUM.status()],
    cases: || {
        vec![Case::new("three classes", &[ROWS], |g, x| {
            let classes: Vec<u32> = (0..20).map(|position| position % 7 % 3).collect();
            g.row_sum(x[0], MAP.map, &Classes { of: classes.into(), count: 3 }, None)
        })]
    },
};

impl Op for RowIndex {
    fn info(&self) -> &'static OpInfo {
        &INDEX
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("size", super::sizes(&self.size)), ("map", super::sizes(&self.map))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let rows = self.rows(inputs[0])?;
        Ok(inputs[0].with_shape(&[rows.index_elements()]))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let rows = self.rows(inputs[0]);
        let rows = rows.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        let variant = rows::ROW_INDEX.select::<f32>(choice)?;
        let run = variant.run;
        Ok(super::routine("row_index", variant.name, 0, move |call| {
            let origins = call.input(0);
            run(&rows, origins, call.into_output());
        }))
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        rows::gpu::index(&self.rows(inputs[0])?)
    }
}

impl RowIndex {
    fn rows(&self, origins: &TensorType) -> Result<Rows, String> {
        let &[samples, slots, 2] = origins.shape.as_slice() else {
            return Err("origins must be [samples, slots, 2]".to_owned());
        };
        if origins.dtype != DType::I32 {
            return Err("origins must be i32".to_owned());
        }
        let [height, width] = self.size;
        Ok(RowMap { windows: [samples, slots, height, width, 0], map: self.map }.rows(0, 0))
    }
}

impl RowLinear {
    fn with(&self, wanted: Wanted) -> Self {
        RowLinear { map: self.map.clone(), wanted }
    }

    fn kernel(&self) -> &'static Kernel<Product> {
        match self.wanted {
            Wanted::Outputs => &rows::ROW_LINEAR,
            Wanted::Windows => &rows::ROW_LINEAR_PATCH,
            Wanted::Rows => &rows::ROW_LINEAR_WEIGHT,
        }
    }

    /// The loops, if the inputs are what they should be.
    fn rows(&self, inputs: &[&TensorType]) -> Result<Rows, String> {
        super::arity(inputs, 3)?;
        super::same_floats(&inputs[..2])?;
        self.map.check_index(inputs[2])?;
        let [samples, windows] = [self.map.windows[0], 0];
        let fits = |input: usize, outputs: usize| match input {
            0 => inputs[windows].shape == self.map.windows,
            other => inputs[other - 1].shape == [samples, outputs],
        };
        let (parts, outputs, fits) = match self.wanted {
            Wanted::Outputs => {
                let [parts, outputs] = self.map.row_shape(inputs[1])?;
                (parts, outputs, fits(0, 0))
            }
            Wanted::Windows => {
                let [parts, outputs] = self.map.row_shape(inputs[1])?;
                (parts, outputs, fits(1, outputs))
            }
            Wanted::Rows => {
                let outputs = inputs[1].shape.last().copied().unwrap_or(0);
                (1, outputs, fits(0, 0) && fits(2, outputs))
            }
        };
        if fits { Ok(self.map.rows(outputs, parts)) } else { Err("sizes do not fit".to_owned()) }
    }
}

impl Op for RowLinear {
    fn info(&self) -> &'static OpInfo {
        match self.wanted {
            Wanted::Outputs => &INFO,
            Wanted::Windows => &PATCH,
            Wanted::Rows => &WEIGHT,
        }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.map.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let Rows { outputs, .. } = self.rows(inputs)?;
        Ok(match self.wanted {
            Wanted::Outputs => inputs[0].with_shape(&[self.map.windows[0], outputs]),
            Wanted::Windows => inputs[0].with_shape(&self.map.windows),
            Wanted::Rows => inputs[0].with_shape(&[self.map.count(), 1, outputs]),
        })
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let (c, [a, b, index]) = (vjp.cotangent, [0, 1, 2].map(|i| vjp.inputs[i]));
        // Each is linear in both inputs: the other two give the gradients.
        let (to_a, to_b) = match self.wanted {
            Wanted::Outputs => ((Wanted::Windows, [c, b]), (Wanted::Rows, [a, c])),
            Wanted::Windows => ((Wanted::Outputs, [c, b]), (Wanted::Rows, [c, a])),
            Wanted::Rows => ((Wanted::Windows, [b, c]), (Wanted::Outputs, [a, c])),
        };
        let gradient = |needed: bool, (wanted, [x, y]): (Wanted, [NodeId; 2]), like: NodeId| {
            if !needed {
                return Ok(None);
            }
            let gradient = graph.append(self.with(wanted), &[x, y, index])?;
            // Parts behind the first are not read.
            match graph.shape(like).as_slice() {
                &[_, parts, _] if wanted == Wanted::Rows && parts > 1 => {
                    graph.embed(gradient, 1, 0, 1, parts).map(Some)
                }
                _ => Ok(Some(gradient)),
            }
        };
        Ok(vec![gradient(vjp.needs[0], to_a, a)?, gradient(vjp.needs[1], to_b, b)?, None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let outputs = match self.wanted {
            Wanted::Outputs => output.shape[1],
            Wanted::Windows | Wanted::Rows => {
                inputs[usize::from(self.wanted == Wanted::Rows)].shape[1]
            }
        };
        // Each value of a window meets each output, and a value of the weight.
        let products = (self.map.windows.iter().product::<usize>() * outputs) as u64;
        let bytes = output.dtype.bytes() as u64;
        Cost { flops: 2 * products, read: products * bytes, written: output.bytes() as u64 }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let rows = self.rows(inputs);
        let rows = rows.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        let kernel = self.kernel();
        with_real!(output.dtype, T => {
            let variant = kernel.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine(kernel.name, variant.name, 0, move |call| {
                let (a, b, index) = (call.input::<T>(0), call.input::<T>(1), call.input(2));
                run(&rows, a, b, index, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let pass = match self.wanted {
            Wanted::Outputs => rows::gpu::OUTPUTS,
            Wanted::Windows => rows::gpu::WINDOWS,
            Wanted::Rows => rows::gpu::ROWS,
        };
        rows::gpu::product(pass, &self.rows(inputs)?)
    }
}

impl Op for RowSum {
    fn info(&self) -> &'static OpInfo {
        &SUM
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let classes: Vec<_> = self.classes.of.iter().map(u32::to_string).collect();
        let mut all = self.map.attributes();
        all.push(("classes", classes.join(",")));
        all.push(("count", self.classes.count.to_string()));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        if inputs.len() != 2 {
            super::arity(inputs, 1)?;
        }
        super::same_floats(&inputs[..1])?;
        let [_, outputs] = self.map.row_shape(inputs[0])?;
        if inputs.get(1).is_some_and(|due| due.dtype != DType::I32 || due.elements() != 1) {
            return Err("whether rows are due must be one i32".to_owned());
        }
        if self.classes.of.len() != self.map.map[0] * self.map.map[1] {
            return Err("one class a position".to_owned());
        }
        Ok(inputs[0].with_shape(&[self.classes.count, self.map.windows[4], outputs]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let [count, parts, outputs] = [0, 1, 2].map(|axis| shape[axis]);
        let classes: Vec<_> = self.classes.of.iter().map(|class| *class as i32).collect();
        let classes = crate::Tensor::from_i32(&[classes.len()], classes);
        let picked = graph.index_select(vjp.cotangent, 0, graph.constant(classes)?)?;
        let rows = graph.reshape(picked, &[count, 1, outputs])?;
        let rows = if parts > 1 { graph.embed(rows, 1, 0, 1, parts)? } else { rows };
        Ok([Some(rows), None].into_iter().take(vjp.inputs.len()).collect())
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let read = inputs[0].elements() / inputs[0].shape[1].max(1);
        let bytes = output.dtype.bytes() as u64;
        Cost { flops: read as u64, read: read as u64 * bytes, written: output.bytes() as u64 }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = self.map.row_shape(inputs[0]);
        let [parts, outputs] =
            shape.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        let (rows, classes) = (self.map.rows(outputs, parts), self.classes.clone());
        let always = inputs.len() == 1;
        with_real!(output.dtype, T => {
            let variant = rows::ROW_SUM.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("row_sum", variant.name, 0, move |call| {
                let wanted = always || call.input::<i32>(1)[0] != 0;
                let x = call.input::<T>(0);
                run(&rows, &classes, wanted, x, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let [parts, outputs] = self.map.row_shape(inputs[0])?;
        rows::gpu::sum(&self.map.rows(outputs, parts), &self.classes, inputs.len() == 1)
    }
}

impl Graph {
    /// For each position of a map of size `map` the places of windows of `size`
    /// at `origins` [samples, slots, 2] that lie on it, in the form that
    /// [`Graph::row_linear`] takes.
    ///
    /// # Errors
    /// Origins that are not i32 [samples, slots, 2].
    #[track_caller]
    pub fn row_index(
        &self,
        origins: NodeId,
        size: [usize; 2],
        map: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        self.append(RowIndex { size, map }, &[origins])
    }

    /// x W where `x`, [samples, positions · channels] of a map of size `map`, is
    /// zero but for the `windows` [samples, slots, height, width, channels] that
    /// `index` places; where windows overlap they add up. `rows` is [positions ·
    /// channels, parts, outputs], its part 0 the weight; the result [samples,
    /// outputs].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_linear(
        &self,
        windows: NodeId,
        rows: NodeId,
        index: NodeId,
        map: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(windows);
        let Ok(windows_shape) = shape.as_slice().try_into() else {
            let message = "windows must be [samples, slots, height, width, channels]".to_owned();
            return Err(self.error("row_linear", &[windows, rows], message));
        };
        let map = RowMap { windows: windows_shape, map };
        self.append(RowLinear { map, wanted: Wanted::Outputs }, &[windows, rows, index])
    }

    /// Part 0 of the `rows` [positions · channels, parts, outputs] of a map of
    /// size `map`, added up over the positions of each class: [classes, channels,
    /// outputs]. Zeros if `due`, an i32, is there and 0.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_sum(
        &self,
        rows: NodeId,
        map: [usize; 2],
        classes: &Classes,
        due: Option<NodeId>,
    ) -> Result<NodeId, GraphError> {
        let positions = (map[0] * map[1]).max(1);
        let channels = self.shape(rows).first().copied().unwrap_or(0) / positions;
        let map = RowMap { windows: [0, 0, 0, 0, channels], map };
        let inputs: Vec<_> = [rows].into_iter().chain(due).collect();
        self.append(RowSum { map, classes: classes.clone() }, &inputs)
    }

    /// The `weight` [outputs, channels · height · width] of a linear layer on maps
    /// of size `map` as rows of one part.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn as_rows(&self, weight: NodeId, map: [usize; 2]) -> Result<NodeId, GraphError> {
        let positions = map[0] * map[1];
        let shape = self.shape(weight);
        let outputs = shape.first().copied().unwrap_or(0);
        let channels = shape.iter().skip(1).product::<usize>() / positions.max(1);
        let rows = self.reshape(weight, &[outputs, channels, positions])?;
        let rows = self.permute(rows, &[2, 1, 0])?;
        self.reshape(rows, &[positions * channels, 1, outputs])
    }
}
