//! Pretexts that ask which two views are of one screen. A view is the screen moved,
//! its contrast with the background changed and noise put on it.

use super::{PretextEntry, Site, TARGET};
use speck_engine::{Graph, GraphError, NodeId, Tensor};
use speck_models::{Builder, Dimension, Mode};

const VIEWS: [Dimension; 3] = [
    Dimension::float("view_noise", "deviation of the noise on a view", (0.0, 10.0), 0.05),
    Dimension::float(
        "view_scale",
        "s: a view is multiplied by a number in 1 - s..1 + s",
        (0.0, 1.0),
        0.5,
    ),
    Dimension::int("view_shift", "most pixels that a view is moved by", (0, 31), 1),
];
const PROJECTION: [Dimension; 2] = [
    Dimension::int("projection_hidden", "units of the hidden layer of a head", (1, 65_536), 128),
    Dimension::int("projection", "values of a projection", (1, 65_536), 32),
];

pub(super) const SIMCLR: PretextEntry = PretextEntry {
    name: "simclr",
    summary: "NT-Xent: -log exp(cos(z, z⁺) / τ) / Σ exp(cos(z, z') / τ), z' all other views of the batch, z a projection by two layers; the mean over views",
    source: "Chen et al., \"A Simple Framework for Contrastive Learning of Visual Representations\", 2020",
    dimensions: &[
        VIEWS[0],
        VIEWS[1],
        VIEWS[2],
        PROJECTION[0],
        PROJECTION[1],
        Dimension::float(
            "contrast_temperature",
            "τ: what likenesses are divided by",
            (0.001, 1e3),
            0.5,
        ),
    ],
    build: simclr,
};

pub(super) const BYOL: PretextEntry = PretextEntry {
    name: "byol",
    summary: "2 - 2 cos(predictor(z), z̄⁺) for both views, z̄ the projection by a network whose weights follow: w̄ ← d w̄ + (1 - d) w",
    source: "Grill et al., \"Bootstrap Your Own Latent\", 2020",
    dimensions: &[
        VIEWS[0],
        VIEWS[1],
        VIEWS[2],
        PROJECTION[0],
        PROJECTION[1],
        Dimension::float("target_decay", "d: how slowly the target follows", (0.0, 1.0), 0.99),
    ],
    build: byol,
};

/// A view of every screen.
fn view(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let (graph, settings) = (site.graph, site.settings);
    let mut image = site.image;
    let most = settings.usize("view_shift");
    if most > 0 {
        image = site.shifted(image, [site.shifts(most)?, site.shifts(most)?])?;
    }
    let scale = settings.float("view_scale");
    if scale > 0.0 {
        let draws = site.uniform(&[site.samples(), 1, 1, 1])?;
        let factor = graph.offset(graph.scale(draws, 2.0 * scale)?, 1.0 - scale)?;
        image = graph.mul(image, factor)?;
    }
    site.noisy(image, settings.float("view_noise"))
}

/// Two views of every screen, one behind the other: [2 samples, …].
fn views(site: &Site<'_>) -> Result<NodeId, GraphError> {
    site.graph.concat(&[view(site)?, view(site)?], 0)
}

/// Two layers with a rectifier between them.
fn projected(site: &Site<'_>, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
    let hidden = site.settings.usize("projection_hidden");
    let hidden = site.linear(&format!("{name}.0"), x, hidden)?;
    let hidden = site.graph.relu(hidden)?;
    site.linear(&format!("{name}.1"), hidden, site.settings.usize("projection"))
}

/// Vectors of length 1.
fn direction(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
    graph.normalize(x, 2.0, &[1], 1e-8)
}

fn simclr(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let graph = site.graph;
    let features = site.features(views(site)?)?;
    let z = direction(graph, projected(site, "projection", features)?)?;
    nt_xent(graph, z, site.settings.float("contrast_temperature"))
}

