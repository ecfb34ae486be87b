//! Images resampled to other sizes: one dimension after the other, each new
//! element a weighted sum of old ones at places known beforehand.

use crate::check::values::Expectation;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use std::iter::repeat_n;

/// What a value between the elements of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest element; in [`Graph::interpolate`] the one found by rounding
    /// down, as PyTorch's `nearest` does.
    Nearest,
    /// The nearest element, centre to centre.
    NearestExact,
    /// Linear between the two neighbours along each dimension.
    Linear,
    /// Cubic convolution with A = -0.75 along each dimension.
    Cubic,
    /// The mean of what the new element covers, in whole elements.
    Area,
}

/// The size an image is resampled to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Sizes of the dimensions after the second.
    Sizes(Vec<usize>),
    /// Factors for those dimensions; sizes are rounded down. The distance
    /// between new elements is one over the factor, or with `recompute` what
    /// follows from the rounded sizes.
    Factors {
        /// The factors.
        factors: Vec<f64>,
        /// Whether to go by the rounded sizes.
        recompute: bool,
    },
}

/// How an image is resampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampling {
    /// The new size.
    pub target: Target,
    /// What is taken between elements.
    pub mode: Interpolation,
    /// Whether the centres of the outermost elements stay where they are,
    /// instead of the image's edges; for linear and cubic.
    pub align_corners: bool,
    /// Whether weights are as wide as the new elements where those are larger
    /// than the old ones; for linear and cubic.
    pub antialias: bool,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

fn sized(sizes: &[usize], mode: Interpolation, align_corners: bool) -> Resampling {
    let target = Target::Sizes(sizes.to_vec());
    Resampling { target, mode, align_corners, antialias: false }
}

pub(super) const ALL: &[Composition] = &[Composition::new(
    "interpolate",
    "y[i,j] = Σ v(i,k) w(j,l) x[k,l], the weights those of the mode",
    || {
        vec![
            Case::new("nearest, one dimension", &[(&[1, 2, 4], DRAW)], |g, x| {
                g.interpolate(x[0], &sized(&[7], Interpolation::Nearest, false))
            }),
            Case::new("nearest centres, three dimensions", &[(&[1, 1, 2, 3, 2], DRAW)], |g, x| {
                g.interpolate(x[0], &sized(&[3, 2, 4], Interpolation::NearestExact, false))
            }),
            Case::new("linear", &[(&[1, 2, 3, 4], DRAW)], |g, x| {
                let target = Target::Factors { factors: vec![1.7, 0.6], recompute: false };
                let form = Resampling { target, ..sized(&[], Interpolation::Linear, false) };
                g.interpolate(x[0], &form)
            }),
            Case::new("linear, corners aligned", &[(&[1, 2, 3, 4], DRAW)], |g, x| {
                g.interpolate(x[0], &sized(&[5, 3], Interpolation::Linear, true))
            }),
            Case::new("cubic", &[(&[1, 1, 3, 5], DRAW)], |g, x| {
                g.interpolate(x[0], &sized(&[5, 3], Interpolation::Cubic, false))
            }),
            Case::new("cubic, antialiased", &[(&[1, 1, 9], DRAW)], |g, x| {
                let form = sized(&[3], Interpolation::Cubic, false);
                g.interpolate(x[0], &Resampling { antialias: true, ..form })
            }),
            Case::new("area", &[(&[1, 1, 3, 5], DRAW)], |g, x| {
                g.interpolate(x[0], &sized(&[2, 3], Interpolation::Area, false))
            }),
        ]
    },
)
.rule(
    "half way between two elements the nearest is the later one; beyond the outermost, those",
    || {
        let row = |values: &[f64]| vec![Tensor::from_f64(&[1, 1, values.len()], values.to_vec())];
        vec![
            Expectation::new(
                "centres half way between elements",
                row(&[1.0, 2.0, 3.0, 4.0]),
                |g, x| g.interpolate(x[0], &sized(&[2], Interpolation::NearestExact, false)),
                &[2.0, 4.0],
            )
            .gradients(&[&[0.0, 1.0, 0.0, 1.0]]),
            Expectation::new(
                "rounded down",
                row(&[1.0, 2.0, 3.0, 4.0]),
                |g, x| g.interpolate(x[0], &sized(&[2], Interpolation::Nearest, false)),
                &[1.0, 3.0],
            )
            .gradients(&[&[1.0, 0.0, 1.0, 0.0]]),
            Expectation::new(
                "beyond the outermost elements",
                row(&[1.0, 2.0]),
                |g, x| g.interpolate(x[0], &sized(&[4], Interpolation::Linear, false)),
                &[1.0, 1.25, 1.75, 2.0],
            )
            .gradients(&[&[2.0, 2.0]]),
        ]
    },
)];

