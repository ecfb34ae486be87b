//! Coordinates out of heat maps, and losses on them: the differentiable spatial
//! to numerical transform (Nibali, He, Morgan and Prendergast, "Numerical
//! Coordinate Regression with Convolutional Neural Networks", 2018).
//!
//! A heat map is unnormalized: its softmax over the map is a probability for
//! each pixel. Maps are [samples, maps, sizes…] with any number of axes; a pixel
//! i of an axis of n lies at (2i + 1) / n - 1, so that the axis spans [-1, 1].
//! Distances and deviations are in these units: a pixel is 2 / n.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::tensor::Tensor;

const MAPS: Draw = Draw::Uniform(-2.0, 2.0);
const CENTRES: Draw = Draw::Uniform(-0.8, 0.8);

pub(super) const ALL: &[Composition] = &[
    Composition::new("spatial_softmax", "p = softmax of x over all axes of a map", || {
        vec![
            Case::new("plane", &[(&[2, 2, 3, 4], MAPS)], |graph, x| graph.spatial_softmax(x[0])),
            Case::new("line", &[(&[2, 1, 5], MAPS)], |graph, x| graph.spatial_softmax(x[0])),
        ]
    }),
    Composition::new(
        "spatial_expectation",
        "y[a] = Σ p · (2 i[a] + 1) / n[a] - 1 over the pixels i of a map, for each axis a of size n[a]",
        || {
            let draw = Draw::Uniform(0.0, 1.0);
            vec![
                Case::new("plane", &[(&[2, 2, 3, 4], draw)], |graph, x| {
                    graph.spatial_expectation(x[0])
                }),
                Case::new("empty", &[(&[2, 1, 0], draw)], |graph, x| {
                    graph.spatial_expectation(x[0])
                }),
            ]
        },
    ),
    Composition::new("dsnt", "y = spatial_expectation(spatial_softmax(x))", || {
        vec![
            Case::new("plane", &[(&[2, 2, 3, 4], MAPS)], |graph, x| graph.dsnt(x[0])),
            Case::new("line", &[(&[2, 1, 5], MAPS)], |graph, x| graph.dsnt(x[0])),
        ]
    }),
    Composition::new(
        "log_marginals",
        "y = log of the sums of spatial_softmax(x) over all axes but one, for each axis in turn",
        || {
            vec![Case::new("plane", &[(&[2, 2, 3, 4], MAPS)], |graph, x| {
                graph.log_marginals(x[0])
            })]
        },
    )
    .rule("a map far from zero gives finite values: no sum of exponentials overflows", || {
        let half = 0.5_f64.ln();
        vec![Expectation::new(
            "large and small",
            vec![Tensor::from_f64(&[1, 1, 2, 2], vec![1000.0, 1000.0, -1000.0, -1000.0])],
            |graph, x| graph.log_marginals(x[0]),
            &[0.0, -2000.0, half, half],
        )]
    }),
    Composition::new(
        "coordinates",
        "y[a] = dsnt of the outputs that belong to axis a",
        || {
            vec![Case::new("two axes", &[(&[3, 9], MAPS)], |graph, x| {
                graph.coordinates(x[0], &[4, 5])
            })]
        },
    ),
    Composition::new(
        "target_coordinates",
        "y[a] = Σ t · (2i + 1) / n[a] - 1 / Σ t over the targets that belong to axis a",
        || {
            let draw = Draw::Uniform(0.1, 1.0);
            vec![Case::new("two axes", &[(&[3, 9], draw)], |graph, x| {
                graph.target_coordinates(x[0], &[4, 5])
            })]
        },
    )
    .rule("several targets in an axis give their mean; an axis without any gives 0", || {
        vec![Expectation::new(
            "two and none",
            vec![Tensor::from_f64(&[1, 6], vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0])],
            |graph, x| graph.target_coordinates(x[0], &[4, 2]),
            &[0.0, 0.0],
        )]
    }),
    Composition::new(
        "coordinate_loss",
        "mean over samples of Σ (coordinates(y) - target_coordinates(t))², plus weight · Σ regularizer, over the axes that hold a target",
        || {
            vec![
                Case::new("plain", &[(&[3, 9], MAPS)], |graph, x| {
                    case_loss(graph, x[0], None)
                }),
                Case::new("variance", &[(&[3, 9], MAPS)], |graph, x| {
                    case_loss(graph, x[0], Some(Divergence::Variance))
                }),
                Case::new("kullback-leibler", &[(&[3, 9], MAPS)], |graph, x| {
                    case_loss(graph, x[0], Some(Divergence::KullbackLeibler))
                }),
                Case::new("jensen-shannon", &[(&[3, 9], MAPS)], |graph, x| {
                    case_loss(graph, x[0], Some(Divergence::JensenShannon))
                }),
            ]
        },
    )
    .rule("an axis without a target counts nothing", || {
        vec![Expectation::new(
            "one sample without targets",
            vec![Tensor::from_f64(&[2, 3], vec![0.0, 0.0, 0.0, 0.3, -0.2, 0.9])],
            |graph, x| {
                let targets = Tensor::new(
                    &TensorType::new(graph.float(), &[2, 3]),
                    &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                );
                let targets = graph.constant(targets)?;
                graph.coordinate_loss(x[0], targets, &[2, 1], None)
            },
            // (0 - -1/2)² + (0 - 0)², over two samples
            &[0.125],
        )
        // 2 (0 - -1/2) · ∓(1/2)² · … : d mean / d y is ∓1/4.
        .gradients(&[&[-0.125, 0.125, 0.0, 0.0, 0.0, 0.0]])]
    }),
    Composition::new(
        "gaussian_log_map",
        "log q, q ∝ exp(-|position - centre|² / 2 deviation²), summing to 1 over the pixels of a map",
        || {
            vec![Case::new("plane", &[(&[2, 1, 2], CENTRES)], |graph, x| {
                graph.gaussian_log_map(x[0], &[3, 4], 0.5)
            })]
        },
    ),
    Composition::new(
        "kullback_leibler_map",
        "Σ p log(p / q) over a map, p = spatial_softmax(x), q the Gaussian map around the centre",
        || {
            let inputs: &[(&[usize], Draw)] = &[(&[2, 2, 3, 4], MAPS), (&[2, 2, 2], CENTRES)];
            vec![Case::new("plane", inputs, |graph, x| {
                graph.kullback_leibler_map(x[0], x[1], 0.5)
            })]
        },
    ),
    Composition::new(
        "jensen_shannon_map",
        "½ Σ p log(p / m) + ½ Σ q log(q / m) over a map, m = (p + q) / 2, p and q as in kullback_leibler_map",
        || {
            let inputs: &[(&[usize], Draw)] = &[(&[2, 2, 3, 4], MAPS), (&[2, 2, 2], CENTRES)];
            vec![Case::new("plane", inputs, |graph, x| {
                graph.jensen_shannon_map(x[0], x[1], 0.5)
            })]
        },
    )
    .rule("maps that have nothing in common differ by log 2; equal maps by 0", || {
        vec![
            Expectation::new(
                "apart",
                vec![
                    Tensor::from_f64(&[1, 1, 2], vec![900.0, -900.0]),
                    Tensor::from_f64(&[1, 1, 1], vec![0.5]),
                ],
                |graph, x| graph.jensen_shannon_map(x[0], x[1], 0.01),
                &[std::f64::consts::LN_2],
            ),
            Expectation::new(
                "equal",
                vec![
                    Tensor::from_f64(&[1, 1, 2], vec![0.0, 0.0]),
                    Tensor::from_f64(&[1, 1, 1], vec![0.0]),
                ],
                |graph, x| graph.jensen_shannon_map(x[0], x[1], 0.5),
                &[0.0],
            )
            .gradients(&[&[0.0, 0.0], &[0.0]]),
        ]
    }),
    Composition::new(
        "variance_map",
        "Σ (variance[a] - deviation²)² over the axes a of a map, variance under spatial_softmax(x)",
        || {
            vec![Case::new("plane", &[(&[2, 2, 3, 4], MAPS)], |graph, x| {
                graph.variance_map(x[0], 0.5)
            })]
        },
    ),
];

