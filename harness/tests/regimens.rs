//! A run with a regimen may be killed at any moment, between two stretches too.
#![cfg(unix)]

mod support;

use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;
use support::{Place, assert_same, results};

const TEXT: &str = r#"
name = "regimens"

[learner.adam]
kind = "gradient"
schedule = "cosine"
steps = 60
batch = 8

[[model]]
kind = "cnn"
channels = [2, 2]
norm = "batch"
dropout = 0.2

[[regimen]]
kind = "seal"
generations = 3
ascent_rate = 1

[[regimen]]
kind = "born_again"
generations = 3
"#;

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let words = ["run", "regimens.toml", "--checkpoint-every", "0", "--quiet"];
    let whole = Place::with("regimens.toml", TEXT);
    let start = Instant::now();
    whole.succeed(&words);
    let time = start.elapsed();
    let wanted = results(&whole.path("runs/regimens.sqlite"));
    assert_eq!(wanted.len(), 2);
    let place = Place::with("regimens.toml", TEXT);
    for share in [0.15, 0.3, 0.25, 0.4] {
        let mut command = place.command(&words);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the command starts");
        sleep(time.mul_f64(share));
        child.kill().expect("a signal");
        child.wait().expect("an end");
    }
    place.succeed(&words);
    assert_same(&results(&place.path("runs/regimens.sqlite")), &wanted);
}
