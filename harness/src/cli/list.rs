//! `speck list`.

use super::{device, say};
use crate::catalogue::{self, Entry, KernelEntry};
use crate::config::RegistryEntry;
use crate::{RunError, diagnostics, ensembles, metrics, regimens, registries};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use speck_engine::kernels::gpu::{FAMILIES, Gpu, PLAIN, When};
use speck_engine::{kernels, passes};
use speck_learners::gradient::{
    initializers, losses, optimizers, pretexts, regularizers, schedules,
};
use speck_models::settings::{Dimension, Kind};
use std::fmt::Write;

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum What {
    /// Operations: formula, gradient, rule at ties and edges, kernels.
    Ops,
    /// Functions made of several operations.
    Compositions,
    /// Kernels, their variants, and which of them run here.
    Kernels,
    /// The processor, and the GPUs by number.
    Devices,
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
    /// Initializations of the gradient learner.
    Initializers,
    /// Losses of the gradient learner.
    Losses,
    /// Regularizers of the gradient learner.
    Regularizers,
    /// What the gradient learner can learn in place of the task.
    Pretexts,
    /// Dimensions of the data.
    Data,
    /// Test batteries.
    Batteries,
    /// Protocols of retraining.
    Protocols,
    /// Regimens: how a network is trained over a whole run.
    Regimens,
    /// What is measured about a network while it is trained.
    Diagnostics,
    /// Networks that answer together.
    Ensembles,
    /// Metrics.
    Metrics,
}

