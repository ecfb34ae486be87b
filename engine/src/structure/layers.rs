//! Rules for convolution, its transpose, and pooling.

use super::field::{Field, classified};
use super::place::{Place, Taps};
use super::view::View;
use super::{Rewriter, indices};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::Form;
use crate::ops::{AveragePool2d, PicksShape, PoolWindow, Window};
use speck_kernels::window::OriginAxis;
use std::sync::Arc;

/// What an output along one axis reads at a tap: a place of the input, if there
/// is one.
pub(super) type Reads<'a> = &'a dyn Fn(usize, usize) -> Option<usize>;

impl Rewriter<'_> {
    /// The base as an image on which what each output reads lies side by side,
    /// and the classes of the outputs: outputs that read the same rows (columns)
    /// of the base are equal, and are held once.
    pub(super) fn spread(
        &self,
        field: &Field,
        outputs: [usize; 2],
        taps: [usize; 2],
        reads: [Reads<'_>; 2],
        negative: bool,
    ) -> Result<(NodeId, [Arc<[u32]>; 2]), GraphError> {
        let graph = self.graph;
        let mut base = field.base;
        let mut classes = field.classes.clone();
        for axis in 0..2 {
            let size = graph.shape(base)[2 + axis];
            let read = |output: usize| {
                let class = |tap| {
                    let row = reads[axis](output, tap);
                    let class = row.and_then(|row| field.classes[axis].get(row));
                    class.map_or(size as i64, |class| i64::from(*class))
                };
                (0..taps[axis]).map(class).collect()
            };
            let (outputs, known) = classified((0..outputs[axis]).map(read));
            let rows: Vec<_> = known.iter().flatten().map(|class| *class as u32).collect();
            // One row more for what lies beyond the border.
            if rows.contains(&(size as u32)) {
                if negative {
                    let mut shape = graph.shape(base);
                    shape[2 + axis] = 1;
                    let scalar = graph.scalar(f64::NEG_INFINITY)?;
                    let border = graph.expand(scalar, &shape)?;
                    base = graph.concat(&[base, border], 2 + axis)?;
                } else {
                    base = graph.embed(base, 2 + axis, 0, 1, size + 1)?;
                }
            }
            if !rows.iter().copied().eq(0..graph.shape(base)[2 + axis] as u32) {
                let rows = indices(graph, &rows)?;
                base = graph.index_select(base, 2 + axis, rows)?;
            }
            classes[axis] = outputs;
        }
        Ok((base, classes))
    }

    /// What each output of a moving rectangle of taps reads of the base, and the
    /// classes of the outputs, as [`Rewriter::spread`] has them.
    fn picked_taps(
        &self,
        field: &Field,
        taps: [Taps; 2],
        negative: bool,
    ) -> (PicksShape, [Arc<[u32]>; 2]) {
        let (sizes, base) = (field.map(), self.graph.shape(field.base));
        let mut classes = field.classes.clone();
        let mut lists = field.classes.clone();
        for axis in 0..2 {
            let Taps { taps: count, stride, padding, dilation } = taps[axis];
            let read = |output: usize| {
                let class = |tap: usize| {
                    let row = (output * stride + tap * dilation).checked_sub(padding);
                    let class = row.and_then(|row| field.classes[axis].get(row));
                    class.map_or(base[2 + axis] as i64, |class| i64::from(*class))
                };
                (0..count).map(class).collect()
            };
            let (outputs, known) = classified((0..taps[axis].outputs(sizes[axis])).map(read));
            classes[axis] = outputs;
            lists[axis] = known.iter().flatten().map(|class| *class as u32).collect();
        }
        (PicksShape { kernel: taps.map(|taps| taps.taps), reads: lists, negative }, classes)
    }

    /// [`Rewriter::spread`] for a moving rectangle of taps.
    fn spread_taps(
        &self,
        field: &Field,
        taps: [Taps; 2],
        negative: bool,
    ) -> Result<(NodeId, [Arc<[u32]>; 2]), GraphError> {
        let read = |axis: usize| {
            move |output: usize, tap: usize| {
                let Taps { stride, padding, dilation, .. } = taps[axis];
                (output * stride + tap * dilation).checked_sub(padding)
            }
        };
        let sizes = field.map();
        let outputs = [0, 1].map(|axis| taps[axis].outputs(sizes[axis]));
        let counts = taps.map(|taps| taps.taps);
        self.spread(field, outputs, counts, [&read(0), &read(1)], negative)
    }

    /// The windows of a layer's output, if they are smaller than its map.
    pub(super) fn windows(field: &Field, taps: [Taps; 2]) -> Option<Place> {
        let mut place = field.place.clone();
        let sizes = field.map();
        for axis in 0..2 {
            let taps = taps[axis];
            let outputs = taps.outputs(sizes[axis]);
            let reach = |span| taps.readers(span);
            (place.axes[axis], place.size[axis]) =
                field.place.moved(axis, [1, taps.stride], 1, outputs, reach);
        }
        let outputs = [0, 1].map(|axis| taps[axis].outputs(sizes[axis]));
        Self::fits(&place, outputs).then_some(place)
    }

    /// Whether windows are worth it: smaller than the map.
    pub(super) fn fits(place: &Place, map: [usize; 2]) -> bool {
        (0..2).all(|axis| place.size[axis] <= map[axis])
            && place.size.iter().product::<usize>() < map.iter().product()
    }

    /// The rectangles of the input that windows at `place` of a layer's output
    /// read.
    pub(super) fn rectangles(
        &self,
        field: &Field,
        place: &Place,
        taps: [Taps; 2],
        negative: bool,
    ) -> Result<NodeId, GraphError> {
        let starts = [0, 1].map(|axis| {
            let Taps { stride, padding, .. } = taps[axis];
            let OriginAxis { add, divide, multiply, offset } = place.axes[axis];
            let (multiply, offset) = (multiply * stride as i32, offset * stride as i32);
            OriginAxis { add, divide, multiply, offset: offset - padding as i32 }
        });
        let size =
            [0, 1].map(|axis| (place.size[axis] - 1) * taps[axis].stride + taps[axis].extent());
        field.tile(self.graph, starts, size, negative)
    }

    /// The rule for a convolution of maps.
    pub(super) fn convolution(
        &self,
        node: &Node,
        field: &Field,
        window: Window,
    ) -> Result<Option<Field>, GraphError> {
        match self.at_hand(node.inputs[1]) {
            Some(weight) if field.is_map(self.graph) => self.convolved(field, weight, window),
            _ => Ok(None),
        }
    }

    /// The base as ever; of each window one rectangle of the input, all windows of
    /// all samples in one call.
    pub(super) fn convolved(
        &self,
        field: &Field,
        weight: NodeId,
        window: Window,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(weight);
        let kernel = [shape[2], shape[3]];
        if kernel.contains(&0) {
            return Ok(None);
        }
        let taps = conv_taps(kernel, window);
        let Some(place) = Self::windows(field, taps) else { return Ok(None) };
        let (base, classes) = if window.groups == 1 {
            let (picks, classes) = self.picked_taps(field, taps, false);
            let base = graph.picked_conv(field.base_channels_last(graph)?, weight, &picks)?;
            (graph.permute(base, &[0, 3, 1, 2])?, classes)
        } else {
            let (spread, classes) = self.spread_taps(field, taps, false)?;
            let side_by_side =
                Window { stride: kernel, groups: window.groups, ..Window::default() };
            (graph.conv2d(spread, weight, side_by_side)?, classes)
        };

        let tile = self.rectangles(field, &place, taps, false)?;
        let [samples, slots, height, width, channels] =
            graph.shape(tile).try_into().unwrap_or([0; 5]);
        let tiles = graph.reshape(tile, &[samples * slots, height, width, channels])?;
        let patch = if window.groups == 1 {
            let Window { stride, dilation, .. } = window;
            let picks = PicksShape::moving(kernel, stride, dilation, [height, width]);
            graph.picked_conv(tiles, weight, &picks)?
        } else {
            let images = graph.permute(tiles, &[0, 3, 1, 2])?;
            let plain = Window { padding: [0, 0], ..window };
            let images = graph.conv2d(images, weight, plain)?;
            graph.permute(images, &[0, 2, 3, 1])?
        };
        let patch =
            graph.reshape(patch, &[samples, slots, place.size[0], place.size[1], shape[0]])?;
        Ok(Some(Field { base, classes, patch, place, view: field.view.clone() }.into_map(graph)))
    }

    /// The transpose of a convolution: the base as a convolution of what each
    /// output gathers; of each window one image of the inputs that reach it.
    pub(super) fn transposed_convolution(
        &self,
        node: &Node,
        field: &Field,
        window: Window,
        map: [usize; 2],
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(weight) = self.at_hand(node.inputs[1]) else { return Ok(None) };
        let shape = graph.shape(weight);
        let kernel = [shape[2], shape[3]];
        if !field.is_map(graph) || kernel.contains(&0) {
            return Ok(None);
        }
        let taps = conv_taps(kernel, window);
        let mut place = field.place.clone();
        for axis in 0..2 {
            let (taps, stride) = (taps[axis], taps[axis].stride);
            let reach = |span| taps.reached(span);
            (place.axes[axis], place.size[axis]) =
                field.place.moved(axis, [stride, 1], stride, map[axis], reach);
        }
        if !Self::fits(&place, map) {
            return Ok(None);
        }
        // Output r gathers at tap k what stands at (r + p − k·d) / s.
        let sizes = field.map();
        let read = |axis: usize| {
            move |output: usize, tap: usize| {
                let Taps { stride, padding, dilation, .. } = taps[axis];
                let at = (output + padding).checked_sub(tap * dilation)?;
                (at.is_multiple_of(stride) && at / stride < sizes[axis]).then(|| at / stride)
            }
        };
        let (spread, classes) = self.spread(field, map, kernel, [&read(0), &read(1)], false)?;
        let groups = window.groups;
        let [inputs, outputs] = [shape[0], shape[1] * groups];
        let turned = [groups, inputs / groups, shape[1], kernel[0], kernel[1]];
        let turned = graph.reshape(weight, &turned)?;
        let turned = graph.permute(turned, &[0, 2, 1, 3, 4])?;
        let turned = graph.reshape(turned, &[outputs, inputs / groups, kernel[0], kernel[1]])?;
        let side_by_side = Window { stride: kernel, groups, ..Window::default() };
        let base = graph.conv2d(spread, turned, side_by_side)?;

        // Windows move in whole strides, so that the inputs that reach one begin
        // at a place of the same form, `early` outputs before it.
        let mut starts = place.axes;
        let (mut size, mut early) = ([0_usize; 2], [0_i32; 2]);
        for axis in 0..2 {
            let Taps { stride, padding, .. } = taps[axis];
            let [stride, padding, extent] =
                [stride, padding, taps[axis].extent()].map(|size| size as i32);
            let own = place.axes[axis];
            let first = (own.offset + padding - extent).div_euclid(stride) + 1;
            let end = own.offset + place.size[axis] as i32 - 1 + padding;
            size[axis] = (end.div_euclid(stride) - first + 1).max(1) as usize;
            early[axis] = own.offset - (first * stride - padding);
            starts[axis] = OriginAxis { multiply: own.multiply / stride, offset: first, ..own };
        }
        // What the tiles reach begins late where no input reaches the window's
        // first outputs.
        let before = early.map(|early| (-early).max(0) as usize);
        let early = early.map(|early| early.max(0) as usize);
        let tile = field.tile(graph, starts, size, false)?;
        let [samples, slots, height, width, channels] =
            graph.shape(tile).try_into().unwrap_or([0; 5]);
        let tiles = graph.reshape(tile, &[samples * slots, height, width, channels])?;
        let images = graph.permute(tiles, &[0, 3, 1, 2])?;
        let plain = Window { padding: [0, 0], ..window };
        let reach = [0, 1].map(|axis| (size[axis] - 1) * taps[axis].stride + taps[axis].extent());
        let mut images = graph.conv2d_input_gradient(images, weight, plain, reach)?;
        for axis in 0..2 {
            let wanted = place.size[axis];
            let length = (reach[axis] - early[axis]).min(wanted - before[axis]);
            images = graph.narrow(images, 2 + axis, early[axis], 1, length)?;
            images = graph.embed(images, 2 + axis, before[axis], 1, wanted)?;
        }
        let patch = graph.permute(images, &[0, 2, 3, 1])?;
        let patch =
            graph.reshape(patch, &[samples, slots, place.size[0], place.size[1], outputs])?;
        Ok(Some(Field { base, classes, patch, place, view: field.view.clone() }.into_map(graph)))
    }

    /// The largest of each rectangle, ties to the first in row-major order, as
    /// the dense op has it.
    pub(super) fn max_pool(
        &self,
        node: &Node,
        field: &Field,
        axis: usize,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(window) = self.pooled(node, axis) else { return Ok(None) };
        let taps = pool_taps(window.kernel, window.stride, window.padding, window.dilation);
        let is_map = field.reshaped(&field.sizes(graph)).is_some_and(|field| field.is_map(graph));
        if !is_map || window.ceil_mode {
            return Ok(None);
        }
        let Some(place) = Self::windows(field, taps) else { return Ok(None) };
        let (picks, classes) = self.picked_taps(field, taps, true);
        let picks = graph.picks(field.base_channels_last(graph)?, &picks)?;
        let [images, down, across, .., channels] = graph.shape(picks).try_into().unwrap_or([0; 6]);
        let rows = [images * down * across, taps[0].taps * taps[1].taps, channels];
        let picks = graph.reshape(picks, &rows)?;
        let base = graph.at_largest(picks, picks)?;
        let base = graph.reshape(base, &[images, down, across, channels])?;
        let base = graph.permute(base, &[0, 3, 1, 2])?;

        let tile = self.rectangles(field, &place, taps, true)?;
        let rectangles = self.rectangle_rows(tile, &window)?;
        let largest = graph.at_largest(rectangles, rectangles)?;
        let [samples, slots] = field.slots(graph);
        let patch =
            graph.reshape(largest, &[samples, slots, place.size[0], place.size[1], channels])?;
        let pooled = Field { base, classes, patch, place, view: field.view.clone() };
        let sizes = pooled.sizes(graph);
        let Some(view) = View::map(sizes).reshaped(&node.ty.shape) else { return Ok(None) };
        // A window beyond the border has no largest element: −∞ stays out.
        let patch = pooled.guarded(graph, false, 0.0)?;
        Ok(Some(Field { patch, view, ..pooled }))
    }

    /// The rectangles of tiles as rows: [places, taps, channels].
    fn rectangle_rows(&self, tile: NodeId, window: &PoolWindow) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(tile);
        let tiles = graph.reshape(tile, &[shape[0] * shape[1], shape[2], shape[3], shape[4]])?;
        let PoolWindow { kernel, stride, dilation, .. } = *window;
        let picks = PicksShape::moving(kernel, stride, dilation, [shape[2], shape[3]]);
        let picks = graph.picks(tiles, &picks)?;
        let shape = graph.shape(picks);
        let places = shape[0] * shape[1] * shape[2];
        graph.reshape(picks, &[places, kernel[0] * kernel[1], shape[5]])
    }

    /// The window of the max pooling that ends with this gather: the planes of
    /// maps at the indices of their own largest elements.
    pub(super) fn pooled(&self, gather: &Node, axis: usize) -> Option<PoolWindow> {
        let graph = self.graph;
        let [planes, flat] = [gather.inputs[0], gather.inputs[1]].map(|id| graph.node(id));
        let reshapes =
            matches!(planes.op.form(), Form::Reshape) && matches!(flat.op.form(), Form::Reshape);
        if axis != 2 || !reshapes {
            return None;
        }
        let indices = graph.node(flat.inputs[0]);
        match indices.op.form() {
            Form::MaxPoolIndices(window) if indices.inputs[0] == planes.inputs[0] => Some(window),
            _ => None,
        }
    }

    /// The mean of each rectangle, zeros beyond the border included.
    pub(super) fn average_pool(
        &self,
        field: &Field,
        pool: AveragePool2d,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let taps = pool_taps(pool.kernel, pool.stride, pool.padding, [1, 1]);
        let counted = pool.count_padding || pool.padding == [0, 0];
        let plain = counted && !pool.ceil_mode && pool.divisor.is_none();
        if !field.is_map(graph) || !plain {
            return Ok(None);
        }
        let Some(place) = Self::windows(field, taps) else { return Ok(None) };
        let (spread, classes) = self.spread_taps(field, taps, false)?;
        let side_by_side =
            AveragePool2d { kernel: pool.kernel, stride: pool.kernel, ..AveragePool2d::default() };
        let base = graph.average_pool2d(spread, side_by_side)?;

        let tile = self.rectangles(field, &place, taps, false)?;
        let stride = pool.stride;
        let window = PoolWindow { stride, ..PoolWindow::tiles(pool.kernel) };
        let rectangles = self.rectangle_rows(tile, &window)?;
        let mean = graph.mean(rectangles, &[1])?;
        let [samples, slots] = field.slots(graph);
        let channels = field.channels(graph);
        let patch =
            graph.reshape(mean, &[samples, slots, place.size[0], place.size[1], channels])?;
        Ok(Some(Field { base, classes, patch, place, view: field.view.clone() }.into_map(graph)))
    }

    /// The sums of `count` neighbouring rows (axis 0) or columns (axis 1) each.
    pub(super) fn sums_of_neighbours(
        &self,
        field: &Field,
        axis: usize,
        count: usize,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let mut taps = [Taps { taps: 1, stride: 1, padding: 0, dilation: 1 }; 2];
        taps[axis] = Taps { taps: count, stride: count, ..taps[axis] };
        let Some(place) = Self::windows(field, taps) else { return Ok(None) };
        let (base, classes) = self.spread_taps(field, taps, false)?;
        let tile = self.rectangles(field, &place, taps, false)?;
        let summed = |x: NodeId, axis: usize| {
            let shape = graph.shape(x);
            let split = [&shape[..axis], &[shape[axis] / count, count], &shape[axis + 1..]];
            graph.sum(graph.reshape(x, &split.concat())?, &[axis + 1])
        };
        let (base, patch) = (summed(base, 2 + axis)?, summed(tile, 2 + axis)?);
        Ok(Some(Field { base, classes, patch, place, view: field.view.clone() }))
    }
}

fn conv_taps(kernel: [usize; 2], window: Window) -> [Taps; 2] {
    pool_taps(kernel, window.stride, window.padding, window.dilation)
}

fn pool_taps(
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> [Taps; 2] {
    [0, 1].map(|axis| Taps {
        taps: kernel[axis],
        stride: stride[axis],
        padding: padding[axis],
        dilation: dilation[axis],
    })
}
