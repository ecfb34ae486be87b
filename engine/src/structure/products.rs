//! Rules for products with matrices: linear layers on flattened maps, on each
//! position, and on patches.

use super::Rewriter;
use super::field::Field;
use super::reductions::{Made, arranged};
use super::rows::Linear;
use super::view::{CHANNELS, COLUMNS, Factor, ROWS, SAMPLES, View};
use crate::graph::{GraphError, Node, NodeId};
use crate::ops::Window;

impl Rewriter<'_> {
    /// x Wᵀ (or x W).
    pub(super) fn matmul(
        &self,
        node: &Node,
        field: &Field,
        transposed: bool,
    ) -> Result<Option<Made>, GraphError> {
        let graph = self.graph;
        let Some(weight) = self.at_hand(node.inputs[1]) else { return Ok(None) };
        if graph.shape(weight).len() != 2 || field.view.rank() < 2 {
            return Ok(None);
        }
        let last = field.view.rank() - 1;
        let sizes = field.sizes(graph);
        let held = field.view.held(&[last], sizes);
        if !held[SAMPLES].nothing() || !held[CHANNELS].all() {
            return Ok(None);
        }
        let weight = if transposed { weight } else { graph.permute(weight, &[1, 0])? };
        if held[ROWS].all() && held[COLUMNS].all() {
            return self.linear(field, weight).map(|y| Some(Made::Dense(y)));
        }
        let outputs = graph.shape(weight)[0];
        let channels = Factor { axis: CHANNELS, size: outputs, stride: 1 };
        if held[ROWS].nothing() && held[COLUMNS].nothing() {
            let base = graph.matmul_with(field.base_channels_last(graph)?, weight, false, true)?;
            let base = graph.permute(base, &[0, 3, 1, 2])?;
            let patch = graph.matmul_with(field.patch, weight, false, true)?;
            let view = field.view.with(last, vec![channels]);
            return Ok(Some(Made::Field(Field { base, patch, view, ..field.clone() })));
        }
        Ok(self.patches(field, weight, channels)?.map(Made::Field))
    }

    /// A weight of the last dimension's order as one of [outputs, channels, rows,
    /// columns], of what the dimension holds of them.
    fn unfolded(
        &self,
        field: &Field,
        weight: NodeId,
        held: [usize; 3],
    ) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let factors = field.view.dimension(field.view.rank() - 1);
        let mut order: Vec<_> = (0..factors.len()).collect();
        order.sort_by_key(|i| (factors[*i].axis, usize::MAX - factors[*i].stride));
        let outputs = graph.shape(weight)[0];
        let split: Vec<_> = factors.iter().map(|factor| factor.size).collect();
        let weight = graph.reshape(weight, &[&[outputs], split.as_slice()].concat())?;
        let order: Vec<_> = order.iter().map(|i| i + 1).collect();
        let weight = graph.permute(weight, &[&[0], order.as_slice()].concat())?;
        graph.reshape(weight, &[&[outputs], held.as_slice()].concat())
    }

    /// Of flattened maps: the base times the rows of the weight, summed over the
    /// places that each of its values stands for, and the difference in the windows
    /// times the rows that they lie on.
    fn linear(&self, field: &Field, weight: NodeId) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let [_, channels, height, width] = field.sizes(graph);
        let order = field.view.dimension(field.view.rank() - 1).iter();
        let weight = if order.map(|factor| factor.axis).is_sorted() {
            weight
        } else {
            let weight = self.unfolded(field, weight, [channels, height, width])?;
            graph.flatten_from(weight, 1)?
        };
        let classes = field.position_classes(graph);
        let difference = field.dealt(graph, field.difference(graph)?)?;
        let field = &field.of_each(graph)?;
        let origins = field.place.origins(graph)?;
        let index = graph.row_index(origins, field.place.size, field.map())?;
        let count = classes.count;
        let linear = Linear { field, weight, difference, index, classes };
        let [sums, windows] = self.row_products(&linear)?;
        let outputs = graph.shape(sums)[2];
        let sums = graph.reshape(sums, &[count * channels, outputs])?;
        let base = graph.flatten_from(field.base_channels_last(graph)?, 1)?;
        let y = graph.add(graph.matmul(base, sums)?, windows)?;
        let y = graph.reshape(y, &[graph.shape(y)[0], outputs, 1, 1])?;
        let channels = vec![Factor { axis: CHANNELS, size: outputs, stride: 1 }];
        arranged(graph, y, &field.view.with(field.view.rank() - 1, channels))
    }

    /// Of patches that tile the map, one a row: a convolution whose stride is its
    /// kernel.
    fn patches(
        &self,
        field: &Field,
        weight: NodeId,
        channels: Factor,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let last = field.view.rank() - 1;
        let mut view: View = field.view.clone();
        let mut kernel = [1; 2];
        for axis in 0..2 {
            let inner: Vec<_> = field
                .view
                .dimension(last)
                .iter()
                .filter(|factor| factor.axis == ROWS + axis)
                .collect();
            kernel[axis] = match inner.as_slice() {
                [] => 1,
                [factor] if factor.stride == 1 => factor.size,
                _ => return Ok(None),
            };
            for dimension in 0..last {
                for factor in field.view.dimension(dimension) {
                    if factor.axis == ROWS + axis {
                        let stride = factor.stride / kernel[axis];
                        view = view.replaced(*factor, Factor { stride, ..*factor });
                    }
                }
            }
        }
        let own = field.channels(graph);
        let weight = self.unfolded(field, weight, [own, kernel[0], kernel[1]])?;
        let window = Window { stride: kernel, ..Window::default() };
        let map = field.clone().into_map(graph);
        let Some(embedded) = self.convolved(&map, weight, window)? else { return Ok(None) };
        Ok(Some(Field { view: view.with(last, vec![channels]), ..embedded }))
    }
}
