//! Every shader of the GPU side against the scalar kernels, on buffers filled with NaN.
//!
//! The cases are those of the ops and others with sizes around the edges of tiles,
//! workgroups and subgroups (`ragged.rs`). Each runs with the plain shaders, and once
//! more with each variant of what it then used. Who calls this learns which shaders were
//! dispatched at all, so that none can be forgotten.

use super::{ragged, variants};
use crate::op::Case;
use crate::ops;
use speck_kernels::Choice;
use speck_kernels::gpu::{ALL, FAMILIES, Gpu, PLAIN, Shader, copy_strided, fill, gather};
use std::collections::HashSet;
use std::sync::Arc;

/// Allowed difference relative to the largest magnitude of a result.
const EXACT: f64 = 2e-5;
/// The same where operands are rounded to 11 bits.
const HALF: f64 = 4e-3;

/// Shaders that only move values, or write some.
const MOVES: [&Shader; 3] = [&copy_strided::SHADER, &fill::SHADER, &gather::SHADER];

/// What was seen of a shader.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub shader: &'static str,
    /// Cases in which it was dispatched.
    pub cases: usize,
    /// The largest difference of any of them, in units in the last place of the largest
    /// magnitude of a result. A case has other shaders, too, in its gradients: it counts
    /// for all of them.
    pub units: f64,
    /// The largest difference of the cases in which no other shader computed anything, if
    /// there is such a case: others at most moved values.
    pub alone: Option<f64>,
    /// Why the device cannot run it, if it cannot.
    pub refused: Option<&'static str>,
}

/// What [`check`] found.
#[derive(Debug, Default)]
pub struct Report {
    /// All shaders, but those that measure the device.
    pub shaders: Vec<Found>,
    /// What differed, by op, case and shader.
    pub failures: Vec<String>,
}

impl Report {
    /// Shaders that the device can run and no case has dispatched.
    pub fn forgotten(&self) -> Vec<&'static str> {
        let unseen = |own: &&Found| own.cases == 0 && own.refused.is_none();
        self.shaders.iter().filter(unseen).map(|own| own.shader).collect()
    }

    /// Notes a case in which all of `used` were dispatched, for those that are new.
    fn saw(&mut self, used: &HashSet<String>, known: &HashSet<String>, units: f64) {
        let moves = |own: &Found| MOVES.iter().any(|shader| shader.name == own.shader);
        let here = |own: &&mut Found| used.contains(own.shader);
        let computing = self.shaders.iter_mut().filter(here).filter(|own| !moves(own)).count();
        for own in self.shaders.iter_mut().filter(here) {
            if known.contains(own.shader) {
                continue;
            }
            own.cases += 1;
            own.units = own.units.max(units);
            if computing <= usize::from(!moves(own)) {
                own.alone = Some(own.alone.unwrap_or(0.0).max(units));
            }
        }
    }
}

/// The cases of all ops and the ragged ones, with the names of what they are of.
fn cases() -> Vec<(&'static str, Case)> {
    let own = |name: &'static str, cases: Vec<Case>| {
        cases.into_iter().map(move |case| (name, case)).collect::<Vec<_>>()
    };
    let of_ops = ops::ALL.iter().flat_map(|op| own(op.name, (op.cases)()));
    of_ops.chain(ragged::cases()).collect()
}

/// Runs all cases of which `wanted` says so by the name of their op, with all shaders.
/// `progress` gets that name before each.
pub fn check(
    gpu: &Arc<Gpu>,
    wanted: &dyn Fn(&str) -> bool,
    progress: &mut dyn FnMut(&str),
) -> Report {
    let limits = gpu.limits();
    let known = ALL.iter().filter(|shader| !shader.name.starts_with("peak_"));
    let empty = known.map(|shader| Found {
        shader: shader.name,
        cases: 0,
        units: 0.0,
        alone: None,
        refused: shader.refused(&limits),
    });
    let mut report = Report { shaders: empty.collect(), failures: Vec::new() };
    for (number, (op, case)) in cases().iter().enumerate() {
        if !wanted(op) {
            continue;
        }
        progress(op);
        let seed = number as u64 + 1;
        let Some(used) = run(gpu, &mut report, (op, case), PLAIN, seed, &HashSet::new()) else {
            continue;
        };
        for family in FAMILIES.iter().filter(|family| used.contains(family.plain.name)) {
            let others = family.others.iter().map(|(shader, _)| *shader);
            for shader in others.filter(|shader| shader.refused(&limits).is_none()) {
                run(gpu, &mut report, (op, case), shader.name, seed, &used);
            }
        }
    }
    report
}

/// Runs a case with one choice of shaders and notes what was seen of those that are not
/// `known`; gives the shaders that were dispatched.
fn run(
    gpu: &Arc<Gpu>,
    report: &mut Report,
    (op, case): (&str, &Case),
    shader: &str,
    seed: u64,
    known: &HashSet<String>,
) -> Option<HashSet<String>> {
    let kernels = Choice::default().on(Some(gpu.clone())).shaded(shader);
    let allowed = if shader.ends_with("_half") { HALF } else { EXACT };
    match variants::check_shaded(kernels, case, seed, allowed) {
        Ok(found) => {
            let used: HashSet<String> = found.shaders.into_iter().collect();
            report.saw(&used, known, found.units);
            Some(used)
        }
        Err(error) => {
            report.failures.push(format!("{op} with {shader}: {error}"));
            None
        }
    }
}
