//! The tensors that outlive a run.

use crate::dtype::DType;
use crate::graph::Graph;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::fnv;
use speck_kernels::gpu::{Buffer, Gpu, GpuError};
use speck_kernels::random::{self, Stream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use thiserror::Error;

/// How a slot of the state starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial {
    /// Every element this value.
    Constant(f64),
    /// Uniform in `-bound..bound`.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        deviation: f64,
    },
}

/// A slot that does not fit.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum StateError {
    /// A program or a caller wants a slot that is not there.
    #[error("the state has no slot `{0}`")]
    Missing(String),
    /// A slot has another type than wanted.
    #[error("slot `{name}` is {found}, but {wanted} is wanted")]
    Type {
        /// The slot.
        name: String,
        /// Its type.
        found: String,
        /// The type it should have.
        wanted: String,
    },
}

/// Named tensors: parameters, moments, running statistics, counters. Programs
/// compiled from different graphs (training, evaluation) share one.
#[derive(Debug)]
pub struct State {
    slots: Vec<Slot>,
    /// Changes whenever slots come or go, so that programs know when to look
    /// their slots up again.
    layout: u64,
}

/// A tensor that may be on the host, on a GPU, or on both.
#[derive(Debug)]
struct Slot {
    name: String,
    ty: TensorType,
    /// The value on the host; none where a GPU has changed it since.
    host: OnceLock<Tensor>,
    remote: Option<Remote>,
}

/// A slot's memory on a GPU.
#[derive(Debug)]
struct Remote {
    buffer: Buffer,
    /// Whether it holds the slot's value.
    current: bool,
}

impl Slot {
    fn new(name: String, tensor: Tensor) -> Self {
        let ty = tensor.ty().clone();
        Slot { name, ty, host: OnceLock::from(tensor), remote: None }
    }

    /// The value, fetched where it is not on the host.
    fn fetch(&self) -> Result<&Tensor, GpuError> {
        if let Some(tensor) = self.host.get() {
            return Ok(tensor);
        }
        let mut tensor = Tensor::zeros(&self.ty);
        if let Some(remote) = &self.remote {
            remote.buffer.read(tensor.bytes_mut())?;
        }
        Ok(self.host.get_or_init(|| tensor))
    }

    /// The value for writing: the GPU's is then out of date.
    fn host_mut(&mut self) -> Result<&mut Tensor, GpuError> {
        let tensor = match self.host.take() {
            Some(tensor) => tensor,
            None => {
                self.fetch()?;
                self.host.take().unwrap_or_else(|| Tensor::zeros(&self.ty))
            }
        };
        if let Some(remote) = &mut self.remote {
            remote.current = false;
        }
        self.host = OnceLock::from(tensor);
        Ok(self.host.get_mut().unwrap_or_else(|| unreachable!("set just now")))
    }
}

fn next_layout() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Default for State {
    fn default() -> Self {
        State { slots: Vec::new(), layout: next_layout() }
    }
}

impl FromIterator<(String, Tensor)> for State {
    /// Slots with their values; of two with one name the first is found.
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(slots: I) -> Self {
        let slots = slots.into_iter().map(|(name, tensor)| Slot::new(name, tensor)).collect();
        State { slots, layout: next_layout() }
    }
}

impl State {
    /// Slots whose names begin with this are a program's own business: how it
    /// holds what other slots hold for everybody else.
    pub const HIDDEN: char = '~';

    /// The slots of `graph` as they start. Random values depend on `seed` and
    /// on the slot's name only, not on the order of slots or on what else the
    /// graph holds.
    pub fn initialise(graph: &Graph, seed: u64) -> Self {
        let mut state = State::default();
        state.extend(graph, seed);
        state
    }

    /// Adds the slots of `graph` that are not there yet, as they start.
    pub fn extend(&mut self, graph: &Graph, seed: u64) {
        for slot in graph.states() {
            if !self.slots.iter().any(|known| known.name == slot.name) {
                let tensor = initial_tensor(&slot.name, &slot.ty, &slot.initial, seed);
                self.slots.push(Slot::new(slot.name, tensor));
            }
        }
        self.layout = next_layout();
    }

