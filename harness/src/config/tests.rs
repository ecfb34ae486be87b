use speck_models::settings::{DefaultValue, Dimension, Kind, Value};

use super::*;

const MLP: &[Dimension] = &[
    Dimension {
        name: "width",
        doc: "units",
        kind: Kind::Int { min: 1, max: 512 },
        default: DefaultValue::Int(64),
    },
    Dimension {
        name: "dropout",
        doc: "share",
        kind: Kind::Float { min: 0.0, max: 0.9 },
        default: DefaultValue::Float(0.0),
    },
];

const CNN: &[Dimension] = &[
    Dimension {
        name: "channels",
        doc: "channels",
        kind: Kind::IntList { min: 1, max: 64, shortest: 1, longest: 4 },
        default: DefaultValue::IntList(&[8]),
    },
    Dimension {
        name: "coordinates",
        doc: "adds coordinate channels",
        kind: Kind::Bool,
        default: DefaultValue::Bool(false),
    },
];

const GRADIENT: &[Dimension] = &[Dimension {
    name: "rate",
    doc: "learning rate",
    kind: Kind::Float { min: 0.0, max: 1.0 },
    default: DefaultValue::Float(0.1),
}];

fn registries() -> Registries {
    Registries {
        models: vec![RegistryEntry::new("mlp", "", MLP), RegistryEntry::new("cnn", "", CNN)],
        learners: vec![
            RegistryEntry::new("gradient", "", GRADIENT),
            RegistryEntry::new("hebbian", "", &[]),
        ],
        protocols: vec![
            RegistryEntry::new("transfer", "", GRADIENT),
            RegistryEntry::new("meta", "", &[]),
        ],
        regimens: vec![RegistryEntry::new("plain", "", &[])],
        data: crate::data::entry(),
        batteries: crate::batteries::entries(),
        diagnostics: crate::diagnostics::entries(),
        ensembles: crate::ensembles::entries(),
    }
}

const SMALL: &str = "[learner.hebbian]\n[[model]]\nkind = \"mlp\"\n";

