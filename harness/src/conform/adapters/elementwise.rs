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

#[cfg(test)]
mod tests {
    use super::{Arguments, Problem};
    use crate::conform::adapters::build;
    use serde_json::{Value, json};
    use speck_engine::{DType, Graph, Options, Program, State, Tensor};
    use std::collections::{BTreeMap, BTreeSet};

    const INF: f64 = f64::INFINITY;

    /// Shape and values of the one output of a call in f64.
    fn call(
        op: &str,
        attributes: Value,
        inputs: &[(&str, Tensor)],
    ) -> Result<(Vec<usize>, Vec<f64>), Problem> {
        let graph = Graph::new(DType::F64);
        let mut nodes = BTreeMap::new();
        for (name, tensor) in inputs {
            let node = graph.input(name, tensor.ty().dtype, tensor.shape())?;
            nodes.insert((*name).to_owned(), node);
        }
        let attributes = attributes.as_object().expect("attributes");
        let truths = BTreeSet::new();
        let arguments = Arguments { graph: &graph, inputs: nodes, attributes, truths };
        let output = build(op, &arguments)?[0];
        graph.output("y", output)?;
        let mut program = Program::compile(&graph, &Options::default()).expect("a program");
        for (name, tensor) in inputs {
            program.set_input(name, tensor).expect("an input");
        }
        program.run(&mut State::default()).expect("a run");
        let y = program.output("y").expect("an output");
        Ok((y.shape().to_vec(), y.to_f64()))
    }

    fn vector(values: &[f64]) -> Tensor {
        Tensor::from_f64(&[values.len()], values.to_vec())
    }

    fn scalar(value: f64) -> Tensor {
        Tensor::from_f64(&[], vec![value])
    }

    #[track_caller]
    fn gives(op: &str, attributes: Value, inputs: &[(&str, Tensor)], expected: &[f64]) {
        let (_, found) = call(op, attributes, inputs).unwrap_or_else(|e| panic!("{op}: {e:?}"));
        assert_eq!(found.len(), expected.len(), "{op}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12 || found == expected, "{op}: {found}");
        }
    }

    #[test]
    fn numbers_stand_for_tensors() {
        let x = || ("input", vector(&[-2.0, 0.5, 3.0]));
        gives("add", json!({"other": 2, "alpha": -0.5}), &[x()], &[-3.0, -0.5, 2.0]);
        gives("sub", json!({"other": true}), &[x()], &[-3.0, -0.5, 2.0]);
        gives("mul", json!({"other": "Infinity"}), &[x()], &[-INF, INF, INF]);
        gives("pow", json!({"exponent": 2}), &[x()], &[4.0, 0.25, 9.0]);
        gives("pow", json!({"input": 2}), &[("exponent", vector(&[3.0, -1.0]))], &[8.0, 0.5]);
        gives("clamp", json!({"min": 0, "max": null}), &[x()], &[0.0, 0.5, 3.0]);
        gives("clamp", json!({"min": -1, "max": 1.5}), &[x()], &[-1.0, 0.5, 1.5]);
        gives("lerp", json!({"weight": 0.5, "end": 1}), &[x()], &[-0.5, 0.75, 2.0]);
        gives("gt", json!({"other": 0.5}), &[x()], &[0.0, 0.0, 1.0]);
        gives("xlogy", json!({"other": 1}), &[x()], &[0.0; 3]);
        gives("prelu", json!({"weight": 0.5}), &[x()], &[-1.0, 0.5, 3.0]);
        let mask = ("mask", vector(&[1.0, 0.0, 0.0]));
        gives("masked_fill", json!({"value": 7}), &[x(), mask], &[7.0, 0.5, 3.0]);
        let condition = ("condition", vector(&[1.0, 0.0]));
        gives("where", json!({"input": 1, "other": -1}), &[condition], &[1.0, -1.0]);
    }

    #[test]
    fn whole_numbers_count_as_floats() {
        let integers = |values: &[i32]| Tensor::from_i32(&[values.len()], values.to_vec());
        let (a, b) = (|| ("input", integers(&[1, 2, 3])), || ("other", integers(&[2, 2, 2])));
        gives("lt", json!({}), &[a(), b()], &[1.0, 0.0, 0.0]);
        gives("eq", json!({}), &[a(), b()], &[0.0, 1.0, 0.0]);
        gives("div", json!({}), &[a(), b()], &[0.5, 1.0, 1.5]);
        gives("div", json!({"rounding_mode": "floor"}), &[a(), b()], &[0.0, 1.0, 1.0]);
        let max = ("max", integers(&[2, 2, 2]));
        gives("clamp", json!({}), &[("input", vector(&[1.5, 2.5, 3.5])), max], &[1.5, 2.0, 2.0]);
    }

