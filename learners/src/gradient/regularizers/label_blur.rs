//! Targets that leave something to positions nearby.

use super::{Regularizer, RegularizerEntry, unless_zero};
use crate::gradient::losses;
use speck_engine::{Graph, GraphError, NodeId, Tensor, TensorType};
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "label_blur",
    summary: "t ← Σ t_j g_j of each axis with g_j(i) ∝ exp(-(i - j)² / 2 d²), Σ_i g_j(i) = 1: what would lie beyond the border lies on the screen",
    source: "Diaz and Marathe, \"Soft Labels for Ordinal Regression\", 2019, with the squared distance as metric",
    dimensions: &[Dimension::float(
        "label_blur",
        "standard deviation in pixels of the Gaussian that targets are blurred with: d; 0 for none",
        (0.0, 64.0),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("label_blur"), |deviation| LabelBlur { deviation }),
};

struct LabelBlur {
    deviation: f64,
}

impl Regularizer for LabelBlur {
    fn targets(&self, graph: &Graph, targets: NodeId) -> Result<NodeId, GraphError> {
        let mut axes = losses::axes(graph, targets)?;
        for axis in &mut axes {
            let n = graph.shape(*axis)[1];
            let mut values = Vec::new();
            for from in 0..n {
                let far = |to: usize| from.abs_diff(to) as f64 / self.deviation;
                let heights: Vec<f64> = (0..n).map(|to| (-0.5 * far(to).powi(2)).exp()).collect();
                let sum: f64 = heights.iter().sum();
                values.extend(heights.iter().map(|height| height / sum));
            }
            let ty = TensorType::new(graph.float(), &[n, n]);
            *axis = graph.matmul(*axis, graph.constant(Tensor::new(&ty, &values))?)?;
        }
        graph.concat(&axes, 1)
    }
}
