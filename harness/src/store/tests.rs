use super::*;
use serde_json::json;
use tempfile::TempDir;

fn run(id: &str) -> RunRecord {
    RunRecord {
        id: id.to_string(),
        label: format!("mlp {id}"),
        config_json: r#"{"seed":7}"#.to_string(),
        seed: 7,
        model: "mlp".to_string(),
        learner: "adam".to_string(),
        data_label: "white on black".to_string(),
    }
}

fn score(cell: &str, value: Option<f64>) -> Score {
    Score {
        battery: "general".to_string(),
        cell: cell.to_string(),
        metric: "exact hit".to_string(),
        value,
        cases: 4096,
    }
}

fn results(values: &[f64]) -> PhaseResults {
    PhaseResults {
        scores: values
            .iter()
            .enumerate()
            .map(|(index, &value)| score(&format!("cell {index}"), Some(value)))
            .collect(),
        curves: values
            .iter()
            .enumerate()
            .map(|(index, &value)| CurvePoint {
                series: "loss".to_string(),
                step: index as u64 * 100,
                value,
            })
            .collect(),
        artefacts: vec![("map".to_string(), json!({"exact": values}))],
    }
}

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("runs/first.sqlite")).unwrap();
    store.record_run(&run("a")).unwrap();
    (folder, store)
}

#[test]
fn every_bit_of_a_number_comes_back() {
    let (folder, mut store) = fresh();
    let values = [
        0.1 + 0.2,
        -0.0,
        0.0,
        1.0,
        -3.0,
        f64::MIN_POSITIVE / 8.0,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1.0 - f64::EPSILON / 2.0,
        9_007_199_254_740_993.0,
    ];
    let mut written = results(&values);
    written.artefacts = vec![("map".to_string(), json!([0.1 + 0.2, 1e-300, null]))];
    store.finish_phase("a", "train", &written).unwrap();
    drop(store);
    let store = Store::open_read_only(&folder.path().join("runs/first.sqlite")).unwrap();
    let read = store.results("a", "train").unwrap();
    assert_eq!(read, written);
    for (point, value) in read.curves.iter().zip(values) {
        assert_eq!(point.value.to_bits(), value.to_bits(), "{value}");
    }
    for (score, value) in read.scores.iter().zip(values) {
        assert_eq!(score.value.map(f64::to_bits), Some(value.to_bits()), "{value}");
    }
}

#[test]
fn nothing_and_nan_are_null() {
    let (_folder, mut store) = fresh();
    let written = PhaseResults {
        scores: vec![score("none", None), score("nan", Some(f64::NAN))],
        curves: vec![CurvePoint { series: "loss".to_string(), step: u64::MAX, value: f64::NAN }],
        artefacts: Vec::new(),
    };
    store.finish_phase("a", "train", &written).unwrap();
    let read = store.results("a", "train").unwrap();
    assert_eq!(read.scores[0].value, None);
    assert_eq!(read.scores[1].value, None);
    assert!(read.curves[0].value.is_nan());
    assert_eq!(read.curves[0].step, u64::MAX);
}

#[test]
fn the_last_plan_counts() {
    let (_folder, mut store) = fresh();
    assert_eq!(store.plan().unwrap(), None);
    for runs in [vec!["a".to_string(), "b".to_string()], vec![]] {
        let plan = Plan { name: "first".to_string(), runs };
        store.set_plan(&plan).unwrap();
        assert_eq!(store.plan().unwrap(), Some(plan));
    }
}

#[test]
fn runs_are_recorded_once_and_in_order() {
    let (_folder, mut store) = fresh();
    store.record_run(&run("b")).unwrap();
    let renamed = RunRecord { label: "other".to_string(), ..run("a") };
    store.record_run(&renamed).unwrap();
    assert_eq!(store.runs().unwrap(), [renamed, run("b")]);
}