fn case_loss(
    graph: &Graph,
    outputs: NodeId,
    divergence: Option<Divergence>,
) -> Result<NodeId, GraphError> {
    let mut targets = [0.0; 27];
    for lit in [2, 4, 6, 9, 16, 26] {
        targets[lit] = 1.0;
    }
    let targets = Tensor::new(&TensorType::new(graph.float(), &[3, 9]), &targets);
    let targets = graph.constant(targets)?;
    let regularizer =
        divergence.map(|divergence| HeatRegularizer { divergence, weight: 0.7, deviation: 0.5 });
    graph.coordinate_loss(outputs, targets, &[4, 5], regularizer)
}

/// What a heat map is drawn towards beside the right expectation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatRegularizer {
    /// How the map is compared.
    pub divergence: Divergence,
    /// What the comparison is multiplied by.
    pub weight: f64,
    /// The standard deviation wished for, of the map or of the Gaussian.
    pub deviation: f64,
}

/// The comparisons of Nibali et al., section 3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// [`Graph::variance_map`].
    Variance,
    /// [`Graph::kullback_leibler_map`].
    KullbackLeibler,
    /// [`Graph::jensen_shannon_map`].
    JensenShannon,
}

impl Graph {
    /// The softmax over all axes of each map: [samples, maps, sizes…] to the same.
    ///
    /// # Errors
    /// No map: fewer than three dimensions.
    #[track_caller]
    pub fn spatial_softmax(&self, heat: NodeId) -> Result<NodeId, GraphError> {
        self.map_sizes("spatial_softmax", heat)?;
        let flat = self.flatten_from(heat, 2)?;
        let probability = self.softmax(flat, 2)?;
        self.reshape(probability, &self.shape(heat))
    }

