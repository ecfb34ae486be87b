//! Units that put out the same whatever they see.
//!
//! A rectifier that is 0 on every sample has no gradient and does not come back by
//! itself. Of other non-linearities those are counted that do not change, which tell
//! the next layer nothing. A unit is a channel of a convolution, everywhere on its
//! map, or a unit of a layer, for every token.

use super::{
    Diagnostic, Drawn, EVERY, Figure, Instrument, Layers, Look, Readings, SAMPLES, Scene,
    needs_layers,
};
use crate::RunError;
use speck_learners::layers::Representation;
use speck_learners::{Learner, SpeckBatch};
use speck_models::settings::Dimension;

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "dead-units",
    summary: "share of units with max - min ≤ tolerance over all samples, positions and tokens of a probe, behind each non-linearity and of all",
    source: "Lu, Shin, Su and Karniadakis, \"Dying ReLU and Initialization: Theory and Numerical Examples\", 2019",
    dimensions: &[
        SAMPLES,
        EVERY,
        Dimension::float(
            "tolerance",
            "range of values up to which a unit is dead",
            (0.0, 1e6),
            1e-6,
        ),
    ],
    applies: |run, _| needs_layers(run, Look::Activations, "dead-units"),
    make: |scene: &Scene<'_>| {
        let batches = scene.batches(&scene.data()?, scene.settings.usize("samples"), "layers");
        Ok(Box::new(DeadUnits {
            layers: scene.layers(Look::Activations, &batches)?,
            batches,
            tolerance: scene.settings.float("tolerance"),
        }))
    },
    figures: &[
        Figure::Curve(Drawn {
            name: "dead units",
            title: "Dead units",
            label: "share of all units",
            fraction: true,
            remark: "",
        }),
        Figure::Layers(Drawn {
            name: "dead units",
            title: "Dead units by layer",
            label: "share of its units",
            fraction: true,
            remark: "",
        }),
    ],
};

struct DeadUnits {
    layers: Layers,
    batches: Vec<SpeckBatch>,
    tolerance: f64,
}

impl Instrument for DeadUnits {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let (mut dead, mut all) = (0, 0);
        for layer in self.layers.read(learner.state()?, &self.batches)? {
            let ranges = ranges(&layer);
            let own = ranges.iter().filter(|range| f64::from(**range) <= self.tolerance).count();
            notes.push_layer("dead units", &layer.name, own as f64 / ranges.len() as f64);
            dead += own;
            all += ranges.len();
        }
        notes.push("dead units", f64::from(dead as u32) / f64::from(all as u32));
        Ok(())
    }
}

/// The range of each unit's values; NaN where one of them is none: no tolerance
/// makes that a dead unit.
fn ranges(layer: &Representation) -> Vec<f32> {
    let units = layer.shape.first().copied().unwrap_or(1);
    let map: usize = layer.shape.iter().skip(1).product();
    let mut bounds = vec![(f32::INFINITY, f32::NEG_INFINITY); units];
    for row in layer.values.chunks_exact((units * map).max(1)) {
        for ((least, most), values) in bounds.iter_mut().zip(row.chunks_exact(map.max(1))) {
            for value in values {
                *least = if value.is_nan() || *value < *least { *value } else { *least };
                *most = if value.is_nan() || *value > *most { *value } else { *most };
            }
        }
    }
    bounds.into_iter().map(|(least, most)| most - least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_dead_that_never_changes() {
        // Two samples of three channels on a map of 2: constant, dead, alive in the
        // second sample only.
        let values = vec![4.0, 4.0, 0.0, 0.0, 0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.5];
        let mut layer = Representation { name: String::new(), shape: vec![3, 2], rows: 1, values };
        assert_eq!(ranges(&layer), [0.0, 0.0, 0.5]);
        // The same numbers as two samples of two tokens of three units.
        layer.shape = vec![3];
        layer.rows = 2;
        assert_eq!(ranges(&layer), [4.0, 4.0, 0.5]);
        layer.values = vec![f32::NAN; 12];
        layer.values[0] = 1.0;
        assert!(ranges(&layer).iter().all(|range| range.is_nan()));
    }
}
