//! Structured values: a base, and windows in which samples differ from it.

use super::place::Place;
use super::view::{AXES, View};
use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::ops::TileShape;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::rows::Classes;
use speck_kernels::window::OriginAxis;
use std::collections::HashMap;
use std::sync::Arc;

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
    /// How the node that it stands for is shaped.
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
        let sizes = [0, 1, 2, 3].map(|axis| node.ty.shape[axis]);
        if size == 0 || sizes.contains(&0) || graph.shape(positions)[1] == 0 {
            return Ok(None);
        }
        Ok(Some(Field {
            base,
            classes: [one_class(2), one_class(3)],
            patch,
            place: Place::specks(positions, size, [sizes[2], sizes[3]]),
            view: View::map(sizes),
        }))
    }

    pub fn map(&self) -> [usize; 2] {
        [self.classes[0].len(), self.classes[1].len()]
    }

    /// Samples, or kinds of samples that are alike, and windows of each.
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

    /// Samples, channels, rows, columns.
    pub fn sizes(&self, graph: &Graph) -> [usize; AXES] {
        let [height, width] = self.map();
        let samples = match &self.place.alike {
            Some(alike) => alike.samples,
            None => self.slots(graph)[0],
        };
        [samples, self.channels(graph), height, width]
    }

    /// Whether the graph knows it as [samples, channels, rows, columns].
    pub fn is_map(&self, graph: &Graph) -> bool {
        self.view == View::map(self.sizes(graph))
    }

    /// The field as a map.
    pub fn into_map(mut self, graph: &Graph) -> Field {
        self.view = View::map(self.sizes(graph));
        self
    }

    /// The field under another shape, if it is one of runs of its axes.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Field> {
        Some(Field { view: self.view.reshaped(shape)?, ..self.clone() })
    }

    /// The base with channels last, as windows are.
    pub fn base_channels_last(&self, graph: &Graph) -> Result<NodeId, GraphError> {
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
        for axis in 0..2 {
            self.read_at(axis, |place| axes[axis].of(place), size[axis]);
        }
        let starts = graph.window_origins(self.place.positions, axes)?;
        self.tile_at(graph, starts, size, negative)
    }

    /// The base's values on the windows of `place`.
    pub fn base_on(&self, graph: &Graph, place: &Place) -> Result<NodeId, GraphError> {
        let [samples, slots] = self.slots(graph);
        let base = self.base_channels_last(graph)?;
        let nothing = graph.zeros(&[samples, slots, 0, 0, self.channels(graph)])?;
        for axis in 0..2 {
            self.read_at(axis, |at| place.axes[axis].of(at), place.size[axis]);
        }
        let origins = place.origins(graph)?;
        let shape = self.tile_shape(place.size, false);
        graph.window_tile(base, nothing, origins, origins, &shape)
    }

    /// By how much the sample differs from the base in its windows, each
    /// position once: 0 beyond the border and where an earlier window counts it.
    pub fn difference(&self, graph: &Graph) -> Result<NodeId, GraphError> {
        let below = self.base_on(graph, &self.place)?;
        let difference = graph.sub(self.patch, below)?;
        // Beyond the border the windows hold anything, and 0 · ∞ would be NaN.
        let zero = graph.scalar(0.0)?;
        graph.select(self.mask(graph, true)?, difference, zero)
    }

    /// 1 at the places of windows that are on the map and, if `owned`, in no
    /// earlier window of the sample.
    pub fn mask(&self, graph: &Graph, owned: bool) -> Result<NodeId, GraphError> {
        for axis in 0..2 {
            self.read_at(axis, |place| self.place.axes[axis].of(place), self.place.size[axis]);
        }
        let origins = self.place.origins(graph)?;
        graph.window_mask(origins, self.place.size, self.map(), owned)
    }

    /// The patch with `value` beyond the border, where nothing true stands, and,
    /// if `owned`, where an earlier window counts a position.
    pub fn guarded(&self, graph: &Graph, owned: bool, value: f64) -> Result<NodeId, GraphError> {
        let value = graph.scalar(value)?;
        graph.select(self.mask(graph, owned)?, self.patch, value)
    }

    /// Positions of the map that each place of the base stands for and no window
    /// holds: [samples, 1, rows, columns] of the base, or, `together` for all
    /// samples, [1, 1, rows, columns].
    pub fn uncovered(&self, graph: &Graph, together: bool) -> Result<NodeId, GraphError> {
        let [samples, slots] = self.slots(graph);
        let shape = graph.shape(self.base);
        let times = if together { samples as f64 } else { 1.0 };
        let [rows, columns] =
            [0, 1].map(|axis| super::counts(&self.classes[axis], shape[2 + axis]));
        let often: Vec<f64> = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| times * row * column))
            .collect();
        let ty = TensorType::new(graph.float(), &[1, 1, shape[2], shape[3]]);
        let often = graph.constant(Tensor::new(&ty, &often))?;
        let origins = self.place.origins(graph)?;
        let backgrounds = if together { 1 } else { samples };
        let covered = graph.window_tile_base(
            self.mask(graph, true)?,
            origins,
            origins,
            &self.tile_shape(self.place.size, false),
            [[backgrounds, shape[2], shape[3], 1].as_slice(), &[samples, slots, 0, 0, 1]],
        )?;
        let covered = graph.reshape(covered, &[backgrounds, 1, shape[2], shape[3]])?;
        graph.sub(often, covered)
    }

    /// Fields of the same windows and the same rows and columns of their bases.
    pub fn aligned(graph: &Graph, fields: &[Field]) -> Result<Option<Vec<Field>>, GraphError> {
        let Some(first) = fields.first() else { return Ok(None) };
        if fields.iter().any(|field| field.map() != first.map()) {
            return Ok(None);
        }
        let mut place = first.place.clone();
        for field in &fields[1..] {
            if field.place == place {
                continue;
            }
            match place.union(&field.place, first.map()) {
                Some(union) => place = union,
                None => return Ok(None),
            }
        }
        let mut aligned = Vec::new();
        let classes: Vec<_> = [0, 1].map(|axis| refined(fields, axis)).into();
        for field in fields {
            let mut field = field.clone();
            if field.place != place {
                field.patch = field.tile(graph, place.axes, place.size, false)?;
                field.place = place.clone();
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
    let mut numbers: HashMap<Vec<i64>, u32> = HashMap::new();
    let mut known: Vec<Vec<i64>> = Vec::new();
    let number = |key: Vec<i64>| {
        *numbers.entry(key).or_insert_with_key(|key| {
            known.push(key.clone());
            known.len() as u32 - 1
        })
    };
    let classes: Vec<u32> = keys.map(number).collect();
    (classes.into(), known)
}
