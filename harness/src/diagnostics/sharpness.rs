//! Sharpness: the largest eigenvalue of the loss's Hessian.
//!
//! By Lanczos' method ([`super::lanczos`]) on products of the Hessian with vectors,
//! each two backward passes. Gradient descent of a fixed rate η cannot stay where it
//! is above 2/η, and tends to go where it is just that (Cohen et al., 2021).

use super::lanczos::{Ritz, lanczos};
use super::{
    Derivative, Diagnostic, Drawn, EVERY, Figure, Instrument, Landscape, Readings, SAMPLES,
    needs_gradient,
};
use crate::RunError;
use speck_learners::{Learner, SpeckBatch};
use speck_models::settings::Dimension;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "sharpness",
    summary: "λ₁, the largest eigenvalue of the Hessian ∂²L/∂w² of the training loss, and λₙ, the smallest, by Lanczos' method",
    source: "Cohen et al., \"Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability\", 2021; Lanczos, \"An Iteration Method for the Solution of the Eigenvalue Problem\", 1950",
    dimensions: &[
        SAMPLES,
        EVERY,
        Dimension::int("iterations", "most products with the Hessian at a point", (2, 1000), 30),
        Dimension::float(
            "tolerance",
            "error bound of λ₁, as a share of it, that ends the iterations",
            (0.0, 1.0),
            1e-3,
        ),
    ],
    applies: |run, _| needs_gradient(run, "sharpness"),
    make: |scene| {
        let settings = scene.settings;
        let batches = scene.batches(&scene.data()?, settings.usize("samples"), "loss");
        let landscape = scene.landscape(Derivative::HessianProduct, &batches)?;
        Ok(Box::new(Sharpness {
            start: scene.direction(landscape.size(), 0),
            landscape,
            batches,
            iterations: settings.usize("iterations"),
            tolerance: settings.float("tolerance"),
        }))
    },
    figures: &[
        Figure::Curve(Drawn {
            name: "sharpness",
            title: "Sharpness: largest eigenvalue of the Hessian",
            label: "λ₁",
            fraction: false,
            remark: "Gradient descent of a fixed rate η is not stable where this is above 2/η.",
        }),
        Figure::Curve(Drawn {
            name: "lowest eigenvalue",
            title: "Smallest eigenvalue of the Hessian",
            label: "λₙ",
            fraction: false,
            remark: "Below 0: there are directions in which the loss curves down.",
        }),
    ],
};

struct Sharpness {
    landscape: Landscape,
    batches: Vec<SpeckBatch>,
    start: Vec<f32>,
    iterations: usize,
    tolerance: f64,
}

