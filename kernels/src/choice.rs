//! Forcing a kernel's variant: `SPECK_KERNEL=matmul:avx2,exp:scalar`.

use crate::gpu::{FAMILIES, Family, Gpu, PLAIN};
use crate::variant::{KernelError, names};
use std::env::VarError;
use std::sync::Arc;

/// The environment variable read by [`Choice::from_environment`].
pub const VARIABLE: &str = "SPECK_KERNEL";

/// Which kernels run: the device, and on the CPU the variants that the user forces.
/// Empty: on the CPU, every kernel its fastest.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    rules: Vec<(String, String)>,
    gpu: Option<Arc<Gpu>>,
    /// Kernels and shaders of the GPU side.
    shaders: Vec<(String, String)>,
}

/// Equal rules, and the same device.
impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.gpu, &other.gpu) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        same && self.rules == other.rules && self.shaders == other.shaders
    }
}

/// What [`Choice::forced`] found for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forced<'a> {
    /// The variant asked for.
    pub variant: &'a str,
    /// Whether the rule named this kernel; a `*` rule applies only where the
    /// kernel has such a variant.
    pub by_name: bool,
}

impl Choice {
    /// Reads `kernel:variant` pairs separated by commas. `*` stands for every
    /// kernel that has the variant, and a later rule wins over an earlier one.
    ///
    /// # Errors
    /// A pair without a colon, a kernel that does not exist, or a variant that
    /// the kernel does not have; the message suggests the nearest name.
    pub fn parse(text: &str) -> Result<Self, KernelError> {
        let kernels = crate::all();
        let (mut rules, mut shaders) = (Vec::new(), Vec::new());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((kernel, variant)) = pair.split_once(':') else {
                return Err(KernelError::BadChoice(format!(
                    "`{pair}` is not KERNEL:VARIANT, for example matmul:scalar"
                )));
            };
            // The GPU side has names of its own.
            let families = FAMILIES.iter().filter(|own| kernel == "*" || own.kernel == kernel);
            let families: Vec<_> = families.collect();
            if families.iter().any(|family| family.has(variant)) {
                shaders.push((kernel.to_owned(), variant.to_owned()));
                continue;
            }
            let matching: Vec<_> =
                kernels.iter().filter(|k| kernel == "*" || k.name == kernel).collect();
            if matching.is_empty() && families.is_empty() {
                let others = FAMILIES.iter().map(|own| own.kernel);
                let near = nearest(kernel, kernels.iter().map(|k| k.name).chain(others));
                return Err(KernelError::BadChoice(format!("no kernel `{kernel}`{near}")));
            }
            let known = || {
                let variants = matching.iter().flat_map(|k| k.f32.iter().chain(&k.f64));
                let mut known: Vec<_> = variants.map(|v| v.name).collect();
                known.sort_unstable();
                known.dedup();
                known
            };
            if !known().contains(&variant) {
                let others = families.iter().flat_map(|family| family.others);
                let others: Vec<_> = others.map(|(shader, _)| shader.name).collect();
                let shaders = match others.is_empty() {
                    true => String::new(),
                    false => format!(", on a GPU `{PLAIN}`, {}", names(others.into_iter())),
                };
                return Err(KernelError::BadChoice(format!(
                    "kernel `{kernel}` has no variant `{variant}`; there are {}{shaders}",
                    names(known().into_iter())
                )));
            }
            rules.push((kernel.to_owned(), variant.to_owned()));
        }
        Ok(Choice { rules, shaders, ..Choice::default() })
    }

    /// The choice in `SPECK_KERNEL`, or the empty one.
    pub fn from_environment() -> Result<Self, KernelError> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text)
                .map_err(|error| KernelError::BadChoice(format!("{VARIABLE}: {error}"))),
            Err(VarError::NotPresent) => Ok(Choice::default()),
            Err(VarError::NotUnicode(_)) => {
                Err(KernelError::BadChoice(format!("{VARIABLE}: not a text in UTF-8")))
            }
        }
    }

    /// The same on this GPU; on the CPU if there is none.
    pub fn on(self, gpu: Option<Arc<Gpu>>) -> Self {
        Choice { gpu, ..self }
    }

    /// The same, on a GPU with the shader of this name wherever it is a variant of
    /// what would run and the device can run it, and elsewhere with the plain ones.
    pub fn shaded(mut self, shader: &str) -> Self {
        for family in FAMILIES {
            let own = if family.has(shader) { shader } else { PLAIN };
            // The star: no error where the device cannot run it.
            self.shaders.push((format!("*{}", family.kernel), own.to_owned()));
        }
        self
    }

    /// The shader that is asked for of a kernel of the GPU side, if any.
    pub fn shader(&self, family: &Family) -> Option<Forced<'_>> {
        let applies = |(kernel, shader): &&(String, String)| {
            let named = kernel.trim_start_matches('*');
            (named == family.kernel || named.is_empty()) && family.has(shader)
        };
        let (kernel, variant) = self.shaders.iter().rev().find(applies)?;
        Some(Forced { variant, by_name: !kernel.starts_with('*') })
    }

    /// Whether a processor can do what is asked for.
    ///
    /// # Errors
    /// A shader was asked for by name.
    pub fn check_cpu(&self) -> Result<(), KernelError> {
        let named = self.shaders.iter().find(|(kernel, _)| !kernel.starts_with('*'));
        match named {
            Some((kernel, shader)) => Err(KernelError::BadChoice(format!(
                "kernel `{kernel}`: `{shader}` is of the GPU side (--device gpu)"
            ))),
            None => Ok(()),
        }
    }

    /// The GPU, unless it is the CPU.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        self.gpu.as_ref()
    }

    /// The rule that applies to `kernel`, if any.
    pub fn forced(&self, kernel: &str) -> Option<Forced<'_>> {
        let applies = |(name, _): &&(String, String)| name == kernel || name == "*";
        let (name, variant) = self.rules.iter().rev().find(applies)?;
        Some(Forced { variant, by_name: name != "*" })
    }
}

fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A choice with these rules, whether or not such kernels exist.
    pub(crate) fn unchecked(rules: &[(&str, &str)]) -> Choice {
        let owned = |(kernel, variant): &(&str, &str)| ((*kernel).into(), (*variant).into());
        Choice { rules: rules.iter().map(owned).collect(), ..Choice::default() }
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        Choice::parse(text).expect_err("a refusal").to_string()
    }

    #[test]
    fn no_rules_force_nothing() {
        for text in ["", " ", ",", " , ,"] {
            let choice = Choice::parse(text).expect("no rules");
            assert_eq!(choice, Choice::default());
            assert_eq!(choice.forced("gather"), None);
        }
    }

    #[test]
    fn a_rule_forces_the_kernel_it_names() {
        let choice = Choice::parse(" gather:scalar , read_strided:tiled").expect("two rules");
        assert_eq!(choice.forced("gather"), Some(Forced { variant: "scalar", by_name: true }));
        let tiled = Some(Forced { variant: "tiled", by_name: true });
        assert_eq!(choice.forced("read_strided"), tiled);
        assert_eq!(choice.forced("write_strided"), None);
    }

    #[test]
    fn a_star_stands_for_every_kernel_and_a_later_rule_wins() {
        let choice = Choice::parse("gather:tiled,*:scalar").expect("two rules");
        let star = Some(Forced { variant: "scalar", by_name: false });
        assert_eq!(choice.forced("gather"), star);
        assert_eq!(choice.forced("render"), star);
        let choice = Choice::parse("*:scalar,gather:tiled").expect("two rules");
        assert_eq!(choice.forced("gather"), Some(Forced { variant: "tiled", by_name: true }));
        assert_eq!(choice.forced("render"), star);
    }

    #[test]
    fn unknown_names_are_refused_with_what_would_be_right() {
        assert_eq!(refused("gathr:scalar"), "no kernel `gathr`; did you mean `gather`?");
        assert_eq!(refused("zzz:scalar"), "no kernel `zzz`");
        let message = refused("gather:fast");
        assert!(message.contains("kernel `gather` has no variant `fast`"), "{message}");
        assert!(message.contains("`scalar`, `tiled`"), "{message}");
        let message = refused("*:fast");
        assert!(message.contains("kernel `*` has no variant `fast`"), "{message}");
        assert!(refused("gather").contains("`gather` is not KERNEL:VARIANT"));
        // One bad rule among good ones.
        assert!(refused("gather:scalar,render:").contains("`render` has no variant ``"));
    }
}
