//! Which products head the groups that read them; see `head.rs`.

use super::compile::{Planner, Unit};
use crate::op::Lowered;
use std::collections::{HashMap, HashSet};

/// Fewest elements of a product whose group is joined to it: two of a group's
/// parts, 256 KiB. What is smaller is still in the second-level cache when the
/// product is done.
const FEWEST: usize = 1 << 16;

impl Planner<'_> {
    /// Joins each group to the product right before it, if it reads that element
    /// for element.
    pub fn join_heads(&mut self) {
        let mut units: Vec<Unit> = Vec::with_capacity(self.units.len());
        for unit in std::mem::take(&mut self.units) {
            match units.last_mut() {
                Some(before) if self.heads(before, &unit) => {
                    before.nodes.extend(unit.nodes);
                    before.group = unit.group;
                }
                _ => units.push(unit),
            }
        }
        for (number, unit) in units.iter().enumerate() {
            for index in &unit.nodes {
                self.unit_of[*index] = Some(number);
            }
        }
        self.units = units;
    }

    fn heads(&self, before: &Unit, unit: &Unit) -> bool {
        let (None, [head], Some(common)) = (&before.group, &before.nodes[..], &unit.group) else {
            return false;
        };
        let reports =
            matches!(&self.lowered[*head], Some(Lowered::Routine(routine)) if routine.reports);
        let ty = &self.nodes[*head].ty;
        if !reports || ty.dtype != common.dtype || ty.elements() != common.total {
            return false;
        }
        let mut read = false;
        for index in &unit.nodes {
            for (place, input) in self.nodes[*index].inputs.iter().enumerate() {
                if self.root[input.index()] == *head {
                    read = true;
                    // What a member reads stretched need not be finished; of as
                    // many elements as the group has, none is.
                    let pattern = self.patterns[*index].get(place);
                    if pattern.is_some_and(|pattern| !pattern.is_full()) {
                        return false;
                    }
                }
            }
        }
        read && common.total >= FEWEST
    }

    /// The product that heads a unit.
    pub fn head_of(&self, unit: usize) -> Option<usize> {
        let unit = &self.units[unit];
        let first = *unit.nodes.first().filter(|_| unit.group.is_some())?;
        matches!(self.lowered[first], Some(Lowered::Routine(_))).then_some(first)
    }

    /// Products that lie in the memory of a member's value: those that only
    /// members read, none of them after that one.
    pub fn heads_within(
        &self,
        last: &HashMap<usize, usize>,
        tiles: &HashMap<usize, usize>,
    ) -> HashMap<usize, usize> {
        let mut within = HashMap::new();
        for (number, unit) in self.units.iter().enumerate() {
            let Some(head) = self.head_of(number) else { continue };
            let readers = self.readers(head);
            let local =
                last.get(&head) == Some(&number) && !self.updates.in_slot.contains_key(&head);
            let Some(reader) = readers.last().filter(|_| local) else { continue };
            let member = unit.nodes[1..].iter().find(|index| {
                *index >= reader
                    && matches!(self.lowered[**index], Some(Lowered::Pointwise(_)))
                    && !tiles.contains_key(*index)
                    && !self.updates.in_slot.contains_key(*index)
                    // As large as the product.
                    && self.nodes[**index].ty.dtype == self.nodes[head].ty.dtype
            });
            within.extend(member.map(|member| (head, *member)));
        }
        within
    }

    /// Products that need no memory: those that only members of their group read, and
    /// whose kernels pass on what they have finished. A sum is made of whole parts,
    /// which must be somewhere until they are complete.
    pub fn heads_passed(
        &self,
        last: &HashMap<usize, usize>,
        within: &HashMap<usize, usize>,
    ) -> HashSet<usize> {
        let heads = self.units.iter().enumerate().filter_map(|(number, unit)| {
            let head = self.head_of(number)?;
            let passes = matches!(&self.lowered[head], Some(Lowered::Routine(r)) if r.passes);
            let local = last.get(&head) == Some(&number)
                && self.readers(head).iter().all(|reader| self.unit_of[*reader] == Some(number))
                && !self.updates.in_slot.contains_key(&head)
                && !within.contains_key(&head);
            let is_sum = |index: &usize| matches!(self.lowered[*index], Some(Lowered::Folding(_)));
            (passes && local && !unit.nodes.iter().any(is_sum)).then_some(head)
        });
        heads.collect()
    }
}
