//! Compiled programs: a plan of kernel calls over preplanned memory.

mod arena;
mod calls;
mod chain;
mod compile;
mod cpu;
mod cut;
mod gpu;
mod group;
mod head;
mod joining;
mod memory;
mod pattern;
mod placement;
mod pointwise;
mod print;

pub use arena::Arguments;
pub(crate) use arena::ask_for_large_pages;

pub use pointwise::{Folding, Pointwise};
pub use print::quantity;

use crate::dtype::Element;
use crate::graph::{GraphError, NodeId};
use crate::op::Cost;
use crate::shape::TensorType;
use crate::state::{State, StateError};
use crate::tensor::Tensor;
use speck_kernels::gpu::GpuError;
use speck_kernels::{Choice, KernelError};
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

/// A named value of a program.
struct Port {
    name: String,
    /// Index into the views.
    view: usize,
    ty: TensorType,
}

/// A compiled graph.
///
/// Runs step after step on memory planned when it was compiled: a run
/// allocates nothing. Inputs keep their values from run to run.
pub struct Program {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    arena_bytes: usize,
    /// The graph after the passes, with what the print needs of each node.
    listing: print::Listing,
    runs: Runs,
}

/// What runs a program.
enum Runs {
    OnCpu(cpu::Executor),
    OnGpu(Box<gpu::Executor>),
}

impl Program {
    /// Runs once: reads the inputs and the state, writes the outputs and the
    /// new state.
    ///
    /// # Errors
    /// The state lacks a slot, or has it in another type.
    pub fn run(&mut self, state: &mut State) -> Result<(), RunError> {
        match &mut self.runs {
            Runs::OnCpu(cpu) => cpu.run(state),
            Runs::OnGpu(gpu) => gpu.run(state),
        }
    }

    /// Runs once and times each step.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_timed(&mut self, state: &mut State) -> Result<Vec<StepTiming>, RunError> {
        let seconds = match &mut self.runs {
            Runs::OnCpu(cpu) => cpu.run_timed(state)?,
            Runs::OnGpu(gpu) => gpu.run_timed(state)?,
        };
        let timing = |(index, seconds)| {
            let (kernel, path, cost) = self.listing.step(index);
            StepTiming { kernel, path, cost, seconds }
        };
        Ok(seconds.into_iter().enumerate().map(timing).collect())
    }

    /// The values of input `name` for writing; they stay until written again.
    ///
    /// # Errors
    /// No such input, or its elements are not of type `T`.
    pub fn input_mut<T: Element>(&mut self, name: &str) -> Result<&mut [T], RunError> {
        let port = find("input", &self.inputs, name)?;
        typed::<T>(port)?;
        Ok(match &mut self.runs {
            Runs::OnCpu(cpu) => cpu.input_mut(port),
            Runs::OnGpu(gpu) => bytemuck::cast_slice_mut(gpu.input_mut(port)),
        })
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
        let bytes = match &mut self.runs {
            Runs::OnCpu(cpu) => cpu.input_bytes_mut(port),
            Runs::OnGpu(gpu) => gpu.input_mut(port),
        };
        bytes.copy_from_slice(value.bytes());
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
        self.earlier(name, 0)
    }

    /// How many of the last runs [`Program::earlier`] knows: the last one, or, on a
    /// GPU, more where outputs are small. A caller that looks at them all at once lets
    /// the device go on from run to run.
    pub fn kept(&self) -> usize {
        match &self.runs {
            Runs::OnCpu(_) => 1,
            Runs::OnGpu(gpu) => gpu.kept(),
        }
    }

    /// The values of output `name` as the run left them that was made `back` runs
    /// before the last one.
    ///
    /// # Errors
    /// As [`Program::values`], or those of that run are not [kept](Program::kept).
    pub fn earlier<T: Element>(&self, name: &str, back: usize) -> Result<&[T], RunError> {
        let port = find("output", &self.outputs, name)?;
        typed::<T>(port)?;
        Ok(match &self.runs {
            Runs::OnCpu(cpu) if back == 0 => cpu.output(port),
            Runs::OnCpu(_) => {
                let known = "those of the last".to_owned();
                let what = "values of an earlier run for";
                return Err(RunError::NoSuchName(what, name.to_owned(), known));
            }
            Runs::OnGpu(gpu) => bytemuck::cast_slice(gpu.output(port, back)?),
        })
    }

    /// Output `name` as a tensor of its own.
    ///
    /// # Errors
    /// No such output.
    pub fn output(&self, name: &str) -> Result<Tensor, RunError> {
        let port = find("output", &self.outputs, name)?;
        let mut tensor = Tensor::zeros(&port.ty);
        let bytes = match &self.runs {
            Runs::OnCpu(cpu) => cpu.output_bytes(port),
            Runs::OnGpu(gpu) => gpu.output(port, 0)?,
        };
        tensor.bytes_mut().copy_from_slice(bytes);
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

    /// Kernel and variant of each step, on a GPU its shaders; for a group, all of them.
    pub fn kernels(&self) -> Vec<String> {
        (0..self.steps()).map(|index| self.listing.step(index).0).collect()
    }

    /// The number of kernel calls and groups a run makes.
    pub fn steps(&self) -> usize {
        match &self.runs {
            Runs::OnCpu(cpu) => cpu.steps(),
            Runs::OnGpu(gpu) => gpu.steps(),
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
