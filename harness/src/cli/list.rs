//! `speck list`.

use super::say;
use crate::config::RegistryEntry;
use crate::{RunError, metrics, registries};
use clap::ValueEnum;
use serde_json::{Value, json};
use speck_engine::kernels::{self, KernelStatus};
use speck_engine::op::Gradient;
use speck_engine::{ops, passes};
use speck_learners::gradient::{optimizers, schedules};
use std::fmt::Write;

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum What {
    /// Operations: formula, gradient, rule at ties and edges, kernels.
    Ops,
    /// Kernels, their variants, and which of them run here.
    Kernels,
    /// Graph passes.
    Passes,
    /// Architectures and their dimensions.
    Models,
    /// Ways of learning and their dimensions.
    Learners,
    /// Optimizers of the gradient learner.
    Optimizers,
    /// Schedules of the gradient learner.
    Schedules,
    /// Dimensions of the data.
    Data,
    /// Test batteries.
    Batteries,
    /// Protocols of retraining.
    Protocols,
    /// Metrics.
    Metrics,
}

pub(super) fn list(what: What, as_json: bool) -> Result<(), RunError> {
    let registries = registries();
    let (text, value) = match what {
        What::Ops => ops_listing(),
        What::Kernels => kernels_listing(),
        What::Passes => pairs(passes::ALL.iter().map(|p| (p.name, p.summary))),
        What::Models => entries(&registries.models),
        What::Learners => entries(&registries.learners),
        What::Optimizers => pairs(optimizers::ALL.iter().map(|o| (o.name, o.summary))),
        What::Schedules => pairs(schedules::ALL.iter().map(|s| (s.name, s.summary))),
        What::Data => entries(std::slice::from_ref(&registries.data)),
        What::Batteries => entries(&registries.batteries),
        What::Protocols => entries(&registries.protocols),
        What::Metrics => pairs(metrics::LIST.iter().map(|m| (m.name, m.summary))),
    };
    if as_json { say(&format!("{value:#}\n")) } else { say(&text) }
}

type Listing = (String, Value);

fn pairs<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Listing {
    let mut text = String::new();
    let mut values = Vec::new();
    for (name, summary) in entries {
        let _ = writeln!(text, "{name:24}{summary}");
        values.push(json!({"name": name, "summary": summary}));
    }
    (text, Value::Array(values))
}

fn entries(entries: &[RegistryEntry]) -> Listing {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{}: {}", entry.name, entry.summary);
        for dimension in entry.dimensions {
            let _ = writeln!(
                text,
                "    {:16}{} [{}; default {}]",
                dimension.name,
                dimension.doc,
                dimension.kind,
                dimension.default.value()
            );
        }
    }
    (text, json!(entries))
}

fn ops_listing() -> Listing {
    let mut text = String::new();
    let mut values = Vec::new();
    for op in ops::ALL {
        let (kind, gradient) = match op.gradient {
            Gradient::Product(formula) => ("product", formula),
            Gradient::Zero(reason) => ("zero", reason),
            Gradient::Stated(reason) => ("stated", reason),
            Gradient::None(reason) => ("none", reason),
        };
        let _ = writeln!(text, "{:26}{}", op.name, op.formula);
        let prefix = match kind {
            "product" => "gradient",
            "stated" => "gradient by definition",
            _ => "no gradient",
        };
        let _ = writeln!(text, "{:26}{prefix}: {gradient}", "");
        if let Some(rule) = op.rule {
            let _ = writeln!(text, "{:26}rule: {rule}", "");
        }
        let kernels = (op.kernels)();
        for kernel in &kernels {
            let _ = writeln!(text, "{:26}kernel {}: {}", "", kernel.name, variants(kernel));
        }
        values.push(json!({
            "name": op.name,
            "formula": op.formula,
            "gradient": {"kind": kind, "text": gradient},
            "rule": op.rule,
            "kernels": kernels.iter().map(kernel_value).collect::<Vec<_>>(),
        }));
    }
    (text, Value::Array(values))
}

fn kernels_listing() -> Listing {
    let all = kernels::all();
    let mut text = String::new();
    for kernel in &all {
        let _ = writeln!(text, "{:26}{}", kernel.name, variants(kernel));
        for variant in kernel.f32.iter().chain(&kernel.f64) {
            if let Some(reason) = variant.refused {
                let _ = writeln!(text, "{:26}{} refused: {reason}", "", variant.name);
            }
        }
    }
    (text, Value::Array(all.iter().map(kernel_value).collect()))
}

/// Variants in order of preference, the one that runs in brackets.
fn variants(kernel: &KernelStatus) -> String {
    let row = |dtype: &str, variants: &[kernels::VariantStatus]| {
        let chosen = variants.iter().position(|variant| variant.refused.is_none());
        let name = |(i, variant): (usize, &kernels::VariantStatus)| {
            if Some(i) == chosen { format!("[{}]", variant.name) } else { variant.name.to_owned() }
        };
        let names: Vec<_> = variants.iter().enumerate().map(name).collect();
        format!("{dtype} {}", names.join(" "))
    };
    format!("{}; {}", row("f32", &kernel.f32), row("f64", &kernel.f64))
}

fn kernel_value(kernel: &KernelStatus) -> Value {
    let list = |variants: &[kernels::VariantStatus]| -> Vec<Value> {
        let value = |v: &kernels::VariantStatus| json!({"name": v.name, "isa": v.isa.to_string(), "refused": v.refused});
        variants.iter().map(value).collect()
    };
    json!({"name": kernel.name, "f32": list(&kernel.f32), "f64": list(&kernel.f64)})
}
