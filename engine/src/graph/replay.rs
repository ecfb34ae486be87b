//! Computing a value again from other inputs.

use super::{Graph, GraphError, NodeId};
use std::collections::HashMap;

impl Graph {
    /// Appends a second computation of `value` in which each first node of a pair
    /// is replaced by the second. What does not depend on one is shared, draws of
    /// random ops in particular.
    ///
    /// # Errors
    /// A node and what replaces it differ in type.
    #[track_caller]
    pub fn replay(
        &self,
        value: NodeId,
        replaced: &[(NodeId, NodeId)],
    ) -> Result<NodeId, GraphError> {
        for (from, to) in replaced {
            if self.ty(*from) != self.ty(*to) {
                let message = "a node is replaced by one of another type".to_owned();
                return Err(self.error("replay", &[*from, *to], message));
            }
        }
        let end = value.index();
        let mut needed = vec![false; end + 1];
        needed[end] = true;
        for index in (0..=end).rev() {
            if needed[index] {
                for input in self.node(NodeId::from_index(index)).inputs {
                    needed[input.index()] = true;
                }
            }
        }
        let mut copies: HashMap<NodeId, NodeId> = replaced.iter().copied().collect();
        for id in (0..=end).filter(|index| needed[*index]).map(NodeId::from_index) {
            let node = self.node(id);
            let changed = node.inputs.iter().any(|input| copies.contains_key(input));
            if copies.contains_key(&id) || !changed {
                continue;
            }
            let own = |input: &NodeId| copies.get(input).copied().unwrap_or(*input);
            let inputs: Vec<_> = node.inputs.iter().map(own).collect();
            let copy = self.derived(id, |graph| graph.append_shared(node.op, &inputs))?;
            copies.insert(id, copy);
        }
        Ok(copies.get(&value).copied().unwrap_or(value))
    }
}
