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

    /// The rows of a part: as many as fit into `most` bytes of each value; and of what
    /// they are a multiple.
    fn rows(&self, most: usize) -> Option<(usize, usize)> {
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
        (fits && fit >= step).then_some((fit / step * step, step))
    }

    /// A part of so many rows.
    fn part(&self, rows: usize) -> (Vec<TensorType>, TensorType) {
        let own =
            |(ty, cut): &(TensorType, bool)| if *cut { rows_of(ty, rows) } else { ty.clone() };
        (self.inputs.iter().map(own).collect(), rows_of(&self.output, rows))
    }
}

fn rows_of(ty: &TensorType, rows: usize) -> TensorType {
    let mut part = ty.clone();
    part.shape[0] = rows;
    part
}

/// The bytes of the largest buffer that calls hand on among themselves.
pub(super) fn widest(calls: &Calls) -> usize {
    calls.scratch.iter().max().copied().unwrap_or(0)
}

/// The calls of a node in parts of which no piece is larger than `most` bytes, nor what
/// they hand on; `shade`
/// gives those of a part. `None` where it has no such parts.
pub(super) fn cut<E>(
    node: &Node,
    types: &[&TensorType],
    most: usize,
    shade: impl Fn(&[&TensorType], &TensorType) -> Result<Calls, E>,
) -> Result<Option<Cut>, E> {
    let Some(shapes) = Shapes::of(node, types) else { return Ok(None) };
    let Some((mut rows, step)) = shapes.rows(most) else { return Ok(None) };
    let all = shapes.output.shape[0];
    let shaded = |rows: usize| {
        let (inputs, output) = shapes.part(rows);
        shade(&inputs.iter().collect::<Vec<_>>(), &output)
    };
    // What the calls hand on among themselves is bound, too: what is stored in 16 bits is
    // twice as large where it is widened.
    let mut before = usize::MAX;
    loop {
        let own = widest(&shaded(rows)?);
        if own <= most {
            break;
        }
        rows = rows / 2 / step * step;
        if rows == 0 || own > before - before / 4 {
            // It is of something else than the rows.
            return Ok(None);
        }
        before = own;
    }
    let mut whole = Cut::default();
    let longest = rows;
    for start in (0..all).step_by(longest) {
        let rows = longest.min(all - start);
        let piece = |ty: &TensorType, cut: bool| match cut {
            true => (start * (ty.bytes() / all), rows * (ty.bytes() / all)),
            false => (0, ty.bytes()),
        };
        let calls = shaded(rows)?;
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
