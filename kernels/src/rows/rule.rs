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
//! * **Lion**: m_j = β₂ᵏ m keeps its sign, so w −= sign(m) Σ Dⱼ rⱼ. Where β₂ = 0
//!   the sum is its first member, where β₁ = 0 it is 0.
//! * **Adam**: m_j = β₁ᵏ m and v_j = β₂ᵏ v, so with q = √v, cᵢⱼ = 1 − βᵢʲ,
//!   sⱼ = √(β₂ᵏ / c₂ⱼ): w −= m Σ Dⱼ (rⱼ / c₁ⱼ) β₁ᵏ / (q sⱼ + ε) = m Σ Aⱼ / (q + εⱼ)
//!   with Aⱼ = Dⱼ (rⱼ / c₁ⱼ) β₁ᵏ / sⱼ and εⱼ = ε / sⱼ.
//!
//! Decoupled weight decay λ multiplies w by 1 − rⱼ λ each step; Dⱼ is the product
//! of the factors behind step j, and w itself gets all of them.
//!
//! How they are made in one is `gaps`'s.
//!
//! Coupled weight decay adds λw to the gradient. In SGD that is the decoupled one,
//! and with momentum a missed step is still linear in the row, v ← μ v + λ w and
//! w ← w − rⱼ v, so that all of them are one matrix for every element:
//!
//!   (w, v) ← Π Mⱼ (w, v),  Mⱼ = [1 − rⱼ λ, −rⱼ μ; λ, μ].
//!
//! In Adam and RMSprop λw enters a square under a root that later steps divide
//! by: no finite number of sums holds for all elements, and there is no rule.

use crate::Real;

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
    pub(super) fn keep(&self, rate: f64) -> f64 {
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
pub(super) fn correction(beta: f64, step: u64) -> f64 {
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
