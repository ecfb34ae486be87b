//! Common subexpressions: equal ops with equal attributes on equal inputs are
//! computed once.

use super::Pass;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Source;
use crate::shape::TensorType;
use speck_kernels::Choice;
use std::collections::HashMap;

pub const PASS: Pass =
    Pass { name: "common-subexpressions", summary: "compute equal ops on equal inputs once", run };

type Key = (&'static str, Vec<(&'static str, String)>, Vec<NodeId>, TensorType);

fn run(graph: &Graph, _: &Choice) -> Result<Graph, GraphError> {
    let mut seen: HashMap<Key, NodeId> = HashMap::new();
    super::rebuild(graph, |new, _, node, inputs| {
        // Inputs and slots are told apart by name and stay; large constants
        // are not worth comparing, and their attributes name their identity.
        let source = matches!(node.op.source(), Some(Source::Input(_) | Source::State(_)));
        if source {
            return new.append_shared(node.op.clone(), inputs);
        }
        let key = (node.op.info().name, node.op.attributes(), inputs.to_vec(), node.ty.clone());
        if let Some(id) = seen.get(&key) {
            return Ok(*id);
        }
        let id = new.append_shared(node.op.clone(), inputs)?;
        seen.insert(key, id);
        Ok(id)
    })
}
