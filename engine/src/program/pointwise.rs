//! Element-wise steps: broadcasting loops, in-place work, and groups.
//!
//! An element-wise op reads each element once and does little with it, so a
//! chain of them is limited by memory, not by arithmetic: Adam as plain graph
//! ops would read and write a dozen arrays as large as the parameter. A
//! *group* is a run of element-wise steps over the same number of elements,
//! run tile by tile: all members work on one tile of 4 KiB before the next is
//! touched, and values that only members read live in tiles on the stack
//! that never leave the first-level cache.

use super::arena::View;
use crate::dtype::DType;
use crate::shape::{TensorType, broadcast_strides};
use speck_kernels::elementwise::{Binary, Select, Unary};
use speck_kernels::parallel::{Shared, for_parts};
use speck_kernels::{Choice, Kernel, KernelError, Real, Signature};
use std::mem::MaybeUninit;

/// Bytes of a tile: a few of them fit in a first-level cache of 32 KiB.
const TILE_BYTES: usize = 4096;
/// Tiles a group may use at once.
pub(crate) const MAX_TILES: usize = 12;
/// Elements handed to a thread at a time, a multiple of the tile.
const PART: usize = 1 << 15;

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
enum Call<T: Real> {
    Unary(<Unary as Signature>::Run<T>),
    Binary(<Binary as Signature>::Run<T>),
    Select(<Select as Signature>::Run<T>),
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

    /// How many inputs the kernel has.
    pub(crate) fn inputs(&self) -> usize {
        match self.run {
            Run::F32(Call::Unary(_)) | Run::F64(Call::Unary(_)) => 1,
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

/// The loops of one element-wise step: an outer odometer over rows, and an
/// inner run in which each input steps by 0 or 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loops {
    /// Sizes of the outer loops, slowest first.
    outer: Vec<usize>,
    /// Element strides of each input along the outer loops.
    strides: Vec<Vec<usize>>,
    /// Length of the inner run.
    inner: usize,
    /// Step of each input in the inner run.
    steps: Vec<usize>,
}

impl Loops {
    /// Merges neighbouring dimensions along which every input is either
    /// stretched or contiguous.
    pub fn new(inputs: &[&TensorType], output: &TensorType) -> Self {
        let strides: Vec<Vec<isize>> =
            inputs.iter().map(|ty| broadcast_strides(&ty.shape, &output.shape)).collect();
        let mut sizes: Vec<usize> = Vec::new();
        let mut merged: Vec<Vec<usize>> = vec![Vec::new(); inputs.len()];
        for axis in (0..output.rank()).rev() {
            let size = output.shape[axis];
            if size == 1 {
                continue;
            }
            let fits = sizes.last().is_some_and(|last| {
                merged.iter().zip(&strides).all(|(own, all)| {
                    own.last().is_some_and(|stride| stride * last == all[axis] as usize)
                })
            });
            if fits {
                if let Some(last) = sizes.last_mut() {
                    *last *= size;
                }
            } else {
                sizes.push(size);
                for (own, all) in merged.iter_mut().zip(&strides) {
                    own.push(all[axis] as usize);
                }
            }
        }
        if sizes.is_empty() {
            sizes.push(1);
            merged.iter_mut().for_each(|own| own.push(0));
        }
        let inner = sizes.remove(0);
        let steps = merged.iter_mut().map(|own| own.remove(0)).collect();
        sizes.reverse();
        merged.iter_mut().for_each(|own| own.reverse());
        Loops { outer: sizes, strides: merged, inner, steps }
    }

    /// One run over all elements: such steps can be members of a group.
    pub fn is_flat(&self) -> bool {
        self.outer.is_empty()
    }

    /// Whether input `index` is read element for element, so that the output
    /// may take its place.
    pub fn is_full(&self, index: usize) -> bool {
        self.is_flat() && (self.steps[index] == 1 || self.inner == 1)
    }

    fn rows(&self) -> usize {
        self.outer.iter().product()
    }

    fn offset(&self, input: usize, row: usize) -> usize {
        let mut rest = row;
        let mut offset = 0;
        for (size, stride) in self.outer.iter().zip(&self.strides[input]).rev() {
            offset += rest % size * stride;
            rest /= size;
        }
        offset
    }
}

/// A value that a member of a group reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A node's memory.
    View(usize),
    /// A tile on the stack.
    Tile(usize),
}

/// One element-wise op in a group.
pub(crate) struct Member {
    pub kernel: Pointwise,
    pub loops: Loops,
    pub inputs: Vec<Operand>,
    pub output: Operand,
}

/// A run of element-wise steps executed together. A group of one may have
/// outer loops; a larger group is flat.
pub(crate) struct Group {
    pub members: Vec<Member>,
    pub dtype: DType,
}

impl Group {
    pub fn run(&self, views: &[View]) {
        if self.dtype == DType::F64 {
            self.run_typed(views, |run| match run {
                Run::F64(call) => Some(call),
                Run::F32(_) => None,
            });
        } else {
            self.run_typed(views, |run| match run {
                Run::F32(call) => Some(call),
                Run::F64(_) => None,
            });
        }
    }

