//! A shape with reduced and kept dimensions as two sets of axes, in arrays of
//! fixed size, so that a kernel needs no allocation.

use super::{Dim, MAX_DIMS};

/// Some of the axes of a row-major array, outermost first.
#[derive(Clone, Copy)]
pub struct Axes {
    len: usize,
    sizes: [usize; MAX_DIMS],
    strides: [usize; MAX_DIMS],
}

impl Axes {
    const NONE: Axes = Axes { len: 0, sizes: [1; MAX_DIMS], strides: [0; MAX_DIMS] };

    /// How many positions there are: 1 for no axes.
    pub fn count(&self) -> usize {
        self.sizes[..self.len].iter().product()
    }

    /// The offset of a position, counted row-major.
    pub fn offset(&self, mut position: usize) -> usize {
        let mut offset = 0;
        for axis in (1..self.len).rev() {
            offset += position % self.sizes[axis] * self.strides[axis];
            position /= self.sizes[axis];
        }
        // The outermost axis (stride 0 where there is none) needs no division.
        offset + position * self.strides[0]
    }

    /// Takes the innermost axis off: its size and stride, or one position where
    /// there is no axis.
    pub fn pop(&mut self) -> (usize, usize) {
        if self.len == 0 {
            return (1, 0);
        }
        self.len -= 1;
        let (size, stride) = (self.sizes[self.len], self.strides[self.len]);
        (self.sizes[self.len], self.strides[self.len]) = (1, 0);
        (size, stride)
    }

    fn push_front(&mut self, size: usize, stride: usize) {
        assert!(self.len < MAX_DIMS, "a reduction over more than {MAX_DIMS} dimensions");
        self.sizes.copy_within(0..self.len, 1);
        self.strides.copy_within(0..self.len, 1);
        (self.sizes[0], self.strides[0]) = (size, stride);
        self.len += 1;
    }
}

/// The axes of a reduction's input.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The output's axes.
    pub kept: Axes,
    /// The axes that are reduced.
    pub reduced: Axes,
    /// Whether neighbours in memory belong to the same output.
    pub rows: bool,
}

impl Layout {
    /// Axes of size 1 vanish and neighbours of the same kind become one.
    pub fn new(dims: &[Dim]) -> Layout {
        let (mut kept, mut reduced) = (Axes::NONE, Axes::NONE);
        let mut stride = 1;
        // The kind of the axis last pushed, and of the innermost one.
        let (mut last, mut innermost) = (None, None);
        for dim in dims.iter().rev().filter(|dim| dim.size != 1) {
            let axes = if dim.reduced { &mut reduced } else { &mut kept };
            if last == Some(dim.reduced) {
                axes.sizes[0] *= dim.size;
            } else {
                axes.push_front(dim.size, stride);
            }
            last = Some(dim.reduced);
            innermost = innermost.or(last);
            stride *= dim.size;
        }
        Layout { kept, reduced, rows: innermost.unwrap_or(false) }
    }
}
