//! Ops on values larger than a device binds: the same op on parts of them.
//!
//! An op that says how its output falls into parts along the first dimension
//! ([`Op::cut`](crate::op::Op::cut)) is computed part by part, each in calls of its own
//! on pieces of the buffers. Pieces begin where a binding may.

use crate::graph::Node;
use crate::shape::TensorType;
use speck_kernels::gpu::{Calls, Operand};

/// Where a binding may begin, in bytes, on every device.
const ALIGNMENT: usize = 256;

/// The beginning and the length of a piece, in bytes.
pub(super) type Piece = (usize, usize);

/// Some calls in a row, and the pieces that they are bound to.
pub(super) struct Part {
    pub calls: usize,
    pub inputs: Vec<Piece>,
    pub output: Piece,
}

/// An op in parts.
#[derive(Default)]
pub(super) struct Cut {
    pub calls: Calls,
    pub parts: Vec<Part>,
}

/// How an output falls into parts, and each input: whole, or along its first dimension.
struct Shapes {
    output: TensorType,
    inputs: Vec<(TensorType, bool)>,
}

impl Shapes {
    fn of(node: &Node, types: &[&TensorType]) -> Option<Shapes> {
        let output = &node.ty;
        let full = |ty: &&TensorType| ty.elements() == output.elements() || ty.elements() == 1;
        if node.op.is_pointwise() && types.iter().all(full) {
            // Elements in a row, whatever their dimensions.
            let flat = |ty: &TensorType| match ty.elements() {
                1 => (TensorType::new(ty.dtype, &[]), false),
                n => (TensorType::new(ty.dtype, &[n]), true),
            };
            let inputs = types.iter().map(|ty| flat(ty)).collect();
            return Some(Shapes { output: flat(output).0, inputs });
        }
        let cut = node.op.cut(types, output)?;
        let inputs = types.iter().zip(cut).map(|(ty, cut)| ((*ty).clone(), cut)).collect();
        Some(Shapes { output: output.clone(), inputs })
    }

    /// The rows of a part: as many as fit into `most` bytes of each value.
    fn rows(&self, most: usize) -> Option<usize> {
        let rows = *self.output.shape.first()?;
        let cut = self.inputs.iter().filter(|(_, cut)| *cut).map(|(ty, _)| ty);
        let (mut step, mut fit) = (1, rows);
        for ty in cut.chain([&self.output]) {
            let bytes = ty.bytes() / rows.max(1);
            // Powers of two: the largest is a multiple of all.
            step = step.max(ALIGNMENT >> bytes.trailing_zeros().min(ALIGNMENT.trailing_zeros()));
            fit = fit.min(most / bytes.max(1));
        }
        let rest = self.inputs.iter().filter(|(_, cut)| !*cut);
        let fits = rest.map(|(ty, _)| ty.bytes()).all(|bytes| bytes <= most);
        (fits && fit >= step).then_some(fit / step * step)
    }
}

fn rows_of(ty: &TensorType, rows: usize) -> TensorType {
    let mut part = ty.clone();
    part.shape[0] = rows;
    part
}

/// The calls of a node in parts of which no piece is larger than `most` bytes; `shade`
/// gives those of a part. `None` where it has no such parts.
pub(super) fn cut<E>(
    node: &Node,
    types: &[&TensorType],
    most: usize,
    shade: impl Fn(&[&TensorType], &TensorType) -> Result<Calls, E>,
) -> Result<Option<Cut>, E> {
    let Some(shapes) = Shapes::of(node, types) else { return Ok(None) };
    let Some(most) = shapes.rows(most) else { return Ok(None) };
    let all = shapes.output.shape[0];
    let mut whole = Cut::default();
    for start in (0..all).step_by(most.max(1)) {
        let rows = most.min(all - start);
        let piece = |ty: &TensorType, cut: bool| match cut {
            true => (start * (ty.bytes() / all), rows * (ty.bytes() / all)),
            false => (0, ty.bytes()),
        };
        let inputs: Vec<_> = shapes
            .inputs
            .iter()
            .map(|(ty, cut)| if *cut { rows_of(ty, rows) } else { ty.clone() })
            .collect();
        let calls = shade(&inputs.iter().collect::<Vec<_>>(), &rows_of(&shapes.output, rows))?;
        whole.parts.push(Part {
            calls: calls.calls.len(),
            inputs: shapes.inputs.iter().map(|(ty, cut)| piece(ty, *cut)).collect(),
            output: piece(&shapes.output, true),
        });
        whole.append(calls);
    }
    Ok(Some(whole))
}

impl Cut {
    /// Puts the calls of a part behind the others. They share what they hand on among
    /// themselves, not their tables.
    fn append(&mut self, calls: Calls) {
        let tables = self.calls.tables.len();
        for mut call in calls.calls {
            for operand in &mut call.operands {
                if let Operand::Table(number) = operand {
                    *number += tables;
                }
            }
            self.calls.calls.push(call);
        }
        self.calls.tables.extend(calls.tables);
        let own = &mut self.calls.scratch;
        own.resize(own.len().max(calls.scratch.len()), 0);
        own.iter_mut().zip(calls.scratch).for_each(|(all, part)| *all = (*all).max(part));
    }
}
