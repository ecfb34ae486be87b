//! Training runs that PyTorch recorded: the same models under the same names,
//! the same numbers.

mod support;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, TensorType, structure};
use speck_harness::data::{DataSettings, Source};
use speck_harness::run::stage::{Stage, finished};
use speck_learners::{Batches, Learner, PRIVATE, Setup};
use speck_models::settings::resolve;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::Place;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance/train");

fn recorded() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).expect("the recorded runs");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert_eq!(files.len(), 7);
    files
}

/// A learner of the model that a recorded run's metadata describes.
fn learner(metadata: &HashMap<String, String>, source: &Source) -> Box<dyn Learner> {
    let Value::Object(mut given) = serde_json::from_str(&metadata["model"]).expect("JSON") else {
        panic!("a model is an object");
    };
    let kind = given.remove("arch").expect("an architecture");
    let model = speck_models::find(kind.as_str().expect("a name")).expect("a known model");
    let value = |(key, value)| (key, serde_json::from_value(value).expect("a setting"));
    let given: Vec<_> = given.into_iter().map(value).collect();
    let settings = resolve(model.dimensions, &given).expect("settings of the model");
    let setup = Setup {
        model: (model.make)(&settings).expect("a model").into(),
        shape: source.shape(),
        seed: 3,
        kernels: Choice::default(),
        float: DType::F32,
        mode: structure::Mode::Dense,
    };
    let entry = speck_learners::find("gradient").expect("the gradient learner");
    let settings = resolve(entry.dimensions, &[]).expect("defaults");
    (entry.make)(&settings, setup).expect("a learner")
}

/// Names and shapes of the tensors whose keys start with `prefix`.
fn shapes(tensors: &SafeTensors<'_>, prefix: &str) -> BTreeMap<String, Vec<usize>> {
    let named = |(key, view): (String, TensorView<'_>)| {
        Some((key.strip_prefix(prefix)?.to_owned(), view.shape().to_vec()))
    };
    tensors.tensors().into_iter().filter_map(named).collect()
}

#[test]
fn checkpoints_have_pytorchs_names_and_shapes_and_pytorchs_weights_load() {
    let place = Place::new();
    let source = Source::new(&DataSettings::default(), 8, 0);
    for path in recorded() {
        let bytes = std::fs::read(&path).expect("a recorded run");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let metadata = header.metadata().clone().expect("metadata");
        let theirs = SafeTensors::deserialize(&bytes).expect("tensors");
        let initial: Vec<(String, Tensor)> = theirs
            .tensors()
            .into_iter()
            .filter_map(|(key, view)| {
                let name = key.strip_prefix("init/")?.to_owned();
                let mut tensor = Tensor::zeros(&TensorType::new(DType::F32, view.shape()));
                tensor.bytes_mut().copy_from_slice(view.data());
                Some((name, tensor))
            })
            .collect();

        let mut ours = learner(&metadata, &source);
        ours.adopt(&initial).expect("their weights fit");
        for (name, tensor) in &initial {
            assert_eq!(
                ours.state().expect("a state").get(name),
                Some(tensor),
                "{}: {name}",
                path.display()
            );
        }
        let checkpoint = place.path("checkpoint.safetensors");
        let stage = Stage {
            checkpoint: &checkpoint,
            interval: Duration::ZERO,
            data: &source,
            steps: 1,
            every: 1,
            patience: 0,
            watches: &[],
            progress: &|_| {},
            warn: &|text| panic!("{text}"),
        };
        stage.run(&mut *ours, &mut []).expect("a step");

        let written = std::fs::read(&checkpoint).expect("a checkpoint");
        let written = SafeTensors::deserialize(&written).expect("safetensors");
        let mut names = shapes(&written, "");
        names.retain(|name, _| !name.starts_with(PRIVATE));
        assert_eq!(names, shapes(&theirs, "init/"), "{}", path.display());

        let (saved, _) = finished(&checkpoint, &|text| panic!("{text}"))
            .expect("a file that can be read")
            .expect("a finished stage");
        let mut again = learner(&metadata, &source);
        again.adopt(&saved).expect("our own weights fit");
        for name in names.keys() {
            assert_eq!(
                again.state().expect("a state").get(name),
                ours.state().expect("a state").get(name),
                "{name}"
            );
        }
        std::fs::remove_file(&checkpoint).expect("removed");
    }
}

