//! How alike representations are: of layers among each other, and of a layer at
//! different times.
//!
//! Linear centred kernel alignment of X and Y, a row a sample, columns without their
//! means: with K = X Xᵀ and L = Y Yᵀ it is ⟨K, L⟩ / (‖K‖ ‖L‖), 1 for what differs by
//! a rotation and a factor, and the same as ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖).

use super::products::{Products, centre};
use super::{
    Diagnostic, Drawn, EVERY, Figure, Instrument, Layers, Look, Readings, Scene, needs_layers,
};
use crate::RunError;
use serde_json::json;
use speck_engine::Tensor;
use speck_learners::{Learner, SpeckBatch};
use speck_models::settings::Dimension;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "similarity",
    summary: "linear CKA ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of layers' centred outputs for a probe: of all pairs of layers, and of each with itself at the first look and at the look before",
    source: "Kornblith, Norouzi, Lee and Hinton, \"Similarity of Neural Network Representations Revisited\", 2019, section 3",
    dimensions: &[
        EVERY,
        Dimension::int(
            "samples",
            "samples of the training data whose outputs are looked at; above 256, rounded up to a multiple",
            (2, 1024),
            256,
        ),
    ],
    applies: |run, _| needs_layers(run, Look::Layers, "similarity"),
    make: |scene: &Scene<'_>| {
        let batches = scene.batches(&scene.data()?, scene.settings.usize("samples"), "layers");
        let samples = batches.iter().map(|batch| batch.shape.samples).sum();
        Ok(Box::new(Similarity {
            layers: scene.layers(Look::Layers, &batches)?,
            products: Products::new(samples, samples, scene.kernels)?,
            batches,
            samples,
            first: Vec::new(),
            before: Vec::new(),
        }))
    },
    figures: &[
        Figure::Layers(Drawn {
            name: "similarity to first",
            title: "Similarity of a layer to what it was at first",
            label: "CKA",
            fraction: true,
            remark: "",
        }),
        Figure::Layers(Drawn {
            name: "similarity to before",
            title: "Similarity of a layer to what it was at the look before",
            label: "CKA",
            fraction: true,
            remark: "",
        }),
        Figure::Matrix(Drawn {
            name: "layers",
            title: "Similarity of layers, at the end",
            label: "CKA, per cent",
            fraction: true,
            remark: "Linear CKA in per cent, mean over seeds.",
        }),
    ],
};

struct Similarity {
    layers: Layers,
    batches: Vec<SpeckBatch>,
    products: Products,
    samples: usize,
    /// Products of the centred outputs, a layer each; at the first look.
    first: Vec<Vec<f64>>,
    /// At the look before.
    before: Vec<Vec<f64>>,
}

impl Instrument for Similarity {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let mut names = Vec::new();
        let mut now = Vec::new();
        for mut layer in self.layers.read(learner.state()?, &self.batches)? {
            let width = layer.width();
            centre(&mut layer.values, width, self.samples);
            now.push(self.products.of(&layer.values, &layer.values, width)?);
            names.push(layer.name);
        }
        let alike: Vec<Vec<Option<f64>>> = now
            .iter()
            .map(|k| now.iter().map(|l| Some(alignment(k, l)).filter(|v| v.is_finite())).collect())
            .collect();
        notes.keep("layers", json!({ "rows": names, "columns": names, "values": alike }));
        if self.first.is_empty() {
            self.first.clone_from(&now);
        }
        for (series, then) in
            [("similarity to first", &self.first), ("similarity to before", &self.before)]
        {
            for ((name, now), then) in names.iter().zip(&now).zip(then) {
                notes.push_layer(series, name, alignment(now, then));
            }
        }
        self.before = now;
        Ok(())
    }

    fn memory(&self) -> Vec<(String, Tensor)> {
        let n = self.samples;
        let of = |word: &'static str, all: &[Vec<f64>]| -> Vec<(String, Tensor)> {
            let tensor = |(i, gram): (usize, &Vec<f64>)| {
                (format!("{word}/{i}"), Tensor::from_f64(&[n, n], gram.clone()))
            };
            all.iter().enumerate().map(tensor).collect()
        };
        [of("first", &self.first), of("before", &self.before)].concat()
    }

    fn recall(&mut self, memory: Vec<(String, Tensor)>) {
        let of = |word: &str| -> Vec<Vec<f64>> {
            let prefix = format!("{word}/");
            let number = |name: &str| name.strip_prefix(&prefix)?.parse::<usize>().ok();
            let mut all: Vec<_> =
                memory.iter().filter_map(|(name, t)| Some((number(name)?, t.to_f64()))).collect();
            all.sort_by_key(|(number, _)| *number);
            all.into_iter().map(|(_, gram)| gram).collect()
        };
        (self.first, self.before) = (of("first"), of("before"));
    }
}

/// ⟨K, L⟩ / (‖K‖ ‖L‖); NaN where all outputs are alike.
fn alignment(k: &[f64], l: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    dot(k, l) / (dot(k, k).sqrt() * dot(l, l).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use speck_engine::kernels::Choice;

    #[test]
    fn alignment_is_that_of_the_formula() {
        let (n, dx, dy) = (5, 3, 4);
        let value = |i: usize| (((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5) * 2.0;
        let mut x: Vec<f32> = (0..n * dx).map(value).collect();
        let mut y: Vec<f32> = (0..n * dy).map(|i| value(i + 77)).collect();
        centre(&mut x, dx, n);
        centre(&mut y, dy, n);
        // ‖Aᵀ B‖² in f64.
        let square = |a: &[f32], da: usize, b: &[f32], db: usize| -> f64 {
            let entry = |i: usize, j: usize| -> f64 {
                (0..n).map(|k| f64::from(a[k * da + i]) * f64::from(b[k * db + j])).sum()
            };
            (0..da * db).map(|at| entry(at / db, at % db).powi(2)).sum()
        };
        let wanted =
            square(&y, dy, &x, dx) / (square(&x, dx, &x, dx) * square(&y, dy, &y, dy)).sqrt();
        let mut products = Products::new(n, n, &Choice::default()).unwrap();
        let k = products.of(&x, &x, dx).unwrap();
        let l = products.of(&y, &y, dy).unwrap();
        assert!((alignment(&k, &l) - wanted).abs() < 1e-12, "{wanted}");
        assert!(wanted > 0.01 && wanted < 0.99);
        // A rotation and a factor make no difference.
        let turned: Vec<f32> = x
            .chunks_exact(3)
            .flat_map(|r| {
                [3.0 * (0.6 * r[0] - 0.8 * r[1]), 3.0 * (0.8 * r[0] + 0.6 * r[1]), 3.0 * r[2]]
            })
            .collect();
        let turned = products.of(&turned, &turned, dx).unwrap();
        assert!((alignment(&k, &turned) - 1.0).abs() < 1e-6);
    }
}
