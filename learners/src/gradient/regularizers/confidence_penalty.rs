//! Certainty costs.

use super::{Built, Learned, Regularizer, RegularizerEntry, Scene};
use crate::gradient::losses;
use crate::predictor::Readout;
use speck_engine::NodeId;
use speck_models::{Dimension, SettingError};

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "confidence_penalty",
    summary: "loss - β H: of losses that read a softmax the entropy of each axis, summed over the axes, the mean over the samples; of those that read σ(y) the mean entropy of an output",
    source: "Pereyra, Tucker, Chorowski, Kaiser and Hinton, \"Regularizing Neural Networks by Penalizing Confident Output Distributions\", 2017, equation 3",
    dimensions: &[Dimension::float(
        "confidence_penalty",
        "what the entropy is multiplied by: β; 0 for none",
        (0.0, 1e6),
        0.0,
    )],
    make: |settings| {
        let weight = settings.float("confidence_penalty");
        let loss = losses::chosen(settings);
        match loss.readout {
            _ if weight == 0.0 => Ok(None),
            Readout::Softmax | Readout::Sigmoid => {
                let softmax = loss.readout == Readout::Softmax;
                Ok(Some(Box::new(ConfidencePenalty { weight, softmax })))
            }
            _ => {
                let message = format!("outputs of the loss {} are no probabilities", loss.name);
                Err(SettingError::new("confidence_penalty", message))
            }
        }
    },
};

struct ConfidencePenalty {
    weight: f64,
    softmax: bool,
}

impl Regularizer for ConfidencePenalty {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        let graph = scene.graph;
        if !self.softmax {
            // -σ ln σ - (1 - σ) ln (1 - σ) = softplus(y) - y σ(y)
            let line = graph.mul(of.outputs, graph.sigmoid(of.outputs)?)?;
            let entropy = graph.mean_all(graph.sub(graph.softplus(of.outputs)?, line)?)?;
            return graph.add_scaled(value, entropy, -self.weight);
        }
        let samples = graph.shape(of.outputs)[0].max(1) as f64;
        losses::axes(graph, of.outputs)?.into_iter().try_fold(value, |value, axis| {
            let log = graph.log_softmax(axis, 1)?;
            let negative = graph.sum_all(graph.mul(graph.exp(log)?, log)?)?;
            graph.add_scaled(value, negative, self.weight / samples)
        })
    }
}
