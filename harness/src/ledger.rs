//! The plan of a program and the ledger of its work, for JSON and prints.

use serde_json::{Value, json};
use speck_engine::Cost;
use speck_engine::structure::{Held, Ledger, Plan};

/// Whether a program is rewritten, why, and what became of each op.
pub(crate) fn plan(plan: &Plan) -> Value {
    let note = |note: &speck_engine::structure::Note| {
        let mut value = json!({
            "layer": note.path, "op": note.op, "shape": note.shape,
            "structured": matches!(note.held, Held::Structured { .. }),
            "densified": note.held == Held::Densified,
        });
        if let Held::Structured { window, base, map, share } = &note.held {
            value["window"] = json!(window);
            value["base"] = json!(base);
            value["map"] = json!(map);
            value["share"] = json!(share);
        }
        value
    };
    let notes: Vec<_> = plan.notes.iter().map(note).collect();
    json!({"structured": plan.structured, "why": plan.why, "ops": notes})
}

fn cost(cost: Cost) -> Value {
    json!({"flops": cost.flops, "bytes": cost.read + cost.written})
}

/// Of each op, forward and backward, the work of the dense program, what of it is
/// executed, and what is skipped; skipped work is negative where more is done.
pub(crate) fn ledger(ledger: &Ledger) -> Value {
    let row = |dense: Cost, executed: Cost| {
        let less = |dense: u64, executed: u64| dense as i64 - executed as i64;
        let bytes = |cost: Cost| cost.read + cost.written;
        json!({
            "dense": cost(dense),
            "executed": cost(executed),
            "skipped": {
                "flops": less(dense.flops, executed.flops),
                "bytes": less(bytes(dense), bytes(executed)),
            },
        })
    };
    let entry = |entry: &speck_engine::structure::Entry| {
        let mut value = row(entry.dense, entry.executed);
        value["layer"] = json!(&*entry.path);
        value["op"] = json!(entry.op);
        value["backward"] = json!(entry.backward);
        value
    };
    let [dense, executed] = ledger.total();
    let entries: Vec<_> = ledger.entries.iter().map(entry).collect();
    json!({"total": row(dense, executed), "ops": entries})
}
