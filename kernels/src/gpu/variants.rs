//! Kernels of the GPU side that several shaders compute, and the choice among them.
//!
//! The plain calls of a kernel run on every device. Beside them there may be others,
//! each with the shader that gives it its name; [`FAMILIES`] says which there are, in
//! the order in which they are tried, and when one is taken without being asked for.
//! `--kernel matmul:matmul_wide` asks for one, `matmul:plain` for none of them.

use super::call::{Calls, Variant};
use super::device::Limits;
use super::shader::Shader;
use super::{
    attention, attention_tile, convolution, convolution_half, matmul, matmul_half, matmul_subgroup,
    matmul_wide, norm_statistics, norm_statistics_subgroup, reduce, reduce_rows_subgroup, scatter,
    scatter_rounds, softmax, softmax_subgroup,
};
use crate::choice::Choice;
use crate::variant::KernelError;

/// When a variant is taken without being asked for, where a device can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always, at shapes that suit it.
    Always,
    /// Never: it rounds more than the plain one, or is faster on some devices only.
    Asked,
}

/// The shaders of a kernel.
pub struct Family {
    /// Its name in a [`Choice`].
    pub kernel: &'static str,
    /// What runs on every device.
    pub plain: &'static Shader,
    /// What may run in its place, the first choice first.
    pub others: &'static [(&'static Shader, When)],
}

/// What asks for the plain shader of a kernel.
pub const PLAIN: &str = "plain";

/// Kernels with more than one shader.
pub static FAMILIES: &[Family] = &[
    Family {
        kernel: "matmul",
        plain: &matmul::SHADER,
        others: &[
            (&matmul_wide::SHADER, When::Always),
            (&matmul_subgroup::SHADER, When::Asked),
            (&matmul_half::SHADER, When::Asked),
        ],
    },
    Family {
        kernel: "conv2d",
        plain: &convolution::SHADER,
        others: &[(&convolution_half::SHADER, When::Asked)],
    },
    Family {
        kernel: "reduce",
        plain: &reduce::SHADER,
        others: &[(&reduce_rows_subgroup::SHADER, When::Always)],
    },
    Family {
        kernel: "softmax",
        plain: &softmax::SHADER,
        others: &[(&softmax_subgroup::SHADER, When::Always)],
    },
    Family {
        kernel: "norm",
        plain: &norm_statistics::SHADER,
        others: &[(&norm_statistics_subgroup::SHADER, When::Always)],
    },
    Family {
        kernel: "attention",
        plain: &attention::SHADER,
        others: &[(&attention_tile::SHADER, When::Always)],
    },
    Family {
        kernel: "scatter_add",
        plain: &scatter::SHADER,
        others: &[(&scatter_rounds::SHADER, When::Always)],
    },
];

impl Family {
    /// The family that a shader is in.
    pub fn of(shader: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.has(shader))
    }

    /// The family of a kernel.
    pub fn named(kernel: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.kernel == kernel)
    }

    /// Whether a shader is in it; [`PLAIN`] is in each.
    pub fn has(&self, shader: &str) -> bool {
        shader == PLAIN
            || self.plain.name == shader
            || self.others.iter().any(|(own, _)| own.name == shader)
    }
}

impl Shader {
    /// Why a device of these limits cannot run it, if it cannot.
    pub fn refused(&self, limits: &Limits) -> Option<&'static str> {
        let lacks = |needed: bool, has: bool| needed && !has;
        if lacks(self.needs.subgroups, limits.subgroups) {
            return Some("the device has no operations among a subgroup");
        }
        if lacks(self.needs.f16, limits.f16) {
            return Some("the device has no half precision in shaders");
        }
        None
    }
}

impl Calls {
    /// Whether a device of these limits goes through with all loops.
    fn ends(&self, limits: &Limits) -> bool {
        self.calls.iter().all(|call| call.too_long(limits).is_none())
    }

