//! Fusion: puts element-wise steps and sums next to those that read or make
//! the same values, so that they become one group and memory is read once.
//!
//! A group (see `program/group.rs`) is a run of steps over the same number of
//! elements. Differentiation does not leave them in a good order: the sums of
//! a norm's backward pass stand between the products they are sums of and
//! others that read the same arrays; and a value that costs one subtraction,
//! such as the centred values of a batch norm, is kept from the forward to the
//! backward pass, though what it is computed from is kept as well. This pass
//!
//! * walks the nodes in order and puts each one that can run tile by tile into
//!   the earliest place its inputs allow where a group makes or reads the same
//!   values (never later than it stood, so there are no cycles), and
//! * computes cheap values of one array again in each group that reads them,
//!   if nothing else needs them in memory, and
//! * puts a product that is larger than what it is made of right before the group
//!   that reads it first: a gradient of large weights before their update, so that it
//!   goes from one to the other without being kept (see `program/head.rs`).
//!
//! Steps of the forward and of the backward pass share a group only where the passes
//! meet: a loss and its gradient.
//!
//! No value changes: the same ops run on the same values, and the order in
//! which a sum adds depends on its shape alone.

use super::Pass;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::op::{Form, Source};
use speck_kernels::Choice;
use std::collections::HashMap;

pub const PASS: Pass = Pass {
    name: "fusion",
    summary: "bring steps that read the same values together; compute cheap ones again",
    run,
};

/// What costs less to compute again than to write and read.
const CHEAP: [&str; 14] = [
    "add",
    "sub",
    "mul",
    "neg",
    "square",
    "abs",
    "relu",
    "greater",
    "greater_equal",
    "equal",
    "maximum",
    "minimum",
    "widen_f16",
    "widen_bf16",
];
/// Fewest elements for which that is true.
const LARGE: usize = 1 << 14;
/// Steps that are computed again to get one value.
const DEEPEST: usize = 6;
/// Arrays a group may read, and steps it may have.
const MOST_READ: usize = 8;
const MOST_STEPS: usize = 48;
/// Fewest elements of a product that is computed late.
const LATE: usize = 1 << 18;
/// How many groups and other steps a step may be moved ahead of.
const FARTHEST: usize = 24;

fn run(graph: &Graph, _: &Choice) -> Result<Graph, GraphError> {
    let mut fusion = Fusion::new(&graph.inner().nodes, graph);
    for index in 0..fusion.nodes.len() {
        fusion.place(index);
    }
    fusion.emit(graph)
}

/// The type in which a step computes: its value's, or where that is stored in 16
/// bits, its input's.
fn computed_in(nodes: &[Node], node: &Node) -> DType {
    match (node.ty.dtype.storage(), node.inputs.first()) {
        (Some(_), Some(input)) => nodes[input.index()].ty.dtype,
        _ => node.ty.dtype,
    }
}

/// A node in the new graph, or one more copy of it.
struct Item {
    node: usize,
    inputs: Vec<usize>,
    unit: usize,
}

/// Items that stand next to each other.
struct Unit {
    items: Vec<usize>,
    /// Element type and number of elements, where it is a group.
    kind: Option<(DType, usize)>,
    /// Whether it was begun by a step of a backward pass.
    backward: bool,
    /// Items of other units that are read element for element.
    reads: Vec<usize>,
    /// Nodes computed again in here.
    again: HashMap<usize, usize>,
}

struct Fusion {
    nodes: Vec<Node>,
    /// For nodes that run tile by tile: element type, number of elements.
    kinds: Vec<Option<(DType, usize)>>,
    /// Nodes that something other than a step of their kind reads.
    kept: Vec<bool>,
    items: Vec<Item>,
    units: Vec<Unit>,
    /// The item that a node became first.
    item_of: Vec<usize>,
}

