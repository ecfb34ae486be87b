//! Weights that are drawn.

use super::{Initializer, InitializerEntry, Weights, gain};
use speck_engine::kernels::Real;
use speck_models::{Dimension, Settings};

const DEVIATION: Dimension =
    Dimension::float("init_deviation", "standard deviation", (0.0, 1e6), 0.02);

pub(super) const NORMAL: InitializerEntry = InitializerEntry {
    name: "normal",
    summary: "normal with mean 0 and deviation init_deviation",
    source: "torch.nn.init.normal_",
    dimensions: &[DEVIATION],
    make: |settings| scaled(settings.float("init_deviation"), Form::Normal, |_| 1.0),
};

pub(super) const UNIFORM: InitializerEntry = InitializerEntry {
    name: "uniform",
    summary: "uniform in ± init_bound",
    source: "torch.nn.init.uniform_",
    dimensions: &[Dimension::float("init_bound", "the bound", (0.0, 1e6), 0.05)],
    make: |settings| scaled(settings.float("init_bound") / ROOT_OF_3, Form::Uniform, |_| 1.0),
};

pub(super) const TRUNCATED_NORMAL: InitializerEntry = InitializerEntry {
    name: "truncated_normal",
    summary: "normal with deviation init_deviation, drawn again beyond two deviations",
    source: "torch.nn.init.trunc_normal_ with bounds of two deviations; by inversion of the distribution as there",
    dimensions: &[DEVIATION],
    make: |settings| scaled(settings.float("init_deviation"), Form::Truncated, |_| 1.0),
};

pub(super) const XAVIER_UNIFORM: InitializerEntry = InitializerEntry {
    name: "xavier_uniform",
    summary: "uniform in ± init_gain √(6 / (fan_in + fan_out))",
    source: "Glorot and Bengio, \"Understanding the difficulty of training deep feedforward neural networks\", 2010",
    dimensions: &[gain(1.0)],
    make: |settings| scaled(settings.float("init_gain"), Form::Uniform, both),
};

pub(super) const XAVIER_NORMAL: InitializerEntry = InitializerEntry {
    name: "xavier_normal",
    summary: "normal with deviation init_gain √(2 / (fan_in + fan_out))",
    source: "Glorot and Bengio, \"Understanding the difficulty of training deep feedforward neural networks\", 2010",
    dimensions: &[gain(1.0)],
    make: |settings| scaled(settings.float("init_gain"), Form::Normal, both),
};

const FAN: Dimension = Dimension::choice(
    "init_fan",
    "whether the forward or the backward pass keeps its size",
    &["fan_in", "fan_out"],
    "fan_in",
);

const SLOPE: Dimension =
    Dimension::float("init_slope", "slope of a leaky rectifier below zero: a", (0.0, 100.0), 0.0);

pub(super) const HE_UNIFORM: InitializerEntry = InitializerEntry {
    name: "he_uniform",
    summary: "uniform in ± √(6 / ((1 + a²) fan))",
    source: "He et al., \"Delving Deep into Rectifiers\", 2015",
    dimensions: &[SLOPE, FAN],
    make: |settings| he(settings, Form::Uniform),
};

pub(super) const HE_NORMAL: InitializerEntry = InitializerEntry {
    name: "he_normal",
    summary: "normal with deviation √(2 / ((1 + a²) fan))",
    source: "He et al., \"Delving Deep into Rectifiers\", 2015",
    dimensions: &[SLOPE, FAN],
    make: |settings| he(settings, Form::Normal),
};

pub(super) const LECUN_UNIFORM: InitializerEntry = InitializerEntry {
    name: "lecun_uniform",
    summary: "uniform in ± √(3 / fan_in)",
    source: "LeCun et al., \"Efficient BackProp\", 1998, section 4.6",
    dimensions: &[gain(1.0)],
    make: |settings| scaled(settings.float("init_gain"), Form::Uniform, into),
};

