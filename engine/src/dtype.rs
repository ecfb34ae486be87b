//! Element types.

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
}

impl DType {
    /// Bytes an element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F64 => 8,
        }
    }

    /// Whether values of this type carry gradients.
    pub fn is_float(self) -> bool {
        self != DType::I32
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
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

/// Runs `$body` with the type name `$real` standing for `f32` or `f64`,
/// whichever `$dtype` is. Integer tensors never reach such a place: shape
/// inference refuses them.
#[macro_export]
#[doc(hidden)]
macro_rules! with_real {
    ($dtype:expr, $real:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F64 => {
                type $real = f64;
                $body
            }
            $crate::DType::F32 | $crate::DType::I32 => {
                type $real = f32;
                $body
            }
        }
    };
}
