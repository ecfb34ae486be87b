//! Constant folding: what depends on constants only is computed once, at
//! compile time, by the same kernels.

use super::Pass;
use crate::graph::{Graph, GraphError};
use crate::op::Source;
use crate::program::{Options, Program};
use crate::state::State;
use speck_kernels::Choice;

pub const PASS: Pass = Pass {
    name: "constant-folding",
    summary: "compute what depends on small constants only at compile time",
    run,
};

/// Folding is for the scalars of an optimizer or a loss. A large constant
/// would cost more memory than the op it saves.
const LARGEST: usize = 4096;

fn run(graph: &Graph, kernels: &Choice) -> Result<Graph, GraphError> {
    super::rebuild(graph, |new, _, node, inputs| {
        let constant =
            |id: &crate::NodeId| matches!(new.node(*id).op.source(), Some(Source::Constant(_)));
        let foldable =
            !inputs.is_empty() && node.ty.elements() <= LARGEST && inputs.iter().all(constant);
        let folded = if foldable { evaluate(new, node, inputs, kernels) } else { None };
        match folded {
            Some(tensor) => new.constant(tensor),
            None => new.append_shared(node.op.clone(), inputs),
        }
    })
}

/// Runs one node as a program of its own. `None` if it cannot be (a forced
/// variant is checked where the real program is compiled, not here).
fn evaluate(
    graph: &Graph,
    node: &crate::Node,
    inputs: &[crate::NodeId],
    kernels: &Choice,
) -> Option<crate::Tensor> {
    let small = Graph::new(graph.float());
    let mut constants = Vec::new();
    for id in inputs {
        let source = graph.node(*id);
        let Some(Source::Constant(tensor)) = source.op.source() else { return None };
        constants.push(small.constant(tensor.as_ref().clone()).ok()?);
    }
    let value = small.append_shared(node.op.clone(), &constants).ok()?;
    small.output("value", value).ok()?;
    let without = super::ALL.iter().map(|pass| pass.name.to_owned()).collect();
    let options = Options { without, kernels: kernels.clone().on(None), ..Options::default() };
    let mut program = Program::compile(&small, &options).ok()?;
    program.run(&mut State::default()).ok()?;
    program.output("value").ok()
}
