//! The kernels of steps that run tile by tile: element-wise ops, and sums.

use super::pattern::Pattern;
use crate::dtype::DType;
use speck_kernels::elementwise::{Binary, Select, Unary};
use speck_kernels::reduce::tiles::{SUM_TILES, Tiles};
use speck_kernels::reduce::{self, Dim};
use speck_kernels::storage::{Store, Widen};
use speck_kernels::{Choice, Kernel, KernelError, Real, Signature};

/// The kernel of an element-wise op, for the element type it runs in.
pub struct Pointwise {
    /// `kernel:variant`.
    pub label: String,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    F32(Call<f32>),
    F64(Call<f64>),
}

#[derive(Clone, Copy)]
pub(super) enum Call<T: Real> {
    Unary(<Unary as Signature>::Run<T>),
    Binary(<Binary as Signature>::Run<T>),
    Select(<Select as Signature>::Run<T>),
    /// The input is stored in 16 bits.
    Widen(<Widen as Signature>::Run<T>),
    /// The output is.
    Store(<Store as Signature>::Run<T>),
}

impl Pointwise {
    /// Picks the variant of a kernel with one input.
    pub fn unary(k: &Kernel<Unary>, dtype: DType, choice: &Choice) -> Result<Self, KernelError> {
        Self::pick(k, dtype, choice, Call::Unary, Call::Unary)
    }

    /// Picks the variant of a kernel with two inputs.
    pub fn binary(k: &Kernel<Binary>, dtype: DType, choice: &Choice) -> Result<Self, KernelError> {
        Self::pick(k, dtype, choice, Call::Binary, Call::Binary)
    }

    /// Picks the variant of a kernel that chooses between two inputs.
    pub fn select(k: &Kernel<Select>, dtype: DType, choice: &Choice) -> Result<Self, KernelError> {
        Self::pick(k, dtype, choice, Call::Select, Call::Select)
    }

    /// Picks the variant of a kernel that reads what is stored in 16 bits, to compute
    /// in `dtype`.
    pub fn widen(k: &Kernel<Widen>, dtype: DType, choice: &Choice) -> Result<Self, KernelError> {
        Self::pick(k, dtype, choice, Call::Widen, Call::Widen)
    }

    /// Picks the variant of a kernel that rounds values of `dtype` to 16 bits.
    pub fn store(k: &Kernel<Store>, dtype: DType, choice: &Choice) -> Result<Self, KernelError> {
        Self::pick(k, dtype, choice, Call::Store, Call::Store)
    }

    /// Whether input and output are of different types.
    pub(crate) fn converts(&self) -> bool {
        matches!(
            self.run,
            Run::F32(Call::Widen(_) | Call::Store(_)) | Run::F64(Call::Widen(_) | Call::Store(_))
        )
    }

    /// How many inputs the kernel has.
    pub(crate) fn inputs(&self) -> usize {
        match self.run {
            Run::F32(Call::Unary(_) | Call::Widen(_) | Call::Store(_))
            | Run::F64(Call::Unary(_) | Call::Widen(_) | Call::Store(_)) => 1,
            Run::F32(Call::Binary(_)) | Run::F64(Call::Binary(_)) => 2,
            Run::F32(Call::Select(_)) | Run::F64(Call::Select(_)) => 3,
        }
    }

    fn pick<S: Signature>(
        kernel: &Kernel<S>,
        dtype: DType,
        choice: &Choice,
        call_f32: impl Fn(S::Run<f32>) -> Call<f32>,
        call_f64: impl Fn(S::Run<f64>) -> Call<f64>,
    ) -> Result<Self, KernelError> {
        let (variant, run) = if dtype == DType::F64 {
            let variant = kernel.select::<f64>(choice)?;
            (variant.name, Run::F64(call_f64(variant.run)))
        } else {
            let variant = kernel.select::<f32>(choice)?;
            (variant.name, Run::F32(call_f32(variant.run)))
        };
        Ok(Pointwise { label: format!("{}:{variant}", kernel.name), run })
    }
}

