//! Prediction depth: after how many layers a network's answer is there.
//!
//! After each layer a probe answers from what the layer puts out: the nearest
//! neighbours of the sample among others of the training data, or a linear map that
//! was fitted to them. The prediction depth of a sample is the first layer from which
//! on all probes say what the network says in the end (Baldock, Maennel and
//! Neyshabur, 2021, section 2.1): 0 if the image itself is enough, the number of
//! probes if not even the last one agrees.
//!
//! Their neighbours vote for a class. Rows and columns are ordered, and a sample's
//! row is rarely among those of a handful of neighbours, so by default the answer is
//! the neighbours' median, and agrees within a tolerance; `vote = "majority"` with a
//! tolerance of 0 is the paper's.

use super::products::{Products, centre, solve};
use super::{
    Diagnostic, Drawn, EVERY, Figure, Instrument, Layers, Look, Readings, Scene, needs_layers,
};
use crate::RunError;
use crate::data::{DataSettings, Split};
use speck_learners::layers::OUTPUTS_LAYER;
use speck_learners::{Learner, SCREEN, SpeckBatch, TARGETS};
use speck_models::settings::{Dimension, SettingError};

pub(super) const DIAGNOSTIC: Diagnostic = Diagnostic {
    name: "prediction-depth",
    summary: "the first layer from which on probes of all layers (nearest neighbours, or linear) answer what the network answers; the mean over samples, and each probe's agreement and hits",
    source: "Baldock, Maennel and Neyshabur, \"Deep Learning Through the Lens of Example Difficulty\", 2021; linear probes: Alain and Bengio, \"Understanding Intermediate Layers Using Linear Classifier Probes\", 2016",
    dimensions: &[
        EVERY,
        Dimension::choice(
            "probe",
            "what answers after a layer: nearest neighbours, or a linear map of the layer",
            &["neighbours", "linear"],
            "neighbours",
        ),
        Dimension::int(
            "samples",
            "samples whose depth is measured, rounded up to a multiple of 64",
            (1, 8192),
            256,
        ),
        Dimension::int(
            "support",
            "samples of the training data that probes know, rounded up to a multiple of 64",
            (64, 8192),
            1024,
        ),
        Dimension::choice(
            "positions",
            "where the specks of the measured samples lie: where they are trained, held out, or both",
            &["training", "held-out", "any"],
            "training",
        ),
        Dimension::int("neighbours", "nearest neighbours that vote", (1, 1024), 5),
        Dimension::choice(
            "vote",
            "how neighbours vote on an axis: their median, or the row or column most of them have",
            &["median", "majority"],
            "median",
        ),
        Dimension::int(
            "tolerance",
            "pixels on each axis by which an answer may differ and still agree",
            (0, 63),
            2,
        ),
        Dimension::float(
            "ridge",
            "penalty of the linear probe's weights, as a share of the layer's mean square",
            (1e-9, 1e3),
            1e-3,
        ),
    ],
    applies: |run, settings| {
        let data = DataSettings::new(&run.data)?;
        let wrong = |key: &str, message: &str| Err(SettingError::new(key, message.to_owned()));
        if data.count != 1 {
            return wrong(
                "kind",
                "prediction-depth: samples have one answer where they have one speck, not several",
            );
        }
        if settings.usize("neighbours") > settings.usize("support") {
            return wrong("neighbours", "more than the support has samples");
        }
        if settings.text("positions") == "held-out" && data.position_sets().held_out.is_empty() {
            return wrong("positions", "the data hold no positions out");
        }
        needs_layers(run, Look::Layers, "prediction-depth")
    },
    make: |scene| Ok(Box::new(PredictionDepth::new(scene)?)),
    figures: &[
        Figure::Curve(Drawn {
            name: "prediction depth",
            title: "Prediction depth",
            label: "layers, mean over samples",
            fraction: false,
            remark: "0: probes of the image itself already answer as the network does. A whole number of layers for each sample.",
        }),
        Figure::Layers(Drawn {
            name: "agreement",
            title: "Probes that answer as the network does",
            label: "share of samples",
            fraction: true,
            remark: "",
        }),
        Figure::Layers(Drawn {
            name: "hits",
            title: "Probes that find the speck",
            label: "share of samples",
            fraction: true,
            remark: "",
        }),
    ],
};

/// How a probe answers.
#[derive(Clone, Copy)]
enum Probe {
    Neighbours { count: usize, majority: bool },
    Linear { ridge: f64 },
}