#[test]
fn a_phase_is_replaced_as_a_whole() {
    let (_folder, mut store) = fresh();
    assert!(!store.finished("a", "train").unwrap());
    store.finish_phase("a", "train", &results(&[1.0, 2.0, 3.0])).unwrap();
    store.finish_phase("a", "battery/general", &results(&[5.0])).unwrap();
    store.finish_phase("a", "train", &results(&[4.0])).unwrap();
    assert!(store.finished("a", "train").unwrap());
    assert_eq!(store.results("a", "train").unwrap(), results(&[4.0]));
    assert_eq!(store.results("a", "battery/general").unwrap(), results(&[5.0]));
    assert_eq!(store.phases("a").unwrap(), ["battery/general", "train"]);
}

#[test]
fn a_later_duplicate_counts() {
    let (_folder, mut store) = fresh();
    let mut written = results(&[1.0]);
    written.scores.push(score("cell 0", Some(2.0)));
    store.finish_phase("a", "train", &written).unwrap();
    assert_eq!(store.scores("a", "train").unwrap(), [score("cell 0", Some(2.0))]);
}

/// A failure in the last statement of the transaction leaves what was there.
#[test]
fn an_error_in_the_middle_leaves_the_earlier_state() {
    let (_folder, mut store) = fresh();
    store.finish_phase("a", "train", &results(&[1.0])).unwrap();
    store
        .connection
        .execute_batch(
            "CREATE TEMP TRIGGER fail BEFORE INSERT ON artefacts
             BEGIN SELECT RAISE(ABORT, 'made to fail'); END",
        )
        .unwrap();
    let failure = store.finish_phase("a", "train", &results(&[2.0, 3.0]));
    assert!(matches!(failure, Err(StoreError::Other { .. })));
    assert!(store.finish_phase("a", "battery/general", &results(&[2.0])).is_err());
    assert_eq!(store.results("a", "train").unwrap(), results(&[1.0]));
    assert!(!store.finished("a", "battery/general").unwrap());
    assert!(store.scores("a", "battery/general").unwrap().is_empty());
}

/// The database may not grow: what SQLite reports when the disk is full.
#[test]
fn a_full_disk_is_told_and_changes_nothing() {
    let (_folder, mut store) = fresh();
    store.finish_phase("a", "train", &results(&[1.0])).unwrap();
    store.connection.query_row("PRAGMA max_page_count = 1", [], |_| Ok(())).unwrap();
    let many: Vec<f64> = (0..10_000).map(f64::from).collect();
    let failure = store.finish_phase("a", "train", &results(&many)).unwrap_err();
    assert!(matches!(failure, StoreError::Full { .. }), "{failure}");
    assert!(failure.to_string().contains("first.sqlite: the disk is full"), "{failure}");
    assert_eq!(store.results("a", "train").unwrap(), results(&[1.0]));
}

#[test]
fn results_of_an_unknown_run_are_refused() {
    let (_folder, mut store) = fresh();
    let failure = store.finish_phase("z", "train", &results(&[1.0])).unwrap_err();
    assert!(matches!(failure, StoreError::UnknownRun { .. }), "{failure}");
}

#[test]
fn a_busy_store_is_told() {
    let (folder, holder) = fresh();
    let path = folder.path().join("runs/first.sqlite");
    let mut other = Store::open_waiting(&path, Duration::from_millis(20)).unwrap();
    holder.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failure = other.record_run(&run("b")).unwrap_err();
    assert!(matches!(failure, StoreError::Busy { .. }), "{failure}");
    assert!(failure.to_string().contains("first.sqlite"), "{failure}");
    // Readers do not wait.
    assert_eq!(other.runs().unwrap().len(), 1);
    assert!(Store::open_read_only(&path).is_ok());
    holder.connection.execute_batch("COMMIT").unwrap();
    other.record_run(&run("b")).unwrap();
}

