//! How many directions a layer's outputs, or its weights, really use.

use super::eigenvalues::eigenvalues;
use super::products::{Products, centre};
use super::{
    Diagnostic, Drawn, EVERY, Figure, Instrument, Layers, Look, Readings, Scene, needs_layers,
    sizes,
};
use crate::RunError;
use speck_learners::{Learner, SpeckBatch};
use speck_models::settings::Dimension;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "effective-rank",
    summary: "exp(-Σ p ln p) with p = σ / Σ σ, σ the singular values of a layer's outputs for a probe (a row a sample, their mean taken away), or of its weights",
    source: "Roy and Vetterli, \"The Effective Rank: A Measure of Effective Dimensionality\", 2007",
    dimensions: &[
        EVERY,
        Dimension::int(
            "samples",
            "samples of the training data whose outputs are looked at; above 256, rounded up to a multiple",
            (2, 1024),
            256,
        ),
        Dimension::choice(
            "of",
            "what has a rank: outputs of layers, or weights as matrices of a row a unit",
            &["outputs", "weights"],
            "outputs",
        ),
        Dimension::bool("centred", "whether the mean over the samples is taken away", true),
    ],
    applies: |run, settings| match settings.text("of") {
        "weights" => sizes(run).map(drop),
        _ => needs_layers(run, Look::Layers, "effective-rank"),
    },
    make: |scene: &Scene<'_>| {
        let settings = scene.settings;
        let subject = match settings.text("of") {
            "weights" => {
                let matrices = sizes(scene.run)?.into_iter().filter(|(_, shape)| shape.len() > 1);
                let with = |(name, shape): (String, Vec<usize>)| {
                    let (rows, width) = (shape[0], shape[1..].iter().product::<usize>());
                    // The shorter side has all singular values.
                    let side = rows.min(width);
                    Ok((name, [rows, width], Products::new(side, side, scene.kernels)?))
                };
                Subject::Weights(matrices.map(with).collect::<Result<_, RunError>>()?)
            }
            _ => {
                let batches = scene.batches(&scene.data()?, settings.usize("samples"), "layers");
                let samples = batches.iter().map(|batch| batch.shape.samples).sum();
                Subject::Outputs {
                    layers: Box::new(scene.layers(Look::Layers, &batches)?),
                    products: Box::new(Products::new(samples, samples, scene.kernels)?),
                    batches,
                    centred: settings.bool("centred"),
                }
            }
        };
        Ok(Box::new(EffectiveRank { subject }))
    },
    figures: &[Figure::Layers(Drawn {
        name: "effective rank",
        title: "Effective rank by layer",
        label: "effective rank",
        fraction: false,
        remark: "",
    })],
};

enum Subject {
    Outputs {
        layers: Box<Layers>,
        batches: Vec<SpeckBatch>,
        products: Box<Products>,
        centred: bool,
    },
    /// Name, rows and width, and the products of the shorter side.
    Weights(Vec<(String, [usize; 2], Products)>),
}

struct EffectiveRank {
    subject: Subject,
}

impl Instrument for EffectiveRank {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let state = learner.state()?;
        match &mut self.subject {
            Subject::Outputs { layers, batches, products, centred } => {
                for mut layer in layers.read(state, batches)? {
                    let width = layer.width();
                    let samples = layer.values.len() / width.max(1);
                    if *centred {
                        centre(&mut layer.values, width, samples);
                    }
                    let gram = products.of(&layer.values, &layer.values, width)?;
                    notes.push_layer("effective rank", &layer.name, rank(&gram, samples));
                }
            }
            Subject::Weights(matrices) => {
                for (name, [rows, width], products) in matrices {
                    let tensor = state.get(name).map(|tensor| tensor.to_f64()).unwrap_or_default();
                    let values: Vec<f32> = tensor.into_iter().map(|value| value as f32).collect();
                    let gram = match *rows <= *width {
                        true => products.of(&values, &values, *width)?,
                        false => {
                            let at = |i: usize| values[(i % *rows) * *width + i / *rows];
                            let turned: Vec<f32> = (0..values.len()).map(at).collect();
                            products.of(&turned, &turned, *rows)?
                        }
                    };
                    let side = (*rows).min(*width);
                    notes.push_layer("effective rank", name, rank(&gram, side));
                }
            }
        }
        Ok(())
    }
}

/// The effective rank of a matrix whose rows have the products `gram` `[n, n]`: its
/// singular values are the roots of that matrix's eigenvalues. 0 if all are zero.
fn rank(gram: &[f64], n: usize) -> f64 {
    let values = eigenvalues(gram.to_vec(), n);
    let singular: Vec<f64> = values.iter().map(|value| value.max(0.0).sqrt()).collect();
    let sum: f64 = singular.iter().sum();
    if gram.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    if sum == 0.0 {
        return 0.0;
    }
    let entropy = |sigma: &f64| match sigma / sum {
        p if p > 0.0 => -p * p.ln(),
        _ => 0.0,
    };
    singular.iter().map(entropy).sum::<f64>().exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_formula() {
        let gram = |singular: &[f64]| {
            // Rows of a matrix with these singular values, turned in the plane.
            let n = singular.len();
            let mut rows = vec![0.0; n * n];
            for i in 0..n {
                rows[i * n + i] = singular[i];
            }
            for i in 1..n {
                let (c, s) = (0.6, 0.8);
                for k in 0..n {
                    let (a, b) = (rows[k], rows[i * n + k]);
                    rows[k] = c * a - s * b;
                    rows[i * n + k] = s * a + c * b;
                }
            }
            let dot = |i: usize, j: usize| -> f64 {
                (0..n).map(|k| rows[i * n + k] * rows[j * n + k]).sum()
            };
            (0..n * n).map(|at| dot(at / n, at % n)).collect::<Vec<_>>()
        };
        assert!((rank(&gram(&[2.0, 2.0, 2.0, 2.0]), 4) - 4.0).abs() < 1e-9);
        assert!((rank(&gram(&[3.0, 0.0, 0.0]), 3) - 1.0).abs() < 1e-6);
        let p = [0.5_f64, 0.25, 0.25];
        let wanted = (-p.iter().map(|p| p * p.ln()).sum::<f64>()).exp();
        assert!((rank(&gram(&[4.0, 2.0, 2.0]), 3) - wanted).abs() < 1e-9);
        assert_eq!(rank(&[0.0; 4], 2), 0.0);
        assert!(rank(&[f64::NAN; 4], 2).is_nan());
    }
}
