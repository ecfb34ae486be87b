//! Whether a program is rewritten, and what is predicted of it.

use crate::graph::{Graph, GraphError, Node};

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

impl Mode {
    /// The graph that `build` makes, which is told whether to rewrite it; of two
    /// graphs the one of less work.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn choose<T, E: From<GraphError>>(
        self,
        build: impl Fn(bool) -> Result<T, E>,
        graph: impl Fn(&T) -> &Graph,
    ) -> Result<T, E> {
        if self != Mode::Auto {
            return build(self == Mode::Structured);
        }
        let (dense, structured) = (build(false)?, build(true)?);
        let cheaper = predicted(graph(&structured))? < predicted(graph(&dense))?;
        Ok(if cheaper { structured } else { dense })
    }
}

/// Bytes that take as long to move as one operation takes to do, on machines
/// whose copy bandwidth in bytes is a tenth of their operations a second.
const OPERATIONS_A_BYTE: u64 = 10;

/// The work of a graph, in operations; moved bytes count as ten.
fn predicted(graph: &Graph) -> Result<u64, GraphError> {
    let live = crate::passes::cleaned(graph)?;
    let inner = live.inner();
    let cost = |node: &Node| {
        let types: Vec<_> = node.inputs.iter().map(|id| &inner.nodes[id.index()].ty).collect();
        let cost = node.op.cost(&types, &node.ty);
        cost.flops.max(OPERATIONS_A_BYTE * (cost.read + cost.written))
    };
    Ok(inner.nodes.iter().map(cost).sum())
}
