//! Steps of an optimizer on the rows of a linear layer, only on those under
//! windows: `row_catch_up`, `row_update`, and the counters they go by.
//!
//! A layer is a slot [positions · channels, parts, outputs] that both ops change
//! in place, weight and moments side by side. `row_catch_up` comes first in a
//! step and makes on the rows that will be read the steps that they have missed;
//! `row_update` comes last. Between the two the rows under windows are those of
//! the dense optimizer. Where every row has a gradient, or every so many steps,
//! all rows are `due`: they are all brought up to date and updated.

use super::row_linear::RowMap;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{
    Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Routine, Vjp, streaming,
};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::rows::rule::Rule;
use speck_kernels::rows::{self, Change, Classes, HISTORY, Missed};
use speck_kernels::{Choice, KernelError, Real};

/// (rows, last, index, due, step, rates) → rows.
#[derive(Debug)]
struct CatchUp {
    map: RowMap,
    rule: Rule,
}

/// (rows, windows, outputs, sums, index, due, rate, step) → rows.
#[derive(Debug)]
struct Update {
    map: RowMap,
    classes: Classes,
    rule: Rule,
}

/// (base, step) → whether all rows are due.
#[derive(Debug)]
struct Due;

/// (last, index, due, step) → last.
#[derive(Debug)]
struct Seen;

/// (rates, rate, step) → rates.
#[derive(Debug)]
struct Rates;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const MAP: RowMap = RowMap { windows: [3, 2, 2, 3, 2], map: [5, 4] };
const ROWS: (&[usize], Draw) = (&[40, 3, 4], DRAW);
const ORIGINS: (&[usize], Draw) = (&[3, 2, 2], Draw::Index(5));
const RULE: Rule = Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.01 };
const IN_STATE: &str = "an update of state is no part of the function: nothing is passed back";

fn index(g: &Graph, origins: NodeId) -> Result<NodeId, GraphError> {
    g.row_index(origins, [2, 3], MAP.map)
}

fn integer(g: &Graph, value: i32) -> Result<NodeId, GraphError> {
    g.constant(crate::Tensor::from_i32(&[], vec![value]))
}

pub(super) static CATCH_UP: OpInfo = OpInfo {
    name: "row_catch_up",
    formula: "the steps that rows under windows, or all that are due, have missed, each with a gradient of zero",
    gradient: Gradient::Stated(IN_STATE),
    rule: None,
    kernels: || vec![rows::ROW_CATCH_UP.status()],
    cases: || {
        let last: (&[usize], Draw) = (&[20], Draw::Index(8));
        let rates: (&[usize], Draw) = (&[HISTORY], Draw::Uniform(0.0, 0.01));
        vec![Case::new("under windows", &[ROWS, last, ORIGINS, rates], |g, x| {
            let rows = g.square(x[0])?;
            let index = index(g, x[2])?;
            let [due, step] = [integer(g, 0)?, integer(g, 7)?];
            g.row_catch_up(rows, [x[1], index, due, step, x[3]], MAP.windows, MAP.map, RULE)
        })]
    },
};

pub(super) static UPDATE: OpInfo = OpInfo {
    name: "row_update",
    formula: "a step of an optimizer on rows under windows, or all that are due, with the gradient Σ x[b,p,c] y[b,o] + s[class[p],c,o]",
    gradient: Gradient::Stated(IN_STATE),
    rule: None,
    kernels: || vec![rows::ROW_UPDATE.status()],
    cases: || {
        let windows: (&[usize], Draw) = (&MAP.windows, DRAW);
        let (outputs, sums): (&[usize], &[usize]) = (&[3, 4], &[3, 2, 4]);
        vec![Case::new(
            "under windows",
            &[ROWS, windows, (outputs, DRAW), (sums, DRAW), ORIGINS],
            |g, x| {
                let rows = g.square(x[0])?;
                let classes: Vec<u32> = (0..20).map(|position| position % 7 % 3).collect();
                let classes = Classes { of: classes.into(), count: 3 };
                let counters = [index(g, x[4])?, integer(g, 0)?, integer(g, 7)?];
                let rate = g.scalar(0.01)?;
                g.row_update(rows, [x[1], x[2], x[3]], counters, rate, MAP.map, &classes, RULE)
            },
        )]
    },
};

