//! Einstein sums.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[Composition::new(
    "einsum",
    "y = Σ of products of elements over the labels that the output does not name",
    || {
        vec![
            Case::new("matrices", &[(&[2, 3], DRAW), (&[3, 4], DRAW)], |graph, x| {
                graph.einsum("ij,jk->ik", x)
            }),
            Case::new(
                "bilinear",
                &[(&[2, 3], DRAW), (&[4, 3, 2], DRAW), (&[2, 2], DRAW)],
                |graph, x| graph.einsum("bn,anm,bm->ba", x),
            ),
            Case::new("diagonals", &[(&[2, 3, 2, 3], DRAW)], |graph, x| {
                graph.einsum("ijij->ji", x)
            }),
            Case::new("trace", &[(&[3, 3], DRAW)], |graph, x| graph.einsum("ii", x)),
            Case::new(
                "ellipsis",
                &[(&[2, 1, 2, 3], DRAW), (&[3, 3, 2], DRAW)],
                |graph, x| graph.einsum("...ik, ...kj", x),
            ),
            Case::new("batch and outer", &[(&[2, 3], DRAW), (&[2, 4], DRAW)], |graph, x| {
                graph.einsum("bi,bj->jbi", x)
            }),
            Case::new("summed alone", &[(&[2, 3], DRAW), (&[4, 5], DRAW)], |graph, x| {
                graph.einsum("ij,kl->il", x)
            }),
        ]
    },
)
.rule(
    "without an output the labels named once are it, after the ellipsis, in the order A to Z, a to z; a size of 1 stretches; a sum over nothing is 0",
    || {
        let matrix = || Tensor::from_f64(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        vec![
            Expectation::new(
                "implicit order",
                vec![matrix()],
                |graph, x| graph.einsum("ba", x),
                &[1.0, 3.0, 2.0, 4.0],
            ),
            Expectation::new(
                "a capital comes first",
                vec![matrix()],
                |graph, x| graph.einsum("aB", x),
                &[1.0, 3.0, 2.0, 4.0],
            ),
            Expectation::new(
                "a size of 1 stretches",
                vec![matrix(), Tensor::from_f64(&[1], vec![10.0])],
                |graph, x| graph.einsum("ij,j->i", x),
                &[30.0, 70.0],
            )
            .gradients(&[&[10.0; 4], &[10.0]]),
            Expectation::new(
                "a sum over nothing",
                vec![Tensor::from_f64(&[2, 0], vec![]), Tensor::from_f64(&[0], vec![])],
                |graph, x| graph.einsum("ij,j->i", x),
                &[0.0, 0.0],
            ),
        ]
    },
)];

/// A label of a dimension: a letter, or a place in the ellipsis, counted from
/// its end, since that is where sizes are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(std::cmp::Reverse<usize>),
    // Capitals before small letters, as in ASCII.
    Letter(char),
}

/// One side of an equation: letters, and where the ellipsis stands.
struct Term {
    before: Vec<Label>,
    ellipsis: bool,
    after: Vec<Label>,
}

impl Term {
    fn parse(text: &str) -> Result<Term, String> {
        let mut term = Term { before: Vec::new(), ellipsis: false, after: Vec::new() };
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let side = if term.ellipsis { &mut term.after } else { &mut term.before };
            match c {
                ' ' => {}
                'a'..='z' | 'A'..='Z' => side.push(Label::Letter(c)),
                '.' if !term.ellipsis && rest.next() == Some('.') && rest.next() == Some('.') => {
                    term.ellipsis = true;
                }
                _ => return Err(format!("`{text}` is no list of labels")),
            }
        }
        Ok(term)
    }

    fn letters(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// All labels, with an ellipsis of `rank` dimensions.
    fn labels(&self, rank: usize) -> Vec<Label> {
        let middle = if self.ellipsis { rank } else { 0 };
        let middle = (0..middle).rev().map(|place| Label::Ellipsis(std::cmp::Reverse(place)));
        self.before.iter().copied().chain(middle).chain(self.after.iter().copied()).collect()
    }
}

/// A tensor with a label for each of its dimensions, all different.
#[derive(Clone)]
struct Labelled {
    node: NodeId,
    labels: Vec<Label>,
}

/// What an equation says, once it is known to fit its operands.
struct Plan {
    operands: Vec<Vec<Label>>,
    output: Vec<Label>,
    sizes: BTreeMap<Label, usize>,
}

