//! Screens that are shares of two.

use super::{Regularizer, RegularizerEntry, Scene, unless_zero};
use crate::screen::Screen;
use speck_engine::{Graph, GraphError, NodeId, Tensor, TensorType};
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "mixup",
    summary: "x ← λ x + (1 - λ) x', t ← λ t + (1 - λ) t' with the next sample of the batch (of the last: the first) and one λ ~ Beta(α, α) a step. A structured program computes the mixed screens in full",
    source: "Zhang, Cisse, Dauphin and Lopez-Paz, \"mixup: Beyond Empirical Risk Minimization\", 2018, equation 1; samples are drawn independently, so the next one is as good as a random one",
    dimensions: &[Dimension::float(
        "mixup",
        "how evenly two samples are mixed: α; 0 for not at all",
        (0.0, MOST),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("mixup"), |alpha| Mixup { alpha }),
};

/// The largest α: above it terms of the series below cancel each other.
pub(super) const MOST: f64 = 16.0;

struct Mixup {
    alpha: f64,
}

impl Regularizer for Mixup {
    fn screen(&self, scene: &Scene<'_>, screen: Screen) -> Result<Screen, GraphError> {
        let graph = scene.graph;
        let share = beta(scene, self.alpha)?;
        let other = screen.neighbours(graph)?;
        let rest = graph.sub(graph.scalar(1.0)?, share)?;
        let mixed =
            |own: NodeId, other: NodeId| graph.add(graph.mul(own, share)?, graph.mul(other, rest)?);
        let image = mixed(screen.image, other.image)?;
        let targets = mixed(screen.targets, other.targets)?;
        Ok(Screen { image, targets, ..screen })
    }
}

/// Places of the distribution that are tabulated.
const TABLE: usize = 1024;

/// A draw of Beta(α, α), a number without dimensions: a uniform draw through the
/// inverse of its distribution, in a table with straight lines between.
pub(super) fn beta(scene: &Scene<'_>, alpha: f64) -> Result<NodeId, GraphError> {
    let graph = scene.graph;
    let values = quantiles(alpha);
    let ty = TensorType::new(graph.float(), &[values.len()]);
    let table = graph.constant(Tensor::new(&ty, &values))?;
    let place = graph.scale(scene.uniform(&[1])?, TABLE as f64)?;
    let below = graph.to_index(place)?;
    let above = graph.to_index(graph.offset(place, 1.0)?)?;
    let done = graph.sub(place, graph.cast(below)?)?;
    let from = graph.index_select(table, 0, below)?;
    let to = graph.index_select(table, 0, above)?;
    let way = graph.mul(graph.sub(to, from)?, done)?;
    reshaped(graph, graph.add(from, way)?)
}

/// Of [1] a number without dimensions.
pub(super) fn reshaped(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
    graph.reshape(x, &[])
}

/// Where Beta(α, α) has reached i / [`TABLE`].
///
/// F(x) = ∫₀ˣ (u (1 - u))^(α-1) du = x^α Σₙ cₙ xⁿ / (α + n) with cₙ the n-th
/// coefficient of (1 - u)^(α-1); up to x = ½, where its terms are halved at least,
/// by symmetry half of the whole. The rest is the mirror image.
fn quantiles(alpha: f64) -> Vec<f64> {
    let below = |x: f64| {
        let (mut coefficient, mut sum) = (1.0, 0.0);
        for n in 0..120 {
            let n = f64::from(n);
            sum += coefficient / (alpha + n);
            coefficient *= x * (n + 1.0 - alpha) / (n + 1.0);
        }
        x.powf(alpha) * sum
    };
    let half = below(0.5);
    let mut values = vec![0.5; TABLE + 1];
    for i in 0..TABLE / 2 {
        let wanted = 2.0 * half * i as f64 / TABLE as f64;
        let (mut low, mut high) = (0.0, 0.5);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if below(middle) < wanted { low = middle } else { high = middle }
        }
        values[i] = low;
        values[TABLE - i] = 1.0 - low;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        // Beta(1, 1) is uniform, Beta(½, ½) the arcsine distribution.
        for (i, value) in quantiles(1.0).iter().enumerate() {
            assert!((value - i as f64 / TABLE as f64).abs() < 1e-12, "{i}: {value}");
        }
        for (i, value) in quantiles(0.5).iter().enumerate() {
            let wanted = (std::f64::consts::FRAC_PI_2 * i as f64 / TABLE as f64).sin().powi(2);
            assert!((value - wanted).abs() < 1e-12, "{i}: {value}, {wanted}");
        }
        // By Simpson's rule, where there is nothing infinite to integrate.
        for alpha in [2.0, 7.3, MOST] {
            let values = quantiles(alpha);
            let density = |u: f64| (u * (1.0 - u)).powf(alpha - 1.0);
            let integral = |to: f64| {
                let h = to / 400.0;
                let weight = |i: i32| if i % 2 == 1 { 4.0 } else { 2.0 };
                let inner = (1..400).map(|i| weight(i) * density(h * f64::from(i))).sum::<f64>();
                h / 3.0 * (density(0.0) + inner + density(to))
            };
            let whole = integral(1.0);
            for i in [1, 7, 100, 511, 512, 700, 1023] {
                let found = integral(values[i]) / whole;
                let wanted = i as f64 / TABLE as f64;
                assert!((found - wanted).abs() < 1e-8, "{alpha} {i}: {found}, {wanted}");
            }
            assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
