//! The memory of a program, and the only place outside kernel files where
//! pointers become slices.
//!
//! A program computes into one arena whose layout the planner fixed, and into
//! the slots of a [`State`](crate::State). Each node's value is a [`View`]: an
//! address, a length and an element type. The planner guarantees what makes
//! the slices below sound:
//!
//! * two views overlap only if their lifetimes (in steps) do not, or one is an
//!   alias of the other, or the step is element-wise and works in place
//!   through raw pointers;
//! * a routine's output and scratch overlap none of its inputs;
//! * a view's address is aligned to 64 bytes in the arena and to its element
//!   type in the state.

use crate::dtype::{DType, Element};

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; Memory::ALIGNMENT]);

/// A block of memory that starts at a multiple of 64 bytes.
pub(crate) struct Memory {
    lines: Vec<Line>,
}

impl Memory {
    pub const ALIGNMENT: usize = 64;

    /// Zeroed memory, or `None` if the machine has not that much.
    pub fn new(bytes: usize) -> Option<Self> {
        let count = bytes.div_ceil(Self::ALIGNMENT);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        lines.resize(count, Line([0; Self::ALIGNMENT]));
        Some(Memory { lines })
    }

    /// Fills the first `bytes`, a multiple of the alignment, with `byte`.
    pub fn fill_prefix(&mut self, bytes: usize, byte: u8) {
        self.lines[..bytes / Self::ALIGNMENT].fill(Line([byte; Self::ALIGNMENT]));
    }

    pub fn base(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }
}

/// Where a value lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub address: *mut u8,
    pub elements: usize,
    pub dtype: DType,
}

// SAFETY: a view is an address into memory that its program owns or borrows
// for the length of a run; it is used only inside `Program` methods that hold
// `&mut` on the program and on the state.
unsafe impl Send for View {}
// SAFETY: as above; parts given to other threads are disjoint.
unsafe impl Sync for View {}

impl View {
    pub const NOWHERE: View =
        View { address: std::ptr::null_mut(), elements: 0, dtype: DType::F32 };

    /// The values.
    ///
    /// # Safety
    /// The view is bound, its memory is initialised, and nothing writes it
    /// during `'a`.
    pub unsafe fn read<'a, T: Element>(self) -> &'a [T] {
        assert_eq!(self.dtype, T::DTYPE, "a kernel reads a tensor as another type");
        if self.elements == 0 {
            return &[];
        }
        // SAFETY: the caller's promise, and the layout promises of this file.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.elements) }
    }

    /// The values for writing.
    ///
    /// # Safety
    /// As [`View::read`], and nothing else reads or writes it during `'a`.
    pub unsafe fn write<'a, T: Element>(self) -> &'a mut [T] {
        assert_eq!(self.dtype, T::DTYPE, "a kernel writes a tensor as another type");
        if self.elements == 0 {
            return &mut [];
        }
        // SAFETY: the caller's promise, and the layout promises of this file.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), self.elements) }
    }
}

/// What a routine works on.
pub struct Arguments<'a> {
    pub(crate) views: &'a [View],
    pub(crate) inputs: &'a [usize],
    pub(crate) output: View,
    pub(crate) scratch: View,
}

impl<'a> Arguments<'a> {
    /// The values of input `index`.
    ///
    /// # Panics
    /// If they are not of type `T`.
    pub fn input<T: Element>(&self, index: usize) -> &'a [T] {
        // SAFETY: the executor runs steps one after the other, and the planner
        // keeps a routine's inputs apart from its output and scratch.
        unsafe { self.views[self.inputs[index]].read() }
    }

    /// The values of input `index` as the bits of floats of the same size, for
    /// kernels that only move elements.
    pub fn input_bits<T: Element>(&self, index: usize) -> &'a [T] {
        let view = self.views[self.inputs[index]];
        assert_eq!(view.dtype.bytes(), size_of::<T>(), "elements of another size");
        // SAFETY: as for `input`; any bits are a valid element.
        unsafe { View { dtype: T::DTYPE, ..view }.read() }
    }

    /// The output as [`Arguments::input_bits`].
    pub fn into_output_bits<T: Element>(self) -> &'a mut [T] {
        assert_eq!(self.output.dtype.bytes(), size_of::<T>(), "elements of another size");
        // SAFETY: as for `into_output`; any bits are a valid element.
        unsafe { View { dtype: T::DTYPE, ..self.output }.write() }
    }

    /// The output. Takes the arguments, so that there is one mutable slice.
    pub fn into_output<T: Element>(self) -> &'a mut [T] {
        // SAFETY: as for `input`; the slice is handed out once.
        unsafe { self.output.write() }
    }

    /// The output and the scratch memory, which holds whole elements of `T`.
    pub fn into_output_and_scratch<T: Element>(self) -> (&'a mut [T], &'a mut [T]) {
        let scratch = View {
            dtype: T::DTYPE,
            elements: self.scratch.elements / size_of::<T>(),
            ..self.scratch
        };
        // SAFETY: as for `into_output`; scratch is memory of its own, zeroed
        // when the program was made, and any bits are a valid `T`.
        unsafe { (self.output.write(), scratch.write()) }
    }
}
