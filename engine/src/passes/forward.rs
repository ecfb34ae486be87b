//! Broadcast forwarding: an element-wise op stretches its inputs by itself, so
//! an explicit `expand` in front of it need not be written to memory.

use super::Pass;
use crate::graph::{Graph, GraphError, NodeId};
use crate::ops;
use crate::shape::broadcast;
use speck_kernels::Choice;

pub const PASS: Pass = Pass {
    name: "broadcast-forwarding",
    summary: "let element-wise ops read the input of an expand instead of its output",
    run,
};

fn run(graph: &Graph, _: &Choice) -> Result<Graph, GraphError> {
    super::rebuild(graph, |new, _, node, inputs| {
        if !node.op.is_pointwise() {
            return new.append_shared(node.op.clone(), inputs);
        }
        let mut forwarded = inputs.to_vec();
        for (i, input) in inputs.iter().enumerate() {
            let source = new.node(*input);
            if source.op.info().name != ops::EXPAND {
                continue;
            }
            // Only while the other inputs still span the whole shape.
            let before = std::mem::replace(&mut forwarded[i], source.inputs[0]);
            if spanned(new, &forwarded) != node.ty.shape {
                forwarded[i] = before;
            }
        }
        new.append_shared(node.op.clone(), &forwarded)
    })
}

fn spanned(graph: &Graph, inputs: &[NodeId]) -> Vec<usize> {
    inputs
        .iter()
        .fold(Vec::new(), |shape, id| broadcast(&shape, &graph.shape(*id)).unwrap_or_default())
}
