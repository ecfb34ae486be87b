//! Errors raised where a node is built.

use crate::shape::TensorType;
use std::fmt;
use std::panic::Location;

/// A node that cannot be built: names the op, the types of its inputs, the
/// layer path and the caller's source line.
#[derive(Debug, Clone)]
pub struct GraphError {
    /// The op.
    pub op: String,
    /// What is wrong.
    pub message: String,
    /// The types of the inputs.
    pub inputs: Vec<TensorType>,
    /// The name path of the layer being built.
    pub path: String,
    /// The line that asked for the node.
    pub location: &'static Location<'static>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.message)?;
        if !self.inputs.is_empty() {
            let types: Vec<_> = self.inputs.iter().map(TensorType::to_string).collect();
            write!(f, " (inputs {})", types.join(", "))?;
        }
        if !self.path.is_empty() {
            write!(f, " in layer `{}`", self.path)?;
        }
        write!(f, " at {}:{}", self.location.file(), self.location.line())
    }
}

impl std::error::Error for GraphError {}
