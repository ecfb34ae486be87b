//! Operators that put a border around a tensor.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::{NodeId, Padding};

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("pad", |call| pad(call, "constant")),
    ("pad_constant", |call| pad(call, "constant")),
    ("pad_reflect", |call| pad(call, "reflect")),
    ("pad_replicate", |call| pad(call, "replicate")),
    ("pad_circular", |call| pad(call, "circular")),
];

/// PyTorch lists borders from the last dimension on, before and after it.
fn pad(call: &Arguments<'_>, mode: &'static str) -> Result<Vec<NodeId>, Problem> {
    let x = call.input("input")?;
    let mut borders = vec![(0, 0); call.graph.shape(x).len()];
    let widths = call.integers("pad")?.unwrap_or_default();
    let (pairs, rest) = widths.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > borders.len() {
        return Err(Problem::Unsupported(format!("`pad` is {widths:?}")));
    }
    for (border, [before, after]) in borders.iter_mut().rev().zip(pairs) {
        *border = (*before, *after);
    }
    let padding = match call.word("mode", mode)?.as_str() {
        "constant" => Padding::Constant(call.number("value", 0.0)?),
        "reflect" => Padding::Reflect,
        "replicate" => Padding::Replicate,
        "circular" => Padding::Circular,
        other => return Err(Problem::Unsupported(format!("padding `{other}`"))),
    };
    Ok(vec![call.graph.pad(x, &borders, padding)?])
}
