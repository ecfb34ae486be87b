//! Diagnostics on real learners.

use super::*;
use crate::config::{EntryConfig, Experiment};
use crate::registries;
use crate::run::stage::{Mounted, Stage};
use crate::run::{learner, stage};
use speck_learners::Batches;
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// A network of some hundred parameters, on half of the positions.
const TINY: &str = "[data]\npositions = \"checkerboard\"\n\
    [learner.adam]\nkind = \"gradient\"\nrate = 0.01\nsteps = 60\nbatch = 16\n\
    [[model]]\nkind = \"cnn\"\nchannels = [2, 2]\nhead = \"gap\"\n";

fn experiment(text: &str) -> Experiment {
    Experiment::parse(text, "tiny.toml", &registries()).unwrap()
}

/// Every diagnostic in small, as tables of an experiment.
pub(super) fn small() -> String {
    let settings = |diagnostic: &Diagnostic| -> String {
        let given = |(name, value): &(&str, i64)| {
            let known = diagnostic.dimensions.iter().any(|dimension| dimension.name == *name);
            known.then(|| format!("{name} = {value}\n")).unwrap_or_default()
        };
        let small = [("samples", 8), ("support", 64), ("iterations", 4), ("draws", 1)];
        small.iter().map(given).collect()
    };
    let table = |d: &Diagnostic| format!("[[diagnostic]]\nkind = \"{}\"\n{}", d.name, settings(d));
    ALL.iter().map(table).collect()
}

/// Stages of a run, with its diagnostics or without.
struct Bench {
    experiment: Experiment,
    source: Source,
}

impl Bench {
    fn new(text: &str) -> Self {
        let experiment = experiment(text);
        let run = &experiment.runs[0];
        let data = DataSettings::new(&run.data).unwrap();
        let source = Source::new(&data, run.learner.1.usize("batch"), 7);
        Bench { experiment, source }
    }

    fn learner(&self) -> Box<dyn Learner> {
        let run = &self.experiment.runs[0];
        let kernels = Choice::default();
        learner(run, &run.learner.1, self.source.shape(), &kernels, Mode::Auto).unwrap()
    }

    fn mounted(&self) -> Vec<Mounted> {
        let mount = |config: &EntryConfig| {
            let scene = Scene {
                run: &self.experiment.runs[0],
                settings: &config.settings,
                source: &self.source,
                kernels: &Choice::default(),
                mode: Mode::Auto,
            };
            Mounted {
                slug: config.slug(),
                every: config.settings.usize("every") as u64,
                instrument: (find(&config.kind).unwrap().make)(&scene).unwrap(),
            }
        };
        self.experiment.diagnostics.iter().map(mount).collect()
    }

    fn run(
        &self,
        learner: &mut dyn Learner,
        checkpoint: &Path,
        instruments: &mut [Mounted],
        progress: &dyn Fn(u64),
    ) -> stage::Record {
        let stage = Stage {
            checkpoint,
            interval: Duration::ZERO,
            data: &self.source,
            steps: 60,
            every: 20,
            patience: 0,
            watches: &[],
            progress,
            warn: &|text| panic!("{text}"),
        };
        stage.run(learner, instruments).unwrap()
    }
}

fn bits(learner: &mut dyn Learner) -> Vec<(String, Vec<u8>)> {
    let state = learner.state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.bytes().to_vec())).collect()
}

