//! Rules for rows and columns picked in any order: upsampling, cropping, padding.

use super::Rewriter;
use super::field::Field;
use super::view::{CHANNELS, ROWS};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::Source;
use crate::tensor::Tensor;
use speck_kernels::window::{EMPTY, OriginAxis};
use std::ops::Range;

/// Along a dimension, for each place of the output the place of the input that
/// stands there; `None` where there is 0.
pub(super) struct Picks {
    pub places: Vec<Option<usize>>,
    /// Places of the output for so many of the input.
    pub pace: [usize; 2],
}

impl Picks {
    /// Those of `narrow`.
    pub fn narrow(start: usize, step: usize, length: usize) -> Picks {
        let places = (0..length).map(|i| Some(start + i * step)).collect();
        Picks { places, pace: [1, step.max(1)] }
    }

    /// Those of `embed`, of an input of `length`.
    pub fn embed(start: usize, step: usize, size: usize, length: usize) -> Picks {
        let mut places = vec![None; size];
        (0..length).for_each(|i| places[start + i * step] = Some(i));
        Picks { places, pace: [step.max(1), 1] }
    }

    /// Where the input's first place comes to lie, if neighbours stay neighbours.
    fn shift(&self) -> Option<i32> {
        let mut held = self.places.iter().enumerate().filter_map(|(i, place)| Some((i, (*place)?)));
        let (first, place) = held.next()?;
        let shift = first as i32 - place as i32;
        held.all(|(i, place)| i as i32 - place as i32 == shift).then_some(shift)
    }

    /// The outputs from the first to the last that stand for some of these places.
    fn reached(&self, places: &Range<i32>) -> Range<i32> {
        let held =
            |place: &Option<usize>| place.is_some_and(|place| places.contains(&(place as i32)));
        match (self.places.iter().position(held), self.places.iter().rposition(held)) {
            (Some(first), Some(last)) => first as i32..last as i32 + 1,
            _ => 0..0,
        }
    }
}

