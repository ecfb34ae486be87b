//! Values stored in 16 bits: what is exact, what is rounded, where, and what is
//! refused.

use crate::{poisoned, run};
use proptest::prelude::*;
use speck_engine::kernels::Choice;
use speck_engine::ops::Window;
use speck_engine::{
    Bf16, DType, F16, Graph, GraphError, Initial, NodeId, Options, Program, RunError, State,
    Tensor, TensorType, passes,
};

const BOTH: [DType; 2] = [DType::F16, DType::Bf16];

/// `n` values between -2 and 2, others for each seed.
fn values(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 4001) as f64 / 1000.25 - 2.0).collect()
}

fn rounded(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => F16::of(value).wide(),
        _ => Bf16::of(value).wide(),
    }
}

/// The largest relative error of rounding: half a unit in the last place.
fn unit(dtype: DType) -> f64 {
    if dtype == DType::F16 { 2f64.powi(-11) } else { 2f64.powi(-8) }
}

#[test]
fn tensors_hold_16_bits() {
    for dtype in BOTH {
        let ty = TensorType::new(dtype, &[2, 2]);
        assert_eq!(ty.bytes(), 8);
        let tensor = Tensor::new(&ty, &[1.0, -0.1, 1e9, 0.0]);
        let beyond = if dtype == DType::F16 { f64::INFINITY } else { rounded(1e9, dtype) };
        assert_eq!(tensor.to_f64(), [1.0, rounded(-0.1, dtype), beyond, 0.0]);
        assert_eq!(tensor.bytes().len(), 8);
        assert!(tensor.values::<f32>().is_none());
        assert_eq!(Tensor::zeros(&ty).to_f64(), [0.0; 4]);
    }
    let tensor = Tensor::new(&TensorType::new(DType::F16, &[1]), &[1.0]);
    assert_eq!(tensor.values::<F16>(), Some(&[F16(0x3c00)][..]));
    assert_eq!(TensorType::new(DType::Bf16, &[3]).to_string(), "bf16[3]");
}

/// Through a program, with every variant: widened exactly, and rounded back to the
/// same bits.
#[test]
fn all_patterns_pass_through_a_program() {
    for kernels in ["*:scalar", "*:avx2", "*:avx512", ""] {
        for dtype in BOTH {
            let graph = Graph::new(DType::F32);
            let x = graph.input("x", dtype, &[256, 256]).expect("an input");
            let wide = graph.widen(x).expect("floats");
            graph.output("wide", wide).expect("an output");
            graph.output("back", graph.store(wide, dtype).expect("16 bits")).expect("an output");
            let kernels = Choice::parse(kernels).expect("a choice");
            let options = Options { kernels, ..poisoned(&[]) };
            let mut program = Program::compile(&graph, &options).expect("a program");
            let mut tensor = Tensor::zeros(&TensorType::new(dtype, &[256, 256]));
            let words = tensor.bytes_mut().as_chunks_mut::<2>().0;
            words.iter_mut().zip(0..=u16::MAX).for_each(|(word, bits)| *word = bits.to_ne_bytes());
            program.set_input("x", &tensor).expect("an input");
            program.run(&mut State::default()).expect("a run");
            let wide = program.values::<f32>("wide").expect("values");
            let back = program.output("back").expect("values");
            let pairs = tensor.to_f64().into_iter().zip(back.to_f64());
            for ((want, back), wide) in pairs.zip(wide) {
                let same = |value: f64| value.to_bits() == want.to_bits();
                assert!(want.is_nan() && wide.is_nan() || same(f64::from(*wide)), "{want}");
                assert!(want.is_nan() && back.is_nan() || same(back), "{want} {back}");
            }
        }
    }
}

/// Reads 16 bits, computes in 32, writes 16; with a row broadcast.
fn chain(graph: &Graph, x: NodeId, row: NodeId, to: DType) -> Result<NodeId, GraphError> {
    let y = graph.add(graph.widen(x)?, graph.widen(row)?)?;
    graph.store(graph.relu(graph.mul(y, y)?)?, to)
}

