use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, hash, poisoned, random};

fn rows(samples: usize, slots: usize, channels: usize, outputs: usize, parts: usize) -> Rows {
    let windows = Windows { samples, slots, channels, size: [2, 3], map: [5, 4] };
    Rows { windows, outputs, parts }
}

/// Over the border on all sides, overlapping, empty.
fn origins(rows: &Rows, seed: u64) -> Vec<i32> {
    let windows = rows.windows.samples * rows.windows.slots;
    (0..windows as u64)
        .flat_map(|i| {
            let at = |k: u64, n: u64| (hash(seed + 1000 * k + i) % n) as i32 - 2;
            if i % 7 == 5 { [crate::window::EMPTY; 2] } else { [at(0, 7), at(1, 6)] }
        })
        .collect()
}

fn index(rows: &Rows, seed: u64) -> Vec<i32> {
    let mut out = vec![-77; rows.index_elements()];
    scalar::index(rows, &origins(rows, seed), &mut out);
    out
}

#[test]
fn the_index_lists_what_lies_on_each_position() {
    let rows = rows(9, 3, 1, 1, 1);
    let origins = origins(&rows, 3);
    let index = index(&rows, 3);
    rows.check_index(&index);
    let mut found = 0;
    for position in 0..rows.positions() {
        let mut wanted = Vec::new();
        for place in 0..9 * 3 * 6 {
            let (window, i, j) = (place / 6, place % 6 / 3, place % 3);
            let at = [origins[2 * window] + i as i32, origins[2 * window + 1] + j as i32];
            if at == [position as i32 / 4, position as i32 % 4] {
                wanted.push([window as i32 / 3, place as i32]);
            }
        }
        assert_eq!(rows.entries(&index, position), wanted);
        found += wanted.len();
    }
    assert!(found > 50);
    assert!(index[rows.positions() + 1 + 2 * found..].iter().all(|rest| *rest == 0));
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Around the tiles' edges: 6 rows, 4 registers of 16 and 2 of 8.
fn shapes() -> Vec<Rows> {
    let mut all = Vec::new();
    for outputs in [0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 128, 130] {
        all.push(rows(5, 2, 3, outputs, 1));
    }
    for channels in [0, 1, 2, 4, 5, 6, 7, 12, 13] {
        all.push(rows(3, 1, channels, 20, 1));
        all.push(rows(40, 1, channels, 70, 3));
    }
    for samples in 0..9 {
        all.push(rows(samples, 3, 2, 10, 2));
    }
    all
}

fn products_match(
    kernel: &'static Kernel<Product>,
    run: fn(&Rows, &[f64], &[f64], &[i32]) -> Vec<f64>,
) {
    let mut tried = 0;
    for mut rows in shapes() {
        let weights = kernel.name == "row_linear_weight";
        if weights {
            rows.parts = 1;
        }
        let index = index(&rows, 11);
        let windows: Vec<f32> = random(1, rows.windows.elements(), -1.0, 1.0);
        let outputs: Vec<f32> = random(2, rows.windows.samples * rows.outputs, -1.0, 1.0);
        let b: Vec<f32> = random(3, rows.elements(), -1.0, 1.0);
        let (a, b) = match kernel.name {
            "row_linear" => (windows, b),
            "row_linear_patch" => (outputs, b),
            _ => (windows, outputs),
        };
        let want: Vec<f32> =
            run(&rows, &wide(&a), &wide(&b), &index).iter().map(|x| *x as f32).collect();
        for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            let results = on_one_and_two_threads(|| {
                let mut out = poisoned(want.len());
                (variant.run)(&rows, &a, &b, &index, &mut out);
                out
            });
            assert_close(&results[0], &want, 1e-5, 1e-5, &format!("{} {rows:?}", variant.name));
            assert_same(&results[1], &results[0], "two threads");
            tried += 1;
        }
    }
    assert!(tried >= shapes().len());
}

