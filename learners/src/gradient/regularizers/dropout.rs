//! What the model's dropout layers drop.

use super::{Regularizer, RegularizerEntry};
use speck_models::{Dimension, Dropped, Regularization};

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "dropped",
    summary: "what the layers drop that the model's `dropout` gives a probability: elements; maps as a whole (structured programs keep windows and get a background for each sample); or elements that become where SELU saturates, after which mean 0 and variance 1 are as before",
    source: "elements: Srivastava et al., \"Dropout\", 2014; maps: Tompson et al., \"Efficient Object Localization Using Convolutional Networks\", 2015; alpha: Klambauer et al., \"Self-Normalizing Neural Networks\", 2017",
    dimensions: &[Dimension::choice(
        "dropped",
        "what dropout layers drop, at the probability that the model gives",
        &["elements", "maps", "alpha"],
        "elements",
    )],
    make: |settings| {
        Ok(match settings.text("dropped") {
            "maps" => Some(Box::new(Drop(Dropped::Maps))),
            "alpha" => Some(Box::new(Drop(Dropped::Saturated))),
            _ => None,
        })
    },
};

struct Drop(Dropped);

impl Regularizer for Drop {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn model(&self, regularization: &mut Regularization<'_>) {
        regularization.dropped = self.0;
    }
}
