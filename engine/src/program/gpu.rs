//! Programs on a GPU: the same graph, passes and state, other kernels and memory.
//!
//! Every value gets a buffer, which values share whose lifetimes do not meet; the
//! state's slots have buffers of their own, which the [`State`] holds. All calls are
//! bound to their buffers at the first run; a run then writes what inputs have
//! changed, encodes and submits once, and the outputs land in a buffer that the host
//! reads when it is asked for one of them. New values of the state stay on the
//! device; the state fetches a slot when somebody reads it.

use super::print::Listing;
use super::{CompileError, Options, Port, RunError};
use crate::graph::{Graph, Node};
use crate::op::{Lowered, Source};
use crate::shape::TensorType;
use crate::state::State;
use crate::tensor::Tensor;
use speck_kernels::gpu::{Buffer, Calls, Gpu, GpuError, Operand, Plan, PlanStep};
use std::cell::OnceCell;
use std::collections::HashMap;
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

/// A node that computes.
struct Step {
    node: usize,
    inputs: Vec<usize>,
    calls: Calls,
    /// Shared buffers for the calls among themselves.
    scratch: Vec<usize>,
    /// The buffers of the calls' tables.
    tables: Vec<Buffer>,
}

/// A compiled graph on a GPU.
pub(super) struct Executor {
    gpu: Arc<Gpu>,
    steps: Vec<Step>,
    places: Vec<Option<Place>>,
    shared: Vec<Buffer>,
    given: HashMap<usize, Buffer>,
    /// Input tensors, and whether they changed since the last run.
    inputs: Vec<(usize, Tensor, bool)>,
    outputs: Vec<(usize, TensorType)>,
    slots: Vec<(String, TensorType)>,
    /// Slots whose value a run changes.
    written: Vec<usize>,
    /// Values copied into slots at the end.
    copies: Vec<(usize, usize)>,
    /// The plan, and the layout of the state that it is bound to.
    bound: Option<(u64, Plan)>,
    /// The outputs of the last run, and where each begins, in words of 8 bytes.
    fetched: OnceCell<Result<Vec<u64>, GpuError>>,
    begins: Vec<usize>,
    poison: bool,
    pub bytes: usize,
}

/// What compiling gives.
pub(super) struct Compiled {
    pub executor: Executor,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub listing: Listing,
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

struct Planner<'a> {
    nodes: &'a [Node],
    lowered: Vec<Lowered>,
    /// The node whose memory a node's value is: itself unless it is an alias.
    root: Vec<usize>,
    /// For each root, the last node that reads it; `usize::MAX` to the end.
    last: Vec<usize>,
}

impl<'a> Planner<'a> {
    fn new(nodes: &'a [Node], options: &Options) -> Result<Self, CompileError> {
        let mut lowered = Vec::new();
        let mut root = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let types: Vec<_> = node.inputs.iter().map(|id| &nodes[id.index()].ty).collect();
            // Which op is an alias or works in place is the same on every device.
            let how = node.op.lower(&types, &node.ty, &options.kernels)?;
            root.push(match how {
                Lowered::Alias | Lowered::InPlace(_) => root[node.inputs[0].index()],
                _ => index,
            });
            lowered.push(how);
        }
        let mut last = vec![0; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            let own = root[index];
            last[own] = last[own].max(index);
            for input in &node.inputs {
                last[root[input.index()]] = index;
            }
        }
        Ok(Planner { nodes, lowered, root, last })
    }

    fn computes(&self, index: usize) -> bool {
        !matches!(self.lowered[index], Lowered::Source | Lowered::Alias)
    }

    fn calls(&self, index: usize, gpu: &Gpu) -> Result<Calls, CompileError> {
        let node = &self.nodes[index];
        let types: Vec<_> = node.inputs.iter().map(|id| &self.nodes[id.index()].ty).collect();
        let refuse = |message: String| CompileError::Gpu {
            op: node.op.info().name,
            path: node.path.to_string(),
            message,
        };
        let f64s = |ty: &&TensorType| ty.dtype == crate::DType::F64;
        if types.iter().copied().chain([&node.ty]).any(|ty| f64s(&ty)) {
            return Err(refuse("GPUs compute in f32, not f64".to_owned()));
        }
        let mut all = types.iter().copied().chain([&node.ty]);
        if let Some(ty) = all.find(|ty| ty.dtype.storage().is_some()) {
            return Err(refuse(format!("shaders take f32, and {} only on the CPU", ty.dtype)));
        }
        let calls = node.op.shade(&types, &node.ty).map_err(&refuse)?;
        let limits = gpu.limits();
        for call in &calls.calls {
            let needs = call.shader.needs;
            if (needs.subgroups && !limits.subgroups) || (needs.f16 && !limits.f16) {
                return Err(refuse(format!("the device cannot run `{}`", call.shader.name)));
            }
        }
        let values = types.iter().copied().chain([&node.ty]).map(TensorType::bytes);
        for bytes in values.chain(calls.scratch.iter().copied()) {
            if bytes as u64 > limits.binding {
                return Err(refuse(format!(
                    "a value of {bytes} bytes, but `{}` binds {} at most; a smaller batch may fit",
                    gpu.name(),
                    limits.binding
                )));
            }
        }
        Ok(calls)
    }
}

