//! Samples whose windows are equal.
//!
//! Where all specks of a batch have one colour and one background, a window's
//! values depend on its speck's place only through what the layers see around it:
//! how far it lies from the border, and where in the strides of the layers so far.
//! In the inside of the screen nearly all places are alike. So the windows of one
//! sample of each kind are computed, as far as the layers do the same at every
//! place, and are then dealt out to the samples: by the flattened map of a linear
//! layer, or by whatever else depends on the place itself.
//!
//! Which places are alike is found along rows and columns apart, by following the
//! layers: two places are of one kind while every rectangle that a layer reads
//! around their windows begins at the same distance from the window and meets the
//! same rows of the base (beyond the border is one of them). Then every value that
//! is computed for them is computed from equal numbers by the same operations, so
//! this is as exact as the rest of the rewrite.
//!
//! Each op has kinds of its own: a deeper layer tells more places apart, since its
//! rectangles are larger, and windows are dealt from coarse kinds to finer ones
//! before it.
//!
//! This pays where a batch shows many places. The evaluation of all 4096 positions
//! with the convolutional network of `speck bench evaluation` has, with the windows
//! of every sample, a program of 82 ms (64 samples a run) on a two-core AVX-512
//! server (Zen 5); with those of one set of kinds for all ops, the finest (1600),
//! 52 ms; with kinds of each op's own 28 ms.

use super::field::{Field, classified};
use super::{Rewriter, Value};
use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::op::Form;
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// The kinds of places along both axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// The kind of each row, and of each column.
    of: [Vec<u32>; 2],
}

impl Kinds {
    /// How many kinds of rows and of columns there are.
    pub fn counts(&self) -> [usize; 2] {
        let count = |of: &Vec<u32>| of.iter().max().map_or(0, |most| *most as usize + 1);
        self.of.each_ref().map(count)
    }

    /// How many kinds there are.
    pub fn count(&self) -> usize {
        self.counts().iter().product()
    }

    /// The kind of a speck whose first pixel is here; of places outside the
    /// screen, which the windows of an empty slot are read for by nobody, any.
    pub fn kind(&self, row: i32, column: i32) -> i32 {
        let own = |axis: usize, place: i32| {
            let place = usize::try_from(place).ok();
            place.and_then(|place| self.of[axis].get(place)).map_or(0, |kind| *kind as usize)
        };
        (own(0, row) * self.counts()[1] + own(1, column)) as i32
    }

    /// A place of each kind.
    fn places(&self) -> Vec<[i32; 2]> {
        let [rows, columns] = [0, 1].map(|axis| {
            let of = &self.of[axis];
            let first = |kind| of.iter().position(|own| *own as usize == kind).unwrap_or(0) as i32;
            (0..self.counts()[axis]).map(first).collect::<Vec<_>>()
        });
        rows.iter().flat_map(|row| columns.iter().map(|column| [*row, *column])).collect()
    }

    /// Tells places along an axis apart whose keys differ.
    fn refine(&mut self, axis: usize, key: impl Fn(usize) -> Vec<i64>) {
        let keyed = self.of[axis].iter().enumerate().map(|(place, kind)| {
            let mut key = key(place);
            key.push(i64::from(*kind));
            key
        });
        self.of[axis] = classified(keyed).0.to_vec();
    }

    /// Tells apart what either does.
    fn join(&mut self, other: &Kinds) {
        for axis in 0..2 {
            self.refine(axis, |place| vec![i64::from(other.of[axis][place])]);
        }
    }

    /// The kind of a coarser division for each of these.
    fn within(&self, coarser: &Kinds) -> Tensor {
        let kinds: Vec<_> = self.places().iter().map(|[r, c]| coarser.kind(*r, *c)).collect();
        Tensor::from_i32(&[kinds.len()], kinds)
    }
}

/// What the windows of samples that are alike share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alike {
    /// The positions of the samples, i32 [samples, 1, 2].
    positions: NodeId,
    pub samples: usize,
    /// What is told apart.
    kinds: RefCell<Kinds>,
    /// If windows are held for kinds already: the finest kinds there are, and of
    /// which each sample is.
    each: Option<(Rc<Kinds>, NodeId)>,
}

