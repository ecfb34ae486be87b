//! Where windows lie, and the windows behind a layer.

use super::alike::Alike;
use crate::graph::{Graph, GraphError, NodeId};
use speck_kernels::window::OriginAxis;
use std::ops::Range;
use std::rc::Rc;

/// Windows and where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The specks' positions, i32 [samples, slots, 2].
    pub positions: NodeId,
    /// The positions at which any of a speck is seen.
    pub seen: [Range<i32>; 2],
    pub axes: [OriginAxis; 2],
    /// Height and width.
    pub size: [usize; 2],
    /// Of windows that stand for those of several samples each: which.
    pub alike: Option<Rc<Alike>>,
}

/// What a moving rectangle of taps reaches along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    pub taps: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Taps {
    /// From the first tap to the last.
    pub fn extent(self) -> usize {
        self.dilation * (self.taps - 1) + 1
    }

    /// How many outputs a map of `size` gives, without rounding up.
    pub fn outputs(self, size: usize) -> usize {
        (size + 2 * self.padding)
            .checked_sub(self.extent())
            .map_or(0, |room| room / self.stride + 1)
    }

    /// The outputs that read some of these places: output i reads from
    /// i·s − p to i·s − p + e − 1.
    pub fn readers(self, places: Range<i32>) -> Range<i32> {
        let [stride, padding, extent] =
            [self.stride, self.padding, self.extent()].map(|size| size as i32);
        let first = (places.start + padding - extent).div_euclid(stride) + 1;
        first..(places.end - 1 + padding).div_euclid(stride) + 1
    }

    /// The outputs of the transposed layer that some of these places reach.
    pub fn reached(self, places: Range<i32>) -> Range<i32> {
        let [stride, padding, extent] =
            [self.stride, self.padding, self.extent()].map(|size| size as i32);
        places.start * stride - padding..(places.end - 1) * stride - padding + extent
    }
}

/// An axis on which all windows begin at 0.
pub(super) const STILL: OriginAxis = OriginAxis { add: 0, divide: 1, multiply: 0, offset: 0 };

/// Divisors up to this are tried for a pace.
const MOST: usize = 256;

impl Place {
    /// The windows of the specks themselves.
    pub fn specks(positions: NodeId, edge: usize, screen: [usize; 2]) -> Place {
        let axis = OriginAxis { add: 0, divide: 1, multiply: 1, offset: 0 };
        let seen = screen.map(|size| 1 - edge as i32..size as i32);
        Place { positions, seen, axes: [axis; 2], size: [edge; 2], alike: None }
    }

    /// The places of the window of a speck at `position`.
    pub fn span(&self, axis: usize, position: i32) -> Range<i32> {
        let first = self.axes[axis].of(position);
        first..first + self.size[axis] as i32
    }

    /// The windows that hold what `reach` makes of the windows' places along one
    /// axis, on a map of `size` that has `up` places for `down` of the old one.
    ///
    /// Windows move by ⌊(x + a) / d⌋ · m + o with the speck's position x. The
    /// map fixes the pace m/d; a layer of stride s has windows that move by m
    /// together every d positions, m/d being reduced or not (after pooling and
    /// upsampling by 4 they move by 4 every 4 positions, and by 1 every position
    /// only if they are larger). So all forms of this pace are tried; for each,
    /// every phase a; and of each the largest o that is early enough for all
    /// positions at which a speck is seen, and the least size that is late
    /// enough. The smallest windows are best; their steps are multiples of
    /// `whole`.
    pub fn moved(
        &self,
        axis: usize,
        [up, down]: [usize; 2],
        whole: usize,
        size: usize,
        reach: impl Fn(Range<i32>) -> Range<i32>,
    ) -> (OriginAxis, usize) {
        let old = self.axes[axis];
        let pace = [old.multiply as usize * up, old.divide as usize * down];
        let spans = self.seen[axis].clone().map(|position| {
            let span = reach(self.span(axis, position));
            (position, span.start.max(0)..span.end.min(size as i32))
        });
        let spans: Vec<_> = spans.filter(|(_, span)| !span.is_empty()).collect();
        fitted(pace, whole, &spans)
    }

