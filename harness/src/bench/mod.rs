//! `speck bench`: kernel variants and training steps, timed.

pub mod cases;
pub mod evaluation;
pub mod gpu;
pub mod large;
pub mod ops;
mod page;
pub mod steps;

pub use page::page;
pub(crate) use page::{error, rate, units};

use serde::Serialize;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{GpuError, Peak};
use speck_engine::kernels::peak::{self, Arithmetic};
use std::time::Instant;

/// The limits of this machine on the threads that are timed, or those of a GPU,
/// measured in the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Peaks {
    /// The processor (`cpu`), or the GPU's name.
    pub device: String,
    /// Threads of the processor.
    pub threads: usize,
    /// Multiply-adds in registers, f32 operations a second.
    pub flops: f64,
    /// The instruction set they used.
    pub variant: &'static str,
    /// A copy beyond the caches, bytes read and written a second.
    pub bandwidth: f64,
}

impl Peaks {
    /// Measures them on the threads of the current pool; takes a second.
    pub fn measure() -> Self {
        let Arithmetic { variant, flops } = peak::arithmetic(0.3);
        let (device, threads) = ("cpu".to_owned(), rayon::current_num_threads());
        Peaks { device, threads, flops, variant, bandwidth: peak::copy(6) }
    }

    /// Those of `kernels`' GPU, by its own clock, or else those of the processor.
    ///
    /// # Errors
    /// The GPU failed, or has no clock.
    pub fn of(kernels: &Choice) -> Result<Self, String> {
        let Some(gpu) = kernels.gpu() else { return Ok(Peaks::measure()) };
        let failed = |error: GpuError| error.to_string();
        let found = Peak::measure(gpu).map_err(failed)?;
        let found = found.ok_or_else(|| {
            format!("the GPU `{}` takes no times: nothing can be measured on it", gpu.name())
        })?;
        Ok(Peaks {
            device: gpu.name().to_owned(),
            threads: rayon::current_num_threads(),
            flops: found.flops,
            variant: "wgsl",
            bandwidth: found.bandwidth,
        })
    }

    /// Whether they are those of a GPU.
    pub fn on_gpu(&self) -> bool {
        self.device != "cpu"
    }

    /// Seconds below which the work cannot be done if it is limited by either.
    pub fn bound(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bandwidth)
    }
}

/// The middle of some times; of an even number the lower middle.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds one call takes.
fn time<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    call()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Runs `work` on a pool of `threads` threads: every parallel loop in it uses
/// these and no others.
///
/// # Errors
/// The system refuses the threads.
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok(pool.map_err(|error| format!("{threads} threads: {error}"))?.install(work))
}
