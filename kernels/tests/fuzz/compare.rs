//! Every variant of a kernel against the last one, `scalar`.

use crate::memory::{Element, Memory};
use proptest::prelude::*;
use speck_kernels::{Isa, Kernel, Real, Signature, Variant};

/// Runs every variant of `kernel` that this processor has, on an output of `length`
/// that begins at `shift`, and has what it wrote and what `scalar` wrote judged: the
/// place where they differ, if they do.
fn compare<S: Signature, T: Element>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    run: impl Fn(S::Run<f32>, &mut [T]),
    judge: impl Fn(&[T], &[T]) -> Option<usize>,
) -> Result<(), TestCaseError> {
    let mut truth = None;
    for variant in kernel.f32.iter().rev().filter(|variant| variant.isa.supported().is_ok()) {
        let label = format!("{}:{}", kernel.name, variant.name);
        let mut out = Memory::poisoned(length, shift);
        run(variant.run, out.slice_mut());
        prop_assert!(out.is_whole(), "{label} wrote beside its output");
        let found = out.slice();
        let truth = truth.get_or_insert_with(|| found.to_vec());
        if let Some(i) = judge(found, truth) {
            let (found, truth) = (found[i], truth[i]);
            prop_assert!(false, "{label}[{i}] is {found:?}, scalar says {truth:?}");
        }
    }
    Ok(())
}

fn is_equal(a: f32, b: f32) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// To be the same within rounding of the largest value, or of `terms`, the magnitude
/// of what is added up to it.
pub fn agree<S: Signature>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    terms: f32,
    run: impl Fn(S::Run<f32>, &mut [f32]),
) -> Result<(), TestCaseError> {
    compare(kernel, length, shift, run, |found, truth| {
        let sized = |value: &&f32| value.is_finite() && **value != f32::POISON;
        let largest = truth.iter().filter(sized).fold(terms, |a: f32, b| a.max(b.abs()));
        let agree = |(a, b): (&f32, &f32)| is_equal(*a, *b) || (a - b).abs() <= 2e-6 * largest;
        found.iter().zip(truth).position(|pair| !agree(pair))
    })
}

/// To be equal: zeros of either sign are, and all NaNs.
pub fn equal<S: Signature>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    run: impl Fn(S::Run<f32>, &mut [f32]),
) -> Result<(), TestCaseError> {
    compare(kernel, length, shift, run, |found, truth| {
        found.iter().zip(truth).position(|(found, truth)| !is_equal(*found, *truth))
    })
}

/// To be the same, bit for bit but for those of NaNs.
pub fn same<S: Signature, T: Element>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    run: impl Fn(S::Run<f32>, &mut [T]),
) -> Result<(), TestCaseError> {
    compare(kernel, length, shift, run, |found, truth| {
        found.iter().zip(truth).position(|(found, truth)| !found.is_same(*truth))
    })
}

struct Filling;

impl Signature for Filling {
    type Run<T: Real> = fn(&mut [T]);
}

type Fill = fn(&mut [f32]);

const fn filling(run: Fill) -> [Variant<Fill>; 2] {
    [
        Variant { name: "other", isa: Isa::Portable, run },
        Variant { name: "scalar", isa: Isa::Portable, run: |out| out.fill(1.0) },
    ]
}

/// Whether a variant is found to be wrong, by any comparison.
fn fails(f32: &'static [Variant<Fill>]) -> bool {
    let kernel: Kernel<Filling> = Kernel { name: "filling", f32, f64: &[] };
    let results = [
        agree(&kernel, 7, 3, 1.0, |run, out| run(out)),
        equal(&kernel, 7, 3, |run, out| run(out)),
        same(&kernel, 7, 3, |run, out: &mut [f32]| run(out)),
    ];
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert!(failed == 0 || failed == results.len());
    failed > 0
}

#[test]
fn what_is_wrong_is_found() {
    assert!(!fails(const { &filling(|out| out.fill(1.0)) }));
    assert!(fails(const { &filling(|out| out[1..].fill(1.0)) }));
    assert!(fails(const { &filling(|out| out.fill(f32::NAN)) }));
    const BEFORE: Fill = |out| {
        out.fill(1.0);
        // SAFETY: a slice with this shift has elements on both sides.
        unsafe { *out.as_mut_ptr().sub(1) = 1.0 }
    };
    const BEHIND: Fill = |out| {
        out.fill(1.0);
        // SAFETY: as above.
        unsafe { *out.as_mut_ptr().add(out.len()) = 1.0 }
    };
    assert!(fails(const { &filling(BEFORE) }));
    assert!(fails(const { &filling(BEHIND) }));
}