/// The loss of directions [2 n, values], of which i and n + i belong together.
fn nt_xent(graph: &Graph, z: NodeId, temperature: f64) -> Result<NodeId, GraphError> {
    let all = graph.shape(z)[0];
    let likeness = graph.matmul_with(z, z, false, true)?;
    let likeness = graph.scale(likeness, 1.0 / temperature)?;
    // A view is not compared with itself.
    let mut own = vec![0.0; all * all];
    let mut pairs = vec![0.0; all * all];
    for i in 0..all {
        own[i * all + i] = -1e9;
        pairs[i * all + (i + all / 2) % all] = 1.0 / all as f64;
    }
    let ty = graph.ty(likeness);
    let likeness = graph.add(likeness, graph.constant(Tensor::new(&ty, &own))?)?;
    let log = graph.log_softmax(likeness, 1)?;
    let chosen = graph.mul(log, graph.constant(Tensor::new(&ty, &pairs))?)?;
    graph.neg(graph.sum_all(chosen)?)
}

fn byol(site: &Site<'_>) -> Result<NodeId, GraphError> {
    let graph = site.graph;
    let views = views(site)?;
    let samples = site.samples();
    let features = site.features(views)?;
    let z = projected(site, "projection", features)?;
    let online: Vec<_> = site.built.borrow().learned.clone();
    let said = direction(graph, projected(site, "predictor", z)?)?;
    // The target has the same views and the same weights as they were some time ago.
    let mode = Mode::Training { seed: site.seed, step: site.step };
    let features = site.features_of(views, Builder::prefixed(graph, mode, TARGET), false)?;
    let mut x = features;
    for (index, width) in ["projection_hidden", "projection"].into_iter().enumerate() {
        let slot = format!("{TARGET}{}pretext/projection.{index}", crate::PRIVATE);
        let [weight, bias] = site.layer(&slot, x, site.settings.usize(width))?;
        x = graph.linear(x, weight, Some(bias))?;
        if index == 0 {
            x = graph.relu(x)?;
        }
    }
    for (name, parameter) in online {
        if let Some(target) = graph.state_node(&format!("{TARGET}{name}")) {
            site.built.borrow_mut().following.push((target, parameter));
        }
    }
    let wanted = graph.detach(direction(graph, x)?)?;
    // Each view is to say what the target makes of the other one.
    let other =
        [graph.narrow(wanted, 0, samples, 1, samples)?, graph.narrow(wanted, 0, 0, 1, samples)?];
    let likeness = graph.sum_all(graph.mul(said, graph.concat(&other, 0)?)?)?;
    // The sum over both views, the mean over samples.
    graph.offset(graph.scale(likeness, -2.0 / samples as f64)?, 4.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sited;
    use super::*;
    use speck_engine::{DType, Options, Program, State, TensorType};
    use speck_models::settings::Value;

    /// Views of screens with these settings, in some steps.
    fn seen(given: &[(&str, Value)], shape: &[usize], screens: &[f64]) -> Vec<[Vec<f64>; 2]> {
        let graph = Graph::new(DType::F64);
        let ty = TensorType::new(DType::F64, shape);
        let image = graph.constant(Tensor::new(&ty, screens)).unwrap();
        sited(&graph, given, image, |site| {
            graph.output("one", view(site).unwrap()).unwrap();
            graph.output("two", view(site).unwrap()).unwrap();
        });
        let mut program = Program::compile(&graph, &Options::default()).unwrap();
        let mut state = State::initialise(&graph, 0);
        let steps = (0..30).map(|step| {
            state.set("step", Tensor::from_i32(&[], vec![step])).unwrap();
            program.run(&mut state).unwrap();
            ["one", "two"].map(|name| program.values::<f64>(name).unwrap().to_vec())
        });
        steps.collect()
    }

    #[test]
    fn a_view_is_the_screen_moved_scaled_and_with_noise() {
        let (samples, channels, edge, most, scale) = (4, 2, 7, 2_i64, 0.5);
        let shape = [samples, channels, edge, edge];
        let plane = channels * edge * edge;
        let screens: Vec<f64> =
            (0..samples * plane).map(|at| 2.0 + ((at * 7 + 3) as f64).sin()).collect();
        let given = |noise: f64| {
            [
                ("pretext", Value::Text("simclr".to_owned())),
                ("view_shift", Value::Int(most)),
                ("view_scale", Value::Float(scale)),
                ("view_noise", Value::Float(noise)),
            ]
        };
        let from = |at: usize, by: i64| (at as i64 - by).clamp(0, edge as i64 - 1) as usize;
        let still = seen(&given(0.0), &shape, &screens);
        let (mut shifts, mut factors) = (std::collections::BTreeSet::new(), Vec::new());
        for views in &still {
            assert_ne!(views[0], views[1], "two views, not one");
            for (at, view) in views.iter().flat_map(|all| all.chunks(plane).enumerate()) {
                let screen = &screens[at * plane..(at + 1) * plane];
                // factor · screen[row - down, column - right], for one way of them.
                let fits = |down: i64, right: i64| -> Option<(i64, i64, f64)> {
                    let moved = |at: usize| {
                        let (column, row) = (from(at % edge, right), from(at / edge % edge, down));
                        screen[(at / edge / edge * edge + row) * edge + column]
                    };
                    let factor = view[0] / moved(0);
                    let same = |at| (view[at] - factor * moved(at)).abs() < 1e-12;
                    (0..plane).all(same).then_some((down, right, factor))
                };
                let ways = (-most..=most).flat_map(|down| (-most..=most).map(move |r| (down, r)));
                let mut found = ways.filter_map(|(down, right)| fits(down, right));
                let (down, right, factor) = found.next().expect("a screen moved and scaled");
                assert!((1.0 - scale..=1.0 + scale).contains(&factor), "{factor}");
                shifts.insert((down, right));
                factors.push(factor);
            }
        }
        assert_eq!(shifts.len(), 25, "every way is taken");
        let mean = factors.iter().sum::<f64>() / factors.len() as f64;
        let spread = factors.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / factors.len() as f64;
        assert!((mean - 1.0).abs() < 0.06 && (spread - scale * scale / 3.0).abs() < 0.02);
        // The noise comes last: what it is put on is the same as without. Draws behind it
        // are others, so this holds for the first view only.
        let noisy = seen(&given(0.1), &shape, &screens);
        let pairs = noisy.iter().zip(&still);
        let pairs = pairs.flat_map(|(noisy, still)| noisy[0].iter().zip(&still[0]));
        let noise: Vec<f64> = pairs.map(|(noisy, still)| noisy - still).collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        let spread = (noise.iter().map(|x| x * x).sum::<f64>() / noise.len() as f64).sqrt();
        assert!(mean.abs() < 3e-3 && (spread - 0.1).abs() < 3e-3, "{mean} {spread}");
    }

    #[test]
    fn nt_xent_is_the_papers_formula() {
        let (n, width, temperature) = (3, 4, 0.3);
        let graph = Graph::new(DType::F64);
        let x = graph.input("x", DType::F64, &[2 * n, width]).unwrap();
        let z = direction(&graph, x).unwrap();
        graph.output("loss", nt_xent(&graph, z, temperature).unwrap()).unwrap();
        let values: Vec<f64> = (0..2 * n * width).map(|i| ((i * 7 + 3) as f64).sin()).collect();
        let mut program = Program::compile(&graph, &Options::default()).unwrap();
        program.input_mut::<f64>("x").unwrap().copy_from_slice(&values);
        program.run(&mut State::initialise(&graph, 0)).unwrap();
        let found = program.values::<f64>("loss").unwrap()[0];
        let row = |i: usize| &values[i * width..(i + 1) * width];
        let cos = |i: usize, j: usize| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(row(i), row(j)) / (dot(row(i), row(i)) * dot(row(j), row(j))).sqrt()
        };
        let mut wanted = 0.0;
        for i in 0..2 * n {
            let pair = (i + n) % (2 * n);
            let others = (0..2 * n).filter(|j| *j != i);
            let sum: f64 = others.map(|j| (cos(i, j) / temperature).exp()).sum();
            wanted -= ((cos(i, pair) / temperature).exp() / sum).ln() / (2 * n) as f64;
        }
        assert!((found - wanted).abs() < 1e-12, "{found} not {wanted}");
        assert_eq!(graph.ty(z), TensorType::new(DType::F64, &[2 * n, width]));
    }
}