    /// The expected position under each map of probabilities: [samples, maps,
    /// sizes…] to [samples, maps, axes].
    ///
    /// # Errors
    /// No map: fewer than three dimensions.
    #[track_caller]
    pub fn spatial_expectation(&self, probability: NodeId) -> Result<NodeId, GraphError> {
        let sizes = self.map_sizes("spatial_expectation", probability)?;
        let mut means = Vec::new();
        for axis in 0..sizes.len() {
            let marginal = self.sum(probability, &other_axes(&sizes, axis))?;
            let positions = self.pixel_positions(sizes[axis])?;
            let weighted = self.mul(marginal, positions)?;
            let mean = self.sum(weighted, &[2])?;
            means.push(self.restore_axes(mean, &self.shape(marginal), &[2])?);
        }
        self.concat(&means, 2)
    }

    /// The differentiable spatial to numerical transform: the expected position
    /// under the softmax of each heat map, [samples, maps, sizes…] to
    /// [samples, maps, axes].
    ///
    /// # Errors
    /// No map: fewer than three dimensions.
    #[track_caller]
    pub fn dsnt(&self, heat: NodeId) -> Result<NodeId, GraphError> {
        let probability = self.spatial_softmax(heat)?;
        self.spatial_expectation(probability)
    }

    /// The logarithms of the marginals of each heat map's softmax, axis after
    /// axis: [samples, maps, sizes…] to [samples, maps, Σ sizes]. The softmax of
    /// an axis' part is that marginal again.
    ///
    /// # Errors
    /// No map: fewer than three dimensions.
    #[track_caller]
    pub fn log_marginals(&self, heat: NodeId) -> Result<NodeId, GraphError> {
        let sizes = self.map_sizes("log_marginals", heat)?;
        let log = self.log_spatial_softmax(heat)?;
        let mut parts = Vec::new();
        for axis in 0..sizes.len() {
            parts.push(self.log_sum_exp(log, &other_axes(&sizes, axis))?);
        }
        self.concat(&parts, 2)
    }

    /// The expected position on each axis (soft-argmax) of outputs
    /// [samples, Σ axes], which hold the axes of these lengths after each other:
    /// [samples, axes].
    ///
    /// # Errors
    /// Outputs of another shape.
    #[track_caller]
    pub fn coordinates(&self, outputs: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let lines = self.lines("coordinates", outputs, axes)?;
        let each: Result<Vec<_>, _> = lines.into_iter().map(|line| self.dsnt(line)).collect();
        let joined = self.concat(&each?, 2)?;
        self.reshape(joined, &[self.shape(outputs)[0], axes.len()])
    }

    /// The mean position of the targets on each axis: [samples, Σ axes] to
    /// [samples, axes].
    ///
    /// # Errors
    /// Targets of another shape.
    #[track_caller]
    pub fn target_coordinates(
        &self,
        targets: NodeId,
        axes: &[usize],
    ) -> Result<NodeId, GraphError> {
        let mut means = Vec::new();
        for line in self.lines("target_coordinates", targets, axes)? {
            let mass = self.sum(line, &[2])?;
            let mass = self.maximum(mass, self.scalar(1e-12)?)?;
            let mass = self.restore_axes(mass, &self.shape(line), &[2])?;
            let share = self.div(line, mass)?;
            means.push(self.spatial_expectation(share)?);
        }
        let joined = self.concat(&means, 2)?;
        self.reshape(joined, &[self.shape(targets)[0], axes.len()])
    }