    /// The calls of the shader that is asked for; else those of the first one that the
    /// device can run and that need not be asked for; else the plain ones. Where the plain
    /// ones have loops too long for the device, shapes that do not suit another are no
    /// reason against it.
    ///
    /// # Errors
    /// What is asked for by name cannot run there.
    pub fn choose(mut self, limits: &Limits, choice: &Choice) -> Result<Calls, KernelError> {
        let variants = std::mem::take(&mut self.variants);
        let Some(family) = variants.first().and_then(|first| Family::of(first.shader.name)) else {
            return Ok(self);
        };
        if let Some(asked) = choice.shader(family) {
            // A shape for which there is no such variant has its plain calls.
            let found = variants.into_iter().find(|own| own.shader.name == asked.variant);
            let Some(Variant { shader, calls, .. }) = found else { return Ok(self) };
            return match shader.refused(limits) {
                None => Ok(calls),
                Some(_) if !asked.by_name => Ok(self),
                Some(reason) => Err(KernelError::Unsupported {
                    kernel: family.kernel,
                    variant: shader.name,
                    reason,
                }),
            };
        }
        let plain_ends = self.ends(limits);
        let taken = |own: &Variant| {
            let when = family.others.iter().find(|(shader, _)| shader.name == own.shader.name);
            let suits = match when.map(|(_, when)| when) {
                Some(When::Always) => true,
                Some(When::Asked) | None => false,
            };
            let suits = suits && (own.suits || !plain_ends);
            suits && own.shader.refused(limits).is_none() && own.calls.ends(limits)
        };
        Ok(variants.into_iter().find(taken).map_or(self, |own| own.calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{ALL, Call, MOST_ROUNDS, Needs};

    const LIMITS: Limits = Limits {
        binding: 1 << 27,
        buffer: 1 << 28,
        subgroups: false,
        f16: false,
        timestamps: true,
        software: true,
    };

    fn calls() -> Calls {
        let family = Family::named("matmul").expect("the family");
        let variant = |shader| Variant {
            shader,
            calls: Calls { scratch: vec![1], ..Calls::default() },
            suits: true,
        };
        let variants = family.others.iter().map(|(shader, _)| variant(*shader)).collect();
        Calls { variants, ..Calls::default() }
    }

    /// Whether a variant was taken, by what the calls of this test's variants have.
    fn taken(limits: Limits, choice: &Choice) -> bool {
        !calls().choose(&limits, choice).expect("calls").scratch.is_empty()
    }

    #[test]
    fn what_needs_more_than_all_devices_have_is_in_a_family() {
        for shader in ALL {
            let plain = FAMILIES.iter().any(|family| family.plain.name == shader.name);
            assert!(shader.needs == Needs::NOTHING || Family::of(shader.name).is_some());
            assert!(!plain || shader.needs == Needs::NOTHING, "{}", shader.name);
        }
        let all: Vec<_> =
            FAMILIES.iter().flat_map(|own| own.others).map(|(own, _)| own.name).collect();
        for (i, name) in all.iter().enumerate() {
            assert!(!all[..i].contains(name), "{name} is in two families");
        }
    }

    /// A shader's lines from its parameters on.
    fn body(shader: &Shader) -> &'static str {
        let begin = shader.source.find("struct Params").expect("parameters");
        &shader.source[begin..]
    }

    #[test]
    fn tiles_in_half_precision_differ_in_what_four_values_are_only() {
        for (plain, half) in [
            (&matmul::SHADER, &matmul_half::SHADER),
            (&convolution::SHADER, &convolution_half::SHADER),
        ] {
            let four = "alias Four = vec4<f32>;";
            assert!(body(plain).contains(four), "{}", plain.name);
            assert_eq!(body(plain).replace(four, "alias Four = vec4<f16>;"), body(half));
        }
    }

    #[test]
    fn a_variant_is_taken_where_it_suits_and_where_it_is_asked_for() {
        let none = Choice::default();
        assert!(taken(LIMITS, &none));
        assert!(taken(LIMITS, &none.clone().shaded("matmul_wide")));
        assert!(!taken(LIMITS, &none.clone().shaded(PLAIN)));
        let mut unsuited = calls();
        unsuited.variants.iter_mut().for_each(|own| own.suits = false);
        assert!(unsuited.clone().choose(&LIMITS, &none).expect("calls").scratch.is_empty());
        let asked = none.shaded("matmul_wide");
        assert!(!unsuited.choose(&LIMITS, &asked).expect("calls").scratch.is_empty());
    }

    #[test]
    fn loops_too_long_for_a_program_on_the_processor_are_not_taken_there() {
        let none = Choice::default();
        let params = crate::gpu::fill::Params::default();
        let shader = &crate::gpu::fill::SHADER;
        let call = |rounds| {
            Call::new(shader, &params, &[crate::gpu::Operand::Output], [1; 3]).looping(rounds)
        };
        assert!(call(MOST_ROUNDS).too_long(&LIMITS).is_none());
        let long = call(MOST_ROUNDS + 1);
        let reason = long.too_long(&LIMITS).expect("a reason");
        assert!(reason.contains("`fill`") && reason.contains("65536 rounds"), "{reason}");
        assert!(long.too_long(&Limits { software: false, ..LIMITS }).is_none());
        // A variant that is too long, and one that does not suit where the plain one is.
        let mut own = calls();
        own.variants.iter_mut().for_each(|own| own.calls.calls.push(long.clone()));
        assert!(own.clone().choose(&LIMITS, &none).expect("calls").scratch.is_empty());
        let hardware = Limits { software: false, ..LIMITS };
        assert!(!own.choose(&hardware, &none).expect("calls").scratch.is_empty());
        let mut own = calls();
        own.variants.iter_mut().for_each(|own| own.suits = false);
        own.calls.push(long);
        assert!(!own.choose(&LIMITS, &none).expect("calls").scratch.is_empty());
    }

    #[test]
    fn what_cannot_run_is_refused_where_it_is_asked_for_by_name() {
        let choice = Choice::parse("matmul:matmul_half").expect("a choice");
        let error = calls().choose(&LIMITS, &choice).expect_err("a refusal").to_string();
        assert!(error.contains("`matmul_half` cannot run here"), "{error}");
        assert!(taken(Limits { f16: true, ..LIMITS }, &choice));
        assert!(!taken(LIMITS, &Choice::default().shaded("matmul_half")));
        let other = Choice::parse("conv2d:plain").expect("a choice");
        assert!(taken(LIMITS, &other));
    }
}