pub(super) static DUE: OpInfo = OpInfo {
    name: "row_due",
    formula: "y = 1 if any x ≠ 0 or the step is a multiple of 256, else 0",
    gradient: Gradient::Zero("the result is an integer"),
    rule: None,
    kernels: || vec![rows::ROW_DUE.status()],
    cases: || {
        vec![
            Case::new("a base", &[(&[2, 3], DRAW)], |g, x| g.row_due(x[0], integer(g, 3)?)),
            Case::new("a step", &[(&[0], DRAW)], |g, x| g.row_due(x[0], integer(g, 512)?)),
            Case::new("neither", &[(&[0], DRAW)], |g, x| g.row_due(x[0], integer(g, 513)?)),
        ]
    },
};

pub(super) static SEEN: OpInfo = OpInfo {
    name: "row_seen",
    formula: "y[p] = step where a window lies on p or all are due, else last[p]",
    gradient: Gradient::Zero("steps are integers"),
    rule: None,
    kernels: || vec![rows::ROW_SEEN.status()],
    cases: || {
        let last: (&[usize], Draw) = (&[20], Draw::Index(8));
        vec![
            Case::new("under windows", &[last, ORIGINS], |g, x| {
                g.row_seen(x[0], index(g, x[1])?, integer(g, 0)?, integer(g, 9)?)
            }),
            Case::new("all", &[last, ORIGINS], |g, x| {
                g.row_seen(x[0], index(g, x[1])?, integer(g, 1)?, integer(g, 9)?)
            }),
        ]
    },
};

pub(super) static RATES: OpInfo = OpInfo {
    name: "row_rates",
    formula: "y = x with the rate of step + 1 at (step + 1) mod 256",
    gradient: Gradient::Stated(IN_STATE),
    rule: None,
    kernels: || vec![rows::ROW_RATES.status()],
    cases: || {
        vec![Case::new("past the end", &[(&[HISTORY], DRAW), (&[], DRAW)], |g, x| {
            g.row_rates(x[0], x[1], integer(g, 300)?)
        })]
    },
};

