//! `speck bench`: every variant beside a control, the page, and what it says to
//! what it cannot time. Times themselves are not looked at.

mod support;

use serde_json::Value;
use support::{Place, assert_refused};

/// The objects of `--json`, one a line.
fn rows(place: &Place, words: &[&str]) -> Vec<Value> {
    let said = place.succeed(words).out;
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_variant_is_timed_beside_scalar_and_a_control() {
    let place = Place::new();
    let words = ["bench", "ops", "--op", "relu", "--shape", "100x3", "--rounds", "1", "--json"];
    let rows = rows(&place, &words);
    let (peaks, rows) = rows.split_first().expect("the peaks");
    assert!(peaks["flops"].as_f64() > Some(0.0) && peaks["bandwidth"].as_f64() > Some(0.0));
    let variants: Vec<_> = rows.iter().map(|row| row["variant"].as_str().unwrap_or("")).collect();
    assert_eq!(variants[variants.len() - 2..], ["scalar", "control"]);
    for row in rows {
        assert_eq!((row["flops"].as_u64(), row["bytes"].as_u64()), (Some(300), Some(2400)));
        assert!(row["seconds"].as_f64() > Some(0.0) && row["error"] == 0.0, "{row}");
    }
    assert_eq!(rows[0]["ratio"], 1.0);
}

#[test]
fn the_page_has_the_roofline_and_every_row() {
    let place = Place::new();
    let words = ["bench", "ops", "--op", "exp", "--shape", "70", "--rounds", "1"];
    place.succeed(&[&words[..], &["--html", "roof.html"]].concat());
    let page = std::fs::read_to_string(place.path("roof.html")).expect("the page");
    for part in ["Roofline", "<svg", "control", "scalar"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn steps_are_timed_in_each_mode_on_each_background() {
    let place = Place::new();
    for mode in ["dense", "structured"] {
        let words = ["bench", "steps", "--work", "mlp32", "--seconds", "0", "--json"];
        let rows = rows(&place, &[&words[..], &["--mode", mode]].concat());
        let row = rows.last().expect("a row");
        assert_eq!((row["work"].as_str(), row["mode"].as_str()), (Some("mlp32"), Some(mode)));
        assert!(row["ms_median"].as_f64() > Some(0.0), "{row}");
    }
}

#[test]
fn steps_of_several_storages_are_timed_in_turn() {
    let place = Place::new();
    let words = ["bench", "steps", "--work", "mlp32", "--seconds", "0", "--json"];
    let words = [&words[..], &["--mode", "dense", "--storage", "f32,bf16"]].concat();
    let rows = rows(&place, &words);
    let storages: Vec<_> = rows.iter().filter_map(|row| row["storage"].as_str()).collect();
    assert_eq!(storages, ["f32", "bf16"]);
}

#[test]
fn evaluations_of_both_kinds_give_the_same_answers() {
    let place = Place::new();
    let words = ["bench", "evaluation", "--work", "mlp32", "--rounds", "1", "--steps", "2"];
    let rows = rows(&place, &[&words[..], &["--json"]].concat());
    let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
    assert_eq!((row["positions"].as_u64(), row["n"].as_u64()), (Some(4096), Some(1)));
    assert!(row["difference"].as_f64() <= Some(1e-5), "{row}");
    assert!(row["ratio"].as_f64() > Some(0.0), "{row}");
}

#[test]
fn the_drift_of_exact_rows_is_rounding_and_that_of_masked_ones_is_not() {
    let place = Place::new();
    let rows = rows(&place, &["bench", "drift", "--optimizer", "adam", "--steps", "90", "--json"]);
    let of = |name: &str| {
        let row = rows.iter().find(|row| row["rows"] == name).expect("a row");
        [&row["f64"], &row["f32"]].map(|value| value.as_f64().expect("a number"))
    };
    assert_eq!(rows.len(), 4);
    assert!(of("exact")[0] < 1e-12 && of("dense")[0] < 1e-12, "{rows:?}");
    assert!(of("exact")[1] < 3.0 * of("program")[1], "{rows:?}");
    assert!(of("masked")[0] > 1e-3, "{rows:?}");
}

#[test]
fn what_cannot_be_timed_is_named() {
    let place = Place::new();
    let complaints: [(&[&str], &str); 10] = [
        (&["ops", "--op", "rellu"], "did you mean `relu`"),
        (&["ops", "--shape", "3x3"], "needs exactly one --op"),
        (&["ops", "--op", "relu", "--variant", "axv2"], "no variant `axv2`"),
        (&["ops", "--op", "relu", "--shape", "3xx"], "3xx"),
        (
            &["ops", "--op", "matmul", "--shape", "3x4,5x6"],
            "error: matmul: the inner sizes 4 and 5 differ",
        ),
        (&["ops", "--op", "matmul", "--shape", "3x4"], "error: matmul: takes 2 inputs, not 1"),
        (&["steps", "--work", "cn"], "did you mean `cnn`"),
        (&["steps", "--background", "blak"], "random-sample"),
        (&["evaluation", "--work", "cn"], "did you mean `cnn`"),
        (&["drift", "--optimizer", "adan"], "did you mean `adam`"),
    ];
    for (words, part) in complaints {
        let outcome = place.speck(&[&["bench"][..], words].concat());
        assert_refused(&outcome, 2, &[part]);
    }
}
