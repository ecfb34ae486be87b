//! Weights that are set up to see something.

use super::{Initializer, InitializerEntry, Weights, gain};
use speck_models::Dimension;
use std::f64::consts::PI;

pub(super) const ZERO: InitializerEntry = InitializerEntry {
    name: "zero",
    summary: "0: the layers behind learn nothing until these have moved",
    source: "torch.nn.init.zeros_",
    dimensions: &[],
    make: |_| of(1.0, |_, _, _| 0.0),
};

pub(super) const IDENTITY: InitializerEntry = InitializerEntry {
    name: "identity",
    summary: "init_gain where output = input, at the centre of a kernel, else 0",
    source: "torch.nn.init.eye_ and dirac_; Zagoruyko and Komodakis, \"DiracNets\", 2017",
    dimensions: &[gain(1.0)],
    make: |settings| {
        of(settings.float("init_gain"), |weights, place, at| {
            let centred = at.iter().zip(&weights.shape[2..]).all(|(at, size)| *at == size / 2);
            f64::from(u8::from(place[0] == place[1] && centred))
        })
    },
};

pub(super) const DCT: InitializerEntry = InitializerEntry {
    name: "dct",
    summary: "output k is the k-th cosine: √(2/n) cos(π (i + 1/2) k / n) of the n inputs; of a convolution the k-th product of two cosines of its kernel, the slow ones first, over √inputs",
    source: "Ahmed, Natarajan and Rao, \"Discrete Cosine Transform\", 1974; Ulicny, Krylov and Dahyot, \"Harmonic Convolutional Networks\", 2018",
    dimensions: &[gain(1.0)],
    make: |settings| {
        of(settings.float("init_gain"), |weights, [output, input], at| match at {
            [row, column] => {
                let [height, width] = [weights.shape[2], weights.shape[3]];
                let (u, v) = slow_first(output % (height * width), height, width);
                cosine(u, *row, height) * cosine(v, *column, width)
                    / (weights.shape[1] as f64).sqrt()
            }
            _ => cosine(output % weights.shape[1].max(1), input, weights.shape[1]),
        })
    },
};

pub(super) const GABOR: InitializerEntry = InitializerEntry {
    name: "gabor",
    summary: "kernels exp(-(x² + y²) / 2σ²) cos(2π f (x cos θ + y sin θ) + φ), θ going half around with the outputs, φ by turns 0 and π/2, σ a quarter and f the inverse of the kernel's size; each of length init_gain; other layers as the model has them",
    source: "Gabor, 1946; Daugman, 1985; as the first layer: Luan et al., \"Gabor Convolutional Networks\", 2017",
    dimensions: &[
        gain(1.0),
        Dimension::float("init_cycles", "waves in a kernel", (0.0, 100.0), 1.0),
    ],
    make: |settings| {
        Box::new(Gabor { gain: settings.float("init_gain"), cycles: settings.float("init_cycles") })
    },
};

pub(super) const LINES: InitializerEntry = InitializerEntry {
    name: "lines",
    summary: "detectors of rows and columns: kernels with init_gain along the middle row, the middle column by turns, less its mean; the matrix that reads 64 + 64 outputs from maps of 64 × 64 sums over each row and each column; other layers as the model has them",
    source: "the task itself: a speck's row and column are where the sums along lines differ",
    dimensions: &[gain(1.0)],
    make: |settings| Box::new(Lines { gain: settings.float("init_gain") }),
};

pub(super) const RETINOTOPIC: InitializerEntry = InitializerEntry {
    name: "retinotopic",
    summary: "matrices: output o of m looks at inputs near o n / m of n: a bell of width init_width · n, its sum init_gain; other layers as the model has them",
    source: "topographic maps: Willshaw and von der Malsburg, \"How patterned neural connections can be set up by self-organization\", 1976",
    dimensions: &[
        gain(1.0),
        Dimension::float(
            "init_width",
            "width of the bell, as a share of the inputs",
            (1e-6, 1.0),
            0.05,
        ),
    ],
    make: |settings| {
        Box::new(Retinotopic {
            gain: settings.float("init_gain"),
            width: settings.float("init_width"),
        })
    },
};

/// Orthonormal cosines.
fn cosine(k: usize, at: usize, n: usize) -> f64 {
    let scale = if k == 0 { 1.0 } else { 2f64.sqrt() };
    scale / (n as f64).sqrt() * (PI * (at as f64 + 0.5) * k as f64 / n as f64).cos()
}