#[test]
fn element_wise_groups_read_and_write_16_bits() {
    let sizes = [[0, 3], [1, 1], [3, 341], [1, 1024], [5, 1031], [70, 2049], [37, 130_001]];
    for (dtype, to) in [(DType::F16, DType::Bf16), (DType::Bf16, DType::F16)] {
        for shape in sizes {
            let graph = Graph::new(DType::F32);
            let x = graph.input("x", dtype, &shape).expect("an input");
            let row = graph.input("row", dtype, &shape[1..]).expect("an input");
            graph.output("y", chain(&graph, x, row, to).expect("a chain")).expect("an output");
            let x = Tensor::new(&TensorType::new(dtype, &shape), &values(shape[0] * shape[1], 1));
            let row = Tensor::new(&TensorType::new(dtype, &shape[1..]), &values(shape[1], 2));
            let evaluate = |without: &[&str], threads| {
                let mut program = Program::compile(&graph, &poisoned(without)).expect("one");
                program.set_input("x", &x).expect("an input");
                program.set_input("row", &row).expect("an input");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let run = || program.run(&mut State::default());
                pool.expect("a pool").install(run).expect("a run");
                (program.output("y").expect("an output"), program.steps())
            };
            let (one, steps) = evaluate(&[], 1);
            // What the row is widened to is as long as a row: a step of its own. Few
            // values that are widened before it are not widened again behind it.
            let most = if shape[0] * shape[1] < 1 << 14 { 3 } else { 2 };
            assert!(steps <= most, "{steps} steps of {shape:?}");
            assert!(one == evaluate(&[], 2).0, "two threads");
            assert!(one == evaluate(&[passes::GROUPS], 1).0, "without groups");
            let (x, row) = (x.to_f64(), row.to_f64());
            for (i, found) in one.to_f64().into_iter().enumerate() {
                let sum = x[i] as f32 + row[i % shape[1]] as f32;
                assert_eq!(found, rounded(f64::from(sum * sum), to), "[{i}]");
            }
        }
    }
}

