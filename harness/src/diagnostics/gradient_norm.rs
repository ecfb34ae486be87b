//! How long the gradient is, layer by layer.

use super::{
    Derivative, Diagnostic, Drawn, EVERY, Figure, Instrument, Landscape, Readings, SAMPLES, Scene,
    lengths, needs_gradient,
};
use crate::RunError;
use speck_learners::{Learner, SpeckBatch};

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "gradient-norm",
    summary: "‖∂L/∂w‖₂ of the training loss on a probe, of each layer's weights and of all",
    source: "Glorot and Bengio, \"Understanding the Difficulty of Training Deep Feedforward Neural Networks\", 2010, section 4",
    dimensions: &[SAMPLES, EVERY],
    applies: |run, _| needs_gradient(run, "gradient-norm"),
    make: |scene: &Scene<'_>| {
        let batches = scene.batches(&scene.data()?, scene.settings.usize("samples"), "loss");
        let landscape = scene.landscape(Derivative::Gradient, &batches)?;
        Ok(Box::new(GradientNorm { landscape, batches }))
    },
    figures: &[
        Figure::Curve(Drawn {
            name: "gradient norm",
            title: "Norm of the whole gradient",
            label: "‖∂L/∂w‖",
            fraction: false,
            remark: "",
        }),
        Figure::Layers(Drawn {
            name: "gradient norm",
            title: "Norm of the gradient by layer",
            label: "‖∂L/∂w‖",
            fraction: false,
            remark: "",
        }),
    ],
};

struct GradientNorm {
    landscape: Landscape,
    batches: Vec<SpeckBatch>,
}

impl Instrument for GradientNorm {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        self.landscape.take(learner.state()?)?;
        let (loss, gradient) = self.landscape.gradient(&self.batches)?;
        notes.push("probe loss", loss);
        let (all, layers) = lengths(self.landscape.parameters(), &gradient);
        notes.push("gradient norm", all);
        for (layer, length) in layers {
            notes.push_layer("gradient norm", &layer, length);
        }
        Ok(())
    }
}
