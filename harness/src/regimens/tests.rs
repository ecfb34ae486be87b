use super::*;
use crate::config::Experiment;
use crate::registries;

const BASE: &str = "[data]\nspeck = \"near\"\ncount = 3\n\
    [learner.gradient]\nsteps = 103\nbatch = 8\nrate = 0.02\nweight_decay = 0.1\n\
    groups = [\"head.*: rate=0.5\"]\n\
    [[model]]\nkind = \"cnn\"\nchannels = [2, 3]\nnorm = \"batch\"\n";

fn runs(regimen: &str) -> Result<Vec<RunConfig>, String> {
    // Tasks have to differ.
    let meta = ["\"maml\"", "\"reptile\""].iter().any(|kind| regimen.contains(kind));
    let base = if meta { BASE.replace("near", "random-batch") } else { BASE.to_owned() };
    let text = format!("{base}[[regimen]]\n{regimen}");
    let experiment = Experiment::parse(&text, "test.toml", &registries());
    experiment.map(|experiment| experiment.runs).map_err(|error| error.to_string())
}

fn of(regimen: &str) -> Vec<Stretch> {
    let runs = runs(regimen).unwrap();
    assert_eq!(runs.len(), 1, "{regimen}");
    stretches(&runs[0]).unwrap()
}

fn lengths(stretches: &[Stretch]) -> Vec<u64> {
    stretches.iter().map(|stretch| stretch.steps).collect()
}

/// The groups that a stretch puts before those of the run.
fn own_groups(stretch: &Stretch) -> Vec<&str> {
    let all = stretch.learner.text_list("groups");
    assert_eq!(all.last(), Some(&"head.*: rate=0.5"), "the run's own groups stay");
    all[..all.len() - 1].to_vec()
}

#[test]
fn every_regimen_spends_the_steps_of_the_run() {
    for regimen in ALL {
        let stretches = of(&format!("kind = \"{}\"\n", regimen.name));
        assert_eq!(lengths(&stretches).iter().sum::<u64>(), 103, "{}", regimen.name);
        assert!(stretches.iter().all(|stretch| stretch.steps > 0), "{}", regimen.name);
        assert!(!regimen.source.is_empty() && !regimen.summary.is_empty());
        let plain = [DEFAULT, "maml", "reptile"].contains(&regimen.name);
        assert_eq!(stretches.len() == 1, plain, "{}", regimen.name);
    }
}

#[test]
fn a_plain_run_has_the_id_it_had_before_there_were_regimens() {
    let named = runs("kind = \"plain\"\n").unwrap();
    let silent = Experiment::parse(BASE, "test.toml", &registries()).unwrap().runs;
    assert_eq!(named, silent);
    assert!(!silent[0].canonical_json().contains("regimen"));
    let other = runs("kind = \"llf\"\n").unwrap();
    assert!(other[0].canonical_json().contains("\"regimen\":{\"kind\":\"llf\""));
    assert_eq!(other[0].learner_label, "gradient + llf");
    let swept = runs("kind = \"llf\"\ngenerations = [2, 3]\n[[regimen]]\nkind = \"plain\"\n");
    let labels: Vec<_> = swept.unwrap().into_iter().map(|run| run.learner_label).collect();
    let expected = ["gradient + llf generations=2", "gradient + llf generations=3", "gradient"];
    assert_eq!(labels, expected);
}

#[test]
fn layers_hold_their_norms() {
    let run = &runs("kind = \"plain\"\n").unwrap()[0];
    let found = layers(run).unwrap();
    let names: Vec<_> = found.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["conv.0", "conv.1", "head"]);
    let slots = ["conv.1.weight", "conv.1.bias", "norm.1.weight", "norm.1.bias"];
    let kept = ["norm.1.running_mean", "norm.1.running_var"];
    assert_eq!(found[1].slots, [&slots[..], &kept[..]].concat());
    assert_eq!(found[1].parameters, slots);
}

#[test]
fn forgetting_renews_the_later_layers() {
    let stretches = of("kind = \"llf\"\nearly_layers = 2\n");
    assert_eq!(lengths(&stretches), [25, 26, 26, 26]);
    for stretch in &stretches {
        assert_eq!(stretch.start, Start::Weights { renewed: vec!["head".to_owned()] });
        assert_eq!(stretch.learner.usize("steps") as u64, stretch.steps, "a schedule of its own");
        assert!(own_groups(stretch).is_empty());
    }
}