/// For each new element of a dimension, equally many places and weights.
pub(super) struct Taps {
    /// Places, all those of the first new element first.
    pub(super) index: Vec<usize>,
    weight: Vec<f64>,
    elements: usize,
}

impl Taps {
    fn new(taps: impl ExactSizeIterator<Item = Vec<(usize, f64)>>) -> Self {
        let elements = taps.len();
        let (index, weight) = taps.flatten().unzip();
        Taps { index, weight, elements }
    }

    /// `to` elements out of `from`, `step` apart, each the weighted mean of the
    /// elements it covers, at least of its neighbours.
    fn smoothed(from: usize, to: usize, step: f64, mode: Interpolation) -> Self {
        let (reach, weight): (f64, fn(f64) -> f64) = match mode {
            Interpolation::Cubic => (2.0, |distance| cubic_weight(distance, CUBIC_ANTIALIAS)),
            _ => (1.0, linear_weight),
        };
        let width = step.max(1.0);
        let windows: Vec<Vec<_>> = (0..to)
            .map(|i| {
                let centre = (i as f64 + 0.5) * step;
                // Casts of negative numbers give 0.
                let first = (centre - reach * width + 0.5) as usize;
                let end = ((centre + reach * width + 0.5) as usize).min(from);
                let weigh = |at: usize| (at, weight((at as f64 + 0.5 - centre) / width));
                let taps: Vec<_> = (first.min(end)..end).map(weigh).collect();
                let total: f64 = taps.iter().map(|(_, weight)| weight).sum();
                taps.into_iter().map(|(at, weight)| (at, weight / total)).collect()
            })
            .collect();
        let longest = windows.iter().map(Vec::len).max().unwrap_or(0);
        Taps::new(windows.into_iter().map(|mut taps| {
            let last = taps.last().map_or(0, |(at, _)| *at);
            taps.extend(repeat_n((last, 0.0), longest - taps.len()));
            taps
        }))
    }

    /// The mean of each window. A short one is filled up with its last place,
    /// which has no weight there.
    pub(super) fn means(windows: &[Vec<usize>]) -> Self {
        let longest = windows.iter().map(Vec::len).max().unwrap_or(0);
        Taps::new(windows.iter().map(|window| {
            let last = window.len().saturating_sub(1);
            let share = 1.0 / window.len() as f64;
            let tap = |i: usize| (window[i.min(last)], if i <= last { share } else { 0.0 });
            (0..longest).map(tap).collect()
        }))
    }

    /// `to` elements out of `from`, at least one, `step` apart. The conventions
    /// are PyTorch's.
    fn resampled(
        from: usize,
        to: usize,
        step: f64,
        mode: Interpolation,
        align_corners: bool,
    ) -> Self {
        let last = from - 1;
        let place =
            |i: usize| if align_corners { i as f64 * step } else { (i as f64 + 0.5) * step - 0.5 };
        let nearest = |i: usize| match mode {
            _ if from == to => i,
            // Places are found in single precision whatever the type of the
            // image, so that all types pick the same elements.
            Interpolation::Nearest if to == 2 * from => i / 2,
            Interpolation::Nearest => ((i as f32 * step as f32).floor() as usize).min(last),
            _ => {
                let place = (i as f64 + 0.5) * f64::from(step as f32);
                ((place as f32).floor() as usize).min(last)
            }
        };
        let linear = |i: usize| {
            let place = if from == to { i as f64 } else { place(i) };
            // A cast of a place before the first element gives 0.
            let lower = (place.floor() as usize).min(last);
            let upper = (lower + 1).min(last);
            let share = (place - lower as f64).clamp(0.0, 1.0);
            vec![(lower, 1.0 - share), (upper, share)]
        };
        let cubic = |i: usize| {
            let place = place(i);
            let lower = place.floor();
            let tap = |(k, weight): (usize, f64)| {
                ((lower + k as f64 - 1.0).clamp(0.0, last as f64) as usize, weight)
            };
            let distance = |k: usize| place - lower + 1.0 - k as f64;
            (0..4).map(|k| tap((k, cubic_weight(distance(k), CUBIC)))).collect()
        };
        match mode {
            Interpolation::Nearest | Interpolation::NearestExact => {
                Taps::new((0..to).map(|i| vec![(nearest(i), 1.0)]))
            }
            Interpolation::Linear => Taps::new((0..to).map(linear)),
            Interpolation::Cubic => Taps::new((0..to).map(cubic)),
            Interpolation::Area => {
                let window = |i: usize| (i * from / to..((i + 1) * from).div_ceil(to)).collect();
                Taps::means(&(0..to).map(window).collect::<Vec<_>>())
            }
        }
    }
}

