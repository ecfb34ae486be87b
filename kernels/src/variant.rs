//! The table of variants of a kernel, and the choice among them.

use crate::choice::Choice;
use crate::isa::Isa;
use crate::real::Real;
use thiserror::Error;

/// The calling convention of a kernel: what one of its variants is, for each
/// element type. `Run` is a function pointer, or a small struct of them where
/// a variant also needs, say, a scratch size.
pub trait Signature: 'static {
    /// The routine a variant provides.
    type Run<T: Real>: Copy + Send + Sync + 'static;
}

/// One way to compute a kernel.
pub struct Variant<R: 'static> {
    /// Unique within the kernel: `scalar`, `avx2`, `avx512`, …
    pub name: &'static str,
    /// What it needs from the processor.
    pub isa: Isa,
    /// The routine.
    pub run: R,
}

/// A kernel: one contract, several variants, for `f32` and for `f64`.
///
/// Tables are ordered, the fastest first; the last entry is always `scalar`.
pub struct Kernel<S: Signature> {
    /// The name used in prints and in a [`Choice`].
    pub name: &'static str,
    /// Variants for `f32`.
    pub f32: &'static [Variant<S::Run<f32>>],
    /// Variants for `f64`.
    pub f64: &'static [Variant<S::Run<f64>>],
}

/// A forced variant that does not exist or cannot run.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum KernelError {
    /// The kernel has no variant of that name for the element type.
    #[error("kernel `{kernel}` has no variant `{variant}` for {dtype}; it has {available}")]
    NoSuchVariant {
        /// The kernel's name.
        kernel: &'static str,
        /// What was asked for.
        variant: String,
        /// `f32` or `f64`.
        dtype: &'static str,
        /// The names there are.
        available: String,
    },
    /// The variant exists but this machine cannot run it.
    #[error("kernel `{kernel}`: variant `{variant}` cannot run here: {reason}")]
    Unsupported {
        /// The kernel's name.
        kernel: &'static str,
        /// The variant's name.
        variant: &'static str,
        /// What is missing.
        reason: &'static str,
    },
    /// A forcing string that cannot be read or names no kernel.
    #[error("{0}")]
    BadChoice(String),
}

impl<S: Signature> Kernel<S> {
    /// The variant that will run for element type `T` under `choice`: the
    /// forced one if there is one, else the first that this machine supports.
    pub fn select<T: Real>(
        &self,
        choice: &Choice,
    ) -> Result<&'static Variant<S::Run<T>>, KernelError> {
        let variants = T::variants(self);
        if let Some(forced) = choice.forced(self.name) {
            if let Some(variant) = variants.iter().find(|v| v.name == forced.variant) {
                return match variant.isa.supported() {
                    Ok(()) => Ok(variant),
                    Err(reason) => Err(KernelError::Unsupported {
                        kernel: self.name,
                        variant: variant.name,
                        reason,
                    }),
                };
            }
            if forced.by_name && T::NAME == "f32" {
                return Err(KernelError::NoSuchVariant {
                    kernel: self.name,
                    variant: forced.variant.to_owned(),
                    dtype: T::NAME,
                    available: names(variants.iter().map(|v| v.name)),
                });
            }
        }
        let first = variants.iter().find(|v| v.isa.supported().is_ok());
        Ok(first.unwrap_or_else(|| panic!("kernel {} lacks its scalar variant", self.name)))
    }

    /// All variants with whether they run here, `f32` first.
    pub fn status(&self) -> KernelStatus {
        fn list<R>(variants: &'static [Variant<R>]) -> Vec<VariantStatus> {
            let entry = |v: &Variant<R>| VariantStatus {
                name: v.name,
                isa: v.isa,
                refused: v.isa.supported().err(),
            };
            variants.iter().map(entry).collect()
        }
        KernelStatus { name: self.name, f32: list(self.f32), f64: list(self.f64) }
    }
}

/// A kernel's table as data, for listings.
#[derive(Debug, Clone)]
pub struct KernelStatus {
    /// The kernel's name.
    pub name: &'static str,
    /// Variants for `f32`, in order of preference.
    pub f32: Vec<VariantStatus>,
    /// Variants for `f64`, in order of preference.
    pub f64: Vec<VariantStatus>,
}