#[test]
fn a_missing_store_suggests_the_nearest() {
    let (folder, _store) = fresh();
    let wanted = folder.path().join("runs/frist.sqlite");
    let failure = Store::open_read_only(&wanted).unwrap_err();
    assert!(matches!(failure, StoreError::Missing { .. }));
    let text = failure.to_string();
    assert!(text.contains("did you mean `"), "{text}");
    assert!(text.contains("runs/first.sqlite`?"), "{text}");
    assert!(failure.is_bad_input());
    assert!(!wanted.exists());
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.sqlite");
    std::fs::write(&text, "not a database, but long enough to look at".repeat(40)).unwrap();
    let database = folder.path().join("other.sqlite");
    Connection::open(&database)
        .unwrap()
        .execute_batch("CREATE TABLE runs (id TEXT); INSERT INTO runs VALUES ('mine')")
        .unwrap();
    for path in [&text, &database] {
        let before = std::fs::read(path).unwrap();
        for outcome in [Store::open(path), Store::open_read_only(path)] {
            let failure = outcome.unwrap_err();
            assert!(matches!(failure, StoreError::Foreign { .. }), "{failure}");
            assert_eq!(failure.path(), path);
        }
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
    // A folder by that name.
    let failure = Store::open(folder.path()).unwrap_err();
    assert!(matches!(failure, StoreError::Unwritable { .. }), "{failure}");
    // A file where the folder should be.
    let failure = Store::open(&text.join("first.sqlite")).unwrap_err();
    assert!(matches!(failure, StoreError::Folder { .. }), "{failure}");
}

#[test]
fn another_version_is_refused() {
    let (folder, store) = fresh();
    store
        .connection
        .execute("UPDATE meta SET value = '2' WHERE key = 'schema version'", [])
        .unwrap();
    drop(store);
    let failure = Store::open(&folder.path().join("runs/first.sqlite")).unwrap_err();
    assert!(failure.to_string().contains("version 2, this program reads version 1"), "{failure}");
}

/// Cut in every page, overwritten in every page: told when the store is opened
/// or, where the damage is inside a text, when that text is read; no panic.
#[test]
fn damage_is_found() {
    let (folder, mut store) = fresh();
    let many: Vec<f64> = (0..2_000).map(|index| f64::from(index) * 0.37).collect();
    store.finish_phase("a", "train", &results(&many)).unwrap();
    drop(store);
    let path = folder.path().join("runs/first.sqlite");
    let whole = std::fs::read(&path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 8);
    let damaged = folder.path().join("runs/damaged.sqlite");
    for page in 0..pages {
        std::fs::write(&damaged, &whole[..page * 4096 + 100]).unwrap();
        let failure =
            Store::open(&damaged).and_then(|store| store.results("a", "train")).unwrap_err();
        assert!(failure.is_bad_input(), "{failure}");

        let mut bytes = whole.clone();
        for byte in &mut bytes[page * 4096 + 16..page * 4096 + 600] {
            *byte ^= 0x5a;
        }
        std::fs::write(&damaged, &bytes).unwrap();
        let outcome = Store::open(&damaged).and_then(|store| store.results("a", "train"));
        if let Err(failure) = outcome {
            assert!(failure.is_bad_input(), "{failure}");
        }
    }
}

#[test]
fn a_killed_writer_leaves_a_store_that_opens() {
    let (folder, mut store) = fresh();
    store.finish_phase("a", "train", &results(&[1.0])).unwrap();
    // A copy taken while the store is open, with its log, is what a killed
    // process leaves; a torn end of the log is an unfinished transaction.
    let path = folder.path().join("runs/first.sqlite");
    let log = std::fs::read(log_path(&path)).unwrap();
    assert!(!log.is_empty());
    for kept in [0, log.len() / 3, log.len() - 1, log.len()] {
        let left = folder.path().join(format!("runs/left{kept}.sqlite"));
        std::fs::copy(&path, &left).unwrap();
        std::fs::write(log_path(&left), &log[..kept]).unwrap();
        let mut store = Store::open(&left).unwrap();
        store.record_run(&run("a")).unwrap();
        if store.finished("a", "train").unwrap() {
            assert_eq!(store.results("a", "train").unwrap(), results(&[1.0]));
        } else {
            assert!(store.scores("a", "train").unwrap().is_empty());
            assert!(kept < log.len());
        }
    }
}
