//! The structure rewrite: exact programs that cost what differs.
//!
//! The screen is a background on which few pixels differ, so nearly all that a
//! network computes on it is the same for every sample. [`rewrite`] carries this
//! structure from the `render` op through the graph. A structured value, a
//! [`Field`], is a *base*, the value where a sample equals its background, and a
//! *patch*, the values inside the windows that the sample's specks have reached.
//! Layers become ops on the two; the result is an ordinary graph of the same
//! function, so its gradient is the ordinary one, and nothing is approximated.
//!
//! A background of one colour stays small: under convolution and pooling with
//! borders of zeros all its interior rows are equal, and equal rows and columns
//! are held once, with a list that says which stands for which row of the map.
//! The base's cost does not depend on the screen's size then.
//!
//! Prior work: Graham, "Spatially-sparse convolutional neural networks" (2014)
//! trains on active sites over one background row a sample, with convolutions
//! that have no border; CBinfer (Cavigelli and Benini, 2018), Krypton (Nakandala
//! et al., 2019) and DeltaCNN (Parger et al., 2022) update an answer where frames
//! differ, for inference. What is carried here besides: borders of zeros, where the
//! background varies in space; any number of backgrounds; one background pass for
//! the whole batch; norms with exact statistics; all of it differentiable to any
//! order.

mod field;
mod layers;
mod pointwise;
mod reductions;
mod rows;

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::op::Form;
use crate::tensor::Tensor;
use field::Field;
pub use rows::{RowLayer, RowMode, RowPlan, RowStore, gathered, settled};
use std::cell::RefCell;
use std::collections::HashMap;

/// Whether a program is rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every pixel of every sample is computed.
    #[default]
    Dense,
    /// What differs from the background is computed, wherever there is a rule.
    Structured,
    /// Whichever of the two is predicted to be cheaper.
    Auto,
}

impl Mode {
    /// The graph that `build` makes, which is told whether to rewrite it; of two
    /// graphs the one of less work.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn choose<T, E: From<GraphError>>(
        self,
        build: impl Fn(bool) -> Result<T, E>,
        graph: impl Fn(&T) -> &Graph,
    ) -> Result<T, E> {
        if self != Mode::Auto {
            return build(self == Mode::Structured);
        }
        let (dense, structured) = (build(false)?, build(true)?);
        let cheaper = predicted(graph(&structured))? < predicted(graph(&dense))?;
        Ok(if cheaper { structured } else { dense })
    }
}

/// Bytes that take as long to move as one operation takes to do, on machines
/// whose copy bandwidth in bytes is a tenth of their operations a second.
const OPERATIONS_A_BYTE: u64 = 10;

/// The work of a graph, in operations; moved bytes count as ten.
fn predicted(graph: &Graph) -> Result<u64, GraphError> {
    let live = crate::passes::cleaned(graph)?;
    let inner = live.inner();
    let cost = |node: &Node| {
        let types: Vec<_> = node.inputs.iter().map(|id| &inner.nodes[id.index()].ty).collect();
        let cost = node.op.cost(&types, &node.ty);
        cost.flops.max(OPERATIONS_A_BYTE * (cost.read + cost.written))
    };
    Ok(inner.nodes.iter().map(cost).sum())
}

/// Rewrites everything that `roots`, the outputs and the state updates of the
/// graph compute from `render` ops, by new nodes at the end of the graph;
/// outputs and updates are replaced, and the values of `roots` are returned.
/// What has no rule is computed in full from there on (`densify` in the path of
/// the nodes that write it out). Nothing else changes, in particular no
/// parameter; the old nodes are dead.
///
/// # Errors
/// None on a graph that was built: a rule that makes a node which does not fit is
/// a defect, and the error names it.
pub fn rewrite(graph: &Graph, roots: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
    rewritten(graph, roots, None).map(|(new, _)| new)
}

