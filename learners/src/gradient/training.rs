//! What the settings say about training, apart from the loss: optimizers for
//! groups of parameters, what is done to gradients before and to weights after.

use super::initializers::{self, Calibration, Initializer, Weights};
use super::optimizers::{self, Optimizer, Update};
use super::regularizers::Regularizers;
use super::schedules::{self, Schedule};
use super::search::Search;
use super::update::{Clock, Curvature, Site, moment};
use super::uphill::uphill;
use super::{ENTRY, adapters, guidance, meta, pretexts};
use crate::port;
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{Graph, GraphError, Initial, NodeId, Program, RunError};
use speck_models::settings::{Value, all_dimensions, applicable, resolve, unchosen};
use speck_models::{Dimension, SettingError, Settings};
use std::cell::{OnceCell, RefCell};

/// The dimensions of the gradient learner that are read here.
pub(super) const GRADIENTS: [Dimension; 4] = [
    Dimension::float(
        "clip_norm",
        "norm that all gradients together are scaled down to; 0 for any",
        (0.0, 1e9),
        0.0,
    ),
    Dimension::float(
        "clip_value",
        "size that every element of a gradient is cut to; 0 for any",
        (0.0, 1e9),
        0.0,
    ),
    Dimension::float(
        "clip_adaptive",
        "largest norm of a unit's gradient, as a share of the norm of its weights (Brock et al., 2021); 0 for any",
        (0.0, 1e9),
        0.0,
    ),
    Dimension::int("accumulate", "batches whose mean gradient makes one update", (1, 65_536), 1),
];

pub(super) const WEIGHTS: [Dimension; 6] = [
    Dimension::int(
        "lookahead",
        "updates after which the weights go back part of the way to where they were (Zhang et al., \"Lookahead Optimizer\", 2019); 0 for never",
        (0, 1_000_000),
        0,
    ),
    Dimension::float("lookahead_alpha", "share of the way that lookahead keeps", (0.0, 1.0), 0.5),
    Dimension::choice(
        "average",
        "weights that predict: the last ones, an exponential mean of them, or their mean (Izmailov et al., \"Averaging Weights Leads to Wider Optima\", 2018); running statistics stay those of the last weights",
        &["none", "ema", "swa"],
        "none",
    ),
    Dimension::float("average_decay", "decay of the exponential mean", (0.0, 1.0), 0.999),
    Dimension::int("average_start", "updates before the mean begins", (0, 100_000_000), 0),
    Dimension::int(
        "average_every",
        "updates from one that counts to the next",
        (1, 100_000_000),
        1,
    ),
];

pub(super) const SHARPNESS: [Dimension; 2] = [
    Dimension::float(
        "sam",
        "how far uphill the gradient is taken (Foret et al., \"Sharpness-Aware Minimization\", 2020): at p + sam · g / ‖g‖; 0 for here",
        (0.0, 1e3),
        0.0,
    ),
    Dimension::bool(
        "sam_adaptive",
        "whether that distance is measured in units of each weight (Kwon et al., \"ASAM\", 2021)",
        false,
    ),
];

/// The group that every parameter belongs to that no other group takes.
const EVERYTHING: &str = "*";

/// Parameters that are updated alike.
pub(super) struct Group {
    pattern: String,
    frozen: bool,
    ascend: bool,
    optimizer: Box<dyn Optimizer>,
    initializer: Box<dyn Initializer>,
    /// The input that holds the group's rate.
    pub input: String,
    pub rate: f64,
    pub schedule: Box<dyn Schedule>,
    /// The slot of what the schedule remembers of the losses, if it does.
    pub memory: Option<String>,
    /// The input of the momentum, if the schedule sets it.
    pub momentum: Option<String>,
    /// Empty, or ends with a slash.
    prefix: String,
}

enum Average {
    None,
    Exponential(f64),
    Equal,
}

/// Which parts of a step are done: not all of them are in every step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    /// Weights change; else the gradient is added to others.
    update: bool,
    /// What the optimizer does now and then.
    optimizer: bool,
    lookahead: bool,
    average: bool,
}

/// Training as the settings want it.
pub(super) struct Training {
    pub groups: Vec<Group>,
    pub regularizers: Regularizers,
    clip: [f64; 3],
    accumulate: u64,
    lookahead: u64,
    lookahead_alpha: f64,
    average: Average,
    average_start: u64,
    average_every: u64,
    sam: f64,
    sam_adaptive: bool,
    /// Whether a step looks at all weights; whether it moves them by adapters, or
    /// for something else than the task.
    bound: bool,
    adapted: bool,
}

