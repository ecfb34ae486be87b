//! Curves of several runs as one.

use super::data::Phase;

/// The mean over runs at every step, and the range: `(step, mean)` and
/// `(step, least, greatest)`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Bundle {
    pub mean: Vec<(f64, f64)>,
    pub band: Vec<(f64, f64, f64)>,
}

/// Bundles a series over the phases of several runs. Between its points a run
/// is taken to change linearly; after its last one, where it stopped early, to
/// stay as it was.
pub(super) fn bundle<'a>(phases: impl Iterator<Item = &'a Phase>, series: &str) -> Bundle {
    let curves = phases
        .map(|phase| {
            let mut curve = phase.curve(series);
            curve.retain(|(_, value)| value.is_finite());
            curve.sort_by(|one, other| one.0.total_cmp(&other.0));
            curve
        })
        .filter(|curve| !curve.is_empty())
        .collect::<Vec<_>>();
    // Only from where all of them have begun: before, the mean would be over
    // fewer runs.
    let begin = curves.iter().map(|curve| curve[0].0).fold(0.0, f64::max);
    let mut steps: Vec<f64> =
        curves.iter().flatten().map(|&(step, _)| step).filter(|&step| step >= begin).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let mut bundle = Bundle::default();
    for step in steps {
        let values: Vec<f64> = curves.iter().map(|curve| at(curve, step)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        bundle.mean.push((step, mean));
        if values.len() > 1 {
            bundle.band.push((step, least, greatest));
        }
    }
    bundle
}

/// The value at a step of a curve that is not empty and has begun.
fn at(curve: &[(f64, f64)], step: f64) -> f64 {
    let after = curve.partition_point(|point| point.0 < step);
    let last = curve[curve.len() - 1];
    match curve.get(after) {
        None => last.1,
        Some(&(exact, value)) if exact == step || after == 0 => value,
        Some(&(next, above)) => {
            let (before, below) = curve[after - 1];
            below + (above - below) * (step - before) / (next - before)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_curve_is_linear_between_and_constant_after() {
        let curve = [(0.0, 1.0), (10.0, 2.0), (30.0, 4.0)];
        for (step, value) in [(0.0, 1.0), (5.0, 1.5), (10.0, 2.0), (20.0, 3.0), (99.0, 4.0)] {
            assert_eq!(at(&curve, step), value, "{step}");
        }
    }
}
