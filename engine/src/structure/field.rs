//! Structured values: a base, and windows in which samples differ from it.

use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::ops::TileShape;
use speck_kernels::rows::Classes;
use speck_kernels::window::OriginAxis;
use std::sync::Arc;

/// Where windows begin, along one axis, for a speck at p: ⌊(p + add) / divide⌋.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub add: i32,
    /// The product of the strides so far.
    pub divide: i32,
}

impl Axis {
    fn origin(self, position: i32) -> i32 {
        (position + self.add).div_euclid(self.divide)
    }

    /// ⌊(p + add) / divide⌋ · multiply + offset.
    pub fn scaled(self, multiply: usize, offset: i32) -> OriginAxis {
        OriginAxis { add: self.add, divide: self.divide, multiply: multiply as i32, offset }
    }
}

/// Windows and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The specks' positions, i32 [samples, slots, 2].
    pub positions: NodeId,
    pub axes: [Axis; 2],
    /// Height and width.
    pub size: [usize; 2],
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
}

impl Place {
    /// The windows of all outputs that read some place of these windows, along
    /// one axis.
    ///
    /// Output i reads places i·s − p to i·s − p + e − 1. It reads the window
    /// [o, o + n) if i·s − p + e − 1 ≥ o and i·s − p ≤ o + n − 1. The first such
    /// i is ⌈(o + p − e + 1) / s⌉ = ⌊(o + c) / s⌋ with c = p − e + s, and since
    /// o = ⌊(x + a) / d⌋ this is ⌊(x + a + c·d) / (d·s)⌋: of the same form. How
    /// many there are depends on x modulo d·s only; the most count.
    pub fn grown(&self, axis: usize, taps: Taps) -> (Axis, usize) {
        let Axis { add, divide } = self.axes[axis];
        let (stride, padding) = (taps.stride as i32, taps.padding as i32);
        let shift = padding - taps.extent() as i32 + stride;
        let grown = Axis { add: add + shift * divide, divide: divide * stride };
        let reach = self.size[axis] as i32 - 1 + padding;
        let count = |position: i32| {
            let last = (self.axes[axis].origin(position) + reach).div_euclid(stride);
            last - grown.origin(position) + 1
        };
        let most = (0..grown.divide).map(count).max().unwrap_or(1).max(1);
        (grown, most as usize)
    }

    /// The smallest windows that hold both, if they move at one pace.
    fn union(&self, other: &Place) -> Option<Place> {
        if self.positions != other.positions {
            return None;
        }
        let mut union = *self;
        for axis in 0..2 {
            let (a, b) = (self.axes[axis], other.axes[axis]);
            if a.divide != b.divide {
                return None;
            }
            // Origins are monotonous in `add`.
            let first = Axis { add: a.add.min(b.add), divide: a.divide };
            let end = |position| {
                let a = a.origin(position) + self.size[axis] as i32;
                a.max(b.origin(position) + other.size[axis] as i32)
            };
            let most = (0..a.divide).map(|position| end(position) - first.origin(position)).max();
            union.axes[axis] = first;
            union.size[axis] = most.unwrap_or(1) as usize;
        }
        Some(union)
    }

    pub fn origins(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        graph.window_origins(self.positions, self.axes.map(|axis| axis.scaled(1, 0)))
    }
}

/// The shape under which a field is known to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// [samples, channels, height, width].
    Map,
    /// [samples, channels, height · width].
    Planes,
    /// [samples, channels · height · width].
    Flat,
}

/// A structured value.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// [1 or samples, channels, rows, columns].
    pub base: NodeId,
    /// The base's row for each row of the map, and its column for each column.
    pub classes: [Arc<[u32]>; 2],
    /// [samples, slots, height, width, channels].
    pub patch: NodeId,
    pub place: Place,
    pub view: View,
}

impl Field {
    /// The field of a `render` node.
    pub fn render(graph: &Graph, node: &Node, size: usize) -> Result<Option<Field>, GraphError> {
        let [positions, colours, background] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let shape = graph.shape(background);
        let base = graph.reshape(background, &[shape[0], shape[1], 1, 1])?;
        let patch = graph.render_windows(positions, colours, size)?;
        let one_class = |axis: usize| vec![0; node.ty.shape[axis]].into();
        let axis = Axis { add: 0, divide: 1 };
        Ok(Some(Field {
            base,
            classes: [one_class(2), one_class(3)],
            patch,
            place: Place { positions, axes: [axis; 2], size: [size; 2] },
            view: View::Map,
        }))
    }

    pub fn map(&self) -> [usize; 2] {
        [self.classes[0].len(), self.classes[1].len()]
    }

    /// Samples, and windows a sample.
    pub fn slots(&self, graph: &Graph) -> [usize; 2] {
        let shape = graph.shape(self.place.positions);
        [shape[0], shape[1]]
    }

    pub fn channels(&self, graph: &Graph) -> usize {
        graph.shape(self.base)[1]
    }

    /// Which value of the base (channels last) each position of the map has.
    pub fn position_classes(&self, graph: &Graph) -> Classes {
        let [rows, width] = [2, 3].map(|axis| graph.shape(self.base)[axis]);
        let columns = &self.classes[1];
        let of = self.classes[0]
            .iter()
            .flat_map(|row| columns.iter().map(move |column| row * width as u32 + column));
        Classes { of: of.collect(), count: rows * width }
    }

    /// The shape under which the graph knows it.
    pub fn shape(&self, graph: &Graph) -> Vec<usize> {
        let ([samples, _], channels, [height, width]) =
            (self.slots(graph), self.channels(graph), self.map());
        match self.view {
            View::Map => vec![samples, channels, height, width],
            View::Planes => vec![samples, channels, height * width],
            View::Flat => vec![samples, channels * height * width],
        }
    }

