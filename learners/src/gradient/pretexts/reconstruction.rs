//! Pretexts that ask for the screen itself: features go through a narrow code, from
//! which a linear layer makes every pixel.

use super::{PretextEntry, Site};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

const CODE: Dimension =
    Dimension::int("code", "values that a screen has to go through", (1, 65_536), 64);

pub(super) const AUTOENCODER: PretextEntry = PretextEntry {
    name: "autoencoder",
    summary: "Σ (decoder(code(features(x))) - x)², the mean over samples",
    source: "Hinton, Salakhutdinov, \"Reducing the Dimensionality of Data with Neural Networks\", 2006",
    dimensions: &[CODE],
    build: |site| {
        let made = decoded(site, site.image)?;
        distance(site, site.graph.sub(made, site.image)?)
    },
};

pub(super) const DENOISING: PretextEntry = PretextEntry {
    name: "denoising",
    summary: "Σ (decoder(code(features(x + σ n))) - x)², n normal, the mean over samples",
    source: "Vincent et al., \"Extracting and Composing Robust Features with Denoising Autoencoders\", 2008",
    dimensions: &[
        CODE,
        Dimension::float("noise", "σ: deviation of the noise on every value", (0.0, 10.0), 0.1),
    ],
    build: |site| {
        let noisy = site.noisy(site.image, site.settings.float("noise"))?;
        let made = decoded(site, noisy)?;
        distance(site, site.graph.sub(made, site.image)?)
    },
};

pub(super) const MASKED: PretextEntry = PretextEntry {
    name: "masked",
    summary: "Σ m (decoder(code(features((1 - m) x))) - x)², m the mask of hidden patches, the mean over samples",
    source: "He et al., \"Masked Autoencoders Are Scalable Vision Learners\", 2022",
    dimensions: &[
        CODE,
        Dimension::choice("patch", "edge of a patch in pixels", &["2", "4", "8", "16"], "8"),
        Dimension::float("masked_share", "probability of a patch to be hidden", (0.0, 1.0), 0.75),
    ],
    build: |site| {
        let graph = site.graph;
        let mask = mask(site)?;
        let seen = graph.offset(graph.neg(mask)?, 1.0)?;
        let made = decoded(site, graph.mul(site.image, seen)?)?;
        distance(site, graph.mul(graph.sub(made, site.image)?, mask)?)
    },
};

/// 1 on hidden patches, [samples, 1, height, width].
fn mask(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let graph = site.graph;
    let shape = graph.shape(site.image);
    let (samples, size) = (shape[0], shape[2]);
    // Resolved settings name one of the numbers.
    let patch = site.settings.text("patch").parse().unwrap_or(8);
    let across = size / patch;
    let draws = site.uniform(&[samples, across, 1, across, 1])?;
    let share = graph.scalar(site.settings.float("masked_share"))?;
    let hidden = graph.greater(share, draws)?;
    let hidden = graph.expand(hidden, &[samples, across, patch, across, patch])?;
    graph.reshape(hidden, &[samples, 1, size, size])
}

/// Screens made of the features of others.
fn decoded(site: &Site<'_>, image: NodeId) -> Result<NodeId, GraphError> {
    let shape = site.graph.shape(site.image);
    let features = site.features(image)?;
    let code = site.linear("code", features, site.settings.usize("code"))?;
    let pixels = site.linear("decoder", code, shape[1..].iter().product())?;
    site.graph.reshape(pixels, &shape)
}

/// The squares of a batch of differences, the mean over samples.
fn distance(site: &Site<'_>, difference: NodeId) -> Result<NodeId, GraphError> {
    let sum = site.graph.sum_all(site.graph.square(difference)?)?;
    site.graph.scale(sum, 1.0 / site.samples() as f64)
}
