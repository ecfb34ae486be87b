//! Linear layers on fields whose weights are held, and updated, by rows.
//!
//! A step reads and changes of such a layer only the rows under windows, as long
//! as the base is zero: the others have no gradient. What an optimizer does to
//! them all the same (moments fade and go on being applied) is made up for when
//! they are next read, which is exact; see
//! [`rule`](speck_kernels::rows::rule). Where the base is not zero every row has a
//! gradient, and one pass over memory reads and writes weight and moments without
//! the gradient ever being written out. Which of the two it is the step finds out
//! by itself, from the values of the base.
//!
//! Measured over 600 steps of training at places that are visited again after up to
//! hundreds of steps, the rate falling (`speck bench drift` prints the table): weights and moments differ from those of the dense program by 2e-15 to
//! 7e-15 of their size in f64, and in f32 both are as far from the f64 ones, for
//! Adam, AdamW, momentum, RMSprop and Lion; where rows without a gradient are left
//! as they are they differ by more than their size.
//!
//! Coupled weight decay (λw added to the gradient) is made up for with plain descent
//! and with momentum, where missed steps are linear; with Adam and RMSprop no weights
//! are held by rows then.
//!
//! Patch embeddings are not held by rows. All patches share their weight, whose rows
//! are the taps and channels of one patch: 64 random pixels touch 63% of the 64 taps
//! of patches of 8 × 8 (1 − (63/64)⁶⁴), and under a coloured background all taps have
//! a gradient. Skipping the rest would save the update of a third of 24 576 weights,
//! 3% of those of the transformer of `speck bench steps`. By `speck print --time` all
//! updates of weights take 0.4 of that step's 43 ms, and the embedding, whose gradient
//! is that of the windows under specks, 0.08. Weights of locally connected
//! layers, of which the lab has none, are ordinary parameters too.
//!
//! In the state such a layer is a hidden slot, weight and moments side by side.
//! The slots that others know, in PyTorch's layout, are written by the graph of
//! [`settled`] and read by that of [`gathered`].

use super::Rewriter;
use super::field::Field;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Source;
use crate::shape::TensorType;
use crate::state::{Initial, State};
use crate::tensor::Tensor;
use speck_kernels::rows::rule::Rule;
use speck_kernels::rows::{Classes, HISTORY};
use std::collections::HashSet;

/// What becomes of rows without a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowMode {
    /// All rows are updated in every step.
    Dense,
    /// They are brought up to date when they are next read.
    #[default]
    Exact,
    /// They stay as they are, and so do their moments; this is another optimizer.
    Masked,
}

/// Which parameters may be held by rows, and how they are updated.
pub struct RowPlan {
    /// The optimizer.
    pub rule: Rule,
    /// What becomes of rows without a gradient.
    pub mode: RowMode,
    /// The count of steps made, i32 [].
    pub step: NodeId,
    /// Names and nodes of the parameters.
    pub parameters: Vec<(String, NodeId)>,
}

/// How a layer is held.
#[derive(Clone, Debug)]
pub struct RowStore {
    /// The parameter's slot.
    pub name: String,
    /// Outputs, and channels of the map.
    pub shape: [usize; 2],
    /// Height and width of the map.
    pub map: [usize; 2],
    /// The optimizer.
    pub rule: Rule,
    /// Whether rows can fall behind.
    pub behind: bool,
}

/// A layer in the graph of a step.
pub struct RowLayer {
    /// How it is held.
    pub store: RowStore,
    /// The parameter that is not read any more.
    pub parameter: NodeId,
    slot: NodeId,
    last: Option<NodeId>,
    rows: NodeId,
    index: NodeId,
    due: NodeId,
    step: NodeId,
    difference: NodeId,
    classes: Classes,
    /// The sums of rows over classes, and what the windows give: the gradients
    /// that [`RowLayer::update`] takes are those of these.
    pub wanted: [NodeId; 2],
}

/// The slot of the rates of the last steps.
fn rates(graph: &Graph) -> Result<NodeId, GraphError> {
    let name = format!("{}rates", State::HIDDEN);
    match graph.state_node(&name) {
        Some(node) => Ok(node),
        None => graph.state(&name, &[HISTORY], Initial::Constant(0.0)),
    }
}

fn integer(graph: &Graph, value: i32) -> Result<NodeId, GraphError> {
    graph.constant(Tensor::from_i32(&[], vec![value]))
}

