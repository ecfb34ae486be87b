//! The catalogue of ops and compositions: made from the registry, with
//! derivatives checked as it is made.

use serde::Serialize;
use speck_engine::check::{self, gradients::Checked};
use speck_engine::kernels::{KernelStatus, VariantStatus};
use speck_engine::op::{Case, Gradient};
use speck_engine::{Composition, OpInfo, compositions, ops};
use std::fmt::Write;

/// An op or a composition.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The name, unique among ops and compositions.
    pub name: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// How it is differentiated; of a composition by its parts.
    pub gradient: GradientEntry,
    /// The rule at ties, kinks and domain edges.
    pub rule: Option<&'static str>,
    /// Why its results in f32 may lie further from the true ones than is usual.
    pub rounding: Option<&'static str>,
    /// The kernels; none for a composition.
    pub kernels: Vec<KernelEntry>,
    /// The work of the first case; none for a composition.
    pub cost: Option<CostEntry>,
    /// Derivatives against finite differences.
    pub derivatives: Derivatives,
}

/// How an entry is differentiated.
#[derive(Debug, Serialize)]
pub struct GradientEntry {
    /// `product`, `parts`, `zero`, `stated` or `none`.
    pub kind: &'static str,
    /// The formula, or the reason.
    pub text: &'static str,
}

/// A kernel with its variants in order of preference.
#[derive(Debug, Serialize)]
pub struct KernelEntry {
    /// The kernel.
    pub name: &'static str,
    /// Its variants in f32.
    pub f32: Vec<VariantEntry>,
    /// Its variants in f64.
    pub f64: Vec<VariantEntry>,
}

/// A variant, and whether this machine runs it.
#[derive(Debug, Serialize)]
pub struct VariantEntry {
    /// The variant.
    pub name: &'static str,
    /// The instruction set it needs.
    pub isa: String,
    /// Why it does not run here.
    pub refused: Option<&'static str>,
}

/// The work of one evaluation, in f32.
#[derive(Debug, Serialize)]
pub struct CostEntry {
    /// The shapes of the inputs.
    pub shapes: Vec<Vec<usize>>,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

/// What finite differences say.
#[derive(Debug, Serialize)]
pub struct Derivatives {
    /// Slopes compared at first order.
    pub first: usize,
    /// Slopes compared at second order.
    pub second: usize,
    /// The largest error, relative to 1 + |slope|; null where none was compared.
    pub worst: Option<f64>,
    /// The first slope that differs, or what else went wrong.
    pub failure: Option<String>,
}

impl KernelEntry {
    /// The entry of a kernel.
    pub fn new(kernel: &KernelStatus) -> Self {
        let list = |variants: &[VariantStatus]| {
            let entry = |v: &VariantStatus| VariantEntry {
                name: v.name,
                isa: v.isa.to_string(),
                refused: v.refused,
            };
            variants.iter().map(entry).collect()
        };
        KernelEntry { name: kernel.name, f32: list(&kernel.f32), f64: list(&kernel.f64) }
    }

    /// Variants in order of preference, the one that runs in brackets.
    pub fn variants(&self) -> String {
        let row = |dtype: &str, variants: &[VariantEntry]| {
            let chosen = variants.iter().position(|variant| variant.refused.is_none());
            let name = |(i, variant): (usize, &VariantEntry)| match Some(i) == chosen {
                true => format!("[{}]", variant.name),
                false => variant.name.to_owned(),
            };
            let names: Vec<_> = variants.iter().enumerate().map(name).collect();
            format!("{dtype} {}", names.join(" "))
        };
        format!("{}; {}", row("f32", &self.f32), row("f64", &self.f64))
    }
}

/// Every op.
pub fn op_entries() -> Vec<Entry> {
    ops::ALL.iter().map(|op| op_entry(op)).collect()
}

/// Every composition.
pub fn composition_entries() -> Vec<Entry> {
    compositions::all().map(composition_entry).collect()
}

fn op_entry(op: &'static OpInfo) -> Entry {
    let (kind, text) = match op.gradient {
        Gradient::Product(formula) => ("product", formula),
        Gradient::Zero(reason) => ("zero", reason),
        Gradient::Stated(reason) => ("stated", reason),
        Gradient::None(reason) => ("none", reason),
    };
    let cases = (op.cases)();
    Entry {
        name: op.name,
        formula: op.formula,
        gradient: GradientEntry { kind, text },
        rule: op.rule,
        rounding: None,
        kernels: (op.kernels)().iter().map(KernelEntry::new).collect(),
        cost: cases.first().and_then(cost),
        derivatives: derivatives(&cases, matches!(op.gradient, Gradient::Stated(_))),
    }
}

fn composition_entry(composition: &'static Composition) -> Entry {
    let gradient = match composition.stated {
        Some(text) => GradientEntry { kind: "stated", text },
        None => GradientEntry { kind: "parts", text: "by the chain rule from those of its parts" },
    };
    Entry {
        name: composition.name,
        formula: composition.formula,
        gradient,
        rule: composition.rule.as_ref().map(|rule| rule.text),
        rounding: composition.rounding.map(|rounding| rounding.reason),
        kernels: Vec::new(),
        cost: None,
        derivatives: derivatives(&(composition.cases)(), composition.stated.is_some()),
    }
}

/// The work of the op that a case ends with.
fn cost(case: &Case) -> Option<CostEntry> {
    let graph = speck_engine::Graph::new(speck_engine::DType::F32);
    let inputs = check::declare(&graph, &check::tensors(case, graph.float(), 1)).ok()?;
    let node = graph.node((case.build)(&graph, &inputs).ok()?);
    let types: Vec<_> = node.inputs.iter().map(|id| graph.ty(*id)).collect();
    let cost = node.op.cost(&types.iter().collect::<Vec<_>>(), &node.ty);
    Some(CostEntry {
        shapes: types.into_iter().map(|ty| ty.shape).collect(),
        flops: cost.flops,
        read: cost.read,
        written: cost.written,
    })
}

/// Checks all cases; none where the gradient is defined rather than derived.
fn derivatives(cases: &[Case], stated: bool) -> Derivatives {
    let mut found = Derivatives { first: 0, second: 0, worst: None, failure: None };
    if stated {
        return found;
    }
    for (number, case) in cases.iter().enumerate() {
        match check::gradients::check(case, number as u64 + 1) {
            Ok(Checked { first, second, worst }) => {
                found.first += first;
                found.second += second;
                if first + second > 0 {
                    found.worst = Some(worst.max(found.worst.unwrap_or(0.0)));
                }
            }
            Err(error) => {
                found.failure.get_or_insert(format!("{}: {error}", case.name));
            }
        }
    }
    found
}

impl Entry {
    /// How it is differentiated, in words.
    pub fn gradient_line(&self) -> String {
        let prefix = match self.gradient.kind {
            "product" | "parts" => "gradient",
            "stated" => "gradient by definition",
            _ => "no gradient",
        };
        format!("{prefix}: {}", self.gradient.text)
    }