#[test]
fn training_goes_on_to_the_same_bits_with_every_diagnostic() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(&format!("{TINY}{}", small()));
    let (mut plain, mut watched) = (bench.learner(), bench.learner());
    let without = bench.run(&mut *plain, &folder.path().join("a"), &mut [], &|_| {});
    let mut instruments = bench.mounted();
    let with = bench.run(&mut *watched, &folder.path().join("b"), &mut instruments, &|_| {});
    assert_eq!(bits(&mut *plain), bits(&mut *watched));
    assert_eq!(without.curves, with.curves);
    assert_eq!(with.readings.len(), ALL.len());
    for (slug, readings) in &with.readings {
        let kind = slug.rsplit_once('-').unwrap().0;
        let config = bench.experiment.diagnostics.iter().find(|own| own.kind == kind).unwrap();
        let results = readings.results(kind, &config.settings);
        assert!(!results.curves.is_empty(), "{slug} noted nothing");
        for figure in find(kind).unwrap().figures {
            let there = match figure {
                Figure::Curve(drawn) => !readings.series(drawn.name).is_empty(),
                Figure::Layers(drawn) => {
                    let prefix = format!("{}/", drawn.name);
                    results.curves.iter().any(|point| point.series.starts_with(&prefix))
                }
                Figure::Density(drawn) | Figure::Matrix(drawn) | Figure::Facts(drawn) => {
                    results.artefacts.iter().any(|(name, _)| name == drawn.name)
                }
            };
            assert!(there, "{slug}: nothing for {figure:?}");
        }
    }
    // The trained network is the same file, but for what stands in its notes.
    let read = |name: &str| {
        let found = stage::finished(&folder.path().join(name), &|text| panic!("{text}"));
        found.unwrap().unwrap().0
    };
    let names = |name: &str| -> Vec<String> { read(name).into_iter().map(|(n, _)| n).collect() };
    assert_eq!(names("a"), names("b"));
}

#[test]
fn notes_of_a_stage_that_was_cut_are_those_of_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(&format!("{TINY}{}", small()));
    let whole = {
        let mut learner = bench.learner();
        bench.run(&mut *learner, &folder.path().join("whole"), &mut bench.mounted(), &|_| {})
    };
    for cut in [20, 40] {
        let path = folder.path().join(format!("cut-{cut}"));
        let copy = folder.path().join(format!("copy-{cut}"));
        let done = Cell::new(0);
        // Told of steps, the file is still that of the steps before.
        let keep = |steps: u64| {
            done.set(done.get() + steps);
            if done.get() == cut + 20 {
                std::fs::copy(&path, &copy).unwrap();
            }
        };
        let mut learner = bench.learner();
        bench.run(&mut *learner, &path, &mut bench.mounted(), &keep);
        let kept = std::fs::read(&copy).unwrap();
        let go_on = |instruments: &mut [Mounted]| {
            bench.run(&mut *bench.learner(), &copy, instruments, &|_| {})
        };
        assert_eq!(go_on(&mut bench.mounted()).readings, whole.readings, "cut after {cut}");
        // An instrument that looked at first and then no more has notes with a gap:
        // they are dropped, and not begun anew.
        std::fs::write(&copy, &kept).unwrap();
        let mut some = bench.mounted();
        let gone = some.remove(0).slug;
        let record = go_on(&mut some);
        assert!(!record.readings.contains_key(&gone) && record.readings.len() == ALL.len() - 1);
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |text: &str, wanted: &str| {
        let error = Experiment::parse(text, "tiny.toml", &registries()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    };
    let hebbian = "[learner.hebbian]\n[[model]]\nkind = \"linear\"\n";
    refused(
        &format!("diagnostics = [\"sharpness\"]\n{hebbian}"),
        "tiny.toml:1: `diagnostics`: sharpness: the hebbian learner has no loss to differentiate",
    );
    refused(
        &format!("{hebbian}[[diagnostic]]\nkind = \"prediction-depth\"\n"),
        "prediction-depth: the model `linear` has no hidden layers",
    );
    refused(
        &format!("diagnostics = [\"sharpnes\"]\n{TINY}"),
        "no diagnostic \"sharpnes\"; did you mean \"sharpness\"?",
    );
    let two = TINY.replace("[data]", "[data]\ncount = 2");
    refused(&format!("diagnostics = [\"prediction-depth\"]\n{two}"), "not several");
    let depth = "[[diagnostic]]\nkind = \"prediction-depth\"\n";
    refused(
        &format!("{TINY}{depth}support = 64\nneighbours = 65\n"),
        "`neighbours`: more than the support has samples",
    );
    let everywhere = TINY.replace("checkerboard", "all");
    refused(&format!("{everywhere}{depth}positions = \"held-out\"\n"), "hold no positions out");
}
