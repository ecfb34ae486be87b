//! Linear layers on windows, by rows, and what optimizers do to the rows.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Draw, Memory, SHIFTS};
use crate::windows::origins;
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::rows::rule::Rule;
use speck_kernels::rows::{
    Change, Classes, HISTORY, Missed, Product, ROW_CATCH_UP, ROW_INDEX, ROW_LINEAR,
    ROW_LINEAR_PATCH, ROW_LINEAR_WEIGHT, ROW_SUM, ROW_UPDATE, Rows,
};
use speck_kernels::window::Windows;

fn any_rows() -> impl Strategy<Value = Rows> {
    let windows = (0usize..9, 0usize..4, 0usize..14, [0usize..4, 0..4], [1usize..6, 1..6]);
    (windows, prop_oneof![0usize..20, 0usize..140], 1usize..4).prop_map(
        |((samples, slots, channels, size, map), outputs, parts)| {
            let windows = Windows { samples, slots, channels, size, map };
            Rows { windows, outputs, parts }
        },
    )
}

/// The index of windows somewhere, and for each position whether one lies on it.
fn index(rows: &Rows, shifts: [usize; 2], seed: u64) -> Result<Memory<i32>, TestCaseError> {
    let Windows { samples, slots, map, .. } = rows.windows;
    let origins = origins(samples * slots, map, shifts[0], seed);
    let [index] = ROW_INDEX.f32 else { panic!("one variant") };
    let length = rows.index_elements();
    same(&ROW_INDEX, length, shifts[1], |run, out: &mut [i32]| run(rows, origins.slice(), out))?;
    let mut made = vec![0; length];
    (index.run)(rows, origins.slice(), &mut made);
    Ok(Memory::of(&made, shifts[1]))
}

fn any_classes(rows: &Rows, seed: u64) -> Classes {
    let mut draw = Draw::new(seed);
    let count = 1 + draw.below(4);
    Classes { of: (0..rows.positions()).map(|_| draw.below(count) as u32).collect(), count }
}

/// Elements of the windows, of the outputs and of the rows.
fn lengths(rows: &Rows) -> [usize; 3] {
    [rows.windows.elements(), rows.windows.samples * rows.outputs, rows.elements()]
}

/// Halves, so that with quarters the sign of what Lion mixes is exact.
const fn rules(decay: f64, beta2: f64) -> [Rule; 5] {
    [
        Rule::Sgd { decay },
        Rule::Momentum { momentum: 0.9, decay },
        Rule::Rmsprop { alpha: 0.99, epsilon: 1e-8 },
        Rule::Lion { beta1: 0.5, beta2, decay },
        // Large against the root of some second moments, which are then stepped one by
        // one.
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 0.05, decay },
    ]
}

/// Without decay and with it. Static, since valgrind takes the bytes of a rule on the
/// stack that it does not use for undefined: compiled loops may take the logarithm of
/// a number that only Adam has before they ask whether it is Adam.
static UPDATING: [[Rule; 5]; 2] = [rules(0.0, 0.5), rules(0.05, 0.5)];

/// The same, but what Lion has gathered does not vanish in as many steps as are kept.
static MISSING: [[Rule; 5]; 2] = [rules(0.0, 0.99), rules(0.05, 0.99)];