struct PredictionDepth {
    layers: Layers,
    /// The samples that are measured, then those that probes know.
    batches: Vec<SpeckBatch>,
    known: Vec<SpeckBatch>,
    probe: Probe,
    tolerance: usize,
    across: Products,
    within: Option<Products>,
}

/// Row and column.
type Place = [usize; 2];

impl PredictionDepth {
    fn new(scene: &Scene<'_>) -> Result<Self, RunError> {
        let settings = scene.settings;
        let data = scene.data()?;
        let split = match settings.text("positions") {
            "held-out" => Split::HeldOut,
            "any" => Split::Any,
            _ => Split::Training,
        };
        let measured = DataSettings { split, ..data.clone() };
        // One program runs both: batches of one size.
        let batches = scene.cut(&measured, settings.usize("samples"), "measured");
        let known = scene.cut(&data, settings.usize("support"), "support");
        let layers = scene.layers(Look::Layers, &batches)?;
        let count = |all: &[SpeckBatch]| all.iter().map(|batch| batch.shape.samples).sum();
        let (n, m) = (count(&batches), count(&known));
        let (probe, within) = match settings.text("probe") {
            "linear" => (
                Probe::Linear { ridge: settings.float("ridge") },
                Some(Products::new(m, m, scene.kernels)?),
            ),
            _ => {
                let majority = settings.text("vote") == "majority";
                (Probe::Neighbours { count: settings.usize("neighbours"), majority }, None)
            }
        };
        let tolerance = settings.usize("tolerance");
        let across = Products::new(n, m, scene.kernels)?;
        Ok(PredictionDepth { layers, batches, known, probe, tolerance, across, within })
    }

    /// What a probe of a layer answers for each measured sample.
    fn answers(
        &mut self,
        mut own: Vec<f32>,
        mut known: Vec<f32>,
        width: usize,
        places: &[Place],
    ) -> Result<Vec<Place>, RunError> {
        let m = places.len();
        let n = own.len() / width.max(1);
        // Around the mean of what is known.
        known.extend_from_slice(&own);
        centre(&mut known, width, m);
        own.copy_from_slice(&known[m * width..]);
        known.truncate(m * width);
        let products = self.across.of(&own, &known, width)?;
        match (self.probe, &mut self.within) {
            (Probe::Linear { ridge }, Some(within)) => {
                let kernel = within.of(&known, &known, width)?;
                Ok(linear(&products, kernel, n, places, ridge))
            }
            (Probe::Linear { .. }, None) => Ok(Vec::new()),
            (Probe::Neighbours { count, majority }, _) => {
                let square = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                let squares: Vec<f64> = known.chunks_exact(width).map(square).collect();
                let nearest = nearest(&products, &squares, n, count);
                Ok(nearest.iter().map(|near| vote(near, places, majority)).collect())
            }
        }
    }
}

impl Instrument for PredictionDepth {
    fn read(&mut self, learner: &mut dyn Learner, notes: &mut Readings) -> Result<(), RunError> {
        let weights = learner.state()?;
        let own = self.layers.read(weights, &self.batches)?;
        let known = self.layers.read(weights, &self.known)?;
        let places = true_places(&self.known);
        let truth = true_places(&self.batches);
        let outputs = own.iter().find(|layer| layer.name == OUTPUTS_LAYER);
        let finals: Vec<Place> = outputs.map_or_else(Vec::new, |layer| {
            layer.values.chunks_exact(TARGETS).map(brightest).collect()
        });
        let mut agreements: Vec<Vec<bool>> = Vec::new();
        for (own, known) in own.into_iter().zip(known) {
            let (name, width) = (own.name.clone(), own.width());
            let answers = self.answers(own.values, known.values, width, &places)?;
            let agree = |others: &[Place]| -> Vec<bool> {
                let near = |(a, b): (&Place, &Place)| {
                    (0..2).all(|axis| a[axis].abs_diff(b[axis]) <= self.tolerance)
                };
                answers.iter().zip(others).map(near).collect()
            };
            let (agreed, hits) = (agree(&finals), agree(&truth));
            notes.push_layer("agreement", &name, share(&agreed));
            notes.push_layer("hits", &name, share(&hits));
            agreements.push(agreed);
        }
        let depths: Vec<usize> = depths(&agreements);
        let mean = depths.iter().sum::<usize>() as f64 / depths.len().max(1) as f64;
        notes.push("prediction depth", mean);
        let mut counts = vec![0_u64; agreements.len() + 1];
        depths.iter().for_each(|depth| counts[*depth] += 1);
        let step = notes.step;
        notes.append("depths", serde_json::json!({ "step": step, "samples": counts }));
        Ok(())
    }
}

