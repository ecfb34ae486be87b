//! The work of a training step: of each op, what the dense program would do and
//! what is executed.

use maud::{Markup, html};
use serde_json::Value;
use speck_engine::structure::quantity;

use crate::report::data::{Experiment, Group};

/// Ops whose share of the dense and of the executed work is below this are one
/// line together.
const SMALL: f64 = 0.002;

/// The length of a bar that stands for all of the dense work.
const LENGTH: f64 = 100.0;

/// One line: FLOPs and bytes, dense and executed.
struct Line {
    name: String,
    work: [[f64; 2]; 2],
}

impl Line {
    fn read(value: &Value, name: String) -> Option<Line> {
        let number = |path: &str| value.pointer(path)?.as_f64();
        Some(Line {
            name,
            work: [
                [number("/dense/flops")?, number("/executed/flops")?],
                [number("/dense/bytes")?, number("/executed/bytes")?],
            ],
        })
    }
}

fn lines(ledger: &Value) -> Option<Vec<Line>> {
    let total = Line::read(ledger.get("total")?, "all ops".to_owned())?;
    let mut rest = Line { name: "the others".to_owned(), work: [[0.0; 2]; 2] };
    let mut lines = Vec::new();
    for op in ledger.get("ops")?.as_array()? {
        let text = |key: &str| op.get(key).and_then(Value::as_str).unwrap_or_default();
        let way = if op.get("backward") == Some(&Value::Bool(true)) { ", backward" } else { "" };
        let layer = if text("layer").is_empty() { "-" } else { text("layer") };
        let line = Line::read(op, format!("{layer}: {}{way}", text("op")))?;
        let large = (0..2).any(|kind| {
            (0..2).any(|program| line.work[kind][program] > SMALL * total.work[kind][program])
        });
        if large {
            lines.push(line);
            continue;
        }
        for (kind, work) in line.work.iter().enumerate() {
            (0..2).for_each(|program| rest.work[kind][program] += work[program]);
        }
    }
    lines.push(rest);
    lines.insert(0, total);
    Some(lines)
}

/// A bar whose frame is the dense work and whose filling is what is executed of
/// it; with a mark at its end where that is more.
fn bar([dense, executed]: [f64; 2], what: &str, unit: &str) -> Markup {
    let share = if dense > 0.0 { executed / dense } else { 1.0 };
    let label = format!(
        "{} executed of {} in the dense program",
        quantity(executed, unit),
        quantity(dense, unit)
    );
    html! {
        td {
            svg.ledger role="img" aria-label={ (what) ": " (label) } viewBox={ "0 0 " (LENGTH + 4.0) " 8" } {
                title { (label) }
                rect.frame x="0" y="1" width=(LENGTH) height="6" {}
                @if dense > 0.0 || executed > 0.0 {
                    rect.done x="0" y="1" width=(format!("{:.2}", LENGTH * share.min(1.0))) height="6" {}
                }
                @if share > 1.0 && dense > 0.0 { path.done d={ "M" (LENGTH) " 1l4 3l-4 3z" } {} }
            }
        }
        td.v { (quantity(executed, unit)) }
        td.v { @if dense > 0.0 { (format!("{:.2} %", 100.0 * share)) } @else { "added" } }
    }
}

/// The ledgers of all groups that left one.
pub(super) fn ledgers(experiment: &Experiment, phase: &str) -> Markup {
    let artefact = |group: &Group| {
        group.finished(phase).find_map(|(_, phase)| {
            let model = phase.artefact("model")?;
            let why = model.pointer("/plan/why").and_then(Value::as_str).unwrap_or_default();
            Some((why.to_owned(), lines(model.get("ledger")?)?))
        })
    };
    let all: Vec<_> = experiment
        .groups
        .iter()
        .filter_map(|group| artefact(group).map(|found| (&group.name, found)))
        .collect();
    html! { @if !all.is_empty() {
        details.metric {
            summary { "Work: what a training step executes of the dense program" }
            @for (name, (why, lines)) in &all {
                details.program {
                    summary { (name) }
                    p.note {
                        (why) ". A frame is the work of the program that computes every position "
                        "of every sample, its filling what is executed of it."
                    }
                    div.scroll { table.ledger.compact {
                        thead { tr {
                            th scope="col" { "op" }
                            th.left scope="col" colspan="3" { "arithmetic" }
                            th.left scope="col" colspan="3" { "memory moved" }
                        } }
                        tbody { @for line in lines { tr {
                            th scope="row" { (line.name) }
                            (bar(line.work[0], "arithmetic", "FLOP"))
                            (bar(line.work[1], "memory", "B"))
                        } } }
                    } }
                }
            }
        }
    } }
}
