//! Where an optimizer builds its update.

use speck_engine::{Graph, GraphError, Initial, NodeId};
use std::cell::{OnceCell, RefCell};
use std::panic::Location;

/// A number that depends on the step alone and is an input of the step's
/// program. It is computed in f64, outside: in f32 many of these lose most of
/// their digits, and one number a step costs nothing.
pub struct Clock {
    pub(crate) input: String,
    node: NodeId,
    /// The number, of the step from 0.
    pub(crate) value: Box<dyn Fn(u64) -> f64 + Send + Sync>,
}

/// The Hessian of the loss times one vector a parameter.
pub(super) type Curvature<'a> = dyn Fn(&[NodeId]) -> Result<Vec<NodeId>, GraphError> + 'a;

/// What the updates of all parameters share.
pub(super) struct Site<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a [(String, NodeId)],
    pub gradients: &'a [NodeId],
    /// The number of this update, from 1, as a float without dimensions.
    pub count: NodeId,
    /// Batches of an update.
    pub accumulate: u64,
    /// The learner's seed and step, for what is random.
    pub random: Option<[NodeId; 2]>,
    pub curvature: Option<&'a Curvature<'a>>,
    pub clocks: RefCell<Vec<Clock>>,
    /// 1 - rate · decay, by rate and decay.
    pub keeps: RefCell<Vec<(NodeId, f64, NodeId)>>,
    pub norm: OnceCell<NodeId>,
    pub hutchinson: OnceCell<Vec<NodeId>>,
}

impl Site<'_> {
    /// A number of the count of updates, from 1.
    pub fn clock(
        &self,
        name: &str,
        value: impl Fn(u64) -> f64 + Send + Sync + 'static,
    ) -> Result<NodeId, GraphError> {
        let input = format!("clock/{name}");
        let mut clocks = self.clocks.borrow_mut();
        if let Some(clock) = clocks.iter().find(|clock| clock.input == input) {
            return Ok(clock.node);
        }
        let node = self.graph.input(&input, self.graph.float(), &[])?;
        let accumulate = self.accumulate;
        let value = Box::new(move |step: u64| value(((step + 1) / accumulate).max(1)));
        clocks.push(Clock { input, node, value });
        Ok(node)
    }

    /// 1 - rate · decay. One number for all parameters of a group, built once:
    /// between their updates another one would cut a chain of steps in two.
    fn keep(&self, rate: NodeId, decay: f64) -> Result<NodeId, GraphError> {
        let mut keeps = self.keeps.borrow_mut();
        if let Some((.., keep)) = keeps.iter().find(|(r, d, _)| *r == rate && *d == decay) {
            return Ok(*keep);
        }
        let share = self.graph.scale(rate, -decay)?;
        let keep = self.graph.offset(share, 1.0)?;
        keeps.push((rate, decay, keep));
        Ok(keep)
    }

    /// ‖x‖.
    pub fn norm_of(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let axes: Vec<_> = (0..self.graph.shape(x).len()).collect();
        self.graph.vector_norm(x, 2.0, &axes)
    }

    /// The norm of all of some tensors together.
    pub fn norm_of_all(&self, all: &[NodeId]) -> Result<NodeId, GraphError> {
        let mut sum = self.graph.scalar(0.0)?;
        for x in all {
            sum = self.graph.add(sum, self.graph.sum_all(self.graph.square(*x)?)?)?;
        }
        self.graph.sqrt(sum)
    }

    /// Hutchinson's estimate of the Hessian's diagonal: u ⊙ (H u), u normal
    /// ("A stochastic estimator of the trace of the influence matrix", 1990).
    fn estimate(&self) -> Result<Vec<NodeId>, GraphError> {
        let (Some([seed, step]), Some(curvature)) = (self.random, self.curvature) else {
            return Err(GraphError {
                op: "curvature".to_owned(),
                message: "recorded gradients have no curvature: a loss is needed".to_owned(),
                inputs: Vec::new(),
                path: String::new(),
                location: Location::caller(),
            });
        };
        let draw = |(_, node): &(String, NodeId)| {
            self.graph.random_normal(&self.graph.shape(*node), seed, step)
        };
        let vectors: Vec<_> = self.parameters.iter().map(draw).collect::<Result<_, _>>()?;
        let products = curvature(&vectors)?;
        vectors.iter().zip(products).map(|(u, hu)| self.graph.mul(*u, hu)).collect()
    }
}

/// Where an optimizer builds the update of one parameter.
#[derive(Clone, Copy)]
pub struct Update<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The rate of this step, without dimensions.
    pub rate: NodeId,
    /// Whether what is not done in every update is done in this one.
    pub due: bool,
    /// What stands in place of the optimizer's own momentum, or beta1.
    pub momentum: Option<NodeId>,
    pub(super) site: &'a Site<'a>,
    /// What tells this group of parameters from others: empty, or ends with a `/`.
    pub(super) group: &'a str,
    /// The parameter's place among all.
    pub(super) index: usize,
}

