//! Images sampled at places that are themselves computed.

use super::resampling::{CUBIC, Interpolation};
use crate::check::values::Expectation;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::shape::contiguous_strides;
use crate::tensor::Tensor;

/// What an image is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zero.
    Zeros,
    /// What it is at the nearest place inside.
    Border,
    /// Its reflection, again and again, at the centres of the outermost
    /// elements where corners are aligned, else at their outer edges.
    Reflection,
}

/// How an image is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// What is taken between elements: nearest, linear or cubic.
    pub mode: Interpolation,
    /// What is outside.
    pub outside: Outside,
    /// Whether -1 and 1 are the centres of the outermost elements, instead of
    /// their outer edges.
    pub align_corners: bool,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
/// Places away from kinks; see [`sampled`].
const PLACES: Draw = Draw::Distinct;

/// [`Sampling`] in a case.
fn sampled(
    graph: &Graph,
    x: &[NodeId],
    mode: Interpolation,
    outside: Outside,
    align_corners: bool,
) -> Result<NodeId, GraphError> {
    // Twelve distinct draws lie from -0.27 to 0.28 in steps of 0.05: stretched,
    // some are outside, and none is near a multiple of 1/2 or 2/3, where
    // samples of 2, 3 and 4 elements pass from one to the next.
    let grid = graph.scale(x[1], 6.2)?;
    graph.grid_sample(x[0], grid, Sampling { mode, outside, align_corners })
}

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "grid_sample",
        "y[n,c,p] = x[n,c] at the place grid[n,p], between elements by interpolation",
        || {
            let flat: [(&[usize], Draw); 2] = [(&[1, 2, 3, 4], DRAW), (&[1, 2, 3, 2], PLACES)];
            let solid: [(&[usize], Draw); 2] =
                [(&[1, 1, 2, 3, 3], DRAW), (&[1, 1, 2, 2, 3], PLACES)];
            vec![
                Case::new("linear", &flat, |g, x| {
                    sampled(g, x, Interpolation::Linear, Outside::Zeros, false)
                }),
                Case::new("linear, border, aligned", &flat, |g, x| {
                    sampled(g, x, Interpolation::Linear, Outside::Border, true)
                }),
                Case::new("linear, reflected", &flat, |g, x| {
                    sampled(g, x, Interpolation::Linear, Outside::Reflection, false)
                }),
                Case::new("nearest", &flat, |g, x| {
                    sampled(g, x, Interpolation::Nearest, Outside::Reflection, true)
                }),
                Case::new("cubic", &flat, |g, x| {
                    sampled(g, x, Interpolation::Cubic, Outside::Border, false)
                }),
                Case::new("cubic, three dimensions", &solid, |g, x| {
                    sampled(g, x, Interpolation::Cubic, Outside::Reflection, false)
                }),
                Case::new("linear, three dimensions", &solid, |g, x| {
                    sampled(g, x, Interpolation::Linear, Outside::Border, false)
                }),
            ]
        },
    )
    .rule(
        "nearest: half way goes to the even element, no gradient to the grid; at the outermost \
         place of a border or reflection none either; not finite: outside",
        || {
            let row = |places: &[f64]| {
                let mut grid = Vec::new();
                for place in places {
                    grid.extend([*place, 0.0]);
                }
                vec![
                    Tensor::from_f64(&[1, 1, 1, 4], vec![1.0, 2.0, 4.0, 8.0]),
                    Tensor::from_f64(&[1, 1, places.len(), 2], grid),
                ]
            };
            vec![
                Expectation::new(
                    "half way",
                    row(&[-0.5, 0.0, 0.5]),
                    |g, x| {
                        let (mode, outside) = (Interpolation::Nearest, Outside::Zeros);
                        g.grid_sample(x[0], x[1], Sampling { mode, outside, align_corners: false })
                    },
                    &[1.0, 4.0, 4.0],
                )
                .gradients(&[&[1.0, 0.0, 2.0, 0.0], &[0.0; 6]]),
                Expectation::new(
                    "at the outermost elements and beyond",
                    row(&[-1.0, 1.0, 3.0]),
                    |g, x| {
                        let (mode, outside) = (Interpolation::Linear, Outside::Border);
                        g.grid_sample(x[0], x[1], Sampling { mode, outside, align_corners: true })
                    },
                    &[1.0, 8.0, 8.0],
                )
                .gradients(&[&[1.0, 0.0, 0.0, 2.0], &[0.0; 6]]),
                Expectation::new(
                    "not finite",
                    row(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]),
                    |g, x| {
                        let (mode, outside) = (Interpolation::Linear, Outside::Zeros);
                        g.grid_sample(x[0], x[1], Sampling { mode, outside, align_corners: false })
                    },
                    &[0.0, 0.0, 0.0],
                )
                .gradients(&[&[0.0; 4], &[0.0; 6]]),
            ]
        },
    ),
    Composition::new(
        "affine_grid",
        "y[n,p] = theta[n] (p, 1), p the centres of the elements, [-1,1] the image",
        || {
            vec![
                Case::new("images", &[(&[2, 2, 3], DRAW)], |g, x| {
                    g.affine_grid(x[0], &[3, 2], false)
                }),
                Case::new("three dimensions, aligned", &[(&[1, 3, 4], DRAW)], |g, x| {
                    g.affine_grid(x[0], &[2, 1, 3], true)
                }),
            ]
        },
    ),
];