/// Where updates are appended.
pub(super) struct Place<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a [(String, NodeId)],
    pub gradients: &'a [NodeId],
    /// The count of steps after this one.
    pub next: NodeId,
    pub random: Option<[NodeId; 2]>,
    pub curvature: Option<&'a Curvature<'a>>,
    pub due: Due,
}

impl Training {
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        let mut groups = Vec::new();
        for (number, text) in settings.text_list("groups").into_iter().enumerate() {
            groups.push(Group::parse(text, number + 1, settings)?);
        }
        groups.push(Group::new(EVERYTHING, 0, settings));
        if groups.iter().any(|group| group.momentum.is_some() && !group.optimizer.takes_momentum())
        {
            let message = "is for optimizers whose momentum can be set from step to step: sgd, \
                           momentum, nesterov, rmsprop, adam, adamw and amsgrad";
            return Err(SettingError::new("cycle_momentum", message));
        }
        let average = match settings.text("average") {
            "ema" => Average::Exponential(settings.float("average_decay")),
            "swa" => Average::Equal,
            _ => Average::None,
        };
        if settings.bool("maximize") {
            groups.iter_mut().for_each(|group| group.ascend ^= true);
        }
        Ok(Training {
            groups,
            regularizers: Regularizers::new(settings)?,
            clip: ["clip_norm", "clip_value", "clip_adaptive"].map(|name| settings.float(name)),
            accumulate: settings.usize("accumulate") as u64,
            lookahead: settings.usize("lookahead") as u64,
            lookahead_alpha: settings.float("lookahead_alpha"),
            average,
            average_start: settings.usize("average_start") as u64,
            average_every: settings.usize("average_every") as u64,
            sam: settings.float("sam"),
            sam_adaptive: settings.bool("sam_adaptive"),
            bound: guidance::binds_weights(settings),
            adapted: adapters::wanted(settings)
                || pretexts::wanted(settings)
                || meta::wanted(settings),
        })
    }

    /// Everything that any step does.
    pub fn all(&self) -> Due {
        let lookahead = self.lookahead > 0;
        let average = !matches!(self.average, Average::None);
        Due { update: true, optimizer: true, lookahead, average }
    }

    /// What is done in a step, from 0.
    pub fn due(&self, step: u64) -> Due {
        let next = step + 1;
        if !next.is_multiple_of(self.accumulate) {
            return Due { update: false, optimizer: false, lookahead: false, average: false };
        }
        let count = next / self.accumulate;
        let lookahead = self.lookahead > 0 && (count == 1 || count.is_multiple_of(self.lookahead));
        let since = count.checked_sub(self.average_start.max(1));
        let average = since.is_some_and(|since| since.is_multiple_of(self.average_every));
        let optimizer = self.groups.iter().any(|group| group.optimizer.due(count));
        Due { update: true, optimizer, lookahead, average: average && self.all().average }
    }

    /// Whether predictions are made with averaged weights after some steps.
    pub fn averaged(&self, steps: u64) -> bool {
        !matches!(self.average, Average::None)
            && steps / self.accumulate >= self.average_start.max(1)
    }

    /// The slot of a parameter's averaged weights.
    pub fn averaged_slot(name: &str) -> String {
        moment("average", name)
    }

    /// Whether a slot holds averaged weights.
    pub fn is_mean(slot: &str) -> bool {
        slot.starts_with(&Self::averaged_slot(""))
    }

    /// The values that a parameter starts with, if not the model's own.
    pub fn initial(&self, name: &str, shape: &[usize], seed: u64) -> Option<Vec<f64>> {
        self.group_of(name).initializer.values(&Weights { name, shape, seed })
    }

    /// How a weight is scaled when training begins, if it is.
    pub fn calibration(&self, name: &str) -> Option<Calibration> {
        self.group_of(name).initializer.calibration()
    }

    /// The search that the settings want, if one: it has no groups, and changes
    /// neither gradients nor weights otherwise.
    pub fn search(&self) -> Result<Option<Box<dyn Search>>, SettingError> {
        let mut searches = self.groups.iter().filter_map(|group| group.optimizer.search());
        let Some(search) = searches.next_back() else { return Ok(None) };
        let plain = self.plain() && self.regularizers.are_of_the_loss();
        if self.groups.len() > 1 || self.groups[0].ascend || !plain {
            let message = "searches for the loss's minimum by itself: no groups, maximize, \
                           clip_*, accumulate, lookahead, average, sam, gradient_noise, \
                           *_norm, adapters, pretext or meta go with it";
            return Err(SettingError::new("optimizer", message));
        }
        Ok(Some(search))
    }

    /// How weights are updated by rows, if that is the same as what is done here.
    pub fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        match self.groups.as_slice() {
            [only] if !only.ascend && only.momentum.is_none() => {
                let plain = self.plain() && self.regularizers.leave_rows() && !self.bound;
                only.optimizer.rows().filter(|_| plain)
            }
            _ => None,
        }
    }

    /// Whether gradients go to the optimizer as they are, and weights stay as it
    /// leaves them.
    fn plain(&self) -> bool {
        let bare =
            !self.adapted && self.clip == [0.0; 3] && self.accumulate == 1 && self.lookahead == 0;
        bare && matches!(self.average, Average::None) && self.sam == 0.0
    }

    fn group_of(&self, name: &str) -> &Group {
        let found = self.groups.iter().find(|group| matches(&group.pattern, name));
        // The last one takes all.
        found.unwrap_or(&self.groups[self.groups.len() - 1])
    }

    /// Whether every group has a parameter.
    pub fn check<'n>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<(), SettingError> {
        for group in &self.groups[..self.groups.len() - 1] {
            if !names.clone().any(|name| matches(&group.pattern, name)) {
                let all: Vec<_> = names.collect();
                let pattern = &group.pattern;
                let message =
                    format!("no parameter is called {pattern:?}; there are {}", all.join(", "));
                return Err(SettingError::new("groups", message));
            }
        }
        Ok(())
    }

    /// The gradients that the updates are made of: here, or uphill.
    pub fn gradients(
        &self,
        graph: &Graph,
        value: NodeId,
        parameters: &[NodeId],
    ) -> Result<Vec<NodeId>, GraphError> {
        let gradients = graph.gradient(value, parameters)?;
        match self.sam {
            0.0 => Ok(gradients),
            distance => uphill(graph, value, parameters, &gradients, distance, self.sam_adaptive),
        }
    }

    /// Appends the inputs of the rates, and all updates.
    pub fn append(&self, place: &Place<'_>) -> Result<Vec<Clock>, GraphError> {
        self.append_each(place, |_, _| Ok(false))
    }

    /// The same, but for parameters that `other` takes care of: those by the
    /// place at which it answers `true`.
    pub fn append_each(
        &self,
        place: &Place<'_>,
        other: impl Fn(usize, &Update<'_>) -> Result<bool, GraphError>,
    ) -> Result<Vec<Clock>, GraphError> {
        let Place { graph, parameters, next, .. } = *place;
        let float = graph.float();
        let mut rates = Vec::new();
        for group in &self.groups {
            let momentum = group.momentum.as_ref();
            let momentum = momentum.map(|input| graph.input(input, float, &[])).transpose()?;
            rates.push((graph.input(&group.input, float, &[])?, momentum));
        }
        let mut site = Site {
            graph,
            parameters,
            gradients: &[],
            count: rates[0].0,
            accumulate: self.accumulate,
            random: place.random,
            curvature: place.curvature,
            clocks: RefCell::default(),
            keeps: RefCell::default(),
            norm: OnceCell::new(),
            hutchinson: OnceCell::new(),
        };
        site.count = match self.accumulate {
            1 => graph.cast(next)?,
            _ => site.clock("count", |count| count as f64)?,
        };
        let mut gradients = place.gradients.to_vec();
        if self.accumulate > 1 && !self.accumulated(&site, &mut gradients, place.due)? {
            return Ok(site.clocks.into_inner());
        }
        self.directed(&site, &mut gradients)?;
        self.clipped(&site, &mut gradients)?;
        for gradient in &mut gradients {
            *gradient = self.regularizers.gradient(&site, *gradient)?;
        }
        let site = Site { gradients: &gradients, ..site };
        for (index, ((name, parameter), gradient)) in parameters.iter().zip(&gradients).enumerate()
        {
            let group = self.group_of(name);
            let number = self.groups.iter().position(|other| std::ptr::eq(other, group));
            let (rate, momentum) = rates[number.unwrap_or(0)];
            let (due, prefix) = (place.due.optimizer, &group.prefix);
            let update = Update { graph, rate, due, momentum, site: &site, group: prefix, index };
            if group.frozen || other(index, &update)? {
                continue;
            }
            let mut new = group.optimizer.build(&update, name, *parameter, *gradient)?;
            new = self.regularizers.constrained(&update, name, new)?;
            if place.due.lookahead {
                new = self.looked_ahead(&update, name, *parameter, new)?;
            }
            if place.due.average {
                self.averages(&update, name, new)?;
            }
            graph.update(*parameter, new)?;
        }
        Ok(site.clocks.into_inner())
    }

    /// Adds the gradients to those of the batches before; whether it is their mean
    /// that is there now.
    fn accumulated(
        &self,
        site: &Site<'_>,
        gradients: &mut [NodeId],
        due: Due,
    ) -> Result<bool, GraphError> {
        let graph = site.graph;
        for ((name, _), gradient) in site.parameters.iter().zip(gradients) {
            let zero = Initial::Constant(0.0);
            let shape = graph.shape(*gradient);
            let sum = graph.state(&moment("gradient", name), &shape, zero)?;
            let share = graph.scale(*gradient, 1.0 / self.accumulate as f64)?;
            *gradient = graph.add(sum, share)?;
            let left = if due.update { graph.zeros(&shape)? } else { *gradient };
            graph.update(sum, left)?;
        }
        Ok(due.update)
    }

    /// Gradients of groups that climb, turned around; frozen ones, zero.
    fn directed(&self, site: &Site<'_>, gradients: &mut [NodeId]) -> Result<(), GraphError> {
        for ((name, _), gradient) in site.parameters.iter().zip(gradients) {
            let group = self.group_of(name);
            if group.frozen {
                *gradient = site.graph.zeros(&site.graph.shape(*gradient))?;
            } else if group.ascend {
                *gradient = site.graph.neg(*gradient)?;
            }
        }
        Ok(())
    }

    fn clipped(&self, site: &Site<'_>, gradients: &mut [NodeId]) -> Result<(), GraphError> {
        let graph = site.graph;
        let [norm, value, adaptive] = self.clip;
        if adaptive > 0.0 {
            for ((_, parameter), gradient) in site.parameters.iter().zip(&mut *gradients) {
                // The norms of units: of what stands at one place of the first
                // dimension; of a vector's elements.
                let shape = graph.shape(*parameter);
                let axes: Vec<_> = (1..shape.len()).collect();
                let mut kept = vec![1; shape.len()];
                kept[..shape.len().min(1)].copy_from_slice(&shape[..shape.len().min(1)]);
                let unit = |x: NodeId, least: f64| {
                    let norm = graph.vector_norm(x, 2.0, &axes)?;
                    let norm = graph.maximum(norm, graph.scalar(least)?)?;
                    graph.reshape(norm, &kept)
                };
                let most = graph.scale(unit(*parameter, 1e-3)?, adaptive)?;
                let share = graph.div(most, unit(*gradient, 1e-6)?)?;
                let share = graph.minimum(share, graph.scalar(1.0)?)?;
                *gradient = graph.mul(*gradient, share)?;
            }
        }
        if norm > 0.0 {
            let all = site.norm_of_all(gradients)?;
            let share = graph.div(graph.scalar(norm)?, graph.offset(all, 1e-6)?)?;
            let share = graph.minimum(share, graph.scalar(1.0)?)?;
            for gradient in &mut *gradients {
                *gradient = graph.mul(*gradient, share)?;
            }
        }
        if value > 0.0 {
            for gradient in gradients {
                *gradient = graph.clip(*gradient, -value, value)?;
            }
        }
        Ok(())
    }

    /// slow ← slow + α (fast - slow), fast ← slow; slow starts where the weights do.
    fn looked_ahead(
        &self,
        update: &Update<'_>,
        name: &str,
        before: NodeId,
        fast: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let slow = update.moment("slow", name, before)?;
        let length = self.lookahead;
        let first = update.site.clock("first", |count| f64::from(u8::from(count == 1)))?;
        let meet = move |count: u64| f64::from(u8::from(count.is_multiple_of(length)));
        let meet = update.site.clock("meet", meet)?;
        let slow_now = graph.select(first, before, slow)?;
        let way = graph.scale(graph.sub(fast, slow_now)?, self.lookahead_alpha)?;
        let moved = graph.add(slow_now, way)?;
        graph.update(slow, graph.select(meet, moved, slow_now)?)?;
        graph.select(meet, moved, fast)
    }

    /// mean ← mean + share (new - mean), with all of the new weights at first.
    fn averages(&self, update: &Update<'_>, name: &str, new: NodeId) -> Result<(), GraphError> {
        let graph = update.graph;
        let mean = update.moment("average", name, new)?;
        let (start, every) = (self.average_start.max(1), self.average_every);
        let before = move |count: u64| (count.max(start) - start) / every;
        let share =
            match self.average {
                Average::Exponential(decay) => update.site.clock("average", move |count| {
                    if before(count) == 0 { 1.0 } else { 1.0 - decay }
                })?,
                _ => update.site.clock("average", move |count| 1.0 / (before(count) + 1) as f64)?,
            };
        let moved = graph.mul(graph.sub(new, mean)?, share)?;
        graph.update(mean, graph.add(mean, moved)?)
    }
}