fn plan(equation: &str, shapes: &[Vec<usize>]) -> Result<Plan, String> {
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(Term::parse(right)?)),
        None => (equation, None),
    };
    let terms: Vec<Term> = left.split(',').map(Term::parse).collect::<Result<_, _>>()?;
    if terms.len() != shapes.len() {
        return Err(format!("`{equation}` is of {} operands, not {}", terms.len(), shapes.len()));
    }
    let mut sizes = BTreeMap::new();
    let mut uses: BTreeMap<Label, usize> = BTreeMap::new();
    let mut operands = Vec::new();
    let mut most = 0;
    for (term, shape) in terms.iter().zip(shapes) {
        let hidden = shape.len().checked_sub(term.letters());
        let Some(hidden) = hidden.filter(|hidden| term.ellipsis || *hidden == 0) else {
            return Err(format!("`{equation}` does not name the dimensions of {shape:?}"));
        };
        if term.ellipsis {
            most = most.max(hidden);
        }
        let labels = term.labels(hidden);
        for (i, (label, size)) in labels.iter().zip(shape).enumerate() {
            if let Some(twin) = labels[..i].iter().position(|other| other == label) {
                if shape[twin] != *size {
                    return Err(format!("a diagonal of sizes {} and {size}", shape[twin]));
                }
            }
            let known = sizes.entry(*label).or_insert(*size);
            if *known == 1 {
                *known = *size;
            } else if *size != 1 && *known != *size {
                return Err(format!("one label has the sizes {known} and {size}"));
            }
            *uses.entry(*label).or_default() += 1;
        }
        operands.push(labels);
    }
    let output = match right {
        Some(term) => term.labels(most),
        None => {
            let shown = |(label, count): &(&Label, &usize)| {
                matches!(label, Label::Ellipsis(_)) || **count == 1
            };
            uses.iter().filter(shown).map(|(label, _)| *label).collect()
        }
    };
    for (i, label) in output.iter().enumerate() {
        if !sizes.contains_key(label) || output[..i].contains(label) {
            return Err(format!("the output of `{equation}` names no label, or one twice"));
        }
    }
    Ok(Plan { operands, output, sizes })
}

impl Graph {
    /// The Einstein sum of `equation`, such as `bij,bjk->bik`: a label in
    /// several places runs through them together, labels that the output lacks
    /// are summed over, `...` stands for the dimensions that have no label and
    /// broadcast. A label twice in one operand takes its diagonal. Without
    /// `->`, the output has the labels that are named once, sorted.
    ///
    /// Operands are contracted from left to right, two at a time, as batched
    /// matrix products; what only one of the two names is summed before.
    ///
    /// # Errors
    /// An equation that does not parse or does not fit the operands.
    #[track_caller]
    pub fn einsum(&self, equation: &str, operands: &[NodeId]) -> Result<NodeId, GraphError> {
        let shapes: Vec<_> = operands.iter().map(|x| self.shape(*x)).collect();
        let plan = match plan(equation, &shapes) {
            Ok(plan) => plan,
            Err(message) => return Err(self.error("einsum", operands, message)),
        };
        let mut parts = Vec::new();
        for (node, labels) in operands.iter().zip(&plan.operands) {
            parts.push(self.distinct_labels(*node, labels, &plan.sizes)?);
        }
        let mut parts = parts.into_iter();
        let Some(mut done) = parts.next() else {
            return Err(self.error("einsum", operands, "there are no operands".to_owned()));
        };
        while let Some(next) = parts.next() {
            let needed = |label: &Label| {
                plan.output.contains(label)
                    || parts.as_slice().iter().any(|part| part.labels.contains(label))
            };
            let first =
                self.sum_labels(&done, |label| needed(label) || next.labels.contains(label))?;
            let second =
                self.sum_labels(&next, |label| needed(label) || done.labels.contains(label))?;
            done = self.contract(&first, &second, needed)?;
        }
        let done = self.sum_labels(&done, |label| plan.output.contains(label))?;
        let ordered = self.ordered(&done, &plan.output)?;
        let sizes: Vec<_> = plan.output.iter().map(|label| plan.sizes[label]).collect();
        self.reshape(ordered, &sizes)
    }