impl Graph {
    /// Images [N,C,H,W] at places [N,H',W',2], or [N,C,D,H,W] at places
    /// [N,D',H',W',3], in PyTorch's coordinates: x first, and -1 to 1 the image
    /// (Jaderberg et al., "Spatial Transformer Networks", 2015).
    ///
    /// # Errors
    /// Sizes that do not fit, another way to interpolate, an image without
    /// elements, or more than can be counted in the graph's type.
    #[track_caller]
    pub fn grid_sample(
        &self,
        x: NodeId,
        grid: NodeId,
        form: Sampling,
    ) -> Result<NodeId, GraphError> {
        let (image, places) = (self.shape(x), self.shape(grid));
        let dimensions = image.len().saturating_sub(2);
        let fits = matches!(dimensions, 2 | 3)
            && places.len() == image.len()
            && places[0] == image[0]
            && places.last() == Some(&dimensions);
        if !fits {
            let message = "takes [N,C,H,W] and [N,H',W',2], or [N,C,D,H,W] and [N,D',H',W',3]";
            return Err(self.error("grid_sample", &[x, grid], message.to_owned()));
        }
        let sizes = &image[2..];
        let wanted = &places[1..=dimensions];
        let points: usize = wanted.iter().product();
        let grid = self.reshape(grid, &[image[0], points, dimensions])?;
        let mut sources = Vec::new();
        for (d, size) in sizes.iter().enumerate() {
            let place = self.narrow(grid, 2, dimensions - 1 - d, 1, 1)?;
            let place = self.offset(self.reshape(place, &[image[0], points])?, 1.0)?;
            sources.push(if form.align_corners {
                self.scale(place, (*size as f64 - 1.0) / 2.0)?
            } else {
                self.offset(self.scale(place, *size as f64 / 2.0)?, -0.5)?
            });
        }
        let y = match form.mode {
            Interpolation::Linear => {
                for (source, size) in sources.iter_mut().zip(sizes) {
                    *source = self.confine(*source, *size, form)?;
                }
                self.sample_linear(x, &sources)?
            }
            Interpolation::Nearest => {
                for (source, size) in sources.iter_mut().zip(sizes) {
                    *source = self.half_to_even(self.confine(*source, *size, form)?)?;
                }
                self.pick_pixels(x, &sources)?
            }
            Interpolation::Cubic => self.sample_cubic(x, &sources, form)?,
            _ => {
                let message = format!("cannot sample by {:?}", form.mode);
                return Err(self.error("grid_sample", &[x, grid], message));
            }
        };
        self.reshape(y, &[&image[..2], wanted].concat())
    }

    /// The places [N,H',W',2] or [N,D',H',W',3] for [`Graph::grid_sample`] that
    /// the affine maps `theta`, [N,2,3] or [N,3,4], send the elements of an
    /// image of `sizes` to.
    ///
    /// # Errors
    /// Other shapes.
    #[track_caller]
    pub fn affine_grid(
        &self,
        theta: NodeId,
        sizes: &[usize],
        align_corners: bool,
    ) -> Result<NodeId, GraphError> {
        let dimensions = sizes.len();
        let shape = self.shape(theta);
        if shape.len() != 3 || shape[1..] != [dimensions, dimensions + 1] {
            let message = format!("takes maps [N,{dimensions},{}]", dimensions + 1);
            return Err(self.error("affine_grid", &[theta], message));
        }
        let points: usize = sizes.iter().product();
        let strides = contiguous_strides(sizes);
        let mut values = Vec::with_capacity(points * (dimensions + 1));
        for point in 0..points {
            for d in (0..dimensions).rev() {
                let i = (point / strides[d] as usize % sizes[d]) as f64;
                let size = sizes[d] as f64;
                values.push(match align_corners {
                    true if sizes[d] < 2 => 0.0,
                    true => 2.0 * i / (size - 1.0) - 1.0,
                    false => (2.0 * i + 1.0) / size - 1.0,
                });
            }
            values.push(1.0);
        }
        let ty = TensorType::new(self.float(), &[points, dimensions + 1]);
        let base = self.constant(Tensor::new(&ty, &values))?;
        let places = self.matmul_with(base, theta, false, true)?;
        self.reshape(places, &[&shape[..1], sizes, &[dimensions]].concat())
    }

