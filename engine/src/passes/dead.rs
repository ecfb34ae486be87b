//! Removal of nodes that no output and no update needs.

use super::Pass;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Source;
use speck_kernels::Choice;

pub const PASS: Pass = Pass {
    name: "dead-code",
    summary: "remove nodes that no output and no state update needs",
    run,
};

/// The same pass once more, after others have taken uses away.
pub const PASS_AGAIN: Pass = Pass { run, ..PASS };

fn run(graph: &Graph, _: &Choice) -> Result<Graph, GraphError> {
    let needed = needed(graph);
    // An input or a slot stays even if unused: callers set them by name.
    let mut placeholder = None;
    super::rebuild(graph, |new, id, node, inputs| {
        if needed[id.index()] {
            return new.append_shared(node.op.clone(), inputs);
        }
        // A dead node is nobody's input; any node can stand in its place.
        match placeholder {
            Some(id) => Ok(id),
            None if new.is_empty() => {
                let id = new.scalar(0.0)?;
                placeholder = Some(id);
                Ok(id)
            }
            None => Ok(NodeId::from_index(0)),
        }
    })
}

fn needed(graph: &Graph) -> Vec<bool> {
    let inner = graph.inner();
    let mut needed = vec![false; inner.nodes.len()];
    let roots = inner.outputs.iter().map(|(_, id)| *id);
    let roots = roots.chain(inner.updates.iter().map(|(_, id)| *id));
    roots.for_each(|id| needed[id.index()] = true);
    for index in (0..inner.nodes.len()).rev() {
        let node = &inner.nodes[index];
        if matches!(node.op.source(), Some(Source::Input(_) | Source::State(_))) {
            needed[index] = true;
        }
        if needed[index] {
            node.inputs.iter().for_each(|id| needed[id.index()] = true);
        }
    }
    needed
}