#[test]
fn recorded_runs_are_repeated() {
    for mode in ["dense", "structured", "auto"] {
        let outcome = Place::new().succeed(&["conform", FOLDER, "--mode", mode]);
        let passed = outcome.out.ends_with("7 passed, 0 failed, 0 unsupported\n");
        assert!(passed, "{mode}: {}", outcome.out);
    }
}

/// A small recorded run with one tensor changed, and what `speck conform` says.
fn changed(change: impl Fn(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>)) -> Value {
    let bytes = std::fs::read(Path::new(FOLDER).join("cnn-gap-coord-random.safetensors"));
    let bytes = bytes.expect("a recorded run");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    let theirs = SafeTensors::deserialize(&bytes).expect("tensors");
    let own = |(key, view): (String, TensorView<'_>)| {
        (key, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    let mut tensors: BTreeMap<_, _> = theirs.tensors().into_iter().map(own).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(key, (dtype, shape, data))| {
        (key, TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
    });
    let bytes = safetensors::serialize(views, header.metadata().clone()).expect("a file");
    let place = Place::with("changed.safetensors", bytes);
    let outcome = place.speck(&["conform", "changed.safetensors", "--json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    serde_json::from_str(&outcome.out).expect("one outcome")
}

#[test]
fn a_wrong_layout_of_weights_fails() {
    let outcome = changed(|tensors| {
        // Kernels transposed: [out, in, w, h].
        let (_, shape, data) = tensors.get_mut("init/conv.1.weight").expect("kernels");
        assert_eq!(shape[2..], [3, 3]);
        for kernel in data.chunks_exact_mut(9 * 4) {
            let old = kernel.to_vec();
            for (row, column) in (0..9).map(|i| (i / 3, i % 3)) {
                let (to, from) = ((row * 3 + column) * 4, (column * 3 + row) * 4);
                kernel[to..to + 4].copy_from_slice(&old[from..from + 4]);
            }
        }
    });
    assert_eq!(
        (outcome["op"].as_str(), outcome["status"].as_str()),
        (Some("train/changed"), Some("fail"))
    );
    let message = outcome["message"].as_str().expect("a message");
    assert!(message.starts_with("f64: first gradient of "), "{message}");
}

#[test]
fn tensors_must_be_all_there_and_no_others() {
    let renamed = |from: &'static str, to: Option<&'static str>| {
        let outcome = changed(|tensors| {
            let tensor = tensors.remove(from).expect("a tensor");
            tensors.extend(to.map(|to| (to.to_owned(), tensor)));
        });
        assert_eq!(outcome["status"], "fail");
        outcome["message"].as_str().expect("a message").to_owned()
    };
    let message = renamed("init/head.bias", None);
    assert!(message.contains("`head.bias`"), "{message}");
    let message = renamed("init/head.bias", Some("init/learner/step"));
    assert!(message.contains("no tensor `learner/step`"), "{message}");
    let message = renamed("loss", None);
    assert!(message.contains("no tensor `loss`"), "{message}");
    let message = renamed("grad0/head.bias", Some("grad0/head.offset"));
    assert!(message.contains("no tensor `head.offset`"), "{message}");
    let message = renamed("final/head.bias", Some("final/head.offset"));
    assert!(message.contains("no tensor `head.offset`"), "{message}");
}

#[test]
fn files_of_other_kinds_are_counted_apart() {
    let place = Place::with("folder/schedules.json", "[]");
    let source = Path::new(FOLDER).join("dsnt-black.safetensors");
    let bytes = std::fs::read(source).expect("a recorded run");
    place.write("folder/below/run.safetensors", bytes);
    let outcome = place.succeed(&["conform", "folder"]);
    let want = "1 file is of a kind that is not read\n1 passed, 0 failed, 0 unsupported\n";
    assert!(outcome.out.ends_with(want), "{}", outcome.out);
    let outcome = place.speck(&["conform", "folder/schedules.json"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("no conformance cases"), "{}", outcome.err);
}
