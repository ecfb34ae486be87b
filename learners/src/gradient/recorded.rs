//! Optimizers on recorded gradients: the updates of a training step alone.

use super::search::{Loss, Objective, Search, Searcher};
use super::training::{Due, Place, Training};
use super::update::Clock;
use crate::{LearnerError, declare_seed, declare_step, port};
use speck_engine::kernels::Choice;
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, RunError, State, Tensor,
    TensorType,
};
use speck_models::{SettingError, Settings};

/// What the gradient learner makes of gradients that come from elsewhere: the
/// same graphs as in its steps, without a model and a loss.
pub struct Recorded {
    training: Training,
    total: u64,
    /// Names and types of the parameters.
    parameters: Vec<(String, TensorType)>,
    programs: Vec<(Due, Program, Vec<Clock>)>,
    state: State,
    kernels: Choice,
    float: DType,
    step: u64,
}

impl Recorded {
    /// Parameters with their initial values, updated as the settings of the
    /// gradient learner say, in `float`.
    ///
    /// # Errors
    /// Settings that do not fit the parameters.
    pub fn new(
        settings: &Settings,
        parameters: &[(String, Tensor)],
        float: DType,
        kernels: Choice,
    ) -> Result<Self, LearnerError> {
        let training = Training::new(settings)?;
        training.check(parameters.iter().map(|(name, _)| name.as_str()))?;
        let types = parameters
            .iter()
            .map(|(name, tensor)| (name.clone(), TensorType::new(float, tensor.shape())));
        let mut recorded = Recorded {
            training,
            total: settings.usize("steps") as u64,
            parameters: types.collect(),
            programs: Vec::new(),
            state: State::default(),
            kernels,
            float,
            step: 0,
        };
        recorded.compile(recorded.training.all())?;
        for (name, tensor) in parameters {
            let ty = TensorType::new(float, tensor.shape());
            recorded.state.set(name, Tensor::new(&ty, &tensor.to_f64()))?;
        }
        Ok(recorded)
    }

    fn compile(&mut self, due: Due) -> Result<(), LearnerError> {
        let graph = Graph::new(self.float);
        let step = declare_step(&graph)?;
        let seed = declare_seed(&graph)?;
        let (mut nodes, mut gradients): (Vec<(String, NodeId)>, Vec<_>) = Default::default();
        for (name, ty) in &self.parameters {
            nodes.push((name.clone(), graph.state(name, &ty.shape, Initial::Constant(0.0))?));
            gradients.push(graph.input(&input(name), self.float, &ty.shape)?);
        }
        let next = graph.increment(step)?;
        let place = Place {
            graph: &graph,
            parameters: &nodes,
            gradients: &gradients,
            next,
            random: Some([seed, step]),
            curvature: None,
            due,
        };
        let clocks = self.training.append(&place)?;
        graph.update(step, next)?;
        self.state.extend(&graph, 0);
        let options = Options { kernels: self.kernels.clone(), poison: true, ..Options::default() };
        self.programs.push((due, Program::compile(&graph, &options)?, clocks));
        Ok(())
    }

    /// One step with these gradients, one a parameter. The rates are those of the
    /// schedules at this step; schedules that watch a loss see none.
    ///
    /// # Errors
    /// A gradient of another size than its parameter.
    pub fn step(&mut self, gradients: &[Vec<f64>]) -> Result<(), LearnerError> {
        let due = self.training.due(self.step);
        if !self.programs.iter().any(|(made, ..)| *made == due) {
            self.compile(due)?;
        }
        let Some((_, program, clocks)) = self.programs.iter_mut().find(|(made, ..)| *made == due)
        else {
            return Ok(());
        };
        for ((name, ty), gradient) in self.parameters.iter().zip(gradients) {
            if ty.elements() != gradient.len() {
                let message = format!("{name}: a gradient of {} elements", gradient.len());
                return Err(SettingError::new("gradient", message).into());
            }
            program.set_input(&input(name), &Tensor::new(ty, gradient))?;
        }
        for clock in clocks {
            port::write_number(program, &clock.input, (clock.value)(self.step))?;
        }
        for group in &self.training.groups {
            let place =
                super::schedules::Place { base: group.rate, step: self.step, total: self.total };
            let rate = group.schedule.rate(place, &group.schedule.memory());
            port::write_number(program, &group.input, rate)?;
            group.write_momentum(program, place)?;
        }
        program.run(&mut self.state)?;
        self.step += 1;
        Ok(())
    }

    /// The state: parameters, and what is kept about them.
    pub fn state(&self) -> &State {
        &self.state
    }
}

/// Appends what the gradient learner makes of these gradients in a step that does
/// all there is, with inputs for the rate and for what else depends on the step.
///
/// # Errors
/// Settings that do not fit the parameters.
pub fn append_updates(
    settings: &Settings,
    graph: &Graph,
    parameters: &[(String, NodeId)],
    gradients: &[NodeId],
) -> Result<(), LearnerError> {
    let training = Training::new(settings)?;
    let step = declare_step(graph)?;
    let (next, due) = (graph.increment(step)?, training.all());
    let (random, curvature) = (None, None);
    training.append(&Place { graph, parameters, gradients, next, random, curvature, due })?;
    Ok(graph.update(step, next)?)
}

