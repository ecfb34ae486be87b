//! Programs on a GPU: the same graph, passes and state, other kernels and memory.
//!
//! Light element-wise nodes in a row are one dispatch (`chain.rs`). Every value that
//! leaves its dispatch gets a buffer, which values share whose lifetimes do not meet; the
//! state's slots have buffers of their own, which the [`State`] holds. All calls are
//! bound to their buffers at the first run; a run then writes what inputs have
//! changed, encodes and submits once, and the outputs land in a buffer that the host
//! reads when it is asked for one of them. New values of the state stay on the
//! device; the state fetches a slot when somebody reads it.

use super::calls::Made;
use super::chain::{Chains, Unit};
use super::cut::Part;
use super::placement::{Roots, Updates};
use super::print::Listing;
use super::{CompileError, Options, Port, Program, RunError, Runs};
use crate::graph::{Graph, Inner, Node};
use crate::op::{Lowered, Source};
use crate::passes;
use crate::shape::TensorType;
use crate::state::State;
use crate::tensor::Tensor;
use speck_kernels::Choice;
use speck_kernels::gpu::{Buffer, Calls, Ends, Gpu, GpuError, Operand, Plan, PlanStep};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In one of the shared buffers.
    Shared(usize),
    /// In the buffer of an input or a constant, by its node.
    Given(usize),
    /// In a slot of the state.
    Slot(usize),
}

/// A node that computes, or several in a chain.
struct Step {
    inputs: Vec<usize>,
    /// The nodes whose values it gives; the output of a single one.
    results: Vec<usize>,
    calls: Calls,
    /// Shared buffers for the calls among themselves.
    scratch: Vec<usize>,
    /// The buffers of the calls' tables.
    tables: Vec<Buffer>,
    /// The parts that the calls fall into; none where all work on whole values.
    parts: Vec<Part>,
}

/// A compiled graph on a GPU.
pub(super) struct Executor {
    gpu: Arc<Gpu>,
    steps: Vec<Step>,
    places: Vec<Option<Place>>,
    /// Bytes of each node's value.
    bytes: Vec<usize>,
    shared: Vec<Buffer>,
    given: HashMap<usize, Buffer>,
    /// Input tensors, and whether they changed since the last run.
    inputs: Vec<(usize, Tensor, bool)>,
    outputs: Vec<(usize, TensorType)>,
    slots: Vec<(String, TensorType)>,
    /// Where they are in the state of the layout that the plan is bound to.
    slot_of: Vec<usize>,
    /// Slots whose value a run changes.
    written: Vec<usize>,
    /// Values copied into slots at the end.
    copies: Vec<(usize, usize)>,
    /// The plan, and the layout of the state that it is bound to.
    bound: Option<(u64, Plan)>,
    /// The outputs of the runs that the plan keeps; where each begins in those of a run,
    /// in words of 8 bytes, and how many words a run has.
    fetched: OnceCell<Result<Vec<u64>, GpuError>>,
    begins: Vec<usize>,
    words: usize,
    /// Operations of a run, and bytes moved.
    work: f64,
    /// Runs since the plan was bound.
    runs: usize,
    poison: bool,
}

/// Buffers whose values' lifetimes do not meet.
#[derive(Default)]
struct Pool {
    bytes: Vec<usize>,
    free: Vec<usize>,
}

impl Pool {
    /// A free buffer: the smallest that is large enough, or else the largest made
    /// larger.
    fn take(&mut self, bytes: usize) -> usize {
        let fits = |buffer: &&usize| self.bytes[**buffer] >= bytes;
        let best = self.free.iter().filter(fits).min_by_key(|buffer| self.bytes[**buffer]);
        let best = best.or_else(|| self.free.iter().max_by_key(|buffer| self.bytes[**buffer]));
        let buffer = best.copied().unwrap_or_else(|| {
            self.bytes.push(0);
            self.bytes.len() - 1
        });
        self.free.retain(|other| *other != buffer);
        self.bytes[buffer] = self.bytes[buffer].max(bytes);
        buffer
    }
}

