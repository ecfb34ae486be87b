//! Every shader, and every variant of what a shader computes, agrees with the scalar
//! kernels, on sizes around the edges of what it works on at a time and on buffers filled
//! with NaN; and none is left out.
//!
//! Where there is no GPU these tests say so; with `SPECK_REQUIRE_GPU=1` that is a failure.

use speck_engine::check::shaders::{self, Report};
use speck_engine::check::variants::check_on;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{ALL, FAMILIES, Gpu, GpuError};
use speck_engine::kernels::rows::{Classes, rule::Rule};
use speck_engine::op::{Case, Draw};
use speck_engine::ops::{AveragePool2d, PicksShape, TileShape, Window};
use speck_engine::{DType, Graph, GraphError, NodeId, Options, Program, State, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

fn gpu(least: bool) -> Option<Arc<Gpu>> {
    match Gpu::open(0, least) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: {} shaders, for there is no GPU", ALL.len());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn show(report: &Report) {
    for own in &report.shaders {
        let said = match own.refused {
            Some(reason) => reason.to_owned(),
            None => {
                let alone = own.alone.map_or("-".to_owned(), |units| format!("{units:.1}"));
                let of = "units in the last place, as the only shader";
                format!("{:5} cases, {:8.1} {of} {alone}", own.cases, own.units)
            }
        };
        println!("{:28} {said}", own.shader);
    }
}

#[test]
fn every_shader_agrees_with_the_scalar_kernels_and_none_is_left_out() {
    let Some(gpu) = gpu(false) else { return };
    let report = shaders::check(&gpu, &|_| true, &mut |_| ());
    show(&report);
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(report.forgotten(), Vec::<&str>::new(), "no case dispatches these");
    let seen = |name: &str| report.shaders.iter().find(|own| own.shader == name);
    // A move changes nothing; a product has a difference of its own.
    let alone = |name: &str| seen(name).and_then(|own| own.alone);
    assert_eq!(alone("copy_strided"), Some(0.0));
    assert!(alone("matmul").is_some_and(|units| units > 0.0));
    for family in FAMILIES {
        for (shader, _) in family.others {
            let own = seen(shader.name).expect("a shader of the list");
            assert!(own.alone.is_none_or(|alone| alone <= own.units), "{}", own.shader);
            assert!(own.refused.is_some() || own.cases > 5, "{}: {} cases", own.shader, own.cases);
        }
    }
}

#[test]
fn the_plain_shaders_agree_at_the_least_limits() {
    let Some(gpu) = gpu(true) else { return };
    let families = ["matmul", "conv2d", "sum", "softmax", "norm", "scatter_add", "max_pool2d"];
    let report = shaders::check(&gpu, &|op| families.contains(&op), &mut |_| ());
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    for own in report.shaders.iter().filter(|own| own.refused.is_some()) {
        assert_eq!(own.cases, 0, "{}", own.shader);
    }
}

const VALUE: Draw = Draw::Uniform(-1.0, 1.0);

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

/// Shapes of which an invocation that goes through all alone makes more rounds of its loops
/// than a driver that is a program on the processor: 65 535.
fn long() -> Vec<(&'static str, Case)> {
    const MANY: usize = 70_000;
    let case =
        |name, inputs: &[(&[usize], Draw)], build: Build| (name, Case::new("long", inputs, build));
    let values = |name, shapes: &[&[usize]], build: Build| {
        let inputs: Vec<_> = shapes.iter().map(|shape| (*shape, VALUE)).collect();
        (name, Case::new("long", &inputs, build))
    };
    vec![
        values("cumulative_sum", &[&[2, MANY]], |g, x| g.cumulative_sum(x[0], 1, true)),
        // The largest ones stand at the end.
        values("argmax", &[&[MANY]], |g, x| g.argmax(g.add(g.iota(MANY)?, x[0])?, 0)),
        values("argmax", &[&[MANY, 3]], |g, x| {
            g.argmax(g.add(g.reshape(g.iota(MANY)?, &[MANY, 1])?, x[0])?, 0)
        }),
        // Cut, though with half the rounds: this is the square of the length.
        case("argsort", &[(&[33_001], Draw::Distinct)], |g, x| g.argsort(x[0], 0, false, 33_001)),
        values("softmax", &[&[MANY, 2]], |g, x| g.softmax(x[0], 0)),
        values("log_softmax", &[&[2, MANY]], |g, x| g.log_softmax(x[0], 1)),
        // All on few elements, and none alone.
        case("scatter_add", &[(&[1, MANY], VALUE), (&[1, MANY], Draw::Index(3))], |g, x| {
            g.scatter_add(x[0], 1, x[1], 3)
        }),
        case("scatter_add", &[(&[MANY, 2], VALUE), (&[MANY, 2], Draw::Index(3))], |g, x| {
            g.scatter_add(x[0], 0, x[1], 3)
        }),
        case("index_add", &[(&[MANY, 2], VALUE), (&[MANY], Draw::Index(3))], |g, x| {
            g.index_add(x[0], 0, x[1], 3)
        }),
        // Products with long sums, forward and of the weights.
        values("conv2d", &[&[1, 40_000, 1, 1], &[2, 40_000, 1, 1]], |g, x| {
            g.conv2d(x[0], x[1], Window::default())
        }),
        values("matmul", &[&[17, MANY], &[MANY, 16]], |g, x| g.matmul(x[0], x[1])),
        // Nine pixels that stand for a hundred each.
        values("picked_conv", &[&[1, 3, 3, 2], &[90, 2, 9, 9]], |g, x| {
            let reads: Vec<u32> = (0..90).map(|i| i % 3).collect();
            let reads = [reads.as_slice().into(), reads.as_slice().into()];
            g.picked_conv(x[0], x[1], &PicksShape { kernel: [9, 9], reads, negative: false })
        }),
        // One background that stands for all of many screens.
        case(
            "window_tile",
            &[
                (&[1, 1, 1, 1], VALUE),
                (&[40, 6, 2, 2, 1], VALUE),
                (&[40, 6, 2], Draw::Index(60)),
                (&[40, 8, 2], Draw::Index(9)),
            ],
            |g, x| {
                let classes = [[0u32; 64].as_slice().into(), [0u32; 64].as_slice().into()];
                let shape = TileShape { classes, size: [56, 56], negative: false };
                g.window_tile(x[0], x[1], x[2], x[3], &shape)
            },
        ),
        // A large speck on a large screen, and many slots.
        case("unrender", &[(&[1, 4, 2], Draw::Index(9)), (&[1, 1, 200, 200], VALUE)], |g, x| {
            g.unrender(x[0], x[1], 180)
        }),
        case("render_windows", &[(&[1, 80, 2], Draw::Index(9)), (&[1, 80, 1], VALUE)], |g, x| {
            g.render_windows(x[0], x[1], 5)
        }),
        // A sample with many windows, and many windows on one place.
        case(
            "row_linear",
            &[(&[1, 64, 8, 8, 16], VALUE), (&[6_400, 1, 2], VALUE), (&[1, 64, 2], Draw::Index(12))],
            |g, x| g.row_linear(x[0], x[1], g.row_index(x[2], [8, 8], [20, 20])?, [20, 20]),
        ),
        case(
            "row_update",
            &[
                (&[8, 3, 3_600], VALUE),
                (&[300, 2, 2, 1, 2], VALUE),
                (&[300, 3_600], VALUE),
                (&[1, 2, 3_600], VALUE),
                (&[300, 2, 2], Draw::Index(1)),
            ],
            |g, x| {
                let integer = |value| g.constant(Tensor::from_i32(&[], vec![value]));
                let rule = Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.01 };
                let classes = Classes { of: [0; 4].as_slice().into(), count: 1 };
                let index = g.row_index(x[4], [2, 1], [2, 2])?;
                let counters = [index, integer(0)?, integer(7)?];
                let parts = [x[1], x[2], x[3]];
                let rows = g.square(x[0])?;
                g.row_update(rows, parts, counters, g.scalar(0.01)?, [2, 2], &classes, rule)
            },
        ),
        values("attention", &[&[1, 20, 32], &[1, 4_200, 32], &[1, 4_200, 32]], |g, x| {
            g.attention(x[0], x[1], x[2], 0.5, false)
        }),
        values("attention", &[&[1, 9_000, 32], &[1, 5, 32], &[1, 5, 32]], |g, x| {
            g.attention(x[0], x[1], x[2], 0.5, false)
        }),
        values("attention", &[&[1, 20, 32], &[1, 9_000, 32], &[1, 9_000, 7]], |g, x| {
            g.attention(x[0], x[1], x[2], 0.5, false)
        }),
        values("attention", &[&[1, 2_001, 32], &[1, 2_001, 32], &[1, 2_001, 3]], |g, x| {
            g.attention(x[0], x[1], x[2], 0.5, true)
        }),
    ]
}