/// How a rewrite treats samples that are alike. It is made twice: first with the
/// windows of all samples, which finds the kinds that each op tells apart, then
/// with those of the kinds.
pub(super) struct Sharing {
    /// The colours that are the same for all samples.
    colours: NodeId,
    /// The kinds that the ops which share windows tell apart.
    found: RefCell<HashMap<NodeId, Kinds>>,
    /// Whether they are known, and the kind of each sample.
    each: Option<(Rc<Kinds>, NodeId)>,
}

impl Sharing {
    pub fn new(colours: NodeId) -> Self {
        Sharing { colours, found: RefCell::default(), each: None }
    }

    /// What to rewrite with when all kinds are found; `kind` says of which of the
    /// finest ones each sample is. `None` where there is little to share: where
    /// an op has windows of more than half as many kinds as there are samples, on
    /// average.
    pub fn known(self, samples: usize, kind: NodeId) -> Option<(Self, Rc<Kinds>)> {
        let found = self.found.borrow();
        let mut all = found.values();
        let mut finest = all.next()?.clone();
        all.for_each(|kinds| finest.join(kinds));
        let computed: usize = found.values().map(|kinds| kinds.count().min(samples)).sum();
        if 2 * computed > samples * found.len() {
            return None;
        }
        drop(found);
        let finest = Rc::new(finest);
        Some((Sharing { each: Some((finest.clone(), kind)), ..self }, finest))
    }

    /// The field of a render, held for kinds of samples.
    pub fn share(&self, graph: &Graph, node: &Node, field: &mut Field) -> Result<(), GraphError> {
        let [positions, colours, _] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let [samples, slots] = field.slots(graph);
        if colours != self.colours || slots != 1 || graph.shape(field.base)[0] != 1 {
            return Ok(());
        }
        let kinds = Kinds { of: field.map().map(|size| vec![0; size]) };
        if self.each.is_some() {
            let colour = graph.narrow(colours, 0, 0, 1, 1)?;
            let place = placed(graph, &kinds)?;
            field.patch = graph.render_windows(place, colour, field.place.size[0])?;
            field.place.positions = place;
        }
        let (kinds, each) = (RefCell::new(kinds), self.each.clone());
        field.place.alike = Some(Rc::new(Alike { positions, samples, kinds, each }));
        Ok(())
    }
}

/// A place of each kind, i32 [kinds, 1, 2].
fn placed(graph: &Graph, kinds: &Kinds) -> Result<NodeId, GraphError> {
    let places = kinds.places();
    graph.constant(Tensor::from_i32(&[places.len(), 1, 2], places.into_flattened()))
}

impl Field {
    /// Notes that rectangles that begin at `start` are read of the field.
    pub(super) fn read_at(&self, axis: usize, start: impl Fn(i32) -> i32, size: usize) {
        let Some(alike) = &self.place.alike else { return };
        alike.kinds.borrow_mut().refine(axis, |place| {
            let place = place as i32;
            let first = start(place);
            let rows: Range<i32> = first..first + size as i32;
            let class = |row: i32| {
                let row = usize::try_from(row).ok();
                let class = row.and_then(|row| self.classes[axis].get(row));
                class.map_or(-1, |class| i64::from(*class))
            };
            let distance = first - self.place.axes[axis].of(place);
            std::iter::once(i64::from(distance)).chain(rows.map(class)).collect()
        });
    }

    /// A value of one row a kind as one of a row a sample.
    pub(super) fn dealt(&self, graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
        let Some(alike) = &self.place.alike else { return Ok(x) };
        let Some((finest, kind)) = &alike.each else { return Ok(x) };
        let within = graph.constant(finest.within(&alike.kinds.borrow()))?;
        let index = graph.index_select(within, 0, *kind)?;
        graph.index_select(x, 0, index)
    }

    /// The field with windows of all samples.
    pub(super) fn of_each(&self, graph: &Graph) -> Result<Field, GraphError> {
        let Some(alike) = self.place.alike.clone() else { return Ok(self.clone()) };
        let mut field = self.clone();
        field.patch = self.dealt(graph, self.patch)?;
        field.place.positions = alike.positions;
        field.place.alike = None;
        Ok(field)
    }

    /// The field with windows of these kinds, finer ones; `places` are theirs.
    fn of_kinds(
        &self,
        graph: &Graph,
        kinds: &Rc<Alike>,
        places: Option<NodeId>,
    ) -> Result<Field, GraphError> {
        let mut field = self.clone();
        let own = field.place.alike.replace(kinds.clone());
        if let (Some(own), Some(places)) = (own, places) {
            let (own, finer) = (own.kinds.borrow(), kinds.kinds.borrow());
            if *own != *finer {
                let within = graph.constant(finer.within(&own))?;
                field.patch = graph.index_select(field.patch, 0, within)?;
            }
            field.place.positions = places;
        }
        Ok(field)
    }
}

