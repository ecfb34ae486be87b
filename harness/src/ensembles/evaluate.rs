//! Testing an ensemble beside its members and the run's own network.

use super::Combination;
use crate::RunError;
use crate::metrics::Metrics;
use crate::run::evaluate::Probe;
use crate::store::Score;
use speck_engine::Tensor;
use speck_learners::{Learner, PRIVATE, SCREEN, TARGETS};

/// A network's tensors.
pub type Weights = Vec<(String, Tensor)>;

/// Something all networks are tested on.
pub struct Test {
    /// Where it belongs, and what it is: `general: corners`.
    pub cell: String,
    /// The metric that is shown of members and of the run's own network.
    pub metric: &'static str,
    /// The samples.
    pub probe: Probe,
}

/// The battery under which scores of ensembles stand.
pub const BATTERY: &str = "ensemble";

/// Scores of a combination of `members` on every test: all metrics; the headline of
/// the run's own network (`single METRIC`) and the mean of the members'
/// (`member METRIC`); and how often two members answer differently.
///
/// # Errors
/// The learner cannot predict.
pub fn scores(
    learner: &mut dyn Learner,
    own: &Weights,
    members: &[Weights],
    combination: Combination,
    tests: &[Test],
) -> Result<Vec<Score>, RunError> {
    let mut sums: Vec<Vec<f32>> = Vec::new();
    let mut answers: Vec<Vec<Vec<[u8; 2]>>> = vec![Vec::new(); tests.len()];
    let mut means: Vec<Mean> = vec![Mean::default(); tests.len()];
    // One network after the other: taking up weights costs more than predicting.
    for (number, member) in members.iter().enumerate() {
        learner.adopt(member)?;
        for (i, test) in tests.iter().enumerate() {
            let (outputs, metrics) = predictions(test, learner)?;
            means[i].add(metrics.value(test.metric));
            answers[i].push(outputs.chunks_exact(TARGETS).map(answer).collect());
            match number {
                0 => sums.push(outputs),
                _ => sums[i].iter_mut().zip(outputs).for_each(|(sum, value)| *sum += value),
            }
        }
    }
    let share = 1.0 / members.len().max(1) as f32;
    sums.iter_mut().flatten().for_each(|sum| *sum *= share);
    let mut singles = Vec::new();
    learner.adopt(own)?;
    for test in tests {
        singles.push(predictions(test, learner)?.1.value(test.metric));
    }
    if combination == Combination::Weights {
        learner.adopt(&averaged(members))?;
    }
    let mut scores = Vec::new();
    for (i, test) in tests.iter().enumerate() {
        let metrics = match combination {
            Combination::Outputs => measured(test, &sums[i]),
            Combination::Weights => predictions(test, learner)?.1,
        };
        let cases = answers[i].first().map_or(0, Vec::len) as u64;
        scores.extend(crate::run::evaluate::scores(BATTERY, &test.cell, &metrics.finish()));
        for (metric, value) in [
            (format!("single {}", test.metric), singles[i]),
            (format!("member {}", test.metric), means[i].value()),
            ("disagreement".to_owned(), disagreement(&answers[i])),
        ] {
            let (battery, cell) = (BATTERY.to_owned(), test.cell.clone());
            scores.push(Score { battery, cell, metric, value, cases });
        }
    }
    Ok(scores)
}

/// The mean of values where there are some.
#[derive(Clone, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// What a network answers on a test, and how good that is.
fn predictions(test: &Test, learner: &mut dyn Learner) -> Result<(Vec<f32>, Metrics), RunError> {
    let mut outputs = Vec::new();
    let mut metrics = Metrics::new();
    test.probe.visit(learner, |brightness, batch| {
        metrics.add(brightness, batch);
        outputs.extend_from_slice(brightness);
    })?;
    Ok((outputs, metrics))
}

/// How good answers are.
fn measured(test: &Test, outputs: &[f32]) -> Metrics {
    let mut metrics = Metrics::new();
    let mut rest = outputs;
    for batch in test.probe.batches() {
        let (own, others) = rest.split_at(batch.shape.samples * TARGETS);
        metrics.add(own, batch);
        rest = others;
    }
    metrics
}

/// The brightest row and column.
fn answer(outputs: &[f32]) -> [u8; 2] {
    let largest = |axis: &[f32]| {
        let better = |best: usize, i: usize| if axis[i] > axis[best] { i } else { best };
        (0..axis.len()).fold(0, better) as u8
    };
    [largest(&outputs[..SCREEN]), largest(&outputs[SCREEN..])]
}

/// The share of samples on which two members' brightest row or column differ, mean
/// over all pairs (Fort, Hu and Lakshminarayanan, "Deep Ensembles: A Loss Landscape
/// Perspective", 2019).
fn disagreement(answers: &[Vec<[u8; 2]>]) -> Option<f64> {
    let mut mean = Mean::default();
    for (i, a) in answers.iter().enumerate() {
        for b in &answers[..i] {
            let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
            mean.add((!a.is_empty()).then(|| differ as f64 / a.len() as f64));
        }
    }
    mean.value()
}

/// The mean of the members' tensors, in f64; the learner's own slots are left out.
pub fn averaged(members: &[Weights]) -> Weights {
    let first = members.first().map_or(&[][..], Vec::as_slice);
    let shown = first.iter().filter(|(name, _)| !name.starts_with(PRIVATE));
    let mean = |(name, tensor): &(String, Tensor)| {
        let mut sum = vec![0.0; tensor.ty().elements()];
        for member in members {
            let own = member.iter().find(|(other, _)| other == name);
            let values = own.map(|(_, tensor)| tensor.to_f64()).unwrap_or_default();
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sum.iter_mut().for_each(|sum| *sum /= members.len() as f64);
        (name.clone(), Tensor::new(tensor.ty(), &sum))
    };
    shown.map(mean).collect()
}