    /// The squared distance of [`Graph::coordinates`] of `outputs` from
    /// [`Graph::target_coordinates`] of `targets`, averaged over samples. The
    /// regularizer takes each axis as a heat map of its own.
    ///
    /// # Errors
    /// Outputs or targets of another shape.
    #[track_caller]
    pub fn coordinate_loss(
        &self,
        outputs: NodeId,
        targets: NodeId,
        axes: &[usize],
        regularizer: Option<HeatRegularizer>,
    ) -> Result<NodeId, GraphError> {
        if self.shape(outputs) != self.shape(targets) {
            let message = "outputs and targets differ in shape".to_owned();
            return Err(self.error("coordinate_loss", &[outputs, targets], message));
        }
        let samples = self.shape(outputs)[..1].to_vec();
        let found = self.coordinates(outputs, axes)?;
        let wanted = self.target_coordinates(targets, axes)?;
        let difference = self.sub(found, wanted)?;
        let squares = self.square(difference)?;
        let maps = self.lines("coordinate_loss", outputs, axes)?;
        let lines = self.lines("coordinate_loss", targets, axes)?;
        let mut total: Option<NodeId> = None;
        for (axis, (heat, line)) in maps.into_iter().zip(lines).enumerate() {
            let mut cost = self.narrow(squares, 1, axis, 1, 1)?;
            if let Some(HeatRegularizer { divergence, weight, deviation }) = regularizer {
                let centre = self.narrow(wanted, 1, axis, 1, 1)?;
                let centre = self.reshape(centre, &[samples[0], 1, 1])?;
                let extra = match divergence {
                    Divergence::Variance => self.variance_map(heat, deviation)?,
                    Divergence::KullbackLeibler => {
                        self.kullback_leibler_map(heat, centre, deviation)?
                    }
                    Divergence::JensenShannon => {
                        self.jensen_shannon_map(heat, centre, deviation)?
                    }
                };
                cost = self.add(cost, self.scale(extra, weight)?)?;
            }
            let mass = self.sum(line, &[2])?;
            let present = self.greater(mass, self.scalar(0.0)?)?;
            let counted = self.mul(cost, present)?;
            total = Some(match total {
                Some(total) => self.add(total, counted)?,
                None => counted,
            });
        }
        match total {
            Some(total) => self.mean_all(total),
            None => Err(self.error("coordinate_loss", &[outputs], "no axes".to_owned())),
        }
    }

    /// The logarithm of a Gaussian of standard deviation `deviation` around each
    /// of `centres` [samples, maps, axes], normalized over the pixels of a map:
    /// [samples, maps, sizes…].
    ///
    /// # Errors
    /// Centres with another number of axes, a deviation that is not positive.
    #[track_caller]
    pub fn gaussian_log_map(
        &self,
        centres: NodeId,
        sizes: &[usize],
        deviation: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(centres);
        if shape.len() != 3 || shape[2] != sizes.len() || sizes.is_empty() {
            let message = format!("centres must be [samples, maps, {}]", sizes.len());
            return Err(self.error("gaussian_log_map", &[centres], message));
        }
        if !(deviation > 0.0 && deviation.is_finite()) {
            let message = format!("the deviation must be positive, not {deviation}");
            return Err(self.error("gaussian_log_map", &[centres], message));
        }
        let mut distance: Option<NodeId> = None;
        for (axis, size) in sizes.iter().enumerate() {
            let centre = self.narrow(centres, 2, axis, 1, 1)?;
            let positions = self.pixel_positions(*size)?;
            let square = self.square(self.sub(positions, centre)?)?;
            let mut along = vec![shape[0], shape[1]];
            along.extend((0..sizes.len()).map(|other| if other == axis { *size } else { 1 }));
            let square = self.reshape(square, &along)?;
            distance = Some(match distance {
                Some(distance) => self.add(distance, square)?,
                None => square,
            });
        }
        let distance = distance.unwrap_or(centres);
        let log = self.scale(distance, -0.5 / (deviation * deviation))?;
        self.log_spatial_softmax(log)
    }

    /// The Kullback-Leibler divergence of each heat map's softmax from a
    /// Gaussian around the map's centre: [samples, maps].
    ///
    /// # Errors
    /// As [`Graph::gaussian_log_map`].
    #[track_caller]
    pub fn kullback_leibler_map(
        &self,
        heat: NodeId,
        centres: NodeId,
        deviation: f64,
    ) -> Result<NodeId, GraphError> {
        let sizes = self.map_sizes("kullback_leibler_map", heat)?;
        let log = self.log_spatial_softmax(heat)?;
        let wanted = self.gaussian_log_map(centres, &sizes, deviation)?;
        self.divergence(log, wanted)
    }

