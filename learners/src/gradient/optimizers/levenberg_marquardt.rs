//! Gauss-Newton steps with the damping of Levenberg and Marquardt.

use super::newton_cg::ITERATIONS;
use super::{Optimizer, OptimizerEntry, POSITIVE, Update, rate};
use crate::LearnerError;
use crate::gradient::search::conjugate::{self, Matrix};
use crate::gradient::search::{Scene, Search, Site, needs_loss};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "levenberg_marquardt",
    summary: "(G + λ) d = -g by conjugate gradients, G the Gauss-Newton matrix; p ← p + rate · d where the loss falls; λ is divided by damping_factor where it falls by more than 3/4 of what G expects, and multiplied where by less than 1/4; with damping 0 plain Gauss-Newton",
    source: "Levenberg, 1944; Marquardt, 1963; in the matrix-free form of Martens, \"Deep learning via Hessian-free optimization\", 2010; products with G: Schraudolph, 2002",
    dimensions: &[
        rate(1.0),
        Dimension::float("damping", "the first λ", POSITIVE, 1.0),
        Dimension::float("damping_factor", "what λ changes by", (1.0, 1e3), 1.5),
        ITERATIONS,
        Dimension::float("cg_tolerance", "residual over gradient to stop at", (0.0, 1.0), 1e-3),
    ],
    make: |settings| {
        Box::new(LevenbergMarquardt {
            damping: settings.float("damping"),
            factor: settings.float("damping_factor"),
            iterations: settings.usize("cg_iterations"),
            tolerance: settings.float("cg_tolerance"),
        })
    },
};

#[derive(Clone)]
struct LevenbergMarquardt {
    damping: f64,
    factor: f64,
    iterations: usize,
    tolerance: f64,
}

impl Optimizer for LevenbergMarquardt {
    fn build(&self, _: &Update<'_>, _: &str, _: NodeId, _: NodeId) -> Result<NodeId, GraphError> {
        Err(needs_loss("levenberg_marquardt"))
    }

    fn search(&self) -> Option<Box<dyn Search>> {
        Some(Box::new(self.clone()))
    }
}

impl Search for LevenbergMarquardt {
    fn build(&self, number: usize, site: &Site<'_>) -> Result<bool, GraphError> {
        conjugate::build(number, Matrix::GaussNewton, site)
    }

    /// What λ is multiplied by, less 1.
    fn memory(&self) -> usize {
        1
    }

    fn step(&self, scene: &mut Scene<'_>, rate: f64) -> Result<f64, LearnerError> {
        let here = scene.evaluate(0.0)?;
        let change = 1.0 + scene.memory()[0];
        let damping = self.damping * change;
        let tolerance = |_| self.tolerance;
        let solved = conjugate::solve(scene, damping, tolerance, self.iterations)?;
        if !(solved.slope < 0.0) {
            return Ok(here.loss);
        }
        let there = scene.evaluate(rate)?;
        let gain = (there.loss - here.loss) / solved.expected;
        if there.loss < here.loss {
            scene.advance(rate)?;
        }
        let change = match gain {
            gain if gain > 0.75 => change / self.factor,
            gain if gain >= 0.25 => change,
            // A loss that is no number, too.
            _ => change * self.factor,
        };
        scene.memory()[0] = change - 1.0;
        Ok(here.loss)
    }
}