#[test]
fn long_loops_are_cut_where_a_driver_would_end_them() {
    let Some(gpu) = gpu(false) else { return };
    let mut failures = Vec::new();
    for (number, (name, case)) in long().iter().enumerate() {
        let begin = std::time::Instant::now();
        match check_on(&gpu, case, number as u64 + 1) {
            Ok(units) => println!("{name:16} {units:8.1} units, {:?}", begin.elapsed()),
            Err(error) => failures.push(format!("{name}, case {number}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_loop_that_cannot_be_cut_is_refused_by_the_name_of_its_op() {
    let Some(gpu) = gpu(false) else { return };
    let pool = |edge: usize| {
        let graph = Graph::new(DType::F32);
        let build = || {
            let x = graph.input("x", DType::F32, &[1, 1, edge, edge])?;
            let window = AveragePool2d {
                kernel: [edge, edge],
                stride: [1, 1],
                padding: [0, 0],
                count_padding: false,
                ceil_mode: false,
                divisor: None,
            };
            graph.output("y", graph.average_pool2d(x, window)?)
        };
        build().expect("the graph");
        let kernels = Choice::default().on(Some(gpu.clone()));
        let mut program = match Program::compile(&graph, &Options { kernels, ..Options::default() })
        {
            Ok(program) => program,
            Err(error) => return Err(error.to_string()),
        };
        program.input_mut::<f32>("x").expect("an input").fill(0.5);
        program.run(&mut State::default()).expect("a run");
        Ok(program.values::<f32>("y").expect("an output").to_vec())
    };
    assert_eq!(pool(128), Ok(vec![0.5]));
    match pool(300) {
        Ok(values) => assert!(!gpu.is_software() && (values[0] - 0.5).abs() < 1e-3, "{values:?}"),
        Err(error) => {
            assert!(gpu.is_software(), "{error}");
            assert!(error.contains("average_pool2d") && error.contains("rounds"), "{error}");
        }
    }
}

/// What a graph of these inputs gives.
fn results(kernels: Choice, inputs: &[(&[usize], Vec<f32>)], build: Build) -> Vec<f32> {
    let graph = Graph::new(DType::F32);
    let nodes: Result<Vec<_>, _> = inputs
        .iter()
        .enumerate()
        .map(|(i, (shape, _))| graph.input(&i.to_string(), DType::F32, shape))
        .collect();
    let output = build(&graph, &nodes.expect("the inputs")).expect("the graph");
    graph.output("y", output).expect("the output");
    let options = Options { kernels, poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options).expect("a program");
    for (i, (_, values)) in inputs.iter().enumerate() {
        program.input_mut::<f32>(&i.to_string()).expect("an input").copy_from_slice(values);
    }
    program.run(&mut State::default()).expect("a run");
    program.values::<f32>("y").expect("an output").to_vec()
}

/// Numbers of all sizes, those next to multiples of π/2 among them.
fn angles() -> Vec<f32> {
    let mut all = vec![0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, -f32::MAX];
    for power in -10..=127 {
        let own = 2f32.powi(power);
        all.extend([own, -own, own * 1.000_000_1, own * 1.7]);
    }
    for n in 1..20_000u32 {
        let near = (f64::from(n) * std::f64::consts::FRAC_PI_2) as f32;
        all.extend([near, near.next_up(), near.next_down()]);
    }
    // Around the places where the reduction changes, and the number that comes next to a
    // multiple of π/2 of all: 1.6e-9 away from it.
    all.extend([255.999_98, 256.0, 256.000_03, 65_536.0, 16_367_173.0 * 2f32.powi(72)]);
    let mut bits = 1u32;
    for _ in 0..60_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let own = f32::from_bits(bits ^ (bits >> 13));
        all.extend(Some(own).filter(|own| own.is_finite()));
    }
    all
}

#[test]
fn sine_and_cosine_of_all_finite_numbers_are_right() {
    let Some(gpu) = gpu(false) else { return };
    let angles = angles();
    let sine: Build = |g, x| g.sin(x[0]);
    let cosine: Build = |g, x| g.cos(x[0]);
    let of = [("sin", sine, f64::sin as fn(f64) -> f64), ("cos", cosine, f64::cos)];
    for (name, build, exact) in of {
        let kernels = Choice::default().on(Some(gpu.clone()));
        let found = results(kernels, &[(&[angles.len()], angles.clone())], build);
        let mut worst = (0.0, 0.0);
        for (x, y) in angles.iter().zip(&found) {
            let expected = exact(f64::from(*x));
            let next = expected.abs().max(f64::from(f32::MIN_POSITIVE)) as f32;
            let unit = f64::from(next.next_up()) - f64::from(next);
            let units = (f64::from(*y) - expected).abs() / unit;
            assert!(y.abs() <= 1.0, "{name} of {x:e} is {y}");
            // Some devices take numbers that are not normal for zero.
            if units.is_nan() || units > worst.0 && expected.abs() >= 1.2e-38 {
                worst = (units, *x);
            }
        }
        println!("{name}: {:.2} units in the last place, at {:e}", worst.0, worst.1);
        assert!(worst.0 <= 3.0, "{name}: {} units at {:e}", worst.0, worst.1);
    }
}

#[test]
fn attention_keeps_nan_where_the_processor_does() {
    let Some(gpu) = gpu(false) else { return };
    let causal: Build = |g, x| g.attention(x[0], x[1], x[2], 0.5, true);
    let full: Build = |g, x| g.attention(x[0], x[1], x[2], 0.5, false);
    let gradient: Build = |g, x| {
        let y = g.attention(x[0], x[1], x[2], 0.5, true)?;
        let gradients = g.pull_back(y, g.scale(y, 0.5)?, x)?;
        g.concat(&gradients, 1)
    };
    // Rows for tiles, and rows too long for them.
    for size in [5, 40] {
        for (name, build) in [("full", full), ("causal", causal), ("gradient", gradient)] {
            for (operand, row) in [(0, 20), (1, 20), (2, 20), (1, 0), (9, 0)] {
                let rows = 37;
                let shape: &[usize] = &[1, rows, size];
                let mut inputs: Vec<(&[usize], Vec<f32>)> = (0..3)
                    .map(|own| {
                        let value = |i: usize| ((i * 37 + own * 11) % 29) as f32 / 29.0 - 0.5;
                        (shape, (0..rows * size).map(value).collect())
                    })
                    .collect();
                match inputs.get_mut(operand) {
                    Some((_, values)) => values[row * size + 2] = f32::NAN,
                    // Scores of -∞, but for the last ones.
                    None => {
                        inputs[0].1.fill(1e30);
                        inputs[1].1[..20 * size].fill(-1e30);
                    }
                }
                let scalar = Choice::parse("*:scalar").expect("a choice");
                let expected = results(scalar, &inputs, build);
                for shader in ["plain", "attention_tile"] {
                    let on = Choice::default().on(Some(gpu.clone())).shaded(shader);
                    let found = results(on, &inputs, build);
                    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                        let same = found.is_nan() && expected.is_nan() || close;
                        let which = format!("{name}, size {size}, {operand} {row}, {shader}");
                        assert!(same, "{which}: {found} instead of {expected} at {i}");
                    }
                }
            }
        }
    }
}

/// Functions that have one name and more than one text, how many, and why.
const APART: [(&str, usize, &str); 13] = [
    ("exp_within", 2, "in `binary.wgsl` with the table-free power of 2 that `pow` has"),
    ("exponential", 2, "of any number in `unary.wgsl`, of those up to 0 elsewhere"),
    ("four_of_a", 3, "tiles of other sizes in `matmul_wide.wgsl` and `matmul_subgroup.wgsl`"),
    ("four_of_b", 3, "tiles of other sizes in `matmul_wide.wgsl` and `matmul_subgroup.wgsl`"),
    ("four_of_left", 2, "by lists in `picked_conv.wgsl`"),
    ("function_of", 2, "of one number and of two"),
    ("join", 2, "one kind in a pipeline, and both kinds"),
    ("logarithm", 2, "of any number in `unary.wgsl`, of those from 1 on elsewhere"),
    ("origin_of", 2, "made in `window.wgsl`, read in `window_tile.wgsl`"),
    ("place_of", 2, "of a convolution's column, and of a window"),
    ("rendered", 2, "screens and windows"),
    ("total_of", 2, "with subgroups and without"),
    ("unrendered", 2, "screens and windows"),
];

/// The functions of a shader beside `main`, by name, with their text.
fn functions(source: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    let mut rest = source;
    while let Some(begin) = rest.find("\nfn ") {
        rest = &rest[begin + 1..];
        let end = rest.find("\n}\n").expect("the end of a function") + 3;
        let name = rest[3..].split('(').next().expect("a name").trim();
        all.push((name, &rest[..end]));
        rest = &rest[end - 1..];
    }
    all.retain(|(name, _)| *name != "main");
    all
}

#[test]
fn functions_of_one_name_are_the_same_in_all_shaders() {
    let mut texts: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for shader in ALL {
        for (name, text) in functions(shader.source) {
            texts.entry(name).or_default().entry(text).or_default().push(shader.name);
        }
    }
    assert!(texts["is_nan"].values().any(|shaders| shaders.len() > 5), "{:?}", texts["is_nan"]);
    for (name, own) in &texts {
        let known = APART.iter().find(|(known, _, _)| known == name);
        let shaders: Vec<_> = own.values().collect();
        let most = known.map_or(1, |(_, texts, _)| *texts);
        assert_eq!(own.len(), most, "texts of `{name}`, in {shaders:?}");
    }
    assert!(APART.iter().all(|(name, _, _)| texts.contains_key(name)), "an exception for nothing");
}
