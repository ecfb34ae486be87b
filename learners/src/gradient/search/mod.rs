//! Optimizers that look at the loss in several places before they move.
//!
//! What they do next depends on what they find, so a step is not one program but
//! a few, run in an order that is decided outside. Vectors as long as the weights
//! stay in slots of the state and are worked on by graphs; what comes out is
//! numbers: a loss, slopes, products.

pub(super) mod conjugate;
pub(super) mod wolfe;

use super::update::moment;
use crate::{LearnerError, port};
use speck_engine::kernels::Choice;
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, RunError, State, TensorType,
};

/// A loss with its parameters, in a graph.
pub struct Loss {
    /// The loss.
    pub value: NodeId,
    /// What the loss is a convex function of, if there is such.
    pub outputs: Option<NodeId>,
    /// What is learned.
    pub parameters: Vec<(String, NodeId)>,
}

/// Something to minimise.
pub trait Objective {
    /// Appends the loss.
    ///
    /// # Errors
    /// It cannot be built.
    fn build(&self, graph: &Graph) -> Result<Loss, GraphError>;

    /// Sets the inputs of a program with the loss in it.
    ///
    /// # Errors
    /// It has other inputs.
    fn feed(&self, program: &mut Program) -> Result<(), RunError>;
}

/// An optimizer that searches.
pub trait Search: Send {
    /// Appends a program's nodes; `false` if there is no such program. Programs
    /// are numbered from 0.
    ///
    /// # Errors
    /// A node that cannot be built.
    fn build(&self, number: usize, site: &Site<'_>) -> Result<bool, GraphError>;

    /// How many numbers are remembered from step to step, all 0 at first.
    fn memory(&self) -> usize;

    /// One step from where the weights are; returns the loss there. `rate` is
    /// that of the schedule.
    ///
    /// # Errors
    /// A program that cannot be run.
    fn step(&self, scene: &mut Scene<'_>, rate: f64) -> Result<f64, LearnerError>;
}

/// Where a program of a search is built.
pub struct Site<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The loss, its gradient not taken yet.
    pub loss: &'a Loss,
}

impl Site<'_> {
    /// Slots in the shapes of the parameters, one each.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn slots(&self, kind: &str) -> Result<Vec<NodeId>, GraphError> {
        let zero = Initial::Constant(0.0);
        let slot = |(name, node): &(String, NodeId)| {
            let shape = self.graph.shape(*node);
            self.graph.state(&moment(kind, name), &shape, zero.clone())
        };
        self.loss.parameters.iter().map(slot).collect()
    }

    /// Σ ⟨a, b⟩.
    ///
    /// # Errors
    /// None for nodes of the parameters' shapes.
    pub fn product(&self, a: &[NodeId], b: &[NodeId]) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let mut sum = graph.scalar(0.0)?;
        for (a, b) in a.iter().zip(b) {
            sum = graph.add(sum, graph.sum_all(graph.mul(*a, *b)?)?)?;
        }
        Ok(sum)
    }

    /// The largest size of an element.
    pub(super) fn largest(&self, all: &[NodeId]) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let mut largest = graph.scalar(0.0)?;
        for x in all.iter().filter(|x| !graph.shape(**x).contains(&0)) {
            let axes: Vec<_> = (0..graph.shape(*x).len()).collect();
            largest = graph.maximum(largest, graph.max(graph.abs(*x)?, &axes)?)?;
        }
        Ok(largest)
    }

    /// Updates slots.
    pub(super) fn update(&self, slots: &[NodeId], new: &[NodeId]) -> Result<(), GraphError> {
        slots.iter().zip(new).try_for_each(|(slot, new)| self.graph.update(*slot, *new))
    }
}

/// The error of an optimizer that is given gradients alone.
pub(super) fn needs_loss(name: &str) -> GraphError {
    GraphError {
        op: name.to_owned(),
        message: "recorded gradients do not do: the loss is needed".to_owned(),
        inputs: Vec::new(),
        path: String::new(),
        location: std::panic::Location::caller(),
    }
}

/// What is found at a place.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The loss.
    pub loss: f64,
    /// Its slope along the direction.
    pub slope: f64,
    /// The largest element of the gradient.
    pub largest: f64,
    /// The sum of the sizes of its elements.
    pub total: f64,
}

/// The programs of a search with the state they share.
pub struct Searcher {
    evaluate: Program,
    advance: Program,
    /// Updates running statistics, where there are some.
    observe: Option<Program>,
    own: Vec<Program>,
}

/// The slots that are neither learned nor the learner's own.
fn statistics(graph: &Graph, loss: &Loss) -> Vec<(String, NodeId)> {
    let slots = graph.states().into_iter().map(|slot| (slot.name, slot.node));
    let learned = |node: &NodeId| loss.parameters.iter().any(|(_, learned)| learned == node);
    slots.filter(|(name, node)| !name.starts_with(crate::PRIVATE) && !learned(node)).collect()
}

/// The slots that all searches have: the direction, and the gradient where it was
/// taken last.
pub const DIRECTION: &str = "direction";
/// See [`DIRECTION`].
pub const GRADIENT: &str = "gradient";
const MEMORY: &str = "learner/search";