impl Fusion {
    fn new(nodes: &[Node], graph: &Graph) -> Self {
        let kind = |node: &Node| {
            let size = |node: &Node| (computed_in(nodes, node), node.ty.elements());
            match node.op.form() {
                _ if node.op.is_pointwise() => Some(size(node)),
                Form::Sum(_) => Some(size(&nodes[node.inputs[0].index()])),
                _ => None,
            }
        };
        let kinds: Vec<_> = nodes.iter().map(kind).collect();
        let mut kept = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate().rev() {
            for input in &node.inputs {
                let source = &nodes[input.index()];
                let own = (computed_in(nodes, source), source.ty.elements());
                let alike = kinds[index] == Some(own);
                let through = matches!(node.op.form(), Form::Reshape) && !kept[index];
                kept[input.index()] |= !(alike || through);
            }
        }
        let inner = graph.inner();
        let outputs = inner.outputs.iter().map(|(_, id)| id);
        for id in outputs.chain(inner.updates.iter().map(|(_, id)| id)) {
            let mut index = id.index();
            kept[index] = true;
            while nodes[index].op.is_alias() {
                index = nodes[index].inputs[0].index();
                kept[index] = true;
            }
        }
        // Sources stand before everything else.
        let (items, units, item_of) = (Vec::new(), Vec::new(), Vec::new());
        let mut fusion = Fusion { nodes: nodes.to_vec(), kinds, kept, items, units, item_of };
        fusion.open(None, false);
        fusion
    }

    fn place(&mut self, index: usize) {
        let inputs: Vec<_> =
            self.nodes[index].inputs.iter().map(|id| self.item_of[id.index()]).collect();
        let latest = inputs.iter().map(|item| self.items[*item].unit).max().unwrap_or(0);
        let node = &self.nodes[index];
        let backward = node.origin.is_some();
        let unit = if node.op.source().is_some() {
            0
        } else if node.op.is_alias() {
            latest
        } else if let Some(kind) = self.kinds[index] {
            match self.best(index, kind) {
                Some(unit) => return self.join(index, unit),
                None => {
                    let unit = self.open(Some(kind), backward);
                    return self.join(index, unit);
                }
            }
        } else {
            self.open(None, backward)
        };
        let item = self.add(index, inputs, unit);
        self.item_of.push(item);
    }

    fn open(&mut self, kind: Option<(DType, usize)>, backward: bool) -> usize {
        let (items, reads, again) = (Vec::new(), Vec::new(), HashMap::new());
        self.units.push(Unit { items, kind, backward, reads, again });
        self.units.len() - 1
    }

    fn add(&mut self, node: usize, inputs: Vec<usize>, unit: usize) -> usize {
        self.items.push(Item { node, inputs, unit });
        self.units[unit].items.push(self.items.len() - 1);
        self.items.len() - 1
    }

    /// The item whose memory an item's value is.
    fn root(&self, mut item: usize) -> usize {
        while self.nodes[self.items[item].node].op.is_alias() {
            item = self.items[item].inputs[0];
        }
        item
    }

    fn elements(&self, item: usize) -> usize {
        self.nodes[self.items[item].node].ty.elements()
    }

    /// Whether a step of `kind` reads this item element for element.
    fn is_full(&self, item: usize, kind: (DType, usize)) -> bool {
        self.elements(item) == kind.1
    }

    /// The earliest unit in which a step of `kind` may read this item.
    fn readable(&self, item: usize, kind: (DType, usize)) -> usize {
        let root = self.root(item);
        let unit = self.items[item].unit;
        // A part of a value is there when all of it is.
        let whole = self.elements(item) == self.elements(root);
        let tile = self.items[root].unit == unit
            && whole
            && self.units[unit].kind == Some(kind)
            && self.nodes[self.items[root].node].op.is_pointwise();
        let source = self.nodes[self.items[root].node].op.source().is_some();
        if tile || (unit == 0 && source) { unit } else { unit + 1 }
    }

