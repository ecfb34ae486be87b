//! Rules for ops that work element by element, for stretching, and for channels
//! side by side.

use super::field::{Field, classified};
use super::place::{Place, STILL};
use super::view::{AXES, CHANNELS, Factor, ROWS, SAMPLES, View};
use super::{Rewriter, indices, is_float};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::{Form, Source};
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
        let fields = || node.inputs.iter().filter_map(|id| self.field(*id));
        let like = match fields().find(|field| field.view.shape() == node.ty.shape) {
            Some(like) => like.clone(),
            None => {
                let Some(first) = fields().next() else { return Ok(None) };
                match self.expanded(first, &node.ty.shape)? {
                    Some(like) => like,
                    None => return Ok(None),
                }
            }
        };
        let mut operands = Vec::new();
        for input in &node.inputs {
            let operand = match self.field(*input) {
                Some(field) => self.stretched(field, &like)?.map(Operand::Field),
                None => self.operand(*input, &like)?,
            };
            let Some(operand) = operand else { return Ok(None) };
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
                    let patch = if edged { field.guarded(graph, false, 1.0)? } else { field.patch };
                    patches.push(patch);
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
        Ok(Some(Field { base, patch, view: like.view, ..first }))
    }

    /// A field beside another of more channels or dimensions, over which it is
    /// the same.
    fn stretched(&self, field: &Field, like: &Field) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        if field.view == like.view {
            return Ok(Some(field.clone()));
        }
        let (own, wanted) = (field.sizes(graph), like.sizes(graph));
        let missing = like.view.rank().checked_sub(field.view.rank());
        let fits = missing.is_some_and(|missing| {
            (0..like.view.rank()).all(|dimension: usize| match dimension.checked_sub(missing) {
                Some(at) if field.view.size(at) != 1 => {
                    field.view.dimension(at) == like.view.dimension(dimension)
                }
                _ => like.view.dimension(dimension).iter().all(|f| own[f.axis] == 1),
            })
        });
        if fits && own[SAMPLES] == wanted[SAMPLES] {
            // Ops stretch one channel by themselves. A line becomes a map whose
            // windows reach from border to border.
            let [samples, slots] = field.slots(graph);
            let mut map = Field { view: like.view.clone(), ..field.clone() };
            for axis in 0..2 {
                let size = wanted[ROWS + axis];
                if own[ROWS + axis] != size {
                    map.classes[axis] = vec![0; size].into();
                    map.place.axes[axis] = STILL;
                    map.place.size[axis] = size;
                }
            }
            let [height, width] = map.place.size;
            let shape = [samples, slots, height, width, own[CHANNELS]];
            if graph.shape(map.patch) != shape {
                map.patch = graph.expand(map.patch, &shape)?;
            }
            return Ok(Some(map));
        }
        let expanded = self.expanded(field, &like.view.shape())?;
        Ok(expanded.filter(|expanded| expanded.view == like.view))
    }

    /// A field repeated along dimensions it did not have: as further channels.
    pub(super) fn expanded(
        &self,
        field: &Field,
        shape: &[usize],
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let channels = field.channels(graph);
        let Some(missing) = shape.len().checked_sub(field.view.rank()) else { return Ok(None) };
        let mut dimensions = Vec::new();
        let mut times = 1;
        for (dimension, size) in shape.iter().enumerate().rev() {
            let own = dimension.checked_sub(missing);
            match own.filter(|own| field.view.size(*own) != 1) {
                Some(own) if field.view.size(own) == *size => {
                    dimensions.push(field.view.dimension(own).to_vec());
                }
                Some(_) => return Ok(None),
                None => {
                    let stride = channels * times;
                    dimensions.push(vec![Factor { axis: CHANNELS, size: *size, stride }]);
                    times *= size;
                }
            }
        }
        if times == 0 {
            return Ok(None);
        }
        dimensions.reverse();
        let view = View::of(dimensions);
        if times == 1 {
            return Ok(Some(Field { view, ..field.clone() }));
        }
        let again = |x: NodeId, axis: usize| {
            let shape = graph.shape(x);
            let [before, after] = [&shape[..axis], &shape[axis..]];
            let x = graph.reshape(x, &[before, &[1], after].concat())?;
            let x = graph.expand(x, &[before, &[times], after].concat())?;
            let together = [before, &[times * shape[axis]], &shape[axis + 1..]].concat();
            graph.reshape(x, &together)
        };
        let (base, patch) = (again(field.base, 1)?, again(field.patch, 4)?);
        Ok(Some(Field { base, patch, view, ..field.clone() }))
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
        let Some(missing) = like.view.rank().checked_sub(shape.len()) else { return Ok(None) };
        // The operand's size under each factor of the view: all of it or 1.
        let mut factors = Vec::new();
        for dimension in 0_usize..like.view.rank() {
            let own = dimension.checked_sub(missing).map_or(1, |own| shape[own]);
            let whole = own == like.view.size(dimension);
            if !whole && own != 1 {
                return Ok(None);
            }
            for factor in like.view.dimension(dimension) {
                factors.push((*factor, if whole { factor.size } else { 1 }));
            }
        }
        let split: Vec<_> = factors.iter().map(|(_, size)| *size).collect();
        let mut order: Vec<_> = (0..factors.len()).collect();
        order.sort_by_key(|i| (factors[*i].0.axis, usize::MAX - factors[*i].0.stride));
        let mut sizes = [1; AXES];
        let mut full = Vec::new();
        for i in &order {
            let (factor, _) = factors[*i];
            let digits = factors.iter().filter(|(other, _)| other.axis == factor.axis);
            let varies = digits.clone().any(|(_, size)| *size != 1);
            full.push(if varies { factor.size } else { 1 });
            if varies {
                sizes[factor.axis] = digits.map(|(factor, _)| factor.size).product();
            }
        }
        let known = self.constant_values(id).map(|values| ordered(&values, &split, &order, &full));
        let map = graph.reshape(id, &split)?;
        let map = graph.permute(map, &order)?;
        let map = graph.expand(map, &full)?;
        let map = graph.reshape(map, &sizes)?;
        if sizes[2..] == [1, 1] {
            return Ok(Some(Operand::Flat(map)));
        }
        if sizes[SAMPLES] != 1 {
            return Ok(None);
        }
        let field = self.constant_field(map, known.as_deref(), like)?;
        Ok(Some(Operand::Field(field)))
    }

    /// The values of a constant, whatever its shape.
    fn constant_values(&self, id: NodeId) -> Option<Vec<f64>> {
        let mut node = self.graph.node(id);
        while matches!(node.op.form(), Form::Reshape) {
            node = self.graph.node(node.inputs[0]);
        }
        match node.op.source() {
            Some(Source::Constant(tensor)) => Some(tensor.to_f64()),
            _ => None,
        }
    }

    /// A map [1, channels, height or 1, width or 1] that is the same for all
    /// samples, as a field with the windows of `like`. Rows and columns whose
    /// values are known to be equal are held once.
    fn constant_field(
        &self,
        base: NodeId,
        values: Option<&[f64]>,
        like: &Field,
    ) -> Result<Field, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(base);
        let map = like.map();
        let mut field = Field { base, patch: base, ..like.clone() };
        for axis in 0..2 {
            let size = shape[2 + axis];
            let key = |row: usize| match values {
                Some(values) if size > 1 => {
                    let after: usize = shape[3 + axis..].iter().product();
                    let blocks = values.chunks_exact(after).skip(row).step_by(size);
                    blocks.flatten().map(|value| value.to_bits() as i64).collect()
                }
                _ => vec![if size > 1 { row as i64 } else { 0 }],
            };
            let (classes, known) = classified((0..map[axis]).map(key));
            if size > 1 && known.len() < size {
                let mut first = vec![u32::MAX; known.len()];
                for (row, class) in classes.iter().enumerate().rev() {
                    first[*class as usize] = row as u32;
                }
                let rows = indices(graph, &first)?;
                field.base = graph.index_select(field.base, 2 + axis, rows)?;
            }
            field.classes[axis] = classes;
        }
        field.patch = field.base_on(graph, &like.place)?;
        Ok(field)
    }

    /// An operand as a field of so many channels, in the windows of `place`.
    fn as_field(
        &self,
        operand: Operand,
        like: &Field,
        channels: usize,
    ) -> Result<Field, GraphError> {
        let graph = self.graph;
        let [samples, slots] = like.slots(graph);
        let mut field = match operand {
            Operand::Field(field) => field,
            Operand::Flat(base) => {
                let classes = like.map().map(|size| -> Arc<[u32]> { vec![0; size].into() });
                let shape = graph.shape(base);
                let patch = graph.reshape(base, &[shape[0], 1, 1, 1, shape[1]])?;
                Field { base, classes, patch, ..like.clone() }
            }
        };
        let Place { size: [height, width], .. } = field.place;
        field.patch = graph.expand(field.patch, &[samples, slots, height, width, channels])?;
        let mut shape = graph.shape(field.base);
        shape[1] = channels;
        field.base = graph.expand(field.base, &shape)?;
        Ok(field)
    }

    /// Channels side by side.
    pub(super) fn concat(&self, node: &Node, axis: usize) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let Some(some) = node.inputs.iter().find_map(|id| self.field(*id)).cloned() else {
            return Ok(None);
        };
        let others = some.view.without(&[axis]);
        let plain = |view: &View| {
            let alone = view.dimension(axis).iter().all(|factor| factor.axis == CHANNELS);
            alone && view.without(&[axis]) == others
        };
        if others.factors().any(|factor| factor.axis == CHANNELS) {
            return Ok(None);
        }
        let mut fields = Vec::new();
        for input in &node.inputs {
            let channels = graph.shape(*input)[axis];
            let field = match self.field(*input) {
                Some(field) => field.clone(),
                None => {
                    let view = some.view.resized(axis, CHANNELS, channels);
                    let like = Field { view, ..some.clone() };
                    match self.operand(*input, &like)? {
                        Some(operand) => self.as_field(operand, &like, channels)?,
                        None => return Ok(None),
                    }
                }
            };
            if !plain(&field.view) || field.channels(graph) != channels {
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
        let view = some.view.resized(axis, CHANNELS, node.ty.shape[axis]);
        let Some(first) = aligned.into_iter().next() else { return Ok(None) };
        Ok(Some(Field { base, patch, view, ..first }))
    }
}

/// Values of dimensions `split` in another order of them, stretched to `full`.
fn ordered(values: &[f64], split: &[usize], order: &[usize], full: &[usize]) -> Vec<f64> {
    let mut strides = vec![1; split.len()];
    for i in (1..split.len()).rev() {
        strides[i - 1] = strides[i] * split[i];
    }
    let steps: Vec<_> =
        order.iter().map(|i| if split[*i] == 1 { 0 } else { strides[*i] }).collect();
    let count: usize = full.iter().product();
    let value = |flat: usize| {
        let mut rest = flat;
        let mut at = 0;
        for (size, step) in full.iter().zip(&steps).rev() {
            at += rest % size * step;
            rest /= size;
        }
        values[at]
    };
    (0..count).map(value).collect()
}
