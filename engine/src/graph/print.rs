//! The printed form of a graph.

use super::{Graph, Node};
use std::fmt;

/// `%7 = conv2d(%3, %5) stride=1,1 : f32[64,8,64,64]  conv.0`, with `∂%4`
/// before the path for a node that belongs to the backward pass of node 4.
pub(crate) fn write_node(f: &mut fmt::Formatter<'_>, index: usize, node: &Node) -> fmt::Result {
    let inputs: Vec<_> = node.inputs.iter().map(|id| format!("{id:?}")).collect();
    write!(f, "%{index} = {}({})", node.op.info().name, inputs.join(", "))?;
    for (name, value) in node.op.attributes() {
        write!(f, " {name}={value}")?;
    }
    write!(f, " : {}", node.ty)?;
    if let Some(origin) = node.origin {
        write!(f, "  ∂{origin:?}")?;
    }
    if !node.path.is_empty() {
        write!(f, "  {}", node.path)?;
    }
    Ok(())
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        for (index, node) in inner.nodes.iter().enumerate() {
            write_node(f, index, node)?;
            writeln!(f, "  {}:{}", node.location.file(), node.location.line())?;
        }
        for (slot, id) in &inner.updates {
            writeln!(f, "{} <- {id:?}", inner.states[*slot].name)?;
        }
        for (name, id) in &inner.outputs {
            writeln!(f, "output {name} = {id:?}")?;
        }
        Ok(())
    }
}
