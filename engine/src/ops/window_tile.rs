//! `window_tile` and its two adjoints: larger windows read from patch and base.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::window::{self, Tile, Windows};
use speck_kernels::{Choice, KernelError};
use std::sync::Arc;

/// Which rows and columns of the base stand for those of a map, the size of the
/// tiles, and what lies beyond the border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileShape {
    /// The base's row for each row of the map, and its column for each column.
    pub classes: [Arc<[u32]>; 2],
    /// Height and width of a tile.
    pub size: [usize; 2],
    /// Whether −∞ rather than 0 lies beyond the border.
    pub negative: bool,
}

impl TileShape {
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let axis = |classes: &[u32]| {
            // Runs of one class, as class × length.
            let runs = classes.chunk_by(|a, b| a == b);
            runs.map(|run| format!("{}×{}", run[0], run.len())).collect::<Vec<_>>().join(",")
        };
        vec![
            ("rows", axis(&self.classes[0])),
            ("columns", axis(&self.classes[1])),
            ("size", super::sizes(&self.size)),
            ("beyond", if self.negative { "-∞" } else { "0" }.to_owned()),
        ]
    }

    /// The loops, from the types of base, patch, origins and starts.
    fn tile(
        &self,
        base: &[usize],
        patch: &[usize],
        origins: &TensorType,
        starts: &TensorType,
    ) -> Result<Tile, String> {
        let &[backgrounds, height, width, channels] = base else {
            return Err("the base must be [backgrounds, height, width, channels]".to_owned());
        };
        let &[samples, slots, rows, columns, own] = patch else {
            return Err("the patch must be [samples, slots, height, width, channels]".to_owned());
        };
        if own != channels {
            return Err(format!("{channels} channels of the base and {own} of the patch"));
        }
        if backgrounds != 1 && backgrounds != samples {
            return Err(format!("there must be 1 base or {samples}, not {backgrounds}"));
        }
        let &[_, tiles, 2] = starts.shape.as_slice() else {
            return Err(format!("starts must be i32 [{samples}, tiles, 2]"));
        };
        for (places, count) in [(origins, slots), (starts, tiles)] {
            if places.dtype != DType::I32 || places.shape != [samples, count, 2] {
                return Err(format!("origins and starts must be i32 [{samples}, {count}, 2]"));
            }
        }
        for (classes, size) in self.classes.iter().zip([height, width]) {
            if classes.iter().any(|class| *class as usize >= size) {
                return Err("a row or column of the map is none of the base's".to_owned());
            }
        }
        let map = [self.classes[0].len(), self.classes[1].len()];
        Ok(Tile {
            windows: Windows { samples, slots, channels, size: [rows, columns], map },
            tiles,
            size: self.size,
            backgrounds,
            base: [height, width],
            classes: self.classes.clone(),
            negative: self.negative,
        })
    }
}

/// (base, patch, origins, starts) → tiles.
#[derive(Debug)]
struct WindowTile(TileShape);

/// (tiles, origins, starts) → patch of this size.
#[derive(Debug)]
struct ToPatch {
    shape: TileShape,
    base: Vec<usize>,
    patch: Vec<usize>,
}

