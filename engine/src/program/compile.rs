//! From a graph to a plan.
//!
//! 1. The passes rewrite the graph.
//! 2. Every node is lowered: its kernel variant is chosen.
//! 3. Runs of element-wise nodes are joined into groups.
//! 4. New values of state slots are computed in the slot itself wherever
//!    nothing reads the old value afterwards; else they are copied at the end.
//! 5. The rest gets a place in the arena.

use super::arena::{Memory, View};
use super::cpu::{Executor, Inside, Step};
use super::group::{
    Group, MAX_SPREAD_TILES, MAX_SPREADS, MAX_SUMS, MAX_TILES, Member, Operand, Spread, part_length,
};
use super::head::Head;
use super::memory::{Lifetime, padded, plan};
use super::pattern::Pattern;
use super::placement::{Roots, Updates};
use super::{CompileError, Options, Port, Program, Runs, view_of};
use crate::graph::{Graph, Node, NodeId};
use crate::op::{Lowered, Source};
use crate::passes;
use std::collections::{HashMap, HashSet};

impl Program {
    /// Compiles a graph: its outputs, and the updates of its state.
    ///
    /// # Errors
    /// A forced kernel variant that cannot run, or an unknown pass.
    pub fn compile(graph: &Graph, options: &Options) -> Result<Program, CompileError> {
        if let Some(device) = options.kernels.gpu() {
            return super::gpu::compile(graph, options, device);
        }
        options.kernels.check_cpu()?;
        let graph = passes::run(graph, &options.without, &options.kernels)?;
        let inner = graph.inner();
        let mut planner = Planner::new(&inner.nodes, options)?;
        let grouping = !options.without.iter().any(|name| name == passes::GROUPS);
        planner.make_units(grouping);
        if grouping && !options.without.iter().any(|name| name == passes::EPILOGUES) {
            planner.join_heads();
        }
        let updates =
            Updates::new(&inner, &planner.root, |new, old| planner.may_write_slot(new, old));
        planner.updates = updates;
        planner.finish(&graph, options)
    }
}

/// Steps before their memory is known: nodes that run tile by tile, or one
/// other node.
pub(super) struct Unit {
    pub nodes: Vec<usize>,
    /// What the members of a group have in common.
    pub group: Option<Common>,
}

pub(super) struct Common {
    pub dtype: crate::DType,
    pub total: usize,
    /// Elements of a part, where a sum says so.
    part: Option<usize>,
    sums: usize,
    /// Stretched operands, and how many of them may need a tile.
    spreads: Vec<(usize, Pattern)>,
    spread_tiles: usize,
}

impl Common {
    fn spread(&mut self, root: usize, pattern: &Pattern) {
        let known = |(other, own): &(usize, Pattern)| *other == root && own == pattern;
        if !pattern.is_full() && !self.spreads.iter().any(known) {
            self.spread_tiles += usize::from(!pattern.is_single());
            self.spreads.push((root, pattern.clone()));
        }
    }
}

pub(super) struct Planner<'a> {
    pub nodes: &'a [Node],
    pub lowered: Vec<Option<Lowered>>,
    /// How the inputs of each element-wise node are read.
    pub patterns: Vec<Vec<Pattern>>,
    /// The node whose memory a node's value is: itself unless it is an alias.
    pub root: Vec<usize>,
    /// Where in the root's memory the value begins, in elements.
    offset: Vec<usize>,
    pub units: Vec<Unit>,
    /// For each node, the unit that computes it.
    pub unit_of: Vec<Option<usize>>,
    pub updates: Updates,
}

impl<'a> Planner<'a> {
    fn new(nodes: &'a [Node], options: &Options) -> Result<Self, CompileError> {
        let Roots { lowered, root, offset } = Roots::new(nodes, &options.kernels, true)?;
        let pattern = |(node, how): (&Node, &Lowered)| match how {
            Lowered::Pointwise(_) => {
                let shapes = node.inputs.iter().map(|id| &nodes[id.index()].ty.shape);
                shapes.map(|shape| Pattern::broadcast(shape, &node.ty.shape)).collect()
            }
            _ => Vec::new(),
        };
        let patterns = nodes.iter().zip(&lowered).map(pattern).collect();
        let lowered = lowered.into_iter().map(Some).collect();
        let unit_of = vec![None; nodes.len()];
        Ok(Planner {
            nodes,
            lowered,
            patterns,
            root,
            offset,
            units: Vec::new(),
            unit_of,
            updates: Updates::default(),
        })
    }

