//! Every variant this machine has, against the specification in `f64`.

use super::AttentionRows::{Apart, Packed};
use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, poisoned, random};

fn run<T: Real>(
    shape: &AttentionShape,
    forward: &Forward<T>,
    backward: &Backward<T>,
    arrays: &[Vec<T>; 4],
) -> [Vec<T>; 2] {
    let [q, k, v, c] = arrays;
    let mut out = poisoned(c.len() + 1);
    let mut scratch = poisoned((forward.scratch)(shape));
    let last = out.len() - 1;
    // SAFETY: the slices have the lengths of the shape; the variant is supported.
    unsafe { (forward.run)(shape, q, k, v, &mut out[..last], &mut scratch) };
    assert!(out.pop().is_some_and(|value| value.is_nan()), "written past the end");
    let mut gradients = poisoned(q.len() + k.len() + v.len() + 1);
    let mut scratch = poisoned((backward.scratch)(shape));
    let last = gradients.len() - 1;
    // SAFETY: as above.
    unsafe { (backward.run)(shape, q, k, v, c, &mut gradients[..last], &mut scratch) };
    assert!(gradients.pop().is_some_and(|value| value.is_nan()), "written past the end");
    [out, gradients]
}

fn arrays<T: Real>(shape: &AttentionShape) -> [Vec<T>; 4] {
    let mut seed = 7;
    shape.elements().map(|n| {
        seed += 1;
        random(seed, n, -1.5, 1.5)
    })
}