    /// What finite differences say, in words.
    pub fn derivative_line(&self) -> String {
        let Derivatives { first, second, worst, failure } = &self.derivatives;
        match (failure, worst) {
            (Some(failure), _) => format!("derivatives WRONG: {failure}"),
            (None, Some(worst)) => format!(
                "derivatives agree with differences: {first} slopes of first order, \
                 {second} of second, worst error {worst:.0e}"
            ),
            (None, None) if self.gradient.kind == "stated" => {
                "derivatives not compared: the gradient is defined, not derived".to_owned()
            }
            (None, None) => {
                "derivatives not compared: no floating-point input or output".to_owned()
            }
        }
    }

    fn cost_line(&self) -> Option<String> {
        let CostEntry { shapes, flops, read, written } = self.cost.as_ref()?;
        let shapes: Vec<_> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
        let on =
            if shapes.is_empty() { String::new() } else { format!(" on {}", shapes.join(", ")) };
        Some(format!("cost{on}: {flops} FLOP, {read} B read, {written} B written"))
    }

    /// The lines below the formula.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.gradient_line(), self.derivative_line()];
        lines.extend(self.rule.map(|rule| format!("rule: {rule}")));
        lines.extend(self.rounding.map(|reason| format!("rounding in f32: {reason}")));
        lines.extend(self.cost_line());
        lines
    }
}

/// The page of the documentation. It depends on the sources alone, not on the
/// machine: of the errors it tells only that they are below the tolerance.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Ops and compositions\n\n\
         Generated by `speck list ops --markdown`; a test holds this page to the registry. An op \
         is one step of a program with kernels of its own; a composition is a function made of \
         ops. `c` is the cotangent of the output. Costs are those of one small case, in f32. \
         Derivatives are compared with central differences in f64, along random directions with \
         random cotangents; the numbers are slopes compared at first and second order, all \
         within 2e-7 and 2e-6 of 1 + |slope|. `speck list ops` shows the errors found.\n",
    );
    for (title, entries) in [("Ops", op_entries()), ("Compositions", composition_entries())] {
        let _ = writeln!(page, "\n## {title}\n");
        for entry in entries {
            let _ = writeln!(page, "### `{}`\n\n{}\n", entry.name, entry.formula);
            let _ = writeln!(page, "- {}", entry.gradient_line());
            if let Some(rule) = entry.rule {
                let _ = writeln!(page, "- rule: {rule}");
            }
            if let Some(reason) = entry.rounding {
                let _ = writeln!(page, "- rounding in f32: {reason}");
            }
            if let Some(cost) = entry.cost_line() {
                let _ = writeln!(page, "- {cost}");
            }
            let names = |variants: &[VariantEntry]| {
                variants.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", ")
            };
            for kernel in &entry.kernels {
                let (f32, f64) = (names(&kernel.f32), names(&kernel.f64));
                let _ = writeln!(page, "- kernel `{}`: f32 {f32}; f64 {f64}", kernel.name);
            }
            page.push('\n');
        }
        page.truncate(page.trim_end().len());
        page.push('\n');
    }
    page.push_str(&table());
    page
}

/// The table of derivatives against differences.
fn table() -> String {
    let mut table = String::from(
        "\n## Derivatives against finite differences\n\n\
         | function | first order | second order | |\n|---|---:|---:|---|\n",
    );
    for entry in op_entries().into_iter().chain(composition_entries()) {
        let Derivatives { first, second, worst, failure } = &entry.derivatives;
        let note = match (failure, worst) {
            (Some(_), _) => "WRONG",
            (None, Some(_)) => "agree",
            (None, None) => entry.gradient.text,
        };
        let _ = writeln!(table, "| `{}` | {first} | {second} | {note} |", entry.name);
    }
    table
}