fn in_place(
    kernel: &str,
    variant: &str,
    run: impl Fn(crate::op::Arguments<'_>) + Send + Sync + 'static,
) -> Lowered {
    let label = format!("{kernel}:{variant}");
    Lowered::InPlace(Routine {
        label,
        scratch: 0,
        reports: false,
        passes: false,
        run: Box::new(run),
    })
}

fn integers(inputs: &[&TensorType], elements: usize) -> Result<(), String> {
    let fits = |ty: &&&TensorType| ty.dtype == DType::I32 && ty.elements() == elements;
    if inputs.iter().filter(fits).count() == inputs.len() {
        return Ok(());
    }
    Err(format!("counters must be i32 of {elements} elements"))
}

fn unseen(inputs: usize) -> Gradients {
    Ok(vec![None; inputs])
}

/// Reads and writes of so many rows; how many are touched is known at run time
/// only, at most one a place of a window.
fn rows_cost(map: &RowMap, rows: &TensorType) -> Cost {
    let places = map.windows.iter().product::<usize>().min(map.count());
    let values = (places * rows.shape[1] * rows.shape[2]) as u64;
    let bytes = values * rows.dtype.bytes() as u64;
    Cost { flops: 4 * values, read: bytes, written: bytes }
}

impl Op for CatchUp {
    fn info(&self) -> &'static OpInfo {
        &CATCH_UP
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.map.attributes();
        all.push(("rule", format!("{:?}", self.rule)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 6)?;
        super::same_floats(&[inputs[0], inputs[5]])?;
        let [parts, _] = self.map.row_shape(inputs[0])?;
        integers(&inputs[1..2], self.map.map[0] * self.map.map[1])?;
        self.map.check_index(inputs[2])?;
        integers(&inputs[3..5], 1)?;
        if parts != self.rule.parts() || inputs[5].shape != [HISTORY] {
            return Err(format!(
                "rows have {} parts, and there are {HISTORY} rates",
                self.rule.parts()
            ));
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        unseen(vjp.inputs.len())
    }
    fn cost(&self, inputs: &[&TensorType], _: &TensorType) -> Cost {
        rows_cost(&self.map, inputs[0])
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (rows, rule) = (self.map.rows(inputs[0].shape[2], inputs[0].shape[1]), self.rule);
        with_real!(output.dtype, T => {
            let variant = rows::ROW_CATCH_UP.select::<T>(choice)?;
            let run = variant.run;
            Ok(in_place("row_catch_up", variant.name, move |call| {
                let missed = Missed {
                    last: call.input(1),
                    step: call.input::<i32>(4)[0] as u32 as u64,
                    rates: call.input::<T>(5),
                    index: call.input(2),
                    all: call.input::<i32>(3)[0] != 0,
                };
                run(&rows, &rule, &missed, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let rows = self.map.rows(inputs[0].shape[2], inputs[0].shape[1]);
        rows::gpu::catch_up(&rows, &self.rule)
    }
}

impl Op for Update {
    fn info(&self) -> &'static OpInfo {
        &UPDATE
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let classes: Vec<_> = self.classes.of.iter().map(u32::to_string).collect();
        let mut all = self.map.attributes();
        all.push(("classes", classes.join(",")));
        all.push(("count", self.classes.count.to_string()));
        all.push(("rule", format!("{:?}", self.rule)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 8)?;
        super::same_floats(&[inputs[0], inputs[1], inputs[2], inputs[3], inputs[6]])?;
        let [parts, outputs] = self.map.row_shape(inputs[0])?;
        self.map.check_index(inputs[4])?;
        integers(&[inputs[5], inputs[7]], 1)?;
        let sums = [self.classes.count, self.map.windows[4], outputs];
        let fits = inputs[1].shape == self.map.windows
            && inputs[2].shape == [self.map.windows[0], outputs]
            && inputs[3].shape == sums
            && inputs[6].elements() == 1
            && self.classes.of.len() == self.map.map[0] * self.map.map[1]
            && parts == self.rule.parts();
        if fits { Ok(inputs[0].clone()) } else { Err("sizes do not fit".to_owned()) }
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        unseen(vjp.inputs.len())
    }
    fn cost(&self, inputs: &[&TensorType], _: &TensorType) -> Cost {
        let products = self.map.windows.iter().product::<usize>() * inputs[0].shape[2];
        let cost = rows_cost(&self.map, inputs[0]);
        Cost { flops: cost.flops + 2 * products as u64, ..cost }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (rows, rule) = (self.map.rows(inputs[0].shape[2], inputs[0].shape[1]), self.rule);
        let classes = self.classes.clone();
        with_real!(output.dtype, T => {
            let variant = rows::ROW_UPDATE.select::<T>(choice)?;
            let run = variant.run;
            Ok(in_place("row_update", variant.name, move |call| {
                let change = Change {
                    windows: call.input::<T>(1),
                    outputs: call.input(2),
                    sums: call.input(3),
                    index: call.input(4),
                    all: call.input::<i32>(5)[0] != 0,
                    rate: Real::wide(call.input::<T>(6)[0]),
                    step: call.input::<i32>(7)[0] as u32 as u64 + 1,
                };
                run(&rows, &classes, &rule, &change, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let rows = self.map.rows(inputs[0].shape[2], inputs[0].shape[1]);
        rows::gpu::update(&rows, &self.rule, &self.classes)
    }
}

impl Op for Due {
    fn info(&self) -> &'static OpInfo {
        &DUE
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(&inputs[..1])?;
        integers(&inputs[1..], 1)?;
        Ok(TensorType::new(DType::I32, &[]))
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        unseen(vjp.inputs.len())
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
        with_real!(inputs[0].dtype, T => {
            let variant = rows::ROW_DUE.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("row_due", variant.name, 0, move |call| {
                let (base, step) = (call.input::<T>(0), call.input(1));
                run(base, step, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        rows::gpu::due(inputs[0].elements())
    }
}

impl Op for Seen {
    fn info(&self) -> &'static OpInfo {
        &SEEN
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 4)?;
        integers(&inputs[2..], 1)?;
        let counters = inputs[..2].iter().all(|ty| ty.dtype == DType::I32);
        if !counters || inputs[1].elements() <= inputs[0].elements() {
            return Err("last steps and their index must be i32".to_owned());
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        unseen(vjp.inputs.len())
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let variant = rows::ROW_SEEN.select::<f32>(choice)?;
        let run = variant.run;
        Ok(super::routine("row_seen", variant.name, 0, move |call| {
            let [last, index, due, step] = [0, 1, 2, 3].map(|i| call.input(i));
            run(last, index, due, step, call.into_output());
        }))
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        rows::gpu::seen(output.elements())
    }
}

impl Op for Rates {
    fn info(&self) -> &'static OpInfo {
        &RATES
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 3)?;
        super::same_floats(&inputs[..2])?;
        integers(&inputs[2..], 1)?;
        if inputs[0].shape != [HISTORY] || inputs[1].elements() != 1 {
            return Err(format!("takes {HISTORY} rates and one more"));
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        unseen(vjp.inputs.len())
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
        with_real!(inputs[0].dtype, T => {
            let variant = rows::ROW_RATES.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("row_rates", variant.name, 0, move |call| {
                let (rates, rate) = (call.input::<T>(0), call.input::<T>(1));
                let step = call.input(2);
                run(rates, rate, step, call.into_output());
            }))
        })
    }
    fn shade(&self, _: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        rows::gpu::rates()
    }
}

impl Graph {
    /// The `rows` [positions · channels, parts, outputs], a slot of the state or a
    /// value that nothing else reads, brought up to date in place: on rows under
    /// windows, or on all where `due`, the steps of `rule` behind the `last` up to
    /// `step`, each with a gradient of zero.
    ///
    /// `counters` are: i32 [positions] the last step of each position, the index
    /// of the windows (shape `windows`, on a map of size `map`), i32 [] whether
    /// all rows are due, i32 [] the steps made so far, and the rates of the last
    /// [`HISTORY`] steps, that of step t at t mod [`HISTORY`].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_catch_up(
        &self,
        rows: NodeId,
        counters: [NodeId; 5],
        windows: [usize; 5],
        map: [usize; 2],
        rule: Rule,
    ) -> Result<NodeId, GraphError> {
        let [last, index, due, step, rates] = counters;
        let op = CatchUp { map: RowMap { windows, map }, rule };
        self.append(op, &[rows, last, index, due, step, rates])
    }

    /// The `rows` after one step of `rule`, in place: rows under windows, or all
    /// where they are due.
    ///
    /// `parts` of the gradient are: the windows [samples, slots, height, width,
    /// channels], the cotangent of the outputs [samples, outputs], and the
    /// gradient of the sums over `classes`; `counters` the index of the windows,
    /// whether all rows are due, and the steps made before this one.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_update(
        &self,
        rows: NodeId,
        parts: [NodeId; 3],
        counters: [NodeId; 3],
        rate: NodeId,
        map: [usize; 2],
        classes: &Classes,
        rule: Rule,
    ) -> Result<NodeId, GraphError> {
        let [windows, outputs, sums] = parts;
        let [index, due, step] = counters;
        let shape = self.shape(windows);
        let Ok(windows_shape) = shape.as_slice().try_into() else {
            let message = "windows must be [samples, slots, height, width, channels]".to_owned();
            return Err(self.error("row_update", &[windows, rows], message));
        };
        let map = RowMap { windows: windows_shape, map };
        let op = Update { map, classes: classes.clone(), rule };
        self.append(op, &[rows, windows, outputs, sums, index, due, rate, step])
    }

    /// i32 []: 1 if any value of `base` is not 0 or the steps made so far are a
    /// multiple of [`HISTORY`], else 0.
    ///
    /// # Errors
    /// A step that is not one i32.
    #[track_caller]
    pub fn row_due(&self, base: NodeId, step: NodeId) -> Result<NodeId, GraphError> {
        self.append(Due, &[base, step])
    }

    /// The `last` steps of rows: `step` where a window of the index lies or all are
    /// `due`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_seen(
        &self,
        last: NodeId,
        index: NodeId,
        due: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.append(Seen, &[last, index, due, step])
    }

    /// The `rates` of the last [`HISTORY`] steps with the `rate` of the step behind
    /// `step`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn row_rates(
        &self,
        rates: NodeId,
        rate: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.append(Rates, &[rates, rate, step])
    }
}
