//! The static graph in SSA form.

mod error;
mod print;
mod replay;

pub use error::GraphError;
pub(crate) use print::write_node;

use crate::dtype::DType;
use crate::op::{Op, Source};
use crate::shape::TensorType;
use crate::state::Initial;
use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A node of a graph: its position in SSA order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The position of the node in its graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_index(index: usize) -> Self {
        NodeId(u32::try_from(index).unwrap_or_else(|_| panic!("a graph of over 2^32 nodes")))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// One use of an op.
#[derive(Clone, Debug)]
pub struct Node {
    /// The op with its attributes.
    pub op: Arc<dyn Op>,
    /// The nodes it reads, all earlier in the graph.
    pub inputs: Vec<NodeId>,
    /// The type of its value.
    pub ty: TensorType,
    /// The name path of the layer it belongs to, such as `conv.0`.
    pub path: Arc<str>,
    /// The line that asked for it.
    pub location: &'static Location<'static>,
    /// For nodes of a backward pass: the forward node they come from.
    pub origin: Option<NodeId>,
    /// What it is computed for.
    pub serves: Serves,
    /// Which nodes the fusion pass put together: those of one number, and no
    /// others, become one group. 0 before that pass.
    pub unit: usize,
}

/// The op of the model that a node is computed for: itself, the op it was
/// rewritten from, or the op whose gradient it is part of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serves {
    /// The path of the op's layer.
    pub path: Arc<str>,
    /// The op's name.
    pub op: &'static str,
    /// Whether the node is part of a gradient.
    pub backward: bool,
}

/// A named tensor that outlives a run.
#[derive(Clone, Debug)]
pub struct StateSlot {
    /// The slot's name, for parameters in PyTorch's style (`conv.0.weight`).
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// How it starts.
    pub initial: Initial,
    /// The node that reads its value before the step.
    pub node: NodeId,
}

/// A graph under construction.
///
/// Methods take `&self` (the node list is behind a cell), so that calls nest:
/// `graph.relu(graph.add(x, bias)?)?`. One file in `ops` an operation adds its
/// builder method; compositions of several ops stand in `compositions`.
pub struct Graph {
    float: DType,
    products: Cell<Option<DType>>,
    inner: RefCell<Inner>,
}

#[derive(Default, Clone)]
pub(crate) struct Inner {
    pub nodes: Vec<Node>,
    pub states: Vec<StateSlot>,
    pub updates: Vec<(usize, NodeId)>,
    pub outputs: Vec<(String, NodeId)>,
    /// Positions of nodes that a backward pass computes again.
    pub checkpoints: Vec<std::ops::Range<usize>>,
    scope: Vec<String>,
    origin: Option<NodeId>,
    /// Added to the paths of nodes that stand for others.
    part: Option<&'static str>,
    backward: bool,
    streams: u64,
}

/// Why an op does not take what is stored in 16 bits, and what is near.
fn not_stored(dtype: DType) -> String {
    format!(
        "takes no {dtype}: it computes in the graph's type. Give it `widen(x)` (it costs no pass \
         over memory before element-wise ops and sums); products (`matmul`, `conv2d`) read {dtype} \
         where both operands are {dtype}, and moves (`permute`, `concat`, `gather`, \
         `index_select`) keep it"
    )
}

impl Graph {
    /// An empty graph whose floating-point inputs, constants and parameters
    /// are of type `float`.
    ///
    /// # Panics
    /// If `float` is not a floating-point type.
    pub fn new(float: DType) -> Self {
        assert!(float.is_float(), "a graph computes in f32 or f64, not {float}");
        Graph { float, products: Cell::new(None), inner: RefCell::default() }
    }

    /// The floating-point type of this graph.
    pub fn float(&self) -> DType {
        self.float
    }

    /// Appends a node. Every builder method comes through here.
    ///
    /// # Errors
    /// Whatever the op's shape inference finds wrong with the inputs.
    #[track_caller]
    pub fn append(&self, op: impl Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        self.append_shared(Arc::new(op), inputs)
    }

    #[track_caller]
    pub(crate) fn append_shared(
        &self,
        op: Arc<dyn Op>,
        inputs: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let inferred = {
            let inner = self.inner.borrow();
            let types: Vec<_> = inputs.iter().map(|id| &inner.nodes[id.index()].ty).collect();
            match types.iter().find(|ty| ty.dtype.storage().is_some()) {
                Some(ty) if !op.takes_stored(&types) => Err(not_stored(ty.dtype)),
                _ => op.infer(&types),
            }
        };
        // No closure here: inside one, the caller would be this file.
        let ty = match inferred {
            Ok(ty) => ty,
            Err(message) => return Err(self.error(op.info().name, inputs, message)),
        };
        let mut inner = self.inner.borrow_mut();
        let backward = inner.backward;
        let (path, location, serves) = match inner.origin {
            Some(origin) => {
                let forward = &inner.nodes[origin.index()];
                let path = match inner.part {
                    Some(part) if forward.path.is_empty() => part.into(),
                    Some(part) => format!("{}/{part}", forward.path).into(),
                    None => forward.path.clone(),
                };
                let serves = Serves { backward, ..forward.serves.clone() };
                (path, forward.location, serves)
            }
            None => {
                let path: Arc<str> = inner.scope.join("/").into();
                let serves = Serves { path: path.clone(), op: op.info().name, backward };
                (path, Location::caller(), serves)
            }
        };
        let origin = inner.origin;
        let id = NodeId::from_index(inner.nodes.len());
        let inputs = inputs.to_vec();
        inner.nodes.push(Node { op, inputs, ty, path, location, origin, serves, unit: 0 });
        Ok(id)
    }