/// The k-th pair of frequencies by their sum.
fn slow_first(k: usize, height: usize, width: usize) -> (usize, usize) {
    let mut pairs: Vec<_> = (0..height * width).map(|at| (at / width, at % width)).collect();
    pairs.sort_by_key(|(u, v)| (u + v, *u));
    pairs[k]
}

/// A formula of the output and the input, and of the place in a kernel.
type Formula = fn(&Weights<'_>, [usize; 2], &[usize]) -> f64;

struct Each {
    gain: f64,
    formula: Formula,
}

fn of(gain: f64, formula: Formula) -> Box<dyn Initializer> {
    Box::new(Each { gain, formula })
}

impl Initializer for Each {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        Some(each(weights, |place, at| self.gain * (self.formula)(weights, place, at)))
    }
}

/// The values at all places, given as `[output, input]` and the place in a kernel.
fn each(weights: &Weights<'_>, formula: impl Fn([usize; 2], &[usize]) -> f64) -> Vec<f64> {
    let shape = weights.shape;
    let mut place = vec![0; shape.len()];
    let mut values = Vec::with_capacity(weights.elements());
    for _ in 0..weights.elements() {
        values.push(formula([place[0], place[1]], &place[2..]));
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            if place[axis] < shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    values
}

struct Gabor {
    gain: f64,
    cycles: f64,
}

impl Initializer for Gabor {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        let [outputs, inputs, height, width] = *weights.shape else { return None };
        let size = height.max(width) as f64;
        let mut values = each(weights, |[output, _], at| {
            let y = at[0] as f64 - (height as f64 - 1.0) / 2.0;
            let x = at[1] as f64 - (width as f64 - 1.0) / 2.0;
            let (sine, cosine) = (PI * output as f64 / outputs as f64).sin_cos();
            let phase = if output % 2 == 0 { 0.0 } else { PI / 2.0 };
            let bell = (-(x * x + y * y) / (2.0 * (size / 4.0).powi(2))).exp();
            bell * (2.0 * PI * self.cycles / size * (x * cosine + y * sine) + phase).cos()
        });
        for kernel in values.chunks_exact_mut((inputs * height * width).max(1)) {
            let norm = kernel.iter().map(|v| v * v).sum::<f64>().sqrt();
            let factor = if norm > 0.0 { self.gain / norm } else { 0.0 };
            kernel.iter_mut().for_each(|v| *v *= factor);
        }
        Some(values)
    }
}

/// Rows and columns of the screen.
const SCREEN: usize = 64;

struct Lines {
    gain: f64,
}

impl Initializer for Lines {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        match *weights.shape {
            [_, _, height, width] if height * width > 1 => Some(each(weights, |place, at| {
                // Along the row where outputs are even, along the column where odd.
                let (on, share) = match place[0] % 2 {
                    0 => (at[0] == height / 2, 1.0 / height as f64),
                    _ => (at[1] == width / 2, 1.0 / width as f64),
                };
                self.gain * (f64::from(u8::from(on)) - share)
            })),
            [outputs, inputs]
                if outputs == 2 * SCREEN && inputs > 0 && inputs % (SCREEN * SCREEN) == 0 =>
            {
                let scale = self.gain / (inputs / SCREEN) as f64;
                Some(each(weights, |[output, input], _| {
                    let (row, column) = (input / SCREEN % SCREEN, input % SCREEN);
                    let on =
                        if output < SCREEN { row == output } else { column + SCREEN == output };
                    scale * f64::from(u8::from(on))
                }))
            }
            _ => None,
        }
    }
}

struct Retinotopic {
    gain: f64,
    width: f64,
}

impl Initializer for Retinotopic {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        let [outputs, inputs] = *weights.shape else { return None };
        let mut values = each(weights, |[output, input], _| {
            let seen = (input as f64 + 0.5) / inputs as f64;
            let wanted = (output as f64 + 0.5) / outputs as f64;
            (-((seen - wanted) / self.width).powi(2) / 2.0).exp()
        });
        for row in values.chunks_exact_mut(inputs.max(1)) {
            let sum: f64 = row.iter().sum();
            let factor = if sum > 0.0 { self.gain / sum } else { 0.0 };
            row.iter_mut().for_each(|v| *v *= factor);
        }
        Some(values)
    }
}
