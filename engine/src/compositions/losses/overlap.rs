//! Losses of the overlap of two sets, for segmentation.

use super::Reduction;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(0.1, 0.9);

fn sets() -> Vec<Tensor> {
    // One hit, one false alarm of a half, one miss.
    vec![Tensor::from_f64(&[3], vec![1.0, 0.5, 0.0]), Tensor::from_f64(&[3], vec![1.0, 0.0, 1.0])]
}

pub(in crate::compositions) const ALL: &[Composition] = &[
    Composition::new(
        "tversky",
        "y = 1 - (TP + s) / (TP + α FP + β FN + s) over the axes, reduced",
        || {
            vec![Case::new("rows", &[(&[2, 4], DRAW), (&[2, 4], DRAW)], |graph, x| {
                graph.tversky(x[0], x[1], &[1], [0.3, 0.7], 0.1, Reduction::None)
            })]
        },
    )
    .rule(
        "nothing to find and nothing found is NaN without smoothing, no loss with it",
        || {
            let nothing = || vec![Tensor::from_f64(&[2], vec![0.0; 2]); 2];
            vec![
                Expectation::new(
                    "one hit, half a false alarm, one miss",
                    sets(),
                    |graph, x| graph.tversky(x[0], x[1], &[0], [0.5, 1.75], 0.0, Reduction::Mean),
                    &[2.0 / 3.0],
                ),
                Expectation::new(
                    "nothing",
                    nothing(),
                    |graph, x| graph.tversky(x[0], x[1], &[0], [0.5, 0.5], 0.0, Reduction::Mean),
                    &[f64::NAN],
                ),
                Expectation::new(
                    "nothing, smoothed",
                    nothing(),
                    |graph, x| graph.tversky(x[0], x[1], &[0], [0.5, 0.5], 1.0, Reduction::Mean),
                    &[0.0],
                ),
            ]
        },
    ),
    Composition::new(
        "dice",
        "y = 1 - (2 Σ p t + s) / (Σ p + Σ t + s) over the axes, reduced",
        || {
            vec![Case::new("all", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                graph.dice(x[0], x[1], &[0, 1], 1.0, Reduction::Mean)
            })]
        },
    )
    .rule("as tversky's", || {
        vec![Expectation::new(
            "one hit, half a false alarm, one miss",
            sets(),
            |graph, x| graph.dice(x[0], x[1], &[0], 0.5, Reduction::Mean),
            &[1.0 - 2.5 / 4.0],
        )]
    }),
];

impl Graph {
    /// 1 - (TP + s) / (TP + α FP + β FN + s) for probabilities p and targets t
    /// over `axes`, with TP = Σ p t, FP = Σ p (1 - t), FN = Σ (1 - p) t,
    /// `weights` = [α, β] and s = `smoothing` (Salehi, Erdogmus and Gholipour,
    /// "Tversky loss function for image segmentation", 2017). Reduced over what
    /// the axes leave.
    ///
    /// # Errors
    /// Shapes that do not broadcast, an axis that does not exist.
    #[track_caller]
    pub fn tversky(
        &self,
        probabilities: NodeId,
        target: NodeId,
        axes: &[usize],
        weights: [f64; 2],
        smoothing: f64,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let product = self.mul(probabilities, target)?;
        let false_alarm = self.sub(probabilities, product)?;
        let miss = self.sub(target, product)?;
        let hits = self.sum(product, axes)?;
        let hits = self.offset(hits, smoothing)?;
        let mut whole = hits;
        for (part, weight) in [false_alarm, miss].into_iter().zip(weights) {
            let part = self.sum(part, axes)?;
            let part = self.scale(part, weight)?;
            whole = self.add(whole, part)?;
        }
        let share = self.div(hits, whole)?;
        let one = self.scalar(1.0)?;
        let each = self.sub(one, share)?;
        self.reduce_losses(each, reduction)
    }

    /// 1 - (2 Σ p t + s) / (Σ p + Σ t + s) over `axes` (Milletari, Navab and
    /// Ahmadi, "V-Net", 2016, with plain sums): [`Graph::tversky`] with both
    /// weights a half.
    ///
    /// # Errors
    /// As [`Graph::tversky`].
    #[track_caller]
    pub fn dice(
        &self,
        probabilities: NodeId,
        target: NodeId,
        axes: &[usize],
        smoothing: f64,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        self.tversky(probabilities, target, axes, [0.5, 0.5], 0.5 * smoothing, reduction)
    }
}