    /// An error about a node that `op` would have made of `inputs`.
    #[track_caller]
    pub(crate) fn error(&self, op: &str, inputs: &[NodeId], message: String) -> GraphError {
        let inner = self.inner.borrow();
        GraphError {
            op: op.to_owned(),
            message,
            inputs: inputs.iter().map(|id| inner.nodes[id.index()].ty.clone()).collect(),
            path: match inner.origin {
                Some(origin) => inner.nodes[origin.index()].path.to_string(),
                None => inner.scope.join("/"),
            },
            location: Location::caller(),
        }
    }

    /// Builds nodes under a name: paths of nodes made by `body` start with it.
    pub fn scoped<R>(&self, name: &str, body: impl FnOnce(&Graph) -> R) -> R {
        self.inner.borrow_mut().scope.push(name.to_owned());
        let result = body(self);
        self.inner.borrow_mut().scope.pop();
        result
    }

    /// Builds nodes with products (`matmul`, `conv2d`) whose operands are stored in
    /// `storage`, a type of 16 bits, where they are floats; `None` for as they are.
    ///
    /// # Panics
    /// If `storage` has not 16 bits.
    pub fn products_in<R>(&self, storage: Option<DType>, body: impl FnOnce(&Graph) -> R) -> R {
        if let Some(dtype) = storage {
            assert!(dtype.storage().is_some(), "{dtype} has not 16 bits");
        }
        let before = self.products.replace(storage);
        let result = body(self);
        self.products.set(before);
        result
    }

    /// The operands of a product as they are read.
    #[track_caller]
    pub(crate) fn operands(&self, operands: [NodeId; 2]) -> Result<[NodeId; 2], GraphError> {
        let float = |id: NodeId| self.ty(id).dtype.is_float();
        match self.products.get() {
            Some(dtype) if operands.into_iter().all(float) => {
                let [a, b] = operands;
                Ok([self.store(a, dtype)?, self.store(b, dtype)?])
            }
            _ => Ok(operands),
        }
    }

    /// Builds nodes that a later [`Graph::gradient`] computes again in its
    /// backward pass instead of keeping their values (Chen et al., "Training
    /// deep nets with sublinear memory cost", 2016): less memory for one more
    /// evaluation. What `body` reads from outside is kept, and so is what is
    /// read of it afterwards. Draws are repeated bit for bit, since a draw
    /// depends on seed, stream and step alone. Checkpoints may hold others.
    pub fn checkpoint<R>(&self, body: impl FnOnce(&Graph) -> R) -> R {
        let start = self.len();
        let result = body(self);
        let end = self.len();
        self.inner.borrow_mut().checkpoints.push(start..end);
        result
    }

    /// Tags the nodes made by `body` as derived from `origin`.
    pub(crate) fn derived<R>(&self, origin: NodeId, body: impl FnOnce(&Graph) -> R) -> R {
        let before = self.inner.borrow_mut().origin.replace(origin);
        let result = body(self);
        self.inner.borrow_mut().origin = before;
        result
    }

    /// Tags the nodes made by `body` as a part of those they are derived from.
    pub(crate) fn as_part<R>(&self, part: &'static str, body: impl FnOnce(&Graph) -> R) -> R {
        let before = self.inner.borrow_mut().part.replace(part);
        let result = body(self);
        self.inner.borrow_mut().part = before;
        result
    }

    /// Tags the nodes made by `body` as part of a gradient.
    pub(crate) fn backward<R>(&self, body: impl FnOnce(&Graph) -> R) -> R {
        let before = std::mem::replace(&mut self.inner.borrow_mut().backward, true);
        let result = body(self);
        self.inner.borrow_mut().backward = before;
        result
    }

