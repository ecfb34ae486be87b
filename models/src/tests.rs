//! Tests that walk the registry of models.

use super::*;
use speck_engine::{DType, Graph, Options, Program, State};

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

#[test]
fn hidden_widths_take_the_place_of_depth_and_width() {
    let list = |widths: &[i64]| {
        settings::Value::List(widths.iter().map(|width| settings::Value::Int(*width)).collect())
    };
    let sizes = |given: &[(&str, settings::Value)]| -> Vec<usize> {
        let (graph, _, names) = build(find("mlp").unwrap(), given);
        let biases = names.iter().filter(|name| name.ends_with("bias"));
        biases.map(|name| graph.shape(graph.state_node(name).unwrap())[0]).collect()
    };
    assert_eq!(sizes(&[]), [128, 128, 128]);
    let three = settings::Value::Int(3);
    assert_eq!(sizes(&[("depth", three.clone())]), [128, 128, 128, 128]);
    assert_eq!(sizes(&[("hidden", list(&[24, 16])), ("depth", three)]), [24, 16, 128]);
}

#[test]
fn outputs_of_dsnt_are_log_marginals() {
    let (graph, output, _) = build(find("dsnt").unwrap(), &[]);
    let masses = [0, 64].map(|start| {
        let axis = graph.narrow(output, 1, start, 1, 64).unwrap();
        graph.sum(graph.exp(axis).unwrap(), &[1]).unwrap()
    });
    let masses = graph.concat(&masses, 0).unwrap();
    graph.output("masses", masses).unwrap();
    let mut program = Program::compile(&graph, &Options::default()).unwrap();
    for (i, value) in program.input_mut::<f32>("image").unwrap().iter_mut().enumerate() {
        *value = (i % 97) as f32;
    }
    program.run(&mut State::initialise(&graph, 5)).unwrap();
    for mass in program.values::<f32>("masses").unwrap() {
        assert!((mass - 1.0).abs() < 1e-5, "{mass}");
    }
}

fn text(value: &str) -> settings::Value {
    settings::Value::Text(value.to_owned())
}

#[test]
fn impossible_settings_are_refused() {
    let refused_by = |model: &str, key: &str, value| {
        let entry = find(model).unwrap();
        let settings = settings::resolve(entry.dimensions, &[(key.to_owned(), value)]).unwrap();
        (entry.make)(&settings).err().expect("refused").key
    };
    let refused = |key: &str, value| refused_by("cnn", key, value);
    assert_eq!(refused("kernel", settings::Value::Int(4)), "kernel");
    assert_eq!(refused_by("dsnt", "kernel", settings::Value::Int(4)), "kernel");
    assert_eq!(refused_by("resnet", "blocks", settings::Value::Int(7)), "blocks");
    assert_eq!(refused_by("vit", "heads", settings::Value::Int(3)), "heads");
    assert_eq!(refused_by("vit", "patch", settings::Value::Int(12)), "patch");
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

#[test]
fn hidden_layers_have_names_and_stand_sample_by_sample() {
    let layers = |name: &str, given: &[(&str, settings::Value)]| {
        let entry = find(name).unwrap();
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let settings = settings::resolve(entry.dimensions, &given).unwrap();
        let graph = Graph::new(DType::F32);
        let image = graph.input("image", DType::F32, &[2, CHANNELS, SCREEN[0], SCREEN[1]]).unwrap();
        let builder = Builder::new(&graph, Mode::Evaluation);
        (entry.make)(&settings).unwrap().build(&builder, image).unwrap();
        let show = |all: Vec<(String, NodeId)>| -> Vec<(String, Vec<usize>)> {
            all.into_iter().map(|(name, node)| (name, graph.shape(node))).collect()
        };
        (show(builder.layers()), show(builder.activations()))
    };
    let named = |all: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        all.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    };
    assert_eq!(layers("linear", &[]), (vec![], vec![]));
    let (hidden, units) = layers("cnn", &[]);
    assert_eq!(
        hidden,
        named(&[
            ("conv.0", &[2, 8, 32, 32]),
            ("conv.1", &[2, 16, 16, 16]),
            ("conv.2", &[2, 16, 8, 8]),
        ])
    );
    assert_eq!(units[0], ("conv.0".to_owned(), vec![2, 8, 64, 64]));
    let (hidden, units) = layers("mlp", &[]);
    assert_eq!(hidden, named(&[("layers.0", &[2, 128]), ("layers.1", &[2, 128])]));
    assert_eq!(units, hidden);
    let (hidden, units) = layers("vit", &[("depth", settings::Value::Int(2))]);
    // Tokens of a sample stand together.
    assert_eq!(hidden, named(&[("blocks.0", &[128, 64]), ("blocks.1", &[128, 64])]));
    assert_eq!(units[1], ("blocks.1.mlp.fc1".to_owned(), vec![128, 256]));
    let (hidden, units) = layers("resnet", &[("blocks", settings::Value::Int(2))]);
    let names = |all: &[(String, Vec<usize>)]| -> Vec<String> {
        all.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&hidden), ["stem", "blocks.0", "blocks.1"]);
    assert_eq!(units.len(), 5);
    assert_eq!(layers("dsnt", &[]).0.len(), 2);
}