/// (tiles, origins, starts) → base.
#[derive(Debug)]
struct ToBase {
    shape: TileShape,
    base: Vec<usize>,
    patch: Vec<usize>,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const PLACES: Draw = Draw::Index(6);
const BASE: &[usize] = &[1, 3, 2, 2];
const PATCH: &[usize] = &[3, 2, 2, 3, 2];
const ORIGINS: &[usize] = &[3, 2, 2];

/// A map of 6 × 5 on a base of 3 × 2.
fn example() -> TileShape {
    let classes = [[0, 1, 1, 1, 1, 2].as_slice().into(), [0, 1, 1, 1, 0].as_slice().into()];
    TileShape { classes, size: [3, 4], negative: false }
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "window_tile",
    formula: "y[b,s,i,j] = the value of sample b at start[b,s] + (i,j): of a window that covers it, else of the base",
    gradient: Gradient::Product(
        "window_tile_base(c) to the base, window_tile_patch(c) to the patch",
    ),
    rule: Some(
        "a window's own values come before those of the others; beyond the border is 0, or -∞ where asked for",
    ),
    kernels: || vec![window::WINDOW_TILE.status()],
    cases: || {
        vec![Case::new(
            "overlapping, over the border",
            &[(BASE, DRAW), (PATCH, DRAW), (ORIGINS, PLACES), (ORIGINS, PLACES)],
            |g, x| {
                let (base, patch) = (g.square(x[0])?, g.square(x[1])?);
                g.window_tile(base, patch, x[2], x[3], &example())
            },
        )]
    },
};

pub(super) static PATCH_ADJOINT: OpInfo = OpInfo {
    name: "window_tile_patch",
    formula: "the adjoint of window_tile in the patch, applied to c",
    gradient: Gradient::Product("window_tile(0, k) to c, for cotangent k"),
    rule: None,
    kernels: || vec![window::WINDOW_TILE_PATCH.status()],
    cases: || {
        let tiles: &[usize] = &[3, 2, 3, 4, 2];
        vec![Case::new(
            "overlapping, over the border",
            &[(tiles, DRAW), (ORIGINS, PLACES), (ORIGINS, PLACES)],
            |g, x| {
                let tiles = g.square(x[0])?;
                let op = ToPatch { shape: example(), base: BASE.to_vec(), patch: PATCH.to_vec() };
                g.append(op, &[tiles, x[1], x[2]])
            },
        )]
    },
};

pub(super) static BASE_ADJOINT: OpInfo = OpInfo {
    name: "window_tile_base",
    formula: "the adjoint of window_tile in the base, applied to c",
    gradient: Gradient::Product("window_tile(k, 0) to c, for cotangent k"),
    rule: None,
    kernels: || vec![window::WINDOW_TILE_BASE.status()],
    cases: || {
        let tiles: &[usize] = &[3, 2, 3, 4, 2];
        vec![Case::new(
            "overlapping, over the border",
            &[(tiles, DRAW), (ORIGINS, PLACES), (ORIGINS, PLACES)],
            |g, x| {
                let tiles = g.square(x[0])?;
                let op = ToBase { shape: example(), base: BASE.to_vec(), patch: PATCH.to_vec() };
                g.append(op, &[tiles, x[1], x[2]])
            },
        )]
    },
};

impl WindowTile {
    fn tile(&self, inputs: &[&TensorType]) -> Result<Tile, String> {
        super::arity(inputs, 4)?;
        super::same_floats(&inputs[..2])?;
        self.0.tile(&inputs[0].shape, &inputs[1].shape, inputs[2], inputs[3])
    }
}

impl Op for WindowTile {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let Tile { windows: Windows { samples, channels, .. }, tiles, size, .. } =
            self.tile(inputs)?;
        Ok(inputs[0].with_shape(&[samples, tiles, size[0], size[1], channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [base, patch, origins, starts] = [0, 1, 2, 3].map(|i| vjp.inputs[i]);
        let (base, patch) = (graph.shape(base), graph.shape(patch));
        let inputs = [vjp.cotangent, origins, starts];
        let shape = TileShape { negative: false, ..self.0.clone() };
        let to_base = ToBase { shape: shape.clone(), base: base.clone(), patch: patch.clone() };
        let to_patch = ToPatch { shape, base, patch };
        let to_base = vjp.needs[0].then(|| graph.append(to_base, &inputs)).transpose()?;
        let to_patch = vjp.needs[1].then(|| graph.append(to_patch, &inputs)).transpose()?;
        Ok(vec![to_base, to_patch, None, None])
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        let bytes = output.bytes() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let tile =
            self.tile(inputs).unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = window::WINDOW_TILE.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("window_tile", variant.name, 0, move |call| {
                let (base, patch) = (call.input::<T>(0), call.input::<T>(1));
                let (origins, starts) = (call.input(2), call.input(3));
                run(&tile, base, patch, origins, starts, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        window::gpu::tiles(window::gpu::TILE, &self.tile(inputs)?)
    }
}

/// The loops of an adjoint, checked against the tiles it is given.
fn adjoint(
    shape: &TileShape,
    base: &[usize],
    patch: &[usize],
    inputs: &[&TensorType],
) -> Result<Tile, String> {
    super::arity(inputs, 3)?;
    super::same_floats(&inputs[..1])?;
    let tile = shape.tile(base, patch, inputs[1], inputs[2])?;
    let Windows { samples, channels, .. } = tile.windows;
    if inputs[0].shape != [samples, tile.tiles, tile.size[0], tile.size[1], channels] {
        return Err("the tiles are of another size".to_owned());
    }
    Ok(tile)
}

impl Op for ToPatch {
    fn info(&self) -> &'static OpInfo {
        &PATCH_ADJOINT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.shape.attributes();
        all.push(("base", super::sizes(&self.base)));
        all.push(("patch", super::sizes(&self.patch)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        adjoint(&self.shape, &self.base, &self.patch, inputs)?;
        Ok(inputs[0].with_shape(&self.patch))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let base = graph.zeros(&self.base)?;
        let [origins, starts] = [vjp.inputs[1], vjp.inputs[2]];
        let gradient = graph.window_tile(base, vjp.cotangent, origins, starts, &self.shape)?;
        Ok(vec![Some(gradient), None, None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let tile = adjoint(&self.shape, &self.base, &self.patch, inputs)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = window::WINDOW_TILE_PATCH.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("window_tile_patch", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                let (origins, starts) = (call.input(1), call.input(2));
                run(&tile, x, origins, starts, call.into_output());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let tile = adjoint(&self.shape, &self.base, &self.patch, inputs)?;
        window::gpu::tiles(window::gpu::PATCH, &tile)
    }
}

impl Op for ToBase {
    fn info(&self) -> &'static OpInfo {
        &BASE_ADJOINT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.shape.attributes();
        all.push(("base", super::sizes(&self.base)));
        all.push(("patch", super::sizes(&self.patch)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        adjoint(&self.shape, &self.base, &self.patch, inputs)?;
        Ok(inputs[0].with_shape(&self.base))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let patch = graph.zeros(&self.patch)?;
        let [origins, starts] = [vjp.inputs[1], vjp.inputs[2]];
        let gradient = graph.window_tile(vjp.cotangent, patch, origins, starts, &self.shape)?;
        Ok(vec![Some(gradient), None, None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let tile = adjoint(&self.shape, &self.base, &self.patch, inputs)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = window::WINDOW_TILE_BASE.select::<T>(choice)?;
            let run = variant.run;
            let scratch = window::base_scratch(&tile) * size_of::<T>();
            Ok(super::routine("window_tile_base", variant.name, scratch, move |call| {
                let x = call.input::<T>(0);
                let (origins, starts) = (call.input(1), call.input(2));
                let (out, scratch) = call.into_output_and_scratch::<T>();
                run(&tile, x, origins, starts, out, scratch);
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let tile = adjoint(&self.shape, &self.base, &self.patch, inputs)?;
        window::gpu::tiles(window::gpu::BASE, &tile)
    }
}

impl Graph {
    /// Tiles [samples, tiles, size, channels]: the values of each sample on the
    /// rectangles that begin at `starts` [samples, tiles, 2], read from the windows `patch`
    /// [samples, slots, height, width, channels] that begin at `origins` and,
    /// where none covers a position, from `base` [1 or samples, height, width,
    /// channels].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn window_tile(
        &self,
        base: NodeId,
        patch: NodeId,
        origins: NodeId,
        starts: NodeId,
        shape: &TileShape,
    ) -> Result<NodeId, GraphError> {
        self.append(WindowTile(shape.clone()), &[base, patch, origins, starts])
    }

    /// The adjoint of [`Graph::window_tile`] in a base of the first of `sizes`,
    /// windows being of the second: tiles added to where they were read from.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub(crate) fn window_tile_base(
        &self,
        tiles: NodeId,
        origins: NodeId,
        starts: NodeId,
        shape: &TileShape,
        sizes: [&[usize]; 2],
    ) -> Result<NodeId, GraphError> {
        let [base, patch] = sizes.map(<[usize]>::to_vec);
        self.append(ToBase { shape: shape.clone(), base, patch }, &[tiles, origins, starts])
    }
}
