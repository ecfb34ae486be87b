//! Mixed precision: products read 16 bits, everything else is computed in 32.
//!
//! Weights and all that optimizers keep stay in the graph's type. Where the model
//! multiplies (linear layers, convolutions), operands are rounded to 16 bits once,
//! kept so for the backward pass, and multiplied with sums in 32 bits; cotangents
//! are rounded where the gradients of such products read them (Micikevicius et al.,
//! "Mixed Precision Training", 2018). Predictions are made in the graph's type.
//!
//! f16 holds nothing below 6·10⁻⁸, where many cotangents lie. So the loss is
//! multiplied by a scale, and the gradients are divided by it: fixed, or one that
//! doubles after some steps without an overflow and is halved by one. The step of an
//! overflow changes nothing but the scale and the counts of steps. bf16 has the range
//! of f32, and needs none of this.

use speck_engine::{DType, Graph, GraphError, Initial, NodeId};
use speck_models::settings::{DefaultValue, Kind, Part};
use speck_models::{Dimension, SettingError, Settings};

const SCALE: Dimension = Dimension::float(
    "loss_scale",
    "what the loss is multiplied by while gradients are taken, best a power of two; dynamic: at the start",
    (1.0, LARGEST),
    65_536.0,
);

/// The dimensions of the gradient learner that are read here.
pub(super) const PRECISION: [Dimension; 2] = [
    Dimension::choice(
        "storage",
        "what the operands of products are stored in, in the model and its gradient; the sums, weights and everything else are of the type that training runs in",
        &["f32", "bf16", "f16"],
        "f32",
    ),
    Dimension {
        name: "loss_scaling",
        doc: "whether the loss is multiplied while gradients are taken, so that small ones are not lost in f16: by one number, or by one that follows the overflows, whose steps are left out",
        kind: Kind::Entry(&[
            Part { name: "none", dimensions: &[] },
            Part { name: "static", dimensions: &[SCALE] },
            Part {
                name: "dynamic",
                dimensions: &[
                    SCALE,
                    Dimension::int(
                        "loss_scale_steps",
                        "steps without an overflow after which the scale doubles",
                        (1, 1_000_000_000),
                        2000,
                    ),
                ],
            },
        ]),
        default: DefaultValue::Text("none"),
    },
];

/// The largest scale: larger ones gain nothing, and the scaled loss is to stay a
/// number.
const LARGEST: f64 = 16_777_216.0;

/// The slots of a dynamic scale, and of the steps since it changed.
const SLOTS: [&str; 2] = ["loss_scale", "loss_scale_steps"];

/// How products are stored, and how the loss is scaled.
#[derive(Clone, Copy)]
pub(super) struct Precision {
    storage: Option<DType>,
    scaling: Scaling,
}

#[derive(Clone, Copy)]
enum Scaling {
    None,
    Static(f64),
    Dynamic { start: f64, steps: f64 },
}

/// The nodes of a scale.
pub(super) struct Scale {
    scale: NodeId,
    inverse: NodeId,
    /// The steps since it changed, and after how many it doubles.
    steps: Option<(NodeId, f64)>,
}

impl Precision {
    pub fn new(settings: &Settings) -> Self {
        let storage = match settings.text("storage") {
            "f16" => Some(DType::F16),
            "bf16" => Some(DType::Bf16),
            _ => None,
        };
        let scaling = match settings.text("loss_scaling") {
            "static" => Scaling::Static(settings.float("loss_scale")),
            "dynamic" => Scaling::Dynamic {
                start: settings.float("loss_scale"),
                steps: settings.usize("loss_scale_steps") as f64,
            },
            _ => Scaling::None,
        };
        Precision { storage, scaling }
    }

    /// Whether gradients are those of the loss itself.
    pub fn is_plain(&self) -> bool {
        matches!(self.scaling, Scaling::None)
    }

    /// Optimizers that search take the loss as it is.
    pub fn check(&self, searches: bool) -> Result<(), SettingError> {
        match searches && !self.is_plain() {
            true => Err(SettingError::new(
                "loss_scaling",
                "the optimizer searches for the loss's minimum by itself: it takes the loss as it is",
            )),
            false => Ok(()),
        }
    }

    /// Builds a model whose products are stored so.
    pub fn build<R>(&self, graph: &Graph, body: impl FnOnce() -> R) -> R {
        graph.products_in(self.storage, |_| body())
    }

    /// The scale of this step, if there is one.
    pub fn scale(&self, graph: &Graph) -> Result<Option<Scale>, GraphError> {
        let (scale, steps) = match self.scaling {
            Scaling::None => return Ok(None),
            Scaling::Static(scale) => (graph.scalar(scale)?, None),
            Scaling::Dynamic { start, steps } => {
                let scale = graph.state(SLOTS[0], &[], Initial::Constant(start))?;
                let since = graph.state(SLOTS[1], &[], Initial::Constant(0.0))?;
                (scale, Some((since, steps)))
            }
        };
        Ok(Some(Scale { scale, inverse: graph.reciprocal(scale)?, steps }))
    }
}

impl Scale {
    /// The loss that gradients are taken of.
    pub fn up(&self, graph: &Graph, loss: NodeId) -> Result<NodeId, GraphError> {
        graph.mul(loss, self.scale)
    }

    /// The gradients of the loss itself.
    pub fn down(&self, graph: &Graph, gradients: &mut [NodeId]) -> Result<(), GraphError> {
        for gradient in gradients {
            *gradient = graph.mul(*gradient, self.inverse)?;
        }
        Ok(())
    }

    /// Where the scale is dynamic: lets a step with a gradient that is no number, or
    /// none that 32 bits hold, change no weight and nothing that is kept about
    /// weights, and moves the scale. To be called when all updates are there.
    pub fn guard(&self, graph: &Graph, gradients: &[NodeId]) -> Result<(), GraphError> {
        let Some((since, wanted)) = self.steps else { return Ok(()) };
        // 0 · x is 0 but where x is infinite or no number.
        let mut sum = graph.scalar(0.0)?;
        for gradient in gradients {
            sum = graph.add(sum, graph.sum_all(graph.scale(*gradient, 0.0)?)?)?;
        }
        let zero = graph.scalar(0.0)?;
        let finite = graph.equal(sum, zero)?;
        graph.update_only_if(finite)?;

        let count = graph.offset(since, 1.0)?;
        let wanted = graph.scalar(wanted)?;
        let doubles = graph.greater_equal(count, wanted)?;
        let double = graph.minimum(graph.scale(self.scale, 2.0)?, graph.scalar(LARGEST)?)?;
        let half = graph.maximum(graph.scale(self.scale, 0.5)?, graph.scalar(1.0)?)?;
        let kept = graph.select(doubles, double, self.scale)?;
        graph.update(self.scale, graph.select(finite, kept, half)?)?;
        let count = graph.select(doubles, zero, count)?;
        graph.update(since, graph.select(finite, count, zero)?)
    }
}
