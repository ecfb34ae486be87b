//! Programs on the processor: steps over views of one arena and of the state's slots.

use super::arena::{Arguments, Memory, View};
use super::group::Group;
use super::head::Head;
use super::{Port, RunError};
use crate::dtype::Element;
use crate::op::Routine;
use crate::shape::TensorType;
use crate::state::State;
use speck_kernels::team::with_helpers;
use std::time::Instant;

pub(super) enum Step {
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

/// A view that lies in a slot of the state.
pub(super) struct Inside {
    pub view: usize,
    /// Bytes from the slot's beginning.
    pub offset: usize,
    pub elements: usize,
}

/// For each slot used: its name and type, and the views that lie in it.
pub(super) type Slots = Vec<(String, TensorType, Vec<Inside>)>;

/// A compiled graph on the processor.
pub(super) struct Executor {
    steps: Vec<Step>,
    views: Vec<View>,
    /// The arena, then inputs and constants.
    memory: Memory,
    arena_bytes: usize,
    /// Whether the arena part, the outputs of nodes, is poisoned before a run.
    poison: bool,
    scratch: View,
    slots: Slots,
    /// The layout of the state the views point into.
    bound: Option<u64>,
    slot_of: Vec<usize>,
}

impl Executor {
    pub fn new(
        steps: Vec<Step>,
        (views, scratch): (Vec<View>, View),
        (memory, arena_bytes): (Memory, usize),
        slots: Slots,
        poison: bool,
    ) -> Self {
        let (bound, slot_of) = (None, Vec::new());
        Executor { steps, views, memory, arena_bytes, poison, scratch, slots, bound, slot_of }
    }

    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    pub fn run(&mut self, state: &mut State) -> Result<(), RunError> {
        self.bind(state)?;
        self.prepare();
        with_helpers(|| {
            for step in &self.steps {
                execute(step, &self.views, self.scratch);
            }
        });
        Ok(())
    }

    /// Runs once; gives the seconds of each step.
    pub fn run_timed(&mut self, state: &mut State) -> Result<Vec<f64>, RunError> {
        self.bind(state)?;
        self.prepare();
        let time = |step| {
            let start = Instant::now();
            execute(step, &self.views, self.scratch);
            start.elapsed().as_secs_f64()
        };
        Ok(with_helpers(|| self.steps.iter().map(time).collect()))
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

    /// The values of an input of this type, for writing.
    pub fn input_mut<T: Element>(&mut self, port: &Port) -> &mut [T] {
        // SAFETY: an input's memory belongs to it alone, and `&mut self` is held.
        unsafe { self.views[port.view].write() }
    }

    pub fn input_bytes_mut(&mut self, port: &Port) -> &mut [u8] {
        if port.ty.elements() == 0 {
            return &mut [];
        }
        let address = self.views[port.view].address;
        // SAFETY: as in `input_mut`; bytes have no alignment or validity needs.
        unsafe { std::slice::from_raw_parts_mut(address, port.ty.bytes()) }
    }

    /// The values of an output of this type as the last run left them.
    pub fn output<T: Element>(&self, port: &Port) -> &[T] {
        // SAFETY: an output's memory is not reused, and nothing runs while
        // `&self` is held. Outputs never lie in the state.
        unsafe { self.views[port.view].read() }
    }

    pub fn output_bytes(&self, port: &Port) -> &[u8] {
        if port.ty.elements() == 0 {
            return &[];
        }
        // SAFETY: as in `output`; the bytes of any tensor can be read.
        unsafe { std::slice::from_raw_parts(self.views[port.view].address, port.ty.bytes()) }
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