    #[test]
    fn attributes_have_pytorchs_meaning() {
        let x = || ("input", vector(&[-7.0, 7.0]));
        let by = || json!({"other": 2});
        gives("div", by(), &[x()], &[-3.5, 3.5]);
        for (mode, expected) in [("floor", [-4.0, 3.0]), ("trunc", [-3.0, 3.0])] {
            gives("div", json!({"other": 2, "rounding_mode": mode}), &[x()], &expected);
        }
        gives("round", json!({"decimals": -1}), &[x()], &[-10.0, 10.0]);
        gives("round", json!({"decimals": 0}), &[("input", vector(&[2.5]))], &[2.0]);
        gives("elu", json!({"alpha": 2.0}), &[x()], &[2.0 * (-7f64).exp_m1(), 7.0]);
        gives("celu", json!({"alpha": 2.0}), &[x()], &[2.0 * (-3.5f64).exp_m1(), 7.0]);
        gives("hardtanh", json!({"min_val": -2, "max_val": 3}), &[x()], &[-2.0, 3.0]);
        gives("leaky_relu", json!({"negative_slope": 0.5}), &[x()], &[-3.5, 7.0]);
        gives("hardshrink", json!({"lambd": 7}), &[x()], &[0.0, 0.0]);
        gives("softshrink", json!({"lambd": 2}), &[x()], &[-5.0, 5.0]);
        gives("threshold", json!({"threshold": 0, "value": 9}), &[x()], &[9.0, 7.0]);
        gives(
            "softplus",
            json!({"beta": -1, "threshold": 5}),
            &[x()],
            &[-7.0, -(-7f64).exp().ln_1p()],
        );
        let tanh = (2.0 / std::f64::consts::PI).sqrt() * 1.044_715;
        let one = ("input", vector(&[1.0]));
        gives("gelu", json!({"approximate": "tanh"}), &[one], &[0.5 * (1.0 + tanh.tanh())]);
    }

    #[test]
    fn shapes_without_dimensions_and_without_elements() {
        for op in ["softmax", "log_softmax", "softmin"] {
            for dim in [json!({"dim": 0}), json!({"dim": -1}), json!({})] {
                let (shape, y) = call(op, dim, &[("input", scalar(3.0))]).expect("a value");
                assert_eq!((shape, y), (vec![], vec![if op == "log_softmax" { 0.0 } else { 1.0 }]));
            }
            let empty = Tensor::from_f64(&[2, 0], vec![]);
            for dim in [0, 1] {
                let found = call(op, json!({"dim": dim}), &[("input", empty.clone())]);
                assert_eq!(found.expect("nothing"), (vec![2, 0], vec![]), "{op}");
            }
        }
        let empty = || ("input", Tensor::from_f64(&[0, 4], vec![]));
        assert_eq!(call("glu", json!({}), &[empty()]).expect("nothing").0, [0, 2]);
        assert_eq!(call("glu", json!({"dim": 0}), &[empty()]).expect("nothing").0, [0, 4]);
        let weight = ("weight", vector(&[0.1, 0.2, 0.3, 0.4]));
        assert_eq!(call("prelu", json!({}), &[empty(), weight]).expect("nothing").0, [0, 4]);
        let (input, weight) = (("input", scalar(-2.0)), ("weight", vector(&[0.5])));
        assert_eq!(call("prelu", json!({}), &[input, weight]).expect("one"), (vec![], vec![-1.0]));
    }

    #[test]
    fn impossible_calls_are_errors() {
        let x = || ("input", Tensor::from_f64(&[2, 3], vec![0.0; 6]));
        for (op, attributes) in [
            ("glu", json!({})),
            ("glu", json!({"dim": 2})),
            ("clamp", json!({})),
            ("softshrink", json!({"lambd": -1})),
            ("hardtanh", json!({"min_val": 1, "max_val": 0})),
            ("celu", json!({"alpha": 0})),
            ("softplus", json!({"beta": 0})),
            ("softmax", json!({"dim": -3})),
            ("gelu", json!({"approximate": "sigmoid"})),
            ("div", json!({"other": 1, "rounding_mode": "up"})),
            ("round", json!({"decimals": 4_294_967_296i64})),
            ("add", json!({})),
            ("add", json!({"other": "two"})),
        ] {
            assert!(call(op, attributes.clone(), &[x()]).is_err(), "{op} {attributes}");
        }
        assert!(call("glu", json!({}), &[("input", scalar(1.0))]).is_err());
        for weight in [vector(&[0.1, 0.2]), vector(&[]), Tensor::from_f64(&[1, 3], vec![0.1; 3])] {
            assert!(call("prelu", json!({}), &[x(), ("weight", weight)]).is_err());
        }
    }
}
