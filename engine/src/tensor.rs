//! Host tensors: what goes into programs and comes out of them.

use crate::dtype::{DType, Element};
use crate::program::ask_for_large_pages;
use crate::shape::TensorType;

/// A dense row-major tensor on the host.
#[derive(Clone, Debug)]
pub struct Tensor {
    ty: TensorType,
    data: Data,
}

#[derive(Debug)]
enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
}

/// Values that are given, in [large pages](ask_for_large_pages) if they are many:
/// large weights and their moments are read block by block when they are updated.
fn in_large_pages<T>(values: impl ExactSizeIterator<Item = T>) -> Vec<T> {
    let mut memory: Vec<T> = Vec::with_capacity(values.len());
    ask_for_large_pages(memory.as_ptr().addr(), values.len() * size_of::<T>());
    memory.extend(values);
    memory
}

impl Clone for Data {
    fn clone(&self) -> Self {
        match self {
            Data::F32(v) => Data::F32(in_large_pages(v.iter().copied())),
            Data::F64(v) => Data::F64(in_large_pages(v.iter().copied())),
            Data::I32(v) => Data::I32(in_large_pages(v.iter().copied())),
        }
    }
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(ty: &TensorType) -> Self {
        let n = ty.elements();
        let data = match ty.dtype {
            DType::F32 => Data::F32(vec![0.0; n]),
            DType::F64 => Data::F64(vec![0.0; n]),
            DType::I32 => Data::I32(vec![0; n]),
        };
        Tensor { ty: ty.clone(), data }
    }

    /// A tensor of the given type, its values converted from `f64`
    /// (integers are truncated).
    ///
    /// # Panics
    /// If the number of values is not that of the type.
    pub fn new(ty: &TensorType, values: &[f64]) -> Self {
        assert_eq!(values.len(), ty.elements(), "{} values for {ty}", values.len());
        let data = match ty.dtype {
            DType::F32 => Data::F32(in_large_pages(values.iter().map(|v| *v as f32))),
            DType::F64 => Data::F64(in_large_pages(values.iter().copied())),
            DType::I32 => Data::I32(values.iter().map(|v| *v as i32).collect()),
        };
        Tensor { ty: ty.clone(), data }
    }

    /// An `f32` tensor.
    ///
    /// # Panics
    /// If the number of values is not that of the shape.
    pub fn from_f32(shape: &[usize], values: Vec<f32>) -> Self {
        Self::checked(TensorType::new(DType::F32, shape), values.len(), Data::F32(values))
    }

    /// An `f64` tensor. Panics as [`Tensor::from_f32`] does.
    pub fn from_f64(shape: &[usize], values: Vec<f64>) -> Self {
        Self::checked(TensorType::new(DType::F64, shape), values.len(), Data::F64(values))
    }

    /// An `i32` tensor. Panics as [`Tensor::from_f32`] does.
    pub fn from_i32(shape: &[usize], values: Vec<i32>) -> Self {
        Self::checked(TensorType::new(DType::I32, shape), values.len(), Data::I32(values))
    }

    fn checked(ty: TensorType, given: usize, data: Data) -> Self {
        assert_eq!(given, ty.elements(), "{given} values for {ty}");
        Tensor { ty, data }
    }

    /// The tensor's type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The sizes.
    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    /// The values, if they are of type `T`.
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        (self.ty.dtype == T::DTYPE).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// The values for writing, if they are of type `T`.
    pub fn values_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        (self.ty.dtype == T::DTYPE).then(|| bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// The values converted to `f64`.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Data::F64(v) => v.clone(),
            Data::I32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        }
    }

    /// The raw bytes, in the machine's order.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::F32(v) => bytemuck::cast_slice(v),
            Data::F64(v) => bytemuck::cast_slice(v),
            Data::I32(v) => bytemuck::cast_slice(v),
        }
    }

    /// The raw bytes for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.data {
            Data::F32(v) => bytemuck::cast_slice_mut(v),
            Data::F64(v) => bytemuck::cast_slice_mut(v),
            Data::I32(v) => bytemuck::cast_slice_mut(v),
        }
    }
}

/// Equal type and equal bits: a NaN equals the same NaN, 0 differs from -0.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.bytes() == other.bytes()
    }
}
