//! Rules for convolution and pooling.

use super::field::{Axis, Field, Place, Taps, View, classified};
use super::{Rewriter, indices};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::Form;
use crate::ops::{AveragePool2d, ColumnsShape, PoolWindow, Window};
use std::sync::Arc;

/// The base of a layer that moves a rectangle of taps over the map: for each
/// row (column) of its own base, the rows (columns) of the old base it reads, in
/// order; the old base's size stands for the border.
struct Reads {
    classes: Arc<[u32]>,
    rows: Vec<u32>,
    count: usize,
}

/// Which rows of a base the outputs read: output rows that read the same ones
/// are equal, and are held once.
fn reads(classes: &[u32], beyond: u32, taps: Taps) -> Reads {
    let outputs = taps.outputs(classes.len());
    let read = |output: usize| {
        let tap = |tap: usize| {
            let row = (output * taps.stride + tap * taps.dilation).checked_sub(taps.padding);
            let class = row.and_then(|row| classes.get(row)).copied().unwrap_or(beyond);
            i64::from(class)
        };
        (0..taps.taps).map(tap).collect()
    };
    let (classes, known) = classified((0..outputs).map(read));
    let rows = known.iter().flatten().map(|class| *class as u32).collect();
    Reads { classes, rows, count: known.len() }
}