#[test]
fn early_layers_climb_a_quarter_of_each_generation_but_the_first() {
    let stretches = of("kind = \"seal\"\n");
    assert_eq!(lengths(&stretches), [25, 7, 19, 7, 19, 7, 19]);
    let offsets = stretches.iter().map(|stretch| stretch.learner.usize("schedule_offset"));
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 0, 7, 0, 7, 0, 7]);
    assert!(stretches.iter().all(|stretch| stretch.start == Start::weights()));
    for (index, stretch) in stretches.iter().enumerate() {
        let climbing = own_groups(stretch);
        if index % 2 == 0 {
            assert!(climbing.is_empty());
            continue;
        }
        let names = ["conv.0.weight", "conv.0.bias", "norm.0.weight", "norm.0.bias"];
        let text = |name| format!("{name}: ascend, rate=0.0002, weight_decay=0");
        assert_eq!(climbing, names.map(text));
    }
    let [all] = &of("kind = \"seal\"\ngenerations = 1\n")[..] else { panic!("one stretch") };
    assert_eq!(all.steps, 103);
    let whole = of("kind = \"seal\"\ngenerations = 2\nascent_share = 1\n");
    assert_eq!(lengths(&whole), [51, 52]);
}

#[test]
fn the_curriculum_ends_with_the_data_of_the_run() {
    let specks = of("kind = \"curriculum\"\n");
    let counts: Vec<_> = specks.iter().map(|stretch| stretch.data.usize("count")).collect();
    assert_eq!(counts, [1, 2, 3]);
    let contrast = of("kind = \"curriculum\"\nof = \"contrast\"\n");
    let distances: Vec<_> = contrast.iter().map(|stretch| stretch.data.float("distance")).collect();
    let wanted = [0.8, 0.55, 0.3];
    assert!(distances.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-12));
    for stretches in [&specks, &contrast] {
        assert_eq!(stretches[2].data, runs("kind = \"plain\"\n").unwrap()[0].data);
        assert!(stretches.iter().all(|stretch| stretch.start == Start::Everything));
        assert!(stretches.iter().all(|stretch| stretch.learner.usize("steps") == 103));
    }
}

#[test]
fn layers_join_and_stop_one_after_the_other() {
    let trained = |stretches: &[Stretch]| -> Vec<(u64, Vec<String>)> {
        let names = ["conv.0", "conv.1", "head"];
        let one = |stretch: &Stretch| {
            let groups = own_groups(stretch);
            let frozen = |name: &&str| groups.contains(&&*format!("{name}.weight: frozen"));
            let learning = names.iter().filter(|name| !frozen(name));
            (stretch.steps, learning.map(|name| (*name).to_owned()).collect())
        };
        stretches.iter().map(one).collect()
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = list(&["conv.0", "conv.1", "head"]);
    let joining = [(26, list(&["head"])), (26, list(&["conv.1", "head"])), (51, all.clone())];
    assert_eq!(trained(&of("kind = \"unfreezing\"\n")), joining);
    let stopping = [(52, all), (25, list(&["conv.1", "head"])), (26, list(&["head"]))];
    assert_eq!(trained(&of("kind = \"freezing\"\n")), stopping);
    let probing = [(52, list(&["conv.0", "conv.1", "head"])), (51, list(&["head"]))];
    assert_eq!(trained(&of("kind = \"probing\"\n")), probing);
    let offsets = of("kind = \"unfreezing\"\n");
    let offsets = offsets.iter().map(|stretch| stretch.learner.usize("schedule_offset"));
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 26, 52]);
}

#[test]
fn fine_tuning_sets_what_its_method_needs() {
    let tuned = |method: &str| {
        let text = format!(
            "kind = \"fine_tuning\"\npretraining_speck = \"red\"\nnew_head = true\nmethod = \"{method}\"\n"
        );
        let stretches = of(&text);
        assert_eq!(stretches[0].data.text("speck"), "red");
        assert!(stretches[1..].iter().all(|stretch| stretch.data.text("speck") == "near"));
        assert_eq!(stretches[1].start, Start::Weights { renewed: vec!["head".to_owned()] });
        stretches
    };
    assert_eq!(lengths(&tuned("all")), [52, 51]);
    assert_eq!(tuned("l2_sp")[1].learner.float("origin_decay"), 0.01);
    let adapted = &tuned("adapters")[1].learner;
    assert_eq!((adapted.usize("adapter_rank"), adapted.float("adapter_alpha")), (4, 4.0));
    assert_eq!(adapted.text_list("adapter_free"), ["head.weight", "head.bias"]);
    assert_eq!(lengths(&tuned("probing_then_all")), [52, 26, 25]);
    assert!(own_groups(&tuned("probing_then_all")[2]).is_empty());
    assert_eq!(lengths(&tuned("unfreezing")), [52, 13, 13, 25]);
    assert_eq!(own_groups(&tuned("probing")[1]).len(), 8);
}