    fn run_typed<T: Real>(&self, views: &[View], call: fn(Run) -> Option<Call<T>>) {
        let first = &self.members[0];
        if !first.loops.is_flat() {
            let Some(kernel) = call(first.kernel.run) else { return };
            return run_rows(first, kernel, views);
        }
        let total = first.loops.inner;
        let shared = SharedViews(views);
        for_parts(total, PART, |part| {
            let views = shared.get();
            // Not zeroed: every tile is written by a member before one reads it.
            let mut tiles = MaybeUninit::<Tiles>::uninit();
            let tiles = tiles.as_mut_ptr().cast::<u8>();
            let step = TILE_BYTES / size_of::<T>();
            let mut start = part.start;
            while start < part.end {
                let n = step.min(part.end - start);
                for member in &self.members {
                    let Some(kernel) = call(member.kernel.run) else { return };
                    let address = |operand: Operand, step: usize| -> *mut T {
                        match operand {
                            // SAFETY: `start + n` is within the node's elements
                            // (flat loops), and a stretched input has step 0.
                            Operand::View(node) => unsafe {
                                views[node].address.cast::<T>().add(start * step)
                            },
                            // SAFETY: tile numbers are below MAX_TILES.
                            Operand::Tile(tile) => unsafe { tiles.add(tile * TILE_BYTES).cast() },
                        }
                    };
                    let mut inputs = [std::ptr::null::<T>(); 3];
                    let mut steps = [0; 3];
                    for (i, operand) in member.inputs.iter().enumerate() {
                        steps[i] = member.loops.steps[i];
                        inputs[i] = address(*operand, steps[i]);
                    }
                    // SAFETY: addresses are valid for `n` elements (or one,
                    // with step 0); outputs either equal an input or are apart.
                    unsafe { kernel.call(inputs, steps, address(member.output, 1), n) };
                }
                start += n;
            }
        });
    }
}

/// Tiles on the stack, aligned for vector loads.
#[repr(C, align(64))]
struct Tiles {
    _bytes: [[u8; TILE_BYTES]; MAX_TILES],
}

/// Views are plain addresses; threads work on disjoint ranges of them.
#[derive(Clone, Copy)]
struct SharedViews<'a>(&'a [View]);

impl<'a> SharedViews<'a> {
    fn get(self) -> &'a [View] {
        self.0
    }
}

fn run_rows<T: Real>(member: &Member, kernel: Call<T>, views: &[View]) {
    let loops = &member.loops;
    let address = |operand: Operand| match operand {
        Operand::View(node) => views[node].address.cast::<T>(),
        Operand::Tile(_) => unreachable!("a step with outer loops is alone in its group"),
    };
    let mut bases = [Shared::from_ptr(std::ptr::null_mut::<T>()); 3];
    for (base, operand) in bases.iter_mut().zip(&member.inputs) {
        *base = Shared::from_ptr(address(*operand));
    }
    let output = Shared::from_ptr(address(member.output));
    let rows_a_part = (PART / loops.inner.max(1)).max(1);
    for_parts(loops.rows(), rows_a_part, |rows| {
        for row in rows {
            let mut inputs = [std::ptr::null::<T>(); 3];
            let mut steps = [0; 3];
            for i in 0..member.inputs.len() {
                steps[i] = loops.steps[i];
                // SAFETY: strides come from the shapes, so the offset is
                // inside the input.
                inputs[i] = unsafe { bases[i].get().add(loops.offset(i, row)) };
            }
            // SAFETY: each row of the output is written by one part only.
            unsafe {
                let out = output.get().add(row * loops.inner);
                kernel.call(inputs, steps, out, loops.inner);
            }
        }
    });
}

impl<T: Real> Call<T> {
    /// # Safety
    /// See the contract of the kernel signatures: pointers valid for `n`
    /// elements, or one where the step is 0.
    unsafe fn call(self, inputs: [*const T; 3], steps: [usize; 3], out: *mut T, n: usize) {
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
                Call::Select(run) => run(a, steps[0], b, steps[1], c, steps[2], out, n),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loops(inputs: &[&[usize]], output: &[usize]) -> Loops {
        let types: Vec<_> = inputs.iter().map(|s| TensorType::new(DType::F32, s)).collect();
        let types: Vec<_> = types.iter().collect();
        Loops::new(&types, &TensorType::new(DType::F32, output))
    }

    #[test]
    fn equal_shapes_become_one_run() {
        let flat = loops(&[&[2, 3, 4], &[2, 3, 4], &[]], &[2, 3, 4]);
        assert!(flat.is_flat());
        assert_eq!((flat.inner, flat.steps.as_slice()), (24, &[1, 1, 0][..]));
        assert!(flat.is_full(0) && !flat.is_full(2));
    }

    #[test]
    fn a_channel_bias_has_rows() {
        let rows = loops(&[&[2, 3, 4, 5], &[1, 3, 1, 1]], &[2, 3, 4, 5]);
        assert_eq!((rows.rows(), rows.inner), (6, 20));
        assert_eq!(rows.steps, [1, 0]);
        assert_eq!((rows.offset(0, 4), rows.offset(1, 4)), (80, 1));
    }

    #[test]
    fn empty_and_scalar_outputs_work() {
        assert_eq!(loops(&[&[0, 3]], &[0, 3]).inner, 0);
        assert_eq!(loops(&[&[]], &[]).inner, 1);
    }
}
