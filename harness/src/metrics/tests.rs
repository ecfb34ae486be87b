use std::collections::BTreeSet;

use crate::data::DataSettings;

use super::*;

/// A batch of samples with the specks given, and outputs of zeros.
fn batch(samples: &[&[(i32, i32)]]) -> (SpeckBatch, Vec<f32>) {
    let specks = samples.iter().map(|specks| specks.len()).max().unwrap_or(0);
    let mut batch = SpeckBatch::new(
        DataSettings { count: specks, ..DataSettings::default() }.shape(samples.len()),
    );
    for (sample, places) in samples.iter().enumerate() {
        for (slot, (row, column)) in places.iter().enumerate() {
            let index = (sample * specks + slot) * 2;
            batch.positions[index..index + 2].copy_from_slice(&[*row, *column]);
        }
    }
    (batch, vec![0.0; samples.len() * TARGETS])
}

/// Metrics of one sample with the given bright values.
fn measure(specks: &[(i32, i32)], rows: &[(usize, f32)], columns: &[(usize, f32)]) -> Metrics {
    let (batch, mut outputs) = batch(&[specks]);
    for (row, value) in rows {
        outputs[*row] = *value;
    }
    for (column, value) in columns {
        outputs[SCREEN + column] = *value;
    }
    let mut metrics = Metrics::new();
    metrics.add(&outputs, &batch);
    metrics
}

#[track_caller]
fn assert_values(metrics: &Metrics, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = metrics.value(name).expect(name);
        let error = (found - value).abs();
        assert!(error < 1e-7, "{name}: {found}, expected {value}");
    }
}

#[test]
fn names_are_unique_and_all_are_computed() {
    let names: BTreeSet<_> = LIST.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), LIST.len());
    let finished = Metrics::new().finish();
    assert!(finished.iter().all(|metric| metric.value.is_none() && metric.cases == 0));
    assert!(finished.iter().map(|metric| metric.name).eq(LIST.iter().map(|metric| metric.name)));
    assert!(info("exact hit").is_some_and(|metric| metric.higher_is_better));
    assert!(info("hit").is_none());
}

#[test]
fn a_perfect_answer_scores_in_full() {
    for specks in [&[(3, 60)][..], &[(3, 60), (8, 1)], &[(3, 60), (3, 1)]] {
        let row = |speck: &(i32, i32)| (speck.0 as usize, 1.0);
        let column = |speck: &(i32, i32)| (speck.1 as usize, 1.0);
        let rows: Vec<_> = specks.iter().map(row).collect();
        let columns: Vec<_> = specks.iter().map(column).collect();
        let metrics = measure(specks, &rows, &columns);
        for metric in metrics.finish() {
            let best = if info(metric.name).unwrap().higher_is_better { 1.0 } else { 0.0 };
            let single = specks.len() == 1;
            let expected = (single || metric.cases > 0).then_some(best);
            assert_eq!(metric.value, expected, "{} {specks:?}", metric.name);
        }
        assert_eq!(metrics.value("exact hit").is_some(), specks.len() == 1);
    }
}

#[test]
fn one_speck_by_hand() {
    // Row right with 0.6 of 0.8; column 4 too far, 0.5 against 0.3.
    let metrics = measure(&[(10, 20)], &[(10, 0.6), (13, 0.2)], &[(20, 0.3), (24, 0.5)]);
    let calibration = ((0.75f64 - 1.0).abs() + 0.625) / 2.0;
    let brier = (2.0 * 0.25f64.powi(2) + 2.0 * 0.625f64.powi(2)) / 2.0;
    assert_values(
        &metrics,
        &[
            ("row hit", 1.0),
            ("column hit", 0.0),
            ("axis hit", 0.5),
            ("exact hit", 0.0),
            ("pixel distance", 4.0),
            ("brightness", 0.45),
            ("calibration", calibration),
            ("brier", brier),
            // Row: {10}; columns: {20, 24}, both at least half of 0.5.
            ("exact rows", 1.0),
            ("exact columns", 0.0),
            ("exact set", 0.0),
            ("precision rows", 1.0),
            ("precision columns", 0.5),
            ("precision", 2.0 / 3.0),
            ("recall", 1.0),
            ("f1", 0.8),
            ("map columns", 0.5),
            ("map", 0.75),
            ("recall at k columns", 0.0),
            ("recall at k", 0.5),
        ],
    );
    assert_eq!(metrics.finish()[0].cases, 1);
    let cases = |name| metrics.finish().iter().find(|metric| metric.name == name).unwrap().cases;
    assert_eq!((cases("calibration"), cases("f1")), (2, 1));
}