impl Rewriter<'_> {
    /// The rule for a node on windows that samples share, as far as the op does
    /// the same at every place; else all windows are written out before.
    pub(super) fn shared_rule(
        &mut self,
        id: NodeId,
        node: &Node,
        form: Form<'_>,
    ) -> Result<Option<Value>, GraphError> {
        let graph = self.graph;
        let Some(sharing) = &self.sharing else { return self.rule(node, form) };
        let fields = node.inputs.iter().filter_map(|input| {
            let field = self.field(*input).filter(|field| field.place.alike.is_some())?;
            Some((*input, field.clone()))
        });
        let fields: Vec<_> = fields.collect();
        let Some(first) = fields.first().and_then(|(_, field)| field.place.alike.clone()) else {
            return self.rule(node, form);
        };
        if !self.same_everywhere(node, &form) {
            for (input, field) in fields {
                let field = graph.derived(input, |graph| field.of_each(graph))?;
                self.values.insert(input, Value::Structured(field));
            }
            return self.rule(node, form);
        }
        // The op's own kinds: those that it is known to tell apart, or those that
        // it will be found to tell apart, from what its inputs do on.
        let known = sharing.found.borrow().get(&id).cloned();
        let kinds = known.unwrap_or_else(|| {
            let mut kinds = first.kinds.borrow().clone();
            let alike = fields.iter().filter_map(|(_, field)| field.place.alike.as_ref());
            alike.for_each(|other| kinds.join(&other.kinds.borrow()));
            kinds
        });
        let places = sharing.each.as_ref().map(|_| placed(graph, &kinds)).transpose()?;
        let own = Rc::new(Alike { kinds: RefCell::new(kinds), ..(*first).clone() });
        for (input, field) in &fields {
            let field = field.of_kinds(graph, &own, places)?;
            self.values.insert(*input, Value::Structured(field));
        }
        let value = self.rule(node, form)?;
        if let Some(sharing) = &self.sharing {
            sharing.found.borrow_mut().insert(id, own.kinds.borrow().clone());
        }
        for (input, field) in fields {
            self.values.insert(input, Value::Structured(field));
        }
        Ok(value)
    }

    fn same_everywhere(&self, node: &Node, form: &Form<'_>) -> bool {
        let shared = |id: NodeId| self.field(id).filter(|field| field.place.alike.is_some());
        let Some(first) = node.inputs.first() else { return true };
        match form {
            // Nothing is computed of these until somebody asks for all of it.
            Form::MaxPoolIndices(_) | Form::ArgMax(_) => true,
            Form::Reshape | Form::Permute(_) => true,
            // The product with a flattened map deals out by itself.
            Form::Convolution(_) | Form::AveragePool(_) | Form::Matmul { .. } => {
                node.inputs[1..].iter().all(|input| self.field(*input).is_none())
            }
            Form::Gather(axis) => shared(*first).is_some() && self.pooled(node, *axis).is_some(),
            Form::Concat(_) => node.inputs.iter().all(|input| shared(*input).is_some()),
            Form::Pointwise => {
                let like = node.inputs.iter().find_map(|input| shared(*input));
                let Some(like) = like.filter(|like| like.view.shape() == node.ty.shape) else {
                    return false;
                };
                node.inputs.iter().all(|input| match self.field(*input) {
                    Some(field) => field.place.alike.is_some() && field.view == like.view,
                    None => self.at_hand(*input).is_some_and(|id| self.of_no_sample(id, like)),
                })
            }
            _ => false,
        }
    }

    /// Whether a value that is no field is the same for all samples beside `like`.
    fn of_no_sample(&self, mut id: NodeId, like: &Field) -> bool {
        let graph = self.graph;
        while matches!(graph.node(id).op.form(), Form::Expand) {
            id = graph.node(id).inputs[0];
        }
        let shape = graph.shape(id);
        let Some(missing) = like.view.rank().checked_sub(shape.len()) else { return false };
        shape.iter().enumerate().all(|(dimension, size)| {
            let factors = like.view.dimension(missing + dimension);
            *size == 1 || factors.iter().all(|factor| factor.axis != super::view::SAMPLES)
        })
    }
}
