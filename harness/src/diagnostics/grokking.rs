//! Grokking: whether a network comes to generalize long after it has learned its
//! training data.
//!
//! Long runs show it: performance on the positions that are trained reaches a
//! threshold early, that on held-out ones much later, and often the norm of the
//! weights falls in between (Liu, Michaud and Tegmark, 2022). The steps from one to
//! the other are its delay.

use super::{
    Diagnostic, Drawn, EVERY, Extent, Figure, Instrument, Readings, Scene, lengths, parameters,
    weights,
};
use crate::RunError;
use crate::data::{DataSettings, Split};
use crate::run::evaluate::{Probe, headline, seed_for};
use serde_json::json;
use speck_learners::Learner;
use speck_models::settings::{Dimension, SettingError};

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "grokking",
    summary: "performance (exact hits of one speck, F1 of several) on training and on held-out positions, their gap, ‖w‖₂, and the steps between the first looks at which each reaches a threshold",
    source: "Power, Burda, Edwards, Babuschkin and Misra, \"Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets\", 2022; Liu, Michaud and Tegmark, \"Omnigrok\", 2022",
    dimensions: &[
        EVERY,
        Dimension::int("samples", "samples of each of both", (1, 65_536), 512),
        Dimension::float("threshold", "performance that counts as learned", (0.0, 1.0), 0.95),
    ],
    applies: |run, _| {
        let data = DataSettings::new(&run.data)?;
        if data.position_sets().held_out.is_empty() {
            let message = "grokking: the data hold no positions out (setting `positions`)";
            return Err(SettingError::new("kind", message));
        }
        let held = DataSettings { split: Split::HeldOut, ..data };
        held.check()?;
        parameters(run).map(drop)
    },
    make: |scene: &Scene<'_>| {
        let data = scene.data()?;
        let samples = scene.settings.usize("samples");
        let probe = |split, purpose| {
            let data = DataSettings { split, ..data.clone() };
            Probe::random(&data, samples, seed_for(scene.run.seed, purpose))
        };
        Ok(Box::new(Grokking {
            training: probe(Split::Training, "grokking, training"),
            held_out: probe(Split::HeldOut, "grokking, held out"),
            metric: headline(&data),
            threshold: scene.settings.float("threshold"),
            parameters: parameters(scene.run)?,
        }))
    },
    figures: &[
        Figure::Curve(Drawn {
            name: "training positions",
            title: "On positions that are trained",
            label: "performance",
            fraction: true,
            remark: "",
        }),
        Figure::Curve(Drawn {
            name: "held-out positions",
            title: "On held-out positions",
            label: "performance",
            fraction: true,
            remark: "",
        }),
        Figure::Curve(Drawn {
            name: "gap",
            title: "Training less held-out",
            label: "difference",
            fraction: false,
            remark: "",
        }),
        Figure::Curve(Drawn {
            name: "weight norm",
            title: "Norm of all weights",
            label: "‖w‖",
            fraction: false,
            remark: "",
        }),
        Figure::Facts(Drawn {
            name: "delay",
            title: "Steps to the threshold, and between",
            label: "",
            fraction: false,
            remark: "Steps of the first look at which the performance was at the threshold; a dash: never.",
        }),
    ],
};

struct Grokking {
    training: Probe,
    held_out: Probe,
    metric: &'static str,
    threshold: f64,
    parameters: Vec<Extent>,
}

/// The series.
const TRAINING: &str = "training positions";
const HELD_OUT: &str = "held-out positions";

impl Instrument for Grokking {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let value = |probe: &Probe, learner: &mut dyn Learner| {
            Ok::<_, RunError>(probe.measure(learner)?.value(self.metric).unwrap_or(f64::NAN))
        };
        let training = value(&self.training, learner)?;
        let held_out = value(&self.held_out, learner)?;
        notes.push(TRAINING, training);
        notes.push(HELD_OUT, held_out);
        notes.push("gap", training - held_out);
        let values = weights(learner.state()?, &self.parameters);
        notes.push("weight norm", lengths(&self.parameters, &values).0);
        let [learned, grokked] =
            [TRAINING, HELD_OUT].map(|series| reached(&notes.series(series), self.threshold));
        let delay = learned.zip(grokked).map(|(from, to)| to as f64 - from as f64);
        let facts = json!({ TRAINING: learned, HELD_OUT: grokked, "delay": delay });
        notes.keep("delay", facts);
        Ok(())
    }
}

/// The first step at which a curve is at the threshold.
fn reached(curve: &[(u64, f64)], threshold: f64) -> Option<u64> {
    curve.iter().find(|(_, value)| *value >= threshold).map(|(step, _)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_reached_once() {
        let curve = [(0, 0.1), (10, 0.95), (20, 0.3), (30, 0.99)];
        assert_eq!(reached(&curve, 0.95), Some(10));
        assert_eq!(reached(&curve, 0.96), Some(30));
        assert_eq!(reached(&curve, 1.0), None);
    }
}
