//! Convolutions, pooling, norms and sampling of images against the same
//! written out, at sizes and shapes the cases of the registry do not have.

use crate::{assert_close, evaluate, run};
use speck_engine::compositions::{
    Border, Convolution, Deformation, Interpolation, Outside, Resampling, Sampling, Target,
    TransposedConvolution,
};
use speck_engine::ops::{AveragePool2d, PoolWindow, Window};
use speck_engine::{
    DType, Graph, GraphError, NodeId, Options, Program, RunningStatistics, State, Tensor,
};

/// Values in no pattern.
fn values(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * i * 37 + i * 11 + seed * 101) % 97) as f64 / 24.0 - 2.0).collect()
}

const PLAIN: Window = Window { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

#[test]
fn a_border_that_keeps_the_size_has_the_odd_zero_at_the_end() {
    let y = evaluate(&[(&[1, 1, 3], &[1.0, 2.0, 3.0]), (&[1, 1, 2], &[10.0, 1.0])], |g, x| {
        let form = Convolution { border: Border::Same, ..Convolution::default() };
        g.convolution1d(x[0], x[1], None, &form).expect("a convolution")
    });
    assert_close(&y, &[12.0, 23.0, 30.0]);
}

#[test]
fn a_transposed_convolution_adds_each_window_where_it_belongs() {
    // In two of them more is added at the end than a convolution would drop.
    for (stride, padding, dilation, added) in
        [(2, 1, 3, 2), (2, 0, 1, 1), (1, 2, 3, 2), (3, 1, 1, 2)]
    {
        let (x, w) = (values(9, 1), values(4, 2));
        let size = 2 * stride + dilation + 1 + added - 2 * padding;
        let mut expected = vec![0.5; size * size];
        for (at, x) in x.iter().enumerate() {
            for (tap, w) in w.iter().enumerate() {
                let row = (at / 3 * stride + tap / 2 * dilation).wrapping_sub(padding);
                let column = (at % 3 * stride + tap % 2 * dilation).wrapping_sub(padding);
                if row < size && column < size {
                    expected[row * size + column] += x * w;
                }
            }
        }
        let inputs: [(&[usize], &[f64]); 3] =
            [(&[1, 3, 3], &x), (&[1, 1, 2, 2], &w), (&[1], &[0.5])];
        let y = evaluate(&inputs, |g, x| {
            let form = TransposedConvolution {
                stride: [stride; 2],
                padding: [padding; 2],
                output_padding: [added; 2],
                dilation: [dilation; 2],
                groups: 1,
            };
            g.transposed_convolution2d(x[0], x[1], Some(x[2]), &form).expect("a convolution")
        });
        assert_close(&y, &expected);
    }
}

#[test]
fn an_average_with_a_divisor_is_a_sum_over_it() {
    let y = evaluate(&[(&[1, 1, 5], &[1.0, 2.0, 4.0, 8.0, 16.0])], |g, x| {
        let pool = AveragePool2d {
            kernel: [1, 2],
            stride: [1, 2],
            ceil_mode: true,
            divisor: Some(-2),
            ..AveragePool2d::default()
        };
        g.average_pool2d(x[0], pool).expect("a pooling")
    });
    assert_close(&y, &[-1.5, -6.0, -8.0]);
}

#[test]
fn dilated_maxima_skip_what_lies_between() {
    let x = [9.0, 1.0, 2.0, 7.0, 4.0, 1.0];
    let pool = |ceil_mode| {
        let tiles = PoolWindow::tiles([1, 2]);
        let window = PoolWindow { stride: [1, 2], dilation: [1, 2], ceil_mode, ..tiles };
        evaluate(&[(&[1, 1, 6], &x)], |g, x| g.max_pool2d_of(x[0], window).expect("a pooling")[0])
    };
    assert_close(&pool(false), &[9.0, 4.0]);
    assert_close(&pool(true), &[9.0, 4.0, 4.0]);
}

#[test]
fn adaptive_pooling_takes_the_windows_it_says() {
    for (from, to) in [(8, 5), (8, 8), (3, 7), (6, 2), (5, 1)] {
        let x = values(from * 4, 3);
        let window = |i: usize| i * from / to..((i + 1) * from).div_ceil(to);
        let (mut means, mut maxima) = (Vec::new(), Vec::new());
        for row in 0..to {
            for column in 0..4 {
                let taken: Vec<f64> = window(row).map(|at| x[at * 4 + column]).collect();
                means.push(taken.iter().sum::<f64>() / taken.len() as f64);
                maxima.push(taken.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            }
        }
        let mean = evaluate(&[(&[1, from, 4], &x)], |g, x| {
            g.adaptive_average_pool(x[0], &[Some(to), None]).expect("a pooling")
        });
        assert_close(&mean, &means);
        let largest = evaluate(&[(&[1, from, 4], &x)], |g, x| {
            g.adaptive_max_pool2d(x[0], [Some(to), None]).expect("a pooling")
        });
        assert_close(&largest, &maxima);
    }
}

/// An infinity counts in the windows it is in and in no other.
#[test]
fn an_infinity_stays_in_its_window() {
    let y = evaluate(&[(&[1, 1, 5], &[1.0, f64::INFINITY, 1.0, 1.0, 1.0])], |g, x| {
        g.adaptive_average_pool(x[0], &[None, Some(3)]).expect("a pooling")
    });
    assert_eq!(y, [f64::INFINITY, f64::INFINITY, 1.0]);
}

/// In f32 the gradient of two standardized values, about 1e-6 of the terms it
/// is the difference of, is right to many digits.
#[test]
fn gradients_of_few_standardized_values_survive_single_precision() {
    let norms: [fn(&Graph, NodeId) -> Result<NodeId, GraphError>; 3] = [
        |g, x| g.standardize(x, &[1], 1e-5),
        |g, x| g.rms_norm(x, &[2], None, Some(1e-5)),
        |g, x| g.rms_norm(g.reshape(x, &[2, 1])?, &[1], None, Some(1e-7)),
    ];
    for norm in norms {
        let gradient = |dtype: DType| {
            let graph = Graph::new(dtype);
            let x = graph.input("x", dtype, &[1, 2]).expect("an input");
            let y = norm(&graph, x).expect("a norm");
            let ty = graph.ty(y);
            let cotangent = Tensor::new(&ty, &[-1.41351318359375, 0.23363074660301208]);
            let cotangent = graph.constant(cotangent).expect("a constant");
            let gradient = graph.pull_back(y, cotangent, &[x]).expect("gradients")[0];
            graph.output("gradient", gradient).expect("an output");
            let image = Tensor::new(&graph.ty(x), &[-8.478373527526855, -1.765825867652893]);
            run(&graph, &[("x", image)]).0.output("gradient").expect("an output").to_f64()
        };
        let (single, double) = (gradient(DType::F32), gradient(DType::F64));
        let largest = double.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (single, double) in single.iter().zip(&double) {
            let error = (single - double).abs() / largest;
            assert!(error < 1e-5, "{single:e} is not {double:e}");
        }
    }
}

#[test]
fn a_local_response_is_divided_by_what_its_neighbours_do() {
    let x = values(5 * 2, 4);
    let y = evaluate(&[(&[1, 5, 2], &x)], |g, x| {
        g.local_response_norm(x[0], 4, 0.5, 0.75, 2.0).expect("a norm")
    });
    let expected: Vec<f64> = (0..10_usize)
        .map(|at| {
            let (c, pixel) = (at / 2, at % 2);
            // Two before, one after.
            let near = (c.saturating_sub(2)..(c + 2).min(5)).map(|c| x[c * 2 + pixel].powi(2));
            x[at] / (2.0_f64 + 0.5 * near.sum::<f64>() / 4.0).powf(0.75)
        })
        .collect();
    assert_close(&y, &expected);
}

#[test]
fn norms_without_running_statistics_agree_with_each_other() {
    let x = values(2 * 4 * 3, 5);
    let one = |build: &dyn Fn(&Graph, NodeId) -> Result<NodeId, GraphError>| {
        evaluate(&[(&[2, 4, 3], &x)], |g, x| build(g, x[0]).expect("a norm"))
    };
    let instance = one(&|g, x| g.instance_norm(x, None, None, 0.1));
    assert_close(&one(&|g, x| g.group_norm(x, 4, None, None, 0.1)), &instance);
    let layer = one(&|g, x| g.layer_norm_over(x, &[4, 3], None, None, 0.1));
    assert_close(&one(&|g, x| g.group_norm(x, 1, None, None, 0.1)), &layer);
    let batch = one(&|g, x| g.batch_norm_of(x, None, None, 0.1));
    let turned = one(&|g, x| {
        let y = g.instance_norm(g.permute(x, &[1, 0, 2])?, None, None, 0.1)?;
        g.permute(y, &[1, 0, 2])
    });
    assert!(batch.iter().zip(&turned).any(|(a, b)| (a - b).abs() > 0.1));
}

/// A reflection step by step: back at an end as often as needed.
fn reflected(mut at: f64, low: f64, high: f64) -> f64 {
    while at < low || at > high {
        at = if at < low { 2.0 * low - at } else { 2.0 * high - at };
    }
    at
}

/// Made smaller with antialiasing, a line keeps its slope away from the ends,
/// and every weight is used.
#[test]
fn antialiasing_widens_the_weights() {
    let line: Vec<f64> = (0..12).map(f64::from).collect();
    let shrunk = |x: &[f64], mode, antialias| {
        evaluate(&[(&[1, 1, x.len()], x)], |g, x| {
            let form = Resampling { antialias, ..sizes(&[g.shape(x[0])[2] / 3], mode) };
            g.interpolate(x[0], &form).expect("an image")
        })
    };
    let mut impulse = vec![0.0; 12];
    impulse[5] = 9.0;
    // The triangle of 3 elements each side, centred on elements 1, 4, 7 and 10.
    assert_close(&shrunk(&impulse, Interpolation::Linear, true), &[0.0, 2.0, 1.0, 0.0]);
    assert_close(&shrunk(&impulse, Interpolation::Linear, false), &[0.0; 4]);
    let slope = shrunk(&line, Interpolation::Linear, true);
    assert_close(&slope[1..3], &[4.0, 7.0]);
    let constant = shrunk(&[1.5; 12], Interpolation::Cubic, true);
    assert_close(&constant, &[1.5; 4]);
    // Four thirds of a new element away: -2/27, a third of it each.
    let mut impulse = vec![0.0; 24];
    impulse[14] = 81.0;
    assert_close(&shrunk(&impulse, Interpolation::Cubic, true)[3..4], &[-2.0]);
}

#[test]
fn grids_reach_outside_as_they_say() {
    let (image, width) = (values(5, 6), 5.0);
    let places: Vec<f64> = values(24, 7).iter().map(|v| v * 4.1 + 0.013).collect();
    let grid: Vec<f64> = places.iter().flat_map(|place| [*place, 0.0]).collect();
    for align_corners in [false, true] {
        for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
            let place = |place: f64| {
                let (low, high) = if align_corners { (0.0, 4.0) } else { (-0.5, 4.5) };
                let at = if align_corners {
                    (place + 1.0) / 2.0 * (width - 1.0)
                } else {
                    ((place + 1.0) * width - 1.0) / 2.0
                };
                match outside {
                    Outside::Zeros => at,
                    Outside::Border => at.clamp(0.0, width - 1.0),
                    Outside::Reflection => reflected(at, low, high).clamp(0.0, width - 1.0),
                }
            };
            let element =
                |at: f64| if (0.0..width).contains(&at) { image[at as usize] } else { 0.0 };
            let linear: Vec<f64> = places
                .iter()
                .map(|p| {
                    let at = place(*p);
                    let share = at - at.floor();
                    (1.0 - share) * element(at.floor()) + share * element(at.floor() + 1.0)
                })
                .collect();
            let nearest: Vec<f64> =
                places.iter().map(|p| element(place(*p).round_ties_even())).collect();
            for (mode, expected) in
                [(Interpolation::Linear, linear), (Interpolation::Nearest, nearest)]
            {
                let y = evaluate(&[(&[1, 1, 1, 5], &image), (&[1, 4, 6, 2], &grid)], |g, x| {
                    let form = Sampling { mode, outside, align_corners };
                    g.grid_sample(x[0], x[1], form).expect("a sample")
                });
                assert_close(&y, &expected);
            }
        }
    }
}

#[test]
fn a_grid_of_no_change_returns_the_image() {
    let image = values(2 * 3 * 4, 8);
    let theta = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    for align_corners in [false, true] {
        for mode in [Interpolation::Linear, Interpolation::Nearest, Interpolation::Cubic] {
            let y = evaluate(&[(&[1, 2, 3, 4], &image), (&[1, 2, 3], &theta)], |g, x| {
                let grid = g.affine_grid(x[1], &[3, 4], align_corners).expect("a grid");
                let form = Sampling { mode, outside: Outside::Border, align_corners };
                g.grid_sample(x[0], grid, form).expect("a sample")
            });
            assert_close(&y, &image);
        }
    }
}

#[test]
fn columns_folded_count_the_windows_over_each_element() {
    let y = evaluate(&[(&[1, 3, 3], &[1.0; 9])], |g, x| {
        let columns = g.unfold(x[0], [2, 2], PLAIN).expect("columns");
        g.fold(columns, [3, 3], [2, 2], PLAIN).expect("an image")
    });
    assert_close(&y, &[1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
}

/// With equal weights everywhere a locally connected layer is a convolution,
/// and so is a deformable one whose offsets are 0 and whose mask is 1.
#[test]
fn layers_of_windows_contain_the_convolution() {
    let (x, w) = (values(2 * 4 * 5 * 4, 9), values(6 * 2 * 3 * 2, 10));
    let window = Window { stride: [2, 1], padding: [1, 1], dilation: [1, 2], groups: 2 };
    let inputs: [(&[usize], &[f64]); 2] = [(&[2, 4, 5, 4], &x), (&[6, 2, 3, 2], &w)];
    let plain = evaluate(&inputs, |g, x| g.conv2d(x[0], x[1], window).expect("a convolution"));
    let deformed = evaluate(&inputs, |g, x| {
        let shape = g.shape(g.conv2d(x[0], x[1], window).expect("a convolution"));
        let still = |channels: usize, value: f64| {
            let shape = [shape[0], channels, shape[2], shape[3]];
            let count = shape.iter().product();
            g.constant(Tensor::from_f64(&shape, vec![value; count])).expect("a constant")
        };
        let form = Deformation { offsets: still(2 * 2 * 6, 0.0), mask: Some(still(2 * 6, 1.0)) };
        g.deformable_convolution2d(x[0], x[1], form, None, window).expect("a convolution")
    });
    assert_close(&deformed, &plain);

    let window = Window { groups: 1, ..window };
    let w = values(3 * 4 * 3 * 2, 11);
    let inputs: [(&[usize], &[f64]); 2] = [(&[2, 4, 5, 4], &x), (&[3, 4, 3, 2], &w)];
    let plain = evaluate(&inputs, |g, x| g.conv2d(x[0], x[1], window).expect("a convolution"));
    let local = evaluate(&inputs, |g, x| {
        let shape = g.shape(g.conv2d(x[0], x[1], window).expect("a convolution"));
        let weight = g.reshape(x[1], &[3, 4, 3, 2, 1, 1]).expect("weights");
        let weight = g.expand(weight, &[3, 4, 3, 2, shape[2], shape[3]]).expect("weights");
        g.locally_connected2d(x[0], weight, None, window).expect("a layer")
    });
    assert_close(&local, &plain);
}

fn sizes(sizes: &[usize], mode: Interpolation) -> Resampling {
    let target = Target::Sizes(sizes.to_vec());
    Resampling { target, mode, align_corners: false, antialias: false }
}

#[test]
fn nothing_in_gives_nothing_out_and_no_gradient() {
    let graph = Graph::new(DType::F32);
    let input = |name: &str, shape: &[usize]| graph.input(name, DType::F32, shape).expect("input");
    let (x, w, b) = (input("x", &[0, 2, 5, 4]), input("w", &[2, 2, 3, 3]), input("b", &[2]));
    let (channels, grid) = (input("channels", &[2]), input("grid", &[0, 3, 3, 2]));
    let (line, none) = (input("line", &[0]), input("none", &[0]));
    let running = RunningStatistics { mean: none, variance: none, momentum: 0.1 };
    let form = Sampling {
        mode: Interpolation::Linear,
        outside: Outside::Reflection,
        align_corners: false,
    };
    let outputs = [
        graph.convolution2d(x, w, Some(b), &Convolution::default()),
        graph.transposed_convolution2d(x, w, Some(b), &TransposedConvolution::default()),
        graph.max_pool2d(x, [2, 2], [2, 2], [0, 0]),
        graph.average_pool2d(x, AveragePool2d { kernel: [2, 2], ..AveragePool2d::default() }),
        graph.adaptive_average_pool(x, &[Some(3), None]),
        graph.batch_norm_of(x, Some(channels), Some(b), 1e-5),
        graph.batch_norm_of(line, None, None, 1e-5),
        graph.batch_norm_evaluation(line, None, None, running, 1e-5),
        graph.group_norm(x, 2, Some(channels), Some(b), 1e-5),
        graph.instance_norm(x, Some(channels), Some(b), 1e-5),
        graph.layer_norm_over(x, &[5, 4], None, None, 1e-5),
        graph.rms_norm(x, &[5, 4], None, None),
        graph.interpolate(x, &sizes(&[7, 3], Interpolation::Cubic)),
        graph.grid_sample(x, grid, form),
        graph.unfold(x, [2, 2], PLAIN),
    ];
    let mut total = graph.scalar(0.0).expect("a number");
    for output in outputs {
        let output = output.expect("a node");
        assert_eq!(graph.ty(output).elements(), 0);
        total = graph.add(total, graph.sum_all(output).expect("a sum")).expect("a sum");
    }
    let gradients = graph.gradient(total, &[x, w, b, channels]).expect("gradients");
    for (i, gradient) in gradients.into_iter().enumerate() {
        graph.output(&i.to_string(), gradient).expect("an output");
    }
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    program.run(&mut State::initialise(&graph, 0)).expect("a run");
    for i in 1..4 {
        let gradient = program.output(&i.to_string()).expect("an output").to_f64();
        assert!(gradient.iter().all(|value| *value == 0.0), "{i}: {gradient:?}");
    }
}

#[test]
fn impossible_uses_are_errors() {
    let graph = Graph::new(DType::F32);
    let input = |name: &str, shape: &[usize]| graph.input(name, DType::F32, shape).expect("input");
    let (x, w, v) = (input("x", &[2, 4, 5, 4]), input("w", &[4, 4, 3, 3]), input("v", &[3]));
    let (empty, grid) = (input("empty", &[2, 4, 0, 4]), input("grid", &[2, 3, 3, 2]));
    let columns = input("columns", &[2, 16, 11]);
    let plain = TransposedConvolution::<2>::default();
    let tiles = PoolWindow::tiles([2, 2]);
    let linear = Interpolation::Linear;
    let form = Sampling { mode: linear, outside: Outside::Zeros, align_corners: false };
    let factors = |factors: &[f64]| Resampling {
        target: Target::Factors { factors: factors.to_vec(), recompute: false },
        mode: linear,
        align_corners: false,
        antialias: false,
    };
    let strided = Convolution { stride: [2, 2], border: Border::Same, ..Convolution::default() };
    let deformation = Deformation { offsets: x, mask: None };
    let huge = usize::MAX;
    let wrong = [
        graph.convolution2d(v, w, None, &Convolution::default()),
        graph.convolution2d(
            x,
            v,
            None,
            &Convolution { border: Border::Same, ..Default::default() },
        ),
        graph.convolution2d(x, w, Some(v), &Convolution::default()),
        graph.convolution2d(x, w, None, &strided),
        graph.convolution1d(x, w, None, &Convolution::default()),
        graph.convolution1d(v, v, None, &Convolution::default()),
        graph.transposed_convolution2d(x, v, None, &plain),
        graph.transposed_convolution2d(x, w, Some(v), &plain),
        graph.transposed_convolution2d(empty, w, None, &plain),
        graph.transposed_convolution2d(
            x,
            w,
            None,
            &TransposedConvolution { output_padding: [1, 0], ..plain },
        ),
        graph.transposed_convolution2d(
            x,
            w,
            None,
            &TransposedConvolution { padding: [4, 0], ..plain },
        ),
        graph.transposed_convolution2d(
            x,
            w,
            None,
            &TransposedConvolution { padding: [huge, 0], ..plain },
        ),
        graph.transposed_convolution2d(
            x,
            w,
            None,
            &TransposedConvolution { stride: [huge, 1], ..plain },
        ),
        graph.transposed_convolution2d(x, w, None, &TransposedConvolution { groups: 0, ..plain }),
        graph.transposed_convolution2d(
            x,
            w,
            None,
            &TransposedConvolution { stride: [0, 1], ..plain },
        ),
        graph.max_pool2d_indices_of(x, PoolWindow { dilation: [0, 1], ..tiles }),
        graph.max_pool2d_indices_of(x, PoolWindow { dilation: [huge, 1], ..tiles }),
        graph.max_pool2d_indices_of(x, PoolWindow { stride: [huge, 1], kernel: [9, 9], ..tiles }),
        graph.max_pool2d_indices_of(empty, PoolWindow { padding: [1, 1], ..tiles }),
        graph.max_pool2d_indices_of(v, tiles),
        graph.average_pool2d(x, AveragePool2d { divisor: Some(0), ..AveragePool2d::default() }),
        graph.adaptive_average_pool(empty, &[Some(1), None]),
        graph.adaptive_average_pool(v, &[Some(1), None]),
        graph.adaptive_max_pool2d(v, [Some(1), None]),
        graph.global_average_pool(v),
        graph.layer_norm_over(x, &[5], None, None, 1e-5),
        graph.layer_norm_over(x, &[], None, None, 1e-5),
        graph.layer_norm_over(x, &[4], Some(v), None, 1e-5),
        graph.rms_norm(v, &[3], Some(x), None),
        graph.group_norm(x, 3, None, None, 1e-5),
        graph.group_norm(x, 0, None, None, 1e-5),
        graph.group_norm(v, 1, None, None, 1e-5),
        graph.instance_norm(v, None, None, 1e-5),
        graph.batch_norm_of(x, Some(v), None, 1e-5),
        graph.standardize(x, &[4], 1e-5),
        graph.local_response_norm(x, 0, 1.0, 1.0, 1.0),
        graph.local_response_norm(v, 1, 1.0, 1.0, 1.0),
        graph.interpolate(x, &sizes(&[3], linear)),
        graph.interpolate(x, &sizes(&[3, 0], linear)),
        graph.interpolate(empty, &sizes(&[3, 3], linear)),
        graph.interpolate(v, &sizes(&[], linear)),
        graph.interpolate(x, &factors(&[f64::NAN, 1.0])),
        graph.interpolate(x, &factors(&[f64::INFINITY, 1.0])),
        graph.interpolate(x, &factors(&[-1.0, 1.0])),
        graph.interpolate(x, &factors(&[1.0])),
        graph.grid_sample(x, x, form),
        graph.grid_sample(v, grid, form),
        graph.grid_sample(empty, grid, form),
        graph.grid_sample(x, grid, Sampling { mode: Interpolation::Area, ..form }),
        graph.affine_grid(x, &[3, 3], false),
        graph.unfold(x, [6, 1], PLAIN),
        graph.unfold(x, [0, 1], PLAIN),
        graph.unfold(v, [1, 1], PLAIN),
        graph.unfold(x, [2, 2], Window { padding: [huge, 0], ..PLAIN }),
        graph.unfold(x, [2, 2], Window { padding: [huge / 4, 0], ..PLAIN }),
        graph.unfold(x, [2, 2], Window { groups: 2, ..PLAIN }),
        graph.fold(columns, [5, 4], [2, 2], PLAIN),
        graph.fold(v, [5, 4], [2, 2], PLAIN),
        graph.locally_connected2d(x, w, None, PLAIN),
        graph.deformable_convolution2d(x, w, deformation, None, PLAIN),
        graph.deformable_convolution2d(x, v, deformation, None, PLAIN),
    ];
    for (i, result) in wrong.iter().enumerate() {
        assert!(result.is_err(), "call {i}");
    }
}