/// As [`rewrite`]; linear layers on fields whose weights are among the plan's
/// parameters are held by rows and returned. Their gradients are to be taken, and
/// the updates to be made, of what a [`RowLayer`] names.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_rows(
    graph: &Graph,
    roots: &[NodeId],
    plan: &RowPlan,
) -> Result<(Vec<NodeId>, Vec<RowLayer>), GraphError> {
    rewritten(graph, roots, Some(plan))
}

fn rewritten(
    graph: &Graph,
    roots: &[NodeId],
    plan: Option<&RowPlan>,
) -> Result<(Vec<NodeId>, Vec<RowLayer>), GraphError> {
    let end = graph.len();
    let needed = needed(graph, roots);
    let layers = RefCell::new(Vec::new());
    let mut rewriter = Rewriter { graph, values: HashMap::new(), plan, needed, layers };
    for index in 0..end {
        if rewriter.needed[index] {
            rewriter.visit(NodeId::from_index(index))?;
        }
    }
    let new = roots.iter().map(|root| rewriter.dense(*root)).collect::<Result<_, _>>()?;
    let (updates, outputs) = {
        let inner = graph.inner();
        (inner.updates.clone(), inner.outputs.clone())
    };
    for (i, (_, id)) in updates.iter().enumerate() {
        let value = rewriter.dense(*id)?;
        graph.inner_mut().updates[i].1 = value;
    }
    for (i, (_, id)) in outputs.iter().enumerate() {
        let value = rewriter.dense(*id)?;
        graph.inner_mut().outputs[i].1 = value;
    }
    Ok((new, rewriter.layers.into_inner()))
}

fn needed(graph: &Graph, roots: &[NodeId]) -> Vec<bool> {
    let inner = graph.inner();
    let mut needed = vec![false; inner.nodes.len()];
    let more = inner.updates.iter().map(|(_, id)| *id);
    let more = more.chain(inner.outputs.iter().map(|(_, id)| *id));
    for id in roots.iter().copied().chain(more) {
        needed[id.index()] = true;
    }
    for index in (0..inner.nodes.len()).rev() {
        if needed[index] {
            inner.nodes[index].inputs.iter().for_each(|id| needed[id.index()] = true);
        }
    }
    needed
}

/// What became of a node that depends on a `render`.
#[derive(Clone)]
enum Value {
    /// Held as base and patch.
    Structured(Field),
    /// Computed in full, by this node.
    Dense(NodeId),
    /// Not computed until somebody needs it in full: the indices of a pooling,
    /// which the rule for the pooling itself does without.
    Deferred,
}

struct Rewriter<'a> {
    graph: &'a Graph,
    values: HashMap<NodeId, Value>,
    plan: Option<&'a RowPlan>,
    /// Which of the old nodes are needed.
    needed: Vec<bool>,
    layers: RefCell<Vec<RowLayer>>,
}

