//! Element-wise functions on a GPU.

use crate::gpu::{Call, Calls, Operand, binary, dims, flag, linear, size, unary, unless_empty};

/// Dimensions of operands that are stretched, outermost first: how many positions,
/// and the step each of up to three operands takes.
pub type Stretched = [(usize, [usize; 3])];

/// The number that a shader has for the function of this name.
fn function(numbers: &[(&str, u32)], name: &str) -> Result<f64, String> {
    let wanted = name.to_uppercase();
    let found = numbers.iter().find(|(own, _)| *own == wanted);
    found.map(|(_, number)| f64::from(*number)).ok_or_else(|| format!("no shader has `{name}`"))
}

/// The function `name` of `count` elements.
///
/// # Errors
/// No such function, or too many elements.
pub fn unary_calls(name: &str, count: usize) -> Result<Calls, String> {
    let function = function(unary::NUMBERS, name)?;
    unless_empty(count, || {
        let params = unary::Params {
            count: size(count)?,
            infinity: f32::INFINITY.to_bits(),
            nan: f32::NAN.to_bits(),
        };
        let groups = linear(&unary::SHADER, count)?;
        let operands = [Operand::Input(0), Operand::Output];
        let call = Call::new(&unary::SHADER, &params, &operands, groups);
        Ok(call.with(&[(unary::FUNCTION, function)]))
    })
}

/// The function `name` of two operands, or `select` of three, which `stretched` says
/// how to walk.
///
/// # Errors
/// No such function, too many elements, or too many dimensions.
pub fn binary_calls(name: &str, stretched: &Stretched) -> Result<Calls, String> {
    let function = function(binary::NUMBERS, name)?;
    let used = if name == "select" { 3 } else { 2 };
    let merged = merged(stretched, used);
    let count = merged.iter().map(|(size, _)| size).product();
    unless_empty(count, || {
        let steps = |operand: usize| dims(merged.iter().map(|(_, own)| own[operand] as isize));
        // The inputs of `select` are the condition, a and b.
        let order = if name == "select" { [1, 2, 0] } else { [0, 1, 0] };
        let params = binary::Params {
            count: size(count)?,
            rank: size(merged.len())?,
            nan: f32::NAN.to_bits(),
            sizes: dims(merged.iter().map(|(size, _)| *size as isize))?,
            a: steps(order[0])?,
            b: steps(order[1])?,
            k: steps(order[2])?,
        };
        let full = merged.len() <= 1 && merged.iter().all(|(_, own)| own[..used] == [1; 3][..used]);
        let [a, b, k] = order.map(Operand::Input);
        let groups = linear(&binary::SHADER, count)?;
        let call = Call::new(&binary::SHADER, &params, &[a, b, k, Operand::Output], groups);
        Ok(call.with(&[(binary::FUNCTION, function), (binary::FULL, flag(full))]))
    })
}

/// Without dimensions of size 1, neighbours that all operands walk in one joined.
pub(super) fn merged<const N: usize>(
    stretched: &[(usize, [usize; N])],
    used: usize,
) -> Vec<(usize, [usize; N])> {
    let mut merged: Vec<(usize, [usize; N])> = Vec::new();
    for &(size, steps) in stretched.iter().filter(|(size, _)| *size != 1) {
        match merged.last_mut() {
            Some((outer, own)) if (0..used).all(|i| own[i] == steps[i] * size) => {
                (*outer, *own) = (*outer * size, steps);
            }
            _ => merged.push((size, steps)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_in_a_shader() {
        for kernel in crate::elementwise::kernels() {
            let known = [unary::NUMBERS, binary::NUMBERS].concat();
            assert!(function(&known, kernel.name).is_ok(), "{}", kernel.name);
        }
    }

    #[test]
    fn neighbours_are_joined() {
        let row = [(4, [6, 0, 0]), (1, [9, 9, 9]), (2, [3, 3, 0]), (3, [1, 1, 0])];
        assert_eq!(merged(&row, 2), [(4, [6, 0, 0]), (6, [1, 1, 0])]);
        assert_eq!(merged(&[(4, [3, 3, 0]), (3, [1, 1, 0])], 2), [(12, [1, 1, 0])]);
    }
}