impl RowStore {
    fn positions(&self) -> usize {
        self.map[0] * self.map[1]
    }

    fn slot(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        let [outputs, channels] = self.shape;
        let shape = [self.positions() * channels, self.rule.parts(), outputs];
        graph.state(&format!("{}rows/{}", State::HIDDEN, self.name), &shape, Initial::Constant(0.0))
    }

    fn last(&self, graph: &Graph) -> Result<Option<NodeId>, GraphError> {
        let ty = TensorType::new(DType::I32, &[self.positions()]);
        let name = format!("{}last/{}", State::HIDDEN, self.name);
        let slot = || graph.state_of(&name, &ty, Initial::Constant(0.0));
        self.behind.then(slot).transpose()
    }

    /// The index of no windows at all.
    fn no_index(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        let positions = self.positions();
        graph.constant(Tensor::from_i32(&[positions + 1], vec![0; positions + 1]))
    }

    /// The slots that others know: the weight and `moments`.
    fn known(&self, graph: &Graph, moments: &[String]) -> Result<Vec<NodeId>, GraphError> {
        let [outputs, channels] = self.shape;
        let shape = [outputs, channels * self.positions()];
        let names = [&self.name].into_iter().chain(moments);
        names.map(|name| graph.state(name, &shape, Initial::Constant(0.0))).collect()
    }
}

impl RowLayer {
    /// Appends the update, given the gradients of [`RowLayer::wanted`].
    ///
    /// # Errors
    /// None on a graph that [`super::rewrite_rows`] made.
    pub fn update(
        &self,
        graph: &Graph,
        [sums, outputs]: [NodeId; 2],
        rate: NodeId,
    ) -> Result<(), GraphError> {
        let RowStore { map, rule, .. } = self.store;
        let parts = [self.difference, outputs, sums];
        let counters = [self.index, self.due, self.step];
        let new = graph.row_update(self.rows, parts, counters, rate, map, &self.classes, rule)?;
        graph.update(self.slot, new)?;
        if let Some(last) = self.last {
            let next = graph.increment(self.step)?;
            let seen = graph.row_seen(last, self.index, self.due, next)?;
            graph.update(last, seen)?;
            let rates = rates(graph)?;
            graph.update(rates, graph.row_rates(rates, rate, self.step)?)?;
        }
        Ok(())
    }
}

/// A graph whose updates bring the rows of all layers up to date and write them
/// to the slots that others know: the weight's and, part by part, the `moments`;
/// `step` is the slot that counts steps.
///
/// # Errors
/// Names that are taken twice.
pub fn settled(
    float: DType,
    step: &str,
    layers: &[(RowStore, Vec<String>)],
) -> Result<Graph, GraphError> {
    let graph = Graph::new(float);
    let step = graph.state_of(step, &TensorType::new(DType::I32, &[]), Initial::Constant(0.0))?;
    for (store, moments) in layers {
        let (slot, last) = (store.slot(&graph)?, store.last(&graph)?);
        let [outputs, channels] = store.shape;
        let mut rows = slot;
        if let Some(last) = last {
            let (index, all) = (store.no_index(&graph)?, integer(&graph, 1)?);
            let counters = [last, index, all, step, rates(&graph)?];
            rows = graph.row_catch_up(
                rows,
                counters,
                [0, 0, 0, 0, channels],
                store.map,
                store.rule,
            )?;
            graph.update(slot, rows)?;
            graph.update(last, graph.row_seen(last, index, all, step)?)?;
        }
        for (part, known) in store.known(&graph, moments)?.into_iter().enumerate() {
            let one = graph.narrow(rows, 1, part, 1, 1)?;
            let one = graph.reshape(one, &[store.positions(), channels, outputs])?;
            let one = graph.permute(one, &[2, 1, 0])?;
            graph.update(known, graph.flatten_from(one, 1)?)?;
        }
    }
    Ok(graph)
}