impl Rewriter<'_> {
    /// The base as an image on which the rectangles of taps lie side by side,
    /// and the classes of the layer's output.
    fn spread(
        &self,
        field: &Field,
        taps: [Taps; 2],
        negative: bool,
    ) -> Result<(NodeId, [Arc<[u32]>; 2]), GraphError> {
        let graph = self.graph;
        let mut base = field.base;
        let mut classes = field.classes.clone();
        for axis in 0..2 {
            let size = graph.shape(base)[2 + axis];
            let reads = reads(&field.classes[axis], size as u32, taps[axis]);
            debug_assert_eq!(reads.rows.len(), reads.count * taps[axis].taps);
            // One row more for what lies beyond the border.
            if negative {
                let mut shape = graph.shape(base);
                shape[2 + axis] = 1;
                let scalar = graph.scalar(f64::NEG_INFINITY)?;
                let border = graph.expand(scalar, &shape)?;
                base = graph.concat(&[base, border], 2 + axis)?;
            } else {
                base = graph.embed(base, 2 + axis, 0, 1, size + 1)?;
            }
            let rows = indices(graph, &reads.rows)?;
            base = graph.index_select(base, 2 + axis, rows)?;
            classes[axis] = reads.classes;
        }
        Ok((base, classes))
    }

    /// The windows of a layer's output, and the rectangles of the input that
    /// each of them reads.
    fn rectangles(
        &self,
        field: &Field,
        taps: [Taps; 2],
        negative: bool,
    ) -> Result<(Place, NodeId), GraphError> {
        let mut place = field.place;
        let mut starts = [Axis { add: 0, divide: 1 }.scaled(1, 0); 2];
        let mut size = [0; 2];
        for axis in 0..2 {
            let (grown, most) = field.place.grown(axis, taps[axis]);
            place.axes[axis] = grown;
            place.size[axis] = most;
            starts[axis] = grown.scaled(taps[axis].stride, -(taps[axis].padding as i32));
            size[axis] = (most - 1) * taps[axis].stride + taps[axis].extent();
        }
        let tile = field.tile(self.graph, starts, size, negative)?;
        Ok((place, tile))
    }

    /// Whether windows of `taps` on the map are worth it: they are smaller than
    /// the map that they lead to.
    fn fits(field: &Field, taps: [Taps; 2]) -> bool {
        let size = field.map();
        (0..2).all(|axis| field.place.grown(axis, taps[axis]).1 < taps[axis].outputs(size[axis]))
    }

    /// The base as ever; of each window one rectangle of the input, as the rows
    /// of one matrix for all windows of all samples.
    pub(super) fn convolution(
        &self,
        node: &Node,
        field: &Field,
        window: Window,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(weight) = self.at_hand(node.inputs[1]) else { return Ok(None) };
        let shape = graph.shape(weight);
        let taps = [0, 1].map(|axis| Taps {
            taps: shape[2 + axis],
            stride: window.stride[axis],
            padding: window.padding[axis],
            dilation: window.dilation[axis],
        });
        if field.view != View::Map || !Self::fits(field, taps) {
            return Ok(None);
        }
        let kernel = [shape[2], shape[3]];
        let (spread, classes) = self.spread(field, taps, false)?;
        let side_by_side = Window { stride: kernel, groups: window.groups, ..Window::default() };
        let base = graph.conv2d(spread, weight, side_by_side)?;

        let (place, tile) = self.rectangles(field, taps, false)?;
        let [samples, slots, height, width, channels] =
            graph.shape(tile).try_into().unwrap_or([0; 5]);
        let tiles = graph.reshape(tile, &[samples * slots, height, width, channels])?;
        let patch = if window.groups == 1 {
            let ColumnsWeight { rows, outputs } = ColumnsWeight::of(&shape);
            let columns = ColumnsShape { kernel, stride: window.stride, dilation: window.dilation };
            let columns = graph.columns(tiles, columns)?;
            let places = samples * slots * place.size[0] * place.size[1];
            let columns = graph.reshape(columns, &[places, rows])?;
            let matrix = graph.permute(weight, &[2, 3, 1, 0])?;
            let matrix = graph.reshape(matrix, &[rows, outputs])?;
            graph.matmul(columns, matrix)?
        } else {
            let images = graph.permute(tiles, &[0, 3, 1, 2])?;
            let plain = Window { padding: [0, 0], ..window };
            let images = graph.conv2d(images, weight, plain)?;
            graph.permute(images, &[0, 2, 3, 1])?
        };
        let patch =
            graph.reshape(patch, &[samples, slots, place.size[0], place.size[1], shape[0]])?;
        Ok(Some(Field { base, classes, patch, place, view: View::Map }))
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
        if field.view != View::Planes || window.ceil_mode || !Self::fits(field, taps) {
            return Ok(None);
        }
        let (spread, classes) = self.spread(field, taps, true)?;
        let base = graph.max_pool2d(spread, window.kernel, window.kernel, [0, 0])?;

        let (place, tile) = self.rectangles(field, taps, true)?;
        let rectangles = self.rectangle_rows(tile, &window)?;
        let index = graph.argmax(rectangles, 1)?;
        let [places, _, channels] = graph.shape(rectangles).try_into().unwrap_or([0; 3]);
        let index = graph.reshape(index, &[places, 1, channels])?;
        let largest = graph.gather(rectangles, 1, index)?;
        let [samples, slots] = field.slots(graph);
        let patch =
            graph.reshape(largest, &[samples, slots, place.size[0], place.size[1], channels])?;
        let pooled = Field { base, classes, patch, place, view: View::Planes };
        // A window beyond the border has no largest element: −∞ stays out.
        let patch = pooled.guarded(graph, 0.0)?;
        Ok(Some(Field { patch, ..pooled }))
    }

    /// The rectangles of tiles as rows: [places, taps, channels].
    fn rectangle_rows(&self, tile: NodeId, window: &PoolWindow) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(tile);
        let tiles = graph.reshape(tile, &[shape[0] * shape[1], shape[2], shape[3], shape[4]])?;
        let PoolWindow { kernel, stride, dilation, .. } = *window;
        let columns = graph.columns(tiles, ColumnsShape { kernel, stride, dilation })?;
        let shape = graph.shape(columns);
        let places = shape[0] * shape[1] * shape[2];
        graph.reshape(columns, &[places, kernel[0] * kernel[1], shape[5]])
    }

    /// The window of the max pooling that ends with this gather: the planes of
    /// maps at the indices of their own largest elements.
    fn pooled(&self, gather: &Node, axis: usize) -> Option<PoolWindow> {
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
        _: &Node,
        field: &Field,
        pool: AveragePool2d,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let taps = pool_taps(pool.kernel, pool.stride, pool.padding, [1, 1]);
        let counted = pool.count_padding || pool.padding == [0, 0];
        let plain = counted && !pool.ceil_mode && pool.divisor.is_none();
        if field.view != View::Map || !plain || !Self::fits(field, taps) {
            return Ok(None);
        }
        let (spread, classes) = self.spread(field, taps, false)?;
        let side_by_side =
            AveragePool2d { kernel: pool.kernel, stride: pool.kernel, ..AveragePool2d::default() };
        let base = graph.average_pool2d(spread, side_by_side)?;

        let (place, tile) = self.rectangles(field, taps, false)?;
        let stride = pool.stride;
        let window = PoolWindow { stride, ..PoolWindow::tiles(pool.kernel) };
        let rectangles = self.rectangle_rows(tile, &window)?;
        let mean = graph.mean(rectangles, &[1])?;
        let [samples, slots] = field.slots(graph);
        let channels = field.channels(graph);
        let patch =
            graph.reshape(mean, &[samples, slots, place.size[0], place.size[1], channels])?;
        Ok(Some(Field { base, classes, patch, place, view: View::Map }))
    }
}

/// A weight as a matrix of one row a tap and input channel.
struct ColumnsWeight {
    rows: usize,
    outputs: usize,
}

impl ColumnsWeight {
    fn of(shape: &[usize]) -> Self {
        ColumnsWeight { rows: shape[1..].iter().product(), outputs: shape[0] }
    }
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
