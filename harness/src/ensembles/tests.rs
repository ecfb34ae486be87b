//! Ensembles of real networks.

use super::evaluate::{Test, Weights, averaged, scores};
use super::*;
use crate::config::Experiment;
use crate::data::Source;
use crate::registries;
use crate::run::evaluate::{Probe, headline};
use crate::run::learner;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{DType, Tensor, TensorType};
use speck_learners::{Batches, Learner, PRIVATE, SpeckBatch, TARGETS};

const TINY: &str = "[learner.adam]\nkind = \"gradient\"\nrate = 0.01\nsteps = 60\nbatch = 16\n\
    [[model]]\nkind = \"cnn\"\nchannels = [2, 2]\nhead = \"gap\"\nnorm = \"batch\"\n";

fn trained(experiment: &Experiment, seed: u64) -> (Box<dyn Learner>, Weights) {
    let run = RunConfig { seed, ..experiment.runs[0].clone() };
    let data = DataSettings::new(&run.data).unwrap();
    let source = Source::new(&data, 16, seed);
    let shape = source.shape();
    let mut made = learner(&run, &run.learner.1, shape, &Choice::default(), Mode::Dense).unwrap();
    made.learn(&source, 20).unwrap();
    let state = made.state().unwrap().iter();
    let weights = state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    (made, weights)
}

#[test]
fn answers_and_weights_are_the_means_of_the_formula() {
    let experiment = Experiment::parse(TINY, "tiny.toml", &registries()).unwrap();
    let data = DataSettings::new(&experiment.runs[0].data).unwrap();
    let test = || Test {
        cell: "random".to_owned(),
        metric: headline(&data),
        probe: Probe::random(&data, 40, 3),
    };
    let (mut own, single) = trained(&experiment, 9);
    let mut members = Vec::new();
    let mut sum = vec![0.0_f64; 40 * TARGETS];
    let mut hits = Vec::new();
    for seed in 0..3 {
        let (mut member, weights) = trained(&experiment, seed);
        let metrics = test().probe.measure(&mut *member).unwrap();
        hits.push(metrics.value("exact hit").unwrap());
        let mut at = 0;
        test()
            .probe
            .visit(&mut *member, |brightness, _| {
                for value in brightness {
                    sum[at] += f64::from(*value) / 3.0;
                    at += 1;
                }
            })
            .unwrap();
        members.push(weights);
    }
    let value = |found: &[crate::store::Score], metric: &str| {
        found.iter().find(|score| score.metric == metric).and_then(|score| score.value)
    };
    let found = scores(&mut *own, &single, &members, Combination::Outputs, &[test()]).unwrap();
    let mean: Vec<f32> = sum.iter().map(|value| *value as f32).collect();
    let mut metrics = crate::metrics::Metrics::new();
    for (batch, outputs) in test().probe.batches().iter().zip(mean.chunks(40 * TARGETS)) {
        metrics.add(outputs, batch);
    }
    for metric in metrics.finish().iter().filter(|metric| metric.cases > 0) {
        let (found, wanted) = (value(&found, metric.name).unwrap(), metric.value.unwrap());
        assert!((found - wanted).abs() < 1e-5, "{}: {found}, not {wanted}", metric.name);
    }
    let wanted = hits.iter().sum::<f64>() / 3.0;
    assert!((value(&found, "member exact hit").unwrap() - wanted).abs() < 1e-12);
    assert!(value(&found, "single exact hit").is_some());
    assert!(value(&found, "disagreement").unwrap() > 0.0);
    // Weights: every value, and none of the learner's own.
    let soup = averaged(&members);
    for (name, tensor) in &soup {
        assert!(!name.starts_with(PRIVATE));
        let of =
            |member: &Weights| member.iter().find(|(other, _)| other == name).unwrap().1.to_f64();
        let all: Vec<Vec<f64>> = members.iter().map(of).collect();
        for (i, found) in tensor.to_f64().iter().enumerate() {
            let wanted = (all[0][i] + all[1][i] + all[2][i]) / 3.0;
            assert!((found - wanted).abs() <= 1e-7 * (1.0 + wanted.abs()), "{name}");
        }
    }
    assert!(soup.iter().any(|(name, _)| name.ends_with("running_var")));
    let found = scores(&mut *own, &single, &members, Combination::Weights, &[test()]).unwrap();
    own.adopt(&soup).unwrap();
    let wanted = test().probe.measure(&mut *own).unwrap().value("pixel distance");
    assert_eq!(value(&found, "pixel distance"), wanted);
    let ty = TensorType::new(DType::F32, &[1]);
    assert_eq!(averaged(&[vec![("learner/step".to_owned(), Tensor::zeros(&ty))]]), []);
}

#[test]
fn a_bootstrap_sample_has_about_two_thirds_of_the_positions() {
    let data = DataSettings::default();
    let places = |source: &Source| {
        let mut all = std::collections::BTreeSet::new();
        for step in 0..400 {
            let mut batch = SpeckBatch::new(source.shape());
            source.fill(step, &mut batch);
            all.extend((0..128).flat_map(|sample| batch.targets(sample).collect::<Vec<_>>()));
        }
        all
    };
    let source = Source::new(&data, 128, 1);
    let (a, b) = (source.clone().resampled(1), source.clone().resampled(2));
    // 1 - 1/e of 4096 is 2589.
    for one in [&a, &b] {
        assert!((2480..2700).contains(&places(one).len()), "{}", places(one).len());
    }
    assert_ne!(places(&a), places(&b));
    assert_eq!(places(&a), places(&source.clone().resampled(1)));
    assert!(places(&source).len() > 4000);
}

#[test]
fn snapshots_are_taken_where_the_rate_begins_anew() {
    let text = format!("{TINY}[[ensemble]]\nkind = \"snapshots\"\nmembers = 4\n");
    let experiment = Experiment::parse(&text, "tiny.toml", &registries()).unwrap();
    let config = &experiment.ensembles[0];
    let all = (find("snapshots").unwrap().trainings)(&experiment.runs[0], &config.settings);
    let [training] = &all.unwrap()[..] else { panic!("one training") };
    assert_eq!(training.members, 4);
    let run = RunConfig { seed: training.seed, ..experiment.runs[0].clone() };
    let source = Source::new(&DataSettings::new(&run.data).unwrap(), 16, 1);
    let shape = source.shape();
    let kernels = Choice::default();
    let mut made = learner(&run, &training.learner, shape, &kernels, Mode::Dense).unwrap();
    for step in 0..60_u64 {
        // Equation 2 of the paper.
        let t = (step % 15) as f64 / 15.0;
        let wanted = 0.01 / 2.0 * (1.0 + (std::f64::consts::PI * t).cos());
        assert!((made.rate() - wanted).abs() < 1e-12, "{step}: {}", made.rate());
        made.learn(&source, 1).unwrap();
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |text: &str, wanted: &str| {
        let error = Experiment::parse(text, "tiny.toml", &registries()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    };
    refused(
        &format!("{TINY}[[ensemble]]\nkind = \"snapshots\"\nmembers = 7\n"),
        "`members`: 60 steps are no whole number of 7 cycles",
    );
    refused(
        "ensembles = [\"snapshots\"]\n[learner.hebbian]\n[[model]]\nkind = \"linear\"\n",
        "snapshots: the hebbian learner has no schedule",
    );
    refused(
        &format!("ensembles = [\"bagging\"]\n[data]\ncount = 2\narrangement = \"line\"\n{TINY}"),
        "bagging: the data's specks are placed by their arrangement",
    );
    refused(&format!("ensembles = [\"bag\"]\n{TINY}"), "no ensemble \"bag\"");
}
