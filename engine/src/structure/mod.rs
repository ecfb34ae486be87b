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
//! A background of one colour stays small: under convolution, pooling and
//! upsampling with borders of zeros all its interior rows are equal, and equal
//! rows and columns are held once, with a list that says which stands for which
//! row of the map. The base's cost does not depend on the screen's size then, and
//! a background of its own for every sample costs little more than one for all;
//! so do statistics and masks of each sample's own (group and instance norm,
//! dropout of channels), which make many backgrounds of one.
//!
//! What a value is to the graph does not matter: a [`view::View`] says how its
//! dimensions are made of samples, channels, rows and columns, so planes, rows of
//! patches, groups of channels and flattened maps are fields. A sum over a map
//! counts each value of the base as often as it stands for a position outside the
//! windows, and adds the windows: nothing is taken away again, so batch norm's
//! statistics and a softmax over a map are as accurate as the dense ones.
//!
//! Windows may overlap, where they hold the same values; each position counts in
//! the first that holds it. They may reach over the border, where nothing is read.
//!
//! What has no rule is written out (`densify`): a mask or constant that differs
//! from sample to sample and from place to place (dropout of elements), softmax
//! along rows, attention. [`Note`]s say so for each op; a [`Ledger`] says what
//! each op costs; a [`Plan`] why a program is rewritten or not.
//!
//! Prior work. Graham, "Spatially-sparse convolutional neural networks" (2014),
//! and its archive SparseConvNet: training on active sites over one background
//! row a sample, with convolutions that have no border. SparseTrain (Gong et al.,
//! 2019): exact skipping of the zeros that ReLU leaves, in dense loops. CBinfer
//! (Cavigelli and Benini, 2018), Krypton (Nakandala et al., 2019) and DeltaCNN
//! (Parger et al., 2022): inference that updates the answer where a frame differs
//! from the last. Added here: borders of zeros, where the background varies in
//! space; any number of distinct backgrounds; one background pass shared by the
//! whole batch; norms with exact statistics; all of it inside a general
//! differentiation, to any order.

mod alike;
mod field;
mod layers;
mod ledger;
mod mode;
mod notes;
mod place;
mod pointwise;
mod products;
mod reductions;
mod rows;
mod sampling;
mod view;

pub use crate::program::quantity;
pub use alike::Kinds;
pub use ledger::{Entry, Ledger, skipped};
pub use mode::{Built, Mode, Plan};
pub use notes::{Held, Note};

use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::op::Form;
use crate::tensor::Tensor;
use alike::Sharing;
use field::Field;
use reductions::{Made, Reduce, arranged};
pub use rows::{RowLayer, RowMode, RowPlan, RowStore, gathered, settled};
use sampling::Picks;
use std::cell::RefCell;
use std::collections::HashMap;

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
    rewrite_noted(graph, roots).map(|(roots, _)| roots)
}

/// [`rewrite`], with a note of each op on structured values.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_noted(
    graph: &Graph,
    roots: &[NodeId],
) -> Result<(Vec<NodeId>, Vec<Note>), GraphError> {
    let mut rewriter = Rewriter::new(graph, roots, None, None);
    rewriter.run()?;
    Ok((rewriter.replaced(roots)?, rewriter.notes))
}

/// As [`rewrite`] for a graph without gradients in which all samples have one
/// speck, all of them of one colour: that of the first row of the node `colours`.
/// Windows are then computed for one sample of each kind (see [`Kinds`]);
/// `kind`, i32 [samples], says of which kind each sample is. `None`, and no
/// change, where there are hardly fewer kinds than samples.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_alike(
    graph: &Graph,
    colours: NodeId,
    kind: NodeId,
) -> Result<Option<(Kinds, Vec<Note>)>, GraphError> {
    let samples = graph.shape(kind).first().copied().unwrap_or(0);
    let mut rewriter = Rewriter::new(graph, &[], None, Some(Sharing::new(colours)));
    rewriter.run()?;
    let known = rewriter.sharing.and_then(|sharing| sharing.known(samples, kind));
    let Some((known, kinds)) = known else { return Ok(None) };
    let mut rewriter = Rewriter::new(graph, &[], None, Some(known));
    rewriter.run()?;
    rewriter.replaced(&[])?;
    Ok(Some(((*kinds).clone(), rewriter.notes)))
}

