//! Rows of weights on a GPU.

use super::rule::Rule;
use super::{Classes, HISTORY, Rows};
use crate::gpu::{
    Call, Calls, MOST_GROUPS, Operand, ROUNDS, flag, in_turn, linear, row_counters, row_index,
    row_linear, row_numbers, row_sum, row_update, signed, size, spread, unless_empty,
};
use crate::movement::gpu::filled;

pub use row_linear::{OUTPUTS, ROWS, WINDOWS};

const _: () = assert!(row_numbers::HISTORY as usize == HISTORY);
const _: () = assert!(row_update::HISTORY as usize == HISTORY);
const _: () = assert!(row_counters::HISTORY as usize == HISTORY);

/// Windows that may lie on one position, and one: what the list of a position takes in
/// rounds of loops.
fn entries(rows: &Rows) -> usize {
    rows.windows.samples * rows.windows.slots + 1
}

/// See [`ROW_INDEX`](super::ROW_INDEX).
///
/// # Errors
/// Too many elements.
pub fn index(rows: &Rows) -> Result<Calls, String> {
    let windows = &rows.windows;
    let params = row_index::Params {
        positions: size(rows.positions())?,
        windows: size(windows.samples * windows.slots)?,
        slots: size(windows.slots)?,
        height: signed(windows.size[0])?,
        width: signed(windows.size[1])?,
        map_width: signed(windows.map[1])?,
    };
    let shader = &row_index::SHADER;
    let mut calls = filled(rows.index_elements(), 0, Operand::Output)?;
    for pass in [row_index::COUNT, row_index::BEGIN, row_index::FILL] {
        let (groups, rounds) = match pass {
            row_index::BEGIN => ([1; 3], 2 * rows.positions().div_ceil(256) + 260),
            _ => (linear(shader, rows.positions())?, entries(rows)),
        };
        let call = Call::new(shader, &params, &[Operand::Input(0), Operand::Output], groups);
        calls.calls.push(call.looping(rounds).with(&[(row_index::PASS, f64::from(pass))]));
    }
    Ok(calls)
}

/// One of the three products, by its number in the shader: see
/// [`ROW_LINEAR`](super::ROW_LINEAR) and its adjoints.
///
/// # Errors
/// Too many elements.
pub fn product(pass: u32, rows: &Rows) -> Result<Calls, String> {
    let places = rows.windows.samples * rows.places();
    let count = match pass {
        OUTPUTS => rows.windows.samples * rows.outputs,
        WINDOWS => rows.windows.elements(),
        _ => rows.elements(),
    };
    let params = |count: usize, [first, last]: [usize; 2]| {
        Ok::<_, String>(row_linear::Params {
            count: size(count)?,
            positions: size(rows.positions())?,
            places: size(rows.places())?,
            channels: size(rows.windows.channels)?,
            outputs: size(rows.outputs)?,
            stride: size(rows.stride())?,
            first: size(first)?,
            last: size(last)?,
        })
    };
    let shader = &row_linear::SHADER;
    let scratch = Operand::Scratch(0);
    // An op has one output: what PLACES would write there, it does not.
    let operands =
        [Operand::Input(0), Operand::Input(1), Operand::Input(2), scratch, Operand::Output];
    let mut calls = Calls::default();
    if pass != ROWS {
        calls.calls.extend(filled(places, u32::MAX, scratch)?.calls);
        let groups = linear(shader, rows.positions())?;
        let call = Call::new(shader, &params(rows.positions(), [0; 2])?, &operands, groups);
        let call = call.looping(entries(rows));
        calls.calls.push(call.with(&[(row_linear::PASS, f64::from(row_linear::PLACES))]));
    }
    calls.scratch.push(4 * places);
    if count == 0 {
        return Ok(calls);
    }
    // An output goes over all places of a sample, some of them in a dispatch.
    let (steps, each) =
        if pass == OUTPUTS { (rows.places(), rows.windows.channels + 2) } else { (0, 0) };
    for part in in_turn(steps, each) {
        let call = Call::new(shader, &params(count, part)?, &operands, linear(shader, count)?);
        let rounds = match pass {
            OUTPUTS => (part[1] - part[0]) * each + 1,
            WINDOWS => rows.outputs + 1,
            _ => entries(rows),
        };
        calls.calls.push(call.looping(rounds).with(&[(row_linear::PASS, f64::from(pass))]));
    }
    Ok(calls)
}

