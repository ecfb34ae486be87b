//! Tests that walk the registry of models.

use super::*;
use speck_engine::{DType, Graph};

fn build(entry: &ModelEntry, given: &[(&str, settings::Value)]) -> (Graph, NodeId, Vec<String>) {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let settings = settings::resolve(entry.dimensions, &given).unwrap();
    let model = (entry.make)(&settings).unwrap();
    assert_eq!(model.name(), entry.name);
    let graph = Graph::new(DType::F32);
    let image = graph.input("image", DType::F32, &[2, CHANNELS, SCREEN[0], SCREEN[1]]).unwrap();
    let seed = graph.input("seed", DType::I32, &[2]).unwrap();
    let step = graph.input("step", DType::I32, &[]).unwrap();
    let builder = Builder::new(&graph, Mode::Training { seed, step });
    let output = model.build(&builder, image).unwrap();
    let names = builder.parameters().into_iter().map(|(name, _)| name).collect();
    (graph, output, names)
}

#[test]
fn every_model_with_every_choice_gives_128_outputs_and_gradients() {
    for entry in ALL {
        let mut variants = vec![vec![]];
        for dimension in entry.dimensions {
            let values: Vec<settings::Value> = match &dimension.kind {
                settings::Kind::Choice(names) => {
                    names.iter().map(|name| settings::Value::Text((*name).to_owned())).collect()
                }
                settings::Kind::Bool => vec![settings::Value::Bool(true)],
                settings::Kind::Float { .. } => vec![settings::Value::Float(0.5)],
                _ => vec![],
            };
            variants.extend(values.into_iter().map(|value| vec![(dimension.name, value)]));
        }
        for given in variants {
            let (graph, output, names) = build(entry, &given);
            assert_eq!(graph.shape(output), [2, OUTPUTS], "{} {given:?}", entry.name);
            let square = graph.square(output).unwrap();
            let loss = graph.sum_all(square).unwrap();
            let parameters: Vec<_> =
                names.iter().map(|name| graph.state_node(name).unwrap()).collect();
            let gradients = graph.gradient(loss, &parameters).unwrap();
            for (parameter, gradient) in parameters.iter().zip(gradients) {
                assert_eq!(graph.ty(*parameter), graph.ty(gradient));
            }
        }
    }
}

#[test]
fn parameters_have_pytorch_names() {
    let (_, _, names) = build(find("mlp").unwrap(), &[("norm", text("layer"))]);
    assert_eq!(
        names,
        [
            "layers.0.weight",
            "layers.0.bias",
            "norms.0.weight",
            "norms.0.bias",
            "layers.1.weight",
            "layers.1.bias",
            "norms.1.weight",
            "norms.1.bias",
            "layers.2.weight",
            "layers.2.bias",
        ]
    );
    let (graph, _, names) = build(find("cnn").unwrap(), &[("norm", text("batch"))]);
    assert!(names.contains(&"conv.2.weight".to_owned()) && names.contains(&"head.bias".to_owned()));
    assert!(graph.state_node("norm.0.running_mean").is_some());
    let head = graph.state_node("head.weight").unwrap();
    assert_eq!(graph.shape(head), [128, 16 * 8 * 8]);
}

fn text(value: &str) -> settings::Value {
    settings::Value::Text(value.to_owned())
}

#[test]
fn impossible_settings_are_refused() {
    let entry = find("cnn").unwrap();
    let refused = |key: &str, value| {
        let settings = settings::resolve(entry.dimensions, &[(key.to_owned(), value)]).unwrap();
        (entry.make)(&settings).err().expect("refused").key
    };
    assert_eq!(refused("kernel", settings::Value::Int(4)), "kernel");
    let seven = settings::Value::List(vec![settings::Value::Int(2); 7]);
    assert_eq!(refused("channels", seven), "channels");
}

#[test]
fn concatenation_widens_and_addition_does_not() {
    let (graph, _, _) = build(find("cnn").unwrap(), &[("residual", text("concat"))]);
    let weight = graph.state_node("conv.1.weight").unwrap();
    assert_eq!(graph.shape(weight), [16, 3 + 8, 3, 3]);
    let (graph, _, _) = build(find("mlp").unwrap(), &[("residual", text("concat"))]);
    let weight = graph.state_node("layers.2.weight").unwrap();
    assert_eq!(graph.shape(weight), [128, 256]);
}

#[test]
fn entries_are_described_and_unique() {
    for (i, entry) in ALL.iter().enumerate() {
        assert!(!entry.summary.is_empty());
        assert!(ALL[..i].iter().all(|other| other.name != entry.name));
        assert!(entry.dimensions.iter().all(|dimension| !dimension.doc.is_empty()));
    }
}
