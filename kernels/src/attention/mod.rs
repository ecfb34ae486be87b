//! Attention: softmax(q kᵀ · scale) v, and its gradient.
//!
//! As a chain of products and a softmax, attention writes and reads the matrix
//! of all scores several times, and keeps it for the backward pass. Here a
//! block of queries meets a block of keys in the first-level cache, and nothing
//! of the scores outlives that meeting (Dao et al., "FlashAttention", 2022; the
//! softmax over blocks is Milakov and Gimelshein's, "Online normalizer
//! calculation for softmax", 2018). The backward pass computes the scores again.
//!
//! `scalar.rs` is the specification. `lanes.rs` holds the blocks in terms of
//! [`Lanes`](crate::elementwise::lanes::Lanes); `avx2.rs` and `avx512.rs`
//! compile them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod compiled;
pub mod gpu;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod lanes;
mod place;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod product;
mod scalar;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod short;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// The sizes of one attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Independent attentions: samples times heads.
    pub batch: usize,
    /// Queries of each.
    pub queries: usize,
    /// Keys of each, and as many values.
    pub keys: usize,
    /// Length of a query and of a key.
    pub size: usize,
    /// Length of a value.
    pub value: usize,
    /// The factor of the scores.
    pub scale: f64,
    /// Query i meets keys 0 to i only.
    pub causal: bool,
    /// Where rows lie.
    pub rows: AttentionRows,
}

/// How the rows of the arrays of an attention lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttentionRows {
    /// Each array by itself, attention after attention.
    #[default]
    Apart,
    /// Queries, keys and values as a linear layer makes them, `[samples, tokens,
    /// 3, heads, size]`, and the gradients likewise; outputs `[samples, tokens,
    /// heads, size]`. There are as many queries as keys, and values are as long.
    Packed {
        /// The heads of a sample.
        heads: usize,
    },
}

impl AttentionShape {
    /// Elements of the queries, keys, values, and of the output.
    pub fn elements(&self) -> [usize; 4] {
        let Self { batch, queries, keys, size, value, .. } = *self;
        [batch * queries * size, batch * keys * size, batch * keys * value, batch * queries * value]
    }

    /// How many of the keys the query `query` meets.
    fn met(&self, query: usize) -> usize {
        if self.causal { self.keys.min(query + 1) } else { self.keys }
    }
}

/// `(shape, q, k, v, out, scratch)`: q `[batch, queries, size]`, k `[batch,
/// keys, size]`, v `[batch, keys, value]`, out `[batch, queries, value]`. Where
/// there are no keys the output is 0.
///
/// With [packed](AttentionRows::Packed) rows, q is the array of all three, k the
/// same from the first key on, v from the first value on.
pub struct Attention;

/// What a variant provides.
#[derive(Clone, Copy)]
pub struct Forward<T> {
    /// Elements of scratch memory that `run` needs.
    pub scratch: fn(&AttentionShape) -> usize,
    /// # Safety
    /// The slices have the lengths of the shape. The variant's instruction set
    /// is available.
    #[allow(clippy::type_complexity)]
    pub run: unsafe fn(&AttentionShape, &[T], &[T], &[T], &mut [T], &mut [T]),
}

impl Signature for Attention {
    type Run<T: Real> = Forward<T>;
}

/// `(shape, q, k, v, c, out, scratch)`: the gradients for q, k and v, one after
/// the other, where c `[batch, queries, value]` is the output's; with packed rows
/// as these lie.
pub struct AttentionGradient;

/// What a variant provides.
#[derive(Clone, Copy)]
pub struct Backward<T> {
    /// Elements of scratch memory that `run` needs.
    pub scratch: fn(&AttentionShape) -> usize,
    /// # Safety
    /// As for [`Forward`].
    #[allow(clippy::type_complexity)]
    pub run: unsafe fn(&AttentionShape, &[T], &[T], &[T], &[T], &mut [T], &mut [T]),
}

impl Signature for AttentionGradient {
    type Run<T: Real> = Backward<T>;
}

/// softmax(q kᵀ · scale) v.
pub static ATTENTION: Kernel<Attention> = Kernel {
    name: "attention",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::FORWARD },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::forward::<f32>() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::forward::<f64>() }],
};

/// Its gradients.
pub static ATTENTION_GRADIENT: Kernel<AttentionGradient> = Kernel {
    name: "attention_gradient",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::BACKWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::BACKWARD },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::backward::<f32>() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::backward::<f64>() }],
};

/// The kernels of this family with their variants.
pub fn kernels() -> Vec<KernelStatus> {
    vec![ATTENTION.status(), ATTENTION_GRADIENT.status()]
}

/// Units of work get this many pieces of scratch memory at most: how they are
/// spread over them depends on their number alone.
const PIECES: usize = 64;

/// Units in a piece, and pieces.
fn pieces(units: usize) -> (usize, usize) {
    let each = units.div_ceil(PIECES).max(1);
    (each, units.div_ceil(each))
}