pub(super) struct Planner<'a> {
    inner: &'a Inner,
    pub nodes: &'a [Node],
    roots: &'a Roots,
    pub chains: Chains<'a>,
    units: Vec<Unit>,
    pub updates: Updates,
    /// For each root, the last unit that needs it; `usize::MAX` to the end.
    last: Vec<usize>,
    /// The shaders that are asked for.
    pub kernels: &'a Choice,
}

impl<'a> Planner<'a> {
    fn new(inner: &'a Inner, roots: &'a Roots, options: &'a Options, most: usize) -> Self {
        let nodes = &inner.nodes;
        let chains = Chains::new(inner, roots);
        // Nodes that stay by themselves: all, or those of chains that turn out to need
        // more buffers than there are, for a new value found no place in its slot.
        let grouping = !options.without.iter().any(|name| name == passes::GROUPS);
        // And those on values too large to be bound as a whole.
        let large = |index: &usize| {
            let node = &nodes[*index];
            let types = node.inputs.iter().map(|id| &nodes[id.index()].ty).chain([&node.ty]);
            !grouping || types.map(TensorType::bytes).any(|bytes| bytes > most)
        };
        let mut apart: HashSet<usize> = (0..nodes.len()).filter(large).collect();
        let (units, updates) = loop {
            let units = chains.units(&apart);
            let mut unit_of = vec![None; nodes.len()];
            for (unit, nodes) in units.iter().enumerate() {
                nodes.iter().for_each(|node| unit_of[*node] = Some(unit));
            }
            // A dispatch may not read what it writes, so the old value is read before,
            // or by the same chain, which reads each element before it writes it.
            let may_write = |new: usize, old: usize| {
                let Some(own) = unit_of[new] else { return false };
                let together = |reader: &usize| {
                    unit_of[*reader] < Some(own)
                        || (unit_of[*reader] == Some(own)
                            && chains.reads_in_place(&units[own], old))
                };
                chains.readers(old).iter().all(together)
            };
            let updates = Updates::new(inner, &roots.root, may_write);
            let chained = units.iter().filter(|unit| unit.len() > 1);
            let wrong: Vec<_> =
                chained.filter(|unit| chains.calls(unit, &updates.in_slot).is_none()).collect();
            if wrong.is_empty() {
                break (units, updates);
            }
            apart.extend(wrong.into_iter().flatten());
        };
        let mut last = vec![0; nodes.len()];
        for (unit, members) in units.iter().enumerate() {
            for index in members {
                let inputs = nodes[*index].inputs.iter().map(|id| id.index());
                inputs.chain([*index]).for_each(|of| last[roots.root[of]] = unit);
            }
        }
        let kept = inner.outputs.iter().map(|(_, id)| id.index());
        for node in kept.chain(updates.copies.iter().map(|(from, _)| *from)) {
            last[roots.root[node]] = usize::MAX;
        }
        let kernels = &options.kernels;
        Planner { inner, nodes, roots, chains, units, updates, last, kernels }
    }

    /// Slots whose value a run changes.
    fn written(&self) -> Vec<usize> {
        let Updates { in_slot, copies } = &self.updates;
        let in_place = |slot: usize| {
            let of = self.inner.states[slot].node.index();
            let lowered = self.roots.lowered.iter().zip(&self.roots.root);
            lowered.into_iter().any(|(how, root)| *root == of && matches!(how, Lowered::InPlace(_)))
        };
        let changes = |slot: &usize| {
            let copied = copies.iter().any(|(_, to)| to == slot);
            copied || in_slot.values().any(|own| own == slot) || in_place(*slot)
        };
        (0..self.inner.states.len()).filter(changes).collect()
    }
}

