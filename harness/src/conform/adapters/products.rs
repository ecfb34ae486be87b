//! Products of matrices and attention.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use crate::conform::twister::Twister;
use speck_engine::{Attention, NodeId, Tensor, TensorType};

/// An input that must have a given number of dimensions.
fn ranked(call: &Arguments<'_>, name: &str, rank: usize) -> Result<NodeId, Problem> {
    let x = call.input(name)?;
    match call.graph.shape(x).len() {
        found if found == rank => Ok(x),
        found => Err(Problem::Unsupported(format!("`{name}` has {found} dimensions, not {rank}"))),
    }
}

/// The product of matrices, or of batches of them, of one kind only.
fn product(call: &Arguments<'_>, rank: usize) -> Result<Vec<NodeId>, Problem> {
    let (a, b) = (ranked(call, "input", rank)?, ranked(call, "mat2", rank)?);
    Ok(vec![call.graph.matmul(a, b)?])
}

fn einsum(call: &Arguments<'_>) -> Result<Vec<NodeId>, Problem> {
    let name = if call.get("equation").is_some() { "equation" } else { "arg1" };
    let operands = ["input", "operands", "args"].into_iter().map(|name| call.list(name));
    let operands = operands.max_by_key(Vec::len).unwrap_or_default();
    Ok(vec![call.graph.einsum(&call.word(name, "")?, &operands)?])
}

fn attention(call: &Arguments<'_>) -> Result<Vec<NodeId>, Problem> {
    let graph = call.graph;
    let query = call.optional("query").map_or_else(|| call.input("input"), Ok)?;
    let (key, value) = (call.input("key")?, call.input("value")?);
    let mask = call.optional("attn_mask");
    let (allowed, bias) = if call.is_truth("attn_mask") { (mask, None) } else { (None, mask) };
    let causal = call.truth("is_causal", false)?;
    if causal && mask.is_some() {
        return Err(Problem::Unsupported("a mask beside `is_causal`".to_owned()));
    }
    let scale = call.get("scale").map(|_| call.number("scale", 1.0)).transpose()?;
    let grouped = call.truth("enable_gqa", false)?;
    let options = Attention { bias, allowed, causal, scale, grouped };
    let rate = call.number("dropout_p", 0.0)?;
    if rate == 0.0 {
        return Ok(vec![graph.scaled_dot_product_attention(query, key, value, &options)?]);
    }
    let weights = graph.attention_weights(query, key, &options)?;
    let kept = graph.constant(kept(&graph.ty(weights), rate))?;
    let weights = graph.mul(weights, kept)?;
    Ok(vec![graph.attend(weights, value, grouped)?])
}

/// What the reference's dropout multiplies the elements of a tensor with.
fn kept(ty: &TensorType, rate: f64) -> Tensor {
    const SEED: u32 = 42;
    let mut twister = Twister::new(SEED);
    let weight = 1.0 / (1.0 - rate);
    let mut draw = || if twister.uniform() < 1.0 - rate { weight } else { 0.0 };
    Tensor::new(ty, &(0..ty.elements()).map(|_| draw()).collect::<Vec<_>>())
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("matmul", |call| {
        let b = call.optional("other").map_or_else(|| call.input("tensor2"), Ok)?;
        Ok(vec![call.graph.matrix_product(call.input("input")?, b)?])
    }),
    ("mm", |call| product(call, 2)),
    ("bmm", |call| product(call, 3)),
    ("addmm", |call| {
        let (a, b) = (ranked(call, "mat1", 2)?, ranked(call, "mat2", 2)?);
        let (beta, alpha) = (call.number("beta", 1.0)?, call.number("alpha", 1.0)?);
        Ok(vec![call.graph.addmm(call.input("input")?, a, b, beta, alpha)?])
    }),
    ("outer", |call| {
        Ok(vec![call.graph.outer(ranked(call, "input", 1)?, ranked(call, "vec2", 1)?)?])
    }),
    ("linear", |call| {
        let (x, weight) = (call.input("input")?, call.input("weight")?);
        Ok(vec![call.graph.linear(x, weight, call.optional("bias"))?])
    }),
    ("einsum", einsum),
    ("scaled_dot_product_attention", attention),
];
