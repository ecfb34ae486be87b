//! How long the weights are, layer by layer.

use super::{
    Diagnostic, Drawn, EVERY, Extent, Figure, Instrument, Readings, Scene, lengths, parameters,
    weights,
};
use crate::RunError;
use speck_learners::Learner;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "weight-norm",
    summary: "‖w‖₂ of each layer's weights and of all",
    source: "Neyshabur, Tomioka and Srebro, \"Norm-Based Capacity Control in Neural Networks\", 2015",
    dimensions: &[EVERY],
    applies: |run, _| parameters(run).map(drop),
    make: |scene: &Scene<'_>| Ok(Box::new(WeightNorm { parameters: parameters(scene.run)? })),
    figures: &[
        Figure::Curve(Drawn {
            name: "weight norm",
            title: "Norm of all weights",
            label: "‖w‖",
            fraction: false,
            remark: "",
        }),
        Figure::Layers(Drawn {
            name: "weight norm",
            title: "Norm of the weights by layer",
            label: "‖w‖",
            fraction: false,
            remark: "",
        }),
    ],
};

struct WeightNorm {
    parameters: Vec<Extent>,
}

impl Instrument for WeightNorm {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let values = weights(learner.state()?, &self.parameters);
        let (all, layers) = lengths(&self.parameters, &values);
        notes.push("weight norm", all);
        for (layer, length) in layers {
            notes.push_layer("weight norm", &layer, length);
        }
        Ok(())
    }
}
