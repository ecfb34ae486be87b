//! What runs together on a GPU: runs of light element-wise nodes are one dispatch.
//!
//! Between two dispatches all values go through memory, and a device has a fixed cost
//! for each. Nodes join in order, as long as buffers, numbers and functions fit the
//! shader (`chain.wgsl`).

use super::placement::Roots;
use crate::DType;
use crate::graph::{Inner, NodeId};
use crate::op::{Lowered, Source};
use crate::shape::broadcast_strides;
use speck_kernels::elementwise::chain::{
    self, Access, Chain, MOST_BUFFERS, MOST_CONSTANTS, MOST_STEPS, Reading, Value,
};
use speck_kernels::gpu::{Calls, Operand};
use std::collections::{HashMap, HashSet};

/// What one step computes: a node, or several of a chain.
pub(super) type Unit = Vec<usize>;

/// A value from outside that a chain reads: its root, and how.
type Outside = (usize, Reading);

/// A chain before its buffers are known.
struct Draft {
    outside: Vec<Outside>,
    /// Members whose values others want, too.
    wanted: Vec<usize>,
    constants: Vec<f32>,
    /// The dimensions of what is stretched.
    sizes: Vec<usize>,
    steps: Vec<(&'static str, Vec<Value>)>,
}

pub(super) struct Chains<'a> {
    inner: &'a Inner,
    roots: &'a Roots,
    /// For each root, the nodes that read it.
    readers: Vec<Vec<usize>>,
    /// Roots that are read after the run: outputs, and new values of slots.
    kept: HashSet<usize>,
    /// For each node that is a new value of a slot, the slot's node.
    slot_of: HashMap<usize, usize>,
}

impl<'a> Chains<'a> {
    pub fn new(inner: &'a Inner, roots: &'a Roots) -> Self {
        let root = |id: NodeId| roots.root[id.index()];
        let mut readers = vec![Vec::new(); inner.nodes.len()];
        for (index, node) in inner.nodes.iter().enumerate() {
            // An alias is nothing of its own.
            if matches!(roots.lowered[index], Lowered::Alias | Lowered::Source) {
                continue;
            }
            for input in &node.inputs {
                readers[root(*input)].push(index);
            }
        }
        let updated = inner.updates.iter().map(|(_, id)| *id);
        let kept = inner.outputs.iter().map(|(_, id)| *id).chain(updated).map(root).collect();
        let slot_of = inner
            .updates
            .iter()
            .map(|(slot, id)| (root(*id), inner.states[*slot].node.index()))
            .collect();
        Chains { inner, roots, readers, kept, slot_of }
    }

    /// The nodes that read the memory of `root`.
    pub fn readers(&self, root: usize) -> &[usize] {
        &self.readers[root]
    }