/// Compiles `graph` after its passes for `gpu`.
pub(super) fn compile(
    graph: &Graph,
    options: &Options,
    gpu: &Arc<Gpu>,
) -> Result<Compiled, CompileError> {
    let inner = graph.inner();
    let nodes = &inner.nodes;
    let mut planner = Planner::new(nodes, options)?;
    let slot_nodes: Vec<usize> = inner.states.iter().map(|slot| slot.node.index()).collect();
    let roots_of_outputs: Vec<usize> =
        inner.outputs.iter().map(|(_, id)| planner.root[id.index()]).collect();

    // New values of slots: in the slot where its old value is not read any more.
    let mut in_slot: HashMap<usize, usize> = HashMap::new();
    let mut copies = Vec::new();
    let mut written = Vec::new();
    for (slot, id) in &inner.updates {
        let (new, old) = (planner.root[id.index()], slot_nodes[*slot]);
        let changed = new != old
            || (0..nodes.len()).any(|i| {
                planner.root[i] == old && matches!(planner.lowered[i], Lowered::InPlace(_))
            });
        if changed {
            written.push(*slot);
        }
        if new == old {
            continue;
        }
        let direct = planner.computes(new)
            && planner.root[new] == new
            && !in_slot.contains_key(&new)
            && !roots_of_outputs.contains(&new)
            && planner.last[old] < new;
        if direct {
            in_slot.insert(new, *slot);
        } else {
            copies.push((id.index(), *slot));
        }
    }
    let kept = roots_of_outputs.iter().copied();
    for root in kept.chain(copies.iter().map(|(from, _)| planner.root[*from])).collect::<Vec<_>>() {
        planner.last[root] = usize::MAX;
    }

    let mut pool = Pool::default();
    let mut places: Vec<Option<Place>> = vec![None; nodes.len()];
    let mut steps = Vec::new();
    let mut labels = vec![String::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        match node.op.source() {
            Some(Source::State(slot)) => places[index] = Some(Place::Slot(slot)),
            Some(_) => places[index] = Some(Place::Given(index)),
            None => places[index] = places[planner.root[index]],
        }
        if planner.computes(index) {
            let calls = planner.calls(index, gpu)?;
            let names: Vec<_> = calls.calls.iter().map(|call| call.shader.name).collect();
            labels[index] = names.join("+");
            if planner.root[index] == index {
                places[index] = Some(match in_slot.get(&index) {
                    Some(slot) => Place::Slot(*slot),
                    None => Place::Shared(pool.take(node.ty.bytes())),
                });
            }
            let scratch: Vec<_> = calls.scratch.iter().map(|bytes| pool.take(*bytes)).collect();
            pool.free.extend(&scratch);
            let inputs = node.inputs.iter().map(|id| id.index()).collect();
            let upload = |table: &Vec<u32>| {
                let bytes: &[u8] = bytemuck::cast_slice(table);
                let buffer = gpu.buffer(bytes.len()).map_err(CompileError::Device)?;
                buffer.write(bytes);
                Ok::<_, CompileError>(buffer)
            };
            let tables = calls.tables.iter().map(upload).collect::<Result<_, _>>()?;
            steps.push(Step { node: index, inputs, calls, scratch, tables });
        }
        // Values that nobody reads any more give their buffers back.
        let mut done: Vec<usize> = node.inputs.iter().map(|id| planner.root[id.index()]).collect();
        done.push(planner.root[index]);
        done.sort_unstable();
        done.dedup();
        for root in done {
            if let (Some(Place::Shared(buffer)), true) = (places[root], planner.last[root] == index)
            {
                pool.free.push(buffer);
            }
        }
    }

    let make = |bytes: usize| gpu.buffer(bytes).map_err(CompileError::Device);
    let shared = pool.bytes.iter().map(|bytes| make(*bytes)).collect::<Result<Vec<_>, _>>()?;
    let mut given = HashMap::new();
    let mut inputs = Vec::new();
    let mut ports = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
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
    let bytes = pool.bytes.iter().sum();
    let describe = |place: &Option<Place>| match place {
        Some(Place::Shared(buffer)) => format!("buffer {buffer}"),
        Some(Place::Slot(slot)) => format!("slot {slot}"),
        _ => String::new(),
    };
    let units = steps.iter().map(|step| vec![step.node]).collect();
    let described = places.iter().map(describe).collect();
    let listing = Listing::new(graph, units, labels, described, bytes);
    let executor = Executor {
        gpu: Arc::clone(gpu),
        steps,
        places,
        shared,
        given,
        inputs,
        outputs,
        slots: inner.states.iter().map(|slot| (slot.name.clone(), slot.ty.clone())).collect(),
        written,
        copies,
        bound: None,
        fetched: OnceCell::new(),
        begins,
        poison: options.poison,
        bytes,
    };
    Ok(Compiled { executor, inputs: ports, outputs: output_ports, listing })
}