/// See [`ROW_SUM`](super::ROW_SUM); inputs are the rows and, unless `always`, whether
/// they are wanted.
///
/// # Errors
/// Too many elements.
pub fn sum(rows: &Rows, classes: &Classes, always: bool) -> Result<Calls, String> {
    let mut lists = vec![Vec::new(); classes.count];
    for (position, class) in (0u32..).zip(classes.of.iter()) {
        lists[*class as usize].push(position);
    }
    let part = row_sum::PART as usize;
    // Where the parts of each class begin, and the positions of each part.
    let (mut classes_at, mut parts_at, mut positions) = (vec![0], vec![0], Vec::new());
    for list in &lists {
        for positions_of in list.chunks(part) {
            positions.extend_from_slice(positions_of);
            parts_at.push(positions.len() as u32);
        }
        classes_at.push(parts_at.len() as u32 - 1);
    }
    let parts = parts_at.len() - 1;
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    let wanted = Operand::Input(if always { 0 } else { 1 });
    let pass = |adds: bool, results: usize, stride: usize, from: Operand, into: Operand| {
        let count = results * channels * outputs;
        unless_empty(count, || {
            let params = row_sum::Params {
                count: size(count)?,
                channels: size(channels)?,
                outputs: size(outputs)?,
                stride: size(stride)?,
                parts: size(results)?,
                always: u32::from(always),
            };
            let operands = [from, wanted, Operand::Table(usize::from(adds)), into];
            let groups = linear(&row_sum::SHADER, count)?;
            let call = Call::new(&row_sum::SHADER, &params, &operands, groups);
            let most = match adds {
                true => lists.iter().map(|list| list.len().div_ceil(part)).max(),
                false => Some(part),
            };
            let call = call.looping(most.unwrap_or(0) + 1);
            Ok(call.with(&[(row_sum::ADDS, flag(adds))]))
        })
    };
    let scratch = Operand::Scratch(0);
    let mut calls = pass(false, parts, rows.stride(), Operand::Input(0), scratch)?;
    calls.calls.extend(pass(true, classes.count, outputs, scratch, Operand::Output)?.calls);
    calls.scratch.push(4 * parts * channels * outputs);
    calls.tables.push([parts_at, positions].concat());
    calls.tables.push(classes_at);
    Ok(calls)
}

/// The rule's number in the shader, and its numbers.
fn rule_params(rule: &Rule) -> (u32, row_update::Params, row_numbers::Params) {
    let betas = |beta_1: f64, beta_2: f64, epsilon: f64| row_update::Params {
        beta_1: beta_1 as f32,
        beta_2: beta_2 as f32,
        rest_1: (1.0 - beta_1) as f32,
        rest_2: (1.0 - beta_2) as f32,
        epsilon: epsilon as f32,
        ..row_update::Params::default()
    };
    let plain = row_numbers::Params::default();
    match *rule {
        Rule::Sgd { decay } => {
            let numbers = row_numbers::Params { decay: decay as f32, ..plain };
            (row_update::SGD, betas(0.0, 0.0, 0.0), numbers)
        }
        // Its decay is added to the gradient.
        Rule::Momentum { momentum, decay } => {
            let params = betas(momentum, 0.0, 0.0);
            (row_update::MOMENTUM, row_update::Params { coupled: decay as f32, ..params }, plain)
        }
        Rule::Rmsprop { alpha, epsilon } => {
            (row_update::RMSPROP, betas(alpha, 0.0, epsilon), plain)
        }
        Rule::Lion { beta1, beta2, decay } => {
            let numbers = row_numbers::Params { decay: decay as f32, ..plain };
            (row_update::LION, betas(beta1, beta2, 0.0), numbers)
        }
        Rule::Adam { beta1, beta2, epsilon, decay } => {
            let log = |beta: f64| if beta == 0.0 { 0.0 } else { beta.ln() as f32 };
            let numbers = row_numbers::Params {
                log_beta_1: log(beta1),
                log_beta_2: log(beta2),
                decay: decay as f32,
                corrects: 1,
            };
            (row_update::ADAM, betas(beta1, beta2, epsilon), numbers)
        }
    }
}

