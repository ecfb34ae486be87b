//! How far an update moves the weights, as a share of them.
//!
//! The update is that of the step that comes next, made by a second learner that
//! takes up the whole state of the first: whatever the optimizer, clipping or
//! averaging does is in it, and the training itself is not touched. Where a part of a
//! regimen ends, it is the first update of the next part, and what is drawn anew there is
//! not part of it.

use super::{
    Diagnostic, Drawn, EVERY, Extent, Figure, Instrument, Readings, Scene, lengths, parameters,
    weights,
};
use crate::RunError;
use crate::data::Source;
use speck_learners::{Batches, Learner};

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "update-ratio",
    summary: "‖Δw‖₂ / ‖w‖₂ of the next update of each layer's weights and of all",
    source: "You, Gitman and Ginsburg, \"Large Batch Training of Convolutional Networks\", 2017, section 4; the rule of thumb of 10⁻³ is Karpathy's, CS231n, \"Ratio of weights:updates\"",
    dimensions: &[EVERY],
    applies: |run, _| parameters(run).map(drop),
    make: |scene: &Scene<'_>| {
        let settings = &scene.run.learner.1;
        // So many batches make one update.
        let batches = settings.get("accumulate").map_or(1, |_| settings.usize("accumulate") as u64);
        let shape = scene.source.shape();
        let making = crate::run::Making { kernels: scene.kernels.clone(), mode: scene.mode };
        Ok(Box::new(UpdateRatio {
            second: crate::run::pupil(scene.run, shape, &making, None)?,
            source: scene.source.clone(),
            parameters: parameters(scene.run)?,
            batches,
        }))
    },
    figures: &[
        Figure::Curve(Drawn {
            name: "update ratio",
            title: "Update of all weights, as a share of them",
            label: "‖Δw‖ / ‖w‖",
            fraction: false,
            remark: "About 0.001 is usual.",
        }),
        Figure::Layers(Drawn {
            name: "update ratio",
            title: "Update by layer, as a share of its weights",
            label: "‖Δw‖ / ‖w‖",
            fraction: false,
            remark: "",
        }),
    ],
};

struct UpdateRatio {
    second: Box<dyn Learner>,
    source: Source,
    parameters: Vec<Extent>,
    batches: u64,
}

impl Instrument for UpdateRatio {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let state = learner.state()?;
        let all = state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        self.second.restore(all)?;
        self.second.begin(&self.source)?;
        let before = weights(self.second.state()?, &self.parameters);
        self.second.learn(&self.source, self.batches)?;
        let after = weights(self.second.state()?, &self.parameters);
        let moved: Vec<f64> =
            after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let (length, layers) = lengths(&self.parameters, &before);
        let (way, ways) = lengths(&self.parameters, &moved);
        notes.push("update ratio", way / length);
        for ((layer, way), (_, length)) in ways.iter().zip(&layers) {
            // Weights that are zero have no share.
            notes.push_layer("update ratio", layer, way / length);
        }
        Ok(())
    }
}