    /// The unit that a node fits best, of those there are.
    fn best(&self, index: usize, kind: (DType, usize)) -> Option<usize> {
        let mut earliest = 1;
        let mut leaves = Vec::new();
        let mut state = false;
        for input in &self.nodes[index].inputs {
            let item = self.item_of[input.index()];
            let mut bases = Vec::new();
            if !self.again(item, kind, &mut bases, DEEPEST) {
                bases = vec![item];
            }
            for base in bases {
                earliest = earliest.max(self.readable(base, kind));
                if self.is_full(base, kind) {
                    let root = self.root(base);
                    let source = self.nodes[self.items[root].node].op.source();
                    state |= matches!(source, Some(Source::State(_)));
                    leaves.push(root);
                }
            }
            // Also where the value itself is made, if that is a group.
            if self.is_full(item, kind) {
                leaves.push(self.root(item));
            }
        }
        let last = self.units.len() - 1;
        // A step of the backward pass that reads forward values only is not
        // done ahead: its value would have to be kept. And groups far back are
        // not looked for, which bounds how long values live.
        let backward = self.nodes[index].origin.is_some();
        let turn = self.turn(kind);
        earliest = earliest.max(last.saturating_sub(FARTHEST));
        // What reads the state stays behind all who read its old value.
        let range = if state { last.max(earliest)..last + 1 } else { earliest..last + 1 };
        let score = |unit: &usize| {
            let own = &self.units[*unit];
            let shared = leaves
                .iter()
                .filter(|leaf| self.items[**leaf].unit == *unit || own.reads.contains(leaf))
                .count();
            let new = leaves.iter().filter(|leaf| !own.reads.contains(leaf)).count();
            let room = own.items.len() < MOST_STEPS && own.reads.len() + new <= MOST_READ;
            let alike = own.backward == backward || *unit >= turn;
            let fits = own.kind == Some(kind) && alike && room && (shared > 0 || *unit == last);
            fits.then_some((shared, *unit))
        };
        range.filter_map(|unit| score(&unit)).max().map(|(_, unit)| unit)
    }

    /// The first unit behind which only groups of fewer elements stand, such as the mean
    /// of a loss. A step put there is not done ahead of anything: so a loss and its
    /// gradient, which lie on both sides of where the passes meet, are one group.
    fn turn(&self, kind: (DType, usize)) -> usize {
        let small = |unit: &&Unit| unit.kind.is_some_and(|(_, elements)| elements < kind.1);
        let behind = self.units.iter().rev().take_while(small).count();
        self.units.len() - 1 - behind.min(self.units.len() - 1)
    }

    /// Whether an item is better computed again by a step of `kind` than read;
    /// adds what it is computed from.
    fn again(
        &self,
        item: usize,
        kind: (DType, usize),
        bases: &mut Vec<usize>,
        depth: usize,
    ) -> bool {
        let Item { node: index, inputs, .. } = &self.items[item];
        let node = &self.nodes[*index];
        if self.kept[*index] || kind.1 < LARGE || depth == 0 || !self.is_full(item, kind) {
            return false;
        }
        if matches!(node.op.form(), Form::Reshape) {
            return self.again(inputs[0], kind, bases, depth);
        }
        if self.kinds[*index] != Some(kind) || !CHEAP.contains(&node.op.info().name) {
            return false;
        }
        let mut full: Vec<_> = inputs.iter().filter(|input| self.is_full(**input, kind)).collect();
        full.dedup();
        if full.len() != 1 {
            return false;
        }
        for input in inputs {
            if !self.again(*input, kind, bases, depth - 1) {
                bases.push(*input);
            }
        }
        true
    }

    /// Puts a node into a group, with copies of what is computed again.
    fn join(&mut self, index: usize, unit: usize) {
        let kind = self.units[unit].kind.unwrap_or((DType::F32, 0));
        let inputs: Vec<_> = self.nodes[index].inputs.iter().map(|id| id.index()).collect();
        let inputs = inputs.into_iter().map(|input| self.value(input, unit, kind, DEEPEST));
        let inputs: Vec<_> = inputs.collect();
        let item = self.add(index, inputs, unit);
        self.item_of.push(item);
    }