    /// The Jensen-Shannon divergence between each heat map's softmax and a
    /// Gaussian around the map's centre: [samples, maps].
    ///
    /// # Errors
    /// As [`Graph::gaussian_log_map`].
    #[track_caller]
    pub fn jensen_shannon_map(
        &self,
        heat: NodeId,
        centres: NodeId,
        deviation: f64,
    ) -> Result<NodeId, GraphError> {
        let sizes = self.map_sizes("jensen_shannon_map", heat)?;
        let found = self.log_spatial_softmax(heat)?;
        let wanted = self.gaussian_log_map(centres, &sizes, deviation)?;
        // log (p + q) / 2 = log q + log(1 + p / q) - log 2
        let ratio = self.softplus(self.sub(found, wanted)?)?;
        let mixture = self.offset(self.add(wanted, ratio)?, -std::f64::consts::LN_2)?;
        let sum = self.add(self.divergence(found, mixture)?, self.divergence(wanted, mixture)?)?;
        self.scale(sum, 0.5)
    }

    /// How far the variance of each heat map's softmax is from `deviation`², as
    /// a square summed over the axes: [samples, maps].
    ///
    /// # Errors
    /// No map: fewer than three dimensions.
    #[track_caller]
    pub fn variance_map(&self, heat: NodeId, deviation: f64) -> Result<NodeId, GraphError> {
        let sizes = self.map_sizes("variance_map", heat)?;
        let probability = self.spatial_softmax(heat)?;
        let means = self.spatial_expectation(probability)?;
        let mut costs = Vec::new();
        for axis in 0..sizes.len() {
            let marginal = self.sum(probability, &other_axes(&sizes, axis))?;
            let mean = self.narrow(means, 2, axis, 1, 1)?;
            let positions = self.pixel_positions(sizes[axis])?;
            let square = self.square(self.sub(positions, mean)?)?;
            let variance = self.sum(self.mul(marginal, square)?, &[2])?;
            let cost = self.square(self.offset(variance, -deviation * deviation)?)?;
            costs.push(self.restore_axes(cost, &self.shape(marginal), &[2])?);
        }
        let costs = self.concat(&costs, 2)?;
        self.sum(costs, &[2])
    }

    /// Σ exp(a) (a - b) over each map.
    #[track_caller]
    fn divergence(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let weighted = self.mul(self.exp(a)?, self.sub(a, b)?)?;
        let flat = self.flatten_from(weighted, 2)?;
        self.sum(flat, &[2])
    }

    #[track_caller]
    fn log_spatial_softmax(&self, heat: NodeId) -> Result<NodeId, GraphError> {
        let flat = self.flatten_from(heat, 2)?;
        let log = self.log_softmax(flat, 2)?;
        self.reshape(log, &self.shape(heat))
    }

    /// The axes of [samples, Σ axes] as maps [samples, 1, length].
    #[track_caller]
    fn lines(&self, op: &str, x: NodeId, axes: &[usize]) -> Result<Vec<NodeId>, GraphError> {
        let shape = self.shape(x);
        if shape.len() != 2 || shape[1] != axes.iter().sum() || axes.is_empty() {
            let message = format!("must be [samples, {axes:?} in all]");
            return Err(self.error(op, &[x], message));
        }
        let mut start = 0;
        let mut lines = Vec::new();
        for length in axes {
            let part = self.narrow(x, 1, start, 1, *length)?;
            lines.push(self.reshape(part, &[shape[0], 1, *length])?);
            start += length;
        }
        Ok(lines)
    }

    #[track_caller]
    fn map_sizes(&self, op: &str, maps: NodeId) -> Result<Vec<usize>, GraphError> {
        let shape = self.shape(maps);
        if shape.len() < 3 {
            let message = "must be [samples, maps, sizes…]".to_owned();
            return Err(self.error(op, &[maps], message));
        }
        Ok(shape[2..].to_vec())
    }

    /// The centres of the pixels of an axis that spans [-1, 1].
    #[track_caller]
    fn pixel_positions(&self, size: usize) -> Result<NodeId, GraphError> {
        let position = |i: usize| (2 * i + 1) as f64 / size as f64 - 1.0;
        let values: Vec<_> = (0..size).map(position).collect();
        self.constant(Tensor::new(&TensorType::new(self.float(), &[size]), &values))
    }
}

/// The dimensions of maps [samples, maps, sizes…] that belong to other axes.
fn other_axes(sizes: &[usize], axis: usize) -> Vec<usize> {
    (0..sizes.len()).filter(|other| *other != axis).map(|other| other + 2).collect()
}