impl Rewriter<'_> {
    fn field(&self, id: NodeId) -> Option<&Field> {
        match self.values.get(&id) {
            Some(Value::Structured(field)) => Some(field),
            _ => None,
        }
    }

    fn visit(&mut self, id: NodeId) -> Result<(), GraphError> {
        let node = self.graph.node(id);
        let form = node.op.form();
        let touched = node.inputs.iter().any(|input| self.values.contains_key(input));
        if !touched && !matches!(form, Form::Render(_)) {
            return Ok(());
        }
        let graph = self.graph;
        let value = graph.derived(id, |_| self.rule(&node, form))?;
        let value = match value {
            Some(value) => value,
            None => Value::Dense(self.append_dense(id, &node)?),
        };
        self.values.insert(id, value);
        Ok(())
    }

    /// What the rule for a node makes of it; `None` if there is none.
    fn rule(&self, node: &Node, form: Form<'_>) -> Result<Option<Value>, GraphError> {
        let deferred = |id: &NodeId| matches!(self.values.get(id), Some(Value::Deferred));
        let first = node.inputs.first().and_then(|id| self.field(*id));
        let structured = |field: Option<Field>| field.map(Value::Structured);
        let dense = |id: Option<NodeId>| id.map(Value::Dense);
        Ok(match (form, first) {
            (Form::Render(size), _) => structured(Field::render(self.graph, node, size)?),
            (Form::Reshape, None) if node.inputs.iter().any(deferred) => Some(Value::Deferred),
            (Form::MaxPoolIndices(_), Some(_)) => Some(Value::Deferred),
            (Form::Pointwise, _) => structured(self.pointwise(node)?),
            (Form::Concat(axis), _) => structured(self.concat(node, axis)?),
            (Form::Convolution(window), Some(field)) => {
                structured(self.convolution(node, field, window)?)
            }
            (Form::AveragePool(pool), Some(field)) => {
                structured(self.average_pool(node, field, pool)?)
            }
            (Form::Gather(axis), Some(field)) => structured(self.max_pool(node, field, axis)?),
            (Form::Sum(axes), Some(field)) => dense(self.sum(field, axes)?),
            (Form::Matmul { transpose_a: false, transpose_b }, Some(field)) => {
                dense(self.linear(node, field, transpose_b)?)
            }
            (Form::Reshape, Some(field)) => structured(field.reshaped(self.graph, &node.ty.shape)),
            _ => None,
        })
    }

    /// The node on inputs that are computed in full.
    fn append_dense(&mut self, id: NodeId, node: &Node) -> Result<NodeId, GraphError> {
        let inputs: Vec<_> =
            node.inputs.iter().map(|input| self.dense(*input)).collect::<Result<_, _>>()?;
        self.graph.derived(id, |graph| graph.append_shared(node.op.clone(), &inputs))
    }

    /// The value of a node, in full.
    fn dense(&mut self, id: NodeId) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let dense = match self.values.get(&id) {
            None => return Ok(id),
            Some(Value::Dense(dense)) => return Ok(*dense),
            Some(Value::Structured(field)) => graph.derived(id, |_| self.densify(field))?,
            Some(Value::Deferred) => self.append_dense(id, &graph.node(id))?,
        };
        // A field stays one for others who can use it.
        if !matches!(self.values.get(&id), Some(Value::Structured(_))) {
            self.values.insert(id, Value::Dense(dense));
        }
        Ok(dense)
    }

    /// The value of a node that is no field, if it is one that is at hand.
    fn at_hand(&self, id: NodeId) -> Option<NodeId> {
        match self.values.get(&id) {
            None => Some(id),
            Some(Value::Dense(dense)) => Some(*dense),
            _ => None,
        }
    }

    /// The maps of all samples written out.
    fn densify(&self, field: &Field) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let [samples, _] = field.slots(graph);
        let starts = graph.constant(Tensor::from_i32(&[samples, 1, 2], vec![0; samples * 2]))?;
        let full = field.tile_at(graph, starts, field.map(), false)?;
        let shape = graph.shape(full);
        let full = graph.reshape(full, &[samples, shape[2], shape[3], shape[4]])?;
        let full = graph.permute(full, &[0, 3, 1, 2])?;
        graph.reshape(full, &field.shape(graph))
    }
}

/// A list of whole numbers as a node.
fn indices(graph: &Graph, values: &[u32]) -> Result<NodeId, GraphError> {
    let values: Vec<_> = values.iter().map(|value| *value as i32).collect();
    graph.constant(Tensor::from_i32(&[values.len()], values))
}

/// How often each of `count` classes occurs.
fn counts(classes: &[u32], count: usize) -> Vec<f64> {
    let mut counts = vec![0.0; count];
    classes.iter().for_each(|class| counts[*class as usize] += 1.0);
    counts
}

/// Whether a node is of the graph's floating-point type.
fn is_float(graph: &Graph, id: NodeId) -> bool {
    graph.ty(id).dtype != DType::I32
}
