//! What shares memory with what: aliases, work in place, and new values of the
//! state that are computed in its slots. The same questions on every device.

use crate::graph::{Inner, Node, NodeId};
use crate::op::{Lowered, Source};
use crate::shape::{TensorType, broadcast};
use speck_kernels::{Choice, KernelError};
use std::collections::HashMap;

/// How each node runs, and whose memory its value is in.
pub(super) struct Roots {
    pub lowered: Vec<Lowered>,
    /// The node whose memory a node's value is: itself unless it is an alias.
    pub root: Vec<usize>,
    /// Where in the root's memory the value begins, in elements.
    pub offset: Vec<usize>,
}

impl Roots {
    /// Lowers all nodes. Where `parts` is false, a part of a value is a copy.
    pub fn new(nodes: &[Node], choice: &Choice, parts: bool) -> Result<Self, KernelError> {
        let mut roots = Roots { lowered: Vec::new(), root: Vec::new(), offset: Vec::new() };
        for (index, node) in nodes.iter().enumerate() {
            let types: Vec<_> = node.inputs.iter().map(|id| &nodes[id.index()].ty).collect();
            let how = node.op.lower(&types, &node.ty, choice)?;
            check_contract(node, &types, &how);
            let shared = match how {
                Lowered::Alias | Lowered::InPlace(_) => Some(0),
                Lowered::Part(start) if parts => Some(start),
                _ => None,
            };
            let (root, offset) = match shared {
                Some(start) => {
                    let of = node.inputs[0].index();
                    (roots.root[of], roots.offset[of] + start)
                }
                None => (index, 0),
            };
            roots.root.push(root);
            roots.offset.push(offset);
            if matches!(how, Lowered::InPlace(_)) {
                check_order(nodes, index, &roots.root);
            }
            roots.lowered.push(how);
        }
        Ok(roots)
    }
}

/// Where the new values of the state's slots come to be.
#[derive(Default)]
pub(super) struct Updates {
    /// For each node, the slot of the state it is computed in.
    pub in_slot: HashMap<usize, usize>,
    /// Values that are copied into slots at the end.
    pub copies: Vec<(usize, usize)>,
}

impl Updates {
    /// In the slot itself wherever `may_write` allows a node to be computed in the
    /// memory of the slot's old value; else they are copied at the end.
    pub fn new(graph: &Inner, root: &[usize], may_write: impl Fn(usize, usize) -> bool) -> Self {
        let mut updates = Updates::default();
        for (slot, value) in &graph.updates {
            let elements = |node: usize| graph.nodes[node].ty.elements();
            let (old, value) = (graph.states[*slot].node.index(), value.index());
            // An alias of all of a value is that value.
            let whole = elements(root[value]) == elements(value);
            let new = if whole { root[value] } else { value };
            if root[new] == old {
                // Written where it belongs, or the old value itself.
                continue;
            }
            // An output is read after the run, when the state may be gone.
            let kept = graph.outputs.iter().any(|(_, id)| root[id.index()] == new);
            let free = root[new] == new && !updates.in_slot.contains_key(&new);
            if !kept && free && may_write(new, old) {
                updates.in_slot.insert(new, *slot);
            } else {
                updates.copies.push((value, *slot));
            }
        }
        updates
    }
}

/// What the executor relies on. An op that breaks it is a defect: its kernels
/// would be handed pointers that do not fit.
fn check_contract(node: &Node, inputs: &[&TensorType], how: &Lowered) {
    let name = node.op.info().name;
    match how {
        Lowered::Alias | Lowered::InPlace(_) => {
            let same = inputs
                .first()
                .is_some_and(|x| x.dtype == node.ty.dtype && x.elements() == node.ty.elements());
            assert!(same, "{name} is no alias of its first input");
        }
        Lowered::Part(start) => {
            let inside = inputs.first().is_some_and(|x| {
                x.dtype == node.ty.dtype && x.elements() >= start + node.ty.elements()
            });
            assert!(inside, "{name} is no part of its first input");
        }
        Lowered::Pointwise(pointwise) => {
            assert_eq!(pointwise.inputs(), inputs.len(), "{name}: inputs of the kernel");
            for input in inputs {
                let fits = broadcast(&input.shape, &node.ty.shape).as_ref() == Some(&node.ty.shape);
                let same = input.dtype == node.ty.dtype || pointwise.converts();
                assert!(fits && same, "{name}: {input} for {}", node.ty);
            }
        }
        Lowered::Folding(folding) => {
            let fits = node.ty.elements() == folding.outputs && inputs[0].dtype == node.ty.dtype;
            assert!(fits, "{name}: {} of {}", node.ty, inputs[0]);
        }
        Lowered::Source | Lowered::Routine(_) => {}
    }
}

/// Nobody behind a node that works in place reads the value from before it.
fn check_order(nodes: &[Node], index: usize, root: &[usize]) {
    let name = nodes[index].op.info().name;
    let own = root[index];
    let changes = !matches!(nodes[own].op.source(), Some(Source::Input(_) | Source::Constant(_)));
    assert!(changes, "{name} would change an input or a constant");
    let old = |id: &NodeId| id.index() < index && root[id.index()] == own;
    let late = nodes[index + 1..].iter().any(|node| node.inputs.iter().any(old));
    assert!(!late, "a node behind {name} reads what it has changed");
}
