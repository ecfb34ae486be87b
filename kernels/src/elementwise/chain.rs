//! Runs of element-wise functions in one dispatch on a GPU.

use super::gpu::merged;
use crate::gpu::{Call, Calls, Operand, chain as shader, dims, linear, size, unless_empty};

/// Most buffers that a chain reads and writes.
pub const MOST_BUFFERS: usize = shader::BUFFERS as usize;
/// Most numbers that it holds.
pub const MOST_CONSTANTS: usize = shader::CONSTANTS as usize;
/// Most functions.
pub const MOST_STEPS: usize = 32;

/// Whether a chain can have this function: the shader's file has it.
pub fn has(name: &str) -> bool {
    shader::SHADER.source.contains(&format!("\nfn {name}_of("))
}

/// How a buffer is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Each element at its own place.
    Full,
    /// One element for all.
    Single,
    /// With a step along each of the chain's dimensions, outermost first.
    Stretched(Vec<usize>),
}

/// A buffer of a chain: its operand, how it is read, and the function whose value is
/// written to it. What is written can be read at its own place only.
#[derive(Clone, Debug)]
pub struct Access {
    /// The buffer.
    pub operand: Operand,
    /// How it is read.
    pub read: Option<Reading>,
    /// The number of the function whose value it gets.
    pub write: Option<usize>,
}

/// A value in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a buffer, by its number.
    Buffer(usize),
    /// A number that does not change.
    Constant(usize),
    /// What a function gave.
    Step(usize),
}

/// Functions of each of `count` elements, one after another.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Elements.
    pub count: usize,
    /// The sizes along which stretched buffers have steps.
    pub sizes: Vec<usize>,
    /// What is read and written.
    pub buffers: Vec<Access>,
    /// Numbers.
    pub constants: Vec<f32>,
    /// The functions by their names, with their operands.
    pub steps: Vec<(&'static str, Vec<Value>)>,
}

impl Chain {
    /// The dispatch.
    ///
    /// # Errors
    /// A function that chains have not, or more of something than fits.
    pub fn calls(&self) -> Result<Calls, String> {
        let room = self.buffers.len() <= MOST_BUFFERS
            && self.constants.len() <= MOST_CONSTANTS
            && self.steps.len() <= MOST_STEPS;
        if !room {
            return Err("a chain with more than it has room for".to_owned());
        }
        let mut scratch = Vec::new();
        let mut calls = unless_empty(self.count, || self.call(&mut scratch))?;
        calls.scratch = scratch;
        Ok(calls)
    }

    fn call(&self, scratch: &mut Vec<usize>) -> Result<Call, String> {
        let mut stretched: Vec<_> = self.sizes.iter().map(|n| (*n, [0; MOST_BUFFERS])).collect();
        let (mut before, mut after) = (String::new(), String::new());
        let mut operands = Vec::new();
        for (k, Access { operand, read, write }) in self.buffers.iter().enumerate() {
            let place = match read {
                None => None,
                Some(Reading::Full) => Some("i".to_owned()),
                Some(Reading::Single) => Some("0u".to_owned()),
                Some(Reading::Stretched(steps)) => {
                    for ((_, own), step) in stretched.iter_mut().zip(steps) {
                        own[k] = *step;
                    }
                    Some(format!("stretched(i, params.steps_{k})"))
                }
            };
            if let Some(place) = place {
                before += &format!("    let b{k} = z{k}[{place}];\n");
            }
            if let Some(step) = write {
                after += &format!("    z{k}[i] = s{step};\n");
            }
            operands.push(*operand);
        }
        // A binding has some buffer, and none has another's.
        while operands.len() < MOST_BUFFERS {
            operands.push(Operand::Scratch(scratch.len()));
            scratch.push(8);
        }
        for (k, (name, values)) in self.steps.iter().enumerate() {
            if !has(name) {
                return Err(format!("chains have no `{name}`"));
            }
            let text = |value: &Value| match value {
                Value::Buffer(k) => format!("b{k}"),
                Value::Constant(k) => format!("number({k}u)"),
                Value::Step(k) => format!("s{k}"),
            };
            let values: Vec<_> = values.iter().map(text).collect();
            before += &format!("    let s{k} = {name}_of({});\n", values.join(", "));
        }
        let walked = merged(&stretched, MOST_BUFFERS);
        let step = |buffer: usize| dims(walked.iter().map(|(_, own)| own[buffer] as isize));
        let mut constants = [0.0; MOST_CONSTANTS];
        constants.iter_mut().zip(&self.constants).for_each(|(to, from)| *to = *from);
        let params = shader::Params {
            count: size(self.count)?,
            rank: size(walked.len())?,
            constants,
            sizes: dims(walked.iter().map(|(size, _)| *size as isize))?,
            steps_0: step(0)?,
            steps_1: step(1)?,
            steps_2: step(2)?,
            steps_3: step(3)?,
            steps_4: step(4)?,
            steps_5: step(5)?,
            steps_6: step(6)?,
            steps_7: step(7)?,
        };
        let groups = linear(&shader::SHADER, self.count)?;
        Ok(Call::new(&shader::SHADER, &params, &operands, groups).between(before + &after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_functions_only() {
        assert!(has("add") && has("select") && has("relu"));
        assert!(!has("exp") && !has("number") && !has(""));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let steps = vec![("neg", vec![Value::Constant(0)]); MOST_STEPS + 1];
        assert!(Chain { count: 1, steps, ..Chain::default() }.calls().is_err());
        let steps = vec![("exp", vec![Value::Constant(0)])];
        assert!(Chain { count: 1, steps, ..Chain::default() }.calls().is_err());
        let none = Chain { count: 0, ..Chain::default() }.calls().expect("nothing to do");
        assert!(none.calls.is_empty());
    }
}