    /// A coordinate brought to where the image has a value.
    #[track_caller]
    fn confine(&self, x: NodeId, size: usize, form: Sampling) -> Result<NodeId, GraphError> {
        match form.outside {
            Outside::Zeros => Ok(x),
            Outside::Border => self.clip_coordinate(x, size),
            Outside::Reflection => {
                let (low, span) =
                    if form.align_corners { (0.0, size as f64 - 1.0) } else { (-0.5, size as f64) };
                if span == 0.0 {
                    return self.scale(self.clip_coordinate(x, size)?, 0.0);
                }
                let distance = self.abs(self.offset(x, -low)?)?;
                let flips = self.floor(self.scale(distance, 1.0 / span)?)?;
                let within = self.sub(distance, self.scale(flips, span)?)?;
                let pairs = self.floor(self.scale(flips, 0.5)?)?;
                let odd = self.sub(flips, self.scale(pairs, 2.0)?)?;
                let back = self.sub(self.scalar(span)?, within)?;
                self.clip_coordinate(self.offset(self.select(odd, back, within)?, low)?, size)
            }
        }
    }

    /// A coordinate cut off at the outermost elements, without a gradient there
    /// and beyond; NaN counts as below.
    #[track_caller]
    fn clip_coordinate(&self, x: NodeId, size: usize) -> Result<NodeId, GraphError> {
        let (zero, last) = (self.scalar(0.0)?, self.scalar(size as f64 - 1.0)?);
        let x = self.select(self.greater(x, zero)?, x, zero)?;
        self.select(self.greater(last, x)?, x, last)
    }

    /// The nearest whole number, the even one of two; no gradient.
    #[track_caller]
    fn half_to_even(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let lower = self.floor(x)?;
        let above = self.sub(x, lower)?;
        let half = self.scalar(0.5)?;
        let odd = self.sub(lower, self.scale(self.floor(self.scale(lower, 0.5)?)?, 2.0)?)?;
        let up = self.select(self.equal(above, half)?, odd, self.greater(above, half)?)?;
        self.add(lower, up)
    }

    /// Images [N,C,…] at coordinates [N,P] counted in elements, one for each
    /// dimension, linear between elements and zero outside: [N,C,P].
    #[track_caller]
    pub(super) fn sample_linear(
        &self,
        x: NodeId,
        coordinates: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let one = self.scalar(1.0)?;
        let far = self.scalar(FAR)?;
        let mut sides = Vec::new();
        for coordinate in coordinates {
            // Infinities and NaN would spoil the weights.
            let near = self.greater(far, self.abs(*coordinate)?)?;
            let coordinate = self.select(near, *coordinate, self.scalar(-2.0)?)?;
            let lower = self.floor(coordinate)?;
            let share = self.sub(coordinate, lower)?;
            sides.push([(lower, self.sub(one, share)?), (self.add(lower, one)?, share)]);
        }
        let mut total = None;
        for corner in 0..1 << coordinates.len() {
            let side = |d: usize| sides[d][corner >> d & 1];
            let positions: Vec<_> = (0..sides.len()).map(|d| side(d).0).collect();
            let mut weight = side(0).1;
            for d in 1..sides.len() {
                weight = self.mul(weight, side(d).1)?;
            }
            total = Some(self.add_weighted(total, x, &positions, weight)?);
        }
        total.ok_or_else(|| self.error("sample", &[x], "has no dimensions to sample".to_owned()))
    }