fn check(shape: &AttentionShape) {
    let single: [Vec<f32>; 4] = arrays(shape);
    let double = single.clone().map(|x| x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
    let reference = run(shape, &ATTENTION.f64[0].run, &ATTENTION_GRADIENT.f64[0].run, &double);
    let [forward, backward] = reference;
    for (forward_variant, backward_variant) in ATTENTION.f32.iter().zip(ATTENTION_GRADIENT.f32) {
        if forward_variant.isa.supported().is_err() {
            continue;
        }
        let what = format!("{} {shape:?}", forward_variant.name);
        let results = on_one_and_two_threads(|| {
            run(shape, &forward_variant.run, &backward_variant.run, &single)
        });
        let [one, two] = results;
        assert_same(&two[0], &one[0], &what);
        assert_same(&two[1], &one[1], &what);
        let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<_>>();
        assert_close(&one[0], &narrow(&forward), 1e-5, 1e-5, &what);
        let largest = backward.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        assert_close(
            &one[1],
            &narrow(&backward),
            1e-5,
            1e-5 * largest,
            &format!("{what} gradients"),
        );
    }
}

#[test]
fn ragged_sizes_agree_with_the_specification() {
    for [queries, keys] in [[1, 1], [3, 5], [8, 16], [17, 15], [64, 64], [65, 127], [70, 129]] {
        for [size, value] in [[1, 1], [4, 7], [32, 32], [33, 17], [16, 70]] {
            for causal in [false, true] {
                let scale = 0.7 / (size as f64).sqrt();
                check(&AttentionShape {
                    batch: 2,
                    queries,
                    keys,
                    size,
                    value,
                    scale,
                    causal,
                    rows: Apart,
                });
            }
        }
    }
}

#[test]
fn long_sequences_many_heads_and_nothing() {
    let shape = |batch, queries, keys| AttentionShape {
        batch,
        queries,
        keys,
        size: 8,
        value: 6,
        scale: 1.3,
        causal: false,
        rows: Apart,
    };
    for [batch, queries, keys] in [[1, 300, 520], [130, 9, 10], [0, 3, 3], [2, 0, 4], [2, 3, 0]] {
        check(&shape(batch, queries, keys));
        check(&AttentionShape { causal: true, ..shape(batch, queries, keys) });
        check(&AttentionShape { scale: -0.5, ..shape(batch, queries, keys) });
    }
    check(&AttentionShape { size: 0, ..shape(2, 3, 4) });
}

/// The largest score comes late, so that what came before is scaled down to
/// nothing, and no weight overflows.
#[test]
fn scores_far_apart_do_not_overflow() {
    let shape = AttentionShape {
        batch: 1,
        queries: 2,
        keys: 400,
        size: 1,
        value: 1,
        scale: 1.0,
        causal: false,
        rows: Apart,
    };
    let q = vec![1000.0f32, -1000.0];
    let k: Vec<f32> = (0..400).map(|j| j as f32).collect();
    let v = k.clone();
    for variant in ATTENTION.f32.iter().filter(|v| v.isa.supported().is_ok()) {
        let mut out = poisoned(2);
        let mut scratch = poisoned((variant.run.scratch)(&shape));
        // SAFETY: the slices have the lengths of the shape; the variant is supported.
        unsafe { (variant.run.run)(&shape, &q, &k, &v, &mut out, &mut scratch) };
        assert_eq!(out, [399.0, 0.0], "{}", variant.name);
    }
}

/// Packed rows are the same attention: the same bits as rows apart.
/// Of 300 keys the first 200 score -∞: more than a block, of which nothing is left.
#[test]
fn a_block_of_keys_that_are_infinitely_far_weighs_nothing() {
    let shape = AttentionShape {
        batch: 2,
        queries: 70,
        keys: 300,
        size: 4,
        value: 5,
        scale: 0.5,
        causal: false,
        rows: Apart,
    };
    let [mut q, mut k, v, c] = arrays::<f32>(&shape);
    q.iter_mut().for_each(|x| *x = x.abs() + 0.1);
    for keys in k.chunks_exact_mut(shape.keys * shape.size) {
        keys[..200 * shape.size].fill(f32::NEG_INFINITY);
    }
    let arrays = [q, k, v, c];
    let [want, _] = run(&shape, &scalar::forward(), &scalar::backward(), &arrays);
    assert!(want.iter().all(|value| value.is_finite()));
    for (forward, backward) in ATTENTION.f32.iter().zip(ATTENTION_GRADIENT.f32) {
        if forward.isa.supported().is_ok() {
            let [found, _] = run(&shape, &forward.run, &backward.run, &arrays);
            assert_close(&found, &want, 1e-5, 1e-5, forward.name);
        }
    }
}

#[test]
fn packed_rows_give_what_rows_apart_give() {
    for [samples, tokens, heads, size] in
        [[1, 1, 1, 1], [2, 5, 3, 4], [2, 64, 4, 32], [1, 70, 2, 17], [1, 300, 1, 9], [2, 3, 2, 0]]
    {
        for causal in [false, true] {
            let apart = AttentionShape {
                batch: samples * heads,
                queries: tokens,
                keys: tokens,
                size,
                value: size,
                scale: 0.4,
                causal,
                rows: Apart,
            };
            let packed = AttentionShape { rows: Packed { heads }, ..apart };
            // [samples, heads, tokens, size] as part `which` of `of` in packed rows.
            let pack = |to: &mut [f32], from: &[f32], which: usize, of: usize| {
                for (i, value) in from.iter().enumerate() {
                    let (column, row) = (i % size, i / size);
                    let (token, b) = (row % tokens, row / tokens);
                    let (sample, head) = (b / heads, b % heads);
                    let place = (sample * tokens + token) * of + which;
                    to[(place * heads + head) * size + column] = *value;
                }
            };
            let [q, k, v, c] = arrays::<f32>(&apart);
            let mut together = vec![0.0; 3 * q.len()];
            for (which, part) in [&q, &k, &v].into_iter().enumerate() {
                pack(&mut together, part, which, 3);
            }
            let mut packed_c = vec![0.0; c.len()];
            pack(&mut packed_c, &c, 0, 1);
            for (forward, backward) in ATTENTION.f32.iter().zip(ATTENTION_GRADIENT.f32) {
                if forward.isa.supported().is_err() {
                    continue;
                }
                let what = format!("{} {packed:?}", forward.name);
                let [y, g] = run(
                    &apart,
                    &forward.run,
                    &backward.run,
                    &[q.clone(), k.clone(), v.clone(), c.clone()],
                );
                let mut want = vec![0.0; y.len()];
                pack(&mut want, &y, 0, 1);
                let mut want_gradients = vec![0.0; g.len()];
                for which in 0..3 {
                    let part = &g[which * q.len()..][..q.len()];
                    pack(&mut want_gradients, part, which, 3);
                }
                let skip = |parts: usize| (parts * heads * size).min(together.len());
                let (k, v) = (&together[skip(1)..], &together[skip(2)..]);
                let mut out = poisoned(y.len() + 1);
                let mut scratch = poisoned((forward.run.scratch)(&packed));
                let last = y.len();
                // SAFETY: the slices have the lengths of the shape.
                unsafe {
                    (forward.run.run)(&packed, &together, k, v, &mut out[..last], &mut scratch)
                };
                assert!(out.pop().is_some_and(|value| value.is_nan()), "{what}");
                assert_same(&out, &want, &what);
                let mut out = poisoned(g.len() + 1);
                let mut scratch = poisoned((backward.run.scratch)(&packed));
                let (last, run) = (g.len(), backward.run.run);
                // SAFETY: as above.
                unsafe { run(&packed, &together, k, v, &packed_c, &mut out[..last], &mut scratch) };
                assert!(out.pop().is_some_and(|value| value.is_nan()), "{what}");
                assert_same(&out, &want_gradients, &format!("{what} gradients"));
            }
        }
    }
}
