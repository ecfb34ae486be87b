//! Fine-tuning: a network learns something else first, then the run's data.

use super::layers::{groups, names, split};
use super::unfreezing::staged;
use super::{Regimen, Start, Stretch, layers, needs, share_of};
use crate::config::RunConfig;
use crate::data::DataSettings;
use speck_learners::gradient::pretexts;
use speck_models::settings::{DefaultValue, Dimension, Kind, Part, SettingError, Settings, Value};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "fine_tuning",
    summary: "pretraining for a share of the steps, on other data or on a pretext without labels, then fine-tuning on the run's own by one of several methods",
    source: "Yosinski et al., \"How Transferable Are Features in Deep Neural Networks?\", 2014; of the methods: probing_then_all Kumar et al., \"Fine-Tuning Can Distort Pretrained Features\", 2022; unfreezing Howard, Ruder, 2018; l2_sp Li et al., 2018; adapters Hu et al., \"LoRA\", 2021",
    dimensions: &[
        Dimension::float("share", "share of the steps that is pretraining", (0.0, 1.0), 0.5),
        Dimension {
            name: "pretraining_speck",
            doc: "colour of the specks of the pretraining, or the run's own",
            kind: Kind::Colour {
                also: &["same", "near", "contrast", "between", "random-batch", "random-sample"],
            },
            default: DefaultValue::Text("same"),
        },
        Dimension::int(
            "pretraining_count",
            "specks of a sample of the pretraining; 0 for the run's own number",
            (0, 16),
            0,
        ),
        Dimension {
            name: "pretext",
            doc: "what is learned in the pretraining: none for the task itself",
            kind: Kind::Entry(pretexts::PARTS),
            default: DefaultValue::Text(pretexts::NONE),
        },
        Dimension {
            name: "method",
            doc: "what is trained on the run's data: all layers, the last one, first the last one and then all, one layer more after the other, all with a penalty on the way from the pretrained weights, updates of low rank",
            kind: Kind::Entry(METHODS),
            default: DefaultValue::Text("all"),
        },
        Dimension::bool(
            "new_head",
            "whether the last layer is drawn anew before fine-tuning",
            false,
        ),
    ],
    stretches,
};

const METHODS: &[Part] = &[
    Part { name: "all", dimensions: &[] },
    Part { name: "probing", dimensions: &[] },
    Part {
        name: "probing_then_all",
        dimensions: &[Dimension::float(
            "probing_share",
            "share of the fine-tuning in which the last layer is trained alone",
            (0.0, 1.0),
            0.5,
        )],
    },
    Part {
        name: "unfreezing",
        dimensions: &[Dimension::float(
            "unfreezing_share",
            "share of the fine-tuning over which layers join",
            (0.0, 1.0),
            0.5,
        )],
    },
    Part {
        name: "l2_sp",
        dimensions: &[Dimension::float(
            "strength",
            "a of the penalty a / 2 · Σ (w - w₀)²; w₀ is 0 for a new head",
            (0.0, 1e6),
            0.01,
        )],
    },
    Part {
        name: "adapters",
        dimensions: &[
            Dimension::int("rank", "r: rank of the updates of each matrix", (1, 4096), 4),
            Dimension::float("alpha", "updates are α / r · B A", (1e-6, 1e6), 4.0),
        ],
    },
];

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    needs(run, REGIMEN.name, "groups")?;
    let [before, after] = share_of(run, settings.float("share"));
    let order = layers(run)?;
    let (body, head) = split(run, "method", order.len().saturating_sub(1))?;
    let mut stretches = Vec::new();
    if before > 0 {
        let stretch = Stretch::of(run, "pretraining", before).scheduled(before, 0);
        let stretch = Stretch { data: other_data(run, settings)?, ..stretch };
        stretches.push(match settings.text("pretext") {
            pretexts::NONE => stretch,
            _ => stretch.changed(run, pretext(settings))?,
        });
    }
    if after == 0 {
        return Ok(stretches);
    }
    // Fine-tuning is a training of its own, with its own schedule.
    let tuned = RunConfig {
        learner: (run.learner.0.clone(), run.learner.1.with("steps", Value::Int(after as i64))),
        ..run.clone()
    };
    let whole = Stretch::of(&tuned, "fine-tuning", after).scheduled(after, 0);
    let frozen = || groups(&body, "frozen");
    let mut tuning = match settings.text("method") {
        "probing" => vec![whole.grouped(frozen())],
        "probing_then_all" => {
            let probing = (after as f64 * settings.float("probing_share")).round() as u64;
            let parts = [("probing", probing, 0), ("all layers", after - probing, probing)];
            let parts = parts.into_iter().filter(|(_, steps, _)| *steps > 0);
            let stretch = |(name, steps, from): (&str, u64, u64)| {
                let stretch = Stretch::of(&tuned, name, steps).scheduled(after, from);
                if name == "probing" { stretch.grouped(frozen()) } else { stretch }
            };
            parts.map(stretch).collect()
        }
        "unfreezing" => {
            let order: Vec<_> = order.iter().rev().cloned().collect();
            staged(&tuned, &order, settings.float("unfreezing_share"))
                .map_err(|error| SettingError::new("unfreezing_share", error.message))?
        }
        "l2_sp" => {
            let strength = Value::Float(settings.float("strength"));
            vec![Stretch { learner: whole.learner.with("origin_decay", strength), ..whole }]
        }
        "adapters" => {
            let mut learner = whole.learner.with("adapter_rank", Value::Int(settings.int("rank")));
            learner = learner.with("adapter_alpha", Value::Float(settings.float("alpha")));
            if settings.bool("new_head") {
                let free = head.iter().flat_map(|layer| &layer.parameters);
                let free = free.map(|name| Value::Text(name.clone())).collect();
                learner = learner.with("adapter_free", Value::List(free));
            }
            vec![Stretch { learner, ..whole }]
        }
        _ => vec![whole],
    };
    if settings.bool("new_head")
        && let Some(first) = tuning.first_mut()
    {
        first.start = Start::Weights { renewed: names(&head) };
    }
    stretches.extend(tuning);
    Ok(stretches)
}

/// The pretext with its settings, as the learner wants them.
fn pretext(settings: &Settings) -> Vec<(String, Value)> {
    let name = settings.text("pretext");
    let dimensions = pretexts::find(name).map_or(&[][..], |entry| entry.dimensions);
    let keys = ["pretext"].into_iter().chain(dimensions.iter().map(|dimension| dimension.name));
    keys.filter_map(|key| Some((key.to_owned(), settings.get(key)?.clone()))).collect()
}

/// What is learned first.
fn other_data(run: &RunConfig, settings: &Settings) -> Result<Settings, SettingError> {
    let mut data = run.data.clone();
    let speck = settings.text("pretraining_speck");
    if speck != "same" {
        data = data.with("speck", Value::Text(speck.to_owned()));
    }
    let count = settings.int("pretraining_count");
    if count > 0 {
        data = data.with("count", Value::Int(count));
        data = data.with("arrangement", Value::Text("random".to_owned()));
    }
    let key = if speck == "same" { "pretraining_count" } else { "pretraining_speck" };
    DataSettings::new(&data).map_err(|error| SettingError::new(key, error.to_string()))?;
    Ok(data)
}
