//! Borders around a tensor.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

pub(super) const ALL: &[Composition] = &[Composition::new(
    "pad",
    "y[…, before + i, …] = x[…, i, …]; the border is a constant, mirrored, the edge, or wrapped",
    || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("constant, cropped", &[(&[3, 4], draw)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pad(squares, &[(1, 2), (-1, 1)], Padding::Constant(2.0))
            }),
            Case::new("reflect", &[(&[2, 3, 4], draw)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pad(squares, &[(0, 0), (2, 1), (-1, 3)], Padding::Reflect)
            }),
            Case::new("replicate", &[(&[3, 4], draw)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pad(squares, &[(5, 1), (-1, 2)], Padding::Replicate)
            }),
            Case::new("circular", &[(&[3, 4], draw)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pad(squares, &[(3, 1), (-1, 3)], Padding::Circular)
            }),
        ]
    },
)
.rule(
    "a negative border crops: mirror and edge are those of the whole, what is wrapped is the rest",
    || {
        let x = || vec![Tensor::from_f64(&[4], vec![1.0, 2.0, 3.0, 4.0])];
        vec![
            Expectation::new(
                "constant, infinite",
                x(),
                |graph, x| graph.pad(x[0], &[(1, -1)], Padding::Constant(f64::NEG_INFINITY)),
                &[f64::NEG_INFINITY, 1.0, 2.0, 3.0],
            )
            .gradients(&[&[1.0, 1.0, 1.0, 0.0]]),
            Expectation::new(
                "reflect",
                x(),
                |graph, x| graph.pad(x[0], &[(-2, 3)], Padding::Reflect),
                &[3.0, 4.0, 3.0, 2.0, 1.0],
            )
            .gradients(&[&[1.0, 1.0, 2.0, 1.0]]),
            Expectation::new(
                "replicate",
                x(),
                |graph, x| graph.pad(x[0], &[(2, -1)], Padding::Replicate),
                &[1.0, 1.0, 1.0, 2.0, 3.0],
            )
            .gradients(&[&[3.0, 1.0, 1.0, 0.0]]),
            Expectation::new(
                "circular",
                x(),
                |graph, x| graph.pad(x[0], &[(2, -1)], Padding::Circular),
                &[2.0, 3.0, 1.0, 2.0, 3.0],
            )
            .gradients(&[&[1.0, 2.0, 2.0, 0.0]]),
        ]
    },
)];

/// What stands in a border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// A number.
    Constant(f64),
    /// The elements mirrored at the edge, which is not repeated.
    Reflect,
    /// The element at the edge.
    Replicate,
    /// The elements at the other end.
    Circular,
}

/// Where each element of a padded dimension comes from.
fn sources(size: usize, before: i64, after: i64, padding: Padding) -> Result<Vec<usize>, String> {
    let wide = i64::try_from(size).map_err(|_| "the dimension is too long".to_owned())?;
    let length = before.checked_add(after).and_then(|sum| sum.checked_add(wide));
    let length = length.filter(|length| (0..=i64::from(i32::MAX)).contains(length));
    let length = length.ok_or(format!("a dimension of {size} cannot be padded so"))?;
    // What cropping leaves: the first of it, and how many.
    let first = before.saturating_neg().max(0);
    let kept = wide - first - after.saturating_neg().max(0);
    let most = match padding {
        Padding::Reflect => wide - 1,
        Padding::Circular => kept,
        _ => i64::MAX,
    };
    let border = before.max(after);
    if border > 0 && (border > most || wide == 0) {
        return Err(format!("a border of {border} is too large for a dimension of {size}"));
    }
    let source = |place: i64| {
        let i = place - before;
        match padding {
            Padding::Reflect if i < 0 => -i,
            Padding::Reflect if i >= wide => 2 * (wide - 1) - i,
            Padding::Circular => first + (place - before.max(0)).rem_euclid(kept.max(1)),
            _ => i.clamp(0, (wide - 1).max(0)),
        }
    };
    let sources = (0..length).map(|place| usize::try_from(source(place)));
    sources.collect::<Result<_, _>>().map_err(|_| "the crop leaves nothing to mirror".to_owned())
}

impl Graph {
    /// `x` with a border of (before, after) elements on each of its dimensions;
    /// a negative width crops instead.
    ///
    /// # Errors
    /// Another number of borders than dimensions, a crop of more than there is,
    /// or a border that the mode cannot fill: mirrored at most one less than the
    /// size, wrapped at most the size.
    #[track_caller]
    pub fn pad(
        &self,
        x: NodeId,
        borders: &[(i64, i64)],
        padding: Padding,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        if borders.len() != shape.len() {
            let message = format!("{} borders for {} dimensions", borders.len(), shape.len());
            return Err(self.error("pad", &[x], message));
        }
        let mut y = x;
        for (axis, (before, after)) in borders.iter().enumerate() {
            if (*before, *after) == (0, 0) {
                continue;
            }
            y = match padding {
                Padding::Constant(value) => self.pad_constant(y, axis, *before, *after, value)?,
                _ => match sources(shape[axis], *before, *after, padding) {
                    Ok(sources) => self.take_fixed(y, axis, &sources)?,
                    Err(message) => return Err(self.error("pad", &[x], message)),
                },
            };
        }
        Ok(y)
    }

    #[track_caller]
    fn pad_constant(
        &self,
        x: NodeId,
        axis: usize,
        before: i64,
        after: i64,
        value: f64,
    ) -> Result<NodeId, GraphError> {
        let width = |border: i64| usize::try_from(border.unsigned_abs()).unwrap_or(usize::MAX);
        let crop = |border: i64| if border < 0 { width(border) } else { 0 };
        let grow = |border: i64| if border > 0 { width(border) } else { 0 };
        let mut y = x;
        let mut shape = self.shape(x);
        if crop(before) + crop(after) > 0 {
            let kept = shape[axis].checked_sub(crop(before).saturating_add(crop(after)));
            let Some(kept) = kept else {
                let message = format!("cannot crop {} elements so", shape[axis]);
                return Err(self.error("pad", &[x], message));
            };
            y = self.narrow(y, axis, crop(before), 1, kept)?;
            shape[axis] = kept;
        }
        if value == 0.0 && value.is_sign_positive() && grow(before) + grow(after) > 0 {
            let size = shape[axis].saturating_add(grow(before)).saturating_add(grow(after));
            return self.embed(y, axis, grow(before), 1, size);
        }
        let mut parts = Vec::new();
        for (part, border) in [(None, before), (Some(y), 0), (None, after)] {
            if let Some(part) = part {
                parts.push(part);
            } else if border > 0 {
                shape[axis] = grow(border);
                let value = self.scalar(value)?;
                parts.push(self.expand(value, &shape)?);
            }
        }
        if parts.len() == 1 { Ok(y) } else { self.concat(&parts, axis) }
    }
}
