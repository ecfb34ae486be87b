//! L-BFGS: a quasi-Newton method whose curvature comes from the last steps.

use super::{Optimizer, OptimizerEntry, Update, rate};
use crate::gradient::search::wolfe::{Line, strong_wolfe};
use crate::gradient::search::{DIRECTION, Found, GRADIENT, Scene, Search, Site, needs_loss, write};
use crate::gradient::update::moment;
use crate::{LearnerError, port};
use speck_engine::{GraphError, Initial, NodeId, Program, RunError};
use speck_models::{Dimension, Settings};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "lbfgs",
    summary: "d = -H g with H from the last history_size pairs s = Δp, y = Δg (two-loop recursion, H₀ = sᵀy / yᵀy), p ← p + t d; t from the strong Wolfe conditions, or the rate; max_iter such moves on each batch",
    source: "Liu and Nocedal, \"On the limited memory BFGS method for large scale optimization\", 1989, as PyTorch has it; the recursion runs on products of the vectors (Chen, Wang and Zhou, \"Large-scale L-BFGS using MapReduce\", 2014)",
    dimensions: &[
        rate(1.0),
        Dimension::int("max_iter", "moves on a batch", (1, 100_000), 20),
        Dimension::int(
            "max_eval",
            "evaluations of the loss on a batch; 0 for a quarter more than moves",
            (0, 1_000_000),
            0,
        ),
        Dimension::float(
            "tolerance_grad",
            "largest element of a gradient that counts as none",
            (0.0, 1.0),
            1e-7,
        ),
        Dimension::float(
            "tolerance_change",
            "change of the loss or the weights that counts as none",
            (0.0, 1.0),
            1e-9,
        ),
        Dimension::int("history_size", "steps that are remembered", (1, 1000), 100),
        Dimension::choice(
            "line_search_fn",
            "how the length of a move is found; none: it is the rate",
            &["none", "strong_wolfe"],
            "none",
        ),
    ],
    make: |settings| Box::new(Lbfgs::new(settings)),
};

#[derive(Clone)]
struct Lbfgs {
    moves: u64,
    evaluations: u64,
    tolerance_gradient: f64,
    tolerance_change: f64,
    history: usize,
    wolfe: bool,
}

impl Lbfgs {
    fn new(settings: &Settings) -> Self {
        let moves = settings.usize("max_iter") as u64;
        let evaluations = settings.usize("max_eval") as u64;
        Lbfgs {
            moves,
            evaluations: if evaluations == 0 { moves * 5 / 4 } else { evaluations },
            tolerance_gradient: settings.float("tolerance_grad"),
            tolerance_change: settings.float("tolerance_change"),
            history: settings.usize("history_size"),
            wolfe: settings.text("line_search_fn") == "strong_wolfe",
        }
    }
}

impl Optimizer for Lbfgs {
    fn build(&self, _: &Update<'_>, _: &str, _: NodeId, _: NodeId) -> Result<NodeId, GraphError> {
        Err(needs_loss("lbfgs"))
    }

    fn search(&self) -> Option<Box<dyn Search>> {
        Some(Box::new(self.clone()))
    }
}

/// The program that multiplies the new pair with the remembered ones.
const MEASURE: usize = 0;
/// The program that remembers the pair and makes the direction.
const COMBINE: usize = 1;

/// Numbers that are remembered, in front of the products.
const MOVES: usize = 0;
const LENGTH: usize = 1;
const SCALE: usize = 2;
const COUNT: usize = 3;
const NEXT: usize = 4;
const FIXED: usize = 5;

/// The slots of the gradient before the last move.
const LAST: &str = "last_gradient";

/// A parameter's vectors as rows.
struct Rows {
    /// Remembered steps and changes of the gradient, `[m, n]` each.
    steps: NodeId,
    changes: NodeId,
    /// The new ones and the gradient, `[1, n]` each.
    step: NodeId,
    change: NodeId,
    gradient: NodeId,
}

