//! The printed form of a program.

use super::Program;
use crate::graph::{Graph, Node};
use crate::op::Cost;
use std::collections::HashMap;
use std::fmt;

/// What the print needs of the compiled graph.
pub(crate) struct Listing {
    nodes: Vec<Node>,
    costs: Vec<Cost>,
    /// The nodes of each step.
    units: Vec<Vec<usize>>,
    labels: Vec<String>,
    places: Vec<String>,
    arena_bytes: usize,
    updates: Vec<(String, usize)>,
    outputs: Vec<(String, usize)>,
}

impl Listing {
    pub fn new(
        graph: &Graph,
        units: Vec<Vec<usize>>,
        labels: Vec<String>,
        places: Vec<String>,
        arena_bytes: usize,
    ) -> Self {
        let inner = graph.inner();
        let nodes = inner.nodes.clone();
        let cost = |node: &Node| {
            let types: Vec<_> = node.inputs.iter().map(|id| &nodes[id.index()].ty).collect();
            node.op.cost(&types, &node.ty)
        };
        let costs = nodes.iter().map(cost).collect();
        let updates = inner.updates.iter();
        let updates = updates.map(|(slot, id)| (inner.states[*slot].name.clone(), id.index()));
        let updates = updates.collect();
        let outputs = inner.outputs.iter().map(|(name, id)| (name.clone(), id.index())).collect();
        Listing { costs, units, labels, places, arena_bytes, updates, outputs, nodes }
    }

    /// Kernel, path and work of a step; steps past the units copy new state.
    pub fn step(&self, index: usize) -> (String, String, Cost) {
        let Some(unit) = self.units.get(index) else {
            return ("copy".to_owned(), "state".to_owned(), Cost::default());
        };
        let mut cost = Cost::default();
        unit.iter().for_each(|node| cost += self.costs[*node]);
        let kernels: Vec<_> = unit.iter().map(|node| self.labels[*node].as_str()).collect();
        let path = self.nodes[unit[0]].path.to_string();
        (kernels.join("+"), path, cost)
    }

    pub fn total(&self) -> Cost {
        let mut total = Cost::default();
        self.units.iter().flatten().for_each(|node| total += self.costs[*node]);
        total
    }
}

impl fmt::Display for Program {
    /// One line a node: name, op with attributes and inputs, type, layer path,
    /// work, kernel, place in memory, source line. Nodes of one element-wise
    /// group are joined by a bar at the left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = &self.listing;
        let mut group: HashMap<usize, char> = HashMap::new();
        for unit in listing.units.iter().filter(|unit| unit.len() > 1) {
            for node in unit {
                group.insert(*node, '│');
            }
            group.insert(unit[0], '┌');
            group.insert(unit[unit.len() - 1], '└');
        }
        for (index, node) in listing.nodes.iter().enumerate() {
            let bar = group.get(&index).unwrap_or(&' ');
            write!(f, "{bar} ")?;
            crate::graph::write_node(f, index, node)?;
            if !listing.labels[index].is_empty() && listing.labels[index] != "alias" {
                let cost = &listing.costs[index];
                let work = [
                    quantity(cost.flops as f64, "FLOP"),
                    quantity((cost.read + cost.written) as f64, "B"),
                ];
                write!(f, "  {}  {}", work.join(" "), listing.labels[index])?;
            }
            if !listing.places[index].is_empty() {
                write!(f, "  [{}]", listing.places[index])?;
            }
            writeln!(f, "  {}:{}", node.location.file(), node.location.line())?;
        }
        for (name, id) in &listing.updates {
            writeln!(f, "  {name} <- %{id}")?;
        }
        for (name, id) in &listing.outputs {
            writeln!(f, "  output {name} = %{id}")?;
        }
        let total = listing.total();
        writeln!(
            f,
            "  {} nodes in {} steps, {}, {} moved by nodes, arena {}",
            listing.nodes.len(),
            self.steps(),
            quantity(total.flops as f64, "FLOP"),
            quantity((total.read + total.written) as f64, "B"),
            quantity(listing.arena_bytes as f64, "B"),
        )
    }
}

/// A number with a decimal prefix: `13.1 MFLOP`.
pub fn quantity(value: f64, unit: &str) -> String {
    let (scale, prefix) = match value {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e3 => (1e3, "k"),
        _ => return format!("{value} {unit}"),
    };
    format!("{:.1} {prefix}{unit}", value / scale)
}
