//! Element types.

pub use speck_kernels::storage::{Bf16, F16};

use speck_kernels::storage::Storage;
use std::fmt;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float: what programs train in.
    F32,
    /// 64-bit float: the reference, and what gradient checks run in.
    F64,
    /// 32-bit signed integer: positions, indices, counters. No gradient.
    I32,
    /// 16 bits of storage, 11 of them significand, up to 65504. Ops compute in 32.
    F16,
    /// 16 bits of storage, 8 of them significand, with the range of `F32`.
    Bf16,
}

impl DType {
    /// Bytes an element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F64 => 8,
            DType::F16 | DType::Bf16 => 2,
        }
    }

    /// Whether ops compute in this type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether values of this type carry gradients: floats, and floats stored in
    /// 16 bits, whose gradients are of the graph's floating-point type.
    pub fn carries_gradient(self) -> bool {
        self != DType::I32
    }

    /// The format of 16 bits, if it is one.
    pub fn storage(self) -> Option<Storage> {
        [Storage::F16, Storage::Bf16].into_iter().find(|storage| DType::from(*storage) == self)
    }
}

impl From<Storage> for DType {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::F16 => DType::F16,
            Storage::Bf16 => DType::Bf16,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
        })
    }
}

/// A Rust type that is the element of a tensor.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The tensor element type it stands for.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for i32 {
    const DTYPE: DType = DType::I32;
}
impl Element for F16 {
    const DTYPE: DType = DType::F16;
}
impl Element for Bf16 {
    const DTYPE: DType = DType::Bf16;
}

/// Runs `$body` with the type name `$real` standing for `f32` or `f64`,
/// whichever `$dtype` is. Integer tensors and those of 16 bits never reach such a
/// place: shape inference refuses them.
#[macro_export]
#[doc(hidden)]
macro_rules! with_real {
    ($dtype:expr, $real:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F64 => {
                type $real = f64;
                $body
            }
            $crate::DType::F32 | $crate::DType::I32 | $crate::DType::F16 | $crate::DType::Bf16 => {
                type $real = f32;
                $body
            }
        }
    };
}
