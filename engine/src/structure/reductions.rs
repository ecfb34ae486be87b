//! Rules for what adds up: sums and largest elements over maps, rows, columns or
//! channels, softmax over maps and channels, global max pooling.

use super::Rewriter;
use super::field::Field;
use super::place::STILL;
use super::view::{CHANNELS, COLUMNS, Factor, Held, ROWS, SAMPLES, View};
use crate::graph::{GraphError, Node, NodeId};
use crate::op::Form;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// What is made of several elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reduce {
    Sum,
    /// The largest; only where no gradient flows, which ties would share among
    /// the positions that a place of the base stands for.
    Max,
}

/// What a rule for an op makes: a field again, or a value that is none.
pub(super) enum Made {
    Field(Field),
    Dense(NodeId),
}

impl Rewriter<'_> {
    /// The sum or the largest element over some dimensions.
    pub(super) fn reduced(
        &self,
        field: &Field,
        dimensions: &[usize],
        reduce: Reduce,
    ) -> Result<Option<Made>, GraphError> {
        let graph = self.graph;
        let sizes = field.sizes(graph);
        let held = field.view.held(dimensions, sizes);
        let rest = field.view.without(dimensions);
        let [samples, channels, rows, columns] = held;
        if rows.all() && columns.all() {
            if samples == Held::Part {
                return Ok(None);
            }
            let mut total = self.total(field, samples == Held::All, reduce)?;
            if !channels.nothing() {
                total = self.over_factors(field, dimensions, total, 1, reduce)?;
            }
            let shape = graph.shape(total);
            let total = graph.reshape(total, &[shape[0], shape[1], 1, 1])?;
            return arranged(graph, total, &renumbered(&rest))
                .map(|total| Some(Made::Dense(total)));
        }
        if !samples.nothing() {
            return Ok(None);
        }
        if rows.nothing() && columns.nothing() {
            let over = self.over_channels(field, dimensions, &rest, reduce)?;
            return Ok(Some(Made::Field(over)));
        }
        if !channels.nothing() {
            return Ok(None);
        }
        let field = match (rows, columns) {
            (Held::All, _) if columns.nothing() => self.strips(field, 0, reduce)?,
            (_, Held::All) if rows.nothing() => self.strips(field, 1, reduce)?,
            (Held::Part, _) if columns.nothing() => {
                return self.neighbours(field, 0, dimensions, &rest, reduce);
            }
            (_, Held::Part) if rows.nothing() => {
                return self.neighbours(field, 1, dimensions, &rest, reduce);
            }
            _ => return Ok(None),
        };
        Ok(field.map(|field| Made::Field(Field { view: rest, ..field })))
    }

    fn over(&self, x: NodeId, axes: &[usize], reduce: Reduce) -> Result<NodeId, GraphError> {
        let shape = self.graph.shape(x);
        let over = match reduce {
            Reduce::Sum => self.graph.sum(x, axes)?,
            Reduce::Max => self.graph.max(x, axes)?,
        };
        self.graph.restore_axes(over, &shape, axes)
    }

    /// Over the map, and over samples too if asked for: [samples or 1, channels].
    /// Each place of the base counts as often as it stands for a position that no
    /// window holds; then the windows, each position once. Nothing is taken away
    /// again, so nothing cancels.
    pub(super) fn total(
        &self,
        field: &Field,
        over_samples: bool,
        reduce: Reduce,
    ) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(field.base);
        let shared = shape[0] == 1;
        let counts = field.uncovered(graph, shared && over_samples)?;
        let filled = if reduce == Reduce::Sum { 0.0 } else { f64::NEG_INFINITY };
        let base = match reduce {
            Reduce::Sum if shared => {
                let places = shape[2] * shape[3];
                let counts = graph.reshape(counts, &[graph.shape(counts)[0], places])?;
                let base = graph.reshape(field.base, &[shape[1], places])?;
                graph.matmul_with(counts, base, false, true)?
            }
            Reduce::Sum => graph.sum(graph.mul(field.base, counts)?, &[2, 3])?,
            Reduce::Max => {
                let filled = graph.scalar(filled)?;
                let base = graph.select(counts, field.base, filled)?;
                graph.max(base, &[2, 3])?
            }
        };
        let windows = self.over(field.guarded(graph, true, filled)?, &[1, 2, 3], reduce)?;
        let windows = graph.reshape(windows, &[field.slots(graph)[0], shape[1]])?;
        let over = |x: NodeId| if over_samples { self.over(x, &[0], reduce) } else { Ok(x) };
        let (base, windows) = (over(base)?, over(windows)?);
        match reduce {
            Reduce::Sum => graph.add(base, windows),
            Reduce::Max => graph.maximum(base, windows),
        }
    }

    /// Over channels, or over some of their factors.
    fn over_channels(
        &self,
        field: &Field,
        dimensions: &[usize],
        rest: &View,
        reduce: Reduce,
    ) -> Result<Field, GraphError> {
        let base = self.over_factors(field, dimensions, field.base, 1, reduce)?;
        let patch = self.over_factors(field, dimensions, field.patch, 4, reduce)?;
        Ok(Field { base, patch, view: renumbered(rest), ..field.clone() })
    }

    /// Over those factors of the channels, axis `axis` of `x`, that are in some
    /// dimensions of the field's view.
    fn over_factors(
        &self,
        field: &Field,
        dimensions: &[usize],
        x: NodeId,
        axis: usize,
        reduce: Reduce,
    ) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let mut factors = Vec::new();
        for dimension in 0..field.view.rank() {
            let gone = dimensions.contains(&dimension);
            let own = field.view.dimension(dimension).iter();
            factors.extend(own.filter(|f| f.axis == CHANNELS).map(|factor| (*factor, gone)));
        }
        factors.sort_by_key(|(factor, _)| usize::MAX - factor.stride);
        let size = |(factor, _): &(Factor, bool)| factor.size;
        let sizes: Vec<_> = factors.iter().map(size).collect();
        let left: usize = factors.iter().filter(|(_, gone)| !gone).map(size).product();
        let axes = (0..factors.len()).filter(|i| factors[*i].1).map(|i| axis + i);
        let shape = graph.shape(x);
        let [before, after] = [&shape[..axis], &shape[axis + 1..]];
        let split = graph.reshape(x, &[before, &sizes, after].concat())?;
        let over = self.over(split, &axes.collect::<Vec<_>>(), reduce)?;
        graph.reshape(over, &[before, &[left], after].concat())
    }

    /// Over rows (axis 0) or columns (axis 1): a field on a line. A window of it
    /// is what the strip of the map through the old window comes to.
    fn strips(
        &self,
        field: &Field,
        axis: usize,
        reduce: Reduce,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let map = field.map();
        let mut place = field.place.clone();
        place.axes[axis] = STILL;
        let mut size = place.size;
        size[axis] = map[axis];
        place.size[axis] = 1;
        if place.size[1 - axis] >= map[1 - axis] {
            return Ok(None);
        }
        let strips = field.tile(graph, place.axes, size, false)?;
        let patch = self.over(strips, &[2 + axis], reduce)?;
        let base = match reduce {
            Reduce::Sum => {
                let count = graph.shape(field.base)[2 + axis];
                let mut shape = [1; 4];
                shape[2 + axis] = count;
                let often = super::counts(&field.classes[axis], count);
                let often = Tensor::new(&TensorType::new(graph.float(), &shape), &often);
                graph.mul(field.base, graph.constant(often)?)?
            }
            Reduce::Max => field.base,
        };
        let base = self.over(base, &[2 + axis], reduce)?;
        let mut classes = field.classes.clone();
        classes[axis] = vec![0].into();
        Ok(Some(Field { base, classes, patch, place, view: field.view.clone() }))
    }

    /// Over the last digit of rows (axis 0) or columns (axis 1).
    fn neighbours(
        &self,
        field: &Field,
        axis: usize,
        dimensions: &[usize],
        rest: &View,
        reduce: Reduce,
    ) -> Result<Option<Made>, GraphError> {
        let gone: Vec<_> = dimensions
            .iter()
            .flat_map(|dimension| field.view.dimension(*dimension))
            .filter(|factor| factor.axis == ROWS + axis)
            .collect();
        let [last] = gone.as_slice() else { return Ok(None) };
        if last.stride != 1 || reduce != Reduce::Sum {
            return Ok(None);
        }
        let left: Vec<_> = rest.factors().filter(|factor| factor.axis == ROWS + axis).collect();
        let mut view = rest.clone();
        for factor in left {
            view = view.replaced(factor, Factor { stride: factor.stride / last.size, ..factor });
        }
        let sums = self.sums_of_neighbours(field, axis, last.size)?;
        Ok(sums.map(|sums| Made::Field(Field { view, ..sums })))
    }

    /// Softmax, or its logarithm, over channels or over the positions of a map.
    pub(super) fn softmax(
        &self,
        node: &Node,
        field: &Field,
        dimension: usize,
        log: bool,
    ) -> Result<Option<Field>, GraphError> {
        let graph = self.graph;
        let held = field.view.held(&[dimension], field.sizes(graph));
        if !held[SAMPLES].nothing() {
            return Ok(None);
        }
        if held[ROWS].nothing() && held[COLUMNS].nothing() && held[CHANNELS].all() {
            let of = |x: NodeId, axis: usize| match log {
                true => graph.log_softmax(x, axis),
                false => graph.softmax(x, axis),
            };
            let (base, patch) = (of(field.base, 1)?, of(field.patch, 4)?);
            return Ok(Some(Field { base, patch, ..field.clone() }));
        }
        if !(held[ROWS].all() && held[COLUMNS].all() && held[CHANNELS] != Held::Part) {
            return Ok(None);
        }
        debug_assert_eq!(node.ty.shape, field.view.shape());
        let whole = held[CHANNELS] == Held::All;
        let across = |x: NodeId, reduce: Reduce| {
            if whole { self.over(x, &[1], reduce) } else { Ok(x) }
        };
        let held = Field {
            base: graph.detach(field.base)?,
            patch: graph.detach(field.patch)?,
            ..field.clone()
        };
        let largest = across(self.total(&held, false, Reduce::Max)?, Reduce::Max)?;
        // Of what lies beyond the border, and of places of the base that windows
        // hold in full, nothing may overflow.
        let zero = graph.scalar(0.0)?;
        let inside = field.mask(graph, false)?;
        let open = field.uncovered(graph, false)?;
        let below = |value: NodeId| {
            let shape = graph.shape(value);
            let base = graph.reshape(value, &[shape[0], shape[1], 1, 1])?;
            let base = graph.sub(field.base, base)?;
            let patch = graph.reshape(value, &[shape[0], 1, 1, 1, shape[1]])?;
            let patch = graph.sub(field.patch, patch)?;
            let (base, patch) =
                (graph.select(open, base, zero)?, graph.select(inside, patch, zero)?);
            Ok::<_, GraphError>(Field { base, patch, ..field.clone() })
        };
        let exponents = below(largest)?;
        let powers = Field {
            base: graph.exp(exponents.base)?,
            patch: graph.exp(exponents.patch)?,
            ..exponents
        };
        let sum = across(self.total(&powers, false, Reduce::Sum)?, Reduce::Sum)?;
        let logarithm = graph.add(largest, graph.log(sum)?)?;
        let result = below(logarithm)?;
        if log {
            return Ok(Some(result));
        }
        let (base, patch) = (graph.exp(result.base)?, graph.exp(result.patch)?);
        Ok(Some(Field { base, patch, ..result }))
    }

    /// The largest element of each plane: the planes gathered at the indices of
    /// their own largest elements. Of equals the one at the first position is
    /// taken, as the dense op does: a last layer that begins at zero makes all
    /// positions equal, and their gradients are not.
    ///
    /// A value of the base stands at the first position of its class. Where a
    /// window covers that one and differs there, it stands at a later one, which
    /// is not looked for.
    pub(super) fn global_max(
        &self,
        node: &Node,
        field: &Field,
        axis: usize,
    ) -> Result<Option<NodeId>, GraphError> {
        let graph = self.graph;
        let reshaped = graph.node(node.inputs[1]);
        if !matches!(reshaped.op.form(), Form::Reshape) {
            return Ok(None);
        }
        let index = graph.node(reshaped.inputs[0]);
        let argmax = matches!(index.op.form(), Form::ArgMax(over) if over == axis);
        let sizes = field.sizes(graph);
        let held = field.view.held(&[axis], sizes);
        let whole = held[SAMPLES].nothing()
            && held[CHANNELS].nothing()
            && held[ROWS].all()
            && held[COLUMNS].all();
        if !argmax || index.inputs[0] != node.inputs[0] || !whole {
            return Ok(None);
        }
        let shape = graph.shape(field.base);
        let filled = graph.scalar(f64::NEG_INFINITY)?;
        let base = graph.select(field.uncovered(graph, false)?, field.base, filled)?;
        let places = shape[2] * shape[3];
        let base = graph.reshape(base, &[sizes[0], shape[1], places])?;
        let patch = field.guarded(graph, true, f64::NEG_INFINITY)?;
        let windows = graph.shape(patch)[1..4].iter().product::<usize>();
        let patch = graph.reshape(patch, &[sizes[0], windows, shape[1]])?;
        let patch = graph.permute(patch, &[0, 2, 1])?;
        let all = graph.concat(&[base, patch], 2)?;
        let held = graph.detach(all)?;
        let most = graph.max(held, &[2])?;
        let most = graph.reshape(most, &[sizes[0], shape[1], 1])?;
        let places = self.places(field)?;
        let largest = graph.greater_equal(held, most)?;
        let first = graph.select(largest, graph.neg(places)?, filled)?;
        let index = graph.argmax(first, 2)?;
        let index = graph.reshape(index, &[sizes[0], shape[1], 1])?;
        let largest = graph.gather(all, 2, index)?;
        // What is no number is larger than all others.
        let largest = graph.select(graph.equal(most, most)?, largest, most)?;
        let largest = graph.reshape(largest, &[sizes[0], shape[1], 1, 1])?;
        let view = field.view.with(axis, Vec::new());
        arranged(graph, largest, &view).map(Some)
    }
}