/// What of a layer's rows is changed.
fn changed(
    rows: &Rows,
    rule: &Rule,
    catch_up: bool,
    [rates, step]: [Operand; 2],
    operands: [Operand; 5],
    classes: Operand,
) -> Result<Calls, String> {
    let (kind, params, numbers) = rule_params(rule);
    let count = rows.elements() / rows.parts.max(1);
    let params = row_update::Params {
        positions: size(rows.positions())?,
        channels: size(rows.windows.channels)?,
        outputs: size(rows.outputs)?,
        stride: size(rows.stride())?,
        ..params
    };
    size(rows.elements())?;
    let scratch = Operand::Scratch(0);
    let first = Call::new(&row_numbers::SHADER, &numbers, &[rates, step, scratch], [1; 3]);
    let mut calls = Calls::from(first.with(&[(row_numbers::CATCH_UP, flag(catch_up))]));
    calls.scratch.push(4 * 3 * HISTORY);
    let [windows, outputs, sums, index, due] = operands;
    let all = [windows, outputs, sums, index, due, scratch, classes, Operand::Output];
    let own = unless_empty(count, || {
        // Of an element: the windows on its position, or the steps that it has missed.
        let each = if catch_up { HISTORY + 2 } else { entries(rows) + 1 };
        let blocks = (rows.windows.channels * rows.outputs).div_ceil(64);
        let share = (ROUNDS / each).clamp(1, blocks.max(1));
        let [across, down, _] = spread(rows.positions())?;
        let parts = blocks.div_ceil(share);
        if parts > MOST_GROUPS {
            return Err(format!("rows of {} elements for as many windows", 64 * blocks));
        }
        let groups = [across, down, parts.max(1) as u32];
        let call = Call::new(&row_update::SHADER, &params, &all, groups);
        let call = call.looping(blocks.div_ceil(parts.max(1)) * each + 1);
        Ok(call
            .with(&[(row_update::RULE, f64::from(kind)), (row_update::CATCH_UP, flag(catch_up))]))
    })?;
    calls.calls.extend(own.calls);
    Ok(calls)
}

/// See [`ROW_CATCH_UP`](super::ROW_CATCH_UP); inputs are rows, last steps, index, due,
/// step, rates.
///
/// # Errors
/// Too many elements.
pub fn catch_up(rows: &Rows, rule: &Rule) -> Result<Calls, String> {
    let [last, index, due, step, rates] = [1, 2, 3, 4, 5].map(Operand::Input);
    changed(rows, rule, true, [rates, step], [last, step, rates, index, due], index)
}

/// See [`ROW_UPDATE`](super::ROW_UPDATE); inputs are rows, windows, outputs, sums,
/// index, due, rate, step.
///
/// # Errors
/// Too many elements.
pub fn update(rows: &Rows, rule: &Rule, classes: &Classes) -> Result<Calls, String> {
    let [windows, outputs, sums, index, due, rate, step] =
        [1, 2, 3, 4, 5, 6, 7].map(Operand::Input);
    let operands = [windows, outputs, sums, index, due];
    let mut calls = changed(rows, rule, false, [rate, step], operands, Operand::Table(0))?;
    calls.tables.push(classes.of.to_vec());
    Ok(calls)
}

fn counter(
    pass: u32,
    count: usize,
    operands: [Operand; 4],
    groups: [u32; 3],
) -> Result<Calls, String> {
    let params = row_counters::Params { count: size(count)? };
    let [x, more, due, step] = operands;
    let all = [x, more, due, step, Operand::Output];
    let call = Call::new(&row_counters::SHADER, &params, &all, groups);
    Ok(call.with(&[(row_counters::PASS, f64::from(pass))]).into())
}

/// See [`ROW_DUE`](super::ROW_DUE), of a base of `count` values.
///
/// # Errors
/// Too many elements.
pub fn due(count: usize) -> Result<Calls, String> {
    let [base, step] = [0, 1].map(Operand::Input);
    let mut calls = counter(row_counters::DUE, count, [base, base, step, step], [1; 3])?;
    for call in &mut calls.calls {
        call.rounds = count.div_ceil(256) + 16;
    }
    Ok(calls)
}

/// See [`ROW_SEEN`](super::ROW_SEEN), of `count` positions.
///
/// # Errors
/// Too many elements.
pub fn seen(count: usize) -> Result<Calls, String> {
    let groups = linear(&row_counters::SHADER, count)?;
    counter(row_counters::SEEN, count, [0, 1, 2, 3].map(Operand::Input), groups)
}

/// See [`ROW_RATES`](super::ROW_RATES).
///
/// # Errors
/// None so far.
pub fn rates() -> Result<Calls, String> {
    let [rates, rate, step] = [0, 1, 2].map(Operand::Input);
    let groups = linear(&row_counters::SHADER, HISTORY)?;
    counter(row_counters::RATES, HISTORY, [rates, rate, step, step], groups)
}
