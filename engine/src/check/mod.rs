//! Checkers that hold ops to their contract, for tests and for `speck`.
//!
//! * [`gradients`]: first and second derivatives against finite differences.
//! * [`variants`]: every kernel variant against the scalar one, on poisoned memory.
//! * [`shaders`]: every shader of the GPU side, and every variant, against the scalar
//!   kernels.
//! * [`values`]: outputs and gradients given by hand, for ties, kinks and edges.
//!
//! Each returns an error that says what differs, and each has tests that show
//! it failing on an op made wrong on purpose.

pub mod gradients;
mod ragged;
pub mod shaders;
pub mod values;
pub mod variants;

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw};
use crate::program::{CompileError, RunError};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::random::{self, Stream};
use thiserror::Error;

/// What a checker found.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The case's graph cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A value differs from what it should be.
    #[error("{what}: {found} instead of {expected} (allowed difference {allowed:e})")]
    Differs {
        /// What was compared.
        what: String,
        /// The value computed.
        found: f64,
        /// The value it should have.
        expected: f64,
        /// The difference that would have been allowed.
        allowed: f64,
    },
    /// Lengths or types differ.
    #[error("{0}")]
    Shape(String),
}

/// Compares two numbers so that a NaN on one side only fails.
fn compare(
    what: impl Fn() -> String,
    found: f64,
    expected: f64,
    allowed: f64,
) -> Result<(), CheckError> {
    let same = found == expected || (found.is_nan() && expected.is_nan());
    if same || (found - expected).abs() <= allowed {
        return Ok(());
    }
    Err(CheckError::Differs { what: what(), found, expected, allowed })
}

/// Compares two tensors element by element, with a tolerance relative to the
/// largest finite magnitude expected.
fn compare_all(
    what: &str,
    found: &[f64],
    expected: &[f64],
    relative: f64,
) -> Result<(), CheckError> {
    if found.len() != expected.len() {
        let lengths = format!("{what}: {} values instead of {}", found.len(), expected.len());
        return Err(CheckError::Shape(lengths));
    }
    let finite = expected.iter().filter(|v| v.is_finite());
    let largest = finite.fold(1.0, |largest: f64, v| largest.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        compare(|| format!("{what}[{i}]"), *found, *expected, relative * largest)?;
    }
    Ok(())
}

/// Random values for input `index` of a case.
pub fn draw(draw: Draw, elements: usize, index: usize, seed: u64) -> Vec<f64> {
    let stream = Stream { seed, stream: index as u64 + 1, step: 0 };
    let unit = |i: usize| f64::from(random::uniform(&stream, i as u64));
    match draw {
        Draw::Stored(_) => (0..elements).map(|i| 2.0 * unit(i) - 1.0).collect(),
        Draw::Uniform(low, high) => (0..elements).map(|i| low + (high - low) * unit(i)).collect(),
        Draw::Sparse { low, high, zeros } => {
            let value = |unit: f64| match (unit - zeros) / (1.0 - zeros) {
                rest if rest >= 0.0 => low + (high - low) * rest,
                _ => 0.0,
            };
            (0..elements).map(|i| value(unit(i))).collect()
        }
        Draw::Index(bound) => (0..elements).map(|i| (unit(i) * f64::from(bound)).floor()).collect(),
        Draw::Distinct => {
            let mut order: Vec<_> = (0..elements).collect();
            order.sort_by(|a, b| unit(*a).total_cmp(&unit(*b)).then(a.cmp(b)));
            // A grid of 0.05 around zero; every other input is shifted by a
            // quarter step, so that two inputs do not tie either.
            let shift = 0.025 + if index % 2 == 1 { 0.0125 } else { 0.0 };
            let middle = (elements / 2) as f64;
            order.iter().map(|i| (*i as f64 - middle) * 0.05 + shift).collect()
        }
    }
}

/// The tensors of a case: its floats in `float`, its indices in `i32`.
pub fn tensors(case: &Case, float: DType, seed: u64) -> Vec<Tensor> {
    let tensor = |(index, (shape, how)): (usize, &(Vec<usize>, Draw))| {
        let dtype = how.dtype(float);
        let ty = TensorType::new(dtype, shape);
        Tensor::new(&ty, &draw(*how, ty.elements(), index, seed))
    };
    case.inputs.iter().enumerate().map(tensor).collect()
}

/// Declares the inputs of a case, named by their position.
///
/// # Errors
/// A name that is taken.
pub fn declare(graph: &Graph, tensors: &[Tensor]) -> Result<Vec<NodeId>, GraphError> {
    let input = |(i, t): (usize, &Tensor)| graph.input(&i.to_string(), t.ty().dtype, t.shape());
    tensors.iter().enumerate().map(input).collect()
}

/// A constant of random values in the shape of `like`.
fn random_like(
    graph: &Graph,
    like: NodeId,
    stream: usize,
    seed: u64,
) -> Result<NodeId, GraphError> {
    let ty = graph.ty(like);
    let values = draw(Draw::Uniform(-1.0, 1.0), ty.elements(), 1000 + stream, seed);
    graph.constant(Tensor::new(&ty, &values))
}