pub(super) const LECUN_NORMAL: InitializerEntry = InitializerEntry {
    name: "lecun_normal",
    summary: "normal with deviation √(1 / fan_in)",
    source: "LeCun et al., \"Efficient BackProp\", 1998, section 4.6",
    dimensions: &[gain(1.0)],
    make: |settings| scaled(settings.float("init_gain"), Form::Normal, into),
};

pub(super) const ORTHOGONAL: InitializerEntry = InitializerEntry {
    name: "orthogonal",
    summary: "init_gain times a matrix [outputs, the rest] whose rows, or columns if they are fewer, are orthogonal and of length 1",
    source: "Saxe, McClelland and Ganguli, \"Exact solutions to the nonlinear dynamics of learning in deep linear neural networks\", 2013",
    dimensions: &[gain(1.0)],
    make: |settings| Box::new(Orthogonal { gain: settings.float("init_gain") }),
};

/// √3: the bound of a uniform distribution with deviation 1.
const ROOT_OF_3: f64 = 1.732_050_807_568_877_2;

#[derive(Clone, Copy)]
enum Form {
    Normal,
    Uniform,
    Truncated,
}

/// A deviation times what a shape asks for.
struct Scaled {
    deviation: f64,
    form: Form,
    shape: fn(&Weights<'_>) -> f64,
}

fn scaled(deviation: f64, form: Form, shape: fn(&Weights<'_>) -> f64) -> Box<dyn Initializer> {
    Box::new(Scaled { deviation, form, shape })
}

fn he(settings: &Settings, form: Form) -> Box<dyn Initializer> {
    let slope = settings.float("init_slope");
    let back: fn(&Weights<'_>) -> f64 = |weights| weights.fan_out().sqrt().recip();
    let shape = if settings.text("init_fan") == "fan_out" { back } else { into };
    scaled((2.0 / (1.0 + slope * slope)).sqrt(), form, shape)
}

fn both(weights: &Weights<'_>) -> f64 {
    (2.0 / (weights.fan_in() + weights.fan_out())).sqrt()
}

fn into(weights: &Weights<'_>) -> f64 {
    weights.fan_in().sqrt().recip()
}

/// Where a normal distribution is cut, in deviations.
const CUT: f64 = 2.0;

impl Initializer for Scaled {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        let n = weights.elements();
        let deviation = self.deviation * (self.shape)(weights);
        let (draws, factor) = match self.form {
            Form::Normal => (weights.normal(n), deviation),
            Form::Uniform => (weights.uniform(n), deviation * ROOT_OF_3),
            Form::Truncated => {
                let draws = weights.uniform(n).into_iter().map(truncated).collect();
                (draws, deviation)
            }
        };
        Some(draws.into_iter().map(|draw| draw * factor).collect())
    }
}

/// The point of the normal distribution within ± [`CUT`] that a uniform draw in
/// -1..1 stands for, by bisection.
fn truncated(draw: f64) -> f64 {
    let root = std::f64::consts::SQRT_2;
    let wanted = draw * Real::erf(CUT / root);
    let (mut low, mut high) = (-CUT, CUT);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if Real::erf(middle / root) < wanted { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

pub(super) struct Orthogonal {
    pub gain: f64,
}

impl Initializer for Orthogonal {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        let rows = weights.shape[0];
        let columns = weights.elements() / rows.max(1);
        // As many vectors as there are of the fewer, in the space of the more.
        let (count, length) = (rows.min(columns), rows.max(columns));
        let mut vectors = weights.normal(count * length);
        for i in 0..count {
            let (before, rest) = vectors.split_at_mut(i * length);
            let own = &mut rest[..length];
            // Twice: once leaves rounding of the size of what was taken away.
            for _ in 0..2 {
                for other in before.chunks_exact(length) {
                    let along: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
                    own.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
                }
            }
            let size = own.iter().map(|v| v * v).sum::<f64>().sqrt();
            own.iter_mut().for_each(|v| *v *= 1.0 / size);
        }
        let place = |at: usize| match rows <= columns {
            true => at,
            false => at % columns * length + at / columns,
        };
        Some((0..rows * columns).map(|at| self.gain * vectors[place(at)]).collect())
    }
}