#[test]
fn products_are_those_of_the_plain_loops_in_f64() {
    products_match(&ROW_LINEAR, |rows, a, b, index| {
        let mut out = poisoned(rows.windows.samples * rows.outputs);
        scalar::row_linear(rows, a, b, index, &mut out);
        out
    });
    products_match(&ROW_LINEAR_PATCH, |rows, a, b, index| {
        let mut out = poisoned(rows.windows.elements());
        scalar::row_linear_patch(rows, a, b, index, &mut out);
        out
    });
    products_match(&ROW_LINEAR_WEIGHT, |rows, a, b, index| {
        let mut out = poisoned(rows.elements());
        scalar::row_linear_weight(rows, a, b, index, &mut out);
        out
    });
}

fn classes(rows: &Rows) -> Classes {
    let of = (0..rows.positions() as u32).map(|position| position % 7 % 3).collect();
    Classes { of, count: 3 }
}

#[test]
fn sums_are_those_of_the_plain_loop_and_zero_where_not_wanted() {
    for rows in shapes() {
        let classes = classes(&rows);
        let x: Vec<f32> = random(4, rows.elements(), -1.0, 1.0);
        let mut want = poisoned(3 * rows.windows.channels * rows.outputs);
        scalar::row_sum(&rows, &classes, true, &x, &mut want);
        for variant in ROW_SUM.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            for wanted in [true, false] {
                let results = on_one_and_two_threads(|| {
                    let mut out = poisoned(want.len());
                    (variant.run)(&rows, &classes, wanted, &x, &mut out);
                    out
                });
                let zeros = vec![0.0; want.len()];
                let want = if wanted { &want } else { &zeros };
                assert_close(&results[0], want, 1e-6, 1e-6, variant.name);
                assert_same(&results[1], &results[0], "two threads");
            }
        }
    }
}

const RULES: [Rule; 10] = [
    Rule::Sgd { decay: 0.0 },
    Rule::Sgd { decay: 0.05 },
    Rule::Momentum { momentum: 0.9, decay: 0.0 },
    Rule::Momentum { momentum: 0.9, decay: 0.05 },
    Rule::Rmsprop { alpha: 0.99, epsilon: 1e-8 },
    Rule::Lion { beta1: 0.9, beta2: 0.99, decay: 0.1 },
    Rule::Lion { beta1: 0.9, beta2: 0.0, decay: 0.1 },
    Rule::Lion { beta1: 0.0, beta2: 0.99, decay: 0.1 },
    Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 },
    Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.05 },
];

/// Weights and moments as they may be; the last part is a square.
fn filled(rows: &Rows, seed: u64) -> Vec<f32> {
    let mut values: Vec<f32> = random(seed, rows.elements(), -1.0, 1.0);
    let stride = (rows.parts * rows.outputs).max(1);
    for row in values.chunks_exact_mut(stride) {
        row[(rows.parts - 1) * rows.outputs..].iter_mut().for_each(|value| *value *= *value);
    }
    values
}

#[test]
fn an_update_is_that_of_the_plain_loop_and_leaves_the_other_rows_alone() {
    for rule in RULES {
        for shape in shapes() {
            let rows = Rows { parts: rule.parts(), ..shape };
            let classes = classes(&rows);
            // Few windows, so that some positions have none.
            let mut few = rows.clone();
            few.windows.samples = few.windows.samples.min(2);
            let index = index(&few, 5);
            let windows: Vec<f32> = random(1, few.windows.elements(), -1.0, 1.0);
            let outputs: Vec<f32> = random(2, few.windows.samples * rows.outputs, -1.0, 1.0);
            let sums: Vec<f32> = random(3, 3 * rows.windows.channels * rows.outputs, -1.0, 1.0);
            let before = filled(&rows, 4);
            for all in [true, false] {
                let (wide_windows, wide_outputs, wide_sums) =
                    (wide(&windows), wide(&outputs), wide(&sums));
                let (rate, step, index) = (0.01, 3, index.as_slice());
                let change = Change {
                    windows: wide_windows.as_slice(),
                    outputs: wide_outputs.as_slice(),
                    sums: wide_sums.as_slice(),
                    index,
                    all,
                    rate,
                    step,
                };
                let mut want = wide(&before);
                scalar::row_update(&few, &classes, &rule, &change, &mut want);
                let want: Vec<f32> = want.iter().map(|x| *x as f32).collect();
                let change = Change {
                    windows: &windows,
                    outputs: &outputs,
                    sums: &sums,
                    index,
                    all,
                    rate,
                    step,
                };
                for variant in ROW_UPDATE.f32.iter().filter(|v| v.isa.supported().is_ok()) {
                    let results = on_one_and_two_threads(|| {
                        let mut out = before.clone();
                        (variant.run)(&few, &classes, &rule, &change, &mut out);
                        out
                    });
                    let what = format!("{} {rule:?} {few:?}", variant.name);
                    assert_close(&results[0], &want, 1e-5, 2e-6, &what);
                    assert_same(&results[1], &results[0], "two threads");
                }
                let length = rows.windows.channels * rows.stride();
                for position in 0..rows.positions() {
                    let range = position * length..(position + 1) * length;
                    let same = want[range.clone()] == before[range];
                    let touched = all || !few.entries(index, position).is_empty();
                    assert!(
                        same != (touched && length > 0) || matches!(rule, Rule::Rmsprop { .. })
                    );
                }
            }
        }
    }
}