impl Executor {
    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Runs once.
    pub fn run(&mut self, state: &mut State) -> Result<(), RunError> {
        self.prepare(state)?;
        let Some((_, plan)) = &self.bound else { return Ok(()) };
        plan.run(!self.outputs.is_empty());
        self.finish(state);
        Ok(())
    }

    /// Runs once and gives the seconds of each step on the device, zeros where it
    /// cannot take times. The outputs stay those of the last other run.
    pub fn run_timed(&mut self, state: &mut State) -> Result<Vec<f64>, RunError> {
        self.prepare(state)?;
        let Some((_, plan)) = &self.bound else { return Ok(Vec::new()) };
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
        for (node, tensor, changed) in &mut self.inputs {
            if std::mem::take(changed) {
                self.given[node].write(tensor.bytes());
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
            state.written_on_device(&self.slots[*slot].0);
        }
    }

    /// Brings the state's slots to the device where they are not, and binds the calls
    /// to its buffers unless they are.
    fn bind(&mut self, state: &mut State) -> Result<(), RunError> {
        let mut buffers = Vec::new();
        let known = self.bound.as_ref().map(|(layout, _)| *layout) == Some(state.layout());
        for (name, ty) in &self.slots {
            buffers.push(state.on_device(name, ty, &self.gpu)?);
        }
        if known {
            return Ok(());
        }
        let place = |node: usize| match self.places[node] {
            Some(Place::Slot(slot)) => buffers[slot].clone(),
            Some(Place::Given(given)) => self.given[&given].clone(),
            Some(Place::Shared(buffer)) => self.shared[buffer].clone(),
            None => unreachable!("a value without a place"),
        };
        let mut steps = Vec::new();
        for step in &self.steps {
            for call in &step.calls.calls {
                let buffer = |operand: &Operand| match operand {
                    Operand::Input(number) => place(step.inputs[*number]),
                    Operand::Output => place(step.node),
                    Operand::Scratch(number) => self.shared[step.scratch[*number]].clone(),
                    Operand::Table(number) => step.tables[*number].clone(),
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
        let plan = Plan::new(&self.gpu, steps, &outputs)?;
        self.bound = Some((state.layout(), plan));
        Ok(())
    }

    /// The tensor of input `number` for writing.
    pub fn input_mut(&mut self, number: usize) -> &mut Tensor {
        let (_, tensor, changed) = &mut self.inputs[number];
        *changed = true;
        tensor
    }

    /// The bytes of output `number` as the last run left them.
    pub fn output(&self, number: usize) -> Result<&[u8], RunError> {
        let fetched = self.fetched.get_or_init(|| match &self.bound {
            Some((_, plan)) => plan.outputs(),
            None => {
                let bytes = |(_, ty): &(usize, TensorType)| ty.bytes().max(8).div_ceil(8);
                Ok(vec![0; self.outputs.iter().map(bytes).sum()])
            }
        });
        let words = fetched.as_ref().map_err(|error| RunError::Device(error.clone()))?;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        Ok(&bytes[8 * self.begins[number]..][..self.outputs[number].1.bytes()])
    }
}
