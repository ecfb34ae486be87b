//! A run on a GPU that goes away ends with an error and goes on from its last
//! checkpoint, there or on the processor.

mod support;

use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::structure::Mode;
use speck_harness::config::Experiment;
use speck_harness::run::{Display, RunOptions, run};
use speck_harness::{RunError, registries};
use std::sync::Arc;
use std::time::Duration;
use support::{Place, assert_bits, results};

const EXPERIMENT: &str = r#"
name = "lost"
[learner.adam]
kind = "gradient"
schedule = "cosine"
steps = 25
batch = 8
[[model]]
kind = "mlp"
width = 8
learner = "adam"
"#;

/// A GPU opened anew, as a later call of the command does.
fn gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(0, false) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => None,
        Err(error) => panic!("{error}"),
    }
}

/// Runs the experiment in a folder of the place.
fn ran(place: &Place, folder: &str, gpu: Option<Arc<Gpu>>) -> Result<(), RunError> {
    let experiment = Experiment::load(&place.path("lost.toml"), &registries())?;
    let options = RunOptions {
        folder: place.path(folder),
        threads: 1,
        jobs: 1,
        kernels: Choice::default().on(gpu),
        mode: Mode::Auto,
        checkpoint_interval: Duration::ZERO,
        display: Display::Quiet,
    };
    run(&experiment, &options).map(drop)
}

#[test]
fn a_run_goes_on_after_its_gpu_was_lost() {
    let Some(whole) = gpu() else {
        println!("skipped: losing a GPU, for there is none");
        return;
    };
    let place = Place::with("lost.toml", EXPERIMENT);
    ran(&place, "whole", Some(whole.clone())).expect("a whole run");
    let submissions = whole.counts().submits;
    for folder in ["there", "moved"] {
        let short = gpu().expect("the GPU once more");
        short.lose_after(submissions / 2);
        let error = ran(&place, folder, Some(short)).expect_err("a lost GPU").to_string();
        assert!(error.contains("failed") && error.contains("last checkpoint"), "{error}");
        let folder = format!("{folder}/lost");
        let files = place.names().into_iter().filter(|name| name.starts_with(&folder));
        assert!(files.count() > 0, "a checkpoint");
    }
    ran(&place, "there", gpu()).expect("the rest there");
    ran(&place, "moved", None).expect("the rest on the processor");
    let of = |folder: &str| results(&place.path(&format!("{folder}/lost.sqlite")));
    assert_bits(&of("there"), &of("whole"));
    assert!(of("moved").keys().eq(of("whole").keys()), "the same phases");
}