impl Group {
    /// Sets the input of the momentum, if there is one.
    pub fn write_momentum(
        &self,
        program: &mut Program,
        place: schedules::Place,
    ) -> Result<(), RunError> {
        match (&self.momentum, self.schedule.momentum(place)) {
            (Some(input), Some(momentum)) => port::write_number(program, input, momentum),
            _ => Ok(()),
        }
    }

    fn new(pattern: &str, number: usize, settings: &Settings) -> Self {
        let (input, prefix) = match number {
            0 => ("rate".to_owned(), String::new()),
            number => (format!("rate/{number}"), format!("{number}/")),
        };
        let schedule = schedules::make(settings);
        Group {
            pattern: pattern.to_owned(),
            frozen: false,
            ascend: false,
            optimizer: optimizers::make(settings),
            initializer: initializers::make(settings),
            rate: settings.float("rate"),
            memory: (!schedule.memory().is_empty()).then(|| moment("schedule", &input)),
            momentum: schedule
                .momentum(schedules::Place { base: 1.0, step: 0, total: 1 })
                .map(|_| input.replace("rate", "momentum")),
            schedule,
            input,
            prefix,
        }
    }

    /// `PATTERN: frozen`, `PATTERN: ascend, rate=0.1, weight_decay=0`: settings of
    /// the optimizer and the schedule in place of the learner's.
    fn parse(text: &str, number: usize, settings: &Settings) -> Result<Self, SettingError> {
        let wrong = |message: String| SettingError::new("groups", format!("{text:?}: {message}"));
        let Some((pattern, rest)) = text.split_once(':') else {
            let message = "expected \"PATTERN: KEY=VALUE, …\", \"PATTERN: frozen\" or \
                           \"PATTERN: ascend\"; `*` in a pattern stands for anything";
            return Err(wrong(message.to_owned()));
        };
        let dimensions = ENTRY.dimensions;
        let mut given: Vec<(String, Value)> =
            settings.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let (mut frozen, mut ascend) = (false, false);
        let mut changed = Vec::new();
        for word in rest.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                None if word == "frozen" => frozen = true,
                None if word == "ascend" => ascend = true,
                None => {
                    return Err(wrong(format!("{word:?} is none of frozen, ascend, KEY=VALUE")));
                }
                Some((key, value)) => {
                    let of_group = |known: &&Dimension| {
                        ["optimizer", "schedule", "initialization"].contains(&known.name)
                            || known.name.starts_with("warmup")
                    };
                    let known = dimensions.iter().filter(of_group).any(|known| {
                        let known = std::slice::from_ref(known);
                        key != "optimizer" && all_dimensions(known).any(|known| known.name == key)
                    });
                    if !known {
                        let message = "is no setting of the optimizer, schedule or initialization";
                        return Err(wrong(format!("`{key}` {message}")));
                    }
                    let value = read(value);
                    changed.push(key);
                    match given.iter_mut().find(|(known, _)| known == key) {
                        Some((_, old)) => *old = value,
                        None => given.push((key.to_owned(), value)),
                    }
                }
            }
        }
        let resolved = resolve(dimensions, &applicable(dimensions, &given))
            .map_err(|error| wrong(error.to_string()))?;
        if let Some(key) = changed.into_iter().find(|key| resolved.get(key).is_none()) {
            let error = unchosen(dimensions, key).map_or(String::new(), |error| error.to_string());
            return Err(wrong(error));
        }
        Ok(Group { frozen, ascend, ..Group::new(pattern.trim(), number, &resolved) })
    }
}

/// A value as a user writes it in a group.
fn read(text: &str) -> Value {
    let number = text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float));
    match (number, text.parse()) {
        (Ok(number), _) => number,
        (_, Ok(truth)) => Value::Bool(truth),
        _ => Value::Text(text.to_owned()),
    }
}

/// Whether a name is as a pattern says, in which `*` stands for any letters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    loop {
        if matches(rest, left) {
            return true;
        }
        let mut letters = left.chars();
        if letters.next().is_none() {
            return false;
        }
        left = letters.as_str();
    }
}
