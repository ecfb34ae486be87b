//! The screen at the bottom of every program.

use crate::batch::{BatchShape, SpeckBatch};
use crate::port;
use speck_engine::{DType, Graph, GraphError, NodeId, Program, RunError};
use speck_models::{CHANNELS, SCREEN};

/// The nodes that stand for a batch.
pub struct Screen {
    /// i32 [samples, specks, 2]
    pub positions: NodeId,
    /// [samples, specks, 3]
    pub colours: NodeId,
    /// [1 or samples, 3]
    pub background: NodeId,
    /// Edge of a speck in pixels.
    pub size: usize,
    /// See [`BatchShape::falloff`].
    pub falloff: f64,
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
        Screen::rendered(graph, [positions, colours, background], size, falloff)
    })
}

impl Screen {
    /// The screens of positions, colours and backgrounds.
    fn rendered(
        graph: &Graph,
        [positions, colours, background]: [NodeId; 3],
        size: usize,
        falloff: f64,
    ) -> Result<Screen, GraphError> {
        let image = match falloff > 0.0 {
            true => graph.render_faded(positions, colours, background, SCREEN, size, falloff)?,
            false => graph.render(positions, colours, background, SCREEN, size)?,
        };
        let targets = graph.speck_targets(positions, SCREEN, size)?;
        Ok(Screen { positions, colours, background, size, falloff, image, targets })
    }

    /// Of each sample the screen of the next one, of the last the first.
    pub(crate) fn neighbours(&self, graph: &Graph) -> Result<Screen, GraphError> {
        let next = |x: NodeId| match graph.shape(x)[0] {
            0 | 1 => Ok(x),
            n => {
                let rest = graph.narrow(x, 0, 1, 1, n - 1)?;
                graph.concat(&[rest, graph.narrow(x, 0, 0, 1, 1)?], 0)
            }
        };
        let of = [next(self.positions)?, next(self.colours)?, next(self.background)?];
        Screen::rendered(graph, of, self.size, self.falloff)
    }

    /// The targets but for specks that are hidden: 1 in [samples, specks, 1].
    pub(crate) fn targets_without(
        &self,
        graph: &Graph,
        hidden: NodeId,
    ) -> Result<NodeId, GraphError> {
        let positions = graph.cast(self.positions)?;
        // That of an empty slot.
        let nowhere = graph.scalar(-1.0)?;
        let seen = graph.to_index(graph.select(hidden, nowhere, positions)?)?;
        graph.speck_targets(seen, SCREEN, self.size)
    }
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
