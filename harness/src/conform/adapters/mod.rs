//! Operators by PyTorch's names: each builds its use out of the graph's ops and
//! compositions. One file a family, one line an operator.

mod convolution;
mod elementwise;
mod losses;
mod movement;
mod norms;
mod padding;
mod pooling;
mod products;
mod reductions;
mod resampling;
mod sorting;

use super::arguments::{Arguments, Problem};
use speck_engine::NodeId;

/// Builds the outputs of a call.
pub type Adapter = fn(&Arguments<'_>) -> Result<Vec<NodeId>, Problem>;

/// The families of operators.
const FAMILIES: &[&[(&str, Adapter)]] = &[
    convolution::ALL,
    elementwise::ALL,
    losses::ALL,
    movement::ALL,
    norms::ALL,
    padding::ALL,
    pooling::ALL,
    products::ALL,
    reductions::ALL,
    resampling::ALL,
    sorting::ALL,
];

/// Builds the operator called `op`.
///
/// # Errors
/// There is none, or the call does not fit.
pub fn build(op: &str, arguments: &Arguments<'_>) -> Result<Vec<NodeId>, Problem> {
    let adapter = FAMILIES.iter().flat_map(|family| family.iter()).find(|(name, _)| *name == op);
    let (_, adapter) =
        adapter.ok_or_else(|| Problem::Unsupported(format!("there is no operator `{op}`")))?;
    adapter(arguments)
}
