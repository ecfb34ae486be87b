//! Scaling weights by what comes out of their layers for a batch.

use super::step::Parts;
use crate::batch::{Batches, SpeckBatch};
use crate::{LearnerError, declare_seed, declare_step, port, screen};
use speck_engine::kernels::Choice;
use speck_engine::{Graph, Options, Program, RunError, State, Tensor};
use speck_models::{Builder, Mode};

fn variance_of(name: &str) -> String {
    format!("variance of {name}")
}

/// Scales the weights of groups whose initialization wants it, the first layer
/// first: a later one sees what the earlier ones then put out. Weights that are `kept`
/// stay as they are. Whether any was to be scaled.
pub(super) fn calibrate(
    parts: &Parts<'_>,
    kernels: &Choice,
    kept: &[String],
    data: &dyn Batches,
    state: &mut State,
) -> Result<bool, LearnerError> {
    let training = parts.training;
    let graph = Graph::new(parts.float);
    let screen = screen::declare(&graph, parts.shape)?;
    let seed = declare_seed(&graph)?;
    let step = declare_step(&graph)?;
    let builder = Builder::new(&graph, Mode::Training { seed, step });
    parts.model.append(&builder, screen.image)?;
    let mut wanted = Vec::new();
    for (name, product) in builder.products() {
        if let Some(calibration) = training.calibration(&name).filter(|_| !kept.contains(&name)) {
            let axes: Vec<_> = (0..graph.shape(product).len()).collect();
            let variance = graph.variance(product, &axes, 0.0)?;
            graph.output(&variance_of(&name), variance)?;
            wanted.push((name, calibration));
        }
    }
    if wanted.is_empty() {
        return Ok(false);
    }
    let mut batch = SpeckBatch::new(parts.shape);
    data.fill(0, &mut batch);
    let options = Options { kernels: kernels.clone(), ..Options::default() };
    let mut program = Program::compile(&graph, &options)?;
    // What the program changes, running statistics, is not to be changed yet.
    let mut tried = state.copy().map_err(RunError::Device)?;
    for (name, calibration) in wanted {
        for _ in 0..calibration.iterations {
            screen::feed(&mut program, &batch)?;
            program.run(&mut tried)?;
            let variance = port::read_number(&program, &variance_of(&name))?;
            // Nothing comes out of a layer that sees nothing, at any scale.
            if (variance - 1.0).abs() <= calibration.tolerance
                || !(variance.is_finite() && variance > 0.0)
            {
                break;
            }
            let Some(weight) = tried.get(&name) else { break };
            let scale = variance.sqrt().recip();
            let values: Vec<_> = weight.to_f64().iter().map(|w| w * scale).collect();
            let scaled = Tensor::new(weight.ty(), &values);
            tried.set(&name, scaled.clone())?;
            state.set(&name, scaled)?;
        }
    }
    Ok(true)
}
