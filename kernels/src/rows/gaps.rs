//! The steps that a row missed, made in one: see `rule` for what they are.
//!
//! Adam's sum has one square root an element, but a quotient a step, since εⱼ
//! differs from step to step. Around the mean e = Σ Aⱼ εⱼ / B, B = Σ Aⱼ, and with
//! u = 1 / (q + e) and xⱼ = (εⱼ − e) u,
//!
//!   Σ Aⱼ / (q + εⱼ) = u Σ Aⱼ / (1 + xⱼ) = B u (1 + μ₂ u² − μ₃ u³ + R),
//!
//! where μᵢ = Σ Aⱼ (εⱼ − e)ⁱ / B; the first-order term vanishes by the choice of
//! e. 1/(1+x) = 1 − x + x² − x³ + x⁴/(1+x) and 1 + xⱼ = (q + εⱼ)/(q + e) ≥
//! min εⱼ / e =: 1/c (it is at least 1 where εⱼ ≥ e), so 0 ≤ R ≤ c μ₄ u⁴. Elements
//! for which that is above [`ALLOWED`] are stepped one by one: those whose √v is
//! as small as ε itself, in the first few hundred steps, while c₂ changes fast.
//! All sums over j follow from those of l+1 by one multiplication and one
//! addition, in f64; a row costs a root, a quotient and a dozen products.

use super::rule::{Rule, correction};
use super::{HISTORY, Missed};

/// The error of Adam's sum that passes, relative: half a unit of rounding of f32.
const ALLOWED: f64 = 3e-8;

/// The missed steps of a row in one, as far as they depend on the row's last
/// step alone: see above.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    /// The product of all that decay leaves.
    pub keep: f32,
    /// What the second part fades to.
    pub second: f32,
    /// What the third part fades to.
    pub third: f32,
    /// Momentum: what v is multiplied by and taken from w. Lion: Σ Dⱼ rⱼ. Adam: B.
    pub scale: f32,
    /// Adam: e. Momentum: what of w is added to v.
    pub centre: f32,
    /// Adam: μ₂ / e² and μ₃ / e³.
    pub moments: [f32; 2],
    /// Adam: c μ₄ / (e⁴ · allowed); above 1 / (u e)⁴ steps are made one by one.
    pub bound: f32,
}

/// The gaps for each number of missed steps, from 1.
pub(super) struct Gaps {
    gaps: [Gap; HISTORY],
}

impl Gaps {
    /// Those of rows up to `most` steps behind.
    pub fn new(rule: &Rule, missed: &Missed<f32>, most: u64) -> Self {
        let mut gaps = [Gap::default(); HISTORY];
        let (mut keep, mut second, mut third) = (1.0, 1.0, 1.0);
        // Σ, or the raw moments Σ Aⱼ εⱼⁱ relative to the row's last step.
        let mut sums = [0.0f64; 5];
        let mut least = f64::INFINITY;
        for behind in 1..=most.min(HISTORY as u64).min(missed.step) {
            // The step that such a row has missed and those before have not.
            let step = missed.step + 1 - behind;
            let rate = missed.rate(step);
            let mut gap = Gap::default();
            match *rule {
                Rule::Sgd { .. } => {}
                Rule::Momentum { momentum, decay } => {
                    // [keep, −sums[0]; sums[1], second] times this step's matrix, to
                    // its right: it is the first of them.
                    let [below, lower] = [sums[0], sums[1]];
                    sums[0] = momentum * (keep * rate + below);
                    sums[1] = lower * (1.0 - rate * decay) + second * decay;
                    keep = keep * (1.0 - rate * decay) - below * decay;
                    second = momentum * (second - lower * rate);
                    (gap.scale, gap.centre) = (sums[0] as f32, sums[1] as f32);
                }
                Rule::Rmsprop { alpha, .. } => second *= alpha,
                Rule::Lion { beta1, beta2, .. } => {
                    // A momentum of zero has no sign: with β₂ = 0 the row's first
                    // missed step alone moves it, with β₁ = 0 none does.
                    let later = if beta2 > 0.0 { sums[0] } else { 0.0 };
                    sums[0] = if beta1 > 0.0 { keep * rate + later } else { 0.0 };
                    second *= beta2;
                    gap.scale = sums[0] as f32;
                }
                Rule::Adam { beta1, beta2, epsilon, .. } => {
                    let root = correction(beta2, step).sqrt();
                    let share = keep * rate / correction(beta1, step) * root;
                    let own = epsilon * root;
                    let (fade, grow) = (beta1 / beta2.sqrt(), beta2.sqrt().recip());
                    let (mut power, mut growth) = (1.0, fade);
                    for sum in &mut sums {
                        *sum = (*sum + share * power) * growth;
                        power *= own;
                        growth *= grow;
                    }
                    least = (least * grow).min(own * grow);
                    second *= beta1;
                    third *= beta2;
                    gap = adam(&sums, least);
                }
            }
            keep *= rule.keep(rate);
            gaps[behind as usize - 1] =
                Gap { keep: keep as f32, second: second as f32, third: third as f32, ..gap };
        }
        Gaps { gaps }
    }

    pub fn of(&self, behind: u64) -> &Gap {
        &self.gaps[(behind as usize).clamp(1, HISTORY) - 1]
    }
}

/// B, e and the central moments out of the raw ones.
fn adam(sums: &[f64; 5], least: f64) -> Gap {
    let total = sums[0];
    // Without a mean (no second beta, no epsilon) step by step.
    let one_by_one = Gap { centre: 1.0, bound: f32::INFINITY, ..Gap::default() };
    if !(total.abs() > 0.0 && sums[1] / total > 0.0 && sums[4].is_finite()) {
        return one_by_one;
    }
    let [_, e, second, third, fourth] = sums.map(|sum| sum / total);
    // Relative to the mean.
    let [r2, r3, r4] = [second / (e * e), third / (e * e * e), fourth / (e * e * e * e)];
    let mu2 = (r2 - 1.0).max(0.0);
    let mu3 = r3 - 3.0 * r2 + 2.0;
    let mu4 = (r4 - 4.0 * r3 + 6.0 * r2 - 3.0).max(0.0);
    Gap {
        scale: total as f32,
        centre: e as f32,
        moments: [mu2 as f32, mu3 as f32],
        bound: (mu4 * (e / least) / ALLOWED) as f32,
        ..Gap::default()
    }
}
