//! Eigenvalues on a GPU.

use crate::gpu::{Call, Calls, Operand, size, spread, symmetric_eigen, unless_empty};

/// More sweeps than any matrix needs.
const SWEEPS: usize = 20;
/// Rounds of the inner loops in one dispatch, about.
const ROUNDS: usize = 30_000;

/// See [`SYMMETRIC`](super::SYMMETRIC), of `count` matrices `[n, n]`; in f32.
///
/// # Errors
/// Too many elements.
pub fn symmetric_calls(count: usize, n: usize) -> Result<Calls, String> {
    let numbers = 2 * count * n * n + count;
    // The shader counts these.
    size(numbers)?;
    if count * n == 0 {
        return unless_empty(0, || Err(String::new()));
    }
    // A pair takes a round of its own, and one for every 64 elements of a row and the end
    // of these.
    let pair = 2 + n.div_ceil(64);
    let call = |pass: u32, sweeps: [usize; 2], rows: [usize; 2]| -> Result<Call, String> {
        let params = symmetric_eigen::Params {
            count: size(count)?,
            n: size(n)?,
            first_sweep: size(sweeps[0])?,
            last_sweep: size(sweeps[1])?,
            first_row: size(rows[0])?,
            last_row: size(rows[1])?,
        };
        let operands = [Operand::Input(0), Operand::Scratch(0), Operand::Output];
        let call = Call::new(&symmetric_eigen::SHADER, &params, &operands, spread(count)?);
        let rounds = match pass {
            symmetric_eigen::BEGIN => (n * n).div_ceil(64) + 1,
            symmetric_eigen::END => n.div_ceil(64) * (3 * n + 4) + 1,
            _ => {
                let all: usize = (rows[0]..rows[1]).map(|p| (n - 1 - p) * pair + 2).sum();
                (sweeps[1] - sweeps[0]) * (all + 2)
            }
        };
        Ok(call.looping(rounds).with(&[(symmetric_eigen::PASS, f64::from(pass))]))
    };
    let mut calls = vec![call(symmetric_eigen::BEGIN, [0, 0], [0, 0])?];
    let rounds =
        |rows: [usize; 2]| -> usize { (rows[0]..rows[1]).map(|p| (n - 1 - p) * pair).sum() };
    let together = (ROUNDS / rounds([0, n]).max(1)).min(SWEEPS);
    for sweep in (0..SWEEPS).step_by(together.max(1)) {
        let sweeps = [sweep, (sweep + together.max(1)).min(SWEEPS)];
        let mut first = 0;
        while first < n {
            // At least one row, and as many more as fit.
            let fits = |last: &usize| rounds([first, *last]) <= ROUNDS || together > 0;
            let last = (first + 1..=n).take_while(fits).last().unwrap_or(first + 1);
            calls.push(call(symmetric_eigen::TURN, sweeps, [first, last])?);
            first = last;
        }
    }
    calls.push(call(symmetric_eigen::END, [0, 0], [0, 0])?);
    Ok(Calls { calls, scratch: vec![size_of::<f32>() * numbers], ..Calls::default() })
}
