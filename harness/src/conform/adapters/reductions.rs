//! Reductions and statistics.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem, axis};
use speck_engine::{Graph, GraphError, NodeId, broadcast};

/// The axes of a reduction of `rank` dimensions: all of them if none are named.
/// A 0-d tensor has axes to name and none to reduce.
fn axes(call: &Arguments<'_>, rank: usize) -> Result<Vec<usize>, Problem> {
    let named = match call.axes("dim", rank)? {
        named if named.is_empty() => (0..rank).collect(),
        named => named,
    };
    Ok(named.into_iter().filter(|_| rank > 0).collect())
}

/// A function that drops the axes it reduces, which `keepdim` brings back.
fn reduce(
    call: &Arguments<'_>,
    build: impl Fn(&Graph, NodeId, &[usize]) -> Result<NodeId, GraphError>,
) -> Result<Vec<NodeId>, Problem> {
    let x = call.input("input")?;
    let shape = call.graph.shape(x);
    let axes = axes(call, shape.len())?;
    let reduced = build(call.graph, x, &axes)?;
    Ok(vec![match call.truth("keepdim", false)? {
        true => call.graph.restore_axes(reduced, &shape, &axes)?,
        false => reduced,
    }])
}

/// The correction of a variance; older calls say whether it is `unbiased`.
fn correction(call: &Arguments<'_>) -> Result<f64, Problem> {
    let unbiased = call.truth("unbiased", true)?;
    call.number("correction", f64::from(u8::from(unbiased)))
}

/// The order of a norm.
fn order(call: &Arguments<'_>, name: &str) -> Result<f64, Problem> {
    call.number(name, 2.0)
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("sum", |call| reduce(call, Graph::sum)),
    ("mean", |call| reduce(call, Graph::mean)),
    ("amax", |call| reduce(call, Graph::max)),
    ("amin", |call| reduce(call, Graph::min)),
    ("prod", |call| reduce(call, Graph::product)),
    ("logsumexp", |call| reduce(call, Graph::log_sum_exp)),
    ("var", |call| {
        let correction = correction(call)?;
        reduce(call, |graph, x, axes| graph.variance(x, axes, correction))
    }),
    ("std", |call| {
        let correction = correction(call)?;
        reduce(call, |graph, x, axes| graph.standard_deviation(x, axes, correction))
    }),
    ("vector_norm", |call| {
        let order = order(call, "ord")?;
        reduce(call, |graph, x, axes| graph.vector_norm(x, order, axes))
    }),
    ("normalize", |call| {
        let x = call.input("input")?;
        let rank = call.graph.shape(x).len();
        let named = call.integers("dim")?.unwrap_or_else(|| vec![1]);
        let axes: Vec<_> =
            named.iter().map(|value| axis(*value, rank)).collect::<Result<_, _>>()?;
        let axes: Vec<_> = axes.into_iter().filter(|_| rank > 0).collect();
        let epsilon = call.number("eps", 1e-12)?;
        Ok(vec![call.graph.normalize(x, order(call, "p")?, &axes, epsilon)?])
    }),
    ("cosine_similarity", |call| {
        let (a, b) = pair(call, ["x1", "x2"])?;
        let [shape_a, shape_b] = [a, b].map(|x| call.graph.shape(x));
        let rank = broadcast(&shape_a, &shape_b).map_or(shape_a.len(), |shape| shape.len());
        let axis = call.axis("dim", 1, rank)?;
        Ok(vec![call.graph.cosine_similarity(a, b, axis, call.number("eps", 1e-8)?)?])
    }),
];

/// Two inputs, under the names of a method's call or those of the function.
fn pair(call: &Arguments<'_>, names: [&str; 2]) -> Result<(NodeId, NodeId), Problem> {
    let [first, second] = names;
    let a = call.optional("input").or_else(|| call.optional(first));
    let b = call.optional("other").or_else(|| call.optional(second));
    match (a, b) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(Problem::Unsupported(format!("needs the inputs `{first}` and `{second}`"))),
    }
}