/// Compiles `graph` for `gpu`.
pub(super) fn compile(
    graph: &Graph,
    options: &Options,
    gpu: &Arc<Gpu>,
) -> Result<Program, CompileError> {
    // Which nodes run together is decided for the CPU's caches.
    let without = [options.without.as_slice(), &[passes::FUSION.to_owned()]].concat();
    let graph = &passes::run(graph, &without, &options.kernels)?;
    let inner = graph.inner();
    let nodes = &inner.nodes;
    // Which op is an alias or works in place is the same on every device; a part of a
    // value would be bound from where a binding may not begin.
    let roots = Roots::new(nodes, &options.kernels, false)?;
    let most = usize::try_from(gpu.limits().binding).unwrap_or(usize::MAX);
    let planner = Planner::new(&inner, &roots, options, most);

    let mut pool = Pool::default();
    let given_place = |(index, node): (usize, &Node)| match node.op.source() {
        Some(Source::State(slot)) => Some(Place::Slot(slot)),
        Some(_) => Some(Place::Given(index)),
        None => None,
    };
    let mut places: Vec<Option<Place>> = nodes.iter().enumerate().map(given_place).collect();
    let mut steps = Vec::new();
    let mut labels = vec![String::new(); nodes.len()];
    for (number, unit) in planner.units.iter().enumerate() {
        let Made { calls, inputs, results, parts } = planner.unit(unit, gpu)?;
        let names: Vec<_> = calls.calls.iter().map(|call| call.shader.name).collect();
        for index in unit {
            labels[*index] = nodes[*index].op.info().name.to_owned();
        }
        labels[unit[0]] = match unit.len() {
            1 => names.join("+"),
            _ => format!("{}:{}", names.join("+"), labels[unit[0]]),
        };
        for index in results.iter().filter(|index| roots.root[**index] == **index) {
            places[*index] = Some(match planner.updates.in_slot.get(index) {
                Some(slot) => Place::Slot(*slot),
                None => Place::Shared(pool.take(nodes[*index].ty.bytes())),
            });
        }
        let scratch: Vec<_> = calls.scratch.iter().map(|bytes| pool.take(*bytes)).collect();
        pool.free.extend(&scratch);
        let upload = |table: &Vec<u32>| {
            let bytes: &[u8] = bytemuck::cast_slice(table);
            let buffer = gpu.buffer(bytes.len()).map_err(CompileError::Device)?;
            buffer.write(bytes);
            Ok::<_, CompileError>(buffer)
        };
        let tables = calls.tables.iter().map(upload).collect::<Result<_, _>>()?;
        // Values that nobody reads any more give their buffers back.
        let of = unit.iter().flat_map(|index| &nodes[*index].inputs).map(|id| id.index());
        let done: BTreeSet<usize> = of.chain(unit.clone()).map(|own| roots.root[own]).collect();
        for own in done {
            if let (Some(Place::Shared(buffer)), true) = (places[own], planner.last[own] == number)
            {
                pool.free.push(buffer);
            }
        }
        steps.push(Step { inputs, results, calls, scratch, tables, parts });
    }
    for index in 0..nodes.len() {
        places[index] = places[index].or(places[roots.root[index]]);
    }

    let make = |bytes: usize| gpu.buffer(bytes).map_err(CompileError::Device);
    let shared = pool.bytes.iter().map(|bytes| make(*bytes)).collect::<Result<Vec<_>, _>>()?;
    let mut given = HashMap::new();
    let mut inputs = Vec::new();
    let mut ports = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.op.source().is_some() {
            planner.check_buffer(index, gpu)?;
        }
        match node.op.source() {
            Some(Source::Input(name)) => {
                given.insert(index, make(node.ty.bytes())?);
                ports.push(Port { name: name.to_owned(), view: inputs.len(), ty: node.ty.clone() });
                inputs.push((index, Tensor::zeros(&node.ty), true));
            }
            Some(Source::Constant(tensor)) => {
                let buffer = make(node.ty.bytes())?;
                buffer.write(tensor.bytes());
                given.insert(index, buffer);
            }
            _ => {}
        }
    }
    let mut outputs = Vec::new();
    let mut output_ports = Vec::new();
    let mut begins = Vec::new();
    let mut words = 0;
    for (name, id) in &inner.outputs {
        let ty = nodes[id.index()].ty.clone();
        output_ports.push(Port { name: name.clone(), view: outputs.len(), ty: ty.clone() });
        begins.push(words);
        words += ty.bytes().max(8).div_ceil(8);
        outputs.push((id.index(), ty));
    }
    if let Some((_, id)) = inner.outputs.iter().find(|_| words as u64 * 8 > gpu.limits().buffer) {
        let message = format!("all outputs have {} bytes, more than a buffer", words * 8);
        return Err(planner.refused(id.index(), message));
    }
    let bytes = pool.bytes.iter().sum();
    let describe = |place: &Option<Place>| match place {
        Some(Place::Shared(buffer)) => format!("buffer {buffer}"),
        Some(Place::Slot(slot)) => format!("slot {slot}"),
        _ => String::new(),
    };
    let described = places.iter().map(describe).collect();
    let listing = Listing::new(graph, planner.units.clone(), labels, described, bytes);
    let cost = listing.total();
    let executor = Executor {
        gpu: Arc::clone(gpu),
        steps,
        places,
        bytes: nodes.iter().map(|node| node.ty.bytes()).collect(),
        shared,
        given,
        inputs,
        outputs,
        slots: inner.states.iter().map(|slot| (slot.name.clone(), slot.ty.clone())).collect(),
        slot_of: Vec::new(),
        written: planner.written(),
        copies: planner.updates.copies.clone(),
        bound: None,
        fetched: OnceCell::new(),
        begins,
        words,
        work: cost.flops as f64 + (cost.read + cost.written) as f64,
        runs: 0,
        poison: options.poison,
    };
    let runs = Runs::OnGpu(Box::new(executor));
    Ok(Program { inputs: ports, outputs: output_ports, arena_bytes: bytes, listing, runs })
}

