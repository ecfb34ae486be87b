//! What the rules say, as values: one or more entries for every op that
//! states a rule.

use crate::{elementwise, order, structured};
use speck_engine::check::values::Expectation;
use speck_engine::{Graph, GraphError, NodeId, Tensor};

/// A rule of an op by value.
pub struct Entry {
    /// The op whose rule it is.
    pub op: &'static str,
    /// What comes out where only the rule says so.
    pub expectation: Expectation,
}

/// Builds the op's use from its inputs.
pub type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

pub const INF: f64 = f64::INFINITY;
pub const NAN: f64 = f64::NAN;

/// All entries.
pub fn entries() -> Vec<Entry> {
    let mut all = elementwise::entries();
    all.extend(structured::entries());
    all.extend(order::entries());
    all
}

/// An entry that looks at the output only.
pub fn entry(
    op: &'static str,
    name: &'static str,
    inputs: Vec<Tensor>,
    build: Build,
    output: &[f64],
) -> Entry {
    let output = output.to_vec();
    Entry { op, expectation: Expectation { name, inputs, build, output, gradients: Vec::new() } }
}

impl Entry {
    /// With the gradient of each floating-point input for a cotangent of 1.
    pub fn gradients(mut self, gradients: &[&[f64]]) -> Self {
        self.expectation.gradients = gradients.iter().map(|values| values.to_vec()).collect();
        self
    }
}