impl Searcher {
    /// Compiles the programs of a search, and puts their slots into the state.
    ///
    /// # Errors
    /// The loss, or a program, cannot be built.
    pub fn new(
        search: &dyn Search,
        objective: &dyn Objective,
        float: DType,
        kernels: &Choice,
        state: &mut State,
        seed: u64,
    ) -> Result<Self, LearnerError> {
        let mut compile = |body: &dyn Fn(&Site<'_>) -> Result<bool, GraphError>| {
            let graph = Graph::new(float);
            let loss = objective.build(&graph)?;
            // Running statistics change once a step, not with every look.
            for (_, node) in statistics(&graph, &loss) {
                graph.update(node, node)?;
            }
            let there = graph.scoped("search", |graph| body(&Site { graph, loss: &loss }))?;
            if !there {
                return Ok::<_, LearnerError>(None);
            }
            state.extend(&graph, seed);
            let options = Options { kernels: kernels.clone(), ..Options::default() };
            Ok(Some(Program::compile(&graph, &options)?))
        };
        let made = |program: Option<Program>| {
            program.ok_or_else(|| crate::SettingError::new("optimizer", "nothing to run").into())
        };
        let evaluate = compile(&|site| evaluation(site).map(|()| true)).and_then(made)?;
        let advance = compile(&|site| advance(site).map(|()| true)).and_then(made)?;
        let mut own = Vec::new();
        while let Some(program) = compile(&|site| search.build(own.len(), site))? {
            own.push(program);
        }
        let graph = Graph::new(float);
        let loss = objective.build(&graph)?;
        let observe = match statistics(&graph, &loss).is_empty() {
            true => None,
            false => {
                let options = Options { kernels: kernels.clone(), ..Options::default() };
                Some(Program::compile(&graph, &options)?)
            }
        };
        let memory = Graph::new(float);
        let ty = TensorType::new(DType::F64, &[search.memory()]);
        memory.state_of(MEMORY, &ty, Initial::Constant(0.0))?;
        state.extend(&memory, seed);
        Ok(Searcher { evaluate, advance, observe, own })
    }

    /// One step of the search; returns the loss before it.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub fn step(
        &mut self,
        search: &dyn Search,
        objective: &dyn Objective,
        state: &mut State,
        rate: f64,
    ) -> Result<f64, LearnerError> {
        if let Some(program) = &mut self.observe {
            objective.feed(program)?;
            program.run(state)?;
        }
        search.step(&mut Scene { searcher: self, objective, state }, rate)
    }
}

/// The loss and its gradient t along the direction.
fn evaluation(site: &Site<'_>) -> Result<(), GraphError> {
    let Site { graph, loss } = *site;
    let directions = site.slots(DIRECTION)?;
    let slots = site.slots(GRADIENT)?;
    let t = graph.input("t", graph.float(), &[])?;
    let mut moved = Vec::new();
    let mut pairs = Vec::new();
    for ((_, parameter), direction) in loss.parameters.iter().zip(&directions) {
        let there = graph.add(*parameter, graph.mul(*direction, t)?)?;
        moved.push(there);
        pairs.push((*parameter, there));
    }
    let value = graph.replay(loss.value, &pairs)?;
    let gradients = graph.gradient(value, &moved)?;
    graph.output("loss", value)?;
    graph.output("slope", site.product(&gradients, &directions)?)?;
    graph.output("largest", site.largest(&gradients)?)?;
    let mut total = graph.scalar(0.0)?;
    for gradient in &gradients {
        total = graph.add(total, graph.sum_all(graph.abs(*gradient)?)?)?;
    }
    graph.output("total", total)?;
    site.update(&slots, &gradients)
}

/// The weights, t along the direction.
fn advance(site: &Site<'_>) -> Result<(), GraphError> {
    let Site { graph, loss } = *site;
    let directions = site.slots(DIRECTION)?;
    let t = graph.input("t", graph.float(), &[])?;
    for ((_, parameter), direction) in loss.parameters.iter().zip(&directions) {
        graph.update(*parameter, graph.add(*parameter, graph.mul(*direction, t)?)?)?;
    }
    Ok(())
}

/// A search under way.
pub struct Scene<'a> {
    searcher: &'a mut Searcher,
    objective: &'a dyn Objective,
    state: &'a mut State,
}

impl Scene<'_> {
    /// The loss and its gradient `t` along the direction, which stays the
    /// gradient that other programs read.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub fn evaluate(&mut self, t: f64) -> Result<Found, LearnerError> {
        let program = &mut self.searcher.evaluate;
        self.objective.feed(program)?;
        port::write_number(program, "t", t)?;
        program.run(self.state)?;
        let read = |name| port::read_number(program, name);
        let (loss, slope) = (read("loss")?, read("slope")?);
        Ok(Found { loss, slope, largest: read("largest")?, total: read("total")? })
    }

    /// Moves the weights `t` along the direction.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub fn advance(&mut self, t: f64) -> Result<(), LearnerError> {
        let program = &mut self.searcher.advance;
        // It has the inputs of the loss if running statistics depend on them.
        let _ = self.objective.feed(program);
        port::write_number(program, "t", t)?;
        Ok(program.run(self.state)?)
    }

    /// Runs a program of the search's own; `prepare` sets its inputs.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub fn run(
        &mut self,
        number: usize,
        prepare: impl FnOnce(&mut Program) -> Result<(), RunError>,
    ) -> Result<&Program, LearnerError> {
        let program = &mut self.searcher.own[number];
        let _ = self.objective.feed(program);
        prepare(program)?;
        program.run(self.state)?;
        Ok(program)
    }

    /// The numbers that are remembered.
    pub fn memory(&mut self) -> &mut [f64] {
        let slot = self.state.get_mut(MEMORY);
        slot.and_then(|slot| slot.values_mut::<f64>()).unwrap_or_default()
    }
}

/// Writes numbers into a floating-point input.
pub(super) fn write(program: &mut Program, name: &str, values: &[f64]) -> Result<(), RunError> {
    if let Ok(input) = program.input_mut::<f64>(name) {
        input.copy_from_slice(values);
        return Ok(());
    }
    let input = program.input_mut::<f32>(name)?.iter_mut();
    input.zip(values).for_each(|(slot, value)| *slot = *value as f32);
    Ok(())
}