/// The slope parameter of cubic convolution; PyTorch's choice.
pub(super) const CUBIC: f64 = -0.75;
/// The same with antialiasing; Keys' own choice.
const CUBIC_ANTIALIAS: f64 = -0.5;

/// The weight of an element at a distance by linear interpolation.
fn linear_weight(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

/// The weight of an element at a distance by cubic convolution with slope
/// parameter `a` (Keys, "Cubic Convolution Interpolation for Digital Image
/// Processing", 1981).
fn cubic_weight(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

impl Graph {
    /// Images [N,C,…] resampled along the dimensions after the second, of which
    /// there are as many as the target says (PyTorch's `interpolate`).
    ///
    /// # Errors
    /// Another number of dimensions, or a size of 0 before or after.
    #[track_caller]
    pub fn interpolate(&self, x: NodeId, form: &Resampling) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let old = shape.get(2..).unwrap_or_default();
        let rounded = |(size, factor): (&usize, &f64)| (*size as f64 * factor).floor() as usize;
        let (sizes, factors) = match &form.target {
            Target::Sizes(sizes) => (sizes.clone(), None),
            Target::Factors { factors, recompute } => {
                let sizes = old.iter().zip(factors).map(rounded).collect();
                (sizes, (!recompute).then_some(factors))
            }
        };
        if old.is_empty() || sizes.len() != old.len() {
            let message = format!("takes images [N,C,…] with {} sizes", sizes.len());
            return Err(self.error("interpolate", &[x], message));
        }
        let possible = |size: &usize| (1..=i32::MAX as usize).contains(size);
        if !old.iter().chain(&sizes).all(possible) {
            let message = format!("cannot go from {old:?} to {sizes:?}");
            return Err(self.error("interpolate", &[x], message));
        }
        let smooth = matches!(form.mode, Interpolation::Linear | Interpolation::Cubic);
        let align_corners = form.align_corners && smooth;
        let step = |from: usize, to: usize, factor: Option<f64>| match factor {
            _ if align_corners && to < 2 => 0.0,
            _ if align_corners => (from - 1) as f64 / (to - 1) as f64,
            Some(factor) => 1.0 / factor,
            None => from as f64 / to as f64,
        };
        let mut y = x;
        for (i, (from, to)) in old.iter().zip(&sizes).enumerate() {
            let factor = factors.and_then(|factors| factors.get(i).copied());
            let step = step(*from, *to, factor);
            let taps = if form.antialias && smooth {
                Taps::smoothed(*from, *to, step, form.mode)
            } else {
                Taps::resampled(*from, *to, step, form.mode, align_corners)
            };
            y = self.weigh_taps(y, 2 + i, &taps)?;
        }
        Ok(y)
    }

    /// The weighted sums of elements of `x` along `axis` that `taps` says. What
    /// has no weight does not count, whatever it is.
    #[track_caller]
    pub(super) fn weigh_taps(
        &self,
        x: NodeId,
        axis: usize,
        taps: &Taps,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        if taps.index.iter().copied().eq(0..shape[axis]) && taps.weight.iter().all(|w| *w == 1.0) {
            return Ok(x);
        }
        let picked = self.index_select(x, axis, self.constant_index(&taps.index)?)?;
        if taps.index.len() == taps.elements && taps.weight.iter().all(|w| *w == 1.0) {
            return Ok(picked);
        }
        let each = taps.index.len() / taps.elements.max(1);
        let rest = &shape[axis + 1..];
        let split = [&shape[..axis], &[taps.elements, each], rest].concat();
        let mut picked = self.reshape(picked, &split)?;
        let along = [&[taps.elements, each][..], &vec![1; rest.len()]].concat();
        let ty = TensorType::new(self.float(), &along);
        let weight = self.constant(Tensor::new(&ty, &taps.weight))?;
        if taps.weight.contains(&0.0) {
            // An infinity or NaN must not come in through a weight of 0.
            picked = self.select(weight, picked, self.scalar(0.0)?)?;
        }
        self.sum(self.mul(picked, weight)?, &[axis + 1])
    }

    /// Positions as a constant.
    #[track_caller]
    pub(super) fn constant_index(&self, index: &[usize]) -> Result<NodeId, GraphError> {
        let values: Vec<f64> = index.iter().map(|i| *i as f64).collect();
        self.constant(Tensor::new(&TensorType::new(DType::I32, &[index.len()]), &values))
    }
}