/// Sums read 16 bits within their group as well.
#[test]
fn sums_read_16_bits() {
    for dtype in BOTH {
        let graph = Graph::new(DType::F32);
        let x = graph.input("x", dtype, &[300, 70]).expect("an input");
        let wide = graph.widen(x).expect("floats");
        graph.output("all", graph.sum_all(wide).expect("a sum")).expect("an output");
        graph.output("rows", graph.sum(wide, &[1]).expect("sums")).expect("an output");
        let x = Tensor::new(&TensorType::new(dtype, &[300, 70]), &values(21_000, 3));
        let (program, _) = run(&graph, &[("x", x.clone())]);
        // The two sums cut their work in different places.
        assert!(program.steps() <= 2);
        let want: f64 = x.to_f64().iter().sum();
        let found = program.output("all").expect("a sum").to_f64()[0];
        assert!((found - want).abs() <= 1e-5 * 21_000.0, "{found} {want}");
        let rows = program.output("rows").expect("sums").to_f64();
        for (found, row) in rows.iter().zip(x.to_f64().chunks(70)) {
            let want: f64 = row.iter().sum();
            assert!((found - want).abs() <= 1e-4, "{found} {want}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A product of rounded operands against the product in f64 of what was not
    /// rounded: two roundings of each product, and those of the sums.
    #[test]
    fn products_keep_their_bound(
        m in 1usize..40, n in 1usize..40, k in 0usize..80,
        transposed in (any::<bool>(), any::<bool>()),
        half in any::<bool>(), seed in 0usize..1000,
    ) {
        let dtype = BOTH[usize::from(half)];
        let graph = Graph::new(DType::F32);
        let shape = |rows, columns, turned| if turned { [columns, rows] } else { [rows, columns] };
        let a = graph.input("a", DType::F32, &shape(m, k, transposed.0)).expect("an input");
        let b = graph.input("b", DType::F32, &shape(k, n, transposed.1)).expect("an input");
        let [x, y] = [a, b].map(|id| graph.store(id, dtype).expect("16 bits"));
        let product = graph.matmul_with(x, y, transposed.0, transposed.1).expect("a product");
        graph.output("y", product).expect("an output");
        let tensors = [(a, 0), (b, 1)].map(|(id, i)| {
            let ty = graph.ty(id);
            Tensor::new(&ty, &values(ty.elements(), seed + i))
        });
        let [a, b] = tensors.clone();
        let (program, _) = run(&graph, &[("a", a), ("b", b)]);
        let [a, b] = tensors.map(|tensor| tensor.to_f64());
        for (at, found) in program.output("y").expect("an output").to_f64().iter().enumerate() {
            let (i, j) = (at / n, at % n);
            let product = |p: usize| {
                let x = if transposed.0 { a[p * m + i] } else { a[i * k + p] };
                x * if transposed.1 { b[j * k + p] } else { b[p * n + j] }
            };
            let want: f64 = (0..k).map(product).sum();
            let magnitude: f64 = (0..k).map(|p| product(p).abs()).sum();
            let roundings = 2.01 * unit(dtype) + 1e-6;
            prop_assert!((found - want).abs() <= roundings * magnitude, "{found} {want}");
        }
    }
}

/// A product, its bias and activation, and what is stored of it, run as one step:
/// the product may not lie where 16 bits are written.
#[test]
fn a_group_behind_a_product_stores_16_bits() {
    for [m, n, k] in [[300, 257, 50], [1030, 70, 31]] {
        for dtype in BOTH {
            let graph = Graph::new(DType::F32);
            let a = graph.input("a", dtype, &[m, k]).expect("an input");
            let b = graph.input("b", dtype, &[n, k]).expect("an input");
            let bias = graph.input("bias", DType::F32, &[n]).expect("an input");
            let y = graph.matmul_with(a, b, false, true).expect("a product");
            let y = graph.relu(graph.add(y, bias).expect("a sum")).expect("relu");
            graph.output("y", graph.store(y, dtype).expect("16 bits")).expect("an output");
            let evaluate = |without: &[&str]| {
                let mut program = Program::compile(&graph, &poisoned(without)).expect("one");
                let inputs: Vec<_> =
                    program.inputs().map(|(name, ty)| (name.to_owned(), ty.clone())).collect();
                for (i, (name, ty)) in inputs.iter().enumerate() {
                    let tensor = Tensor::new(ty, &values(ty.elements(), i));
                    program.set_input(name, &tensor).expect("an input");
                }
                program.run(&mut State::default()).expect("a run");
                (program.output("y").expect("an output"), program.steps())
            };
            let (joined, steps) = evaluate(&[]);
            let (plain, before) = evaluate(&[passes::EPILOGUES]);
            assert!(joined == plain, "{dtype} {m} × {n} × {k}");
            assert!(joined.to_f64().iter().all(|value| value.is_finite()));
            assert!(joined.to_f64().iter().any(|value| *value > 0.0));
            assert!(steps <= before);
        }
    }
}

/// Rounding counts as the identity; a product's gradient is of the rounded operands
/// and the rounded cotangent, and is itself not rounded.
#[test]
fn gradients_pass_through_16_bits() {
    for dtype in BOTH {
        let graph = Graph::new(DType::F32);
        let x = graph.input("x", DType::F32, &[4]).expect("an input");
        let w = graph.input("w", DType::F32, &[4]).expect("an input");
        let stored = graph.store(x, dtype).expect("16 bits");
        let y = graph.mul(graph.widen(stored).expect("floats"), w).expect("a product");
        let loss = graph.sum_all(y).expect("a sum");
        // Of what is stored as well, in the type of the graph.
        let gradients = graph.gradient(loss, &[x, w, stored]).expect("gradients");
        for (name, gradient) in ["x", "w", "stored"].iter().zip(&gradients) {
            assert_eq!(graph.ty(*gradient).dtype, DType::F32);
            graph.output(&format!("to {name}"), *gradient).expect("an output");
        }
        let x = Tensor::from_f32(&[4], vec![0.1, -0.2, 1.0, 3.3]);
        let w = Tensor::from_f32(&[4], vec![1.1, 2.2, -3.3, 0.4]);
        let (program, _) = run(&graph, &[("x", x.clone()), ("w", w.clone())]);
        assert_eq!(program.output("to x").expect("a gradient"), w);
        assert_eq!(program.output("to stored").expect("a gradient"), w);
        let want: Vec<f64> = x.to_f64().iter().map(|x| rounded(*x, dtype)).collect();
        assert_eq!(program.output("to w").expect("a gradient").to_f64(), want);
    }
    let graph = Graph::new(DType::F64);
    let a = graph.input("a", DType::F64, &[2, 3]).expect("an input");
    let b = graph.input("b", DType::F64, &[3, 2]).expect("an input");
    let c = graph.input("c", DType::F64, &[2, 2]).expect("an input");
    let [x, y] = [a, b].map(|id| graph.store(id, DType::Bf16).expect("16 bits"));
    let product = graph.matmul(x, y).expect("a product");
    let gradients = graph.pull_back(product, c, &[a, b]).expect("gradients");
    graph.output("to a", gradients[0]).expect("an output");
    graph.output("to b", gradients[1]).expect("an output");
    let [a, b, c] = [values(6, 1), values(6, 2), values(4, 3)];
    let tensors = [("a", [2, 3], &a), ("b", [3, 2], &b), ("c", [2, 2], &c)];
    let tensors = tensors.map(|(n, shape, v)| (n, Tensor::from_f64(&shape, v.clone())));
    let (program, _) = run(&graph, &tensors);
    let r = |value: f64| rounded(value, DType::Bf16);
    let to_a = program.output("to a").expect("a gradient").to_f64();
    for (at, found) in to_a.iter().enumerate() {
        let (i, p) = (at / 3, at % 3);
        let want = r(c[2 * i]) * r(b[2 * p]) + r(c[2 * i + 1]) * r(b[2 * p + 1]);
        assert!((found - want).abs() <= 1e-12, "{found} {want}");
    }
    let to_b = program.output("to b").expect("a gradient").to_f64();
    for (at, found) in to_b.iter().enumerate() {
        let (p, j) = (at / 2, at % 2);
        let want = r(a[p]) * r(c[j]) + r(a[3 + p]) * r(c[2 + j]);
        assert!((found - want).abs() <= 1e-12, "{found} {want}");
    }
}

#[test]
fn slots_of_the_state_are_stored_in_16_bits() {
    for dtype in BOTH {
        let graph = Graph::new(DType::F32);
        let ty = TensorType::new(dtype, &[1500]);
        let slot = graph.state_of("w", &ty, Initial::Constant(1.5)).expect("a slot");
        graph.output("before", slot).expect("an output");
        let twice = graph.scale(graph.widen(slot).expect("floats"), 2.0).expect("a product");
        graph.update(slot, graph.store(twice, dtype).expect("16 bits")).expect("an update");
        let mut program = Program::compile(&graph, &poisoned(&[])).expect("a program");
        let mut state = State::initialise(&graph, 0);
        for _ in 0..2 {
            program.run(&mut state).expect("a run");
        }
        assert_eq!(program.output("before").expect("a copy").to_f64(), [3.0; 1500]);
        assert_eq!(state.get("w").expect("a slot").to_f64(), [6.0; 1500]);
    }
}

#[test]
fn what_16_bits_can_be_given_is_said() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::Bf16, &[2, 2]).expect("an input");
    let y = graph.input("y", DType::F16, &[2, 2]).expect("an input");
    let z = graph.input("z", DType::F32, &[2, 2]).expect("an input");
    let image = graph.input("image", DType::Bf16, &[1, 1, 2, 2]).expect("an input");
    let weight = graph.input("weight", DType::F32, &[1, 1, 1, 1]).expect("an input");
    let i = graph.input("i", DType::I32, &[2]).expect("an input");
    let cases = [
        (graph.add(x, z), "add", "takes no bf16"),
        (graph.softmax(y, 1), "softmax", "`widen(x)`"),
        (graph.narrow(x, 0, 0, 1, 1), "narrow", "takes no bf16"),
        (graph.concat(&[x, y], 0), "concat_half", "one input is bf16 and another f16"),
        (graph.scatter_add(x, 0, i, 3), "scatter_add", "takes no bf16"),
        (graph.sum_all(y), "sum", "`matmul`, `conv2d`"),
        (graph.matmul(x, z), "matmul_half", "one operand is bf16 and the other f32"),
        (graph.matmul(y, x), "matmul_half", "one operand is f16 and the other bf16"),
        (graph.conv2d(image, weight, Window::default()), "conv2d_half", "`store` the other one"),
        (graph.store(z, DType::F32), "store", "f32 has not 16 bits"),
        (graph.store(x, DType::F16), "store_f16", "takes no bf16"),
        (graph.widen(z), "widen", "is not f16 or bf16"),
        (graph.cast_to(x, DType::F64), "cast", "this graph casts to f32, f16 and bf16"),
    ];
    for (number, (result, op, part)) in cases.into_iter().enumerate() {
        let error = result.expect_err("a refusal");
        assert_eq!(error.op, op, "case {number}");
        assert!(error.to_string().contains(part), "case {number}: {error}");
    }
    // Conversions that there are.
    for (from, to) in [(x, DType::F16), (y, DType::F32), (z, DType::Bf16), (i, DType::F16)] {
        let cast = graph.cast_to(from, to).expect("a conversion");
        assert_eq!(graph.ty(cast).dtype, to);
    }
    // What only names other memory takes 16 bits.
    let flat = graph.reshape(x, &[4]).expect("a vector");
    assert_eq!(graph.ty(graph.part(flat, 1, 2).expect("a part")).dtype, DType::Bf16);
    assert_eq!(graph.cast_to(x, DType::Bf16).expect("itself"), x);

    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F16, &[2]).expect("an input");
    graph.output("x", x).expect("an output");
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    let error = program.set_input("x", &Tensor::from_f32(&[2], vec![0.0; 2])).expect_err("f32");
    assert!(matches!(error, RunError::Type { .. }));
    assert!(error.to_string().contains("f16[2]"), "{error}");
}

