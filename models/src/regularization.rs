//! What disturbs a model while it is trained.

use crate::{Builder, Mode};
use speck_engine::{Graph, GraphError, NodeId};

/// What a model's dropout layers drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// Elements (Srivastava et al., "Dropout", 2014).
    #[default]
    Elements,
    /// Whole maps of [samples, channels, rows, columns], elements of all else
    /// (Tompson et al., "Efficient Object Localization Using Convolutional
    /// Networks", 2015).
    Maps,
    /// Elements, which become the value at which SELU saturates; mean and variance
    /// stay 0 and 1 where they are (Klambauer et al., "Self-Normalizing Neural
    /// Networks", 2017).
    Saturated,
}

/// A weight as the layers see it, of its name and itself.
pub type WeightRule<'a> = dyn Fn(&Graph, &str, NodeId) -> Result<NodeId, GraphError> + 'a;

/// What disturbs a model while it is trained; nothing by default.
#[derive(Clone, Copy, Default)]
pub struct Regularization<'a> {
    /// What dropout layers drop.
    pub dropped: Dropped,
    /// The probability that a sample goes past a residual branch (Huang et al.,
    /// "Deep Networks with Stochastic Depth", 2016).
    pub path: f64,
    /// What layers see in place of weights of two dimensions and more.
    pub weights: Option<&'a WeightRule<'a>>,
}

/// Where SELU saturates: -λ α (Klambauer et al., 2017, equation 14).
const SATURATION: f64 = -1.758_099_340_847_376_6;