/// A variant as data, for listings.
#[derive(Debug, Clone)]
pub struct VariantStatus {
    /// The variant's name.
    pub name: &'static str,
    /// What it needs.
    pub isa: Isa,
    /// Why this machine cannot run it, if it cannot.
    pub refused: Option<&'static str>,
}

pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::tests::unchecked;

    struct Test;

    impl Signature for Test {
        type Run<T: Real> = fn(T) -> T;
    }

    /// An instruction set that this machine lacks: no processor has both.
    const MISSING: Isa = if cfg!(target_arch = "aarch64") { Isa::Avx512 } else { Isa::Neon };

    const fn variant<T: Real>(name: &'static str, isa: Isa) -> Variant<fn(T) -> T> {
        Variant { name, isa, run: |x| x }
    }

    static KERNEL: Kernel<Test> = Kernel {
        name: "test",
        f32: &[
            variant("exotic", MISSING),
            variant("fast", Isa::Portable),
            variant("scalar", Isa::Portable),
        ],
        f64: &[variant("scalar", Isa::Portable)],
    };

    fn selected<T: Real>(rules: &[(&str, &str)]) -> Result<&'static str, KernelError> {
        KERNEL.select::<T>(&unchecked(rules)).map(|variant| variant.name)
    }

    #[test]
    fn without_a_rule_the_first_supported_variant_runs() {
        assert_eq!(selected::<f32>(&[]), Ok("fast"));
        assert_eq!(selected::<f64>(&[]), Ok("scalar"));
        assert_eq!(selected::<f32>(&[("other", "scalar")]), Ok("fast"));
    }

    #[test]
    fn a_rule_forces_a_variant_and_the_later_rule_wins() {
        assert_eq!(selected::<f32>(&[("test", "scalar")]), Ok("scalar"));
        assert_eq!(selected::<f32>(&[("test", "scalar"), ("test", "fast")]), Ok("fast"));
        assert_eq!(selected::<f32>(&[("test", "fast"), ("*", "scalar")]), Ok("scalar"));
        assert_eq!(selected::<f32>(&[("*", "scalar"), ("test", "fast")]), Ok("fast"));
    }

    #[test]
    fn a_star_applies_only_where_there_is_such_a_variant() {
        assert_eq!(selected::<f32>(&[("*", "elsewhere")]), Ok("fast"));
        assert_eq!(selected::<f64>(&[("*", "fast")]), Ok("scalar"));
    }

    #[test]
    fn a_variant_that_cannot_run_is_refused_with_the_reason() {
        for rule in [("test", "exotic"), ("*", "exotic")] {
            let error = selected::<f32>(&[rule]).expect_err("a refusal");
            let reason = MISSING.supported().expect_err("a missing instruction set");
            let want = format!("kernel `test`: variant `exotic` cannot run here: {reason}");
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn a_variant_that_does_not_exist_is_refused_by_name() {
        let error = selected::<f32>(&[("test", "nothing")]).expect_err("a refusal");
        let want =
            "kernel `test` has no variant `nothing` for f32; it has `exotic`, `fast`, `scalar`";
        assert_eq!(error.to_string(), want);
        // A variant of f32 alone leaves f64, the reference, as it is.
        assert_eq!(selected::<f64>(&[("test", "fast")]), Ok("scalar"));
    }

    #[test]
    fn the_status_tells_what_is_refused_and_why() {
        let status = KERNEL.status();
        assert_eq!(status.name, "test");
        let refused: Vec<_> = status.f32.iter().map(|v| (v.name, v.refused)).collect();
        let reason = MISSING.supported().err();
        assert!(reason.is_some());
        assert_eq!(refused, [("exotic", reason), ("fast", None), ("scalar", None)]);
        assert_eq!(status.f64.len(), 1);
    }

    #[test]
    fn every_kernel_has_a_name_of_its_own_and_ends_with_scalar() {
        let kernels = crate::all();
        let mut seen: Vec<_> = kernels.iter().map(|kernel| kernel.name).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), kernels.len());
        for kernel in &kernels {
            for variants in [&kernel.f32, &kernel.f64] {
                let last = variants.last().expect("a variant");
                assert_eq!((last.name, last.refused), ("scalar", None), "{}", kernel.name);
                let mut seen: Vec<_> = variants.iter().map(|variant| variant.name).collect();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), variants.len(), "{}", kernel.name);
            }
        }
    }
}