impl Executor {
    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Runs once.
    pub fn run(&mut self, state: &mut State) -> Result<(), RunError> {
        self.prepare(state)?;
        let Some((_, plan)) = &mut self.bound else { return Ok(()) };
        plan.run(self.runs % plan.kept());
        self.runs += 1;
        self.finish(state);
        Ok(())
    }

    /// Runs once and gives the seconds of each step on the device, zeros where it
    /// cannot take times. The outputs stay those of the last other run.
    pub fn run_timed(&mut self, state: &mut State) -> Result<Vec<f64>, RunError> {
        self.prepare(state)?;
        let Some((_, plan)) = &mut self.bound else { return Ok(Vec::new()) };
        let mut calls = plan.run_timed()?.unwrap_or_default().into_iter();
        let mut own = |step: &Step| calls.by_ref().take(step.calls.calls.len()).sum();
        let seconds = self.steps.iter().map(&mut own).collect();
        self.finish(state);
        Ok(seconds)
    }

    /// Brings to the device what it lacks.
    fn prepare(&mut self, state: &mut State) -> Result<(), RunError> {
        self.gpu.check()?;
        self.bind(state)?;
        if let Some((_, plan)) = &mut self.bound {
            for (number, (_, tensor, changed)) in self.inputs.iter_mut().enumerate() {
                if std::mem::take(changed) {
                    plan.give(number, tensor.bytes());
                }
            }
        }
        if self.poison {
            for buffer in &self.shared {
                buffer.fill(0xff);
            }
        }
        Ok(())
    }

    /// What was fetched before a run is out of date.
    fn finish(&mut self, state: &mut State) {
        self.fetched = OnceCell::new();
        for slot in &self.written {
            state.written_on_device(self.slot_of[*slot]);
        }
    }