/// Weights and moments as they may be; the last of three parts is a square.
fn rows_of_quarters(rows: &Rows, rule: &Rule, seed: u64) -> Vec<f32> {
    let mut values = Memory::quarters(rows.elements(), 0, seed).slice().to_vec();
    let has_squares = matches!(rule, Rule::Rmsprop { .. } | Rule::Adam { .. });
    let stride = (rows.parts * rows.outputs).max(1);
    for row in values.chunks_exact_mut(stride).filter(|_| has_squares) {
        let last = &mut row[(rows.parts - 1) * rows.outputs..];
        last.iter_mut().for_each(|value| *value *= *value);
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]

    #[test]
    fn products_by_rows(rows in any_rows(), shifts in [SHIFTS; 5], seed: u64) {
        let index = index(&rows, [shifts[3], shifts[4]], seed)?;
        let Windows { samples, slots, channels, size, .. } = rows.windows;
        let sums = [slots * size[0] * size[1] * channels, rows.outputs, samples * slots];
        // Windows, outputs and rows; of the three, each product reads two and makes one.
        let products: [(&Kernel<Product>, _); 3] = [
            (&ROW_LINEAR, [0, 2, 1]),
            (&ROW_LINEAR_PATCH, [1, 2, 0]),
            (&ROW_LINEAR_WEIGHT, [0, 1, 2]),
        ];
        for ((kernel, [first, second, made]), sum) in products.into_iter().zip(sums) {
            // A gradient has one part.
            let rows = Rows { parts: if made == 2 { 1 } else { rows.parts }, ..rows.clone() };
            let lengths = lengths(&rows);
            let a = Memory::random(lengths[first], shifts[0], seed);
            let b = Memory::random(lengths[second], shifts[1], !seed);
            agree(kernel, lengths[made], shifts[2], 4.0 * sum as f32, |run, out| {
                run(&rows, a.slice(), b.slice(), index.slice(), out);
            })?;
        }
        let classes = any_classes(&rows, seed);
        let x = Memory::random(rows.elements(), shifts[0], seed);
        let length = classes.count * channels * rows.outputs;
        for wanted in [false, true] {
            let terms = 2.0 * rows.positions() as f32;
            agree(&ROW_SUM, length, shifts[2], terms, |run, out| {
                run(&rows, &classes, wanted, x.slice(), out);
            })?;
        }
    }

    #[test]
    fn updates_of_rows(
        rows in any_rows(), is_decaying: bool, all: bool, step in 1u64..1000,
        shifts in [SHIFTS; 5], seed: u64,
    ) {
        let index = index(&rows, [shifts[3], shifts[4]], seed)?;
        let classes = any_classes(&rows, seed);
        for rule in &UPDATING[usize::from(is_decaying)] {
            let rows = Rows { parts: rule.parts(), ..rows.clone() };
            let [windows, outputs, _] = lengths(&rows);
            let sums = classes.count * rows.windows.channels * rows.outputs;
            let windows = Memory::quarters(windows, shifts[0], seed);
            let outputs = Memory::quarters(outputs, shifts[1], !seed);
            let sums = Memory::quarters(sums, shifts[2], seed.rotate_left(1));
            let before = rows_of_quarters(&rows, rule, seed.rotate_left(2));
            let change = Change {
                windows: windows.slice(),
                outputs: outputs.slice(),
                sums: sums.slice(),
                index: index.slice(),
                all,
                rate: 0.01,
                step,
            };
            agree(&ROW_UPDATE, before.len(), shifts[3], 4.0, |run, out| {
                out.copy_from_slice(&before);
                run(&rows, &classes, rule, &change, out);
            })?;
        }
    }

    #[test]
    fn missed_steps_of_rows(
        rows in any_rows(), is_decaying: bool, all: bool,
        step in prop_oneof![1u64..10, 1u64..1000], shifts in [SHIFTS; 5], seed: u64,
    ) {
        let index = index(&rows, [shifts[3], shifts[4]], seed)?;
        let mut draw = Draw::new(seed);
        let most = step.min(HISTORY as u64) as usize;
        let last: Vec<_> =
            (0..rows.positions()).map(|_| step as i32 - draw.below(most + 1) as i32).collect();
        let last = Memory::of(&last, shifts[0]);
        let rates = Memory::input(HISTORY, shifts[1], |_| draw.below(1000) as f32 * 2e-6);
        for rule in &MISSING[usize::from(is_decaying)] {
            let rows = Rows { parts: rule.parts(), ..rows.clone() };
            let before = rows_of_quarters(&rows, rule, seed.rotate_left(2));
            let missed = Missed {
                last: last.slice(),
                step,
                rates: rates.slice(),
                index: index.slice(),
                all,
            };
            // `scalar` rounds after each of up to 256 steps.
            agree(&ROW_CATCH_UP, before.len(), shifts[2], 20.0, |run, out| {
                out.copy_from_slice(&before);
                run(&rows, rule, &missed, out);
            })?;
        }
    }
}