impl Instrument for Sharpness {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let Sharpness { landscape, batches, .. } = self;
        landscape.take(learner.state()?)?;
        let tolerance = self.tolerance;
        let enough = |found: &[Ritz]| {
            found.last().is_some_and(|top| top.bound <= tolerance * top.value.abs())
        };
        let product = |vector: &[f32]| landscape.product(batches, vector);
        let found = lanczos(self.start.clone(), self.iterations, product, enough)?;
        if let (Some(low), Some(top)) = (found.first(), found.last()) {
            notes.push("sharpness", top.value);
            notes.push("sharpness bound", top.bound);
            notes.push("lowest eigenvalue", low.value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scene;
    use super::super::lanczos::symmetric;
    use super::*;
    use crate::config::Experiment;
    use crate::data::Source;
    use crate::registries;
    use crate::run::evaluate::seed_for;
    use speck_engine::kernels::Choice;
    use speck_engine::structure::Mode;
    use speck_engine::{DType, State, Tensor};
    use speck_learners::{Batches, Setup};

    /// 284 weights, and a loss without kinks.
    const TINY: &str = "[learner.gradient]\nbatch = 4\n[[model]]\nkind = \"cnn\"\n\
        channels = [1]\nhead = \"gap\"\npool = \"average\"\nactivation = \"tanh\"\n\
        [[diagnostic]]\nkind = \"sharpness\"\nsamples = 6\niterations = 284\ntolerance = 1e-7\n";

    /// The Hessian by central differences of the gradient, in f64.
    fn hessian(landscape: &mut Landscape, state: &State, batches: &[SpeckBatch]) -> Vec<f64> {
        let n = landscape.size();
        let mut columns = Vec::new();
        for (name, elements) in landscape.parameters().to_vec() {
            for element in 0..elements {
                let mut at = |distance: f64| {
                    let mut moved = state.copy().unwrap();
                    let tensor = moved.get(&name).unwrap();
                    let mut values = tensor.to_f64();
                    values[element] += distance;
                    let tensor = Tensor::new(tensor.ty(), &values);
                    moved.set(&name, tensor).unwrap();
                    landscape.take(&moved).unwrap();
                    landscape.gradient(batches).unwrap().1
                };
                let (above, below) = (at(1e-5), at(-1e-5));
                columns.extend(above.iter().zip(below).map(|(a, b)| (a - b) / 2e-5));
            }
        }
        assert_eq!(columns.len(), n * n);
        columns
    }

    #[test]
    fn eigenvalues_are_those_of_the_hessian_by_differences() {
        let experiment = Experiment::parse(TINY, "tiny.toml", &registries()).unwrap();
        let run = &experiment.runs[0];
        let data = crate::data::DataSettings::new(&run.data).unwrap();
        let source = Source::new(&data, 4, 1);
        let kernels = Choice::default();
        let settings = &experiment.diagnostics[0].settings;
        let scene = Scene { run, settings, source: &source, kernels: &kernels, mode: Mode::Dense };
        let batches = scene.batches(&data, 6, "loss");
        let shape = batches[0].shape;
        let model = || scene.model().unwrap();
        let means = (DType::F64, &kernels, Mode::Dense);
        let landscape = |derivative| {
            Landscape::new(&run.learner.1, &*model(), derivative, shape, means).unwrap()
        };
        let made = |float| {
            let setup = Setup {
                model: model().into(),
                shape: source.shape(),
                seed: run.seed,
                kernels: kernels.clone(),
                float,
                mode: Mode::Dense,
            };
            (speck_learners::find("gradient").unwrap().make)(&run.learner.1, setup).unwrap()
        };
        let mut learner = made(DType::F64);
        let state = learner.state().unwrap().copy().unwrap();
        let matrix = hessian(&mut landscape(Derivative::Gradient), &state, &batches);
        let (values, _) = symmetric(&matrix, 284);
        let (low, top) = (values[0], values[283]);

        let mut curved = landscape(Derivative::HessianProduct);
        curved.take(&state).unwrap();
        // One product, element by element.
        let direction = super::super::lanczos::signs(284, seed_for(3, "any"));
        let found = curved.product(&batches, &direction).unwrap();
        for (i, found) in found.iter().enumerate() {
            let row = &matrix[i * 284..(i + 1) * 284];
            let wanted: f64 = row.iter().zip(&direction).map(|(h, v)| h * f64::from(*v)).sum();
            assert!((found - wanted).abs() < 1e-7, "{i}: {found}, not {wanted}");
        }
        // In f64, then as a run does it, in f32.
        let product = |v: &[f32]| curved.product(&batches, v);
        let enough = |_: &[Ritz]| false;
        let found = lanczos(direction, 60, product, enough).unwrap();
        let close = |found: f64, wanted: f64, share: f64| {
            assert!((found - wanted).abs() <= share * top, "{found}, not {wanted}");
        };
        close(found[found.len() - 1].value, top, 1e-5);
        close(found[0].value, low, 1e-5);
        let mut instrument = (DIAGNOSTIC.make)(&scene).unwrap();
        let mut notes = Readings::default();
        instrument.read(&mut *made(DType::F32), &mut notes).unwrap();
        close(notes.series("sharpness")[0].1, top, 1e-4);
        close(notes.series("lowest eigenvalue")[0].1, low, 1e-4);
        assert!(top > 0.0 && low < top);

        // The loss is that of a step, and its gradient what differences say.
        let mut batch = SpeckBatch::new(source.shape());
        source.fill(0, &mut batch);
        let means = (DType::F64, &kernels, Mode::Dense);
        let mut sloped =
            Landscape::new(&run.learner.1, &*model(), Derivative::Gradient, source.shape(), means)
                .unwrap();
        sloped.take(&state).unwrap();
        let twice = [batch.clone(), batch];
        let (loss, gradient) = sloped.gradient(&twice).unwrap();
        let wanted = made(DType::F64).learn(&source, 1).unwrap();
        assert!((loss - wanted).abs() < 1e-12, "{loss}, not {wanted}");
        let mut moved = state.copy().unwrap();
        let bias = moved.get("conv.0.bias").unwrap();
        let tensor = Tensor::new(bias.ty(), &[bias.to_f64()[0] + 1e-5]);
        moved.set("conv.0.bias", tensor).unwrap();
        sloped.take(&moved).unwrap();
        let slope = (sloped.gradient(&twice).unwrap().0 - loss) / 1e-5;
        let at = sloped.parameters().iter().position(|(name, _)| name == "conv.0.bias").unwrap();
        let at: usize = sloped.parameters()[..at].iter().map(|(_, elements)| elements).sum();
        assert!((gradient[at] - slope).abs() < 1e-4 * slope.abs().max(1e-2), "{slope}");
    }
}