/// Of each sample, the first probe from which on all agree; `agreements` are those of
/// each probe.
fn depths(agreements: &[Vec<bool>]) -> Vec<usize> {
    let samples = agreements.first().map_or(0, Vec::len);
    let depth = |sample: usize| {
        let agreeing = agreements.iter().rev().take_while(|probe| probe[sample]).count();
        agreements.len() - agreeing
    };
    (0..samples).map(depth).collect()
}

fn share(all: &[bool]) -> f64 {
    all.iter().filter(|one| **one).count() as f64 / all.len() as f64
}

fn true_places(batches: &[SpeckBatch]) -> Vec<Place> {
    let of = |batch: &SpeckBatch| -> Vec<Place> {
        let place =
            |sample| batch.targets(sample).next().map_or([0, 0], |(row, column)| [row, column]);
        (0..batch.shape.samples).map(place).collect()
    };
    batches.iter().flat_map(of).collect()
}

/// The largest of the outputs of each axis; of NaNs, the first.
fn brightest(outputs: &[f32]) -> Place {
    let largest = |axis: &[f32]| {
        let better = |best: usize, i: usize| if axis[i] > axis[best] { i } else { best };
        (0..axis.len()).fold(0, better)
    };
    [largest(&outputs[..SCREEN]), largest(&outputs[SCREEN..])]
}

/// Of each of `n` vectors, the `count` nearest of others, given its products with
/// them and their squares. ‖a - b‖² = ‖a‖² - 2 ⟨a, b⟩ + ‖b‖², of which the first is
/// the same for all. What differs by less than rounding is equal; of equals, the
/// first.
fn nearest(products: &[f64], squares: &[f64], n: usize, count: usize) -> Vec<Vec<usize>> {
    let m = squares.len();
    let scale = squares.iter().sum::<f64>() / m.max(1) as f64;
    let grain = scale * 1e-5;
    let of = |i: usize| {
        let row = &products[i * m..(i + 1) * m];
        let distance = |j: usize| match grain > 0.0 {
            true => ((squares[j] - 2.0 * row[j]) / grain).round(),
            false => 0.0,
        };
        let mut order: Vec<(f64, usize)> = (0..m).map(|j| (distance(j), j)).collect();
        let compare = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let count = count.min(m);
        if count < m {
            order.select_nth_unstable_by(count, compare);
        }
        order.truncate(count);
        order.sort_unstable_by(compare);
        order.into_iter().map(|(_, j)| j).collect()
    };
    (0..n).map(of).collect()
}

/// What neighbours say, the nearest first: on each axis their median (the lower one
/// of two), or what most have, of several such the one whose neighbour is nearest.
fn vote(near: &[usize], places: &[Place], majority: bool) -> Place {
    let axis = |axis: usize| {
        let values: Vec<usize> = near.iter().map(|j| places[*j][axis]).collect();
        if !majority {
            let mut sorted = values;
            sorted.sort_unstable();
            return sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        }
        let votes = |value: usize| values.iter().filter(|other| **other == value).count();
        let better = |best: Option<(usize, usize)>, value: &usize| match best {
            Some((_, most)) if votes(*value) <= most => best,
            _ => Some((*value, votes(*value))),
        };
        values.iter().fold(None, better).map_or(0, |(value, _)| value)
    };
    [axis(0), axis(1)]
}

