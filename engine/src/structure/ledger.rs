//! What each op costs, against what it costs where every position is computed.

use crate::graph::Graph;
use crate::op::Cost;
use crate::passes;
use crate::program::CompileError;
use speck_kernels::Choice;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The work of one op of the model, forward or backward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path of its layer.
    pub path: Arc<str>,
    /// Its name.
    pub op: &'static str,
    /// Whether this is its gradient.
    pub backward: bool,
    /// The work of the dense program.
    pub dense: Cost,
    /// The work that is executed.
    pub executed: Cost,
}

/// The work of all ops that have any, in the order of the dense program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The ops; those of one name in one layer are one.
    pub entries: Vec<Entry>,
}

impl Ledger {
    /// Of a program's graph, against the dense one of the same function; both as
    /// the passes leave them.
    ///
    /// # Errors
    /// A defect of a pass.
    pub fn new(dense: &Graph, executed: &Graph, kernels: &Choice) -> Result<Self, CompileError> {
        let mut ledger = Ledger::default();
        let mut known = HashMap::new();
        for (graph, is_dense) in [(dense, true), (executed, false)] {
            let graph = passes::run(graph, &[], kernels)?;
            let inner = graph.inner();
            for node in &inner.nodes {
                let types: Vec<_> =
                    node.inputs.iter().map(|id| &inner.nodes[id.index()].ty).collect();
                let cost = node.op.cost(&types, &node.ty);
                if cost == Cost::default() {
                    continue;
                }
                let at = *known.entry(node.serves.clone()).or_insert_with(|| {
                    ledger.entries.push(Entry {
                        path: node.serves.path.clone(),
                        op: node.serves.op,
                        backward: node.serves.backward,
                        dense: Cost::default(),
                        executed: Cost::default(),
                    });
                    ledger.entries.len() - 1
                });
                let entry = &mut ledger.entries[at];
                *(if is_dense { &mut entry.dense } else { &mut entry.executed }) += cost;
            }
        }
        Ok(ledger)
    }

    /// The sums of both: dense and executed.
    pub fn total(&self) -> [Cost; 2] {
        let mut total = [Cost::default(); 2];
        for entry in &self.entries {
            total[0] += entry.dense;
            total[1] += entry.executed;
        }
        total
    }
}

/// What is not executed of what the dense program does; below 0 where more is.
pub fn skipped(dense: u64, executed: u64) -> f64 {
    if dense == 0 { 0.0 } else { 1.0 - executed as f64 / dense as f64 }
}

fn moved(cost: Cost) -> u64 {
    cost.read + cost.written
}

impl fmt::Display for Ledger {
    /// A table: of each op the FLOPs and bytes of the dense program, those
    /// executed, and the share skipped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>12} {:>12} {:>8}   {:>11} {:>11} {:>8}  op",
            "FLOP dense", "executed", "skipped", "B dense", "executed", "skipped"
        )?;
        let quantity = |value: u64, unit| crate::program::quantity(value as f64, unit);
        let line = |f: &mut fmt::Formatter<'_>, dense: Cost, executed: Cost, name: &str| {
            let share = |dense, executed| match (dense, executed) {
                (0, 0) => String::new(),
                (0, _) => "added".to_owned(),
                _ => format!("{:.1}%", 100.0 * skipped(dense, executed)),
            };
            writeln!(
                f,
                "{:>12} {:>12} {:>8}   {:>11} {:>11} {:>8}  {name}",
                quantity(dense.flops, "FLOP"),
                quantity(executed.flops, "FLOP"),
                share(dense.flops, executed.flops),
                quantity(moved(dense), "B"),
                quantity(moved(executed), "B"),
                share(moved(dense), moved(executed)),
            )
        };
        for entry in &self.entries {
            let path = if entry.path.is_empty() { "-" } else { &*entry.path };
            let way = if entry.backward { " ∂" } else { "" };
            line(f, entry.dense, entry.executed, &format!("{path}: {}{way}", entry.op))?;
        }
        let [dense, executed] = self.total();
        line(f, dense, executed, "all")
    }
}