/// The graph of the way back: rows out of the slots that others know.
///
/// # Errors
/// Names that are taken twice.
pub fn gathered(
    float: DType,
    step: &str,
    layers: &[(RowStore, Vec<String>)],
) -> Result<Graph, GraphError> {
    let graph = Graph::new(float);
    let step = graph.state_of(step, &TensorType::new(DType::I32, &[]), Initial::Constant(0.0))?;
    for (store, moments) in layers {
        let (slot, last) = (store.slot(&graph)?, store.last(&graph)?);
        let known = store.known(&graph, moments)?;
        let parts: Vec<_> = known
            .into_iter()
            .map(|known| graph.as_rows(known, store.map))
            .collect::<Result<_, _>>()?;
        graph.update(slot, graph.concat(&parts, 1)?)?;
        if let Some(last) = last {
            let (index, all) = (store.no_index(&graph)?, integer(&graph, 1)?);
            graph.update(last, graph.row_seen(last, index, all, step)?)?;
        }
    }
    Ok(graph)
}

/// A linear layer on a field.
pub(super) struct Linear<'a> {
    pub field: &'a Field,
    /// [outputs, channels · positions].
    pub weight: NodeId,
    pub difference: NodeId,
    pub index: NodeId,
    pub classes: Classes,
}

impl Rewriter<'_> {
    /// The sums of the weight's rows over the classes of positions, and the
    /// product of the windows with the rows.
    pub(super) fn row_products(&self, linear: &Linear<'_>) -> Result<[NodeId; 2], GraphError> {
        if let Some(wanted) = self.held_by_rows(linear)? {
            return Ok(wanted);
        }
        let graph = self.graph;
        let map = linear.field.map();
        let rows = graph.as_rows(linear.weight, map)?;
        let sums = graph.row_sum(rows, map, &linear.classes, None)?;
        Ok([sums, graph.row_linear(linear.difference, rows, linear.index, map)?])
    }

    fn held_by_rows(&self, linear: &Linear<'_>) -> Result<Option<[NodeId; 2]>, GraphError> {
        let graph = self.graph;
        let Some(plan) = self.plan else { return Ok(None) };
        let Linear { field, weight, difference, index, .. } = *linear;
        let known = plan.parameters.iter().find(|(_, node)| *node == weight);
        let Some((name, _)) = known.filter(|_| self.readers(weight) == 1) else { return Ok(None) };
        // A base that depends on parameters is hardly ever zero, and needs the
        // sums of all rows for its own gradient.
        let learned = self.depends_on_state(field.base);
        let behind = plan.mode == RowMode::Exact && !learned;
        let shape = [graph.shape(weight)[0], field.channels(graph)];
        let map = field.map();
        let store = RowStore { name: name.clone(), shape, map, rule: plan.rule, behind };
        let (slot, last) = (store.slot(graph)?, store.last(graph)?);
        let due = match plan.mode {
            _ if learned => integer(graph, 1)?,
            RowMode::Dense => integer(graph, 1)?,
            RowMode::Exact => graph.row_due(field.base, plan.step)?,
            // A step that is no multiple of anything.
            RowMode::Masked => graph.row_due(field.base, integer(graph, 1)?)?,
        };
        let mut rows = slot;
        if let Some(last) = last {
            let counters = [last, index, due, plan.step, rates(graph)?];
            let windows = graph.shape(difference).try_into().unwrap_or([0; 5]);
            rows = graph.row_catch_up(slot, counters, windows, map, plan.rule)?;
        }
        let when = (!learned && plan.mode != RowMode::Dense).then_some(due);
        let sums = graph.row_sum(rows, map, &linear.classes, when)?;
        let outputs = graph.row_linear(difference, rows, index, map)?;
        self.layers.borrow_mut().push(RowLayer {
            store,
            parameter: weight,
            slot,
            last,
            rows,
            index,
            due,
            step: plan.step,
            difference,
            classes: linear.classes.clone(),
            wanted: [sums, outputs],
        });
        Ok(Some([sums, outputs]))
    }

    /// How many of the nodes to be rewritten read this one.
    fn readers(&self, id: NodeId) -> usize {
        let inner = self.graph.inner();
        let reads =
            |(index, needed): &(usize, &bool)| **needed && inner.nodes[*index].inputs.contains(&id);
        self.needed.iter().enumerate().filter(reads).count()
    }

    fn depends_on_state(&self, id: NodeId) -> bool {
        let inner = self.graph.inner();
        let mut stack = vec![id];
        let mut seen = HashSet::new();
        while let Some(id) = stack.pop() {
            let node = &inner.nodes[id.index()];
            if matches!(node.op.source(), Some(Source::State(_))) {
                return true;
            }
            stack.extend(node.inputs.iter().filter(|input| seen.insert(**input)));
        }
        false
    }
}
