//! Everything that runs on the CPU runs on a GPU, with the same results.
//!
//! Where there is no GPU these tests say so and count what they left out; with
//! `SPECK_REQUIRE_GPU=1` that is a failure.

use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::{check, compositions, ops};
use std::sync::Arc;

/// The first GPU, with all it has or with what every device has.
fn gpu(least: bool) -> Option<Arc<Gpu>> {
    match Gpu::open(0, least) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => None,
        Err(error) => panic!("{error}"),
    }
}

fn ops_on(least: bool) {
    let Some(gpu) = gpu(least) else {
        println!("skipped: {} ops, for there is no GPU", ops::ALL.len());
        return;
    };
    let mut failures = Vec::new();
    for op in ops::ALL {
        let mut worst: f64 = 0.0;
        for (number, case) in (op.cases)().iter().enumerate() {
            match check::variants::check_on(&gpu, case, number as u64 + 1) {
                Ok(units) => worst = worst.max(units),
                Err(error) => failures.push(format!("{}: {error}", op.name)),
            }
        }
        println!("{:24} {worst:8.1} units in the last place", op.name);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn ops_agree_with_the_cpu() {
    ops_on(false);
}

#[test]
fn ops_agree_with_the_cpu_at_the_least_limits() {
    ops_on(true);
}

#[test]
fn compositions_agree_with_the_cpu() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: {} compositions, for there is no GPU", compositions::all().count());
        return;
    };
    let mut failures = Vec::new();
    for composition in compositions::all() {
        for (number, case) in (composition.cases)().iter().enumerate() {
            if let Err(error) = check::variants::check_on(&gpu, case, number as u64 + 1) {
                failures.push(format!("{}: {error}", composition.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
