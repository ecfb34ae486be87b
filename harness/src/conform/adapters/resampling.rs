//! Resampling and windows.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use serde_json::Value;
use speck_engine::NodeId;
use speck_engine::compositions::{Interpolation, Outside, Resampling, Sampling, Target};
use speck_engine::ops::Window;

fn wrong<T>(message: String) -> Result<T, Problem> {
    Err(Problem::Unsupported(message))
}

/// The size or the factors, one number standing for all `dimensions`.
fn target(call: &Arguments<'_>, dimensions: usize) -> Result<Target, Problem> {
    if let Some(sizes) = call.integers("size")? {
        let sizes: Result<Vec<_>, _> = sizes.into_iter().map(usize::try_from).collect();
        let Ok(sizes) = sizes else { return wrong("`size` should not be negative".to_owned()) };
        return Ok(Target::Sizes(if sizes.len() == 1 {
            vec![sizes[0]; dimensions]
        } else {
            sizes
        }));
    }
    let factors: Option<Vec<f64>> = match call.get("scale_factor") {
        Some(Value::Array(values)) => values.iter().map(Value::as_f64).collect(),
        Some(value) => value.as_f64().map(|factor| vec![factor; dimensions]),
        None => None,
    };
    let Some(factors) = factors else {
        return wrong("neither `size` nor `scale_factor` is given in numbers".to_owned());
    };
    let recompute = call.truth("recompute_scale_factor", false)?;
    Ok(Target::Factors { factors, recompute })
}

fn interpolate(call: &Arguments<'_>, usual: &'static str) -> Result<Vec<NodeId>, Problem> {
    let x = call.input("input")?;
    let mode = match call.word("mode", usual)?.as_str() {
        "nearest" => Interpolation::Nearest,
        "nearest-exact" => Interpolation::NearestExact,
        "linear" | "bilinear" | "trilinear" => Interpolation::Linear,
        "bicubic" => Interpolation::Cubic,
        "area" => Interpolation::Area,
        other => return wrong(format!("no mode `{other}`")),
    };
    if call.truth("antialias", false)? {
        return wrong("no smoothing before the image is made smaller".to_owned());
    }
    let target = target(call, call.graph.shape(x).len().saturating_sub(2))?;
    let form = Resampling { target, mode, align_corners: call.truth("align_corners", false)? };
    Ok(vec![call.graph.interpolate(x, &form)?])
}

fn sampling(call: &Arguments<'_>) -> Result<Sampling, Problem> {
    let mode = match call.word("mode", "bilinear")?.as_str() {
        "bilinear" => Interpolation::Linear,
        "nearest" => Interpolation::Nearest,
        "bicubic" => Interpolation::Cubic,
        other => return wrong(format!("no mode `{other}`")),
    };
    let outside = match call.word("padding_mode", "zeros")?.as_str() {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return wrong(format!("no padding mode `{other}`")),
    };
    Ok(Sampling { mode, outside, align_corners: call.truth("align_corners", false)? })
}

/// Kernel and window of unfold and fold.
fn window(call: &Arguments<'_>) -> Result<([usize; 2], Window), Problem> {
    let window = Window {
        stride: call.sizes("stride", [1, 1])?,
        padding: call.sizes("padding", [0, 0])?,
        dilation: call.sizes("dilation", [1, 1])?,
        groups: 1,
    };
    Ok((call.sizes("kernel_size", [1, 1])?, window))
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("interpolate_bilinear", |call| interpolate(call, "bilinear")),
    ("interpolate_nearest", |call| interpolate(call, "nearest")),
    ("interpolate", |call| interpolate(call, "nearest")),
    ("grid_sample", |call| {
        let (x, grid) = (call.input("input")?, call.input("grid")?);
        Ok(vec![call.graph.grid_sample(x, grid, sampling(call)?)?])
    }),
    ("unfold", |call| {
        let (kernel, window) = window(call)?;
        Ok(vec![call.graph.unfold(call.input("input")?, kernel, window)?])
    }),
    ("fold", |call| {
        let (kernel, window) = window(call)?;
        let size = call.sizes("output_size", [1, 1])?;
        Ok(vec![call.graph.fold(call.input("input")?, size, kernel, window)?])
    }),
];
