//! A step length that meets the strong Wolfe conditions (Nocedal and Wright,
//! "Numerical Optimization", 2006, algorithms 3.5 and 3.6), as PyTorch has it.

use super::Found;
use crate::LearnerError;

/// Share of the slope that the loss must fall by.
const ARMIJO: f64 = 1e-4;
/// Share of the slope that may be left.
const CURVATURE: f64 = 0.9;

/// A place along the direction.
#[derive(Clone, Copy)]
struct At {
    t: f64,
    loss: f64,
    slope: f64,
}

/// What a line search found.
pub struct Line {
    /// The step length.
    pub t: f64,
    /// How often the loss was computed.
    pub evaluations: u64,
    /// Where it was computed last.
    pub last: f64,
}

/// The minimum of the cubic through two places, within bounds.
fn cubic(a: At, b: At, bounds: Option<(f64, f64)>) -> f64 {
    let (low, high) = bounds.unwrap_or((a.t.min(b.t), a.t.max(b.t)));
    let first = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = first * first - a.slope * b.slope;
    if square >= 0.0 {
        let root = square.sqrt();
        let (near, far) = if a.t <= b.t { (a, b) } else { (b, a) };
        let share = (far.slope + root - first) / (far.slope - near.slope + 2.0 * root);
        let at = far.t - (far.t - near.t) * share;
        return if at.is_nan() { low } else { at.max(low).min(high) };
    }
    (low + high) / 2.0
}

/// Searches from a first step `t`, given what was found at 0 and the largest
/// element of the direction.
pub fn strong_wolfe(
    mut evaluate: impl FnMut(f64) -> Result<Found, LearnerError>,
    first: f64,
    start: Found,
    largest: f64,
    tolerance: f64,
    most: u64,
) -> Result<Line, LearnerError> {
    let origin = At { t: 0.0, loss: start.loss, slope: start.slope };
    let mut evaluations = 0;
    let mut last = 0.0;
    let mut at = |t: f64| -> Result<At, LearnerError> {
        let Found { loss, slope, .. } = evaluate(t)?;
        evaluations += 1;
        last = t;
        Ok(At { t, loss, slope })
    };
    let armijo = |at: At| at.loss > origin.loss + ARMIJO * at.t * origin.slope;
    let flat = |at: At| at.slope.abs() <= -CURVATURE * origin.slope;

    let mut new = at(first)?;
    let mut before = origin;
    let mut iterations = 0;
    let mut bracket = None;
    let mut done = false;
    while iterations < most {
        if armijo(new) || (iterations > 1 && new.loss >= before.loss) {
            bracket = Some([before, new]);
            break;
        }
        if flat(new) {
            (bracket, done) = (Some([new, new]), true);
            break;
        }
        if new.slope >= 0.0 {
            bracket = Some([before, new]);
            break;
        }
        let bounds = (new.t + 0.01 * (new.t - before.t), new.t * 10.0);
        let next = cubic(before, new, Some(bounds));
        before = new;
        new = at(next)?;
        iterations += 1;
    }
    let mut bracket = bracket.unwrap_or([origin, new]);
    let mut insufficient = false;
    let mut low = usize::from(bracket[0].loss > bracket[1].loss);
    while !done && iterations < most {
        let [a, b] = bracket;
        if (b.t - a.t).abs() * largest < tolerance {
            break;
        }
        let (least, greatest) = (a.t.min(b.t), a.t.max(b.t));
        let mut t = cubic(a, b, None);
        // Too near to an end, and the second time or at it: a tenth away from it.
        let margin = 0.1 * (greatest - least);
        if (greatest - t).min(t - least) < margin {
            if insufficient || t >= greatest || t <= least {
                let upper = (t - greatest).abs() < (t - least).abs();
                t = if upper { greatest - margin } else { least + margin };
                insufficient = false;
            } else {
                insufficient = true;
            }
        } else {
            insufficient = false;
        }
        new = at(t)?;
        iterations += 1;
        let high = 1 - low;
        if armijo(new) || new.loss >= bracket[low].loss {
            bracket[high] = new;
            low = usize::from(bracket[0].loss > bracket[1].loss);
        } else {
            if flat(new) {
                done = true;
            } else if new.slope * (bracket[high].t - bracket[low].t) >= 0.0 {
                bracket[high] = bracket[low];
            }
            bracket[low] = new;
        }
    }
    Ok(Line { t: bracket[low].t, evaluations, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conditions_hold_on_a_quartic() {
        let value = |t: f64| (t - 3.0).powi(4) - 20.0 * t;
        let slope = |t: f64| 4.0 * (t - 3.0).powi(3) - 20.0;
        let found = |t| Found { loss: value(t), slope: slope(t), largest: 1.0, total: 1.0 };
        for first in [1e-3, 0.1, 1.0, 5.0, 40.0] {
            let evaluate = |t| Ok(found(t));
            let line = strong_wolfe(evaluate, first, found(0.0), 1.0, 1e-9, 25).unwrap();
            assert!(value(line.t) <= value(0.0) + ARMIJO * line.t * slope(0.0), "{first}");
            assert!(slope(line.t).abs() <= -CURVATURE * slope(0.0), "{first}");
        }
    }
}
