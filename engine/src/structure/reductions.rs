//! Rules for what ends the structure: sums over maps, and linear layers on
//! flattened ones.

use super::field::{Field, View};
use super::rows::Linear;
use super::{Rewriter, counts};
use crate::graph::{GraphError, Node, NodeId};
use crate::shape::TensorType;
use crate::tensor::Tensor;

impl Rewriter<'_> {
    /// The sum over space, and over samples too if asked for: of the base, each
    /// of its rows and columns as often as it occurs, and of the difference in
    /// the windows.
    pub(super) fn sum(&self, field: &Field, axes: &[usize]) -> Result<Option<NodeId>, GraphError> {
        let graph = self.graph;
        let spatial: &[usize] = match field.view {
            View::Map => &[2, 3],
            View::Planes => &[2],
            View::Flat => return Ok(None),
        };
        let over_samples = axes.contains(&0);
        let rest = axes.iter().filter(|axis| **axis != 0);
        let mut rest: Vec<_> = rest.copied().collect();
        rest.sort_unstable();
        if rest != spatial {
            return Ok(None);
        }
        let [samples, _] = field.slots(graph);
        let base = self.base_sum(field)?;
        let difference = field.difference(graph)?;
        if !over_samples {
            let windows = graph.sum(difference, &[1, 2, 3])?;
            return graph.add(base, windows).map(Some);
        }
        let windows = graph.sum(difference, &[0, 1, 2, 3])?;
        let shape = graph.shape(base);
        // One background for all stands for each sample.
        let base = if shape[0] == 1 { graph.scale(base, samples as f64)? } else { base };
        let base = graph.sum(base, &[0])?;
        graph.add(base, windows).map(Some)
    }

    /// The sum of a base over the map: [1 or samples, channels].
    fn base_sum(&self, field: &Field) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(field.base);
        let [rows, columns] = [0, 1].map(|axis| counts(&field.classes[axis], shape[2 + axis]));
        let often: Vec<f64> =
            rows.iter().flat_map(|row| columns.iter().map(move |column| row * column)).collect();
        let often = Tensor::new(&TensorType::new(graph.float(), &shape[2..]), &often);
        let often = graph.constant(often)?;
        let weighted = graph.mul(field.base, often)?;
        graph.sum(weighted, &[2, 3])
    }

    /// x Wᵀ (or x W) of flattened maps: the base times the rows of the weight
    /// summed over the places that each of its values stands for, and the
    /// difference in the windows times the rows that they lie on.
    pub(super) fn linear(
        &self,
        node: &Node,
        field: &Field,
        transposed: bool,
    ) -> Result<Option<NodeId>, GraphError> {
        let graph = self.graph;
        let Some(weight) = self.at_hand(node.inputs[1]) else { return Ok(None) };
        if field.view != View::Flat || graph.shape(weight).len() != 2 {
            return Ok(None);
        }
        let weight = if transposed { weight } else { graph.permute(weight, &[1, 0])? };
        let shape = graph.shape(field.base);
        let classes = field.position_classes(graph);
        let difference = field.difference(graph)?;
        let origins = field.place.origins(graph)?;
        let index = graph.row_index(origins, field.place.size, field.map())?;
        let count = classes.count;
        let linear = Linear { field, weight, difference, index, classes };
        let [sums, windows] = self.row_products(&linear)?;
        let outputs = graph.shape(sums)[2];
        let sums = graph.reshape(sums, &[count * shape[1], outputs])?;
        let base = graph.permute(field.base, &[0, 2, 3, 1])?;
        let base = graph.flatten_from(base, 1)?;
        let base = graph.matmul(base, sums)?;
        graph.add(base, windows).map(Some)
    }
}
