//! What is stored in 16 bits.

use super::parts::small;
use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, Initial, Options, Program, State, TensorType};

/// What [`stored`] gives.
const STORED: [&str; 11] = [
    "kept", "permute", "concat", "gather", "rows", "or zero", "even", "odd", "copy", "product",
    "slot",
];

/// What is stored in 16 bits, moved in every way that there is for it. All moves are
/// exact; whole numbers of so few bits make the product exact, too.
fn stored(dtype: DType) -> Graph {
    let graph = Graph::new(DType::F32);
    let build = || {
        let x = graph.input("x", DType::F32, &[33, 5, 7])?;
        let index = graph.input("index", DType::I32, &[33, 5, 3])?;
        let rows = graph.input("rows", DType::I32, &[9])?;
        let own = graph.store(x, dtype)?;
        let keep = |name: &str, node| graph.output(name, node);
        keep("kept", own)?;
        keep("permute", graph.permute(own, &[2, 0, 1])?)?;
        let one = graph.store(graph.narrow(x, 1, 0, 1, 1)?, dtype)?;
        keep("concat", graph.concat(&[own, one], 1)?)?;
        keep("gather", graph.gather(own, 2, index)?)?;
        keep("rows", graph.index_select(own, 1, rows)?)?;
        keep("or zero", graph.index_select_or_zero(own, 1, rows)?)?;
        keep("even", graph.part(own, 4, 9)?)?;
        keep("odd", graph.part(own, 33, 601)?)?;
        keep("copy", graph.copy(own)?)?;
        let flat = graph.reshape(own, &[33, 35])?;
        keep("product", graph.matmul_with(flat, flat, false, true)?)?;
        let slot = graph.state_of("slot", &TensorType::new(dtype, &[33, 5, 7]), ZERO)?;
        keep("slot", slot)?;
        graph.update(slot, graph.copy(own)?)
    };
    build().expect("the graph");
    graph
}

const ZERO: Initial = Initial::Constant(0.0);

#[test]
fn what_is_stored_in_16_bits_moves_to_the_same_bits() {
    // Widened, the largest value no longer fits into bindings of 4 KiB, nor what is
    // stored itself into those of 2 KiB.
    for most in [u64::MAX, 1 << 12, 1 << 11] {
        let Some(gpu) = small(most) else {
            println!("skipped: moving what is stored in 16 bits, for there is no GPU");
            return;
        };
        for dtype in [DType::F16, DType::Bf16] {
            let whole = most == u64::MAX;
            let [cpu, found] = [None, Some(gpu.clone())].map(|device| {
                let graph = if whole { stored(dtype) } else { stored_in_parts(dtype) };
                let kernels = Choice::default().on(device);
                let options = Options { kernels, poison: true, ..Options::default() };
                let mut program = Program::compile(&graph, &options).expect("a program");
                let mut state = State::initialise(&graph, 1);
                let x = program.input_mut::<f32>("x").expect("an input").iter_mut();
                x.enumerate().for_each(|(i, x)| *x = (i * 37 % 101) as f32 - 50.0);
                let index = program.input_mut::<i32>("index").expect("an input").iter_mut();
                index.enumerate().for_each(|(i, own)| *own = (i % 7) as i32);
                // One is outside.
                let rows = program.input_mut::<i32>("rows").expect("an input");
                let picked = [3, 0, 1, 4, 5, 2, 2, 1, 0];
                rows.copy_from_slice(&picked[..rows.len()]);
                program.run(&mut state).expect("a run");
                program.run(&mut state).expect("a run");
                let names: &[&str] = if whole { &STORED } else { &STORED_IN_PARTS };
                let output = |name: &&str| program.output(name).expect("an output");
                let outputs: Vec<_> = names.iter().map(|name| (*name, output(name))).collect();
                let slot = state.get("slot").expect("a slot").clone();
                outputs.into_iter().chain([("slot", slot)]).collect::<Vec<_>>()
            });
            for ((name, cpu), (_, found)) in cpu.iter().zip(&found) {
                assert_eq!(cpu.ty(), found.ty(), "{name}");
                // What lies outside is NaN, with one bit pattern here and another there.
                let same =
                    |(a, b): (f64, f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                let pairs = cpu.to_f64().into_iter().zip(found.to_f64());
                let wrong = pairs.enumerate().find(|(_, pair)| !same(*pair));
                assert!(wrong.is_none(), "{dtype}, {most} bytes, {name}: {wrong:?}");
            }
        }
    }
}

/// What [`stored_in_parts`] gives.
const STORED_IN_PARTS: [&str; 5] = ["permute", "concat", "gather", "rows", "product"];

/// Of [`stored`] what falls into parts; of the rows of the others none begins where a
/// binding may.
fn stored_in_parts(dtype: DType) -> Graph {
    let graph = Graph::new(DType::F32);
    let build = || {
        // 256 bytes a row, 512 widened.
        let x = graph.input("x", DType::F32, &[12, 8, 16])?;
        let index = graph.input("index", DType::I32, &[12, 8, 16])?;
        let rows = graph.input("rows", DType::I32, &[8])?;
        let own = graph.store(x, dtype)?;
        let keep = |name: &str, node| graph.output(name, node);
        keep("permute", graph.permute(own, &[0, 2, 1])?)?;
        keep("concat", graph.concat(&[own, own], 1)?)?;
        keep("gather", graph.gather(own, 2, index)?)?;
        keep("rows", graph.index_select(own, 1, rows)?)?;
        keep("product", graph.matmul_with(own, own, false, true)?)?;
        let slot = graph.state_of("slot", &TensorType::new(dtype, &[12, 8, 16]), ZERO)?;
        graph.update(slot, graph.copy(own)?)
    };
    build().expect("the graph");
    graph
}
