//! The density of the Hessian's eigenvalues, by stochastic Lanczos quadrature.
//!
//! The density smoothed with a Gaussian is φ(t) = 1/n Σ N(t; λᵢ, σ²) =
//! 1/n tr N(t; H, σ²). For a random v with E v vᵀ = I / n the trace is the mean of
//! vᵀ N(t; H, σ²) v, and Lanczos' method from v gives that as Σ τ² N(t; θ, σ²)
//! ([`super::lanczos`]).

use super::lanczos::{Ritz, lanczos};
use super::{
    Derivative, Diagnostic, Drawn, EVERY, Figure, Instrument, Landscape, Readings, SAMPLES, Scene,
    needs_gradient,
};
use crate::RunError;
use serde_json::json;
use speck_learners::{Learner, SpeckBatch};
use speck_models::settings::Dimension;
use std::f64::consts::PI;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "spectrum",
    summary: "φ(t) = 1/n Σ N(t; λᵢ, σ²) of the eigenvalues λ of the Hessian of the training loss, by stochastic Lanczos quadrature; their sum, and the share below 0",
    source: "Ghorbani, Krishnan and Xiao, \"An Investigation into Neural Net Optimization via Hessian Eigenvalue Density\", 2019, algorithm 1",
    dimensions: &[
        SAMPLES,
        Dimension { default: speck_models::settings::DefaultValue::Int(5), ..EVERY },
        Dimension::int("draws", "random vectors whose mean is taken", (1, 1000), 2),
        Dimension::int("iterations", "products with the Hessian for each vector", (2, 1000), 40),
        Dimension::float(
            "width",
            "standard deviation σ of the Gaussians, as a share of the range of eigenvalues",
            (1e-5, 1.0),
            0.01,
        ),
    ],
    applies: |run, _| needs_gradient(run, "spectrum"),
    make: |scene: &Scene<'_>| {
        let settings = scene.settings;
        let batches = scene.batches(&scene.data()?, settings.usize("samples"), "loss");
        let landscape = scene.landscape(Derivative::HessianProduct, &batches)?;
        let size = landscape.size();
        Ok(Box::new(Spectrum {
            landscape,
            batches,
            starts: (0..settings.usize("draws")).map(|i| scene.direction(size, i)).collect(),
            iterations: settings.usize("iterations"),
            width: settings.float("width"),
        }))
    },
    figures: &[
        Figure::Density(Drawn {
            name: "density",
            title: "Density of the Hessian's eigenvalues",
            label: "density",
            fraction: false,
            remark: "Of the first seed. Logarithmic; what lies below 10⁻⁶ of the highest is left out.",
        }),
        Figure::Curve(Drawn {
            name: "trace",
            title: "Sum of the Hessian's eigenvalues",
            label: "trace",
            fraction: false,
            remark: "",
        }),
        Figure::Curve(Drawn {
            name: "negative share",
            title: "Negative part of the Hessian",
            label: "share of Σ |λ|",
            fraction: true,
            remark: "Σ |λ| over the eigenvalues below 0, as a share of that over all.",
        }),
    ],
};

struct Spectrum {
    landscape: Landscape,
    batches: Vec<SpeckBatch>,
    starts: Vec<Vec<f32>>,
    iterations: usize,
    width: f64,
}

/// Points at which the density is noted.
const GRID: usize = 240;

impl Instrument for Spectrum {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let Spectrum { landscape, batches, starts, .. } = self;
        landscape.take(learner.state()?)?;
        let mut all: Vec<Ritz> = Vec::new();
        for start in &*starts {
            let product = |vector: &[f32]| landscape.product(batches, vector);
            all.extend(lanczos(start.clone(), self.iterations, product, |_| false)?);
        }
        let share = 1.0 / starts.len() as f64;
        all.iter_mut().for_each(|ritz| ritz.weight *= share);
        let sum = |value: &dyn Fn(f64) -> f64| -> f64 {
            all.iter().map(|ritz| ritz.weight * value(ritz.value)).sum()
        };
        notes.push("trace", sum(&|value| value) * landscape.size() as f64);
        notes.push("negative share", sum(&|value| (-value).max(0.0)) / sum(&f64::abs));
        if let Some((values, density)) = density(&all, self.width) {
            let step = notes.step;
            notes.append("density", json!({ "step": step, "values": values, "density": density }));
        }
        Ok(())
    }
}