fn parse(text: &str) -> Result<Experiment, ConfigError> {
    Experiment::parse(text, "dir/first.toml", &registries())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

#[test]
fn a_small_file_gets_defaults() {
    let experiment = parse(SMALL).unwrap();
    assert_eq!((experiment.name.as_str(), &experiment.seeds[..]), ("first", &[0][..]));
    assert!(experiment.batteries.is_empty() && experiment.protocols.is_empty());
    let [run] = &experiment.runs[..] else { panic!("one run") };
    assert_eq!(run.label(), "mlp · hebbian");
    assert_eq!(run.data.text("speck"), "white");
    assert_eq!(run.model.1.usize("width"), 64);
}

const FULL: &str = r#"
name = "full"
summary = "everything"
seeds = [3, 1]
batteries = ["general"]

[data]
background = ["black", "grey"]

[learner.fast]
kind = "gradient"
rate = [1, 0.5]
[learner.hebbian]

[[model]]
kind = "cnn"
learner = "hebbian"
[[model]]
kind = "cnn"
learner = "hebbian"
coordinates = true
channels = [[4], [4, 8]]
[[model]]
kind = "mlp"
learner = ["fast", "hebbian"]

[[battery]]
kind = "generalization"
samples = 32
[[protocol]]
kind = "meta"
[[protocol]]
kind = "transfer"
rate = [0.1, 0.2]
"#;

#[test]
fn sweeps_expand_in_the_order_of_the_file() {
    let experiment = parse(FULL).unwrap();
    assert_eq!(experiment.name, "full");
    assert_eq!(experiment.summary.as_deref(), Some("everything"));
    let labels: Vec<_> =
        experiment.runs.iter().map(|run| format!("{} {}", run.label(), run.seed)).collect();
    let of = |background: &str| {
        let mut expected = Vec::new();
        for model in [
            "cnn channels=[8] coordinates=false · hebbian",
            "cnn channels=[4] coordinates=true · hebbian",
            "cnn channels=[4, 8] coordinates=true · hebbian",
            "mlp · fast rate=1",
            "mlp · fast rate=0.5",
            "mlp · hebbian",
        ] {
            for seed in [3, 1] {
                expected.push(format!("{model} · background={background} {seed}"));
            }
        }
        expected
    };
    assert_eq!(labels, [of("black"), of("grey")].concat());
    let kinds = |entries: &[EntryConfig]| -> Vec<String> {
        entries.iter().map(|entry| entry.kind.clone()).collect()
    };
    assert_eq!(kinds(&experiment.batteries), ["general", "generalization"]);
    assert_eq!(experiment.batteries[1].settings.usize("samples"), 32);
    assert_eq!(kinds(&experiment.protocols), ["meta", "transfer", "transfer"]);
    let slugs: Vec<_> = experiment.protocols.iter().map(EntryConfig::slug).collect();
    assert!(slugs[1].starts_with("transfer-") && slugs[1].len() == "transfer-".len() + 8);
    assert_ne!(slugs[1], slugs[2]);
}

#[test]
fn ids_follow_from_what_runs_alone() {
    let first = parse(SMALL).unwrap().runs.remove(0);
    // A change of this value means that stored runs are no longer found; raise
    // FORMAT only together with it.
    assert_eq!(
        first.canonical_json(),
        concat!(
            r#"{"data":{"arrangement":"random","background":"black","count":1,"distance":0.3,"#,
            r#""falloff":0.0,"fraction":0.5,"margin":4,"positions":"all","positions_seed":0,"size":1,"#,
            r#""speck":"white","split":"training"},"learner":{"kind":"hebbian","settings":{}},"#,
            r#""model":{"kind":"mlp","settings":{"dropout":0.0,"width":64}},"seed":0,"version":2}"#
        )
    );
    assert_eq!(first.id(), "eba99e37ba9478da");
    let same = [
        // Defaults written out, another name, another way to write a number.
        "[data]\nspeck = \"white\"\n[learner.other]\nkind = \"hebbian\"\n[[model]]\nkind = \"mlp\"\ndropout = 0\n",
        "seeds = [0]\nname = \"x\"\n[learner.hebbian]\n[model]\nkind = \"mlp\"\n",
        "model = [{ kind = \"mlp\", width = [64] }]\nlearner = { hebbian = {} }\n",
    ];
    for text in same {
        assert_eq!(parse(text).unwrap().runs[0].id(), first.id(), "{text}");
    }
    let full = parse(FULL).unwrap().runs;
    let ids: std::collections::BTreeSet<_> = full.iter().map(RunConfig::id).collect();
    assert_eq!(ids.len(), full.len());
    let json = serde_json::to_string(&full[0]).unwrap();
    assert_eq!(serde_json::from_str::<RunConfig>(&json).unwrap(), full[0]);
}

#[test]
fn misspelt_keys_are_named_with_their_line() {
    refused(
        &format!("sedes = [1]\n{SMALL}"),
        "dir/first.toml:1: `sedes`: no such setting; did you mean `seeds`?",
    );
    refused(
        &format!("{SMALL}widht = 3\n"),
        "dir/first.toml:4: `widht`: no such setting; did you mean `width`?",
    );
    refused(
        &format!("{SMALL}learnr = \"hebbian\"\n"),
        "dir/first.toml:4: `learnr`: no such setting; did you mean `learner`?",
    );
    refused(
        &format!("[data]\nspek = \"red\"\n{SMALL}"),
        "dir/first.toml:2: `spek`: no such setting; did you mean `speck`?",
    );
}

#[test]
fn wrong_types_and_values_are_refused() {
    refused(
        &format!("{SMALL}\nwidth = \"wide\"\n"),
        "dir/first.toml:5: `width`: expected a whole number from 1 to 512, found the text \"wide\"",
    );
    refused(
        &format!("{SMALL}width = [16, 1000]\n"),
        "dir/first.toml:4: `width`: expected a whole number from 1 to 512, found the number 1000",
    );
    refused(
        &format!("{SMALL}width = 1979-05-27\n"),
        "dir/first.toml:4: `width`: expected a whole number from 1 to 512, found a date",
    );
    refused(
        &format!("{SMALL}[model.width]\n"),
        "dir/first.toml:4: `width`: expected a whole number from 1 to 512, found a table",
    );
    refused(
        &format!("{SMALL}dropout = nan\n"),
        "dir/first.toml:4: `dropout`: expected a number from 0 to 0.9, found the number NaN",
    );
    refused(
        &format!("{SMALL}width = []\n"),
        "dir/first.toml:4: `width`: the list is empty; expected a whole number from 1 to 512, or \
         a list of several",
    );
    refused(
        &format!("{SMALL}dropout = [0, 0.5, 0.0]\n"),
        "dir/first.toml:4: `dropout`: 0 stands twice in the list",
    );
    refused(
        &format!("[data]\nspeck = \"blck\"\n{SMALL}"),
        "dir/first.toml:2: `speck`: \"blck\" is not a colour (\"#rrggbb\", black, white, grey, \
         red, green, blue, yellow, cyan, magenta) or one of contrast, near, between, other, \
         random-batch, random-sample; did you mean \"black\"?",
    );
}

#[test]
fn data_that_cannot_be_are_refused_with_the_line() {
    refused(
        &format!("[data]\nbackground = \"white\"\n\nspeck = \"white\"\n{SMALL}"),
        "dir/first.toml:4: `speck`: the colour of the background: the speck cannot be seen",
    );
    // The key at fault is not in the file: the table is named.
    refused(
        &format!("\n[data]\nbackground = \"white\"\n{SMALL}"),
        "dir/first.toml:2: `speck`: the colour of the background: the speck cannot be seen",
    );
}

#[test]
fn unknown_kinds_get_the_nearest_name() {
    refused(
        "[learner.hebbian]\n[[model]]\nkind = \"mpl\"\n",
        "dir/first.toml:3: `kind`: no model \"mpl\"; did you mean \"mlp\"?",
    );
    refused(
        "[learner.adam]\n[[model]]\nkind = \"mlp\"\n",
        "dir/first.toml:1: `kind`: no learner \"adam\"; there are gradient, hebbian",
    );
    refused(
        "[learner.hebbian]\n[[model]]\n\nwidth = 1\n",
        "dir/first.toml:2: `kind`: missing; one of mlp, cnn",
    );
    refused(
        &format!("{SMALL}learner = [\"hebian\"]\n"),
        "dir/first.toml:4: `learner`: no learner \"hebian\"; did you mean \"hebbian\"?",
    );
    refused(
        &format!("batteries = [\n\"general\",\n\"generalisation\"]\n{SMALL}"),
        "dir/first.toml:3: `batteries`: no battery \"generalisation\"; did you mean \
         \"generalization\"?",
    );
    refused(
        &format!("{SMALL}[[protocol]]\nkind = 3\n"),
        "dir/first.toml:5: `kind`: expected a text, found the number 3",
    );
}

#[test]
fn what_is_missing_or_doubled_is_named() {
    refused("", "dir/first.toml: `learner`: missing; give at least one table [learner.NAME]");
    refused(
        "[learner.hebbian]\n",
        "dir/first.toml: `model`: missing; give at least one table [[model]]",
    );
    refused(
        "[learner.hebbian]\n[learner.gradient]\n[[model]]\nkind = \"mlp\"\n",
        "dir/first.toml:3: `learner`: name at least one learner of hebbian, gradient",
    );
    refused(
        &format!("{SMALL}[[model]]\nkind = \"mlp\"\nwidth = 64\n"),
        "dir/first.toml:4: the same run comes out twice: mlp · hebbian, seed 0",
    );
    refused(
        &format!("batteries = [\"general\", \"general\"]\n{SMALL}"),
        "dir/first.toml:1: `batteries`: \"general\" with the same settings twice",
    );
    refused(
        &format!("model = 3\n{}", "[learner.hebbian]\n"),
        "dir/first.toml:1: `model`: expected tables ([[model]]), found the number 3",
    );
    refused(
        "[learner]\nhebbian = 1\n[[model]]\nkind = \"mlp\"\n",
        "dir/first.toml:2: `hebbian`: expected tables [learner.NAME], found the number 1",
    );
}

#[test]
fn seeds_are_different_whole_numbers() {
    for (seeds, found) in [
        ("[]", "an empty list"),
        ("3", "the number 3"),
        ("[-1]", "the number -1"),
        ("[1, 1]", "1 twice"),
        ("[0.5]", "the number 0.5"),
    ] {
        refused(
            &format!("seeds = {seeds}\n{SMALL}"),
            &format!(
                "dir/first.toml:1: `seeds`: expected a list of different whole numbers from 0, \
                 such as [0, 1]; found {found}"
            ),
        );
    }
}

#[test]
fn names_are_safe_file_names() {
    for bad in ["", "../up", "a/b", ".hidden", "a b", "é"] {
        let error = parse(&format!("name = {bad:?}\n{SMALL}")).unwrap_err();
        assert_eq!(error.line, Some(1));
        assert!(error.message.starts_with("`name`: "), "{error}");
    }
    let error = Experiment::parse(SMALL, "dir/my file.toml", &registries()).unwrap_err();
    assert!(error.message.contains("the file's name will not do"), "{error}");
}

#[test]
fn huge_sweeps_are_refused() {
    let numbers: Vec<String> = (1..=200).map(|number| number.to_string()).collect();
    let list = numbers.join(", ");
    let error = parse(&format!("seeds = [{list}]\n{SMALL}width = [{list}]\n")).unwrap_err();
    assert_eq!(error.message, "asks for 40000 runs; at most 10000 are allowed");
    let shares: Vec<String> = (0..200).map(|number| format!("0.{number:03}")).collect();
    let text = format!("{SMALL}width = [{list}]\ndropout = [{}]\n", shares.join(", "));
    let error = parse(&text).unwrap_err();
    assert!(error.message.contains("more than 10000 combinations"), "{error}");
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    let error = parse("name = \"x\"\nseeds = [1,\n[data]\nx = \n").unwrap_err();
    assert!(error.line.is_some_and(|line| (2..=4).contains(&line)), "{error}");
    assert!(!error.message.contains('\n'));
    let error = parse(&format!("name = \"a\"\nname = \"b\"\n{SMALL}")).unwrap_err();
    assert_eq!(error.line, Some(2), "{error}");
}

#[test]
fn a_missing_file_gets_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("first.toml"), SMALL).unwrap();
    let experiment = Experiment::load(&folder.path().join("first.toml"), &registries()).unwrap();
    assert_eq!(experiment.name, "first");
    let error = Experiment::load(&folder.path().join("frist.toml"), &registries()).unwrap_err();
    let near = folder.path().join("first.toml").display().to_string();
    assert!(error.to_string().ends_with(&format!("did you mean `{near}`?")), "{error}");
    assert_eq!(error.line, None);
    std::fs::write(folder.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    let error = Experiment::load(&folder.path().join("bytes.toml"), &registries()).unwrap_err();
    assert!(error.message.starts_with("cannot be read"), "{error}");
}

