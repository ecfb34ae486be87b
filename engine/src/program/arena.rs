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
use speck_kernels::matmul::Taker;

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
        let mut lines: Vec<Line> = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        ask_for_large_pages(lines.as_ptr().addr(), count * Self::ALIGNMENT);
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

/// Asks the system for large pages where it gives them on request only, before the
/// memory is touched for the first time. A matrix whose rows lie 4 KiB apart has a
/// page for each; on the two-core AVX-512 server (Zen 5) products of 1024 and 2048
/// rows, columns and steps took 1.02 and 1.04 times as long without.
pub(crate) fn ask_for_large_pages(address: usize, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::{c_int, c_void};
        // SAFETY: the C library's own signature.
        unsafe extern "C" {
            fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
        }
        const LARGE: usize = 1 << 21;
        const MADV_HUGEPAGE: c_int = 14;
        let (start, end) = (address.next_multiple_of(LARGE), (address + bytes) / LARGE * LARGE);
        if start < end {
            // SAFETY: advice on how to back memory that is reserved; it changes no
            // value, and a refusal changes nothing.
            unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (address, bytes);
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
    pub(crate) taker: Option<&'a dyn Taker>,
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

    /// Who takes parts of the output that are done, once each, if there is anybody:
    /// the call will neither read nor write them any more.
    pub fn taker(&self) -> Option<&'a dyn Taker> {
        self.taker
    }

    /// The output as a pointer, of which parts are worked on by others once they
    /// are [handed over](Arguments::taker), or null where the output has no memory;
    /// and the scratch memory.
    pub fn into_output_pointer_and_scratch<T: Element>(self) -> (*mut T, &'a mut [T]) {
        assert_eq!(self.output.dtype, T::DTYPE, "a kernel writes a tensor as another type");
        let pointer = self.output.address.cast();
        (pointer, self.own_scratch())
    }

    fn own_scratch<T: Element>(&self) -> &'a mut [T] {
        let elements = self.scratch.elements / size_of::<T>();
        let scratch = View { dtype: T::DTYPE, elements, ..self.scratch };
        // SAFETY: scratch is memory of its own, zeroed when the program was made, and
        // any bits are a valid `T`. Callers take the arguments, so there is one slice.
        unsafe { scratch.write() }
    }

    /// The output and the scratch memory, which holds whole elements of `T`.
    pub fn into_output_and_scratch<T: Element>(self) -> (&'a mut [T], &'a mut [T]) {
        let scratch = self.own_scratch();
        // SAFETY: as for `into_output`.
        (unsafe { self.output.write() }, scratch)
    }
}