/// Moves of 16 bits: each element stays what it is, and what is outside is NaN or 0.
#[test]
fn elements_of_16_bits_are_moved() {
    for dtype in BOTH {
        let graph = Graph::new(DType::F32);
        let x = graph.input("x", dtype, &[3, 2]).expect("an input");
        let rows = graph.input("rows", DType::I32, &[4]).expect("an input");
        let index = graph.input("index", DType::I32, &[1, 2]).expect("an input");
        let turned = graph.permute(x, &[1, 0]).expect("a transpose");
        let both = graph.concat(&[x, x], 1).expect("both");
        for (name, moved) in [
            ("turned", Ok(turned)),
            ("both", Ok(both)),
            ("gathered", graph.gather(x, 0, index)),
            ("rows", graph.index_select(x, 0, rows)),
            ("or zero", graph.index_select_or_zero(x, 0, rows)),
        ] {
            let moved = moved.expect(name);
            assert_eq!(graph.ty(moved).dtype, dtype, "{name}");
            graph.output(name, moved).expect("an output");
        }
        let values: Vec<f64> = values(6, 5).iter().map(|value| rounded(*value, dtype)).collect();
        let integers = |shape: &[usize], values: &[f64]| {
            Tensor::new(&TensorType::new(DType::I32, shape), values)
        };
        let (program, _) = run(
            &graph,
            &[
                ("x", Tensor::new(&TensorType::new(dtype, &[3, 2]), &values)),
                ("rows", integers(&[4], &[2.0, -1.0, 0.0, 3.0])),
                ("index", integers(&[1, 2], &[1.0, 3.0])),
            ],
        );
        let found = |name: &str| program.output(name).expect("an output").to_f64();
        let [a, b, c, d, e, f] = values[..] else { panic!("six values") };
        assert_eq!(found("turned"), [a, c, e, b, d, f]);
        assert_eq!(found("both"), [a, b, a, b, c, d, c, d, e, f, e, f]);
        let gathered = found("gathered");
        assert!(gathered[0] == c && gathered[1].is_nan(), "{gathered:?}");
        let rows = found("rows");
        assert_eq!([rows[0], rows[1], rows[4], rows[5]], [e, f, a, b]);
        assert!([2, 3, 6, 7].iter().all(|i| rows[*i].is_nan()), "{rows:?}");
        assert_eq!(found("or zero"), [e, f, 0.0, 0.0, a, b, 0.0, 0.0]);
    }
}