#[test]
fn every_default_of_the_real_registries_is_valid() {
    let registries = registries();
    let settings = speck_models::settings::resolve(registries.data.dimensions, &[]).unwrap();
    assert_eq!((registries.data.check)("data", &settings), Ok(()));
    let bad = settings.with("speck", Value::Text("black".to_string()));
    assert!((registries.data.check)("data", &bad).is_err());
}

#[test]
fn a_sweep_over_entries_gives_each_the_settings_that_it_has() {
    let all = crate::registries();
    let runs = |learner: &str| {
        let text = format!("[learner.gradient]\n{learner}\n[[model]]\nkind = \"linear\"\n");
        Experiment::parse(&text, "sweep.toml", &all)
    };
    let found = runs("optimizer = [\"adam\", \"nesterov\"]\nmomentum = [0.8, 0.9]").unwrap();
    let labels: Vec<_> = found.runs.iter().map(|run| run.learner_label.as_str()).collect();
    let adam = "gradient optimizer=adam";
    let nesterov = [0.8, 0.9].map(|share| format!("gradient momentum={share} optimizer=nesterov"));
    assert_eq!(labels, [adam, &nesterov[0], &nesterov[1]]);
    assert_eq!(found.runs[0].learner.1.get("momentum"), None);
    let error = runs("optimizer = \"adam\"\nmomentum = 0.8").unwrap_err().to_string();
    let message = "goes with `optimizer` = sgd or momentum or nesterov or rmsprop or";
    assert!(error.starts_with("sweep.toml:3: `momentum`: ") && error.contains(message), "{error}");
    let groups = "groups = [[\"a*: frozen\"], [\"b*: rate=0.1\", \"c*: ascend\"]]";
    assert_eq!(runs(groups).unwrap().runs.len(), 2);
}