    /// Brings the values that are on a GPU only to the host, all but those of hidden
    /// slots, in one go. The methods that read find them there; without it each
    /// fetches what it needs, and leaves out what a GPU cannot give any more.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn fetch(&self) -> Result<(), GpuError> {
        State::fetch_all(self.shown())
    }

    fn fetch_all<'a>(slots: impl Iterator<Item = &'a Slot>) -> Result<(), GpuError> {
        let away = slots.filter_map(|slot| match &slot.remote {
            Some(remote) if slot.host.get().is_none() => Some((slot, remote)),
            _ => None,
        });
        let away: Vec<_> = away.collect();
        let mut tensors: Vec<_> = away.iter().map(|(slot, _)| Tensor::zeros(&slot.ty)).collect();
        let parts = away.iter().zip(&mut tensors);
        let mut parts: Vec<_> =
            parts.map(|((_, remote), tensor)| (&remote.buffer, tensor.bytes_mut())).collect();
        Buffer::read_all(&mut parts)?;
        for ((slot, _), tensor) in away.iter().zip(tensors) {
            slot.host.get_or_init(|| tensor);
        }
        Ok(())
    }

    /// All slots with their values, on the host.
    ///
    /// # Errors
    /// The GPU that has some of them failed.
    pub fn copy(&self) -> Result<State, GpuError> {
        State::fetch_all(self.slots.iter())?;
        let copy = |slot: &Slot| Ok(Slot::new(slot.name.clone(), slot.fetch()?.clone()));
        let slots = self.slots.iter().map(copy).collect::<Result<_, GpuError>>()?;
        Ok(State { slots, layout: next_layout() })
    }

    fn shown(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.name.starts_with(State::HIDDEN))
    }

    /// The names of the slots, without hidden ones.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shown().map(|slot| slot.name.as_str())
    }

    /// A slot's type.
    pub fn ty(&self, name: &str) -> Option<&TensorType> {
        self.slots.iter().find(|slot| slot.name == name).map(|slot| &slot.ty)
    }

    /// The slots with their names, without hidden ones, and without those that a GPU
    /// failed to give.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.shown().filter_map(|slot| Some((slot.name.as_str(), slot.fetch().ok()?)))
    }

    /// A slot's value; `None` if there is no such slot, or a GPU fails to give it.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.slots.iter().find(|slot| slot.name == name)?.fetch().ok()
    }

    /// A slot's value for writing; as [`State::get`].
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.slots.iter_mut().find(|slot| slot.name == name)?.host_mut().ok()
    }

    /// Replaces a slot's value. What a GPU has of the old one stays there: a state can be
    /// set again after the device has failed.
    ///
    /// # Errors
    /// No such slot, or another type.
    pub fn set(&mut self, name: &str, value: Tensor) -> Result<(), StateError> {
        let index = self.index_of(name, value.ty())?;
        let slot = &mut self.slots[index];
        match slot.host.get_mut() {
            // The values are copied into the slot's own memory: programs hold its address.
            Some(own) => own.bytes_mut().copy_from_slice(value.bytes()),
            None => slot.host = OnceLock::from(value),
        }
        if let Some(remote) = &mut slot.remote {
            remote.current = false;
        }
        Ok(())
    }

    /// Exchanges the values of two slots of one type; where there are no such two,
    /// nothing. Where both are on a GPU, they are exchanged there.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn exchange(&mut self, a: &str, b: &str) -> Result<(), GpuError> {
        let place = |name: &str| self.slots.iter().position(|slot| slot.name == name);
        let (Some(a), Some(b)) = (place(a), place(b)) else { return Ok(()) };
        let (low, high) = (a.min(b), a.max(b));
        let (head, tail) = self.slots.split_at_mut(high);
        if let (Some(first), Some(second)) = (head.get_mut(low), tail.first_mut())
            && first.ty == second.ty
        {
            if let (Some(one), Some(other)) = (&first.remote, &second.remote)
                && (one.current && other.current)
                && one.buffer.is_beside(&other.buffer)
            {
                one.buffer.exchange(&other.buffer)?;
                first.host.take();
                second.host.take();
                return Ok(());
            }
            let (first, second) = (first.host_mut()?, second.host_mut()?);
            // The values, not the memory: programs hold its address.
            if first.ty() == second.ty() {
                first.bytes_mut().swap_with_slice(second.bytes_mut());
            }
        }
        Ok(())
    }

    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    pub(crate) fn index_of(&self, name: &str, ty: &TensorType) -> Result<usize, StateError> {
        let index = self.slots.iter().position(|slot| slot.name == name);
        let index = index.ok_or_else(|| StateError::Missing(name.to_owned()))?;
        self.check(index, name, ty)?;
        Ok(index)
    }

    pub(crate) fn check(
        &self,
        index: usize,
        name: &str,
        ty: &TensorType,
    ) -> Result<(), StateError> {
        // A caller may have put another tensor in the slot's place.
        let slot = &self.slots[index];
        let found = slot.host.get().map_or(&slot.ty, Tensor::ty);
        if found == ty {
            return Ok(());
        }
        Err(StateError::Type {
            name: name.to_owned(),
            found: found.to_string(),
            wanted: ty.to_string(),
        })
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> Result<&mut Tensor, GpuError> {
        self.slots[index].host_mut()
    }

    /// Brings a slot's value to `gpu`, unless it is there. The layout changes where
    /// that takes a new buffer.
    pub(crate) fn bring(&mut self, index: usize, gpu: &Arc<Gpu>) -> Result<(), GpuError> {
        let slot = &mut self.slots[index];
        match &mut slot.remote {
            Some(remote) if remote.buffer.is_on(gpu) => {
                if !remote.current
                    && let Some(tensor) = slot.host.get()
                {
                    remote.buffer.write(tensor.bytes());
                    remote.current = true;
                }
            }
            _ => {
                let buffer = gpu.buffer(slot.ty.bytes())?;
                buffer.write(slot.fetch()?.bytes());
                slot.remote = Some(Remote { buffer, current: true });
                self.layout = next_layout();
            }
        }
        Ok(())
    }

    /// The memory of a slot on the GPU to which it was brought.
    pub(crate) fn buffer(&self, index: usize) -> Option<&Buffer> {
        self.slots[index].remote.as_ref().map(|remote| &remote.buffer)
    }

    /// Says that a program has changed a slot on the device.
    pub(crate) fn written_on_device(&mut self, index: usize) {
        self.slots[index].host.take();
    }
}

fn initial_tensor(name: &str, ty: &TensorType, initial: &Initial, seed: u64) -> Tensor {
    // Each name has a random stream of its own.
    let stream = Stream { seed, stream: fnv(name.as_bytes()), step: 0 };
    let n = ty.elements();
    debug_assert!(ty.dtype != DType::I32 || matches!(initial, Initial::Constant(_)));
    let values = match initial {
        Initial::Constant(value) => vec![*value; n],
        Initial::Uniform { bound } => {
            let draw = |i| (2.0 * f64::from(random::uniform(&stream, i)) - 1.0) * bound;
            (0..n as u64).map(draw).collect()
        }
        Initial::Normal { deviation } => {
            let mut draws = vec![0.0; n];
            // The scalar variant: the same start on every machine.
            let scalar = random::NORMAL.f64[random::NORMAL.f64.len() - 1].run;
            // SAFETY: the routine writes the slice it is given.
            unsafe { scalar(&stream, &mut draws) };
            draws.iter_mut().for_each(|value: &mut f64| *value *= deviation);
            draws
        }
    };
    Tensor::new(ty, &values)
}