    /// Walks the nodes in order; a node that runs tile by tile joins the group
    /// before it if it fits. Sources and aliases compute nothing and do not end
    /// a group.
    fn make_units(&mut self, grouping: bool) {
        for index in 0..self.nodes.len() {
            match self.lowered[index] {
                Some(Lowered::Pointwise(_) | Lowered::Folding(_)) => {
                    let own = self.common(index);
                    let joined = grouping.then(|| self.joined(index, &own)).flatten();
                    match joined {
                        Some(common) => {
                            let last = self.units.len() - 1;
                            self.units[last].group = Some(common);
                        }
                        None => self.units.push(Unit { nodes: Vec::new(), group: Some(own) }),
                    }
                }
                Some(Lowered::Routine(_) | Lowered::InPlace(_)) => {
                    self.units.push(Unit { nodes: Vec::new(), group: None });
                }
                _ => continue,
            }
            let unit = self.units.len() - 1;
            self.units[unit].nodes.push(index);
            self.unit_of[index] = Some(unit);
        }
    }

    /// What a group of this node alone is like.
    fn common(&self, index: usize) -> Common {
        let node = &self.nodes[index];
        let mut common = Common {
            // A step that rounds to 16 bits works on what it rounds.
            dtype: match node.ty.dtype.storage() {
                Some(_) => self.nodes[node.inputs[0].index()].ty.dtype,
                None => node.ty.dtype,
            },
            total: node.ty.elements(),
            part: None,
            sums: 0,
            spreads: Vec::new(),
            spread_tiles: 0,
        };
        if let Some(Lowered::Folding(folding)) = &self.lowered[index] {
            common.total = self.nodes[node.inputs[0].index()].ty.elements();
            let outputs = if folding.is_direct() { 0 } else { folding.outputs };
            common.part = Some(part_length(common.total, outputs, folding.unit()));
            common.sums = 1;
        }
        for (input, pattern) in node.inputs.iter().zip(&self.patterns[index]) {
            common.spread(self.held(*input), pattern);
        }
        common
    }

    /// What the last group is like with this node in it, if it may join.
    fn joined(&self, index: usize, own: &Common) -> Option<Common> {
        let unit = self.units.last()?;
        let group = unit.group.as_ref()?;
        let readable = |input: &NodeId| {
            // What a sum gives is known when the group is done, and a part of a
            // value when all of it is.
            let root = self.root[input.index()];
            let elements = |index: usize| self.nodes[index].ty.elements();
            let late = matches!(self.lowered[root], Some(Lowered::Folding(_)))
                || elements(input.index()) != elements(root);
            !(late && unit.nodes.contains(&root))
        };
        let together = self.nodes[unit.nodes[0]].unit == self.nodes[index].unit;
        let fits = together
            && group.dtype == own.dtype
            && group.total == own.total
            && (group.part.is_none() || own.part.is_none() || group.part == own.part)
            && self.nodes[index].inputs.iter().all(readable);
        let mut common = Common {
            part: group.part.or(own.part),
            sums: group.sums + own.sums,
            spreads: group.spreads.clone(),
            ..*group
        };
        for (root, pattern) in &own.spreads {
            common.spread(*root, pattern);
        }
        let room = common.sums <= MAX_SUMS
            && common.spreads.len() <= MAX_SPREADS
            && common.spread_tiles <= MAX_SPREAD_TILES;
        (fits && room).then_some(common)
    }