    /// The smallest windows that hold both.
    pub fn union(&self, other: &Place, map: [usize; 2]) -> Option<Place> {
        if self.positions != other.positions {
            return None;
        }
        let mut union = self.clone();
        for axis in 0..2 {
            let coarse =
                if self.axes[axis].divide >= other.axes[axis].divide { self } else { other };
            let still = self.axes[axis].multiply == 0 || other.axes[axis].multiply == 0;
            let OriginAxis { multiply, divide, .. } = if still { STILL } else { coarse.axes[axis] };
            let spans: Vec<_> = self.seen[axis]
                .clone()
                .filter_map(|position| {
                    let clip = |place: &Place| {
                        let span = place.span(axis, position);
                        span.start.max(0)..span.end.min(map[axis] as i32)
                    };
                    let (a, b) = (clip(self), clip(other));
                    let span = match (a.is_empty(), b.is_empty()) {
                        (true, _) => b,
                        (_, true) => a,
                        _ => a.start.min(b.start)..a.end.max(b.end),
                    };
                    (!span.is_empty()).then_some((position, span))
                })
                .collect();
            (union.axes[axis], union.size[axis]) =
                fitted([multiply as usize, divide as usize], 1, &spans);
        }
        Some(union)
    }

    pub fn origins(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        graph.window_origins(self.positions, self.axes)
    }
}

/// The smallest windows of the pace that hold the span of each position.
fn fitted(
    [up, down]: [usize; 2],
    whole: usize,
    spans: &[(i32, Range<i32>)],
) -> (OriginAxis, usize) {
    let common = common_divisor(up, down).max(1);
    let (up, down) = (up / common, down / common);
    let mut best = (STILL, usize::MAX);
    for times in (1..=common)
        .filter(|times| common.is_multiple_of(*times) && (*times == 1 || times * down <= MOST))
    {
        let (multiply, divide) = ((up * times) as i32, (down * times) as i32);
        if multiply % whole as i32 != 0 {
            continue;
        }
        for add in 0..divide {
            let step = |position: i32| (position + add).div_euclid(divide) * multiply;
            let offset = spans.iter().map(|(position, span)| span.start - step(*position)).min();
            let offset = offset.unwrap_or(0);
            let size = spans.iter().map(|(position, span)| span.end - step(*position) - offset);
            let size = size.max().unwrap_or(1).max(1) as usize;
            if size < best.1 {
                best = (OriginAxis { add, divide, multiply, offset }, size);
            }
        }
    }
    best
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(graph: &Graph) -> Place {
        let positions = graph.input("positions", crate::DType::I32, &[1, 1, 2]).expect("an input");
        Place::specks(positions, 1, [32, 32])
    }

    fn follow(place: &Place, taps: Taps, size: usize) -> Place {
        let mut next = place.clone();
        for axis in 0..2 {
            let moved = place
                .moved(axis, [1, taps.stride], 1, taps.outputs(size), |span| taps.readers(span));
            (next.axes[axis], next.size[axis]) = moved;
        }
        next
    }

    #[test]
    fn convolutions_and_poolings_make_the_smallest_windows() {
        let graph = Graph::new(crate::DType::F32);
        let same = Taps { taps: 3, stride: 1, padding: 1, dilation: 1 };
        let pool = Taps { taps: 2, stride: 2, padding: 0, dilation: 1 };
        let a = follow(&place(&graph), same, 32);
        assert_eq!(a.size, [3, 3]);
        let b = follow(&a, pool, 32);
        // Three places meet two or, if they begin at an odd one, two cells.
        assert_eq!(b.size, [2, 2]);
        assert_eq!(follow(&b, same, 16).size, [4, 4]);
        // Every window holds what the layer reaches.
        for position in 0..32 {
            let span = pool.readers(a.span(0, position));
            let held = b.span(0, position);
            assert!(held.start <= span.start.max(0) && held.end >= span.end.min(16));
        }
    }

    #[test]
    fn down_and_up_again_moves_in_steps() {
        let graph = Graph::new(crate::DType::F32);
        let pool = Taps { taps: 4, stride: 4, padding: 0, dilation: 1 };
        let low = follow(&place(&graph), pool, 32);
        let mut up = low.clone();
        for axis in 0..2 {
            let moved = low.moved(axis, [4, 1], 4, 32, |span| span.start * 4..span.end * 4);
            (up.axes[axis], up.size[axis]) = moved;
        }
        assert_eq!(up.size, [4, 4]);
        assert_eq!(up.axes[0], OriginAxis { add: 0, divide: 4, multiply: 4, offset: 0 });
        let specks = Place::specks(low.positions, 1, [32, 32]);
        let both = up.union(&specks, [32, 32]).expect("a union");
        assert_eq!(both.size, [4, 4]);
    }
}
