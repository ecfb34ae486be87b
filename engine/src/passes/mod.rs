//! Graph → graph passes: named, visible, each can be switched off.
//!
//! A pass makes a new graph out of an old one that computes the same outputs
//! and the same new state. Every pass is a [`Pass`] in [`ALL`] and runs in that
//! order when a program is compiled.

mod common;
mod dead;
mod fold;
mod forward;
mod fusion;

use crate::graph::{Graph, GraphError, NodeId};
use crate::program::CompileError;
use speck_kernels::Choice;

/// A named rewrite.
pub struct Pass {
    /// Its name, for switching it off.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The rewrite.
    pub run: fn(&Graph, &Choice) -> Result<Graph, GraphError>,
}

/// The name of the pass that decides which element-wise steps run together.
pub(crate) const FUSION: &str = fusion::PASS.name;

/// The name under which the joining of element-wise steps is switched off. It
/// happens when steps are planned, after the passes.
pub const GROUPS: &str = "groups";

/// What joining element-wise steps does, in one line.
const GROUPS_SUMMARY: &str = "run chains of element-wise steps tile by tile in one go";

/// The name under which the joining of products with the groups that read them is
/// switched off; it happens with the joining of groups.
pub const EPILOGUES: &str = "epilogues";

/// What that does, in one line.
const EPILOGUES_SUMMARY: &str =
    "run a group on the parts of the product that it reads, as they are finished";

/// Name and summary of what can be switched off, in the order in which it
/// first happens.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let again = |i: usize| ALL[..i].iter().any(|earlier| earlier.name == ALL[i].name);
    let passes = (0..ALL.len()).filter(move |i| !again(*i));
    passes
        .map(|i| (ALL[i].name, ALL[i].summary))
        .chain([(GROUPS, GROUPS_SUMMARY), (EPILOGUES, EPILOGUES_SUMMARY)])
}

/// All passes, in the order in which they run.
pub const ALL: &[Pass] = &[
    dead::PASS,
    forward::PASS,
    fold::PASS,
    common::PASS,
    dead::PASS_AGAIN,
    fusion::PASS,
    dead::PASS_AGAIN,
];

/// Runs all passes but those named in `without`.
///
/// # Errors
/// A name in `without` that is no pass.
pub fn run(graph: &Graph, without: &[String], kernels: &Choice) -> Result<Graph, CompileError> {
    let known: Vec<_> = names().map(|(name, _)| name).collect();
    for name in without {
        if !known.contains(&name.as_str()) {
            let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            return Err(CompileError::NoSuchPass(name.clone(), names.join(", ")));
        }
    }
    let mut current =
        rebuild(graph, |new, _, node, inputs| new.append_shared(node.op.clone(), inputs))?;
    for pass in ALL.iter().filter(|pass| !without.iter().any(|name| name == pass.name)) {
        current = (pass.run)(&current, kernels)?;
    }
    Ok(current)
}

/// The graph without dead nodes and repetitions, for estimates.
pub(crate) fn cleaned(graph: &Graph) -> Result<Graph, GraphError> {
    let kernels = Choice::default();
    let graph = (common::PASS.run)(&(dead::PASS.run)(graph, &kernels)?, &kernels)?;
    (dead::PASS.run)(&graph, &kernels)
}

/// Copies a graph node by node; `make` appends the new node for an old one,
/// given the new ids of its inputs, or returns an existing one.
fn rebuild(
    graph: &Graph,
    mut make: impl FnMut(&Graph, NodeId, &crate::Node, &[NodeId]) -> Result<NodeId, GraphError>,
) -> Result<Graph, GraphError> {
    let new = Graph::new(graph.float());
    let old = graph.inner();
    let mut map: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
    for (index, node) in old.nodes.iter().enumerate() {
        let inputs: Vec<_> = node.inputs.iter().map(|id| map[id.index()]).collect();
        let before = new.len();
        let id = make(&new, NodeId::from_index(index), node, &inputs)?;
        // New nodes stand for the old one: they keep its name and its line.
        for added in before..new.len() {
            let mut inner = new.inner_mut();
            let (earlier, later) = inner.nodes.split_at_mut(added);
            let added = &mut later[0];
            added.path = node.path.clone();
            added.location = node.location;
            added.serves = node.serves.clone();
            added.unit = node.unit;
            // A forward node that was removed left a stand-in of another name.
            added.origin = node.origin.map(|origin| map[origin.index()]).filter(|origin| {
                let name = |node: &crate::Node| node.op.info().name;
                let forward = node.origin.map(|origin| name(&old.nodes[origin.index()]));
                forward == earlier.get(origin.index()).map(name)
            });
        }
        map.push(id);
    }
    let mut inner = new.inner_mut();
    inner.states = old.states.clone();
    for slot in &mut inner.states {
        slot.node = map[slot.node.index()];
    }
    inner.updates = old.updates.iter().map(|(slot, id)| (*slot, map[id.index()])).collect();
    inner.outputs = old.outputs.iter().map(|(name, id)| (name.clone(), map[id.index()])).collect();
    drop(inner);
    Ok(new)
}
