//! Slices that begin anywhere in a cache line, and what lies beside them.

use speck_kernels::storage::Storage;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt::Debug;
use std::ops::Range;
use std::ptr::NonNull;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Where slices begin, and what is behind them: see [`Memory::poisoned`].
pub const SHIFTS: Range<usize> = 0..LINE;

/// What slices consist of.
pub trait Element: Copy + PartialEq + Debug {
    /// What lies beside a slice, and in it before a kernel runs.
    const POISON: Self;

    /// Whether two results are the same.
    fn is_same(self, other: Self) -> bool {
        self == other
    }
}

impl Element for f32 {
    const POISON: f32 = -7.75e33;

    /// All NaNs are; zeros of different signs are not.
    fn is_same(self, other: f32) -> bool {
        self.to_bits() == other.to_bits() || (self.is_nan() && other.is_nan())
    }
}

impl Element for u16 {
    const POISON: u16 = 0xdead;
}

impl Element for i32 {
    const POISON: i32 = -0x3eed_beef;
}

impl Element for u32 {
    const POISON: u32 = 0xdead_beef;
}

impl Element for u64 {
    const POISON: u64 = 0xdead_beef_dead_beef;
}

/// Memory with a slice in it. What is beside the slice is to stay as it is, and is
/// looked at when the memory is dropped.
pub struct Memory<T: Element> {
    first: NonNull<T>,
    layout: Layout,
    slice: Range<usize>,
    /// Elements of the whole allocation.
    elements: usize,
    is_checked: bool,
}

impl<T: Element> Memory<T> {
    /// Elements in a cache line.
    const LINE: usize = LINE / size_of::<T>();

    /// With so many elements on either side, whole cache lines of them.
    fn new(length: usize, shift: usize, guards: usize) -> Self {
        let start = guards + shift % Self::LINE;
        let slice = start..start + length;
        // Nothing cannot be allocated.
        let elements = (slice.end + guards).max(1);
        let layout = Layout::array::<T>(elements).and_then(|layout| layout.align_to(LINE));
        let layout = layout.expect("a few elements");
        // SAFETY: it is not empty.
        let Some(first) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        let first = first.cast::<T>();
        for i in 0..elements {
            // SAFETY: so many were allocated.
            unsafe { first.add(i).write(T::POISON) };
        }
        Memory { first, layout, slice, elements, is_checked: false }
    }

    /// A slice of poison that begins `shift` elements after a cache line. Shifts
    /// beyond a line begin as those within, and of them every other line's worth ends
    /// where the allocation does: only then a checker sees what is read or written
    /// behind the slice, and only otherwise a test without one sees it.
    pub fn poisoned(length: usize, shift: usize) -> Self {
        let is_exact = !(shift / Self::LINE).is_multiple_of(2);
        Memory::new(length, shift, if is_exact { 0 } else { 2 * Self::LINE })
    }

    /// An input: nothing is to be written to it, so that it always ends where its
    /// allocation does.
    pub fn input(length: usize, shift: usize, mut value: impl FnMut(usize) -> T) -> Self {
        let mut memory = Memory::new(length, shift, 0);
        memory.slice_mut().iter_mut().enumerate().for_each(|(i, to)| *to = value(i));
        memory
    }

    /// An input of these values.
    pub fn of(values: &[T], shift: usize) -> Self {
        Memory::input(values.len(), shift, |i| values[i])
    }

    pub fn len(&self) -> usize {
        self.slice.len()
    }

    fn all(&self) -> &[T] {
        // SAFETY: all were written when they were allocated; `&self` borrows them.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.elements) }
    }

    pub fn slice(&self) -> &[T] {
        &self.all()[self.slice.clone()]
    }

    pub fn slice_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and inside.
        unsafe {
            let first = self.first.add(self.slice.start);
            std::slice::from_raw_parts_mut(first.as_ptr(), self.slice.len())
        }
    }

    /// Whether nothing beside the slice was written; it is not looked at again.
    pub fn is_whole(&mut self) -> bool {
        self.is_checked = true;
        let (before, after) = (&self.all()[..self.slice.start], &self.all()[self.slice.end..]);
        before.iter().chain(after).all(|value| *value == T::POISON)
    }
}

impl<T: Element> Drop for Memory<T> {
    fn drop(&mut self) {
        let is_whole = self.is_checked || self.is_whole();
        // SAFETY: allocated with that layout, and not used any more.
        unsafe { dealloc(self.first.as_ptr().cast(), self.layout) };
        assert!(is_whole || std::thread::panicking(), "written beside scratch memory");
    }
}

/// Random numbers: xorshift (Marsaglia, 2003).
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Of 0..`end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 20) % end as u64) as usize
    }

    /// In −2..2, with a zero now and then.
    fn value(&mut self) -> f32 {
        let state = self.next();
        let unit = (state >> 40) as f32 / (1u64 << 24) as f32;
        if state.is_multiple_of(13) { 0.0 } else { 4.0 * unit - 2.0 }
    }
}

/// Values of which much has to be said.
const SPECIAL: [f32; 10] = [
    f32::NAN,
    -f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    f32::MIN_POSITIVE / 2.0,
    -f32::MIN_POSITIVE / 3.0,
];

impl Memory<f32> {
    /// Values in −2..2 that depend on the seed, with a zero now and then.
    pub fn random(length: usize, shift: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Memory::input(length, shift, |_| draw.value())
    }

    /// The same in quarters: many are equal, and sums of a few of their products are
    /// exact.
    pub fn quarters(length: usize, shift: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Memory::input(length, shift, |_| (4.0 * draw.value()).round() / 4.0)
    }

    /// Values with special ones among them, or, for one seed in four, without; half of
    /// the seeds give quarters.
    pub fn special(length: usize, shift: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let (has_some, are_quarters) = (draw.below(4) > 0, draw.below(2) == 0);
        // From every third to a few in all.
        let rarity = [3, 10, 100][draw.below(3)];
        Memory::input(length, shift, |_| {
            let value = draw.value();
            if has_some && draw.below(rarity) == 0 {
                SPECIAL[draw.below(SPECIAL.len())]
            } else if are_quarters {
                (4.0 * value).round() / 4.0
            } else {
                value
            }
        })
    }
}

impl Memory<u16> {
    /// What [`Memory::random`] holds, as it is stored.
    pub fn stored(storage: Storage, length: usize, shift: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Memory::input(length, shift, |_| storage.store(draw.value()))
    }
}

impl Memory<i32> {
    /// Indices of 0..`end`, with some outside on either side.
    pub fn indices(length: usize, shift: usize, end: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Memory::input(length, shift, |_| draw.below(end + 2) as i32 - 1)
    }
}