#[test]
fn pretraining_without_labels_has_the_pretext_and_its_settings() {
    let text = "kind = \"fine_tuning\"\npretext = \"masked\"\npatch = \"4\"\n";
    let stretches = of(text);
    let first = &stretches[0].learner;
    assert_eq!((first.text("pretext"), first.text("patch")), ("masked", "4"));
    assert_eq!((first.usize("code"), first.usize("steps")), (64, 52));
    assert_eq!(stretches[1].learner.text("pretext"), "none");
    assert!(stretches[1].learner.get("patch").is_none());
    let error = runs("kind = \"fine_tuning\"\npatch = \"4\"\n").unwrap_err();
    assert!(error.contains("goes with `pretext` = masked only"), "{error}");
}

#[test]
fn tasks_are_parts_of_a_batch_that_differ() {
    let [stretch] = &of("kind = \"maml\"\ntasks = 2\norder = \"first\"\n")[..] else {
        panic!("one stretch")
    };
    let learner = &stretch.learner;
    assert_eq!((stretch.tasks, learner.usize("tasks")), (2, 2));
    assert_eq!((learner.text("meta"), learner.usize("inner_steps")), ("first_order_maml", 1));
    let error = runs("kind = \"maml\"\ntasks = 3\n").unwrap_err();
    assert!(error.contains("`batch`: 8 samples") && error.contains("6 or 12 can"), "{error}");
    let same = format!("{BASE}[[regimen]]\nkind = \"reptile\"\n");
    let error = Experiment::parse(&same, "test.toml", &registries()).unwrap_err().to_string();
    assert!(error.contains("speck = \"random-batch\""), "{error}");
}

#[test]
fn what_cannot_be_is_refused_with_what_could() {
    let cases = [
        ("kind = \"seall\"\n", "did you mean \"seal\"?"),
        ("kind = \"seal\"\nascent = 1\n", "did you mean `ascent_rate`?"),
        ("kind = \"seal\"\nascent_share = 1.5\n", "a number from 0 to 1"),
        ("kind = \"llf\"\nearly_layers = 3\n", "2 is the most"),
        ("kind = \"llf\"\ngenerations = 200\n", "103 is the most"),
        ("kind = \"curriculum\"\nfewest = 3\n", "a `count` of 4 at least"),
        ("kind = \"curriculum\"\nof = \"contrast\"\nfarthest = 0.1\n", "not farther than the 0.3"),
        ("kind = \"probing\"\nprobes = 3\n", "2 is the most"),
        ("kind = \"unfreezing\"\nshare = 0.005\n", "0.019 is the least"),
        ("kind = \"fine_tuning\"\nmethod = \"adapter\"\n", "did you mean \"adapters\"?"),
        ("kind = \"fine_tuning\"\nrank = 3\n", "goes with `method` = adapters only"),
        ("kind = \"fine_tuning\"\npretraining_speck = \"black\"\n", "`pretraining_speck`"),
    ];
    for (text, wanted) in cases {
        let error = runs(text).unwrap_err();
        assert!(error.starts_with("test.toml:") && error.contains(wanted), "{text}: {error}");
    }
    let hebbian = "[learner.hebbian]\n[[model]]\nkind = \"linear\"\n[[regimen]]\n";
    for (kind, wanted) in [
        ("llf", "has one layer; two are needed"),
        ("seal", "needs `groups`, which the hebbian learner does not have"),
        ("born_again", "needs `distillation`"),
    ] {
        let text = format!("{hebbian}kind = \"{kind}\"\n");
        let error = Experiment::parse(&text, "test.toml", &registries()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{kind}: {error}");
    }
    let taught = BASE.replace("rate = 0.02", "rate = 0.02\ndistillation = 0.5");
    let error = Experiment::parse(&taught, "test.toml", &registries()).unwrap_err().to_string();
    assert!(error.contains("born_again"), "{error}");
}
