//! Functions made of several ops, each in one place, and their registry.

mod activations;
mod attention;
mod convolution;
mod coordinates;
mod differentials;
mod dropout;
mod einsum;
mod elementary;
mod indexing;
mod losses;
mod norms;
mod padding;
mod pooling;
mod products;
mod resampling;
mod sampling;
mod segments;
mod shapes;
mod sorting;
mod statistics;
mod surrogates;
mod vectors;
mod windows;

pub use attention::Attention;
pub use coordinates::{Divergence, HeatRegularizer};
pub use losses::Reduction;
pub use losses::classification::ClassLoss;
pub use norms::RunningStatistics;

use crate::op::Composition;

/// The families of compositions, one a file.
const FAMILIES: &[&[Composition]] = &[
    activations::ALL,
    attention::ALL,
    convolution::ALL,
    coordinates::ALL,
    differentials::ALL,
    dropout::ALL,
    einsum::ALL,
    elementary::ALL,
    indexing::ALL,
    losses::ALL,
    losses::binary::ALL,
    losses::classification::ALL,
    losses::divergence::ALL,
    losses::overlap::ALL,
    losses::regression::ALL,
    norms::ALL,
    padding::ALL,
    pooling::ALL,
    products::ALL,
    resampling::ALL,
    sampling::ALL,
    segments::ALL,
    shapes::ALL,
    sorting::ALL,
    statistics::ALL,
    surrogates::ALL,
    vectors::ALL,
    windows::ALL,
];

/// Every composition.
pub fn all() -> impl Iterator<Item = &'static Composition> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