fn input(name: &str) -> String {
    format!("gradient of {name}")
}

/// An optimizer on any function of one parameter, `x`.
pub struct Minimizer<'a> {
    training: Training,
    /// What makes the steps if the optimizer searches.
    search: Option<(Box<dyn Search>, Searcher)>,
    /// What makes them otherwise.
    programs: Vec<(Due, Program, Vec<Clock>)>,
    function: Function<'a>,
    state: State,
    kernels: Choice,
    float: DType,
    step: u64,
    total: u64,
}

/// Appends a function of a node.
type Build<'a> = &'a dyn Fn(&Graph, NodeId) -> Result<NodeId, GraphError>;

/// A function of one parameter as a graph.
struct Function<'a> {
    shape: Vec<usize>,
    build: Build<'a>,
}

impl Objective for Function<'_> {
    fn build(&self, graph: &Graph) -> Result<Loss, GraphError> {
        let x = graph.state("x", &self.shape, Initial::Constant(0.0))?;
        let value = (self.build)(graph, x)?;
        Ok(Loss { value, outputs: None, parameters: vec![("x".to_owned(), x)] })
    }

    fn feed(&self, _: &mut Program) -> Result<(), RunError> {
        Ok(())
    }
}

impl<'a> Minimizer<'a> {
    /// Minimises what `build` makes of the parameter `x`, from `start`, with the
    /// optimizer that the settings of the gradient learner name.
    ///
    /// # Errors
    /// The function cannot be built.
    pub fn new(
        settings: &Settings,
        start: &Tensor,
        build: Build<'a>,
        float: DType,
        kernels: &Choice,
    ) -> Result<Self, LearnerError> {
        let training = Training::new(settings)?;
        let function = Function { shape: start.shape().to_vec(), build };
        let mut state = State::default();
        let search = match training.search()? {
            Some(search) => {
                let searcher = Searcher::new(&*search, &function, float, kernels, &mut state, 0)?;
                Some((search, searcher))
            }
            None => None,
        };
        let mut minimizer = Minimizer {
            training,
            search,
            programs: Vec::new(),
            function,
            state,
            kernels: kernels.clone(),
            float,
            step: 0,
            total: settings.usize("steps") as u64,
        };
        if minimizer.search.is_none() {
            minimizer.compile(minimizer.training.all())?;
        }
        let ty = TensorType::new(float, start.shape());
        minimizer.state.set("x", Tensor::new(&ty, &start.to_f64()))?;
        Ok(minimizer)
    }

    fn compile(&mut self, due: Due) -> Result<(), LearnerError> {
        let graph = Graph::new(self.float);
        let step = declare_step(&graph)?;
        let seed = declare_seed(&graph)?;
        let Loss { value, parameters, .. } = self.function.build(&graph)?;
        graph.output("loss", value)?;
        let nodes = [parameters[0].1];
        let gradients = self.training.gradients(&graph, value, &nodes)?;
        let next = graph.increment(step)?;
        let curvature = |vectors: &[NodeId]| graph.hessian_vector_product(value, &nodes, vectors);
        let place = Place {
            graph: &graph,
            parameters: &parameters,
            gradients: &gradients,
            next,
            random: Some([seed, step]),
            curvature: Some(&curvature),
            due,
        };
        let clocks = self.training.append(&place)?;
        graph.update(step, next)?;
        self.state.extend(&graph, 0);
        let options = Options { kernels: self.kernels.clone(), ..Options::default() };
        self.programs.push((due, Program::compile(&graph, &options)?, clocks));
        Ok(())
    }

    /// One step; returns the value before it.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub fn step(&mut self) -> Result<f64, LearnerError> {
        let group = &self.training.groups[0];
        let place =
            super::schedules::Place { base: group.rate, step: self.step, total: self.total };
        let rate = group.schedule.rate(place, &group.schedule.memory());
        let step = self.step;
        self.step += 1;
        if let Some((search, searcher)) = &mut self.search {
            return searcher.step(&**search, &self.function, &mut self.state, rate);
        }
        let due = self.training.due(step);
        if !self.programs.iter().any(|(made, ..)| *made == due) {
            self.compile(due)?;
        }
        let made = self.programs.iter_mut().find(|(made, ..)| *made == due);
        let Some((_, program, clocks)) = made else { return Ok(f64::NAN) };
        for clock in clocks {
            port::write_number(program, &clock.input, (clock.value)(step))?;
        }
        port::write_number(program, "rate", rate)?;
        self.training.groups[0].write_momentum(program, place)?;
        program.run(&mut self.state)?;
        Ok(port::read_number(program, "loss")?)
    }

    /// The state: `x`, and what is kept about it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The parameter.
    pub fn x(&self) -> Vec<f64> {
        self.state.get("x").map(Tensor::to_f64).unwrap_or_default()
    }
}
