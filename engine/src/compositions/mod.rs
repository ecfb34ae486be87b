//! Functions made of several ops, each in one place, and their registry.

mod activations;
mod arithmetic;
mod arrangement;
mod attention;
mod convolution;
mod coordinates;
mod differentials;
mod dropout;
mod einsum;
mod elementary;
mod grids;
mod indexing;
mod losses;
mod norms;
mod padding;
mod pooling;
mod products;
mod rectifiers;
mod resampling;
mod sampling;
mod segments;
mod shapes;
mod sorting;
mod specks;
mod standardize;
mod statistics;
mod surrogates;
mod vectors;
mod windows;

pub use attention::Attention;
pub use convolution::{Border, Convolution, TransposedConvolution};
pub use coordinates::{Divergence, HeatRegularizer};
pub use grids::{Outside, Sampling};
pub use indexing::Embedding;
pub use losses::Reduction;
pub use losses::classification::ClassLoss;
pub use norms::RunningStatistics;
pub use padding::Padding;
pub use resampling::{Interpolation, Resampling, Target};
pub use sorting::Sorted;
pub use surrogates::Surrogate;
pub use windows::Deformation;

use crate::op::Composition;

/// The families of compositions, one a file.
const FAMILIES: &[&[Composition]] = &[
    activations::ALL,
    arithmetic::ALL,
    arrangement::ALL,
    attention::ALL,
    convolution::ALL,
    coordinates::ALL,
    differentials::ALL,
    dropout::ALL,
    einsum::ALL,
    elementary::ALL,
    grids::ALL,
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
    rectifiers::ALL,
    resampling::ALL,
    sampling::ALL,
    segments::ALL,
    shapes::ALL,
    sorting::ALL,
    specks::ALL,
    statistics::ALL,
    surrogates::ALL,
    vectors::ALL,
    windows::ALL,
];

/// Every composition.
pub fn all() -> impl Iterator<Item = &'static Composition> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
