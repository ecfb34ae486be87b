//! Whether a program is rewritten, and what is predicted of it.

use super::notes::Note;
use crate::graph::{Graph, GraphError, Node};
use std::fmt;

/// Whether a program is rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every pixel of every sample is computed.
    #[default]
    Dense,
    /// What differs from the background is computed, wherever there is a rule.
    Structured,
    /// Whichever of the two is predicted to be cheaper.
    Auto,
}

/// What was decided for a program, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Whether it is rewritten.
    pub structured: bool,
    /// Why.
    pub why: String,
    /// Of a rewritten program, what became of each op on structured values.
    pub notes: Vec<Note>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

/// A graph that was built one way, with the notes of the rewrite.
pub type Built<T> = (T, Vec<Note>);

impl Mode {
    /// What `build` makes, which is told whether to rewrite its graph; of two
    /// the one of less work.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn choose<T, E: From<GraphError>>(
        self,
        build: impl Fn(bool) -> Result<Built<T>, E>,
        graph: impl Fn(&T) -> &Graph,
    ) -> Result<(T, Plan), E> {
        let asked = |structured: bool, why: &str| -> Result<(T, Plan), E> {
            let (made, notes) = build(structured)?;
            Ok((made, Plan { structured, why: why.to_owned(), notes }))
        };
        match self {
            Mode::Dense => return asked(false, "dense, as asked for"),
            Mode::Structured => return asked(true, "structured, as asked for"),
            Mode::Auto => {}
        }
        let (dense, _) = build(false)?;
        let (structured, notes) = build(true)?;
        if notes.is_empty() {
            let why = "dense: nothing depends on rendered specks".to_owned();
            return Ok((dense, Plan { why, ..Plan::default() }));
        }
        let (full, less) = (predicted(graph(&dense))?, predicted(graph(&structured))?);
        let compared = format!(
            "predicted work {less} instead of {full} ({:.1}%)",
            100.0 * less.weight() as f64 / full.weight().max(1) as f64
        );
        if WORTH * less.weight() as f64 <= full.weight() as f64 {
            let why = format!("structured, which is cheaper: {compared}");
            return Ok((structured, Plan { structured: true, why, notes }));
        }
        let why = format!("dense, since structured is hardly cheaper: {compared}");
        Ok((dense, Plan { why, ..Plan::default() }))
    }
}

/// How many times the structured program's work the dense one's must be: its
/// kernels work on smaller pieces. A transformer, of which only the first layers
/// have a rule, saved 3% of its work and lost time.
const WORTH: f64 = 1.25;

/// Bytes that take as long to move as one operation takes to do, on machines
/// whose copy bandwidth in bytes is a tenth of their operations a second.
const OPERATIONS_A_BYTE: u64 = 10;

/// What a graph is predicted to take.
#[derive(Clone, Copy, Default)]
struct Work {
    flops: u64,
    bytes: u64,
    /// Of each node whichever takes longer, in operations.
    longer: u64,
}

impl Work {
    fn weight(self) -> u64 {
        self.longer
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantity = |value: u64, unit| crate::program::quantity(value as f64, unit);
        write!(f, "{} and {}", quantity(self.flops, "FLOP"), quantity(self.bytes, "B"))
    }
}

fn predicted(graph: &Graph) -> Result<Work, GraphError> {
    let live = crate::passes::cleaned(graph)?;
    let inner = live.inner();
    let mut work = Work::default();
    for Node { op, inputs, ty, .. } in &inner.nodes {
        let types: Vec<_> = inputs.iter().map(|id| &inner.nodes[id.index()].ty).collect();
        let cost = op.cost(&types, ty);
        let bytes = cost.read + cost.written;
        work.flops += cost.flops;
        work.bytes += bytes;
        work.longer += cost.flops.max(OPERATIONS_A_BYTE * bytes);
    }
    Ok(work)
}
