//! Operators that work element by element, and activations.
//!
//! A number may stand where a second tensor could, and whole numbers count as
//! floats: their results are compared as numbers.

use super::Adapter;
use crate::conform::arguments::{self, Arguments, Problem};
use serde_json::Value;
use speck_engine::{DType, Graph, GraphError, NodeId};

type Unary = fn(&Graph, NodeId) -> Result<NodeId, GraphError>;
type Binary = fn(&Graph, NodeId, NodeId) -> Result<NodeId, GraphError>;
type Along = fn(&Graph, NodeId, usize) -> Result<NodeId, GraphError>;
type Nodes = Result<Vec<NodeId>, Problem>;

fn output(node: Result<NodeId, GraphError>) -> Nodes {
    Ok(vec![node?])
}

/// A tensor or a number, if there is one of that name.
fn maybe(call: &Arguments<'_>, name: &str) -> Result<Option<NodeId>, Problem> {
    let graph = call.graph;
    if let Some(node) = call.optional(name) {
        let integer = graph.ty(node).dtype == DType::I32;
        return Ok(Some(if integer { graph.cast(node)? } else { node }));
    }
    let number = match call.get(name) {
        None => return Ok(None),
        Some(Value::Bool(value)) => f64::from(u8::from(*value)),
        Some(Value::String(word)) if word == "NaN" => f64::NAN,
        Some(_) => call.number(name, 0.0)?,
    };
    Ok(Some(graph.scalar(number)?))
}

/// A tensor or a number.
fn operand(call: &Arguments<'_>, name: &str) -> Result<NodeId, Problem> {
    maybe(call, name)?.ok_or_else(|| Problem::Unsupported(format!("no input `{name}`")))
}

/// A tensor or a number under the first of two names that is there.
fn either(call: &Arguments<'_>, name: &str, other: &str) -> Result<NodeId, Problem> {
    match maybe(call, name)? {
        Some(node) => Ok(node),
        None => operand(call, other),
    }
}

fn input(call: &Arguments<'_>) -> Result<NodeId, Problem> {
    either(call, "input", "self")
}

fn one(call: &Arguments<'_>, build: Unary) -> Nodes {
    output(build(call.graph, input(call)?))
}

fn two(call: &Arguments<'_>, build: Binary) -> Nodes {
    output(build(call.graph, input(call)?, operand(call, "other")?))
}

/// Along the axis `dim`; without it, 0 or 1 depending on the rank, as
/// `torch.nn.functional` does. A tensor without dimensions counts as a vector
/// of one.
fn along(call: &Arguments<'_>, build: Along) -> Nodes {
    let (graph, x) = (call.graph, input(call)?);
    let shape = graph.shape(x);
    let default = if matches!(shape.len(), 0 | 1 | 3) { 0 } else { 1 };
    let axis = call.axis("dim", default, shape.len())?;
    if !shape.is_empty() {
        return output(build(graph, x, axis));
    }
    let vector = graph.reshape(x, &[1])?;
    let result = build(graph, vector, axis)?;
    output(graph.reshape(result, &[]))
}

fn rounded(call: &Arguments<'_>) -> Nodes {
    let decimals = call.integer("decimals")?.unwrap_or(0);
    if decimals == 0 {
        return one(call, Graph::round);
    }
    let decimals = i32::try_from(decimals)
        .map_err(|_| Problem::Unsupported(format!("rounding to {decimals} decimals")))?;
    output(call.graph.round_to(input(call)?, decimals))
}

fn divided(call: &Arguments<'_>) -> Nodes {
    match call.word("rounding_mode", "none")?.as_str() {
        "none" => two(call, Graph::div),
        "floor" => two(call, Graph::div_floor),
        "trunc" => two(call, Graph::div_trunc),
        other => Err(Problem::Unsupported(format!("rounding mode `{other}`"))),
    }
}

fn gelu(call: &Arguments<'_>) -> Nodes {
    match call.word("approximate", "none")?.as_str() {
        "none" => one(call, Graph::gelu),
        "tanh" => one(call, Graph::gelu_tanh),
        other => Err(Problem::Unsupported(format!("approximation `{other}`"))),
    }
}