    /// The field under another shape, if it is one of the three.
    pub fn reshaped(&self, graph: &Graph, shape: &[usize]) -> Option<Field> {
        [View::Map, View::Planes, View::Flat]
            .map(|view| Field { view, ..self.clone() })
            .into_iter()
            .find(|field| field.shape(graph) == shape)
    }

    /// The base with channels last, as windows are.
    fn base_channels_last(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        graph.permute(self.base, &[0, 2, 3, 1])
    }

    fn tile_shape(&self, size: [usize; 2], negative: bool) -> TileShape {
        TileShape { classes: self.classes.clone(), size, negative }
    }

    /// The values on rectangles of `size` that begin at `starts` [samples, tiles, 2].
    pub fn tile_at(
        &self,
        graph: &Graph,
        starts: NodeId,
        size: [usize; 2],
        negative: bool,
    ) -> Result<NodeId, GraphError> {
        let base = self.base_channels_last(graph)?;
        let origins = self.place.origins(graph)?;
        graph.window_tile(base, self.patch, origins, starts, &self.tile_shape(size, negative))
    }

    /// The values on one rectangle of `size` a window, at these origins.
    pub fn tile(
        &self,
        graph: &Graph,
        axes: [OriginAxis; 2],
        size: [usize; 2],
        negative: bool,
    ) -> Result<NodeId, GraphError> {
        let starts = graph.window_origins(self.place.positions, axes)?;
        self.tile_at(graph, starts, size, negative)
    }

    /// The base's values on the windows of `place`.
    pub fn base_on(&self, graph: &Graph, place: &Place) -> Result<NodeId, GraphError> {
        let [samples, slots] = self.slots(graph);
        let base = self.base_channels_last(graph)?;
        let nothing = graph.zeros(&[samples, slots, 0, 0, self.channels(graph)])?;
        let origins = place.origins(graph)?;
        let shape = self.tile_shape(place.size, false);
        graph.window_tile(base, nothing, origins, origins, &shape)
    }

    /// By how much the sample differs from the base in its windows, each
    /// position once: 0 beyond the border and where an earlier window counts it.
    pub fn difference(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        let below = self.base_on(graph, &self.place)?;
        let difference = graph.sub(self.patch, below)?;
        let origins = self.place.origins(graph)?;
        let owned = graph.window_mask(origins, self.place.size, self.map(), true)?;
        // Beyond the border the windows hold anything, and 0 · ∞ would be NaN.
        let zero = graph.scalar(0.0)?;
        graph.select(owned, difference, zero)
    }

    /// The patch with `value` beyond the border, where nothing true stands.
    pub fn guarded(&self, graph: &Graph, value: f64) -> Result<NodeId, GraphError> {
        let origins = self.place.origins(graph)?;
        let inside = graph.window_mask(origins, self.place.size, self.map(), false)?;
        let value = graph.scalar(value)?;
        graph.select(inside, self.patch, value)
    }

    /// Fields of the same windows and the same rows and columns of their bases;
    /// `None` where windows do not move at one pace.
    pub fn aligned(graph: &Graph, fields: &[Field]) -> Result<Option<Vec<Field>>, GraphError> {
        let Some(first) = fields.first() else { return Ok(None) };
        let mut place = first.place;
        for field in &fields[1..] {
            match place.union(&field.place) {
                Some(union) => place = union,
                None => return Ok(None),
            }
        }
        let mut aligned = Vec::new();
        let classes: Vec<_> = [0, 1].map(|axis| refined(fields, axis)).into();
        for field in fields {
            let mut field = field.clone();
            if field.place != place {
                let axes = place.axes.map(|axis| axis.scaled(1, 0));
                field.patch = field.tile(graph, axes, place.size, false)?;
                field.place = place;
            }
            for axis in 0..2 {
                field = field.with_classes(graph, axis, &classes[axis])?;
            }
            aligned.push(field);
        }
        Ok(Some(aligned))
    }

    /// The field with a base of finer rows (axis 0) or columns (axis 1).
    fn with_classes(
        mut self,
        graph: &Graph,
        axis: usize,
        classes: &Arc<[u32]>,
    ) -> Result<Field, GraphError> {
        if self.classes[axis] == *classes {
            return Ok(self);
        }
        let count = classes.iter().max().map_or(0, |most| *most as usize + 1);
        let mut old = vec![0; count];
        classes
            .iter()
            .zip(self.classes[axis].iter())
            .for_each(|(new, was)| old[*new as usize] = *was);
        let picks = super::indices(graph, &old)?;
        self.base = graph.index_select(self.base, 2 + axis, picks)?;
        self.classes[axis] = classes.clone();
        Ok(self)
    }
}

/// The coarsest classes that tell apart what any of the fields tells apart,
/// numbered in the order of their first row.
fn refined(fields: &[Field], axis: usize) -> Arc<[u32]> {
    let Some(first) = fields.first() else { return Arc::from([]) };
    let keys = (0..first.classes[axis].len())
        .map(|row| fields.iter().map(|field| i64::from(field.classes[axis][row])).collect());
    classified(keys).0
}

/// Numbers for keys, equal ones for equal keys, in the order in which they first
/// occur; and the keys in that order.
pub(super) fn classified(keys: impl Iterator<Item = Vec<i64>>) -> (Arc<[u32]>, Vec<Vec<i64>>) {
    let mut known: Vec<Vec<i64>> = Vec::new();
    let number = |key: Vec<i64>| {
        let at = known.iter().position(|other| *other == key).unwrap_or_else(|| {
            known.push(key);
            known.len() - 1
        });
        at as u32
    };
    let classes: Vec<u32> = keys.map(number).collect();
    (classes.into(), known)
}