/// As [`rewrite_noted`]; linear layers on fields whose weights are among the plan's
/// parameters are held by rows and returned. Their gradients are to be taken, and
/// the updates to be made, of what a [`RowLayer`] names.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_rows(
    graph: &Graph,
    roots: &[NodeId],
    plan: &RowPlan,
) -> Result<(Vec<NodeId>, Vec<RowLayer>, Vec<Note>), GraphError> {
    let mut rewriter = Rewriter::new(graph, roots, Some(plan), None);
    rewriter.run()?;
    let new = rewriter.replaced(roots)?;
    Ok((new, rewriter.layers.into_inner(), rewriter.notes))
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
    notes: Vec<Note>,
    plan: Option<&'a RowPlan>,
    /// Which of the old nodes are needed.
    needed: Vec<bool>,
    layers: RefCell<Vec<RowLayer>>,
    /// Whether windows are shared by samples that are alike.
    sharing: Option<Sharing>,
    /// How many nodes there were before.
    end: usize,
}

impl<'a> Rewriter<'a> {
    fn new(
        graph: &'a Graph,
        roots: &[NodeId],
        plan: Option<&'a RowPlan>,
        sharing: Option<Sharing>,
    ) -> Self {
        let (needed, layers) = (needed(graph, roots), RefCell::new(Vec::new()));
        let (values, notes, end) = (HashMap::new(), Vec::new(), graph.len());
        Rewriter { graph, values, notes, plan, needed, layers, sharing, end }
    }
}

