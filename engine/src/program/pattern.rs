//! How a stretched operand is read as the elements of a tile go by.

use crate::shape::broadcast_strides;
use speck_kernels::Real;
use speck_kernels::reduce::Dim;

/// Outer dimensions whose places are counted on from run to run.
const MOST_COUNTED: usize = 6;

/// For each position in a row-major array, the element of a smaller (or equal)
/// array that belongs to it: dimensions, outermost first, with the step that
/// the smaller array takes along them.
///
/// An element-wise op reads an input that broadcasts this way; a sum writes
/// its output this way, with step 0 along the dimensions it reduces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    dims: Vec<(usize, usize)>,
}

impl Pattern {
    /// An array of shape `from` stretched to `to`.
    pub fn broadcast(from: &[usize], to: &[usize]) -> Self {
        let strides = broadcast_strides(from, to);
        Self::new(to.iter().copied().zip(strides.into_iter().map(|stride| stride as usize)))
    }

    /// The output of a reduction, as seen from its input.
    pub fn reduced(dims: &[Dim]) -> Self {
        let mut stride = 1;
        let mut pattern = Vec::new();
        for dim in dims.iter().rev() {
            pattern.push((dim.size, if dim.reduced { 0 } else { stride }));
            stride *= if dim.reduced { 1 } else { dim.size };
        }
        pattern.reverse();
        Self::new(pattern.into_iter())
    }

    /// Drops dimensions of size 1 and merges neighbours that are walked in one.
    fn new(dims: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (size, stride) in dims.filter(|(size, _)| *size != 1) {
            match merged.last_mut() {
                Some((outer, step)) if *step == stride * size => {
                    (*outer, *step) = (*outer * size, stride);
                }
                _ => merged.push((size, stride)),
            }
        }
        if merged.is_empty() {
            merged.push((1, 1));
        }
        Pattern { dims: merged }
    }

    /// Whether position and element are the same throughout.
    pub fn is_full(&self) -> bool {
        matches!(self.dims.as_slice(), [(_, 1)])
    }

    /// Whether there is one element only.
    pub fn is_single(&self) -> bool {
        matches!(self.dims.as_slice(), [(_, 0)])
    }

    /// The innermost dimension: how many positions, and whether each has an
    /// element of its own (1) or all share one (0).
    pub fn inner(&self) -> (usize, usize) {
        self.dims[self.dims.len() - 1]
    }

    /// Whether each element belongs to one run of positions, in order.
    pub fn is_rows(&self) -> bool {
        matches!(self.dims.as_slice(), [(_, 1), (_, 0)])
    }

    /// The length after which a pattern repeats, where it is a row that is
    /// repeated.
    pub fn period(&self) -> Option<usize> {
        match self.dims.as_slice() {
            [(_, 0), (size, 1)] => Some(*size),
            _ => None,
        }
    }

    /// The element at `position`, and for how many positions from there the
    /// innermost dimension goes on.
    pub fn at(&self, position: usize) -> (usize, usize) {
        if let [(size, stride)] = self.dims.as_slice() {
            return (position * stride, size - position);
        }
        let (size, stride) = self.inner();
        let first = position % size;
        let mut rest = position / size;
        let mut element = first * stride;
        for (size, stride) in self.dims[1..self.dims.len() - 1].iter().rev() {
            element += rest % size * stride;
            rest /= size;
        }
        (element + rest * self.dims[0].1, size - first)
    }

    /// Calls `visit` with the element, the place in the range, and the length
    /// of each run of the `n` positions from `start` on.
    #[inline]
    pub fn runs(&self, start: usize, n: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let outer = &self.dims[..self.dims.len() - 1];
        if outer.len() > MOST_COUNTED {
            let mut done = 0;
            while done < n {
                let (element, left) = self.at(start + done);
                let length = left.min(n - done);
                visit(element, done, length);
                done += length;
            }
            return;
        }
        // The outer dimensions are counted on: dividing anew for each run took
        // longer than what was done with it, for runs of 32 elements.
        let (size, stride) = self.inner();
        let mut rest = start / size;
        let mut counts = [0; MOST_COUNTED];
        let mut row = 0;
        for (count, (size, stride)) in counts.iter_mut().zip(outer).rev() {
            (*count, rest) = (rest % size, rest / size);
            row += *count * stride;
        }
        let (mut first, mut done) = (start % size, 0);
        while done < n {
            let length = (size - first).min(n - done);
            visit(row + first * stride, done, length);
            (first, done) = (0, done + length);
            for (count, (size, stride)) in counts.iter_mut().zip(outer).rev() {
                (*count, row) = (*count + 1, row + stride);
                if *count < *size {
                    break;
                }
                (*count, row) = (0, row - size * stride);
            }
        }
    }

