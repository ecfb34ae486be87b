//! The screen at the bottom of every program.

use crate::batch::{BatchShape, SpeckBatch};
use speck_engine::{DType, Graph, GraphError, NodeId, Program, RunError};
use speck_models::{CHANNELS, SCREEN};

/// The nodes that stand for a batch.
pub(crate) struct Screen {
    /// [samples, 3, 64, 64]
    pub image: NodeId,
    /// [samples, 128]
    pub targets: NodeId,
}

/// Declares the inputs of a batch and renders them.
pub(crate) fn declare(graph: &Graph, shape: BatchShape) -> Result<Screen, GraphError> {
    let BatchShape { samples, specks, backgrounds, size } = shape;
    graph.scoped("screen", |graph| {
        let positions = graph.input("positions", DType::I32, &[samples, specks, 2])?;
        let colours = graph.input("colours", graph.float(), &[samples, specks, CHANNELS])?;
        let background = graph.input("background", graph.float(), &[backgrounds, CHANNELS])?;
        Ok(Screen {
            image: graph.render(positions, colours, background, SCREEN, size)?,
            targets: graph.speck_targets(positions, SCREEN, size)?,
        })
    })
}

/// Copies a batch into the inputs of a program.
pub(crate) fn feed(program: &mut Program, batch: &SpeckBatch) -> Result<(), RunError> {
    program.input_mut::<i32>("positions")?.copy_from_slice(&batch.positions);
    program.input_mut::<f32>("colours")?.copy_from_slice(&batch.colours);
    program.input_mut::<f32>("background")?.copy_from_slice(&batch.background);
    Ok(())
}
