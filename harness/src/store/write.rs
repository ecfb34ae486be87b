//! Writing a phase in one transaction.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, TransactionBehavior, params};

use super::PhaseResults;

/// Replaces everything that is stored of a phase.
pub(super) fn write_phase(
    connection: &mut Connection,
    run: &str,
    phase: &str,
    results: &PhaseResults,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["scores", "curves", "artefacts", "phases"] {
        transaction
            .execute(&format!("DELETE FROM {table} WHERE run = ?1 AND phase = ?2"), [run, phase])?;
    }
    let finished_at =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    transaction.execute(
        "INSERT INTO phases VALUES (?1, ?2, ?3)",
        params![run, phase, to_sql(finished_at)],
    )?;
    {
        let mut scores =
            transaction.prepare_cached("INSERT OR REPLACE INTO scores VALUES (?,?,?,?,?,?,?)")?;
        for score in &results.scores {
            scores.execute(params![
                run,
                phase,
                score.battery,
                score.cell,
                score.metric,
                number(score.value),
                to_sql(score.cases)
            ])?;
        }
        let mut curves =
            transaction.prepare_cached("INSERT OR REPLACE INTO curves VALUES (?,?,?,?,?)")?;
        for point in &results.curves {
            let value = number(Some(point.value));
            curves.execute(params![run, phase, point.series, to_sql(point.step), value])?;
        }
        let mut artefacts =
            transaction.prepare_cached("INSERT OR REPLACE INTO artefacts VALUES (?,?,?,?)")?;
        for (name, value) in &results.artefacts {
            artefacts.execute(params![run, phase, name, value.to_string()])?;
        }
    }
    transaction.commit()
}

/// NaN and nothing are both `NULL`.
fn number(value: Option<f64>) -> SqlValue {
    match value {
        Some(value) if !value.is_nan() => SqlValue::Real(value),
        _ => SqlValue::Null,
    }
}

/// SQLite's integers are signed; the bits are kept, so every value comes back.
pub(super) fn to_sql(value: u64) -> i64 {
    value.cast_signed()
}

/// The inverse of [`to_sql`].
pub(super) fn from_sql(value: i64) -> u64 {
    value.cast_unsigned()
}
