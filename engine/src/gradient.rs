//! Reverse-mode differentiation as a graph → graph function.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Gradient, Source, Vjp};
use crate::shape::TensorType;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

impl Graph {
    /// Appends the gradient of the scalar `loss` with respect to each node of
    /// `wrt` and returns the gradient nodes, which have the types of `wrt`; of
    /// what is stored in 16 bits, the graph's floating-point type.
    ///
    /// The backward pass is ordinary nodes, tagged with the forward node they
    /// come from, so it can be printed, priced and differentiated again. Where
    /// `loss` does not depend on a node, the gradient is a zero constant.
    ///
    /// Nodes made inside [`Graph::checkpoint`] are computed a second time for
    /// the backward pass instead of being kept.
    ///
    /// Reverse accumulation: cotangents are summed per node, in the order in
    /// which the nodes that use it appear, latest first (Griewank and Walther,
    /// *Evaluating Derivatives*, 2nd ed., section 3.2).
    ///
    /// # Errors
    /// `loss` is not a floating-point scalar, a node of `wrt` is not
    /// floating-point, or an op on the way has no gradient.
    #[track_caller]
    pub fn gradient(&self, loss: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
        let ty = self.ty(loss);
        if ty.elements() != 1 || !ty.dtype.is_float() {
            let message = "a gradient is taken of one floating-point number".to_owned();
            return Err(self.error("gradient", &[loss], message));
        }
        let seed = self.constant_like(loss, 1.0)?;
        self.pull_back(loss, seed, wrt)
    }

    /// Appends the vector-Jacobian product of `output` with `cotangent` for
    /// each node of `wrt`. See [`Graph::gradient`].
    ///
    /// # Errors
    /// As [`Graph::gradient`]; and if `cotangent` has another type than `output`.
    #[track_caller]
    pub fn pull_back(
        &self,
        output: NodeId,
        cotangent: NodeId,
        wrt: &[NodeId],
    ) -> Result<Vec<NodeId>, GraphError> {
        self.backward(|graph| graph.pulled_back(output, cotangent, wrt))
    }

    #[track_caller]
    fn pulled_back(
        &self,
        output: NodeId,
        cotangent: NodeId,
        wrt: &[NodeId],
    ) -> Result<Vec<NodeId>, GraphError> {
        if self.gradient_type(output) != self.ty(cotangent) {
            let message = "the cotangent has another type than the output".to_owned();
            return Err(self.error("pull_back", &[output, cotangent], message));
        }
        for id in wrt {
            if !self.ty(*id).dtype.carries_gradient() {
                let message = "integers have no gradient".to_owned();
                return Err(self.error("pull_back", &[*id], message));
            }
        }
        // Which nodes up to the output depend on a node of `wrt`.
        let end = output.index();
        let mut depends = vec![false; end + 1];
        for index in 0..=end {
            let id = NodeId::from_index(index);
            depends[index] = wrt.contains(&id)
                || self.inner().nodes[index].inputs.iter().any(|input| depends[input.index()]);
        }
        let mut cotangents: HashMap<usize, NodeId> = HashMap::from([(end, cotangent)]);
        let mut values = Recomputation::new(self);
        for index in (0..=end).rev() {
            let Some(cotangent) = cotangents.get(&index).copied() else { continue };
            let id = NodeId::from_index(index);
            let node = self.node(id);
            if !depends[index] || node.inputs.is_empty() {
                continue;
            }
            let needs: Vec<bool> = node
                .inputs
                .iter()
                .map(|input| depends[input.index()] && self.ty(*input).dtype.carries_gradient())
                .collect();
            if !needs.contains(&true) {
                continue;
            }
            self.derived(id, |graph| {
                if let Gradient::None(reason) = node.op.info().gradient {
                    let message = format!("has no gradient: {reason}");
                    return Err(graph.error(node.op.info().name, &node.inputs, message));
                }
                values.enter(graph, index, cotangent)?;
                let inputs: Vec<_> = node.inputs.iter().map(|id| values.of(*id)).collect();
                let vjp = Vjp { inputs: &inputs, output: values.of(id), cotangent, needs: &needs };
                let gradients = node.op.vjp(graph, &vjp)?;
                for ((input, gradient), needed) in node.inputs.iter().zip(gradients).zip(&needs) {
                    let (Some(gradient), true) = (gradient, needed) else { continue };
                    if graph.ty(gradient) != graph.gradient_type(*input) {
                        let message = format!("its gradient is {}", graph.ty(gradient));
                        return Err(graph.error(node.op.info().name, &[*input], message));
                    }
                    let sum = match cotangents.get(&input.index()) {
                        Some(so_far) => graph.add(*so_far, gradient)?,
                        None => gradient,
                    };
                    cotangents.insert(input.index(), sum);
                }
                Ok(())
            })?;
        }
        wrt.iter()
            .map(|id| match cotangents.get(&id.index()) {
                Some(gradient) => Ok(*gradient),
                None => self.constant_like(*id, 0.0),
            })
            .collect()
    }

    /// The type of a node's gradient: its own; where it is stored in 16 bits, the
    /// type that ops compute in. A gradient is a sum of many terms, so that it is
    /// rounded to 16 bits only where a product reads it.
    fn gradient_type(&self, id: NodeId) -> TensorType {
        let ty = self.ty(id);
        match ty.dtype.storage() {
            Some(_) => TensorType::new(self.float(), &ty.shape),
            None => ty,
        }
    }
}

/// What a backward pass reads in place of the nodes made inside a checkpoint:
/// copies of them, computed again once the cotangent of the part is there.
struct Recomputation {
    /// The parts still to be entered, outer ones before the inner ones they hold.
    parts: Vec<Range<usize>>,
    copies: HashMap<NodeId, NodeId>,
}

impl Recomputation {
    fn new(graph: &Graph) -> Self {
        let mut parts = graph.inner().checkpoints.clone();
        parts.sort_by_key(|part| (part.start, Reverse(part.end)));
        Recomputation { parts, copies: HashMap::new() }
    }

    fn of(&self, id: NodeId) -> NodeId {
        self.copies.get(&id).copied().unwrap_or(id)
    }

    /// Copies the nodes up to `index` of every part that holds it and has not
    /// been entered. The copies read what comes from outside through barriers,
    /// so that nobody takes them for the nodes they copy, or runs them early.
    fn enter(&mut self, graph: &Graph, index: usize, after: NodeId) -> Result<(), GraphError> {
        let entered: Vec<_> = self.parts.extract_if(.., |part| part.contains(&index)).collect();
        for part in entered {
            let mut held: HashMap<NodeId, NodeId> = HashMap::new();
            for id in (part.start..=index).map(NodeId::from_index) {
                let node = graph.node(id);
                if node.op.source().is_some() {
                    continue;
                }
                let mut inputs = Vec::with_capacity(node.inputs.len());
                for input in &node.inputs {
                    let own = part.contains(&input.index());
                    let constant =
                        matches!(graph.node(*input).op.source(), Some(Source::Constant(_)));
                    let read = match held.get(input) {
                        Some(read) => *read,
                        None if own || constant => self.of(*input),
                        None => graph.barrier(self.of(*input), after)?,
                    };
                    if !own {
                        held.insert(*input, read);
                    }
                    inputs.push(read);
                }
                let copy = graph.derived(id, |graph| graph.append_shared(node.op, &inputs))?;
                self.copies.insert(id, copy);
            }
        }
        Ok(())
    }
}