    /// The item in which a step of the unit reads the value of a node.
    fn value(&mut self, index: usize, unit: usize, kind: (DType, usize), depth: usize) -> usize {
        let item = self.item_of[index];
        if self.items[item].unit == unit {
            return item;
        }
        if let Some(copy) = self.units[unit].again.get(&index) {
            return *copy;
        }
        if !self.again(item, kind, &mut Vec::new(), depth) {
            let root = self.root(item);
            let outside = self.items[root].unit != unit && self.is_full(item, kind);
            if outside && !self.units[unit].reads.contains(&root) {
                self.units[unit].reads.push(root);
            }
            return item;
        }
        let inputs: Vec<_> = self.nodes[index].inputs.iter().map(|id| id.index()).collect();
        let depth = depth - usize::from(!self.nodes[index].op.is_alias());
        let inputs = inputs.into_iter().map(|input| self.value(input, unit, kind, depth));
        let inputs: Vec<_> = inputs.collect();
        let copy = self.add(index, inputs, unit);
        self.units[unit].again.insert(index, copy);
        copy
    }

    /// The units in the order in which they run.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        for unit in 1..self.units.len() {
            if let Some(reader) = self.late_reader(unit) {
                order.retain(|other| *other != unit);
                let place = order.iter().position(|other| *other == reader);
                order.insert(place.unwrap_or(order.len()), unit);
            }
        }
        order
    }

    /// The group that is the first to read a unit's product, if the product is to stand
    /// right before it: one that takes more memory than its operands, which then have to
    /// be kept for longer. Operands that change meanwhile do not wait.
    fn late_reader(&self, unit: usize) -> Option<usize> {
        let items = &self.units[unit].items;
        let product = *items.first()?;
        let Item { node, inputs, .. } = &self.items[product];
        let size = |item: &usize| self.elements(*item);
        let product_of = matches!(self.nodes[*node].op.form(), Form::Matmul { .. });
        let larger =
            size(&product) >= LATE && inputs.iter().map(size).sum::<usize>() < size(&product);
        if !product_of || !larger || items.iter().any(|item| self.root(*item) != product) {
            return None;
        }
        let reads =
            |item: &&Item, of: usize| item.inputs.iter().any(|input| self.root(*input) == of);
        let later = |item: &&Item| item.unit > unit;
        let reader = self.items.iter().filter(later).filter(|item| reads(item, product));
        let reader = reader.map(|item| item.unit).min()?;
        let kind = Some((self.nodes[*node].ty.dtype, size(&product)));
        let roots: Vec<_> = inputs.iter().map(|input| self.root(*input)).collect();
        let changes = |root: &usize| {
            let source = self.nodes[self.items[*root].node].op.source();
            let aliases = |item: &&Item| self.nodes[item.node].op.is_alias() && reads(item, *root);
            matches!(source, Some(Source::State(_)))
                || self.items.iter().filter(later).any(|item| aliases(&item))
        };
        (self.units[reader].kind == kind && !roots.iter().any(changes)).then_some(reader)
    }

    /// The items in their new order, as a graph.
    fn emit(&self, graph: &Graph) -> Result<Graph, GraphError> {
        let new = Graph::new(graph.float());
        let order = self.order();
        let mut ids: Vec<Option<NodeId>> = vec![None; self.items.len()];
        let id_of =
            |ids: &[Option<NodeId>], item: usize| ids[item].unwrap_or(NodeId::from_index(0));
        for number in order {
            for item in &self.units[number].items {
                let Item { node, inputs, .. } = &self.items[*item];
                let node = &self.nodes[*node];
                let inputs: Vec<_> = inputs.iter().map(|input| id_of(&ids, *input)).collect();
                let id = new.append_shared(node.op.clone(), &inputs)?;
                let mut inner = new.inner_mut();
                let added = &mut inner.nodes[id.index()];
                added.path = node.path.clone();
                added.location = node.location;
                added.serves = node.serves.clone();
                added.unit = number + 1;
                let origin = node.origin.and_then(|origin| ids[self.item_of[origin.index()]]);
                added.origin = origin;
                ids[*item] = Some(id);
            }
        }
        let moved = |id: NodeId| id_of(&ids, self.item_of[id.index()]);
        let old = graph.inner();
        let mut inner = new.inner_mut();
        inner.states = old.states.clone();
        for slot in &mut inner.states {
            slot.node = moved(slot.node);
        }
        inner.updates = old.updates.iter().map(|(slot, id)| (*slot, moved(*id))).collect();
        inner.outputs = old.outputs.iter().map(|(name, id)| (name.clone(), moved(*id))).collect();
        drop(inner);
        Ok(new)
    }
}