impl<T: Real> Call<T> {
    /// # Safety
    /// See the contract of the kernel signatures: pointers valid for `n`
    /// elements, or one where the step is 0; what is stored in 16 bits is where the
    /// pointer says, and only there of another type.
    pub(super) unsafe fn call(
        self,
        inputs: [*const T; 3],
        steps: [usize; 3],
        out: *mut T,
        n: usize,
    ) {
        let [a, b, c] = inputs;
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Call::Unary(run) if steps[0] == 1 || n <= 1 => run(a, out, n),
                // A stretched input of a unary op: compute one value, repeat it.
                Call::Unary(run) => {
                    run(a, out, 1);
                    std::slice::from_raw_parts_mut(out, n).fill(*out);
                }
                Call::Binary(run) => run(a, steps[0], b, steps[1], out, n),
                Call::Widen(run) => run(a.cast(), out, n),
                Call::Store(run) => run(a, out.cast(), n),
                Call::Select(run) => run(a, steps[0], b, steps[1], c, steps[2], out, n),
            }
        }
    }
}

/// A sum that runs tile by tile.
///
/// In which order it adds depends on its own shape alone: tiles and parts of
/// all groups of as many elements begin at the same places. So a sum gives the
/// same bits in a group, by itself, and at any number of threads.
pub struct Folding {
    /// `kernel:variant`.
    pub label: String,
    pub(crate) pattern: Pattern,
    pub(crate) outputs: usize,
    f32: Option<Tiles<f32>>,
    f64: Option<Tiles<f64>>,
}

/// Outputs of a sum that gets a row of partial sums for each part of the work.
const MOST_OUTPUTS: usize = 4096;
/// Values an output must have for that to pay.
const FEWEST_VALUES: usize = 4;
/// Longest run of values for one output that is not cut into parts.
const LONGEST_ROW: usize = 1 << 15;

impl Folding {
    /// The sum over the reduced ones of `dims`, or `None` where its layout is
    /// better served by a kernel for the whole of it.
    pub(crate) fn sum(
        dims: &[Dim],
        dtype: DType,
        choice: &Choice,
    ) -> Result<Option<Self>, KernelError> {
        let dims = reduce::collapse(dims);
        let kept = dims.iter().filter(|dim| !dim.reduced);
        let outputs: usize = kept.map(|dim| dim.size).product();
        let total: usize = dims.iter().map(|dim| dim.size).product();
        let pattern = Pattern::reduced(&dims);
        let rows = pattern.is_rows() && pattern.inner().0 <= LONGEST_ROW;
        let partial = outputs <= MOST_OUTPUTS && total / outputs.max(1) >= FEWEST_VALUES;
        if total == 0 || pattern.is_full() || !(rows || partial) {
            return Ok(None);
        }
        let (f32, f64, variant) = if dtype == DType::F64 {
            let variant = SUM_TILES.select::<f64>(choice)?;
            (None, Some(variant.run), variant.name)
        } else {
            let variant = SUM_TILES.select::<f32>(choice)?;
            (Some(variant.run), None, variant.name)
        };
        let label = format!("{}:{variant}", SUM_TILES.name);
        Ok(Some(Folding { label, pattern, outputs, f32, f64 }))
    }

    /// Whether each part of the work writes outputs of its own.
    pub(crate) fn is_direct(&self) -> bool {
        self.pattern.is_rows() && self.pattern.inner().0 <= LONGEST_ROW
    }

    /// What the length of a part must be a multiple of.
    pub(crate) fn unit(&self) -> usize {
        let row =
            if self.is_direct() { Some(self.pattern.inner().0) } else { self.pattern.period() };
        row.filter(|length| *length <= LONGEST_ROW).unwrap_or(1)
    }
}

/// The element types that steps run in, each with its own kernels.
pub(super) trait Typed: Real {
    fn call(kernel: &Pointwise) -> Option<Call<Self>>;
    fn tiles(folding: &Folding) -> Option<Tiles<Self>>;
}

impl Typed for f32 {
    fn call(kernel: &Pointwise) -> Option<Call<f32>> {
        match kernel.run {
            Run::F32(call) => Some(call),
            Run::F64(_) => None,
        }
    }
    fn tiles(folding: &Folding) -> Option<Tiles<f32>> {
        folding.f32
    }
}

impl Typed for f64 {
    fn call(kernel: &Pointwise) -> Option<Call<f64>> {
        match kernel.run {
            Run::F64(call) => Some(call),
            Run::F32(_) => None,
        }
    }
    fn tiles(folding: &Folding) -> Option<Tiles<f64>> {
        folding.f64
    }
}
