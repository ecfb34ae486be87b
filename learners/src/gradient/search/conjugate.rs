//! Conjugate gradients for A x = -g, with products with A from the graph.
//!
//! Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear
//! Systems", 1952. One iteration is a program; that it stops, and why, is decided
//! outside from three numbers.

use super::{DIRECTION, GRADIENT, Scene, Site};
use crate::{LearnerError, port};
use speck_engine::{GraphError, NodeId};

/// Which matrix A is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// The Hessian of the loss.
    Hessian,
    /// Its part that comes from the outputs' first derivatives: positive
    /// semidefinite for a convex loss.
    GaussNewton,
}

/// Programs by their numbers: the start, an iteration, the end.
const START: usize = 0;
const ITERATE: usize = 1;
const FINISH: usize = 2;

/// What a search for a direction ended with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solved {
    /// gᵀ x.
    pub slope: f64,
    /// The largest element of x.
    pub largest: f64,
    /// xᵀ A x / 2 + gᵀ x, without damping: the change of the loss that is expected.
    pub expected: f64,
}

/// Appends one of the programs; see [`super::Search::build`].
pub fn build(number: usize, matrix: Matrix, site: &Site<'_>) -> Result<bool, GraphError> {
    let Site { graph, loss } = *site;
    if number > FINISH {
        return Ok(false);
    }
    let directions = site.slots(DIRECTION)?;
    let gradients = site.slots(GRADIENT)?;
    let solutions = site.slots("solution")?;
    let residuals = site.slots("residual")?;
    let conjugates = site.slots("conjugate")?;
    let products = site.slots("product")?;
    let each = |f: &dyn Fn(usize) -> Result<NodeId, GraphError>| -> Result<Vec<_>, GraphError> {
        (0..gradients.len()).map(f).collect()
    };
    match number {
        START => {
            let zeros = each(&|i| graph.zeros(&graph.shape(gradients[i])))?;
            let down = each(&|i| graph.neg(gradients[i]))?;
            graph.output("residual", site.product(&gradients, &gradients)?)?;
            site.update(&solutions, &zeros)?;
            site.update(&products, &zeros)?;
            site.update(&residuals, &down)?;
            site.update(&conjugates, &down)?;
        }
        ITERATE => {
            let damping = graph.input("damping", graph.float(), &[])?;
            let parameters: Vec<_> = loss.parameters.iter().map(|(_, node)| *node).collect();
            let curved = match (matrix, loss.outputs) {
                (Matrix::GaussNewton, Some(outputs)) => graph.gauss_newton_vector_product(
                    outputs,
                    loss.value,
                    &parameters,
                    &conjugates,
                )?,
                _ => graph.hessian_vector_product(loss.value, &parameters, &conjugates)?,
            };
            let damped = each(&|i| graph.add(curved[i], graph.mul(conjugates[i], damping)?))?;
            let curvature = site.product(&conjugates, &damped)?;
            let square = site.product(&residuals, &residuals)?;
            // Where the curvature is not positive nothing changes.
            let zero = graph.scalar(0.0)?;
            let good = graph.greater(curvature, zero)?;
            let length = graph.select(good, graph.div(square, curvature)?, zero)?;
            let moved = |slots: &[NodeId], by: &[NodeId], sign: f64| {
                each(&|i| graph.add_scaled(slots[i], graph.mul(by[i], length)?, sign))
            };
            let solution = moved(&solutions, &conjugates, 1.0)?;
            let product = moved(&products, &curved, 1.0)?;
            let residual = moved(&residuals, &damped, -1.0)?;
            let left = site.product(&residual, &residual)?;
            let share = graph.div(left, square)?;
            let conjugate = each(&|i| graph.add(residual[i], graph.mul(conjugates[i], share)?))?;
            graph.output("curvature", curvature)?;
            graph.output("residual", left)?;
            site.update(&solutions, &solution)?;
            site.update(&products, &product)?;
            site.update(&residuals, &residual)?;
            site.update(&conjugates, &conjugate)?;
        }
        _ => {
            // The solution, or where there is none the way down.
            let solved = graph.input("solved", graph.float(), &[])?;
            let new = each(&|i| graph.select(solved, solutions[i], graph.neg(gradients[i])?))?;
            let slope = site.product(&gradients, &new)?;
            let half = graph.scale(site.product(&new, &products)?, 0.5)?;
            graph.output("slope", slope)?;
            graph.output("largest", site.largest(&new)?)?;
            graph.output("expected", graph.add(slope, half)?)?;
            site.update(&directions, &new)?;
        }
    }
    Ok(true)
}

/// Makes the direction -A⁻¹ g, to a residual of `tolerance` times ‖g‖ or in `most`
/// iterations, or as far as the curvature is positive.
pub fn solve(
    scene: &mut Scene<'_>,
    damping: f64,
    tolerance: impl Fn(f64) -> f64,
    most: usize,
) -> Result<Solved, LearnerError> {
    let square = port::read_number(scene.run(START, |_| Ok(()))?, "residual")?;
    let norm = square.sqrt();
    let enough = (tolerance(norm) * norm).powi(2);
    let mut solved = false;
    for _ in 0..most {
        let prepare = |program: &mut _| port::write_number(program, "damping", damping);
        let program = scene.run(ITERATE, prepare)?;
        let curvature = port::read_number(program, "curvature")?;
        let left = port::read_number(program, "residual")?;
        if !(curvature > 0.0) {
            break;
        }
        solved = true;
        if !(left > enough) {
            break;
        }
    }
    let solved = f64::from(u8::from(solved));
    let program = scene.run(FINISH, |program| port::write_number(program, "solved", solved))?;
    let read = |name| port::read_number(program, name);
    Ok(Solved { slope: read("slope")?, largest: read("largest")?, expected: read("expected")? })
}