fn glu(call: &Arguments<'_>) -> Nodes {
    let x = input(call)?;
    let axis = arguments::axis(call.integer("dim")?.unwrap_or(-1), call.graph.shape(x).len())?;
    output(call.graph.glu(x, axis))
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("abs", |call| one(call, Graph::abs)),
    ("acos", |call| one(call, Graph::acos)),
    ("asin", |call| one(call, Graph::asin)),
    ("atan", |call| one(call, Graph::atan)),
    ("ceil", |call| one(call, Graph::ceil)),
    ("cos", |call| one(call, Graph::cos)),
    ("cosh", |call| one(call, Graph::cosh)),
    ("erf", |call| one(call, Graph::erf)),
    ("exp", |call| one(call, Graph::exp)),
    ("expm1", |call| one(call, Graph::expm1)),
    ("floor", |call| one(call, Graph::floor)),
    ("frac", |call| one(call, Graph::frac)),
    ("log", |call| one(call, Graph::log)),
    ("log1p", |call| one(call, Graph::log1p)),
    ("log2", |call| one(call, Graph::log2)),
    ("neg", |call| one(call, Graph::neg)),
    ("reciprocal", |call| one(call, Graph::reciprocal)),
    ("round", rounded),
    ("rsqrt", |call| one(call, Graph::rsqrt)),
    ("sign", |call| one(call, Graph::sign)),
    ("sin", |call| one(call, Graph::sin)),
    ("sinh", |call| one(call, Graph::sinh)),
    ("sqrt", |call| one(call, Graph::sqrt)),
    ("square", |call| one(call, Graph::square)),
    ("tan", |call| one(call, Graph::tan)),
    ("tanh", |call| one(call, Graph::tanh)),
    ("trunc", |call| one(call, Graph::trunc)),
    // Of two or more
    ("add", |call| {
        let (a, b) = (input(call)?, operand(call, "other")?);
        output(call.graph.add_scaled(a, b, call.number("alpha", 1.0)?))
    }),
    ("sub", |call| {
        let (a, b) = (input(call)?, operand(call, "other")?);
        output(call.graph.sub_scaled(a, b, call.number("alpha", 1.0)?))
    }),
    ("mul", |call| two(call, Graph::mul)),
    ("div", divided),
    ("atan2", |call| two(call, Graph::atan2)),
    ("logaddexp", |call| two(call, Graph::logaddexp)),
    ("maximum", |call| two(call, Graph::maximum)),
    ("minimum", |call| two(call, Graph::minimum)),
    ("xlogy", |call| two(call, Graph::xlogy)),
    ("pow", |call| {
        let (base, exponent) = (input(call)?, either(call, "exponent", "other")?);
        output(call.graph.pow(base, exponent))
    }),
    ("lerp", |call| {
        let [end, weight] = [operand(call, "end")?, operand(call, "weight")?];
        output(call.graph.lerp(input(call)?, end, weight))
    }),
    ("clamp", |call| {
        let [min, max] = [maybe(call, "min")?, maybe(call, "max")?];
        output(call.graph.clamp(input(call)?, min, max))
    }),
    ("gt", |call| two(call, Graph::greater)),
    ("lt", |call| two(call, |graph, a, b| graph.greater(b, a))),
    ("eq", |call| two(call, Graph::equal)),
    ("where", |call| {
        let [condition, other] = [operand(call, "condition")?, operand(call, "other")?];
        output(call.graph.select(condition, input(call)?, other))
    }),
    ("masked_fill", |call| {
        let [mask, value] = [operand(call, "mask")?, operand(call, "value")?];
        output(call.graph.masked_fill(input(call)?, mask, value))
    }),
    // Activations
    ("celu", |call| output(call.graph.celu(input(call)?, call.number("alpha", 1.0)?))),
    ("elu", |call| output(call.graph.elu(input(call)?, call.number("alpha", 1.0)?))),
    ("gelu", gelu),
    ("glu", glu),
    ("hardshrink", |call| output(call.graph.hardshrink(input(call)?, call.number("lambd", 0.5)?))),
    ("hardsigmoid", |call| one(call, Graph::hardsigmoid)),
    ("hardswish", |call| one(call, Graph::hardswish)),
    ("hardtanh", |call| {
        let [low, high] = [call.number("min_val", -1.0)?, call.number("max_val", 1.0)?];
        output(call.graph.hardtanh(input(call)?, low, high))
    }),
    ("leaky_relu", |call| {
        output(call.graph.leaky_relu(input(call)?, call.number("negative_slope", 0.01)?))
    }),
    ("log_softmax", |call| along(call, Graph::log_softmax)),
    ("logsigmoid", |call| one(call, Graph::logsigmoid)),
    ("mish", |call| one(call, Graph::mish)),
    ("prelu", |call| output(call.graph.prelu(input(call)?, operand(call, "weight")?))),
    ("relu", |call| one(call, Graph::relu)),
    ("relu6", |call| one(call, Graph::relu6)),
    ("selu", |call| one(call, Graph::selu)),
    ("sigmoid", |call| one(call, Graph::sigmoid)),
    ("silu", |call| one(call, Graph::silu)),
    ("softmax", |call| along(call, Graph::softmax)),
    ("softmin", |call| along(call, Graph::softmin)),
    ("softplus", |call| {
        let [beta, threshold] = [call.number("beta", 1.0)?, call.number("threshold", 20.0)?];
        output(call.graph.softplus_above(input(call)?, beta, threshold))
    }),
    ("softshrink", |call| output(call.graph.softshrink(input(call)?, call.number("lambd", 0.5)?))),
    ("softsign", |call| one(call, Graph::softsign)),
    ("tanhshrink", |call| one(call, Graph::tanhshrink)),
    ("threshold", |call| {
        let [threshold, value] = [call.number("threshold", 0.0)?, call.number("value", 0.0)?];
        output(call.graph.threshold(input(call)?, threshold, value))
    }),
];
