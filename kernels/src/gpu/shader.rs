//! What the host knows of a shader.

use super::call::Parameters;

/// A WGSL file with one compute entry point, `main`. Made by the build script
/// from the file itself.
#[derive(Debug)]
pub struct Shader {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The file.
    pub source: &'static str,
    /// Invocations of a workgroup.
    pub workgroup: [u32; 3],
    /// For each storage binding, in order, whether it is written.
    pub writes: &'static [bool],
    /// What the device must have.
    pub needs: Needs,
}

/// What a shader needs beyond what every WebGPU device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Operations among the invocations of a subgroup.
    pub subgroups: bool,
    /// Half-precision values in memory.
    pub f16: bool,
}

impl Needs {
    /// Runs anywhere.
    pub const NOTHING: Needs = Needs { subgroups: false, f16: false };
}

fn store<const N: usize>(bytes: &mut [u8], offset: usize, values: &[[u8; 4]; N]) {
    for (i, value) in values.iter().enumerate() {
        bytes[offset + 4 * i..][..4].copy_from_slice(value);
    }
}

#[allow(clippy::needless_update)]
mod generated {
    use super::{Needs, Parameters, Shader, store};
    include!(concat!(env!("OUT_DIR"), "/shaders.rs"));
}

pub use generated::*;
