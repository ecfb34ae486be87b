//! Screens with a rectangle out of another.

use super::mixup::{MOST, beta, reshaped};
use super::{Regularizer, RegularizerEntry, Scene};
use crate::screen::Screen;
use speck_engine::{Graph, GraphError, NodeId, Tensor, TensorType};
use speck_models::{Dimension, SCREEN, SettingError};

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "cutmix",
    summary: "x ← m x + (1 - m) x' with the next sample of the batch, m 0 in a rectangle of √(1 - λ) of the screen's edges around a random pixel, cut at the border, and 1 elsewhere; one λ ~ Beta(α, α) and one rectangle a step; t of the specks that are seen, or t ← a t + (1 - a) t' with a the mean of m. A structured program computes the mixed screens in full",
    source: "Yun, Han, Oh, Chun, Choe and Yoo, \"CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features\", 2019; it mixes labels by area, which says of a speck that is cut out that it is there",
    dimensions: &[
        Dimension::float("cutmix", "how large the rectangle is: α; 0 for none", (0.0, MOST), 0.0),
        Dimension::choice(
            "cutmix_targets",
            "targets of the specks whose centres are seen, or of both screens by area",
            &["seen", "area"],
            "seen",
        ),
    ],
    make: |settings| match (settings.float("cutmix"), settings.float("mixup")) {
        (0.0, _) => Ok(None),
        (alpha, 0.0) => {
            let seen = settings.text("cutmix_targets") == "seen";
            Ok(Some(Box::new(Cutmix { alpha, seen })))
        }
        _ => {
            let message = "mixes two screens, and so does mixup: one of them must be 0";
            Err(SettingError::new("cutmix", message))
        }
    },
};

struct Cutmix {
    alpha: f64,
    seen: bool,
}

/// A range of rows or columns: from (with it) and to (without it).
type Range = [NodeId; 2];

/// 1 where numbers lie in a range, else 0.
fn inside(graph: &Graph, x: NodeId, [from, to]: Range) -> Result<NodeId, GraphError> {
    graph.mul(graph.greater_equal(x, from)?, graph.greater(to, x)?)
}

impl Regularizer for Cutmix {
    fn screen(&self, scene: &Scene<'_>, screen: Screen) -> Result<Screen, GraphError> {
        let graph = scene.graph;
        let one = graph.scalar(1.0)?;
        let edge = graph.sqrt(graph.sub(one, beta(scene, self.alpha)?)?)?;
        let mut ranges = Vec::new();
        let mut cut = None;
        for (axis, size) in SCREEN.into_iter().enumerate() {
            let middle = graph.scale(reshaped(graph, scene.uniform(&[1])?)?, size as f64)?;
            let middle = graph.floor(middle)?;
            let half = graph.floor(graph.scale(edge, 0.5 * size as f64)?)?;
            let range = [graph.sub(middle, half)?, graph.add(middle, half)?];
            let mut shape = [1; 4];
            shape[2 + axis] = size;
            let places: Vec<_> = (0..size).map(|at| at as f64).collect();
            let places = Tensor::new(&TensorType::new(graph.float(), &shape), &places);
            let line = inside(graph, graph.constant(places)?, range)?;
            cut = Some(match cut {
                Some(other) => graph.mul(other, line)?,
                None => line,
            });
            ranges.push(range);
        }
        let cut = cut.unwrap_or(one);
        let kept = graph.sub(one, cut)?;
        let other = screen.neighbours(graph)?;
        let join = |own: NodeId, other: NodeId, kept: NodeId, cut: NodeId| {
            graph.add(graph.mul(own, kept)?, graph.mul(other, cut)?)
        };
        let image = join(screen.image, other.image, kept, cut)?;
        let targets = if self.seen {
            let hidden = within(graph, &screen, &ranges)?;
            let own = screen.targets_without(graph, hidden)?;
            let hidden = graph.sub(one, within(graph, &other, &ranges)?)?;
            let theirs = other.targets_without(graph, hidden)?;
            graph.maximum(own, theirs)?
        } else {
            let share = graph.mean_all(cut)?;
            join(screen.targets, other.targets, graph.sub(one, share)?, share)?
        };
        Ok(Screen { image, targets, ..screen })
    }
}

/// 1 for each speck whose centre lies in a rectangle: [samples, specks, 1].
fn within(graph: &Graph, screen: &Screen, ranges: &[Range]) -> Result<NodeId, GraphError> {
    let centres = graph.offset(graph.cast(screen.positions)?, (screen.size / 2) as f64)?;
    let mut all = graph.scalar(1.0)?;
    for (axis, range) in ranges.iter().enumerate() {
        let line = graph.narrow(centres, 2, axis, 1, 1)?;
        all = graph.mul(inside(graph, line, *range)?, all)?;
    }
    Ok(all)
}
