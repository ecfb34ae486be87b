//! What an optimizer does to a row, in a step and in the steps it missed.
//!
//! # Steps without a gradient
//! A row that no window touches has a gradient of zero, but most optimizers move
//! it all the same: what it has gathered fades, and goes on being applied. Those
//! steps can be made later, when the row is next read, because nothing else
//! happens to it meanwhile. With l the last step made, n the one to arrive at,
//! j = l+1 … n and k = j − l:
//!
//! * **SGD**: nothing. **Momentum** v: v_j = μᵏ v, so w −= v · Σ rⱼ μᵏ, rⱼ the rate.
//! * **RMSprop**: v_j = αᵏ v, and w stays.
//! * **Lion**: m_j = β₂ᵏ m keeps its sign, so w −= sign(m) Σ Dⱼ rⱼ.
//! * **Adam**: m_j = β₁ᵏ m and v_j = β₂ᵏ v, so with q = √v, cᵢⱼ = 1 − βᵢʲ,
//!   sⱼ = √(β₂ᵏ / c₂ⱼ): w −= m Σ Dⱼ (rⱼ / c₁ⱼ) β₁ᵏ / (q sⱼ + ε) = m Σ Aⱼ / (q + εⱼ)
//!   with Aⱼ = Dⱼ (rⱼ / c₁ⱼ) β₁ᵏ / sⱼ and εⱼ = ε / sⱼ.
//!
//! Decoupled weight decay λ multiplies w by 1 − rⱼ λ each step; Dⱼ is the product
//! of the factors behind step j, and w itself gets all of them.
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
//!
//! Coupled weight decay adds λw to the gradient. In SGD that is the decoupled one,
//! and with momentum a missed step is still linear in the row, v ← μ v + λ w and
//! w ← w − rⱼ v, so that all of them are one matrix for every element:
//!
//!   (w, v) ← Π Mⱼ (w, v),  Mⱼ = [1 − rⱼ λ, −rⱼ μ; λ, μ].
//!
//! In Adam and RMSprop λw enters a square under a root that later steps divide
//! by: no finite number of sums holds for all elements, and there is no rule.

use super::{HISTORY, Missed};
use crate::Real;

/// The error of Adam's sum that passes, relative: half a unit of rounding of f32.
const ALLOWED: f64 = 3e-8;

/// An optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// w ← (1 − r λ) w − r g, which is also w −= r (g + λ w). Parts: w.
    Sgd {
        /// λ.
        decay: f64,
    },
    /// v ← μ v + g + λ w, w −= r v. Parts: w, v.
    Momentum {
        /// μ.
        momentum: f64,
        /// λ.
        decay: f64,
    },
    /// v ← α v + (1−α) g², w −= r g / (√v + ε). Parts: w, v.
    Rmsprop {
        /// α.
        alpha: f64,
        /// ε.
        epsilon: f64,
    },
    /// u = sign(β₁ m + (1−β₁) g), w ← (1 − r λ) w − r u, m ← β₂ m + (1−β₂) g.
    /// Parts: w, m.
    Lion {
        /// β₁.
        beta1: f64,
        /// β₂.
        beta2: f64,
        /// λ.
        decay: f64,
    },
    /// m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g², w ← (1 − r λ) w, then
    /// w −= r m̂ / (√v̂ + ε). Parts: w, m, v.
    Adam {
        /// β₁.
        beta1: f64,
        /// β₂.
        beta2: f64,
        /// ε.
        epsilon: f64,
        /// λ, 0 for Adam without decay.
        decay: f64,
    },
}

impl Rule {
    /// Parts of a row: the weight and what is kept about it.
    pub fn parts(&self) -> usize {
        match self {
            Rule::Sgd { .. } => 1,
            Rule::Momentum { .. } | Rule::Rmsprop { .. } | Rule::Lion { .. } => 2,
            Rule::Adam { .. } => 3,
        }
    }

    /// What the decay leaves of a weight in a step.
    fn keep(&self, rate: f64) -> f64 {
        match self {
            Rule::Sgd { decay } | Rule::Lion { decay, .. } | Rule::Adam { decay, .. } => {
                1.0 - rate * decay
            }
            _ => 1.0,
        }
    }

    /// The numbers of a step.
    pub(super) fn numbers(&self, rate: f64, step: u64) -> Numbers {
        let keep = self.keep(rate);
        match *self {
            Rule::Adam { beta1, beta2, .. } => {
                let [first, second] = [beta1, beta2].map(|beta| correction(beta, step));
                Numbers { rate: rate / first, inverse_root: second.sqrt().recip(), keep }
            }
            _ => Numbers { rate, inverse_root: 1.0, keep },
        }
    }
}

/// 1 − βᵗ without cancellation.
fn correction(beta: f64, step: u64) -> f64 {
    if beta == 0.0 { 1.0 } else { -(step as f64 * beta.ln()).exp_m1() }
}

/// What a step multiplies by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The rate; Adam's over 1 − β₁ᵗ.
    pub rate: f64,
    /// 1 / √(1 − β₂ᵗ) for Adam.
    pub inverse_root: f64,
    /// What decay leaves of a weight.
    pub keep: f64,
}

/// One step on one element of a row, `g` its gradient: (w, second part, third
/// part) before and after. The order of operations is that of the optimizers
/// written as element-wise ops.
pub(super) fn step<T: Real>(rule: &Rule, numbers: &Numbers, [w, a, b]: [T; 3], g: T) -> [T; 3] {
    let of = |value: f64| T::of(value);
    let (rate, keep) = (of(numbers.rate), of(numbers.keep));
    match *rule {
        Rule::Sgd { .. } => [w * keep - g * rate, a, b],
        Rule::Momentum { momentum, decay } => {
            let g = if decay == 0.0 { g } else { g + w * of(decay) };
            let v = a * of(momentum) + g;
            [w - v * rate, v, b]
        }
        Rule::Rmsprop { alpha, epsilon } => {
            let v = a * of(alpha) + g * g * of(1.0 - alpha);
            [w - g / (v.sqrt() + of(epsilon)) * rate, v, b]
        }
        Rule::Lion { beta1, beta2, .. } => {
            let mixed = a * of(beta1) + g * of(1.0 - beta1);
            let sign = if mixed > T::zero() {
                T::one()
            } else if mixed < T::zero() {
                -T::one()
            } else {
                mixed
            };
            [w * keep - sign * rate, a * of(beta2) + g * of(1.0 - beta2), b]
        }
        Rule::Adam { beta1, beta2, epsilon, .. } => {
            let m = a * of(beta1) + g * of(1.0 - beta1);
            let v = b * of(beta2) + g * g * of(1.0 - beta2);
            let below = v.sqrt() * of(numbers.inverse_root) + of(epsilon);
            [w * keep - m / below * rate, m, v]
        }
    }
}

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
                Rule::Lion { beta2, .. } => {
                    sums[0] += keep * rate;
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
