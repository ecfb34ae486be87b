//! Every shader, and every variant of what a shader computes, agrees with the scalar
//! kernels, on sizes around the edges of what it works on at a time and on buffers filled
//! with NaN; and none is left out.
//!
//! Where there is no GPU these tests say so; with `SPECK_REQUIRE_GPU=1` that is a failure.

use speck_engine::check::shaders::{self, Report};
use speck_engine::kernels::gpu::{ALL, FAMILIES, Gpu, GpuError};
use std::sync::Arc;

fn gpu(least: bool) -> Option<Arc<Gpu>> {
    match Gpu::open(0, least) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: {} shaders, for there is no GPU", ALL.len());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn show(report: &Report) {
    for own in &report.shaders {
        let said = match own.refused {
            Some(reason) => reason.to_owned(),
            None => {
                let alone = own.alone.map_or("-".to_owned(), |units| format!("{units:.1}"));
                let of = "units in the last place, as the only shader";
                format!("{:5} cases, {:8.1} {of} {alone}", own.cases, own.units)
            }
        };
        println!("{:28} {said}", own.shader);
    }
}

#[test]
fn every_shader_agrees_with_the_scalar_kernels_and_none_is_left_out() {
    let Some(gpu) = gpu(false) else { return };
    let report = shaders::check(&gpu, &|_| true, &mut |_| ());
    show(&report);
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(report.forgotten(), Vec::<&str>::new(), "no case dispatches these");
    let seen = |name: &str| report.shaders.iter().find(|own| own.shader == name);
    // A move changes nothing; a product has a difference of its own.
    let alone = |name: &str| seen(name).and_then(|own| own.alone);
    assert_eq!(alone("copy_strided"), Some(0.0));
    assert!(alone("matmul").is_some_and(|units| units > 0.0));
    for family in FAMILIES {
        for (shader, _) in family.others {
            let own = seen(shader.name).expect("a shader of the list");
            assert!(own.alone.is_none_or(|alone| alone <= own.units), "{}", own.shader);
            assert!(own.refused.is_some() || own.cases > 5, "{}: {} cases", own.shader, own.cases);
        }
    }
}

#[test]
fn the_plain_shaders_agree_at_the_least_limits() {
    let Some(gpu) = gpu(true) else { return };
    let families = ["matmul", "conv2d", "sum", "softmax", "norm", "scatter_add", "max_pool2d"];
    let report = shaders::check(&gpu, &|op| families.contains(&op), &mut |_| ());
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    for own in report.shaders.iter().filter(|own| own.refused.is_some()) {
        assert_eq!(own.cases, 0, "{}", own.shader);
    }
}
