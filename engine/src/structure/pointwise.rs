//! Rules for ops that work element by element, and for channel concatenation.

use super::field::{Field, Place, View};
use super::{Rewriter, is_float};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::Form;
use std::sync::Arc;

/// Ops that are not finite everywhere: what stands beyond the border of a window
/// must not reach them, or a cotangent of 0 would become NaN there.
const EDGED: [&str; 9] =
    ["log", "log1p", "sqrt", "rsqrt", "reciprocal", "div", "pow", "atan2", "expm1"];

/// An operand of a pointwise op.
enum Operand {
    Field(Field),
    /// The same everywhere in a map: [1 or samples, 1 or channels, 1, 1].
    Flat(NodeId),
}

impl Rewriter<'_> {
    /// f(base) and f(patch).
    pub(super) fn pointwise(&self, node: &Node) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(some) = node.inputs.iter().find_map(|id| self.field(*id)).cloned() else {
            return Ok(None);
        };
        let mut operands = Vec::new();
        for input in &node.inputs {
            let operand = match self.field(*input) {
                Some(field) if field.view == some.view => Operand::Field(field.clone()),
                Some(_) => return Ok(None),
                None => match self.operand(*input, &some)? {
                    Some(operand) => operand,
                    None => return Ok(None),
                },
            };
            operands.push(operand);
        }
        let fields: Vec<_> = operands
            .iter()
            .filter_map(|operand| match operand {
                Operand::Field(field) => Some(field.clone()),
                Operand::Flat(_) => None,
            })
            .collect();
        let Some(aligned) = Field::aligned(graph, &fields)? else { return Ok(None) };
        let edged = EDGED.contains(&node.op.info().name);
        let mut next = aligned.iter();
        let (mut bases, mut patches) = (Vec::new(), Vec::new());
        for operand in &operands {
            match operand {
                Operand::Field(_) => {
                    let Some(field) = next.next() else { return Ok(None) };
                    bases.push(field.base);
                    patches.push(if edged { field.guarded(graph, 1.0)? } else { field.patch });
                }
                Operand::Flat(id) => {
                    let shape = graph.shape(*id);
                    bases.push(*id);
                    patches.push(graph.reshape(*id, &[shape[0], 1, 1, 1, shape[1]])?);
                }
            }
        }
        let base = graph.append_shared(node.op.clone(), &bases)?;
        let patch = graph.append_shared(node.op.clone(), &patches)?;
        let Some(first) = aligned.into_iter().next() else { return Ok(None) };
        Ok(Some(Field { base, patch, ..first }))
    }

    /// What a value that is no field is beside the field `like`; `None` if it
    /// differs from sample to sample as well as from place to place.
    fn operand(&self, id: NodeId, like: &Field) -> Result<Option<Operand>, GraphError> {
        let graph = self.graph;
        let Some(mut id) = self.at_hand(id) else { return Ok(None) };
        if !is_float(graph, id) {
            return Ok(None);
        }
        // The op stretches its operands by itself.
        while matches!(graph.node(id).op.form(), Form::Expand) {
            id = graph.node(id).inputs[0];
        }
        let shape = graph.shape(id);
        if like.view != View::Map {
            // Under other shapes only single numbers mean the same.
            let single = shape.iter().all(|size| *size == 1);
            let flat = single.then(|| graph.reshape(id, &[1; 4])).transpose()?;
            return Ok(flat.map(Operand::Flat));
        }
        let Some(missing) = 4usize.checked_sub(shape.len()) else { return Ok(None) };
        let shape = [&vec![1; missing][..], &shape].concat();
        let map = graph.reshape(id, &shape)?;
        if shape[2..] == [1, 1] {
            return Ok(Some(Operand::Flat(map)));
        }
        if shape[0] != 1 {
            return Ok(None);
        }
        Ok(Some(Operand::Field(self.constant_field(map, like.map(), &like.place)?)))
    }

    /// A map [1, channels, height or 1, width or 1] that is the same for all
    /// samples, as a field with the windows of `place`.
    fn constant_field(
        &self,
        base: NodeId,
        map: [usize; 2],
        place: &Place,
    ) -> Result<Field, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(base);
        let classes = [0, 1].map(|axis| -> Arc<[u32]> {
            let own = shape[2 + axis] != 1;
            (0..map[axis] as u32).map(|row| if own { row } else { 0 }).collect()
        });
        let mut field = Field { base, classes, patch: base, place: *place, view: View::Map };
        field.patch = field.base_on(graph, place)?;
        Ok(field)
    }

    /// Channels side by side.
    pub(super) fn concat(&self, node: &Node, axis: usize) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(some) = node.inputs.iter().find_map(|id| self.field(*id)).cloned() else {
            return Ok(None);
        };
        if axis != 1 || some.view != View::Map {
            return Ok(None);
        }
        let mut fields = Vec::new();
        for input in &node.inputs {
            let field = match self.field(*input) {
                Some(field) => field.clone(),
                None => match self.operand(*input, &some)? {
                    // Concatenation does not stretch channels.
                    Some(Operand::Field(field))
                        if field.channels(graph) == graph.shape(*input)[1] =>
                    {
                        field
                    }
                    _ => return Ok(None),
                },
            };
            if field.view != View::Map {
                return Ok(None);
            }
            fields.push(field);
        }
        let Some(aligned) = Field::aligned(graph, &fields)? else { return Ok(None) };
        let backgrounds = aligned.iter().map(|field| graph.shape(field.base)[0]).max();
        let mut bases = Vec::new();
        for field in &aligned {
            let mut shape = graph.shape(field.base);
            shape[0] = backgrounds.unwrap_or(1);
            bases.push(graph.expand(field.base, &shape)?);
        }
        let patches: Vec<_> = aligned.iter().map(|field| field.patch).collect();
        let base = graph.concat(&bases, 1)?;
        let patch = graph.concat(&patches, 4)?;
        let Some(first) = aligned.into_iter().next() else { return Ok(None) };
        Ok(Some(Field { base, patch, ..first }))
    }
}
