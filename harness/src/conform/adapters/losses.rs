//! Losses.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::{ClassLoss, Graph, GraphError, NodeId, Reduction};

/// The reduction; `size_average` and `reduce` are its former names.
fn reduction(call: &Arguments<'_>) -> Result<Reduction, Problem> {
    if call.get("size_average").is_some() || call.get("reduce").is_some() {
        let mean = call.truth("size_average", true)?;
        return Ok(match (call.truth("reduce", true)?, mean) {
            (false, _) => Reduction::None,
            (true, true) => Reduction::Mean,
            (true, false) => Reduction::Sum,
        });
    }
    match call.word("reduction", "mean")?.as_str() {
        "none" => Ok(Reduction::None),
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        "batchmean" => Ok(Reduction::BatchMean),
        other => Err(Problem::Unsupported(format!("there is no reduction `{other}`"))),
    }
}

/// A loss of an input and a target.
fn each(
    call: &Arguments<'_>,
    build: impl Fn(&Graph, NodeId, NodeId, Reduction) -> Result<NodeId, GraphError>,
) -> Result<Vec<NodeId>, Problem> {
    let (x, target) = (call.input("input")?, call.input("target")?);
    Ok(vec![build(call.graph, x, target, reduction(call)?)?])
}

/// A loss whose elements may have weights.
fn weighted(
    call: &Arguments<'_>,
    build: impl Fn(&Graph, NodeId, NodeId, Reduction) -> Result<NodeId, GraphError>,
) -> Result<Vec<NodeId>, Problem> {
    let Some(weight) = call.optional("weight") else { return each(call, build) };
    each(call, |graph, x, target, reduction| {
        let losses = build(graph, x, target, Reduction::None)?;
        graph.weighted_loss(losses, weight, reduction)
    })
}

/// What the losses over classes have in common.
fn classes(call: &Arguments<'_>) -> Result<ClassLoss, Problem> {
    let ignore = call.integer("ignore_index")?.unwrap_or(-100);
    // An index that no target can have ignores nothing.
    let ignore = i32::try_from(ignore).ok();
    let smoothing = call.number("label_smoothing", 0.0)?;
    let weight = call.optional("weight");
    Ok(ClassLoss { weight, ignore, smoothing, reduction: reduction(call)? })
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("mse_loss", |call| weighted(call, Graph::squared_error)),
    ("l1_loss", |call| weighted(call, Graph::absolute_error)),
    ("smooth_l1_loss", |call| {
        let beta = call.number("beta", 1.0)?;
        each(call, |graph, x, target, reduction| graph.smooth_l1(x, target, beta, reduction))
    }),
    ("huber_loss", |call| {
        let delta = call.number("delta", 1.0)?;
        weighted(call, |graph, x, target, reduction| graph.huber(x, target, delta, reduction))
    }),
    ("kl_div", |call| {
        let log_target = call.truth("log_target", false)?;
        each(call, |graph, x, target, reduction| {
            graph.kl_divergence(x, target, log_target, reduction)
        })
    }),
    ("binary_cross_entropy_with_logits", |call| {
        let (weight, positive) = (call.optional("weight"), call.optional("pos_weight"));
        each(call, |graph, x, target, reduction| {
            graph.binary_cross_entropy_with_logits(x, target, weight, positive, reduction)
        })
    }),
    ("nll_loss", |call| {
        let (x, target) = (call.input("input")?, call.input("target")?);
        Ok(vec![call.graph.negative_log_likelihood(x, target, &classes(call)?)?])
    }),
    ("cross_entropy", |call| {
        let (x, target) = (call.input("input")?, call.input("target")?);
        Ok(vec![call.graph.cross_entropy(x, target, &classes(call)?)?])
    }),
];
