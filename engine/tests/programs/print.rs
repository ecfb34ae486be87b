//! The printed program is what people read: it must tell everything.

use crate::run;
use speck_engine::op::Source;
use speck_engine::{Cost, DType, Graph, GraphError, Initial, Options, Program, State, passes};

fn model() -> Result<Graph, GraphError> {
    let graph = Graph::new(DType::F32);
    let x = graph.input("image", DType::F32, &[2, 12])?;
    let weight = graph.state("encoder.weight", &[4, 12], Initial::Normal { deviation: 1.0 })?;
    let bias = graph.state("encoder.bias", &[4], Initial::Constant(0.5))?;
    let y = graph.scoped("encoder", |graph| {
        graph.scoped("linear", |graph| graph.linear(x, weight, Some(bias)))
    })?;
    let y = graph.scoped("head", |graph| graph.tanh(y))?;
    let squares = graph.square(y)?;
    let loss = graph.sum_all(squares)?;
    let gradient = graph.gradient(loss, &[weight])?[0];
    let change = graph.scale(gradient, 0.1)?;
    graph.update(weight, graph.sub(weight, change)?)?;
    graph.output("loss", loss)?;
    Ok(graph)
}

#[test]
fn a_printed_program_shows_every_op_with_kernel_shape_path_and_line() {
    let graph = model().expect("a graph");
    let (program, _) = run(&graph, &[]);
    let printed = program.to_string();
    for op in ["input", "state", "matmul", "add", "tanh", "square", "sum", "mul", "sub"] {
        assert!(printed.contains(&format!("= {op}(")), "no {op}:\n{printed}");
    }
    for text in [
        "name=image",
        "name=encoder.weight",
        "transpose_b=true",
        ": f32[2,12]",
        ": f32[2,4]",
        ": f32[4,12]",
        "  encoder/linear",
        "  head",
        "∂%",
        "matmul:",
        "tanh:",
        "in place",
        "encoder.weight <- %",
        "output loss = %",
        file!(),
    ] {
        assert!(printed.contains(text), "no `{text}`:\n{printed}");
    }
    let totals = printed.lines().last().expect("totals");
    let steps = format!(" nodes in {} steps, ", program.steps());
    for text in [steps.as_str(), " FLOP", "B moved by nodes, arena "] {
        assert!(totals.contains(text), "no `{text}` in {totals}");
    }
}

#[test]
fn without_passes_a_program_lists_the_nodes_of_its_graph() {
    let graph = model().expect("a graph");
    let without = passes::ALL.iter().map(|pass| pass.name.to_owned()).collect();
    let options = Options { without, ..Options::default() };
    let program = Program::compile(&graph, &options).expect("a program").to_string();
    let graph = graph.to_string();
    let nodes: Vec<_> = graph.lines().filter(|line| line.starts_with('%')).collect();
    assert!(nodes.len() > 10);
    // The program adds work, kernel and place between the node and its line.
    for (node, step) in nodes.iter().zip(program.lines()) {
        let (node, _) = node.rsplit_once("  ").expect("a source line");
        let step = step.trim_start_matches(['┌', '│', '└', ' ']);
        assert!(step.starts_with(node), "{node}\n{step}");
    }
    let updates = graph.lines().filter(|line| line.contains(" <- ") || line.starts_with("output"));
    for line in updates {
        assert!(program.contains(line), "no `{line}` in\n{program}");
    }
}

#[test]
fn every_computed_node_prints_the_variant_it_runs_on() {
    let graph = model().expect("a graph");
    let kernels = speck_engine::kernels::Choice::parse("*:scalar").expect("a choice");
    let options = Options { kernels, ..Options::default() };
    let program = Program::compile(&graph, &options).expect("a program");
    let given = |line: &&str| {
        ["= input(", "= state(", "= constant(", "= reshape("].iter().any(|op| line.contains(op))
    };
    let printed = program.to_string();
    let nodes = printed.lines().filter(|line| line.contains(") ") && line.contains(" : "));
    let computed: Vec<_> = nodes.filter(|line| !given(line)).collect();
    assert!(computed.len() > 5, "{printed}");
    for line in computed {
        assert!(line.contains(":scalar"), "{line}");
        assert!(line.contains("FLOP") && line.contains(" B"), "{line}");
        assert!(line.contains("  [@") || line.contains("  [tile") || line.contains("  [slot"));
    }
}

#[test]
fn the_work_of_a_program_is_that_of_its_steps() {
    let graph = model().expect("a graph");
    let (mut program, mut state) = run(&graph, &[]);
    let timings = program.run_timed(&mut state).expect("a run");
    assert_eq!(timings.len(), program.steps());
    let mut total = Cost::default();
    for timing in &timings {
        total += timing.cost;
        assert!(timing.seconds >= 0.0 && !timing.kernel.is_empty(), "{timing:?}");
    }
    assert_eq!(total, program.cost());
    assert!(timings.iter().any(|timing| timing.path == "encoder/linear"), "{timings:?}");
    // 2 × 12 × 2 × 4 for the product forward, as much for the gradient.
    let products: u64 = timings
        .iter()
        .filter(|timing| timing.kernel.starts_with("matmul"))
        .map(|timing| timing.cost.flops)
        .sum();
    assert_eq!(products, 2 * 192);
}

#[test]
fn timing_a_run_changes_nothing() {
    let graph = model().expect("a graph");
    let [mut plain, mut timed] = [0; 2].map(|_| State::initialise(&graph, 9));
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    program.run(&mut plain).expect("a run");
    program.run_timed(&mut timed).expect("a run");
    assert!(plain.iter().eq(timed.iter()));
}

#[test]
fn sources_say_what_they_are() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let c = graph.scalar(2.5).expect("a constant");
    assert!(matches!(graph.node(x).op.source(), Some(Source::Input("x"))));
    assert!(matches!(graph.node(c).op.source(), Some(Source::Constant(_))));
    assert!(graph.to_string().contains("constant() value=2.5 : f32[]"), "{graph}");
}