#[derive(Args)]
pub(super) struct ListArguments {
    /// What to list.
    what: What,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Of the ops: the page of the documentation, compositions included.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

pub(super) fn list(arguments: &ListArguments) -> Result<(), RunError> {
    let &ListArguments { what, json: as_json, markdown } = arguments;
    if markdown {
        return match what {
            What::Ops => say(&catalogue::markdown()),
            _ => Err(RunError::Usage("--markdown: there is a page of the ops only".to_owned())),
        };
    }
    let registries = registries();
    let (text, value) = match what {
        What::Ops => catalogue_listing(&catalogue::op_entries()),
        What::Compositions => catalogue_listing(&catalogue::composition_entries()),
        What::Kernels => kernels_listing(),
        What::Devices => {
            let all = device::all();
            pairs(all.iter().map(|(name, text)| (name.as_str(), text.as_str())))
        }
        What::Passes => pairs(passes::names()),
        What::Models => entries(&registries.models),
        What::Learners => entries(&registries.learners),
        What::Optimizers => sourced(
            optimizers::ALL
                .iter()
                .map(|o| (RegistryEntry::new(o.name, o.summary, o.dimensions), o.source)),
        ),
        What::Schedules => sourced(
            schedules::ALL
                .iter()
                .map(|s| (RegistryEntry::new(s.name, s.summary, s.dimensions), s.source)),
        ),
        What::Initializers => sourced(
            initializers::ALL
                .iter()
                .map(|i| (RegistryEntry::new(i.name, i.summary, i.dimensions), i.source)),
        ),
        What::Losses => sourced(
            losses::ALL
                .iter()
                .map(|l| (RegistryEntry::new(l.name, l.summary, l.dimensions), l.source)),
        ),
        What::Regularizers => sourced(
            regularizers::ALL
                .iter()
                .map(|r| (RegistryEntry::new(r.name, r.summary, r.dimensions), r.source)),
        ),
        What::Pretexts => sourced(
            pretexts::ALL
                .iter()
                .map(|p| (RegistryEntry::new(p.name, p.summary, p.dimensions), p.source)),
        ),
        What::Data => entries(std::slice::from_ref(&registries.data)),
        What::Batteries => entries(&registries.batteries),
        What::Protocols => entries(&registries.protocols),
        What::Regimens => sourced(
            regimens::ALL
                .iter()
                .map(|r| (RegistryEntry::new(r.name, r.summary, r.dimensions), r.source)),
        ),
        What::Diagnostics => sourced(
            diagnostics::ALL
                .iter()
                .map(|d| (RegistryEntry::new(d.name, d.summary, d.dimensions), d.source)),
        ),
        What::Ensembles => sourced(
            ensembles::ALL
                .iter()
                .map(|e| (RegistryEntry::new(e.name, e.summary, e.dimensions), e.source)),
        ),
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
        dimensions(&mut text, entry);
    }
    (text, json!(entries))
}

/// Entries with where each is from.
fn sourced(entries: impl Iterator<Item = (RegistryEntry, &'static str)>) -> Listing {
    let mut text = String::new();
    let mut values = Vec::new();
    for (entry, source) in entries {
        let _ = writeln!(text, "{}: {}\n    {source}", entry.name, entry.summary);
        dimensions(&mut text, &entry);
        let mut value = json!(entry);
        value["source"] = json!(source);
        values.push(value);
    }
    (text, Value::Array(values))
}

fn dimensions(text: &mut String, entry: &RegistryEntry) {
    for dimension in entry.dimensions {
        settings(text, dimension, 4);
    }
}

/// Dimensions whose choices have a listing.
const LISTED: [&str; 5] = ["optimizer", "schedule", "initialization", "loss", "pretext"];

/// A dimension, and below it what those of its choices bring along that have no listing
/// of their own.
fn settings(text: &mut String, dimension: &Dimension, indent: usize) {
    let Dimension { name, doc, kind, default } = dimension;
    let gap = if name.len() < 16 { "" } else { " " };
    let _ =
        writeln!(text, "{:indent$}{name:16}{gap}{doc} [{kind}; default {}]", "", default.value());
    let Kind::Entry(parts) = kind else { return };
    if LISTED.contains(name) {
        return;
    }
    for part in parts.iter().filter(|part| !part.dimensions.is_empty()) {
        let _ = writeln!(text, "{:indent$}  with {name} = {}:", "", part.name);
        for dimension in part.dimensions {
            settings(text, dimension, indent + 4);
        }
    }
}

fn catalogue_listing(entries: &[Entry]) -> Listing {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{:36}{}", entry.name, entry.formula);
        for line in entry.lines() {
            let _ = writeln!(text, "{:36}{line}", "");
        }
        for kernel in &entry.kernels {
            let _ = writeln!(text, "{:36}kernel {}: {}", "", kernel.name, kernel.variants());
        }
    }
    (text, json!(entries))
}

fn kernels_listing() -> Listing {
    let all: Vec<_> = kernels::all().iter().map(KernelEntry::new).collect();
    let width = all.iter().map(|kernel| kernel.name.len() + 2).max().unwrap_or_default();
    let mut text = String::new();
    for kernel in &all {
        let _ = writeln!(text, "{:width$}{}", kernel.name, kernel.variants());
        for variant in kernel.f32.iter().chain(&kernel.f64) {
            if let Some(reason) = variant.refused {
                let _ = writeln!(text, "{:width$}{} refused: {reason}", "", variant.name);
            }
        }
    }
    let _ = writeln!(
        text,
        "  All: work is cut into parts of about {} operations, at any number of threads; work of \
         one part stays on its thread.",
        kernels::parallel::GRAIN
    );
    let mut values: Vec<Value> = all.iter().map(|kernel| json!(kernel)).collect();
    values.extend(shaders_listing(&mut text, width));
    (text, Value::Array(values))
}

/// Kernels of the GPU side with more than one shader, and which run on the first GPU.
fn shaders_listing(text: &mut String, width: usize) -> Vec<Value> {
    let gpu = Gpu::open(0, false);
    let device = match &gpu {
        Ok(gpu) => gpu.name().to_owned(),
        Err(error) => error.to_string(),
    };
    let limits = gpu.as_ref().ok().map(|gpu| gpu.limits());
    let _ = writeln!(
        text,
        "\nOn a GPU ({device}); all other kernels have one shader, and `{PLAIN}` names it:"
    );
    let mut values = Vec::new();
    for family in FAMILIES {
        let mut names = vec![format!("{PLAIN} ({})", family.plain.name)];
        let mut variants = Vec::new();
        let mut refusals = String::new();
        for (shader, when) in family.others {
            let refused = match &limits {
                Some(limits) => shader.refused(limits),
                None => Some("there is no GPU"),
            };
            let said = match when {
                When::Always => "",
                When::Asked => " (where asked for only: rounds more)",
            };
            names.push(format!("{}{said}", shader.name));
            if let Some(reason) = refused {
                let _ = writeln!(refusals, "{:width$}{} refused: {reason}", "", shader.name);
            }
            variants.push(json!({
                "name": shader.name,
                "refused": refused,
                "unasked": *when != When::Asked,
            }));
        }
        let _ = writeln!(text, "{:width$}{}", family.kernel, names.join(", "));
        text.push_str(&refusals);
        values.push(json!({
            "name": family.kernel,
            "device": "gpu",
            "plain": family.plain.name,
            "shaders": variants,
        }));
    }
    values
}