impl Rewriter<'_> {
    /// The position in the map, row by row, of each place of the base (the first
    /// that it stands for) and of the windows: [samples, 1, places].
    fn places(&self, field: &Field) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let [samples, slots] = field.slots(graph);
        let width = field.map()[1];
        let shape = graph.shape(field.base);
        let of_base = |row: usize, column: usize| {
            let first = |axis: usize, class: usize| {
                field.classes[axis].iter().position(|own| *own as usize == class).unwrap_or(0)
            };
            (first(0, row) * width + first(1, column)) as f64
        };
        let constant = |shape: &[usize], values: &[f64]| {
            graph.constant(Tensor::new(&TensorType::new(graph.float(), shape), values))
        };
        let [rows, columns] = [shape[2], shape[3]];
        let base: Vec<_> = (0..rows * columns).map(|i| of_base(i / columns, i % columns)).collect();
        let base = constant(&[1, 1, rows * columns], &base)?;
        let base = graph.expand(base, &[samples, 1, rows * columns])?;
        let [height, across] = field.place.size;
        let inside: Vec<_> =
            (0..height * across).map(|i| (i / across * width + i % across) as f64).collect();
        let inside = constant(&[1, 1, height * across], &inside)?;
        let origins = graph.cast(field.place.origins(graph)?)?;
        let top = graph.scale(graph.narrow(origins, 2, 0, 1, 1)?, width as f64)?;
        let first = graph.add(top, graph.narrow(origins, 2, 1, 1, 1)?)?;
        let windows = graph.add(first, inside)?;
        let windows = graph.reshape(windows, &[samples, 1, slots * height * across])?;
        graph.concat(&[base, windows], 2)
    }
}

/// The view with the digits of channels that are left as those of one number.
fn renumbered(view: &View) -> View {
    let mut left: Vec<_> = view.factors().filter(|factor| factor.axis == CHANNELS).collect();
    left.sort_by_key(|factor| factor.stride);
    let mut view = view.clone();
    let mut stride = 1;
    for factor in left {
        view = view.replaced(factor, Factor { stride, ..factor });
        stride *= factor.size;
    }
    view
}

/// A value [samples, channels, rows, columns], of size 1 where the view has no
/// factor of the axis, in the shape of the view.
pub(super) fn arranged(
    graph: &crate::Graph,
    value: NodeId,
    view: &View,
) -> Result<NodeId, GraphError> {
    let factors: Vec<_> = view.factors().collect();
    let mut order: Vec<_> = (0..factors.len()).collect();
    order.sort_by_key(|i| (factors[*i].axis, usize::MAX - factors[*i].stride));
    let split: Vec<_> = order.iter().map(|i| factors[*i].size).collect();
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, i)| back[*i] = at);
    let value = graph.reshape(value, &split)?;
    let value = graph.permute(value, &back)?;
    graph.reshape(value, &view.shape())
}
