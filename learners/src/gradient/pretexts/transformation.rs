//! Pretexts that ask what was done to a screen.

use super::{PretextEntry, Site};
use speck_engine::{ClassLoss, DType, GraphError, NodeId, Tensor};
use speck_models::Dimension;

pub(super) const ROTATION: PretextEntry = PretextEntry {
    name: "rotation",
    summary: "cross-entropy of the four rotations by quarters, each quarter of a batch turned by one of them",
    source: "Gidaris, Singh, Komodakis, \"Unsupervised Representation Learning by Predicting Image Rotations\", 2018",
    dimensions: &[],
    build: rotation,
};

pub(super) const SHIFT: PretextEntry = PretextEntry {
    name: "shift",
    summary: "cross-entropies of rows and columns that a screen was moved by, from the features of both",
    source: "Agrawal, Carreira, Malik, \"Learning to See by Moving\", 2015",
    dimensions: &[Dimension::int(
        "most_shift",
        "most pixels that a screen is moved by, up or down, left or right",
        (1, 31),
        4,
    )],
    build: shift,
};

fn rotation(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let graph = site.graph;
    let samples = site.samples();
    let (mut turned, mut classes) = (Vec::new(), Vec::new());
    for quarters in 0..4 {
        let (from, to) = (samples * quarters / 4, samples * (quarters + 1) / 4);
        if from == to {
            continue;
        }
        let part = graph.narrow(site.image, 0, from, 1, to - from)?;
        turned.push(match quarters {
            0 => part,
            1 => graph.flip(graph.permute(part, &[0, 1, 3, 2])?, &[2])?,
            2 => graph.flip(part, &[2, 3])?,
            _ => graph.flip(graph.permute(part, &[0, 1, 3, 2])?, &[3])?,
        });
        classes.extend(std::iter::repeat_n(quarters as i32, to - from));
    }
    let features = site.features(graph.concat(&turned, 0)?)?;
    let logits = site.linear("rotation", features, 4)?;
    let classes = graph.constant(Tensor::from_i32(&[samples], classes))?;
    graph.cross_entropy(logits, classes, &ClassLoss::default())
}

fn shift(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let graph = site.graph;
    let (samples, most) = (site.samples(), site.settings.usize("most_shift"));
    let by = [site.shifts(most)?, site.shifts(most)?];
    let moved = site.shifted(site.image, by)?;
    let features = site.features(graph.concat(&[site.image, moved], 0)?)?;
    let before = graph.narrow(features, 0, 0, 1, samples)?;
    let after = graph.narrow(features, 0, samples, 1, samples)?;
    let both = graph.concat(&[before, after], 1)?;
    let mut sum = graph.scalar(0.0)?;
    for (name, by) in ["rows", "columns"].into_iter().zip(by) {
        let logits = site.linear(name, both, 2 * most + 1)?;
        let class = graph.to_index(graph.offset(by, most as f64)?)?;
        debug_assert_eq!(graph.ty(class).dtype, DType::I32);
        sum = graph.add(sum, graph.cross_entropy(logits, class, &ClassLoss::default())?)?;
    }
    Ok(sum)
}
