//! Newton's method with conjugate gradients.

use super::{Optimizer, OptimizerEntry, Update, rate};
use crate::LearnerError;
use crate::gradient::search::conjugate::{self, Matrix};
use crate::gradient::search::wolfe::strong_wolfe;
use crate::gradient::search::{Found, Scene, Search, Site, needs_loss};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "newton_cg",
    summary: "H d = -g by conjugate gradients to a residual of min(1/2, √‖g‖) ‖g‖ or until the curvature is not positive, p ← p + t d, t from the strong Wolfe conditions, the rate tried first",
    source: "Nocedal and Wright, \"Numerical Optimization\", 2006, algorithm 7.1; products with the Hessian: Pearlmutter, 1994",
    dimensions: &[rate(1.0), ITERATIONS, EVALUATIONS],
    make: |settings| {
        Box::new(NewtonCg {
            iterations: settings.usize("cg_iterations"),
            evaluations: settings.usize("line_search") as u64,
        })
    },
};

pub(super) const ITERATIONS: Dimension =
    Dimension::int("cg_iterations", "most conjugate-gradient iterations", (1, 100_000), 50);

const EVALUATIONS: Dimension =
    Dimension::int("line_search", "most evaluations of the loss in a line search", (1, 1000), 20);

#[derive(Clone)]
struct NewtonCg {
    iterations: usize,
    evaluations: u64,
}

impl Optimizer for NewtonCg {
    fn build(&self, _: &Update<'_>, _: &str, _: NodeId, _: NodeId) -> Result<NodeId, GraphError> {
        Err(needs_loss("newton_cg"))
    }

    fn search(&self) -> Option<Box<dyn Search>> {
        Some(Box::new(self.clone()))
    }
}

impl Search for NewtonCg {
    fn build(&self, number: usize, site: &Site<'_>) -> Result<bool, GraphError> {
        conjugate::build(number, Matrix::Hessian, site)
    }

    fn memory(&self) -> usize {
        1
    }

    fn step(&self, scene: &mut Scene<'_>, rate: f64) -> Result<f64, LearnerError> {
        let here = scene.evaluate(0.0)?;
        let tolerance = |norm: f64| norm.sqrt().min(0.5);
        let solved = conjugate::solve(scene, 0.0, tolerance, self.iterations)?;
        if solved.slope < 0.0 {
            let start = Found { slope: solved.slope, ..here };
            let evaluate = |t| scene.evaluate(t);
            let line = strong_wolfe(evaluate, rate, start, solved.largest, 1e-9, self.evaluations)?;
            scene.advance(line.t)?;
        }
        Ok(here.loss)
    }
}