#[test]
fn several_specks_by_hand() {
    // Rows 5 (twice) and 9, columns 1, 2, 3.
    let specks = [(5, 1), (5, 2), (9, 3)];
    let rows = [(5, 1.0), (7, 0.8), (9, 0.3)];
    let columns = [(1, 0.9), (2, 0.5), (3, 0.1), (40, 0.6), (41, 0.2)];
    let metrics = measure(&specks, &rows, &columns);
    let map_rows = (1.0 + 2.0 / 3.0) / 2.0;
    let map_columns = (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0;
    assert_values(
        &metrics,
        &[
            // Rows: predicted {5, 7} of {5, 9}; columns {1, 2, 40} of {1, 2, 3}.
            ("precision rows", 0.5),
            ("recall rows", 0.5),
            ("f1 rows", 0.5),
            ("precision columns", 2.0 / 3.0),
            ("recall columns", 2.0 / 3.0),
            ("precision", 3.0 / 5.0),
            ("recall", 3.0 / 5.0),
            ("f1", 3.0 / 5.0),
            ("map rows", map_rows),
            ("map columns", map_columns),
            ("map", (map_rows + map_columns) / 2.0),
            ("recall at k rows", 0.5),
            ("recall at k columns", 2.0 / 3.0),
            ("recall at k", 3.0 / 5.0),
            ("exact set", 0.0),
            ("brightness", ((1.0 + 0.3) / 2.0 + 1.5 / 3.0) / 2.0),
        ],
    );
    assert_eq!(metrics.value("exact hit"), None);
}

#[test]
fn constant_outputs_hit_nothing() {
    for value in [0.0f32, 0.7, -1.0] {
        for speck in [(0, 0), (63, 63), (20, 30)] {
            let (batch, mut outputs) = batch(&[&[speck]]);
            outputs.fill(value);
            let mut metrics = Metrics::new();
            metrics.add(&outputs, &batch);
            let expected = [
                ("row hit", 0.0),
                ("column hit", 0.0),
                ("exact hit", 0.0),
                ("exact set", 0.0),
                ("recall at k", 0.0),
                ("map", 1.0 / 64.0),
                ("precision", if value > 0.0 { 1.0 / 64.0 } else { 0.0 }),
                ("pixel distance", f64::from(speck.0).hypot(f64::from(speck.1))),
            ];
            assert_values(&metrics, &expected);
        }
    }
}

#[test]
fn a_shared_maximum_is_no_hit() {
    let metrics = measure(&[(4, 4)], &[(4, 1.0), (9, 1.0)], &[(4, 1.0)]);
    let expected = [
        ("row hit", 0.0),
        ("column hit", 1.0),
        ("exact hit", 0.0),
        ("pixel distance", 0.0),
        ("map rows", 0.5),
        ("recall at k rows", 0.0),
    ];
    assert_values(&metrics, &expected);
}

#[test]
fn equal_targets_share_the_last_places_of_their_equals() {
    // Rows 1 and 2 are targets, 3 is as bright: ranks 2 and 3.
    let metrics = measure(&[(1, 1), (2, 2)], &[(1, 0.5), (2, 0.5), (3, 0.5)], &[]);
    assert_values(&metrics, &[("map rows", (1.0 / 2.0 + 2.0 / 3.0) / 2.0)]);
    assert_values(&metrics, &[("recall at k rows", 0.5)]);
}

#[test]
fn values_that_are_not_finite_never_count() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let metrics = measure(&[(4, 4)], &[(4, 1.0), (9, bad)], &[(4, bad)]);
        let diagonal = 63.0 * 2f64.sqrt();
        let expected = [
            ("row hit", 0.0),
            ("column hit", 0.0),
            ("exact hit", 0.0),
            ("exact set", 0.0),
            ("precision", 0.0),
            ("recall", 0.0),
            ("f1", 0.0),
            ("map", 0.0),
            ("recall at k", 0.0),
            ("brightness", 0.0),
            ("finite", 0.0),
            ("calibration", 0.0),
            ("brier", 1.0),
            ("pixel distance", diagonal),
        ];
        assert_values(&metrics, &expected);
    }
}

#[test]
fn calibration_compares_confidence_with_hits_bin_by_bin() {
    // 20 axes of confidence 0.75, of which 15 hit: perfectly calibrated.
    let samples: Vec<&[(i32, i32)]> = vec![&[(0, 0)]; 10];
    let (batch, mut outputs) = batch(&samples);
    for (axis, values) in outputs.chunks_exact_mut(SCREEN).enumerate() {
        let (bright, dim) = if axis % 4 == 3 { (1, 0) } else { (0, 1) };
        values[bright] = 0.75;
        values[dim] = 0.25;
    }
    let mut metrics = Metrics::new();
    metrics.add(&outputs, &batch);
    assert_values(&metrics, &[("axis hit", 0.75), ("calibration", 0.0)]);
}

#[test]
fn empty_samples_are_passed_over_and_batches_add_up() {
    let (with_empty, outputs) = batch(&[&[(1, 1)], &[], &[(2, 2), (3, 3)]]);
    let mut metrics = Metrics::new();
    metrics.add(&outputs, &with_empty);
    metrics.add(&outputs, &with_empty);
    let cases = |name: &str| metrics.finish().iter().find(|m| m.name == name).unwrap().cases;
    assert_eq!((cases("exact hit"), cases("exact set"), cases("finite")), (2, 4, 4));
}

#[test]
fn the_map_keeps_positions_apart() {
    let (batch, mut outputs) = batch(&[&[(0, 63)], &[(2, 5)], &[(2, 5)], &[(7, 7), (8, 8)]]);
    outputs[0] = 0.5;
    outputs[SCREEN + 63] = 1.0;
    outputs[TARGETS + 2] = 1.0;
    outputs[TARGETS + SCREEN + 9] = 1.0;
    outputs[2 * TARGETS] = f32::NAN;
    let mut map = ErrorMap::new();
    map.add(&outputs, &batch);
    let (right, wrong) = (63, 2 * SCREEN + 5);
    assert_eq!((map.cases[right], map.cases[wrong]), (1, 2));
    assert_eq!(map.cases.iter().sum::<u64>(), 3);
    assert_eq!(map.exact_hit()[right], Some(1.0));
    assert_eq!(map.brightness()[right], Some(0.75));
    assert_eq!(map.exact_hit()[wrong], Some(0.0));
    let distance = (4.0 + 63.0 * 2f64.sqrt()) / 2.0;
    assert!((map.pixel_distance()[wrong].unwrap() - distance).abs() < 1e-9);
    assert_eq!(map.exact_hit()[1], None);
}
