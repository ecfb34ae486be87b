//! The tensors that outlive a run.

use crate::dtype::DType;
use crate::graph::Graph;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::random::{self, Stream};
use std::sync::atomic::{AtomicU64, Ordering};
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
    slots: Vec<(String, Tensor)>,
    /// Changes whenever slots come or go, so that programs know when to look
    /// their slots up again.
    layout: u64,
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

impl Clone for State {
    fn clone(&self) -> Self {
        State { slots: self.slots.clone(), layout: next_layout() }
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
            if self.get(&slot.name).is_none() {
                let tensor = initial_tensor(&slot.name, &slot.ty, &slot.initial, seed);
                self.slots.push((slot.name, tensor));
            }
        }
        self.layout = next_layout();
    }

    /// The slots with their names, without hidden ones.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let all = self.slots.iter().map(|(name, tensor)| (name.as_str(), tensor));
        all.filter(|(name, _)| !name.starts_with(State::HIDDEN))
    }

    /// A slot's value.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.slots.iter().find(|(slot, _)| slot == name).map(|(_, tensor)| tensor)
    }

    /// A slot's value for writing.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.slots.iter_mut().find(|(slot, _)| slot == name).map(|(_, tensor)| tensor)
    }

    /// Replaces a slot's value.
    ///
    /// # Errors
    /// No such slot, or another type.
    pub fn set(&mut self, name: &str, value: Tensor) -> Result<(), StateError> {
        let slot = self.get_mut(name).ok_or_else(|| StateError::Missing(name.to_owned()))?;
        if slot.ty() != value.ty() {
            return Err(StateError::Type {
                name: name.to_owned(),
                found: slot.ty().to_string(),
                wanted: value.ty().to_string(),
            });
        }
        // The values are copied into the slot's own memory: programs hold its address.
        slot.bytes_mut().copy_from_slice(value.bytes());
        Ok(())
    }

    /// Exchanges the values of two slots of one type; where there are no such two,
    /// nothing.
    pub fn exchange(&mut self, a: &str, b: &str) {
        let place = |name: &str| self.slots.iter().position(|(slot, _)| slot == name);
        let (Some(a), Some(b)) = (place(a), place(b)) else { return };
        let (low, high) = (a.min(b), a.max(b));
        let (head, tail) = self.slots.split_at_mut(high);
        if let (Some((_, first)), Some((_, second))) = (head.get_mut(low), tail.first_mut())
            && first.ty() == second.ty()
        {
            // The values, not the memory: programs hold its address.
            first.bytes_mut().swap_with_slice(second.bytes_mut());
        }
    }

    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    pub(crate) fn index_of(&self, name: &str, ty: &TensorType) -> Result<usize, StateError> {
        let index = self.slots.iter().position(|(slot, _)| slot == name);
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
        let found = self.slots[index].1.ty();
        if found == ty {
            return Ok(());
        }
        Err(StateError::Type {
            name: name.to_owned(),
            found: found.to_string(),
            wanted: ty.to_string(),
        })
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut Tensor {
        &mut self.slots[index].1
    }
}

fn initial_tensor(name: &str, ty: &TensorType, initial: &Initial, seed: u64) -> Tensor {
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

/// FNV-1a (Fowler, Noll and Vo), 64 bits: gives each name its random stream,
/// and large constants a name in prints.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
