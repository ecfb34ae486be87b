//! How far weights held by rows are from those of the dense program.
//!
//! A small network learns at places that are visited again after up to hundreds of
//! steps, while the rate falls, and now and then on a coloured background, under
//! which every weight has a gradient. The reference is the dense program in f64.
//! Held by rows, exact, weights and moments differ from it by rounding: in f64 next
//! to nothing, in f32 as much as the dense program in f32 does. Masked they are
//! those of another optimizer.

use crate::{BatchShape, Batches, Learner, LearnerError, Setup, SpeckBatch, gradient};
use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure};
use speck_models::SettingError;
use speck_models::settings::{Value, resolve};

/// What an optimizer has come to.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The optimizer.
    pub optimizer: &'static str,
    /// What becomes of rows without a gradient; `program` for the dense program.
    pub rows: &'static str,
    /// Difference in f64 of weights and moments, relative to their size: of the
    /// slot of the state that differs most.
    pub double: f64,
    /// The same of the program in f32.
    pub single: f64,
}

/// What becomes of rows without a gradient.
pub const ROWS: [&str; 3] = ["dense", "exact", "masked"];

/// The optimizers that make up for steps of rows without a gradient.
pub const OPTIMIZERS: &[&str] = &["sgd", "momentum", "adam", "adamw", "rmsprop", "lion"];

/// What an optimizer is measured with unless others say otherwise.
fn own_settings(optimizer: &str) -> Vec<(&'static str, Value)> {
    let decay = ("weight_decay", Value::Float(0.01));
    match optimizer {
        "adamw" => vec![decay],
        // With a shorter memory signs of means near zero, which differ by rounding,
        // would be seen in f32.
        "lion" => vec![decay, ("beta2", Value::Float(0.999))],
        _ => Vec::new(),
    }
}

/// The specks that are learned.
pub(crate) struct Specks {
    /// Whether some backgrounds are coloured.
    pub coloured: bool,
}

const SHAPE: BatchShape =
    BatchShape { samples: 3, specks: 2, backgrounds: 1, size: 2, falloff: 0.0 };
/// Steps of a report: more than the history of rates has.
pub const STEPS: u64 = 600;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        if self.coloured && step % 97 == 41 {
            batch.background.copy_from_slice(&[0.1, 0.0, 0.4]);
        }
        for speck in 0..6 {
            let draw = (step * 6 + speck).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            // Half of the draws fall on 8 places, few on the last ones.
            let place = (draw % (1 << (1 + draw / 64 % 9))) * 397 % 4096;
            batch.positions[speck as usize * 2] = (place / 64) as i32;
            batch.positions[speck as usize * 2 + 1] = (place % 64) as i32;
        }
    }
}

pub(crate) fn learner(
    given: &[(&str, Value)],
    float: DType,
    mode: structure::Mode,
) -> Result<Box<dyn Learner>, LearnerError> {
    let own = |pairs: &[(&str, Value)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
    };
    let missing = || SettingError::new("model", "there is no mlp");
    let model = speck_models::find("mlp").ok_or_else(missing)?;
    let hidden = [("hidden", Value::List(vec![Value::Int(6)]))];
    let model = (model.make)(&resolve(model.dimensions, &own(&hidden))?)?;
    let mut all = own(given);
    all.extend(own(&[
        ("rate", Value::Float(0.01)),
        ("steps", Value::Int(STEPS as i64)),
        ("schedule", Value::Text("cosine".to_owned())),
    ]));
    let settings = resolve(gradient::ENTRY.dimensions, &all)?;
    let kernels = Choice::default();
    let setup = Setup { model: model.into(), shape: SHAPE, seed: 7, kernels, float, mode };
    (gradient::ENTRY.make)(&settings, setup)
}

/// The root of the mean squared difference over that of the values, of the
/// model's weights and what the optimizer keeps; infinite where a value is not
/// finite or the slots are not the same.
pub(crate) fn difference(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    let mut worst: f64 = if a.len() == b.len() { 0.0 } else { f64::INFINITY };
    for ((name, a), (other, b)) in a.iter().zip(b) {
        let (a, b) = (a.to_f64(), b.to_f64());
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let differences = square(&mut a.iter().zip(&b).map(|(a, b)| a - b));
        let size = square(&mut a.iter().copied()).max(f64::MIN_POSITIVE);
        let finite = a.iter().chain(&b).all(|value| value.is_finite());
        let same = name == other && a.len() == b.len() && finite;
        worst = worst.max(if same { (differences / size).sqrt() } else { f64::INFINITY });
    }
    worst
}

fn trained(
    given: &[(&str, Value)],
    float: DType,
    mode: structure::Mode,
    steps: u64,
) -> Result<Vec<(String, Tensor)>, LearnerError> {
    let mut learner = learner(given, float, mode)?;
    learner.learn(&Specks { coloured: true }, steps)?;
    let state = learner.state()?;
    Ok(state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
}

/// The drift of an optimizer after so many steps: of the dense program in f32,
/// then of each of [`ROWS`]. `given` are further settings of the gradient learner.
///
/// # Errors
/// Settings that do not fit.
pub fn measure(
    optimizer: &'static str,
    given: &[(&str, Value)],
    steps: u64,
) -> Result<Vec<Drift>, LearnerError> {
    use structure::Mode::{Dense, Structured};
    let with = |rows: &str| {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut all = own_settings(optimizer);
        all.retain(|(name, _)| !given.iter().any(|(other, _)| name == other));
        all.extend([("optimizer", text(optimizer)), ("rows", text(rows))]);
        all.extend_from_slice(given);
        all
    };
    let reference = trained(&with("exact"), DType::F64, Dense, steps)?;
    let single = difference(&reference, &trained(&with("exact"), DType::F32, Dense, steps)?);
    let mut all = vec![Drift { optimizer, rows: "program", double: 0.0, single }];
    for rows in ROWS {
        let [double, single] = [DType::F64, DType::F32].map(|float| {
            trained(&with(rows), float, Structured, steps)
                .map(|state| difference(&reference, &state))
        });
        all.push(Drift { optimizer, rows, double: double?, single: single? });
    }
    Ok(all)
}
