//! Compiled programs: a plan of kernel calls over preplanned memory.

mod arena;
mod compile;
mod gpu;
mod group;
mod head;
mod joining;
mod memory;
mod pattern;
mod pointwise;
mod print;

pub use arena::Arguments;
pub(crate) use arena::ask_for_large_pages;

pub use pointwise::{Folding, Pointwise};
pub use print::quantity;

use crate::dtype::Element;
use crate::graph::{GraphError, NodeId};
use crate::op::{Cost, Routine};
use crate::shape::TensorType;
use crate::state::{State, StateError};
use crate::tensor::Tensor;
use arena::{Memory, View};
use group::Group;
use head::Head;
use speck_kernels::gpu::GpuError;
use speck_kernels::team::with_helpers;
use speck_kernels::{Choice, KernelError};
use std::time::Instant;
use thiserror::Error;

/// How a graph is compiled.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The device, and forced kernel variants.
    pub kernels: Choice,
    /// Names of passes not to run; see [`crate::passes::ALL`].
    pub without: Vec<String>,
    /// Fill the arena with NaN before every run, so that a value that is read
    /// but never written is seen. For tests.
    pub poison: bool,
}

/// A graph that cannot be compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// A forced kernel variant cannot be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A pass built a node that does not fit; a defect of the pass.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The values of the program do not fit into the machine's memory.
    #[error("the program needs {0} bytes of memory, more than there is")]
    Memory(usize),
    /// An op that cannot run on the GPU.
    #[error("`{op}` of `{path}` cannot run on the GPU: {message}")]
    Gpu {
        /// The op.
        op: &'static str,
        /// The layer it is in.
        path: String,
        /// Why.
        message: String,
    },
    /// The GPU failed, or has not enough memory.
    #[error(transparent)]
    Device(GpuError),
    /// [`Options::without`] names no pass.
    #[error("there is no pass `{0}`; there are {1}")]
    NoSuchPass(String, String),
}

