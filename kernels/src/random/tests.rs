use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{RAGGED, assert_close, assert_same, poisoned};
use std::collections::HashSet;

const STREAM: Stream = Stream { seed: 7, stream: 3, step: 5 };

#[test]
fn known_answers() {
    // Random123, kat_vectors, the lines of philox4x32 with 10 rounds.
    for (counter, key, want) in [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ] {
        assert_eq!(philox4x32(counter, key), want);
    }
}

#[test]
fn an_element_is_a_word_of_a_block() {
    let index = (9u64 << 34) + 14;
    let block = philox4x32(STREAM.counter(index / 4), STREAM.key());
    assert_eq!(bits(&STREAM, index), block[2]);
    assert_eq!(STREAM.counter(index / 4), [3, 9, 5, 0]);
    let late = Stream { step: 1 << 40, ..STREAM };
    assert_eq!(late.counter(1), [1, 0, 0, 256]);
}

#[test]
fn seeds_streams_and_steps_share_nothing() {
    let mut keys = HashSet::new();
    let mut words = HashSet::new();
    for seed in 0..40 {
        for stream in 0..40 {
            assert!(keys.insert(Stream { seed, stream, step: 0 }.key()));
            for step in 0..4 {
                let stream = Stream { seed, stream, step };
                assert!(words.insert([bits(&stream, 0), bits(&stream, 1)]));
            }
        }
    }
}

#[test]
fn uniform_is_the_stream_in_every_variant_and_type() {
    for n in RAGGED.into_iter().chain([5000, 20_001]) {
        let want: Vec<f32> = (0..n as u64).map(|i| uniform(&STREAM, i)).collect();
        assert!(want.iter().all(|u| (0.0..1.0).contains(u)));
        for variant in UNIFORM.f32.iter().filter(|v| v.isa.supported().is_ok()) {
            let mut out = poisoned::<f32>(n);
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&STREAM, &mut out) };
            assert_same(&out, &want, &format!("{} {n}", variant.name));
        }
        let wide: Vec<f64> = want.iter().map(|u| f64::from(*u)).collect();
        let mut out = poisoned::<f64>(n);
        scalar::uniform(&STREAM, &mut out);
        assert_same(&out, &wide, "f64");
    }
}

#[test]
fn normal_agrees_in_every_variant_and_type() {
    for n in RAGGED.into_iter().chain([200_001]) {
        let mut reference = poisoned::<f64>(n);
        scalar::normal(&STREAM, &mut reference);
        let rounded: Vec<f32> = reference.iter().map(|x| *x as f32).collect();
        let mut portable = poisoned::<f32>(n);
        lanes::normal(&STREAM, &mut portable);
        assert_close(&portable, &rounded, 0.0, 1.2e-6, &format!("lanes {n}"));
        for variant in NORMAL.f32.iter().filter(|v| v.isa.supported().is_ok()) {
            let mut out = poisoned::<f32>(n);
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&STREAM, &mut out) };
            let want = if variant.name == "scalar" { &rounded } else { &portable };
            assert_same(&out, want, &format!("{} {n}", variant.name));
        }
    }
}

/// Mean, variance, skewness and excess kurtosis.
fn moments(x: &[f64]) -> [f64; 4] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let central = |power| x.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
    let variance = central(2);
    [mean, variance, central(3) / variance.powf(1.5), central(4) / variance.powi(2) - 3.0]
}

#[test]
fn the_moments_are_right() {
    // 4·10⁵ draws: five standard errors of each moment.
    let n = 400_000;
    let error = 5.0 / (n as f64).sqrt();
    let mut x = poisoned::<f64>(n);
    scalar::normal(&STREAM, &mut x);
    let widths = [1.0, 2f64.sqrt(), 6f64.sqrt(), 24f64.sqrt()].map(|w| w * error);
    for ((got, want), width) in moments(&x).into_iter().zip([0.0, 1.0, 0.0, 0.0]).zip(widths) {
        assert!((got - want).abs() <= width, "normal: {got}, should be {want} ± {width}");
    }
    scalar::uniform(&STREAM, &mut x);
    let want = [0.5, 1.0 / 12.0, 0.0, -1.2];
    for (got, want) in moments(&x).into_iter().zip(want) {
        assert!((got - want).abs() <= 2.0 * error, "uniform: {got}, should be {want}");
    }
    // Neighbours are uncorrelated.
    let products: f64 = x.windows(2).map(|x| (x[0] - 0.5) * (x[1] - 0.5)).sum();
    assert!((products / n as f64 * 12.0).abs() <= error);
}

#[test]
fn the_ends_of_the_range_are_finite() {
    // u = 0 gives radius 0, u = 1 − 2⁻²⁴ the greatest.
    for (first, radius) in [(0, 0.0), (u32::MAX, (48.0 * std::f64::consts::LN_2).sqrt())] {
        for (second, direction) in
            [(0, [1.0, 0.0]), (1 << 30, [0.0, 1.0]), (2 << 30, [-1.0, 0.0]), (3 << 30, [0.0, -1.0])]
        {
            let got = lanes::box_muller(first, second).map(f64::from);
            assert_close(&got, &direction.map(|d| d * radius), 1e-7, 1e-7, "box_muller");
        }
    }
}

#[test]
fn normal_is_accurate_everywhere() {
    let mut worst = [0f64; 2];
    for k in 0..1u32 << 24 {
        let word = k << 8;
        let u = f64::from(k) / 16_777_216.0;
        // Straight ahead the draw is the radius; at the mean radius, 1.25, the
        // angle alone matters.
        let radius = f64::from(lanes::box_muller(word, 0)[0]);
        let want = (-2.0 * libm::log(1.0 - u)).sqrt();
        worst[0] = worst[0].max((radius - want).abs());
        let half = 1 << 31;
        let scale = (2.0 * std::f64::consts::LN_2).sqrt();
        let angle = std::f64::consts::TAU * u;
        let [cosine, sine] = lanes::box_muller(half, word).map(f64::from);
        let error = (cosine - scale * angle.cos()).abs().max((sine - scale * angle.sin()).abs());
        worst[1] = worst[1].max(error);
    }
    println!("worst errors: radius {:e}, direction {:e}", worst[0], worst[1]);
    // The greatest radius is 4.9 times that of the angles: 1.2e-6 in all.
    assert!(worst[0] <= 3.6e-7 && worst[1] <= 1.6e-7);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let work = || {
        let mut out = [poisoned::<f32>(100_003), poisoned::<f32>(100_003)];
        lanes::uniform(&STREAM, &mut out[0]);
        lanes::normal(&STREAM, &mut out[1]);
        out
    };
    let [one, two] = on_one_and_two_threads(work);
    for (one, two) in one.iter().zip(&two) {
        assert_same(two, one, "2 threads");
    }
}
