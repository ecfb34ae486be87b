//! `--device`, and `speck list devices`.

use crate::RunError;
use speck_engine::kernels::gpu::Gpu;
use std::str::FromStr;
use std::sync::Arc;

/// Set to anything: a GPU is opened with no more than every WebGPU device has, as the
/// tests do.
const LEAST: &str = "SPECK_GPU_LEAST";

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// A GPU if there is one that is not a program on the CPU, else the CPU.
    Auto,
    /// The processor.
    Cpu,
    /// The GPU of this number.
    Gpu(usize),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Device::Auto),
            None if text == "cpu" => Ok(Device::Cpu),
            None if text == "gpu" => Ok(Device::Gpu(0)),
            Some(("gpu", number)) => number.parse().map(Device::Gpu).map_err(|_| {
                format!("`{number}` is no number of a GPU; `speck list devices` shows them")
            }),
            _ => Err("it is auto, cpu, gpu or gpu:N".to_owned()),
        }
    }
}

impl Device {
    /// Opens it.
    ///
    /// # Errors
    /// There is no such GPU, or it cannot be opened.
    pub(super) fn open(self) -> Result<Option<Arc<Gpu>>, RunError> {
        let number = match self {
            Device::Cpu => return Ok(None),
            Device::Auto => match Gpu::list().first() {
                Some(adapter) if !adapter.software => 0,
                _ => return Ok(None),
            },
            Device::Gpu(number) => number,
        };
        Ok(Some(Gpu::open(number, std::env::var_os(LEAST).is_some())?))
    }
}

/// What is said before work on a GPU begins: nothing else moves for a while.
pub(super) fn announcement(gpu: &Gpu) -> String {
    let kind = if gpu.is_software() { ", a program on the processor, which is slow" } else { "" };
    format!("on `{}`{kind}; shaders are translated when they are first used", gpu.name())
}

/// Name and description of each device.
pub(super) fn all() -> Vec<(String, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = vec![("cpu".to_owned(), format!("the processor, {threads} threads"))];
    for (number, adapter) in Gpu::list().into_iter().enumerate() {
        let kind = if adapter.software { "software on the CPU" } else { "hardware" };
        let text = format!("{} ({kind}; {}, {})", adapter.name, adapter.backend, adapter.driver);
        all.push((format!("gpu:{number}"), text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("gpu:3".parse(), Ok(Device::Gpu(3)));
        assert_eq!("gpu".parse(), Ok(Device::Gpu(0)));
        assert_eq!("auto".parse(), Ok(Device::Auto));
        for wrong in ["", "gpu:", "gpu:x", "cuda", "cpu:0"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}
