//! The screen at the bottom of every program.

use crate::batch::{BatchShape, SpeckBatch};
use crate::port;
use speck_engine::{DType, Graph, GraphError, NodeId, Program, RunError};
use speck_models::{CHANNELS, SCREEN};

/// The nodes that stand for a batch.
pub struct Screen {
    /// [samples, specks, 3]
    pub colours: NodeId,
    /// [samples, 3, 64, 64]
    pub image: NodeId,
    /// [samples, 128]
    pub targets: NodeId,
}

/// Declares the inputs of a batch and renders them.
///
/// # Errors
/// A batch of another kind than screens can be made of.
pub fn declare(graph: &Graph, shape: BatchShape) -> Result<Screen, GraphError> {
    let BatchShape { samples, specks, backgrounds, size, falloff } = shape;
    graph.scoped("screen", |graph| {
        let positions = graph.input("positions", DType::I32, &[samples, specks, 2])?;
        let colours = graph.input("colours", graph.float(), &[samples, specks, CHANNELS])?;
        let background = graph.input("background", graph.float(), &[backgrounds, CHANNELS])?;
        Ok(Screen {
            colours,
            image: match falloff > 0.0 {
                true => {
                    graph.render_faded(positions, colours, background, SCREEN, size, falloff)?
                }
                false => graph.render(positions, colours, background, SCREEN, size)?,
            },
            targets: graph.speck_targets(positions, SCREEN, size)?,
        })
    })
}

/// Copies a batch into the inputs of a program.
///
/// # Errors
/// The program has no such inputs.
pub fn feed(program: &mut Program, batch: &SpeckBatch) -> Result<(), RunError> {
    program.input_mut::<i32>("positions")?.copy_from_slice(&batch.positions);
    port::write(program, "colours", &batch.colours)?;
    port::write(program, "background", &batch.background)
}
