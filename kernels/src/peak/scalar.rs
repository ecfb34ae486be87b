//! One lane.

use super::starts;

/// `rounds` times x = x/2 + 1 on every chain. The factor keeps values finite
/// for ever; the sum keeps the compiler from dropping the work.
///
/// # Safety
/// None: the signature is that of the table.
pub unsafe fn multiply_add(rounds: usize) -> f32 {
    let mut chains = starts();
    for _ in 0..rounds {
        for x in &mut chains {
            *x = *x * 0.5 + 1.0;
        }
    }
    chains.iter().sum()
}