    /// Writes the elements of the `n` positions from `start` on.
    ///
    /// # Safety
    /// `from` is valid for the elements of the pattern, `to` for `n`.
    pub unsafe fn spread<T: Real>(&self, from: *const T, start: usize, n: usize, to: *mut T) {
        let step = self.inner().1;
        self.runs(start, n, |element, done, length| {
            // SAFETY: runs stay inside the range, elements inside the array.
            unsafe {
                let (from, to) = (from.add(element), to.add(done));
                if step == 1 {
                    std::ptr::copy_nonoverlapping(from, to, length);
                } else {
                    std::slice::from_raw_parts_mut(to, length).fill(*from);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(from: &[usize], to: &[usize]) -> Vec<(usize, usize)> {
        Pattern::broadcast(from, to).dims
    }

    #[test]
    fn dimensions_walked_in_one_are_merged() {
        assert_eq!(dims(&[2, 3, 4], &[2, 3, 4]), [(24, 1)]);
        assert_eq!(dims(&[], &[2, 3]), [(6, 0)]);
        assert_eq!(dims(&[1, 3, 1, 1], &[2, 3, 4, 5]), [(2, 0), (3, 1), (20, 0)]);
        assert_eq!(dims(&[3, 1], &[3, 5]), [(3, 1), (5, 0)]);
        assert_eq!(dims(&[5], &[2, 3, 5]), [(6, 0), (5, 1)]);
        assert_eq!(dims(&[], &[]), [(1, 1)]);
        assert_eq!(dims(&[1, 1], &[1, 1]), [(1, 1)]);
        assert!(Pattern::broadcast(&[0, 3], &[0, 3]).is_full());
    }

    #[test]
    fn every_position_finds_its_element() {
        let shapes: [(&[usize], &[usize]); 6] = [
            (&[1, 3, 1, 2], &[2, 3, 4, 2]),
            (&[4, 1], &[3, 4, 5]),
            (&[3, 1, 2], &[3, 4, 2]),
            (&[2, 1, 3, 1], &[2, 4, 3, 5]),
            (&[7], &[3, 7]),
            (&[], &[9]),
        ];
        for (from, to) in shapes {
            let pattern = Pattern::broadcast(from, to);
            let strides = broadcast_strides(from, to);
            let total: usize = to.iter().product();
            let values: Vec<f64> = (0..from.iter().product()).map(|i| i as f64).collect();
            for start in 0..total {
                let mut found = vec![f64::NAN; total - start];
                // SAFETY: the arrays have the sizes of the shapes.
                unsafe {
                    pattern.spread(values.as_ptr(), start, total - start, found.as_mut_ptr())
                };
                for (i, found) in found.iter().enumerate() {
                    let (mut rest, mut element) = (start + i, 0);
                    for (size, stride) in to.iter().zip(&strides).rev() {
                        element += rest % size * *stride as usize;
                        rest /= size;
                    }
                    assert_eq!(*found, element as f64, "{from:?} {to:?} at {}", start + i);
                }
            }
        }
    }

    #[test]
    fn a_reduction_is_a_broadcast_seen_from_the_other_side() {
        let dim = |size, reduced| Dim { size, reduced };
        let channels = Pattern::reduced(&[dim(2, true), dim(3, false), dim(20, true)]);
        assert_eq!(channels, Pattern::broadcast(&[1, 3, 1, 1], &[2, 3, 4, 5]));
        let rows = Pattern::reduced(&[dim(4, false), dim(6, true)]);
        assert!(rows.is_rows() && rows.inner() == (6, 0));
        assert_eq!(Pattern::reduced(&[dim(4, true), dim(6, false)]).period(), Some(6));
        assert!(Pattern::reduced(&[dim(7, true)]).is_single());
    }
}