    /// Declares a slot of the state and returns the node that reads it.
    ///
    /// # Errors
    /// A name that is taken.
    #[track_caller]
    pub fn state(
        &self,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> Result<NodeId, GraphError> {
        self.state_of(name, &TensorType::new(self.float, shape), initial)
    }

    /// [`Graph::state`] with any element type, for example an `i32` counter.
    #[track_caller]
    pub fn state_of(
        &self,
        name: &str,
        ty: &TensorType,
        initial: Initial,
    ) -> Result<NodeId, GraphError> {
        if self.state_node(name).is_some() {
            return Err(self.error("state", &[], format!("there is a slot `{name}` already")));
        }
        let slot = self.inner.borrow().states.len();
        let op = crate::ops::Given::State { slot, name: name.to_owned(), ty: ty.clone() };
        let node = self.append(op, &[])?;
        let entry = StateSlot { name: name.to_owned(), ty: ty.clone(), initial, node };
        self.inner.borrow_mut().states.push(entry);
        Ok(node)
    }

    /// The node that reads the slot `name`, if there is one.
    pub fn state_node(&self, name: &str) -> Option<NodeId> {
        self.inner.borrow().states.iter().find(|slot| slot.name == name).map(|slot| slot.node)
    }

    /// The slots, in the order of their declaration.
    pub fn states(&self) -> Vec<StateSlot> {
        self.inner.borrow().states.clone()
    }

    /// Makes `value` the new value of the slot that `state` reads, once the
    /// step has run. A later call for the same slot replaces an earlier one.
    ///
    /// # Errors
    /// `state` reads no slot, or `value` is of another type.
    #[track_caller]
    pub fn update(&self, state: NodeId, value: NodeId) -> Result<(), GraphError> {
        let slot = self.inner.borrow().states.iter().position(|slot| slot.node == state);
        let Some(slot) = slot else {
            let message = format!("{state:?} does not read a slot of the state");
            return Err(self.error("update", &[state, value], message));
        };
        if self.ty(state) != self.ty(value) {
            let name = &self.inner.borrow().states[slot].name;
            let message = format!("the new value of `{name}` has another type");
            return Err(self.error("update", &[state, value], message));
        }
        let value = match self.node(self.root(value)).op.source() {
            // Of two slots that swap their values each needs the other's old one.
            Some(Source::State(_)) => self.copy(value)?,
            _ => value,
        };
        let mut inner = self.inner.borrow_mut();
        inner.updates.retain(|(other, _)| *other != slot);
        inner.updates.push((slot, value));
        Ok(())
    }

    /// The new value of the slot that `state` reads; `None` where it stays as it is.
    pub fn updated(&self, state: NodeId) -> Option<NodeId> {
        let inner = self.inner.borrow();
        let slot = inner.states.iter().position(|slot| slot.node == state)?;
        inner.updates.iter().find(|(other, _)| *other == slot).map(|(_, value)| *value)
    }

    /// Lets all floats of the state keep their values where `condition`, one number,
    /// is 0: for the updates so far.
    ///
    /// # Errors
    /// `condition` is not of the graph's floating-point type.
    #[track_caller]
    pub fn update_only_if(&self, condition: NodeId) -> Result<(), GraphError> {
        let updates = self.inner.borrow().updates.clone();
        for (slot, value) in updates {
            let old = self.inner.borrow().states[slot].node;
            if self.ty(old).dtype == self.float {
                let kept = self.select(condition, value, old)?;
                self.update(old, kept)?;
            }
        }
        Ok(())
    }

    /// The node whose memory the value of `id` is.
    fn root(&self, mut id: NodeId) -> NodeId {
        while self.node(id).op.is_alias() {
            id = self.node(id).inputs[0];
        }
        id
    }

    /// Names a value that can be read after a run.
    ///
    /// # Errors
    /// A name that is taken.
    #[track_caller]
    pub fn output(&self, name: &str, value: NodeId) -> Result<(), GraphError> {
        if self.inner.borrow().outputs.iter().any(|(taken, _)| taken == name) {
            return Err(self.error("output", &[value], format!("there is an output `{name}`")));
        }
        let value = match self.node(self.root(value)).op.source() {
            // The caller may write the input before reading the output.
            Some(Source::State(_) | Source::Input(_)) => self.copy(value)?,
            _ => value,
        };
        self.inner.borrow_mut().outputs.push((name.to_owned(), value));
        Ok(())
    }

    /// A number that no other random op of this graph has: random ops made in
    /// the same order in two graphs draw the same values.
    pub(crate) fn next_stream(&self) -> u64 {
        let mut inner = self.inner.borrow_mut();
        inner.streams += 1;
        inner.streams
    }

    /// The type of a node.
    pub fn ty(&self, id: NodeId) -> TensorType {
        self.inner.borrow().nodes[id.index()].ty.clone()
    }

    /// The sizes of a node.
    pub fn shape(&self, id: NodeId) -> Vec<usize> {
        self.inner.borrow().nodes[id.index()].ty.shape.clone()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Node {
        self.inner.borrow().nodes[id.index()].clone()
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.inner.borrow().nodes.len()
    }

    /// Whether the graph has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn inner(&self) -> Ref<'_, Inner> {
        self.inner.borrow()
    }

    pub(crate) fn inner_mut(&self) -> std::cell::RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }
}
