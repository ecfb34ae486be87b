//! Tests that walk the registry of ops: no op can be added without them.

use speck_engine::check;
use speck_engine::op::Gradient;
use speck_engine::{compositions, ops};
use std::collections::HashSet;

/// Ops whose value is given, not computed: they have no kernel and no cases.
const SOURCES: [&str; 3] = ["input", "state", "constant"];

/// Ops that change some rows of their first input in place.
const CHANGE_ROWS: [&str; 2] = ["row_catch_up", "row_update"];

#[test]
fn names_are_unique_and_every_op_is_described() {
    let mut seen = HashSet::new();
    for composition in compositions::all() {
        assert!(seen.insert(composition.name), "two entries are called {}", composition.name);
        assert!(!composition.formula.is_empty(), "{} has no formula", composition.name);
    }
    for op in ops::ALL {
        assert!(seen.insert(op.name), "two entries are called {}", op.name);
        assert!(!op.formula.is_empty(), "{} has no formula", op.name);
        match op.gradient {
            Gradient::Product(text)
            | Gradient::Zero(text)
            | Gradient::Stated(text)
            | Gradient::None(text) => {
                assert!(!text.is_empty(), "{} says nothing of its gradient", op.name);
            }
        }
    }
}

#[test]
fn every_op_has_a_scalar_kernel_and_cases() {
    for op in ops::ALL.iter().filter(|op| !SOURCES.contains(&op.name)) {
        assert!(!(op.cases)().is_empty(), "{} has no cases", op.name);
        let kernels = (op.kernels)();
        assert!(
            ops::ALIASES.contains(&op.name) || !kernels.is_empty(),
            "{} has no kernel",
            op.name
        );
        for kernel in kernels {
            for variants in [&kernel.f32, &kernel.f64] {
                let last = variants.last().map(|variant| variant.name);
                assert_eq!(last, Some("scalar"), "kernel {} of {}", kernel.name, op.name);
            }
        }
    }
}

#[test]
fn derivatives_agree_with_finite_differences() {
    let mut slopes = [0, 0];
    for op in ops::ALL.iter().filter(|op| !matches!(op.gradient, Gradient::Stated(_))) {
        let mut own = 0;
        for (number, case) in (op.cases)().iter().enumerate() {
            let checked = check::gradients::check(case, number as u64 + 1)
                .unwrap_or_else(|error| panic!("{}: {error}", op.name));
            own += checked.first;
            slopes[0] += checked.first;
            slopes[1] += checked.second;
        }
        // An op with a gradient must have had it checked.
        assert!(
            own > 0 || !matches!(op.gradient, Gradient::Product(_)),
            "no derivative of {} was checked",
            op.name
        );
    }
    println!("{} first-order and {} second-order slopes", slopes[0], slopes[1]);
    assert!(slopes[0] > 500 && slopes[1] > 500);
}

#[test]
fn derivatives_of_compositions_agree_with_finite_differences() {
    for composition in compositions::all() {
        let cases = (composition.cases)();
        assert!(!cases.is_empty(), "{} has no cases", composition.name);
        if composition.stated.is_some() {
            continue;
        }
        for (number, case) in cases.iter().enumerate() {
            check::gradients::check(case, number as u64 + 1)
                .unwrap_or_else(|error| panic!("{}: {error}", composition.name));
        }
    }
}

#[test]
fn rules_of_compositions_hold_by_value() {
    for composition in compositions::all() {
        let Some(rule) = &composition.rule else { continue };
        let values = (rule.values)();
        assert!(!values.is_empty(), "{} states a rule and shows nothing", composition.name);
        for expectation in &values {
            check::values::check(expectation)
                .unwrap_or_else(|error| panic!("{}: {error}", composition.name));
        }
    }
}

#[test]
fn every_variant_agrees_with_scalar() {
    let mut checked = HashSet::new();
    for op in ops::ALL {
        for (number, case) in (op.cases)().iter().enumerate() {
            let names = check::variants::check(op, case, number as u64 + 1)
                .unwrap_or_else(|error| panic!("{}: {error}", op.name));
            checked.extend(names);
        }
    }
    // Every supported variant of every kernel an op uses has run.
    for kernel in ops::ALL.iter().flat_map(|op| (op.kernels)()) {
        for variant in kernel.f32.iter().filter(|variant| variant.refused.is_none()) {
            let name = format!("{}:{}", kernel.name, variant.name);
            assert!(checked.contains(&name), "{name} was never run");
        }
    }
}

#[test]
fn every_kernel_belongs_to_an_op() {
    let used: HashSet<_> =
        ops::ALL.iter().flat_map(|op| (op.kernels)()).map(|kernel| kernel.name).collect();
    for kernel in speck_engine::kernels::all() {
        assert!(used.contains(kernel.name), "no op uses kernel {}", kernel.name);
    }
}

#[test]
fn costs_are_given() {
    for op in ops::ALL.iter().filter(|op| !ops::ALIASES.contains(&op.name)) {
        for case in (op.cases)() {
            let graph = speck_engine::Graph::new(speck_engine::DType::F32);
            let inputs: Vec<_> = case
                .inputs
                .iter()
                .enumerate()
                .map(|(i, (shape, draw))| {
                    graph.input(&i.to_string(), draw.dtype(graph.float()), shape).unwrap()
                })
                .collect();
            let output = (case.build)(&graph, &inputs).unwrap();
            let node = graph.node(output);
            let types: Vec<_> = node.inputs.iter().map(|id| graph.ty(*id)).collect();
            let cost = node.op.cost(&types.iter().collect::<Vec<_>>(), &node.ty);
            let bytes = node.ty.bytes() as u64;
            if CHANGE_ROWS.contains(&op.name) {
                assert!((1..=bytes).contains(&cost.written), "{}: {}", op.name, case.name);
            } else {
                assert_eq!(cost.written, bytes, "{}: {}", op.name, case.name);
            }
        }
    }
}