/// Ridge regression of one-hot rows and columns on a layer, in its dual form:
/// Y' = K' (K + λ I)⁻¹ (Y - mean), with K the products of what is known with itself
/// and K' those of the samples with it; the answer is the largest of each axis.
fn linear(
    products: &[f64],
    mut kernel: Vec<f64>,
    n: usize,
    places: &[Place],
    ridge: f64,
) -> Vec<Place> {
    let m = places.len();
    let trace: f64 = (0..m).map(|i| kernel[i * m + i]).sum();
    let penalty = (ridge * trace / m.max(1) as f64).max(f64::MIN_POSITIVE);
    (0..m).for_each(|i| kernel[i * m + i] += penalty);
    let mut mean = vec![0.0; TARGETS];
    for [row, column] in places {
        mean[*row] += 1.0 / m as f64;
        mean[SCREEN + column] += 1.0 / m as f64;
    }
    let mut targets = Vec::with_capacity(m * TARGETS);
    for [row, column] in places {
        let start = targets.len();
        targets.extend(mean.iter().map(|mean| -mean));
        targets[start + row] += 1.0;
        targets[start + SCREEN + column] += 1.0;
    }
    // Without a solution (weights that are no numbers) the answer is the commonest.
    let weights = solve(kernel, m, targets, TARGETS).unwrap_or_else(|| vec![0.0; m * TARGETS]);
    let answer = |i: usize| {
        let mut outputs = mean.clone();
        for (along, weights) in
            products[i * m..(i + 1) * m].iter().zip(weights.chunks_exact(TARGETS))
        {
            outputs.iter_mut().zip(weights).for_each(|(out, weight)| *out += along * weight);
        }
        let outputs: Vec<f32> = outputs.into_iter().map(|value| value as f32).collect();
        brightest(&outputs)
    };
    (0..n).map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_is_where_agreement_begins_and_stays() {
        // Samples in columns: at once; after one probe; a lapse in between counts;
        // not even the last one.
        let probes =
            [[true, false, true, true], [true, true, false, true], [true, true, true, false]];
        let probes: Vec<Vec<bool>> = probes.iter().map(|probe| probe.to_vec()).collect();
        assert_eq!(depths(&probes), [0, 1, 2, 3]);
        assert!(depths(&[]).is_empty());
    }

    #[test]
    fn neighbours_are_those_of_the_formula() {
        let value = |i: usize| (((i * 7919) % 1009) as f64 / 1009.0 - 0.5) * 4.0;
        let (n, m, width) = (6, 40, 3);
        let a: Vec<f64> = (0..n * width).map(value).collect();
        let b: Vec<f64> = (0..m * width).map(|i| value(i + 1000)).collect();
        let row = |x: &[f64], i: usize| x[i * width..(i + 1) * width].to_vec();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let mut products = Vec::new();
        for i in 0..n {
            products.extend((0..m).map(|j| dot(&row(&a, i), &row(&b, j))));
        }
        let squares: Vec<f64> = (0..m).map(|j| dot(&row(&b, j), &row(&b, j))).collect();
        for (i, found) in nearest(&products, &squares, n, 5).into_iter().enumerate() {
            let distance = |j: &usize| -> f64 {
                row(&a, i).iter().zip(row(&b, *j)).map(|(x, y)| (x - y) * (x - y)).sum()
            };
            let mut all: Vec<usize> = (0..m).collect();
            all.sort_by(|x, y| distance(x).total_cmp(&distance(y)));
            assert_eq!(found, all[..5]);
        }
        // Equals in their order; nothing but zeros; NaN.
        assert_eq!(nearest(&[0.0; 4], &[1.0; 4], 1, 2), [[0, 1]]);
        assert_eq!(nearest(&[0.0; 4], &[0.0; 4], 1, 9), [[0, 1, 2, 3]]);
        assert_eq!(nearest(&[f64::NAN; 4], &[f64::NAN; 4], 1, 2), [[0, 1]]);
    }

    #[test]
    fn votes_are_medians_or_majorities() {
        let places = [[10, 1], [12, 9], [60, 1], [12, 2]];
        assert_eq!(vote(&[0, 1, 2], &places, false), [12, 1]);
        assert_eq!(vote(&[0, 1], &places, false), [10, 1]);
        assert_eq!(vote(&[0, 1, 2, 3], &places, true), [12, 1]);
        // A tie: the nearest one's.
        assert_eq!(vote(&[2, 0], &places, true), [60, 1]);
    }

    #[test]
    fn a_linear_probe_finds_what_lies_in_a_layer() {
        // A layer that is the position itself, one-hot.
        let places: Vec<Place> = (0..400).map(|i| [i % 64, (i * 37 + i / 64 * 11) % 64]).collect();
        let dot = |a: &Place, b: &Place| (0..2).filter(|axis| a[*axis] == b[*axis]).count() as f64;
        let kernel: Vec<f64> =
            places.iter().flat_map(|a| places.iter().map(move |b| dot(a, b))).collect();
        let asked: Vec<Place> = (0..20).map(|i| [(i * 7) % 64, (i * 29 + 32) % 64]).collect();
        let products: Vec<f64> =
            asked.iter().flat_map(|a| places.iter().map(move |b| dot(a, b))).collect();
        assert_eq!(linear(&products, kernel, 20, &places, 1e-6), asked);
        let none = linear(&[f64::NAN; 4], vec![f64::NAN; 4], 2, &places[..2], 1e-6);
        assert_eq!(none.len(), 2);
    }
}