    /// The node whose view a value is read by: a part has one of its own.
    fn held(&self, id: NodeId) -> usize {
        let (index, root) = (id.index(), self.root[id.index()]);
        let whole = self.nodes[index].ty.elements() == self.nodes[root].ty.elements();
        if whole { root } else { index }
    }

    /// The nodes that read the memory of `root`.
    pub fn readers(&self, root: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|reader| self.unit_of[*reader].is_some())
            .filter(|reader| {
                self.nodes[*reader].inputs.iter().any(|id| self.root[id.index()] == root)
            })
            .collect()
    }

    /// Whether node `new` may be computed in the memory that `old` reads:
    /// every reader of the old value runs earlier, or is an element-wise step
    /// of the same group that has read a tile before `new` overwrites it.
    fn may_write_slot(&self, new: usize, old: usize) -> bool {
        let Some(unit) = self.unit_of[new] else { return false };
        self.readers(old).into_iter().all(|reader| {
            let Some(reading) = self.unit_of[reader] else { return false };
            // A group's head reads all of it while members write.
            if reading == unit && self.head_of(unit) == Some(reader) {
                return false;
            }
            let mut inputs = self.nodes[reader].inputs.iter().zip(&self.patterns[reader]);
            let tile_by_tile = self.units[unit].group.is_some()
                && inputs.all(|(id, pattern)| self.root[id.index()] != old || pattern.is_full());
            reading < unit || (reading == unit && reader <= new && tile_by_tile)
        })
    }

    fn finish(mut self, graph: &Graph, options: &Options) -> Result<Program, CompileError> {
        let inner = graph.inner();
        let nodes = self.nodes;
        let end = self.units.len();

        // The last unit that needs each root's memory.
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let Some(unit) = self.unit_of[index] else { continue };
            for input in &node.inputs {
                last.entry(self.root[input.index()])
                    .and_modify(|u| *u = unit.max(*u))
                    .or_insert(unit);
            }
        }
        let kept: HashSet<usize> = inner
            .outputs
            .iter()
            .map(|(_, id)| self.root[id.index()])
            .chain(self.updates.copies.iter().map(|(from, _)| self.root[*from]))
            .collect();
        for root in &kept {
            last.insert(*root, end);
        }

        let tiles = self.assign_tiles(&last);
        let within = self.heads_within(&last, &tiles);
        let passed = self.heads_passed(&last, &within);
        let mut values: Vec<Lifetime> = Vec::new();
        let mut owner: Vec<usize> = Vec::new();
        let mut behind: Vec<usize> = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            match (self.unit_of[index], node.op.source()) {
                (Some(unit), _)
                    if !tiles.contains_key(&index)
                        && !self.updates.in_slot.contains_key(&index)
                        && !within.contains_key(&index)
                        && !passed.contains(&index) =>
                {
                    let last = last.get(&index).copied().unwrap_or(unit);
                    values.push(Lifetime { bytes: node.ty.bytes(), first: unit, last });
                    owner.push(index);
                }
                (None, Some(Source::Input(_) | Source::Constant(_))) => behind.push(index),
                _ => {}
            }
        }
        let slot_nodes: Vec<NodeId> = inner.states.iter().map(|slot| slot.node).collect();
        let labels: Vec<_> = self.lowered.iter().map(label).collect();
        let steps = self.steps(&tiles, &within, &slot_nodes);
        let scratch_bytes = steps
            .iter()
            .map(|step| match step {
                Step::Routine { routine, .. } => routine.scratch,
                Step::Group(group) => group.scratch,
                Step::Head(head) => head.scratch(),
                Step::Copy { .. } => 0,
            })
            .max()
            .unwrap_or(0);
        let (offsets, planned) = plan(&values);
        let arena_bytes = planned + padded(scratch_bytes);
        let mut total = arena_bytes;
        let mut place: HashMap<usize, usize> = owner.into_iter().zip(offsets).collect();
        for (head, member) in &within {
            place.insert(*head, place[member]);
        }
        for index in &behind {
            place.insert(*index, total);
            total += padded(nodes[*index].ty.bytes());
        }

        let mut memory = Memory::new(total).ok_or(CompileError::Memory(total))?;
        let base = memory.base();
        let at = |offset: usize, elements, dtype| View {
            // SAFETY: offsets lie inside the memory just made.
            address: unsafe { base.add(offset) },
            elements,
            dtype,
        };
        let mut views = vec![View::NOWHERE; nodes.len()];
        for (index, offset) in &place {
            let ty = &nodes[*index].ty;
            views[*index] = at(*offset, ty.elements(), ty.dtype);
        }
        for (index, node) in nodes.iter().enumerate() {
            if let Some(Source::Constant(tensor)) = node.op.source() {
                let bytes = tensor.bytes();
                // SAFETY: the constant's place is as large as its type.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        bytes.as_ptr(),
                        views[index].address,
                        bytes.len(),
                    );
                }
            }
        }

        // Views of aliases follow their root; those in the state are bound at each run.
        let mut slots: Vec<(String, _, Vec<Inside>)> = Vec::new();
        for (slot, entry) in inner.states.iter().enumerate() {
            let lies_in = |root: usize| {
                root == entry.node.index() || self.updates.in_slot.get(&root) == Some(&slot)
            };
            let inside = (0..nodes.len()).filter(|i| lies_in(self.root[*i]));
            let inside = inside.map(|view| Inside {
                view,
                offset: self.offset[view] * nodes[view].ty.dtype.bytes(),
                elements: nodes[view].ty.elements(),
            });
            let inside: Vec<_> = inside.collect();
            slots.push((entry.name.clone(), entry.ty.clone(), inside));
        }
        for index in 0..nodes.len() {
            let view = views[self.root[index]];
            let offset = self.offset[index] * view.dtype.bytes();
            let elements = nodes[index].ty.elements();
            views[index] = View { address: view.address.wrapping_add(offset), elements, ..view };
        }

        let port = |name: &str, id: NodeId| Port {
            name: name.to_owned(),
            view: view_of(id),
            ty: nodes[id.index()].ty.clone(),
        };
        let mut inputs = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if let Some(Source::Input(name)) = node.op.source() {
                inputs.push(port(name, NodeId::from_index(index)));
            }
        }
        let outputs = inner.outputs.iter().map(|(name, id)| port(name, *id)).collect();
        let scratch = at(planned, scratch_bytes, crate::DType::F32);
        let listing = super::print::Listing::new(
            graph,
            self.units.iter().map(|unit| unit.nodes.clone()).collect(),
            labels,
            (0..nodes.len()).map(|i| self.describe_place(i, &tiles, &place, &passed)).collect(),
            arena_bytes,
        );
        let executor =
            Executor::new(steps, (views, scratch), (memory, arena_bytes), slots, options.poison);
        let runs = Runs::OnCpu(executor);
        Ok(Program { inputs, outputs, arena_bytes, listing, runs })
    }

    /// Gives a tile to every value that only members of its own group read.
    /// A value keeps its tile to the end of the member that reads it last.
    fn assign_tiles(&self, last: &HashMap<usize, usize>) -> HashMap<usize, usize> {
        let mut tiles = HashMap::new();
        for (number, unit) in self.units.iter().enumerate().filter(|(_, unit)| unit.nodes.len() > 1)
        {
            let mut free: Vec<usize> = (0..MAX_TILES).rev().collect();
            let mut busy: Vec<(usize, usize)> = Vec::new();
            for index in &unit.nodes {
                let readers = self.readers(*index);
                // Tiles whose last reader was an earlier member are free again.
                busy.retain(|(until, tile)| {
                    let keep = until >= index;
                    if !keep {
                        free.push(*tile);
                    }
                    keep
                });
                let local = last.get(index) == Some(&number)
                    && matches!(self.lowered[*index], Some(Lowered::Pointwise(_)))
                    && !self.updates.in_slot.contains_key(index)
                    && readers.iter().all(|reader| self.unit_of[*reader] == Some(number));
                if let (true, Some(until), Some(tile)) =
                    (local, readers.last(), free.last().copied())
                {
                    free.pop();
                    busy.push((*until, tile));
                    tiles.insert(*index, tile);
                }
            }
        }
        tiles
    }

    fn steps(
        &mut self,
        tiles: &HashMap<usize, usize>,
        within: &HashMap<usize, usize>,
        slot_nodes: &[NodeId],
    ) -> Vec<Step> {
        let operand = |root: usize| match tiles.get(&root) {
            Some(tile) => Operand::Tile(*tile),
            None => Operand::View(root),
        };
        let mut steps = Vec::new();
        for unit in &self.units {
            let mut members = Vec::new();
            let mut head = None;
            let mut spreads: Vec<Spread> = Vec::new();
            for index in &unit.nodes {
                let node = &self.nodes[*index];
                let inputs = node.inputs.iter();
                match self.lowered[*index].take() {
                    Some(Lowered::Pointwise(kernel)) => {
                        let patterns = std::mem::take(&mut self.patterns[*index]);
                        let inputs = inputs.zip(patterns).map(|(id, pattern)| {
                            let node = self.held(*id);
                            if pattern.is_full() {
                                return operand(node);
                            }
                            let known = |spread: &Spread| spread.is(node, &pattern);
                            let place = spreads.iter().position(known).unwrap_or_else(|| {
                                spreads.push(Spread::new(node, pattern));
                                spreads.len() - 1
                            });
                            Operand::Spread(place)
                        });
                        let inputs = inputs.collect();
                        members.push(Member::Map { kernel, inputs, output: operand(*index) });
                    }
                    Some(Lowered::Folding(folding)) => members.push(Member::Sum {
                        folding,
                        input: operand(self.held(node.inputs[0])),
                        output: *index,
                    }),
                    Some(Lowered::Routine(routine)) if unit.group.is_some() => {
                        head = Some((*index, inputs.map(|id| id.index()).collect(), routine));
                    }
                    Some(Lowered::Routine(routine) | Lowered::InPlace(routine)) => {
                        steps.push(Step::Routine {
                            node: *index,
                            inputs: inputs.map(|id| id.index()).collect(),
                            routine,
                        })
                    }
                    _ => {}
                }
            }
            if let Some(Common { dtype, total, .. }) = unit.group {
                // Where the head's values lie, its lines are in a cache.
                let read_before = |node: usize| {
                    self.updates.in_slot.contains_key(&node)
                        || within.values().any(|other| *other == node)
                };
                let group = Group::new(members, spreads, (dtype, total), read_before);
                steps.push(match head {
                    Some((node, inputs, routine)) => {
                        Step::Head(Head::new(node, inputs, routine, group))
                    }
                    None => Step::Group(group),
                });
            }
        }
        steps.extend(
            self.updates
                .copies
                .iter()
                .map(|(from, slot)| Step::Copy { from: *from, to: slot_nodes[*slot].index() }),
        );
        steps
    }

    fn describe_place(
        &self,
        index: usize,
        tiles: &HashMap<usize, usize>,
        place: &HashMap<usize, usize>,
        passed: &HashSet<usize>,
    ) -> String {
        let root = self.root[index];
        if passed.contains(&root) {
            return "passed on".to_owned();
        }
        if let Some(tile) = tiles.get(&root) {
            format!("tile {tile}")
        } else if let Some(Source::State(slot)) = self.nodes[root].op.source() {
            format!("slot {slot}")
        } else if let Some(slot) = self.updates.in_slot.get(&root) {
            format!("slot {slot}, in place")
        } else {
            place.get(&root).map(|offset| format!("@{offset}")).unwrap_or_default()
        }
    }
}

fn label(how: &Option<Lowered>) -> String {
    match how {
        Some(Lowered::Pointwise(pointwise)) => pointwise.label.clone(),
        Some(Lowered::Folding(folding)) => folding.label.clone(),
        Some(Lowered::Routine(routine) | Lowered::InPlace(routine)) => routine.label.clone(),
        Some(Lowered::Alias | Lowered::Part(_)) => "alias".to_owned(),
        Some(Lowered::Source) | None => String::new(),
    }
}
