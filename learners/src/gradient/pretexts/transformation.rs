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
    let most = site.settings.usize("most_shift");
    shift_by(site, most, [site.shifts(most)?, site.shifts(most)?])
}

/// The loss of screens that are moved down and right by so many pixels.
fn shift_by(site: &Site<'_>, most: usize, by: [NodeId; 2]) -> Result<NodeId, GraphError> {
    let (graph, samples) = (site.graph, site.samples());
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

#[cfg(test)]
mod tests {
    use super::super::tests::sited;
    use super::*;
    use speck_engine::{Graph, Options, Program, State, TensorType};

    #[test]
    fn a_shift_is_asked_for_by_rows_and_columns() {
        const EDGE: usize = 64;
        let (samples, most, pixels) = (3, 2, 3 * EDGE * EDGE);
        let graph = Graph::new(DType::F64);
        let ty = TensorType::new(DType::F64, &[samples, 3, EDGE, EDGE]);
        let noise = |at: usize| ((at * 13 + 5) as f64).sin();
        let screens: Vec<f64> = (0..samples * pixels).map(noise).collect();
        let image = graph.constant(Tensor::new(&ty, &screens)).unwrap();
        let by = [[2.0, 0.0, -1.0], [-2.0, 1.0, 0.0]];
        let list = TensorType::new(DType::F64, &[samples]);
        let nodes = by.map(|by| graph.constant(Tensor::new(&list, &by)).unwrap());
        sited(&graph, &[], image, |site| {
            graph.output("loss", shift_by(site, most, nodes).unwrap()).unwrap();
        });
        let mut program = Program::compile(&graph, &Options::default()).unwrap();
        let mut state = State::initialise(&graph, 3);
        program.run(&mut state).unwrap();
        let found = program.values::<f64>("loss").unwrap()[0];
        // y = W x + b.
        let linear = |name: &str, x: &[f64]| -> Vec<f64> {
            let slot = |end: &str| state.get(&format!("{name}.{end}")).unwrap().to_f64();
            let (weight, bias) = (slot("weight"), slot("bias"));
            let rows = weight.chunks(x.len()).zip(bias);
            rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
                .collect()
        };
        let mut wanted = 0.0;
        for (sample, screen) in screens.chunks(pixels).enumerate() {
            // A pixel comes from where it was, one beyond the edge from the edge.
            let from = |at: usize, by: f64| (at as f64 - by).clamp(0.0, (EDGE - 1) as f64) as usize;
            let moved: Vec<f64> = (0..pixels)
                .map(|at| {
                    let (column, row, plane) = (at % EDGE, at / EDGE % EDGE, at / EDGE / EDGE);
                    let (row, column) = (from(row, by[0][sample]), from(column, by[1][sample]));
                    screen[(plane * EDGE + row) * EDGE + column]
                })
                .collect();
            let both = [linear("head", screen), linear("head", &moved)].concat();
            for (name, by) in [("rows", by[0][sample]), ("columns", by[1][sample])] {
                let logits = linear(&format!("{}pretext/{name}", crate::PRIVATE), &both);
                assert_eq!(logits.len(), 2 * most + 1);
                let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                let class = (by + most as f64) as usize;
                wanted -= (logits[class].exp() / sum).ln() / samples as f64;
            }
        }
        assert!((found - wanted).abs() < 1e-9 * wanted, "{found} not {wanted}");
    }
}
