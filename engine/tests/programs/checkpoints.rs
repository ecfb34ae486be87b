//! Recomputation in the backward pass.

use crate::run;
use speck_engine::{DType, Graph, GraphError, Initial, NodeId, Tensor};

const LAYERS: usize = 12;
const SHAPE: [usize; 2] = [32, 64];

/// A chain of layers with dropout; every third of them one checkpoint.
fn chain(checkpointed: bool, nested: bool) -> Result<Graph, GraphError> {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &SHAPE)?;
    let seed = graph.constant(Tensor::from_i32(&[2], vec![7, 0]))?;
    let step = graph.constant(Tensor::from_i32(&[], vec![3]))?;
    let weight = graph.state("weight", &[SHAPE[1], SHAPE[1]], Initial::Constant(0.02))?;
    let layer = |graph: &Graph, y: NodeId| -> Result<NodeId, GraphError> {
        let y = graph.matmul(y, weight)?;
        let y = graph.sin(y)?;
        graph.dropout(y, 0.25, seed, step)
    };
    let mut y = x;
    for _ in 0..LAYERS / 3 {
        let part = |graph: &Graph| {
            let mut z = layer(graph, y)?;
            z = if nested { graph.checkpoint(|graph| layer(graph, z))? } else { layer(graph, z)? };
            layer(graph, z)
        };
        y = if checkpointed { graph.checkpoint(part)? } else { part(&graph)? };
    }
    let loss = graph.sum_all(y)?;
    let gradients = graph.gradient(loss, &[weight, x])?;
    graph.output("loss", loss)?;
    graph.output("weight gradient", gradients[0])?;
    graph.output("gradient", gradients[1])?;
    Ok(graph)
}

#[test]
fn the_same_bits_in_less_memory_for_more_work() {
    let elements = SHAPE.iter().product();
    let x = Tensor::from_f32(&SHAPE, (0..elements).map(|i| (i as f32 * 0.37).sin()).collect());
    let (plain, _) = run(&chain(false, false).expect("a graph"), &[("x", x.clone())]);
    for nested in [false, true] {
        let (recomputed, _) = run(&chain(true, nested).expect("a graph"), &[("x", x.clone())]);
        for name in ["loss", "weight gradient", "gradient"] {
            let values = |program: &speck_engine::Program| program.output(name).expect("an output");
            assert_eq!(values(&plain), values(&recomputed), "{name}");
        }
        assert!(
            recomputed.arena_bytes() * 10 < plain.arena_bytes() * 8,
            "{} bytes instead of {}",
            recomputed.arena_bytes(),
            plain.arena_bytes()
        );
        assert!(recomputed.cost().flops > plain.cost().flops);
    }
}