/// The density on a grid a little wider than the eigenvalues; of a width that is a
/// share of their range. `None` where they are no numbers.
fn density(all: &[Ritz], width: f64) -> Option<(Vec<f64>, Vec<f64>)> {
    let low = all.iter().map(|ritz| ritz.value).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|ritz| ritz.value).fold(f64::NEG_INFINITY, f64::max);
    let range = high - low;
    if !range.is_finite() || all.iter().any(|ritz| !ritz.value.is_finite()) {
        return None;
    }
    let range = if range > 0.0 { range } else { low.abs().max(1e-12) };
    let deviation = width * range;
    let (from, to) = (low - 4.0 * deviation, high + 4.0 * deviation);
    let values: Vec<f64> =
        (0..GRID).map(|i| from + (to - from) * i as f64 / (GRID - 1) as f64).collect();
    let at = |t: &f64| -> f64 {
        let gaussian = |ritz: &Ritz| {
            let z = (t - ritz.value) / deviation;
            ritz.weight * (-0.5 * z * z).exp() / (deviation * (2.0 * PI).sqrt())
        };
        all.iter().map(gaussian).sum()
    };
    let density: Vec<f64> = values.iter().map(at).collect();
    // On a logarithmic axis the tails of a Gaussian would take up all of it.
    let floor = 1e-6 * density.iter().copied().fold(0.0, f64::max);
    Some((values, density.into_iter().map(|value| value.max(floor)).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::lanczos::signs;
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_density_is_that_of_the_eigenvalues() {
        // 300 eigenvalues: most near 0, some around 10, one at 30. A diagonal matrix
        // is as good as any: the starts are random.
        let eigenvalues: Vec<f64> = (0..300)
            .map(|i| match i {
                0 => 30.0,
                1..60 => 10.0 + f64::from(i % 7) * 0.1,
                _ => f64::from(i % 11) * 0.05 - 0.2,
            })
            .collect();
        let mut all = Vec::new();
        let draws = 40;
        for draw in 0..draws {
            let product = |v: &[f32]| -> Result<Vec<f64>, Infallible> {
                Ok(v.iter().zip(&eigenvalues).map(|(v, l)| f64::from(*v) * l).collect())
            };
            // Signs alone would see a diagonal matrix as it is: turn them.
            let start = signs(300, draw);
            let turned: Vec<f32> =
                (0..300).map(|i| (start[i] + start[(i + 1) % 300]) / 2.0_f32.sqrt()).collect();
            let norm = turned.iter().map(|v| v * v).sum::<f32>().sqrt();
            let start = turned.iter().map(|v| v / norm).collect();
            match lanczos(start, 25, product, |_| false) {
                Ok(found) => all.extend(found),
                Err(never) => match never {},
            }
        }
        all.iter_mut().for_each(|ritz: &mut Ritz| ritz.weight /= draws as f64);
        let (values, found) = density(&all, 0.05).unwrap();
        let step = values[1] - values[0];
        assert!((found.iter().sum::<f64>() * step - 1.0).abs() < 1e-2);
        // The mass of each part, as the formula has it.
        let mass = |from: f64, to: f64| -> f64 {
            let inside = values.iter().zip(&found).filter(|(t, _)| (from..to).contains(*t));
            inside.map(|(_, density)| density * step).sum()
        };
        let part = |from: f64, to: f64| {
            eigenvalues.iter().filter(|l| (from..to).contains(*l)).count() as f64 / 300.0
        };
        for (from, to) in [(-6.0, 5.0), (5.0, 20.0), (20.0, 40.0)] {
            let (found, wanted) = (mass(from, to), part(from, to));
            assert!((found - wanted).abs() < 0.02, "{from} to {to}: {found}, not {wanted}");
        }
        assert_eq!(density(&[Ritz { value: f64::NAN, weight: 1.0, bound: 0.0 }], 0.1), None);
        assert!(density(&[Ritz { value: 0.0, weight: 1.0, bound: 0.0 }], 0.1).is_some());
    }
}
