//! Operators that move, pick and repeat elements.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem, axis};
use speck_engine::{Embedding, Graph, GraphError, NodeId};

type Outputs = Result<Vec<NodeId>, Problem>;

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("cat", |call| {
        let dim = call.integer("dim")?.unwrap_or(0);
        Ok(vec![call.graph.concat_any(&parts(call), dim)?])
    }),
    ("diagonal", |call| {
        let (x, rank) = input(call)?;
        let offset = call.integer("offset")?.unwrap_or(0);
        let [row, column] = [call.axis("dim1", 0, rank)?, call.axis("dim2", 1, rank)?];
        Ok(vec![call.graph.diagonal(x, offset, row, column)?])
    }),
    ("embedding", embedding),
    ("expand", |call| Ok(vec![call.graph.expand_to(input(call)?.0, &numbers(call, "size")?)?])),
    ("flip", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.flip(x, &call.axes("dims", rank)?)?])
    }),
    ("gather", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.take_along(x, call.axis("dim", 0, rank)?, call.input("index")?)?])
    }),
    ("index_add", |call| {
        let (x, rank) = input(call)?;
        let (index, source) = (call.input("index")?, call.input("source")?);
        let (dim, alpha) = (call.axis("dim", 0, rank)?, call.number("alpha", 1.0)?);
        Ok(vec![call.graph.index_add_to(x, dim, index, source, alpha)?])
    }),
    ("index_select", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.select_slices(x, call.axis("dim", 0, rank)?, call.input("index")?)?])
    }),
    ("narrow", narrow),
    ("permute", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.permute(x, &call.axes("dims", rank)?)?])
    }),
    ("pixel_shuffle", |call| by_factor(call, "upscale_factor", Graph::pixel_shuffle)),
    ("pixel_unshuffle", |call| by_factor(call, "downscale_factor", Graph::pixel_unshuffle)),
    ("repeat", |call| {
        let counts: Result<Vec<_>, _> =
            numbers(call, "repeats")?.into_iter().map(|n| size("repeats", n)).collect();
        Ok(vec![call.graph.repeat(input(call)?.0, &counts?)?])
    }),
    ("reshape", |call| Ok(vec![call.graph.reshape_to(input(call)?.0, &numbers(call, "shape")?)?])),
    ("roll", roll),
    ("scatter_add", |call| {
        let (x, rank) = input(call)?;
        let (index, source) = (call.input("index")?, call.input("src")?);
        Ok(vec![call.graph.scatter_add_to(x, call.axis("dim", 0, rank)?, index, source)?])
    }),
    ("squeeze", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.squeeze(x, &call.axes("dim", rank)?)?])
    }),
    ("stack", |call| {
        let parts = parts(call);
        let rank = parts.first().map_or(0, |part| call.graph.shape(*part).len());
        Ok(vec![call.graph.stack(&parts, call.axis("dim", 0, rank + 1)?)?])
    }),
    ("transpose", |call| {
        let (x, rank) = input(call)?;
        let [a, b] = [call.axis("dim0", 0, rank)?, call.axis("dim1", 1, rank)?];
        Ok(vec![call.graph.transpose(x, a, b)?])
    }),
    ("tril", |call| triangle(call, Graph::tril)),
    ("triu", |call| triangle(call, Graph::triu)),
    ("unsqueeze", |call| {
        let (x, rank) = input(call)?;
        Ok(vec![call.graph.unsqueeze(x, call.axis("dim", 0, rank + 1)?)?])
    }),
];

/// The tensor and its number of dimensions.
fn input(call: &Arguments<'_>) -> Result<(NodeId, usize), Problem> {
    let x = call.input("input")?;
    Ok((x, call.graph.shape(x).len()))
}

/// The tensors of a call that takes a list.
fn parts(call: &Arguments<'_>) -> Vec<NodeId> {
    let parts = call.list("input");
    if parts.is_empty() { call.list("tensors") } else { parts }
}

/// Whole numbers that have to be there.
fn numbers(call: &Arguments<'_>, name: &str) -> Result<Vec<i64>, Problem> {
    call.integers(name)?.ok_or_else(|| Problem::Unsupported(format!("no `{name}`")))
}

/// A whole number that has to be there and is a size.
fn size(name: &str, value: i64) -> Result<usize, Problem> {
    usize::try_from(value).map_err(|_| Problem::Unsupported(format!("`{name}` is {value}")))
}

fn by_factor(
    call: &Arguments<'_>,
    name: &str,
    build: fn(&Graph, NodeId, usize) -> Result<NodeId, GraphError>,
) -> Outputs {
    let factor = size(name, call.integer(name)?.unwrap_or(1))?;
    Ok(vec![build(call.graph, input(call)?.0, factor)?])
}

fn triangle(
    call: &Arguments<'_>,
    build: fn(&Graph, NodeId, i64) -> Result<NodeId, GraphError>,
) -> Outputs {
    let diagonal = call.integer("diagonal")?.unwrap_or(0);
    Ok(vec![build(call.graph, input(call)?.0, diagonal)?])
}

/// `start` may be a number, from the end if negative, or a tensor.
fn narrow(call: &Arguments<'_>) -> Outputs {
    let (x, rank) = input(call)?;
    let dim = call.axis("dim", 0, rank)?;
    let length = size("length", call.integer("length")?.unwrap_or(0))?;
    if let Some(start) = call.optional("start") {
        return Ok(vec![call.graph.narrow_at(x, dim, start, length)?]);
    }
    let start = call.integer("start")?.unwrap_or(0);
    let whole = call.graph.shape(x).get(dim).map_or(0, |whole| *whole as i64);
    let start = size("start", if start < 0 { start + whole } else { start })?;
    Ok(vec![call.graph.narrow(x, dim, start, 1, length)?])
}

fn roll(call: &Arguments<'_>) -> Outputs {
    let (x, rank) = input(call)?;
    let shifts = numbers(call, "shifts")?;
    let dims = call.integers("dims")?.unwrap_or_default();
    match (shifts.as_slice(), dims.as_slice()) {
        ([shift], []) => Ok(vec![call.graph.roll_all(x, *shift)?]),
        (shifts, dims) if shifts.len() == dims.len() => {
            let pair = |(dim, shift): (&i64, &i64)| Ok((axis(*dim, rank)?, *shift));
            let pairs: Result<Vec<_>, Problem> = dims.iter().zip(shifts).map(pair).collect();
            Ok(vec![call.graph.roll(x, &pairs?)?])
        }
        _ => Err(Problem::Unsupported("as many shifts as dimensions are needed".to_owned())),
    }
}

/// In PyTorch's own samples the table is called `input` and the indices
/// `weight`; in its documentation it is the other way round.
fn embedding(call: &Arguments<'_>) -> Outputs {
    let graph = call.graph;
    let pair = [call.input("input")?, call.input("weight")?];
    let [index, table] = if graph.ty(pair[0]).dtype.is_float() { [pair[1], pair[0]] } else { pair };
    let rows = graph.shape(table).first().map_or(0, |rows| *rows as i64);
    let padding = call.integer("padding_idx")?.map(|row| if row < 0 { row + rows } else { row });
    let largest = call.get("max_norm").map(|_| call.number("max_norm", 0.0)).transpose()?;
    let p = call.number("norm_type", 2.0)?;
    let options = Embedding {
        padding: padding.map(|row| size("padding_idx", row)).transpose()?,
        mean_gradient: call.truth("scale_grad_by_freq", false)?,
        largest_norm: largest.map(|largest| (largest, p)),
    };
    Ok(vec![graph.embedding(table, index, &options)?])
}