    /// All nodes that compute, in order; those in `apart` by themselves.
    pub fn units(&self, apart: &HashSet<usize>) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        // Whether the last one may grow.
        let mut open = false;
        for index in 0..self.inner.nodes.len() {
            if matches!(self.roots.lowered[index], Lowered::Source | Lowered::Alias) {
                continue;
            }
            let light = self.is_light(index) && !apart.contains(&index);
            if light
                && open
                && let Some(unit) = units.last_mut()
            {
                unit.push(index);
                if self.draft(unit).is_some() {
                    continue;
                }
                unit.pop();
            }
            units.push(vec![index]);
            open = light && self.draft(&[index]).is_some();
        }
        units
    }

    fn is_light(&self, index: usize) -> bool {
        let node = &self.inner.nodes[index];
        matches!(self.roots.lowered[index], Lowered::Pointwise(_))
            && node.ty.dtype == DType::F32
            && node.ty.elements() > 0
            && chain::has(node.op.info().name)
    }

    /// The chain of these nodes, if they fit into one.
    fn draft(&self, nodes: &[usize]) -> Option<Draft> {
        let all = &self.inner.nodes;
        let count = all[nodes[0]].ty.elements();
        let (mut outside, mut constants) = (Vec::<Outside>::new(), Vec::<f32>::new());
        let mut shape: Option<&[usize]> = None;
        let mut steps = Vec::new();
        for index in nodes {
            let node = &all[*index];
            if node.ty.elements() != count {
                return None;
            }
            let mut values = Vec::new();
            for input in &node.inputs {
                let (ty, root) = (&all[input.index()].ty, self.roots.root[input.index()]);
                let full = ty.elements() == count;
                if let Some(step) = nodes.iter().position(|member| *member == root) {
                    // Another element's value is not there.
                    if !full || step >= steps.len() {
                        return None;
                    }
                    values.push(Value::Step(step));
                    continue;
                }
                if let Some(Source::Constant(tensor)) = all[root].op.source()
                    && let Some([number]) = tensor.values::<f32>()
                {
                    let known = |own: &f32| own.to_bits() == number.to_bits();
                    let place = constants.iter().position(known).unwrap_or_else(|| {
                        constants.push(*number);
                        constants.len() - 1
                    });
                    values.push(Value::Constant(place));
                    continue;
                }
                let reading = if full {
                    Reading::Full
                } else if ty.elements() == 1 {
                    Reading::Single
                } else {
                    if shape.is_some_and(|shape| shape != node.ty.shape) {
                        return None;
                    }
                    shape = Some(&node.ty.shape);
                    let steps = broadcast_strides(&ty.shape, &node.ty.shape);
                    Reading::Stretched(steps.into_iter().map(|step| step as usize).collect())
                };
                let own = (root, reading);
                let place = match outside.iter().position(|known| known.0 == root) {
                    // One buffer is bound once.
                    Some(place) if outside[place].1 != own.1 => return None,
                    Some(place) => place,
                    None => {
                        outside.push(own);
                        outside.len() - 1
                    }
                };
                values.push(Value::Buffer(place));
            }
            steps.push((node.op.info().name, values));
        }
        let asked = |index: &usize| {
            self.kept.contains(index)
                || self.readers[*index].iter().any(|reader| !nodes.contains(reader))
        };
        let wanted: Vec<_> = nodes.iter().copied().filter(asked).collect();
        // What is written over the old value that it was made from needs no buffer more.
        let over = |index: &&usize| {
            let old = self.slot_of.get(index);
            old.is_some_and(|old| outside.contains(&(*old, Reading::Full)))
        };
        let buffers = outside.len() + wanted.len() - wanted.iter().filter(over).count();
        let fits = buffers <= MOST_BUFFERS
            && constants.len() <= MOST_CONSTANTS
            && steps.len() <= MOST_STEPS
            && shape.is_none_or(|shape| shape.len() <= speck_kernels::gpu::MOST_DIMS);
        let sizes = shape.unwrap_or_default().to_vec();
        fits.then_some(Draft { outside, wanted, constants, sizes, steps })
    }

    /// Whether node `index` of `unit` reads `root` only where it may be written.
    pub fn reads_in_place(&self, unit: &Unit, root: usize) -> bool {
        let draft = (unit.len() > 1).then(|| self.draft(unit)).flatten();
        draft.is_some_and(|draft| {
            draft.outside.iter().all(|(own, how)| *own != root || *how == Reading::Full)
        })
    }

    /// The calls of a chain, the nodes that it reads, and those that it gives, as its
    /// results are numbered; `in_slot` are new values that are written over the old
    /// ones. `None` where the buffers are too many.
    pub fn calls(
        &self,
        unit: &Unit,
        in_slot: &HashMap<usize, usize>,
    ) -> Option<Result<(Calls, Vec<usize>, Vec<usize>), String>> {
        let Draft { outside, wanted, constants, sizes, steps } = self.draft(unit)?;
        let mut buffers: Vec<_> = outside
            .iter()
            .enumerate()
            .map(|(number, (_, how))| {
                let operand = Operand::Input(number);
                Access { operand, read: Some(how.clone()), write: None }
            })
            .collect();
        for (number, index) in wanted.iter().enumerate() {
            let write = unit.iter().position(|member| member == index);
            let slot = in_slot.get(index).map(|slot| self.inner.states[*slot].node.index());
            let shared = outside.iter().position(|(root, _)| Some(*root) == slot);
            match shared {
                Some(place) => buffers[place].write = write,
                None => {
                    buffers.push(Access { operand: Operand::Result(number), read: None, write });
                }
            }
        }
        if buffers.len() > MOST_BUFFERS {
            return None;
        }
        let count = self.inner.nodes[unit[0]].ty.elements();
        let calls = Chain { count, sizes, buffers, constants, steps }.calls();
        let read = outside.into_iter().map(|(root, _)| root).collect();
        Some(calls.map(|calls| (calls, read, wanted)))
    }
}