    /// `x` with each label once: diagonals where one is repeated, and without
    /// the dimensions of size 1 that stretch, which multiplication restores.
    #[track_caller]
    fn distinct_labels(
        &self,
        x: NodeId,
        labels: &[Label],
        sizes: &BTreeMap<Label, usize>,
    ) -> Result<Labelled, GraphError> {
        let mut part = Labelled { node: x, labels: labels.to_vec() };
        while let Some((first, second)) = twins(&part.labels) {
            // The two last and merged: the diagonal is every (n + 1)th element.
            let shape = self.shape(part.node);
            let mut order: Vec<_> =
                (0..shape.len()).filter(|axis| *axis != first && *axis != second).collect();
            let rest: Vec<_> = order.iter().map(|axis| shape[*axis]).collect();
            let kept: Vec<_> = order.iter().map(|axis| part.labels[*axis]).collect();
            order.extend([first, second]);
            let n = shape[first];
            let moved = self.permute(part.node, &order)?;
            let flat = self.reshape(moved, &[&rest[..], &[n * n]].concat())?;
            part.node = self.narrow(flat, rest.len(), 0, n + 1, n)?;
            part.labels = [&kept[..], &[part.labels[first]]].concat();
        }
        let shape = self.shape(part.node);
        let stays = |i: &usize| shape[*i] != 1 || sizes[&part.labels[*i]] == 1;
        let stay: Vec<_> = (0..shape.len()).filter(stays).collect();
        let kept: Vec<_> = stay.iter().map(|i| shape[*i]).collect();
        let labels = stay.iter().map(|i| part.labels[*i]).collect();
        Ok(Labelled { node: self.reshape(part.node, &kept)?, labels })
    }

    /// `part` summed over the labels that are not `kept`.
    #[track_caller]
    fn sum_labels(
        &self,
        part: &Labelled,
        kept: impl Fn(&Label) -> bool,
    ) -> Result<Labelled, GraphError> {
        let axes: Vec<_> = (0..part.labels.len()).filter(|i| !kept(&part.labels[*i])).collect();
        let labels = part.labels.iter().filter(|label| kept(label)).copied().collect();
        Ok(Labelled { node: self.sum(part.node, &axes)?, labels })
    }

    /// The product of two parts, summed over the labels both have and nothing
    /// else needs.
    #[track_caller]
    fn contract(
        &self,
        a: &Labelled,
        b: &Labelled,
        needed: impl Fn(&Label) -> bool,
    ) -> Result<Labelled, GraphError> {
        let (shared, rows): (Vec<Label>, Vec<Label>) =
            a.labels.iter().partition(|label| b.labels.contains(label));
        let columns: Vec<_> =
            b.labels.iter().filter(|label| !a.labels.contains(label)).copied().collect();
        let (batch, inner): (Vec<Label>, Vec<Label>) = shared.iter().partition(|l| needed(l));
        let left = self.ordered(a, &[&batch[..], &rows, &inner].concat())?;
        let right = self.ordered(b, &[&batch[..], &inner, &columns].concat())?;
        let [shape_a, shape_b] = [self.shape(left), self.shape(right)];
        let batch_sizes = &shape_a[..batch.len()];
        let row_sizes = &shape_a[batch.len()..batch.len() + rows.len()];
        let column_sizes = &shape_b[batch.len() + inner.len()..];
        let count = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (n, m, k) = (
            count(batch_sizes),
            count(row_sizes),
            count(&shape_b[batch.len()..batch.len() + inner.len()]),
        );
        let left = self.reshape(left, &[n, m, k])?;
        let right = self.reshape(right, &[n, k, count(column_sizes)])?;
        // Without a sum the product is elementwise: a column times a row.
        let product =
            if inner.is_empty() { self.mul(left, right)? } else { self.matmul(left, right)? };
        let sizes = [batch_sizes, row_sizes, column_sizes].concat();
        let node = self.reshape(product, &sizes)?;
        Ok(Labelled { node, labels: [batch, rows, columns].concat() })
    }

    /// `part` with its dimensions in another order of labels.
    #[track_caller]
    fn ordered(&self, part: &Labelled, order: &[Label]) -> Result<NodeId, GraphError> {
        if part.labels == order {
            return Ok(part.node);
        }
        let places: Vec<_> = order
            .iter()
            .filter_map(|label| part.labels.iter().position(|other| other == label))
            .collect();
        self.permute(part.node, &places)
    }
}

/// Two places with one label.
fn twins(labels: &[Label]) -> Option<(usize, usize)> {
    labels.iter().enumerate().find_map(|(i, label)| {
        labels[i + 1..].iter().position(|other| other == label).map(|j| (i, i + 1 + j))
    })
}