/// The slot of what is kept about a parameter.
pub(super) fn moment(kind: &str, name: &str) -> String {
    format!("{}{kind}/{name}", crate::PRIVATE)
}

impl Update<'_> {
    /// A slot in the shape of `parameter`, from zero.
    pub(super) fn moment(
        &self,
        kind: &str,
        name: &str,
        parameter: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.slot(kind, name, &self.graph.shape(parameter), Initial::Constant(0.0))
    }

    /// A slot of any shape.
    pub(super) fn slot(
        &self,
        kind: &str,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> Result<NodeId, GraphError> {
        self.graph.state(&moment(kind, name), shape, initial)
    }

    /// A number that depends on the count of updates alone, from 1.
    pub(super) fn clock(
        &self,
        name: &str,
        value: impl Fn(u64) -> f64 + Send + Sync + 'static,
    ) -> Result<NodeId, GraphError> {
        self.site.clock(&format!("{}{name}", self.group), value)
    }

    /// share · kept + (1 - share) · new.
    pub(super) fn blend(
        &self,
        kept: NodeId,
        new: NodeId,
        share: f64,
    ) -> Result<NodeId, GraphError> {
        let kept = self.graph.scale(kept, share)?;
        self.graph.add(kept, self.graph.scale(new, 1.0 - share)?)
    }

    /// (1 - rate · decay) p.
    pub(super) fn decayed(&self, parameter: NodeId, decay: f64) -> Result<NodeId, GraphError> {
        if decay == 0.0 {
            return Ok(parameter);
        }
        self.graph.mul(parameter, self.site.keep(self.rate, decay)?)
    }

    /// g + decay · p.
    pub(super) fn coupled(
        &self,
        gradient: NodeId,
        parameter: NodeId,
        decay: f64,
    ) -> Result<NodeId, GraphError> {
        if decay == 0.0 {
            return Ok(gradient);
        }
        self.graph.add_scaled(gradient, parameter, decay)
    }

    /// The gradient and the parameter after weight decay, which acts on one of
    /// them.
    pub(super) fn decay(
        &self,
        gradient: NodeId,
        parameter: NodeId,
        decay: f64,
        decoupled: bool,
    ) -> Result<(NodeId, NodeId), GraphError> {
        Ok(match decoupled {
            true => (gradient, self.decayed(parameter, decay)?),
            false => (self.coupled(gradient, parameter, decay)?, parameter),
        })
    }

    /// The bias correction 1 - βᵗ.
    ///
    /// In f32, 1 - βᵗ loses most of its digits for β near 1 and small t. With
    /// a = -t ln β / 2 it is 1 - e^(-2a) = 2 tanh a / (1 + tanh a), in which nothing
    /// cancels; ln β is taken in f64 when the graph is built.
    pub(super) fn correction(&self, beta: f64) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        if beta == 0.0 {
            return graph.scalar(1.0);
        }
        self.corrected(graph.scale(self.site.count, -0.5 * beta.ln())?)
    }

    /// The same of ln β that is not known when the graph is built; 1 for β = 0.
    pub(super) fn correction_of(&self, log: NodeId) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        // ln 0, times a count, under which tanh is 1.
        let log = graph.maximum(log, graph.scalar(-1e3)?)?;
        self.corrected(graph.scale(graph.mul(self.site.count, log)?, -0.5)?)
    }

    fn corrected(&self, half: NodeId) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let tanh = graph.tanh(half)?;
        let double = graph.scale(tanh, 2.0)?;
        let below = graph.offset(tanh, 1.0)?;
        graph.div(double, below)
    }

    /// momentum · v, with the optimizer's own momentum unless a schedule sets it.
    pub(super) fn kept(&self, velocity: NodeId, own: f64) -> Result<NodeId, GraphError> {
        match self.momentum {
            Some(momentum) => self.graph.mul(velocity, momentum),
            None => self.graph.scale(velocity, own),
        }
    }

    /// ‖x‖.
    pub(super) fn norm(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.site.norm_of(x)
    }

    /// The norm of all gradients together.
    pub(super) fn gradient_norm(&self) -> Result<NodeId, GraphError> {
        if let Some(norm) = self.site.norm.get() {
            return Ok(*norm);
        }
        let norm = self.site.norm_of_all(self.site.gradients)?;
        Ok(*self.site.norm.get_or_init(|| norm))
    }

    /// An estimate of the diagonal of the Hessian in this parameter.
    pub(super) fn curvature(&self) -> Result<NodeId, GraphError> {
        if let Some(all) = self.site.hutchinson.get() {
            return Ok(all[self.index]);
        }
        let estimate = self.site.estimate()?;
        Ok(self.site.hutchinson.get_or_init(|| estimate)[self.index])
    }
}