impl Lbfgs {
    fn rows(&self, site: &Site<'_>, t: NodeId) -> Result<Vec<Rows>, GraphError> {
        let graph = site.graph;
        let directions = site.slots(DIRECTION)?;
        let gradients = site.slots(GRADIENT)?;
        let before = site.slots(LAST)?;
        let mut all = Vec::new();
        for (i, (name, parameter)) in site.loss.parameters.iter().enumerate() {
            let n = graph.shape(*parameter).iter().product();
            let remembered = |kind: &str| {
                let slot = moment(kind, name);
                graph.state(&slot, &[self.history, n], Initial::Constant(0.0))
            };
            let row = |x: NodeId| graph.reshape(x, &[1, n]);
            let gradient = row(gradients[i])?;
            let change = graph.sub(gradient, row(before[i])?)?;
            all.push(Rows {
                steps: remembered("steps")?,
                changes: remembered("changes")?,
                step: graph.mul(row(directions[i])?, t)?,
                change,
                gradient,
            });
        }
        Ok(all)
    }
}

impl Search for Lbfgs {
    fn build(&self, number: usize, site: &Site<'_>) -> Result<bool, GraphError> {
        let graph = site.graph;
        let float = graph.float();
        if number > COMBINE {
            return Ok(false);
        }
        let t = graph.input("t", float, &[])?;
        let all = self.rows(site, t)?;
        if number == MEASURE {
            let mut sum = graph.zeros(&[2 * self.history + 2, 3])?;
            for rows in all {
                let Rows { steps, changes, step, change, gradient } = rows;
                let left = graph.concat(&[steps, changes, step, change], 0)?;
                let right = graph.concat(&[step, change, gradient], 0)?;
                sum = graph.add(sum, graph.matmul_with(left, right, false, true)?)?;
            }
            graph.output("products", sum)?;
            return Ok(true);
        }
        let place = graph.input("place", float, &[self.history, 1])?;
        let weights = graph.input("weights", float, &[1, 2 * self.history + 1])?;
        let (directions, gradients, before) =
            (graph_nodes(site, DIRECTION), graph_nodes(site, GRADIENT), graph_nodes(site, LAST));
        let mut new = Vec::new();
        for (rows, direction) in all.iter().zip(&directions) {
            let steps = graph.select(place, rows.step, rows.steps)?;
            let changes = graph.select(place, rows.change, rows.changes)?;
            graph.update(rows.steps, steps)?;
            graph.update(rows.changes, changes)?;
            let basis = graph.concat(&[steps, changes, rows.gradient], 0)?;
            let combined = graph.matmul(weights, basis)?;
            new.push(graph.reshape(combined, &graph.shape(*direction))?);
        }
        graph.output("slope", site.product(&gradients, &new)?)?;
        graph.output("largest", site.largest(&new)?)?;
        site.update(&directions, &new)?;
        site.update(&before, &gradients)?;
        Ok(true)
    }

    fn memory(&self) -> usize {
        FIXED + 2 * self.history * self.history
    }

    fn step(&self, scene: &mut Scene<'_>, rate: f64) -> Result<f64, LearnerError> {
        let first = scene.evaluate(0.0)?;
        let mut here = first;
        let mut evaluations = 1;
        if here.largest <= self.tolerance_gradient {
            return Ok(first.loss);
        }
        for number in 1..=self.moves {
            let start = self.direction(scene, here)?;
            let loss = here.loss;
            let memory = scene.memory();
            let mut t = rate;
            if memory[MOVES] == 1.0 {
                t *= (1.0 / here.total).min(1.0);
            }
            memory[LENGTH] = t;
            if start.slope > -self.tolerance_change {
                break;
            }
            if self.wolfe {
                let most = self.evaluations.saturating_sub(evaluations);
                let mut latest = here;
                let evaluate = |t| {
                    latest = scene.evaluate(t)?;
                    Ok(latest)
                };
                let Line { t: found, last, evaluations: made } =
                    strong_wolfe(evaluate, t, start, start.largest, self.tolerance_change, most)?;
                t = found;
                evaluations += made;
                scene.advance(t)?;
                // Where another place than the last is chosen, its gradient is taken
                // once more rather than kept for each end of the bracket.
                here = if last == t { latest } else { scene.evaluate(0.0)? };
            } else {
                scene.advance(t)?;
                if number != self.moves {
                    here = scene.evaluate(0.0)?;
                    evaluations += 1;
                }
            }
            scene.memory()[LENGTH] = t;
            let done = number == self.moves
                || evaluations >= self.evaluations
                || here.largest <= self.tolerance_gradient
                || start.largest * t.abs() <= self.tolerance_change
                || (here.loss - loss).abs() < self.tolerance_change;
            if done {
                break;
            }
        }
        Ok(first.loss)
    }
}