impl Rewriter<'_> {
    /// Makes what becomes of each node.
    fn run(&mut self) -> Result<(), GraphError> {
        (0..self.end)
            .filter(|index| self.needed[*index])
            .map(NodeId::from_index)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|id| self.visit(id))
    }

    /// Puts it in the place of outputs and updates, and returns that of `roots`.
    fn replaced(&mut self, roots: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
        let graph = self.graph;
        let new = roots.iter().map(|root| self.dense(*root)).collect::<Result<_, _>>()?;
        let (updates, outputs) = {
            let inner = graph.inner();
            (inner.updates.clone(), inner.outputs.clone())
        };
        for (i, (_, id)) in updates.iter().enumerate() {
            let value = self.dense(*id)?;
            graph.inner_mut().updates[i].1 = value;
        }
        for (i, (_, id)) in outputs.iter().enumerate() {
            let value = self.dense(*id)?;
            graph.inner_mut().outputs[i].1 = value;
        }
        Ok(new)
    }

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
        let structured = node.inputs.iter().any(|input| self.field(*input).is_some());
        if structured && let Some(value) = self.taken_apart(id, &node)? {
            self.values.insert(id, value);
            return Ok(());
        }
        let value = self.graph.derived(id, |_| self.shared_rule(id, &node, form))?;
        let (value, held) = match value {
            Some(value) => {
                let held = match &value {
                    Value::Structured(field) => Some(self.share(field)),
                    Value::Dense(_) => structured.then_some(Held::Full),
                    Value::Deferred => None,
                };
                (value, held)
            }
            None => {
                let dense = self.append_dense(id, &node)?;
                (Value::Dense(dense), structured.then_some(Held::Densified))
            }
        };
        if let Some(held) = held {
            self.notes.push(Note {
                path: node.path.to_string(),
                op: node.op.info().name,
                shape: node.ty.shape.clone(),
                held,
            });
        }
        self.values.insert(id, value);
        Ok(())
    }

    /// The value of an op without a rule that can be made of ops with rules.
    fn taken_apart(&mut self, id: NodeId, node: &Node) -> Result<Option<Value>, GraphError> {
        let graph = self.graph;
        let start = graph.len();
        let plain = graph.derived(id, |graph| node.op.plain(graph, &node.inputs).transpose())?;
        let Some(plain) = plain else { return Ok(None) };
        let end = graph.len();
        self.needed.resize(end, true);
        for index in start..end {
            self.visit(NodeId::from_index(index))?;
        }
        Ok(Some(self.values.get(&plain).cloned().unwrap_or(Value::Dense(plain))))
    }

    /// How much of a field is computed.
    fn share(&self, field: &Field) -> Held {
        let graph = self.graph;
        let base = graph.shape(field.base);
        let [samples, slots] = field.slots(graph);
        let (window, map) = (field.place.size, field.map());
        let windows = samples * slots * window[0] * window[1];
        let computed = base[0] * base[2] * base[3] + windows;
        let share = computed as f64 / (samples * map[0] * map[1]) as f64;
        Held::Structured { window, base: [base[2], base[3]], map, share }
    }

    /// What the rule for a node makes of it; `None` if there is none.
    fn rule(&self, node: &Node, form: Form<'_>) -> Result<Option<Value>, GraphError> {
        let deferred = |id: &NodeId| matches!(self.values.get(id), Some(Value::Deferred));
        let first = node.inputs.first().and_then(|id| self.field(*id));
        let structured = |field: Option<Field>| field.map(Value::Structured);
        let made = |made: Option<Made>| {
            made.map(|made| match made {
                Made::Field(field) => Value::Structured(field),
                Made::Dense(id) => Value::Dense(id),
            })
        };
        let Some(field) = first else {
            return Ok(match form {
                Form::Render(size) => {
                    let mut field = Field::render(self.graph, node, size)?;
                    if let (Some(sharing), Some(field)) = (&self.sharing, &mut field) {
                        sharing.share(self.graph, node, field)?;
                    }
                    structured(field)
                }
                Form::Reshape if node.inputs.iter().any(deferred) => Some(Value::Deferred),
                Form::Pointwise => structured(self.pointwise(node)?),
                Form::Concat(axis) => structured(self.concat(node, axis)?),
                _ => None,
            });
        };
        Ok(match form {
            Form::MaxPoolIndices(_) | Form::ArgMax(_) => Some(Value::Deferred),
            Form::Pointwise => structured(self.pointwise(node)?),
            Form::Concat(axis) => structured(self.concat(node, axis)?),
            Form::Convolution(window) => structured(self.convolution(node, field, window)?),
            Form::TransposedConvolution(window, map) => {
                structured(self.transposed_convolution(node, field, window, map)?)
            }
            Form::AveragePool(pool) => structured(self.average_pool(field, pool)?),
            Form::Gather(axis) => match self.global_max(node, field, axis)? {
                Some(largest) => Some(Value::Dense(largest)),
                None => structured(self.max_pool(node, field, axis)?),
            },
            Form::Sum(axes) => made(self.reduced(field, axes, Reduce::Sum)?),
            Form::Max(axes) if self.is_constant_for_gradients(node.inputs[0]) => {
                made(self.reduced(field, axes, Reduce::Max)?)
            }
            Form::Softmax { axis, log } => structured(self.softmax(node, field, axis, log)?),
            Form::Matmul { transpose_a: false, transpose_b } => {
                made(self.matmul(node, field, transpose_b)?)
            }
            Form::Reshape => structured(field.reshaped(&node.ty.shape)),
            Form::Permute(order) => {
                structured(Some(Field { view: field.view.permuted(order), ..field.clone() }))
            }
            Form::Expand => structured(self.expanded(field, &node.ty.shape)?),
            Form::IndexSelect(axis) => structured(self.index_select(node, field, axis)?),
            Form::Narrow { axis, start, step } => {
                let picks = Picks::narrow(start, step, node.ty.shape[axis]);
                structured(self.picked(node, field, axis, &picks)?)
            }
            Form::Embed { axis, start, step } => {
                let length = field.view.size(axis);
                let picks = Picks::embed(start, step, node.ty.shape[axis], length);
                structured(self.picked(node, field, axis, &picks)?)
            }
            _ => None,
        })
    }

    /// Whether no gradient flows through a value.
    fn is_constant_for_gradients(&self, id: NodeId) -> bool {
        self.graph.node(id).op.info().name == "detach"
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
            Some(Value::Structured(field)) => {
                graph.derived(id, |graph| graph.as_part("densify", |_| self.densify(field)))?
            }
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
        let field = &field.of_each(graph)?;
        let [samples, channels, height, width] = field.sizes(graph);
        let starts = graph.constant(Tensor::from_i32(&[samples, 1, 2], vec![0; samples * 2]))?;
        let full = field.tile_at(graph, starts, field.map(), false)?;
        let full = graph.reshape(full, &[samples, height, width, channels])?;
        let full = graph.permute(full, &[0, 3, 1, 2])?;
        arranged(graph, full, &field.view)
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
    graph.ty(id).dtype.is_float()
}
