use super::*;
use serde_json::json;

fn example() -> Checkpoint {
    let floats: Vec<u8> = [1.0f32, -0.0, f32::NAN, 3.5, 1e-40, f32::INFINITY]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor = |name: &str, shape: &[usize], dtype, bytes: &[u8]| NamedTensor {
        name: name.to_string(),
        shape: shape.to_vec(),
        dtype,
        bytes: bytes.to_vec(),
    };
    Checkpoint {
        tensors: vec![
            tensor("layer2.weight", &[2, 3], TensorType::F32, &floats),
            tensor("adam/step", &[], TensorType::I32, &7i32.to_le_bytes()),
            tensor("layer1.weight", &[2], TensorType::F64, &[5; 16]),
            tensor("empty", &[0, 4], TensorType::F32, &[]),
        ],
        notes: json!({
            "step": 1234,
            "phase": "train",
            "loss": [0.1 + 0.2, 1.0 / 3.0, 1e-17, 2.0],
        }),
    }
}

fn loaded(path: &Path) -> Checkpoint {
    match Checkpoint::read(path).unwrap() {
        ReadOutcome::Loaded(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/train.safetensors");
    assert_eq!(Checkpoint::read(&path).unwrap(), ReadOutcome::Missing);
    example().write(&path).unwrap();
    assert_eq!(loaded(&path), example());
    let first = std::fs::read(&path).unwrap();
    Checkpoint::default().write(&path).unwrap();
    assert_eq!(loaded(&path), Checkpoint::default());
    example().write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "same state, same file");
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(files, 1, "no temporary file is left");
}

/// Parsing JSON must not round: a curve is resumed from these notes.
#[test]
fn numbers_in_the_notes_keep_their_bits() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let values: Vec<f64> = (0..20_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from_bits(state)
        })
        .filter(|value| value.is_finite())
        .collect();
    let checkpoint = Checkpoint { tensors: Vec::new(), notes: json!(values) };
    let bytes = checkpoint.to_bytes(&checkpoint.notes.to_string()).unwrap();
    let back = Checkpoint::from_bytes(&bytes).unwrap();
    for (value, read) in values.iter().zip(back.notes.as_array().unwrap()) {
        assert_eq!(read.as_f64().map(f64::to_bits), Some(value.to_bits()));
    }
}

#[test]
fn other_programs_can_read_the_weights() {
    let example = example();
    let bytes = example.to_bytes(&example.notes.to_string()).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("layer2.weight").unwrap();
    assert_eq!(weight.shape(), [2, 3]);
    assert_eq!(weight.data(), example.tensors[0].bytes);
}

#[test]
fn torn_at_every_length() {
    let example = example();
    let bytes = example.to_bytes(&example.notes.to_string()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.safetensors");
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        match Checkpoint::read(&path).unwrap() {
            ReadOutcome::Torn(warning) => {
                assert!(warning.contains("train.safetensors"), "{warning}");
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Checkpoint::from_bytes(&longer).is_err());
}

#[test]
fn torn_at_every_flipped_bit() {
    let example = example();
    let bytes = example.to_bytes(&example.notes.to_string()).unwrap();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            if let Ok(read) = Checkpoint::from_bytes(&flipped) {
                panic!("byte {index}, bit {bit} went unnoticed: {read:?}");
            }
        }
    }
}

#[test]
fn hostile_headers_are_torn() {
    let file = |header: &str, data: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    };
    let entry = r#""__metadata__":{"speck":"{\"version\":1,\"order\":[\"a\"],\"notes\":\"1\",\"blake3\":\"\"}"}"#;
    let deep = "[".repeat(200_000);
    let cases = [
        u64::MAX.to_le_bytes().to_vec(),
        file("", &[]),
        file("{}", &[]),
        file(&deep, &[]),
        file(r#"{"__metadata__":{"speck":"{}"}}"#, &[]),
        file(
            &format!(
                r#"{{{entry},"a":{{"dtype":"F32","shape":[18446744073709551615,4],"data_offsets":[0,4]}}}}"#
            ),
            &[0; 4],
        ),
        file(
            &format!(r#"{{{entry},"a":{{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}}}"#),
            &[0; 4],
        ),
        file(
            &format!(r#"{{{entry},"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#),
            &[0; 4],
        ),
        file(
            &format!(r#"{{{entry},"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#),
            &[0; 4],
        ),
    ];
    for bytes in cases {
        assert!(Checkpoint::from_bytes(&bytes).is_err());
    }
}

#[test]
fn impossible_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.safetensors");
    let mut twice = example();
    twice.tensors.push(twice.tensors[0].clone());
    let mut short = example();
    short.tensors[0].bytes.pop();
    for checkpoint in [twice, short] {
        let failure = checkpoint.write(&path).unwrap_err();
        assert!(matches!(failure, CheckpointError::Invalid { .. }));
        assert!(!path.exists());
    }
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "mine").unwrap();
    let failure = example().write(&blocked.join("train.safetensors")).unwrap_err();
    assert!(matches!(failure, CheckpointError::System { action: "write", .. }));
    // A folder with the name of the checkpoint: the rename fails.
    let path = folder.path().join("taken.safetensors");
    std::fs::create_dir_all(path.join("inside")).unwrap();
    assert!(example().write(&path).is_err());
    assert!(Checkpoint::read(&path).is_err());
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "taken.safetensors"]);
    assert_eq!(std::fs::read(&blocked).unwrap(), b"mine");
}

#[test]
fn a_full_disk_is_told() {
    let failure = |kind: ErrorKind| std::io::Error::from(kind);
    let path = Path::new("runs/first/train.safetensors");
    let told = CheckpointError::from_write(path, failure(ErrorKind::StorageFull));
    assert!(told.to_string().starts_with("runs/first/train.safetensors: the disk is full"));
    let told = CheckpointError::from_write(path, failure(ErrorKind::PermissionDenied));
    assert!(matches!(told, CheckpointError::System { .. }));
}
