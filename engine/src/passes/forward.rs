//! Broadcast forwarding: an element-wise op stretches its inputs by itself, so
//! an explicit `expand` in front of it need not be written to memory.

use super::Pass;
use crate::graph::{Graph, GraphError, NodeId};
use crate::ops;
use speck_kernels::Choice;

pub const PASS: Pass = Pass {
    name: "broadcast-forwarding",
    summary: "let element-wise ops read the input of an expand instead of its output",
    run,
};

fn run(graph: &Graph, _: &Choice) -> Result<Graph, GraphError> {
    super::rebuild(graph, |new, _, node, inputs| {
        // A value stored in 16 bits is stretched by nobody.
        if !node.op.is_pointwise() || node.ty.dtype.storage().is_some() {
            return new.append_shared(node.op.clone(), inputs);
        }
        let source = |input: &NodeId| {
            let node = new.node(*input);
            if node.op.info().name == ops::EXPAND { node.inputs[0] } else { *input }
        };
        let forwarded: Vec<_> = inputs.iter().map(source).collect();
        let value = new.append_shared(node.op.clone(), &forwarded)?;
        // Where all inputs are stretched, the value is, too: it is computed
        // once and stretched for those who do not do so by themselves.
        if new.shape(value) == node.ty.shape {
            return Ok(value);
        }
        new.expand(value, &node.ty.shape)
    })
}