/// A run that cannot start, or a value that cannot be had.
#[derive(Debug, Error)]
pub enum RunError {
    /// The state lacks a slot or has it in another type.
    #[error(transparent)]
    State(#[from] StateError),
    /// The GPU failed.
    #[error(transparent)]
    Device(#[from] GpuError),
    /// The program has no such input or output.
    #[error("the program has no {0} `{1}`; it has {2}")]
    NoSuchName(&'static str, String, String),
    /// A value of another type.
    #[error("`{name}` is {found}, not {wanted}")]
    Type {
        /// The input or output.
        name: String,
        /// Its type.
        found: String,
        /// What it was taken for.
        wanted: String,
    },
}

/// What one step of a program costs in time.
#[derive(Clone, Debug)]
pub struct StepTiming {
    /// Kernel and variant; for a group, all of them.
    pub kernel: String,
    /// Path of the layer of the first node.
    pub path: String,
    /// The work of the step.
    pub cost: Cost,
    /// Seconds.
    pub seconds: f64,
}

enum Step {
    Group(Group),
    Head(Head),
    Routine {
        node: usize,
        inputs: Vec<usize>,
        routine: Routine,
    },
    /// Moves a value into its slot of the state at the end.
    Copy {
        from: usize,
        to: usize,
    },
}

/// A named value of a program.
struct Port {
    name: String,
    /// Index into the views.
    view: usize,
    ty: TensorType,
}

/// A view that lies in a slot of the state.
struct Inside {
    view: usize,
    /// Bytes from the slot's beginning.
    offset: usize,
    elements: usize,
}

/// A compiled graph.
///
/// Runs step after step on memory planned when it was compiled: a run
/// allocates nothing. Inputs keep their values from run to run.
pub struct Program {
    steps: Vec<Step>,
    views: Vec<View>,
    /// The arena, then inputs and constants.
    memory: Memory,
    arena_bytes: usize,
    /// Bytes of the arena part that are outputs of nodes and may be poisoned.
    poison: bool,
    scratch: View,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// For each slot used: its name and type, and the views that lie in it.
    slots: Vec<(String, TensorType, Vec<Inside>)>,
    /// The layout of the state the views point into.
    bound: Option<u64>,
    slot_of: Vec<usize>,
    /// The graph after the passes, with what the print needs of each node.
    listing: print::Listing,
    /// What runs it, where that is a GPU.
    gpu: Option<gpu::Executor>,
}

impl Program {
    /// Runs once: reads the inputs and the state, writes the outputs and the
    /// new state.
    ///
    /// # Errors
    /// The state lacks a slot, or has it in another type.
    pub fn run(&mut self, state: &mut State) -> Result<(), RunError> {
        if let Some(gpu) = &mut self.gpu {
            return gpu.run(state);
        }
        self.bind(state)?;
        self.prepare();
        with_helpers(|| {
            for step in &self.steps {
                execute(step, &self.views, self.scratch);
            }
        });
        Ok(())
    }

    /// Runs once and times each step.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_timed(&mut self, state: &mut State) -> Result<Vec<StepTiming>, RunError> {
        if let Some(gpu) = &mut self.gpu {
            let seconds = gpu.run_timed(state)?.into_iter().enumerate();
            let timing = |(index, seconds)| {
                let (kernel, path, cost) = self.listing.step(index);
                StepTiming { kernel, path, cost, seconds }
            };
            return Ok(seconds.map(timing).collect());
        }
        self.bind(state)?;
        self.prepare();
        let mut timings = Vec::new();
        with_helpers(|| {
            for (index, step) in self.steps.iter().enumerate() {
                let start = Instant::now();
                execute(step, &self.views, self.scratch);
                let seconds = start.elapsed().as_secs_f64();
                let (kernel, path, cost) = self.listing.step(index);
                timings.push(StepTiming { kernel, path, cost, seconds });
            }
        });
        Ok(timings)
    }

    fn prepare(&mut self) {
        if self.poison {
            // The arena proper comes first; inputs and constants behind it stay.
            let bytes = self.arena_bytes;
            self.memory.fill_prefix(bytes, 0xff);
        }
    }

    /// Points the views of state slots at this state's memory.
    fn bind(&mut self, state: &mut State) -> Result<(), RunError> {
        if self.bound != Some(state.layout()) {
            self.slot_of.clear();
            for (name, ty, _) in &self.slots {
                self.slot_of.push(state.index_of(name, ty)?);
            }
            self.bound = Some(state.layout());
        }
        for ((name, ty, views), slot) in self.slots.iter().zip(&self.slot_of) {
            // A caller may have put another tensor in the slot's place.
            state.check(*slot, name, ty)?;
            let address = state.slot_mut(*slot)?.bytes_mut().as_mut_ptr();
            for Inside { view, offset, elements } in views {
                let address = address.wrapping_add(*offset);
                self.views[*view] = View { address, elements: *elements, dtype: ty.dtype };
            }
        }
        Ok(())
    }

    /// The values of input `name` for writing; they stay until written again.
    ///
    /// # Errors
    /// No such input, or its elements are not of type `T`.
    pub fn input_mut<T: Element>(&mut self, name: &str) -> Result<&mut [T], RunError> {
        let port = find("input", &self.inputs, name)?;
        typed::<T>(port)?;
        if let Some(gpu) = &mut self.gpu {
            return Ok(bytemuck::cast_slice_mut(gpu.input_mut(port.view).bytes_mut()));
        }
        // SAFETY: an input's memory belongs to it alone, and `&mut self` is held.
        Ok(unsafe { self.views[port.view].write() })
    }

    /// Sets input `name`.
    ///
    /// # Errors
    /// No such input, or `value` is of another type.
    pub fn set_input(&mut self, name: &str, value: &Tensor) -> Result<(), RunError> {
        let port = find("input", &self.inputs, name)?;
        if port.ty != *value.ty() {
            return Err(RunError::Type {
                name: name.to_owned(),
                found: port.ty.to_string(),
                wanted: value.ty().to_string(),
            });
        }
        if let Some(gpu) = &mut self.gpu {
            gpu.input_mut(port.view).bytes_mut().copy_from_slice(value.bytes());
            return Ok(());
        }
        let view = View { elements: port.ty.bytes(), ..self.views[port.view] };
        // SAFETY: as in `input_mut`; bytes have no alignment or validity needs.
        unsafe { std::slice::from_raw_parts_mut(view.address, view.elements) }
            .copy_from_slice(value.bytes());
        Ok(())
    }

    /// The names and types of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        self.inputs.iter().map(|port| (port.name.as_str(), &port.ty))
    }

    /// The values of output `name` as the last run left them.
    ///
    /// # Errors
    /// No such output, or its elements are not of type `T`.
    pub fn values<T: Element>(&self, name: &str) -> Result<&[T], RunError> {
        let port = find("output", &self.outputs, name)?;
        typed::<T>(port)?;
        if let Some(gpu) = &self.gpu {
            return Ok(bytemuck::cast_slice(gpu.output(port.view)?));
        }
        // SAFETY: an output's memory is not reused, and nothing runs while
        // `&self` is held. Outputs never lie in the state.
        Ok(unsafe { self.views[port.view].read() })
    }

    /// Output `name` as a tensor of its own.
    ///
    /// # Errors
    /// No such output.
    pub fn output(&self, name: &str) -> Result<Tensor, RunError> {
        let port = find("output", &self.outputs, name)?;
        let mut tensor = Tensor::zeros(&port.ty);
        if let Some(gpu) = &self.gpu {
            tensor.bytes_mut().copy_from_slice(gpu.output(port.view)?);
            return Ok(tensor);
        }
        let view = self.views[port.view];
        if port.ty.elements() > 0 {
            // SAFETY: as in `values`; the bytes of any tensor can be read.
            let bytes = unsafe { std::slice::from_raw_parts(view.address, port.ty.bytes()) };
            tensor.bytes_mut().copy_from_slice(bytes);
        }
        Ok(tensor)
    }

    /// Bytes of the arena: values of nodes and scratch memory.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// The work of one run.
    pub fn cost(&self) -> Cost {
        self.listing.total()
    }

    /// The number of kernel calls and groups a run makes.
    pub fn steps(&self) -> usize {
        self.gpu.as_ref().map_or(self.steps.len(), gpu::Executor::steps)
    }
}

fn execute(step: &Step, views: &[View], scratch: View) {
    match step {
        Step::Group(group) => group.run(views, scratch),
        Step::Head(head) => head.run(views, scratch),
        Step::Routine { node, inputs, routine } => {
            let scratch = View { elements: routine.scratch, ..scratch };
            let output = views[*node];
            (routine.run)(Arguments { views, inputs, output, scratch, taker: None });
        }
        Step::Copy { from, to } => {
            let bytes = views[*from].elements * views[*from].dtype.bytes();
            // SAFETY: the slot and the value have the same type and lie apart.
            unsafe {
                std::ptr::copy_nonoverlapping(views[*from].address, views[*to].address, bytes);
            }
        }
    }
}

fn find<'a>(kind: &'static str, ports: &'a [Port], name: &str) -> Result<&'a Port, RunError> {
    ports.iter().find(|port| port.name == name).ok_or_else(|| {
        let known: Vec<_> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
        RunError::NoSuchName(kind, name.to_owned(), known.join(", "))
    })
}

fn typed<T: Element>(port: &Port) -> Result<(), RunError> {
    if port.ty.dtype == T::DTYPE {
        return Ok(());
    }
    Err(RunError::Type {
        name: port.name.clone(),
        found: port.ty.to_string(),
        wanted: T::DTYPE.to_string(),
    })
}

/// The order-preserving position of a node, used as its view's index.
fn view_of(id: NodeId) -> usize {
    id.index()
}