    /// Images [N,C,…] at coordinates [N,P] as in [`Graph::sample_linear`], by cubic
    /// convolution; see [`Interpolation::Cubic`].
    #[track_caller]
    fn sample_cubic(
        &self,
        x: NodeId,
        coordinates: &[NodeId],
        form: Sampling,
    ) -> Result<NodeId, GraphError> {
        let sizes = &self.shape(x)[2..];
        let mut taps = Vec::new();
        for (coordinate, size) in coordinates.iter().zip(sizes) {
            let lower = self.floor(*coordinate)?;
            let weights = self.cubic_weights(self.sub(*coordinate, lower)?)?;
            let mut own = Vec::new();
            for (k, weight) in weights.into_iter().enumerate() {
                let position = self.offset(lower, k as f64 - 1.0)?;
                own.push((self.confine(position, *size, form)?, weight));
            }
            taps.push(own);
        }
        let mut total = None;
        for element in 0..4_usize.pow(taps.len() as u32) {
            let tap = |d: usize| &taps[d][element / 4_usize.pow(d as u32) % 4];
            let positions: Vec<_> = (0..taps.len()).map(|d| tap(d).0).collect();
            let mut weight = tap(0).1;
            for d in 1..taps.len() {
                weight = self.mul(weight, tap(d).1)?;
            }
            total = Some(self.add_weighted(total, x, &positions, weight)?);
        }
        total.ok_or_else(|| self.error("sample", &[x], "has no dimensions to sample".to_owned()))
    }

    /// Weights of the elements at -1, 0, 1 and 2 for a value at `t` in [0,1).
    #[track_caller]
    fn cubic_weights(&self, t: NodeId) -> Result<[NodeId; 4], GraphError> {
        // Each a polynomial in its distance from the element: 1 and 2 beyond
        // the nearer two.
        let near = [1.0, 0.0, -(CUBIC + 3.0), CUBIC + 2.0];
        let far = [-4.0 * CUBIC, 8.0 * CUBIC, -5.0 * CUBIC, CUBIC];
        let back = self.sub(self.scalar(1.0)?, t)?;
        let beyond = self.offset(t, 1.0)?;
        let ahead = self.offset(back, 1.0)?;
        let mut weights = [t; 4];
        let distances = [(beyond, far), (t, near), (back, near), (ahead, far)];
        for (weight, (distance, [a, b, c, d])) in weights.iter_mut().zip(distances) {
            let mut value = self.offset(self.scale(distance, d)?, c)?;
            for coefficient in [b, a] {
                value = self.offset(self.mul(value, distance)?, coefficient)?;
            }
            *weight = value;
        }
        Ok(weights)
    }

    /// `total` plus `weight` [N,P] times the elements at `positions`.
    #[track_caller]
    fn add_weighted(
        &self,
        total: Option<NodeId>,
        x: NodeId,
        positions: &[NodeId],
        weight: NodeId,
    ) -> Result<NodeId, GraphError> {
        let [batch, points] = [self.shape(weight)[0], self.shape(weight)[1]];
        let weight = self.reshape(weight, &[batch, 1, points])?;
        let share = self.mul(self.pick_pixels(x, positions)?, weight)?;
        match total {
            Some(total) => self.add(total, share),
            None => Ok(share),
        }
    }

    /// The elements of images [N,C,…] at whole coordinates [N,P], one for each
    /// dimension: [N,C,P]; zero outside and where a coordinate is NaN.
    #[track_caller]
    fn pick_pixels(&self, x: NodeId, coordinates: &[NodeId]) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let sizes = &shape[2..];
        let elements: usize = sizes.iter().product();
        let exact = match self.float() {
            DType::F32 => 1 << f32::MANTISSA_DIGITS,
            _ => i32::MAX as usize,
        };
        if elements == 0 || elements > exact {
            let message = format!("cannot sample an image of {elements} elements");
            return Err(self.error("sample", &[x], message));
        }
        let zero = self.scalar(0.0)?;
        let mut inside = self.scalar(1.0)?;
        for (coordinate, size) in coordinates.iter().zip(sizes) {
            let last = self.scalar(*size as f64 - 1.0)?;
            inside = self.mul(inside, self.greater_equal(*coordinate, zero)?)?;
            inside = self.mul(inside, self.greater_equal(last, *coordinate)?)?;
        }
        let mut flat = zero;
        for (coordinate, stride) in coordinates.iter().zip(contiguous_strides(sizes)) {
            flat = self.add(flat, self.scale(*coordinate, stride as f64)?)?;
        }
        let flat = self.to_index(self.select(inside, flat, zero)?)?;
        let [batch, points] = [shape[0], self.shape(flat)[1]];
        let index = self.reshape(flat, &[batch, 1, points])?;
        let index = self.expand(index, &[batch, shape[1], points])?;
        let picked = self.gather(self.flatten_from(x, 2)?, 2, index)?;
        self.select(self.reshape(inside, &[batch, 1, points])?, picked, zero)
    }
}

/// Coordinates further out than any image reaches.
const FAR: f64 = 1e9;
