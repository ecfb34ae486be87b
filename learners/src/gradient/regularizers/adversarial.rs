//! Screens that were changed to be hard.

use super::{Built, Learned, Regularizer, RegularizerEntry, Scene};
use speck_engine::{GraphError, NodeId};
use speck_models::settings::{DefaultValue, Kind, Part};
use speck_models::{Dimension, Settings};

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "adversarial",
    summary: "loss ← (1 - a) loss(x) + a loss(x'): fgsm x' = x + ε sign ∂loss/∂x; pgd x' ← x' + step sign ∂loss/∂x' again and again, cut to within ε of x, from x or a random place there; x' is cut to 0..1 and is no function of the weights. Every pixel differs then: a structured program computes that part in full",
    source: "fgsm: Goodfellow, Shlens and Szegedy, \"Explaining and Harnessing Adversarial Examples\", 2015, section 6; pgd: Madry, Makelov, Schmidt, Tsipras and Vladu, \"Towards Deep Learning Models Resistant to Adversarial Attacks\", 2018",
    dimensions: &[Dimension {
        name: "adversarial",
        doc: "how screens are changed against the model",
        kind: Kind::Entry(&[
            Part { name: "none", dimensions: &[] },
            Part { name: "fgsm", dimensions: &[EPSILON, weight(0.5)] },
            Part {
                name: "pgd",
                dimensions: &[
                    EPSILON,
                    weight(1.0),
                    Dimension::int("adversarial_iterations", "steps uphill", (1, 100), 5),
                    Dimension::float(
                        "adversarial_step",
                        "how far a value of a pixel moves in a step; 0 for 2.5 ε over the steps",
                        (0.0, 1.0),
                        0.0,
                    ),
                    Dimension::bool(
                        "adversarial_start",
                        "whether the first place is drawn, uniform within ε of x",
                        true,
                    ),
                ],
            },
        ]),
        default: DefaultValue::Text("none"),
    }],
    make: |settings| {
        Ok(match settings.text("adversarial") {
            "fgsm" => Some(Box::new(Adversarial {
                iterations: 1,
                step: settings.float("adversarial_epsilon"),
                start: false,
                ..Adversarial::new(settings)
            })),
            "pgd" => Some(Box::new(Adversarial::iterated(settings))),
            _ => None,
        })
    },
};

const EPSILON: Dimension = Dimension::float(
    "adversarial_epsilon",
    "how far a value of a pixel may move: ε",
    (1e-6, 1.0),
    0.05,
);

const fn weight(default: f64) -> Dimension {
    let doc = "share of the changed screens' loss: a";
    Dimension::float("adversarial_weight", doc, (0.0, 1.0), default)
}

struct Adversarial {
    epsilon: f64,
    weight: f64,
    iterations: usize,
    step: f64,
    start: bool,
}

impl Adversarial {
    fn new(settings: &Settings) -> Self {
        let epsilon = settings.float("adversarial_epsilon");
        let weight = settings.float("adversarial_weight");
        Adversarial { epsilon, weight, iterations: 1, step: epsilon, start: false }
    }

    fn iterated(settings: &Settings) -> Self {
        let plain = Adversarial::new(settings);
        let iterations = settings.usize("adversarial_iterations");
        let step = match settings.float("adversarial_step") {
            0.0 => 2.5 * plain.epsilon / iterations as f64,
            step => step,
        };
        Adversarial { iterations, step, start: settings.bool("adversarial_start"), ..plain }
    }

    /// Screens near `x` at which the value is large.
    fn changed(&self, scene: &Scene<'_>, x: NodeId, value: NodeId) -> Result<NodeId, GraphError> {
        let graph = scene.graph;
        let (mut there, mut seen) = (x, value);
        if self.start {
            let away = graph.offset(scene.uniform(&graph.shape(x))?, -0.5)?;
            there = graph.clip(graph.add_scaled(x, away, 2.0 * self.epsilon)?, 0.0, 1.0)?;
            there = graph.detach(there)?;
            seen = graph.replay(value, &[(x, there)])?;
        }
        let low = graph.offset(x, -self.epsilon)?;
        let high = graph.offset(x, self.epsilon)?;
        for round in 0..self.iterations {
            if round > 0 {
                seen = graph.replay(value, &[(x, there)])?;
            }
            let slope = graph.sign(graph.gradient(seen, &[there])?[0])?;
            let moved = graph.add_scaled(there, slope, self.step)?;
            let near = graph.minimum(graph.maximum(moved, low)?, high)?;
            there = graph.detach(graph.clip(near, 0.0, 1.0)?)?;
        }
        Ok(there)
    }
}

impl Regularizer for Adversarial {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        let graph = scene.graph;
        let changed = self.changed(scene, of.image, value)?;
        let hard = graph.replay(value, &[(of.image, changed)])?;
        graph.add_scaled(graph.scale(value, 1.0 - self.weight)?, hard, self.weight)
    }

    // Each weight is used on screens of which every pixel differs.
    fn leaves_rows(&self) -> bool {
        false
    }
}