impl Builder<'_> {
    /// Dropout while training, nothing in evaluation.
    #[track_caller]
    pub(crate) fn dropout_layer(&self, x: NodeId, rate: f64) -> Result<NodeId, GraphError> {
        let Mode::Training { seed, step } = self.mode else { return Ok(x) };
        let graph = self.graph;
        let shape = graph.shape(x);
        match self.regularization.dropped {
            _ if rate == 0.0 => Ok(x),
            Dropped::Maps if shape.len() == 4 => {
                let ones = graph.expand(graph.scalar(1.0)?, &[shape[0], shape[1], 1, 1])?;
                graph.mul(x, graph.dropout(ones, rate, seed, step)?)
            }
            Dropped::Saturated => {
                // y = a (x b + s (1 - b)) + c with b = 1 at the probability q: a and c
                // bring mean 0 and variance 1 back.
                let q = 1.0 - rate;
                let a = (q + SATURATION * SATURATION * q * rate).sqrt().recip();
                let c = -a * rate * SATURATION;
                let draw = graph.random_uniform(&shape, seed, step)?;
                let kept = graph.greater_equal(draw, graph.scalar(rate)?)?;
                let mixed = graph.select(kept, x, graph.scalar(SATURATION)?)?;
                graph.offset(graph.scale(mixed, a)?, c)
            }
            _ => graph.dropout(x, rate, seed, step),
        }
    }

    /// What comes out of a residual branch, before its input is added: while
    /// training, 0 for some of the samples, and more of the others. `x` is
    /// [samples · anything, …].
    #[track_caller]
    pub(crate) fn drop_path_layer(&self, x: NodeId, samples: usize) -> Result<NodeId, GraphError> {
        self.branches.set(self.branches.get() + 1);
        let rate = self.regularization.path;
        let Mode::Training { seed, step } = self.mode else { return Ok(x) };
        if rate == 0.0 {
            return Ok(x);
        }
        let graph = self.graph;
        let shape = graph.shape(x);
        let mut of_each = vec![1; shape.len()];
        of_each[0] = samples;
        let ones = graph.expand(graph.scalar(1.0)?, &of_each)?;
        let kept = graph.dropout(ones, rate, seed, step)?;
        if shape[0] == samples {
            return graph.mul(x, kept);
        }
        let rows =
            graph.reshape(x, &[samples, shape.iter().product::<usize>() / samples.max(1)])?;
        let rows = graph.mul(rows, graph.reshape(kept, &[samples, 1])?)?;
        graph.reshape(rows, &shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use speck_engine::{DType, Options, Program, State, Tensor, TensorType};

    /// What a layer makes of ones or of normal draws, [samples, …].
    fn dropped(
        shape: &[usize],
        normal: bool,
        regularization: Regularization<'_>,
        layer: impl Fn(&Builder<'_>, NodeId) -> Result<NodeId, GraphError>,
    ) -> Vec<f64> {
        let graph = Graph::new(DType::F64);
        let seed = graph.constant(Tensor::from_i32(&[2], vec![7, 0])).unwrap();
        let step = graph.constant(Tensor::zeros(&TensorType::new(DType::I32, &[]))).unwrap();
        let x = match normal {
            true => graph.random_normal(shape, seed, step).unwrap(),
            false => graph.expand(graph.scalar(1.0).unwrap(), shape).unwrap(),
        };
        let mut builder = Builder::new(&graph, Mode::Training { seed, step });
        builder.regularization = regularization;
        graph.output("y", layer(&builder, x).unwrap()).unwrap();
        let mut program = Program::compile(&graph, &Options::default()).unwrap();
        program.run(&mut State::initialise(&graph, 0)).unwrap();
        program.output("y").unwrap().to_f64()
    }

    fn share_of_zeros(values: &[f64]) -> f64 {
        values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64
    }

    #[test]
    fn maps_are_dropped_as_a_whole_and_elements_one_by_one() {
        let maps = Regularization { dropped: Dropped::Maps, ..Regularization::default() };
        let layer = |builder: &Builder<'_>, x| builder.dropout_layer(x, 0.25);
        let found = dropped(&[40, 50, 3, 2], false, maps, layer);
        for map in found.chunks(6) {
            assert!(map.iter().all(|v| *v == map[0] && (*v == 0.0 || *v == 1.0 / 0.75)));
        }
        assert!((share_of_zeros(&found) - 0.25).abs() < 0.03);
        // Units of a layer are maps of one element.
        let found = dropped(&[40, 50], false, maps, layer);
        assert!((share_of_zeros(&found) - 0.25).abs() < 0.03);
        let found = dropped(&[40, 50, 3, 2], false, Regularization::default(), layer);
        assert!((share_of_zeros(&found) - 0.25).abs() < 0.02);
        assert!(found.chunks(6).any(|map| map.iter().any(|v| *v != map[0])));
    }

    #[test]
    fn saturated_elements_leave_mean_and_variance() {
        let alpha = Regularization { dropped: Dropped::Saturated, ..Regularization::default() };
        let layer = |builder: &Builder<'_>, x| builder.dropout_layer(x, 0.2);
        let found = dropped(&[200, 500], true, alpha, layer);
        let n = found.len() as f64;
        let mean = found.iter().sum::<f64>() / n;
        let variance = found.iter().map(|v| v * v).sum::<f64>() / n - mean * mean;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        // A fifth of them have one value, that of a s + c.
        let a = (0.8f64 + SATURATION * SATURATION * 0.16).powf(-0.5);
        let low = a * SATURATION - a * 0.2 * SATURATION;
        let share = found.iter().filter(|v| (**v - low).abs() < 1e-12).count() as f64 / n;
        assert!((share - 0.2).abs() < 0.01, "{share}");
    }

    #[test]
    fn samples_go_past_branches() {
        let path = Regularization { path: 0.4, ..Regularization::default() };
        for shape in [&[500, 3, 2, 2][..], &[500, 12], &[2000, 3]] {
            let found = dropped(shape, false, path, |builder, x| builder.drop_path_layer(x, 500));
            for sample in found.chunks(12) {
                assert!(sample.iter().all(|v| *v == sample[0]));
                assert!(sample[0] == 0.0 || sample[0] == 1.0 / 0.6);
            }
            assert!((share_of_zeros(&found) - 0.4).abs() < 0.07);
        }
    }
}
