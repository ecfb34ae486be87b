//! Operators that order elements or run along them in order.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::{NodeId, Sorted};

type Outputs = Result<Vec<NodeId>, Problem>;

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("argmax", argmax),
    ("cumsum", |call| {
        let x = floats(call)?;
        let shape = call.graph.shape(x);
        let dim = call.axis("dim", 0, shape.len())?;
        let line = if shape.is_empty() { call.graph.reshape(x, &[1])? } else { x };
        let sums = call.graph.cumulative_sum(line, dim, false)?;
        Ok(vec![call.graph.reshape(sums, &shape)?])
    }),
    ("sort", |call| {
        let x = floats(call)?;
        let dim = call.axis("dim", -1, call.graph.shape(x).len())?;
        both(call.graph.sort(x, dim, call.truth("descending", false)?)?)
    }),
    ("topk", |call| {
        let x = floats(call)?;
        let dim = call.axis("dim", -1, call.graph.shape(x).len())?;
        let k = call.integer("k")?.and_then(|k| usize::try_from(k).ok());
        let k = k.ok_or_else(|| Problem::Unsupported("`k` is not a number".to_owned()))?;
        both(call.graph.topk(x, dim, k, call.truth("largest", true)?)?)
    }),
];

fn both(sorted: Sorted) -> Outputs {
    Ok(vec![sorted.values, sorted.indices])
}

/// The input; whole numbers as floats.
fn floats(call: &Arguments<'_>) -> Result<NodeId, Problem> {
    let x = call.input("input")?;
    Ok(if call.graph.ty(x).dtype.is_float() { x } else { call.graph.cast(x)? })
}

/// Without `dim` over all elements in row-major order.
fn argmax(call: &Arguments<'_>) -> Outputs {
    let graph = call.graph;
    let x = floats(call)?;
    let shape = graph.shape(x);
    let mut kept = shape.clone();
    let index = if shape.is_empty() || call.get("dim").is_none() {
        kept.fill(1);
        let flat = graph.reshape(x, &[shape.iter().product()])?;
        call.axis("dim", 0, shape.len())?;
        graph.argmax(flat, 0)?
    } else {
        let dim = call.axis("dim", 0, shape.len())?;
        kept[dim] = 1;
        graph.argmax(x, dim)?
    };
    Ok(vec![if call.truth("keepdim", false)? { graph.reshape(index, &kept)? } else { index }])
}