impl Rewriter<'_> {
    /// `index_select` at constant places.
    pub(super) fn index_select(
        &self,
        node: &Node,
        field: &Field,
        dimension: usize,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let index = graph.node(node.inputs[1]);
        let Some(Source::Constant(index)) = index.op.source() else { return Ok(None) };
        let Some(index) = index.values::<i32>() else { return Ok(None) };
        let size = field.view.size(dimension);
        let inside = |place: &i32| usize::try_from(*place).ok().filter(|place| *place < size);
        let places: Option<Vec<_>> = index.iter().map(|place| inside(place).map(Some)).collect();
        let Some(places) = places else { return Ok(None) };
        let pace = [index.len(), size];
        self.picked(node, field, dimension, &Picks { places, pace })
    }

    /// The field with places of a dimension picked.
    pub(super) fn picked(
        &self,
        node: &Node,
        field: &Field,
        dimension: usize,
        picks: &Picks,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let &[factor] = field.view.dimension(dimension) else { return Ok(None) };
        let sizes = field.sizes(graph);
        if factor.size != sizes[factor.axis] || picks.places.is_empty() {
            return Ok(None);
        }
        let view = field.view.resized(dimension, factor.axis, picks.places.len());
        if factor.axis == CHANNELS && dimension >= 4 {
            return Ok(None);
        }
        if factor.axis == CHANNELS {
            let of = |x: NodeId, axis: usize| {
                let mut inputs = node.inputs.clone();
                let order: Vec<_> = (0..graph.shape(x).len()).collect();
                // The op works on its own dimension; there is one for any.
                let to = moved(&order, axis, dimension);
                inputs[0] = graph.permute(x, &to)?;
                let y = graph.append_shared(node.op.clone(), &inputs)?;
                graph.permute(y, &inverse(&to))
            };
            let (base, patch) = (of(field.base, 1)?, of(field.patch, 4)?);
            return Ok(Some(Field { base, patch, view, ..field.clone() }));
        }
        if factor.axis < ROWS {
            return Ok(None);
        }
        let picked = self.picked_places(field, factor.axis - ROWS, picks)?;
        Ok(picked.map(|picked| Field { view, ..picked }))
    }

    /// The field with rows (axis 0) or columns (axis 1) picked; its view is none.
    fn picked_places(
        &self,
        field: &Field,
        axis: usize,
        picks: &Picks,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let length = picks.places.len();
        let mut place = field.place.clone();
        let mut map = field.map();
        map[axis] = length;
        let reach = |span: Range<i32>| picks.reached(&span);
        let windows =
            [picks.pace, [1, 1]].map(|pace| field.place.moved(axis, pace, 1, length, reach));
        let [own, plain] = windows;
        (place.axes[axis], place.size[axis]) = if plain.1 < own.1 { plain } else { own };
        if !Self::fits(&place, map) {
            return Ok(None);
        }
        let read = |output: usize, _: usize| picks.places.get(output).copied().flatten();
        let keep = |output: usize, _: usize| Some(output);
        let reads: [super::layers::Reads<'_>; 2] =
            if axis == 0 { [&read, &keep] } else { [&keep, &read] };
        let (base, classes) = self.spread(field, map, [1, 1], reads, false)?;
        let patch = match picks.shift() {
            Some(shift) => {
                let mut starts = place.axes;
                starts[axis].offset -= shift;
                let mut size = field.place.size;
                size[axis] = place.size[axis];
                field.tile(graph, starts, size, false)?
            }
            None => self.picked_patch(field, axis, picks, place.axes, place.size[axis])?,
        };
        let windows = Field { base, classes, patch, place, view: field.view.clone() };
        Ok(Some(windows))
    }

    /// The windows of picked places: each row (column) of one is a tile of its
    /// own, whose start is looked up by the window's origin.
    fn picked_patch(
        &self,
        field: &Field,
        axis: usize,
        picks: &Picks,
        axes: [OriginAxis; 2],
        length: usize,
    ) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let [samples, slots] = field.slots(graph);
        // One row of the table for each origin of a window that meets the map.
        let before = length as i32 - 1;
        let mut table = Vec::new();
        for origin in -before..picks.places.len() as i32 {
            for at in origin..origin + length as i32 {
                let place = usize::try_from(at).ok().and_then(|at| *picks.places.get(at)?);
                table.push(place.map_or(EMPTY, |place| place as i32));
            }
        }
        let rows = table.len() / length;
        let table = graph.constant(Tensor::from_i32(&[rows, length], table))?;
        let mut shifted = axes;
        shifted[axis].offset += before;
        let origins = graph.window_origins(field.place.positions, shifted)?;
        let along = |axis: usize| graph.narrow(origins, 2, axis, 1, 1);
        let index = graph.reshape(along(axis)?, &[samples * slots])?;
        let picked = graph.index_select_or_zero(table, 0, index)?;
        let tiles = slots * length;
        let picked = graph.reshape(picked, &[samples, tiles, 1])?;
        let other = graph.reshape(along(1 - axis)?, &[samples, slots, 1])?;
        let other = graph.expand(other, &[samples, slots, length])?;
        let other = graph.reshape(other, &[samples, tiles, 1])?;
        let starts = if axis == 0 { [picked, other] } else { [other, picked] };
        let starts = graph.concat(&starts, 2)?;
        let mut size = field.place.size;
        size[axis] = 1;
        let tile = field.tile_at(graph, starts, size, false)?;
        let channels = field.channels(graph);
        let across = field.place.size[1 - axis];
        let tile = graph.reshape(tile, &[samples, slots, length, across, channels])?;
        if axis == 0 { Ok(tile) } else { graph.permute(tile, &[0, 1, 3, 2, 4]) }
    }
}

/// The order in which entry `from` stands at `to`.
fn moved(order: &[usize], from: usize, to: usize) -> Vec<usize> {
    let mut order: Vec<_> = order.iter().copied().filter(|entry| *entry != from).collect();
    order.insert(to, from);
    order
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, entry)| inverse[*entry] = i);
    inverse
}