    /// Brings the state's slots to the device where they are not, and binds the calls
    /// to its buffers unless they are.
    fn bind(&mut self, state: &mut State) -> Result<(), RunError> {
        let bound = self.bound.as_ref().map(|(layout, _)| *layout);
        if bound != Some(state.layout()) {
            self.slot_of.clear();
            for (name, ty) in &self.slots {
                self.slot_of.push(state.index_of(name, ty)?);
            }
        }
        for ((name, ty), slot) in self.slots.iter().zip(&self.slot_of) {
            // A caller may have put another tensor in the slot's place.
            state.check(*slot, name, ty)?;
            state.bring(*slot, &self.gpu)?;
        }
        if bound == Some(state.layout()) {
            return Ok(());
        }
        let buffers: Vec<_> = self.slot_of.iter().filter_map(|slot| state.buffer(*slot)).collect();
        let place = |node: usize| match self.places[node] {
            Some(Place::Slot(slot)) => buffers[slot].clone(),
            Some(Place::Given(given)) => self.given[&given].clone(),
            Some(Place::Shared(buffer)) => self.shared[buffer].clone(),
            None => unreachable!("a value without a place"),
        };
        let mut steps = Vec::new();
        for step in &self.steps {
            let mut parts = step.parts.iter().flat_map(|part| (0..part.calls).map(move |_| part));
            for call in &step.calls.calls {
                let part = parts.next();
                // A buffer may be larger than the value, and than what can be bound.
                let whole = |node: usize| place(node).piece(0, self.bytes[node]);
                let piece =
                    |node: usize, (begin, bytes): (usize, usize)| place(node).piece(begin, bytes);
                let buffer = |operand: &Operand| match (operand, part) {
                    (Operand::Input(number), None) => whole(step.inputs[*number]),
                    (Operand::Input(number), Some(part)) => {
                        piece(step.inputs[*number], part.inputs[*number])
                    }
                    (Operand::Output, None) => whole(step.results[0]),
                    (Operand::Output, Some(part)) => piece(step.results[0], part.output),
                    (Operand::Result(number), _) => whole(step.results[*number]),
                    (Operand::Scratch(number), _) => {
                        let bytes = step.calls.scratch[*number];
                        self.shared[step.scratch[*number]].piece(0, bytes)
                    }
                    (Operand::Table(number), _) => step.tables[*number].clone(),
                };
                let operands = call.operands.iter().map(buffer).collect();
                steps.push(PlanStep::Call(call.clone(), operands));
            }
        }
        for (from, slot) in &self.copies {
            let bytes = self.slots[*slot].1.bytes();
            steps.push(PlanStep::Copy { from: place(*from), to: buffers[*slot].clone(), bytes });
        }
        let outputs: Vec<_> =
            self.outputs.iter().map(|(node, ty)| (place(*node), ty.bytes())).collect();
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|(node, tensor, _)| (place(*node), tensor.bytes().len()))
            .collect();
        let ends = Ends { inputs: &inputs, outputs: &outputs, work: self.work };
        let plan = Plan::new(&self.gpu, steps, &ends)?;
        self.runs = 0;
        self.bound = Some((state.layout(), plan));
        Ok(())
    }

    /// The bytes of an input for writing.
    pub fn input_mut(&mut self, port: &Port) -> &mut [u8] {
        let (_, tensor, changed) = &mut self.inputs[port.view];
        *changed = true;
        tensor.bytes_mut()
    }

    /// The last runs whose outputs can be had; one before the first run.
    pub fn kept(&self) -> usize {
        self.bound.as_ref().map_or(1, |(_, plan)| plan.kept())
    }

    /// The bytes of an output as the run left them that was made `back` runs ago.
    pub fn output(&self, port: &Port, back: usize) -> Result<&[u8], RunError> {
        let number = port.view;
        let there = self.runs.clamp(1, self.kept());
        if back >= there {
            let known = format!("those of the last {there}");
            return Err(RunError::NoSuchName(
                "values of an earlier run for",
                port.name.clone(),
                known,
            ));
        }
        let fetched = self.fetched.get_or_init(|| match &self.bound {
            Some((_, plan)) => plan.outputs(),
            None => Ok(vec![0; self.words]),
        });
        let words = fetched.as_ref().map_err(|error| RunError::Device(error.clone()))?;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        let turn = self.runs.saturating_sub(1 + back) % self.kept();
        let begin = turn * self.words + self.begins[number];
        Ok(&bytes[8 * begin..][..self.outputs[number].1.bytes()])
    }
}
