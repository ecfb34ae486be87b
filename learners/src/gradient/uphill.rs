//! Gradients uphill: sharpness-aware minimization.

use speck_engine::{Graph, GraphError, NodeId};

/// The gradients at a place a given distance uphill: the loss is computed again
/// there, with what is random as it was.
pub(super) fn uphill(
    graph: &Graph,
    value: NodeId,
    parameters: &[NodeId],
    gradients: &[NodeId],
    distance: f64,
    adaptive: bool,
) -> Result<Vec<NodeId>, GraphError> {
    let mut directions = Vec::new();
    let mut sum = graph.scalar(0.0)?;
    for (parameter, gradient) in parameters.iter().zip(gradients) {
        // Adaptive: ‖w g‖ and w² g in place of ‖g‖ and g.
        let (measured, direction) = match adaptive {
            true => {
                let scaled = graph.mul(*parameter, *gradient)?;
                (scaled, graph.mul(*parameter, scaled)?)
            }
            false => (*gradient, *gradient),
        };
        sum = graph.add(sum, graph.sum_all(graph.square(measured)?)?)?;
        directions.push(direction);
    }
    let norm = graph.offset(graph.sqrt(sum)?, 1e-12)?;
    let step = graph.div(graph.scalar(distance)?, norm)?;
    let mut moved = Vec::new();
    for (parameter, direction) in parameters.iter().zip(directions) {
        moved.push(graph.add(*parameter, graph.mul(direction, step)?)?);
    }
    let pairs: Vec<_> = parameters.iter().copied().zip(moved.iter().copied()).collect();
    let value = graph.replay(value, &pairs)?;
    graph.gradient(value, &moved)
}