/// The slots of a kind that are there already.
fn graph_nodes(site: &Site<'_>, kind: &str) -> Vec<NodeId> {
    let slot = |(name, node): &(String, NodeId)| {
        site.graph.state_node(&moment(kind, name)).unwrap_or(*node)
    };
    site.loss.parameters.iter().map(slot).collect()
}

impl Lbfgs {
    /// Remembers the last move and makes the next direction; returns the loss with
    /// the slope along it, and the largest element of the direction.
    fn direction(&self, scene: &mut Scene<'_>, here: Found) -> Result<Found, LearnerError> {
        let m = self.history;
        let t = scene.memory()[LENGTH];
        let products = scene.run(MEASURE, |program| port::write_number(program, "t", t))?;
        let products = products.output("products")?.to_f64();
        let product = |row: usize, column: usize| products[row * 3 + column];
        let memory = scene.memory();
        memory[MOVES] += 1.0;
        let mut place = vec![0.0; m];
        // Columns: s, y, g. Rows: remembered s, remembered y, s, y.
        let (of_steps, of_changes) = (0, m);
        let both = product(2 * m, 1);
        let first = memory[MOVES] == 1.0;
        let mut newest = None;
        if first {
            memory[SCALE] = 1.0;
        } else if both > 1e-10 {
            let k = memory[NEXT] as usize;
            memory[NEXT] = ((k + 1) % m) as f64;
            memory[COUNT] = (memory[COUNT] + 1.0).min(m as f64);
            memory[SCALE] = both / product(2 * m + 1, 1);
            place[k] = 1.0;
            newest = Some(k);
            let (mixed, squares) = memory[FIXED..].split_at_mut(m * m);
            for i in 0..m {
                // sᵢ · yₖ and sₖ · yᵢ, yᵢ · yₖ.
                mixed[i * m + k] = product(of_steps + i, 1);
                mixed[k * m + i] = product(of_changes + i, 0);
                squares[i * m + k] = product(of_changes + i, 1);
                squares[k * m + i] = squares[i * m + k];
            }
            mixed[k * m + k] = both;
            squares[k * m + k] = product(2 * m + 1, 1);
        }
        let with_gradient = |kind: usize, i: usize| match newest {
            Some(k) if k == i => product(2 * m + usize::from(kind == of_changes), 2),
            _ => product(kind + i, 2),
        };
        // The direction as a sum of remembered steps, changes, and the gradient.
        let mut weights = vec![0.0; 2 * m + 1];
        weights[2 * m] = -1.0;
        let (count, next) = (memory[COUNT] as usize, memory[NEXT] as usize);
        let (mixed, squares) = memory[FIXED..].split_at(m * m);
        let order: Vec<usize> = (0..count).map(|i| (next + m - count + i) % m).collect();
        let mut shares = vec![0.0; m];
        let along = |weights: &[f64], i: usize, kind: usize| -> f64 {
            // vᵢ · Σ (weights of s, y, g), v a step or a change.
            let with = |j: usize| match kind == of_steps {
                // Steps meet no steps: in the first loop they have no weight.
                true => weights[m + j] * mixed[i * m + j],
                false => weights[j] * mixed[j * m + i] + weights[m + j] * squares[i * m + j],
            };
            order.iter().map(|j| with(*j)).sum::<f64>() + weights[2 * m] * with_gradient(kind, i)
        };
        for i in order.iter().rev() {
            shares[*i] = along(&weights, *i, of_steps) / mixed[i * m + i];
            weights[m + i] -= shares[*i];
        }
        weights.iter_mut().for_each(|weight| *weight *= memory[SCALE]);
        for i in &order {
            let back = along(&weights, *i, of_changes) / mixed[i * m + i];
            weights[*i] += shares[*i] - back;
        }
        let prepare = |program: &mut Program| -> Result<(), RunError> {
            port::write_number(program, "t", t)?;
            write(program, "place", &place)?;
            write(program, "weights", &weights)
        };
        let program = scene.run(COMBINE, prepare)?;
        let slope = port::read_number(program, "slope")?;
        Ok(Found { slope, largest: port::read_number(program, "largest")?, ..here })
    }
}
