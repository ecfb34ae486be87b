//! Normalization.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::{NodeId, RunningStatistics};

/// Weight and bias, if any.
fn affine(call: &Arguments<'_>) -> (Option<NodeId>, Option<NodeId>) {
    (call.optional("weight"), call.optional("bias"))
}

/// What is added to the variance.
fn epsilon(call: &Arguments<'_>) -> Result<f64, Problem> {
    call.number("eps", 1e-5)
}

/// `normalized_shape`.
fn last_sizes(call: &Arguments<'_>) -> Result<Vec<usize>, Problem> {
    let wrong = || Problem::Unsupported("`normalized_shape` should be sizes".to_owned());
    let sizes = call.integers("normalized_shape")?.ok_or_else(wrong)?;
    sizes.into_iter().map(|size| usize::try_from(size).map_err(|_| wrong())).collect()
}

/// Running statistics. A call that has them as inputs gets them no update.
fn running(call: &Arguments<'_>) -> Result<RunningStatistics, Problem> {
    Ok(RunningStatistics {
        mean: call.input("running_mean")?,
        variance: call.input("running_var")?,
        momentum: call.number("momentum", 0.1)?,
    })
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("batch_norm", |call| {
        let (x, (weight, bias), epsilon) = (call.input("input")?, affine(call), epsilon(call)?);
        let y = if call.truth("training", false)? {
            call.graph.batch_norm_of(x, weight, bias, epsilon)?
        } else {
            call.graph.batch_norm_evaluation(x, weight, bias, running(call)?, epsilon)?
        };
        Ok(vec![y])
    }),
    ("group_norm", |call| {
        let [groups] = call.sizes("num_groups", [1])?;
        let (x, (weight, bias)) = (call.input("input")?, affine(call));
        Ok(vec![call.graph.group_norm(x, groups, weight, bias, epsilon(call)?)?])
    }),
    ("instance_norm", |call| {
        let (x, (weight, bias), epsilon) = (call.input("input")?, affine(call), epsilon(call)?);
        let y = if call.truth("use_input_stats", true)? {
            call.graph.instance_norm(x, weight, bias, epsilon)?
        } else {
            call.graph.batch_norm_evaluation(x, weight, bias, running(call)?, epsilon)?
        };
        Ok(vec![y])
    }),
    ("layer_norm", |call| {
        let (x, (weight, bias)) = (call.input("input")?, affine(call));
        Ok(vec![call.graph.layer_norm_over(x, &last_sizes(call)?, weight, bias, epsilon(call)?)?])
    }),
    ("rms_norm", |call| {
        let (x, weight) = (call.input("input")?, call.optional("weight"));
        let epsilon = call.get("eps").map(|_| epsilon(call)).transpose()?;
        Ok(vec![call.graph.rms_norm(x, &last_sizes(call)?, weight, epsilon)?])
    }),
    ("local_response_norm", |call| {
        let [width] = call.sizes("size", [1])?;
        let (alpha, beta) = (call.number("alpha", 1e-4)?, call.number("beta", 0.75)?);
        let (x, k) = (call.input("input")?, call.number("k", 1.0)?);
        Ok(vec![call.graph.local_response_norm(x, width, alpha, beta, k)?])
    }),
];