/// The missed steps in f64, one by one, against the fast variants: over gaps of
/// all lengths, early and late in training, with rates that vary, for moments
/// large, small against ε, and zero.
#[test]
fn missed_steps_in_one_are_the_steps_one_by_one() {
    let mut worst: f64 = 0.0;
    for rule in RULES {
        for outputs in [1, 16, 37] {
            let rows = Rows { parts: rule.parts(), ..rows(4, 2, 3, outputs, 1) };
            let index = index(&rows, 9);
            for step in [1, 2, 5, 30, 100, 257, 700, 5000, 1_000_000] {
                let rates: Vec<f32> = random(6, HISTORY, 0.0, 2e-3);
                let last: Vec<i32> = (0..rows.positions() as u64)
                    .map(|i| (step - hash(i + step) % (step.min(HISTORY as u64) + 1)) as i32)
                    .collect();
                let mut before = filled(&rows, step);
                let stride = rows.stride();
                for (i, row) in before.chunks_exact_mut(stride).enumerate() {
                    // Magnitudes of gradients from 1 down to far below ε.
                    let scale = 10f32.powi(-((hash(i as u64) % 12) as i32));
                    for (at, value) in row.iter_mut().enumerate().skip(outputs) {
                        let square = at >= (rows.parts - 1) * outputs && rows.parts == 3;
                        *value *= if square { scale * scale } else { scale };
                        if i % 5 == 0 && at % 3 == 0 {
                            *value = 0.0;
                        }
                    }
                }
                let wide_rates = wide(&rates);
                for all in [true, false] {
                    let index = index.as_slice();
                    let missed =
                        Missed { last: &last, step, rates: wide_rates.as_slice(), index, all };
                    let mut want = wide(&before);
                    scalar::row_catch_up(&rows, &rule, &missed, &mut want);
                    let missed = Missed { last: &last, step, rates: rates.as_slice(), index, all };
                    let fast = ROW_CATCH_UP.f32.iter().filter(|v| v.isa.supported().is_ok());
                    for variant in fast {
                        let results = on_one_and_two_threads(|| {
                            let mut out = before.clone();
                            (variant.run)(&rows, &rule, &missed, &mut out);
                            out
                        });
                        assert_same(&results[1], &results[0], "two threads");
                        let scalar = variant.name == "scalar";
                        for (i, (got, want)) in results[0].iter().zip(&want).enumerate() {
                            // A weight moves by the sum of the steps, and is rounded.
                            let moved = (f64::from(before[i]) - want).abs();
                            let unit = f64::from(f32::EPSILON) * (want.abs() + 2.0 * moved);
                            let error = (f64::from(*got) - want).abs();
                            // The plain loop rounds after each step.
                            let most = if scalar { 40.0 } else { 1.5 };
                            assert!(
                                error <= most * unit + 1e-37,
                                "{rule:?} {} step {step} element {i}: {got} instead of {want}, {}",
                                variant.name,
                                error / unit
                            );
                            if !scalar && unit > 1e-30 {
                                worst = worst.max(error / unit);
                            }
                        }
                    }
                }
            }
        }
    }
    let fast = ROW_CATCH_UP.f32.iter().any(|v| v.name != "scalar" && v.isa.supported().is_ok());
    assert!(worst > 0.1 || !fast, "nothing was rounded: {worst}");
}
