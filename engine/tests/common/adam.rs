//! Adam as graph ops.

use speck_engine::{Graph, GraphError, Initial, NodeId};

/// Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015)
/// for one parameter: two moments in slots of their own, both corrected for
/// their start at zero. `count` is the number of the step, from 1.
pub fn adam(
    graph: &Graph,
    name: &str,
    parameter: NodeId,
    gradient: NodeId,
    count: NodeId,
    rate: f64,
) -> Result<(), GraphError> {
    let one = graph.scalar(1.0)?;
    let moment = |order: &str, beta: f64, sample: NodeId| {
        let slot = graph.state(
            &format!("{name}.{order}"),
            &graph.shape(parameter),
            Initial::Constant(0.0),
        )?;
        let kept = graph.scale(slot, beta)?;
        let share = graph.scale(sample, 1.0 - beta)?;
        let moment = graph.add(kept, share)?;
        graph.update(slot, moment)?;
        let power = graph.pow(graph.scalar(beta)?, count)?;
        graph.div(moment, graph.sub(one, power)?)
    };
    let first = moment("first", 0.9, gradient)?;
    let second = moment("second", 0.999, graph.square(gradient)?)?;
    let deviation = graph.offset(graph.sqrt(second)?, 1e-8)?;
    let direction = graph.div(first, deviation)?;
    graph.update(parameter, graph.sub(parameter, graph.scale(direction, rate)?)?)
}
