//! The number of threads changes no bit of a training run.

#[path = "common/adam.rs"]
mod adam;
#[path = "common/cnn.rs"]
mod cnn;

use cnn::Training;
use speck_engine::kernels::Choice;
use speck_engine::{Options, State, passes};

/// The losses of ten steps and the state after them.
fn train(threads: usize, kernels: &str, without: &[&str]) -> (Vec<f32>, State) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool of threads").install(|| {
        let kernels = Choice::parse(kernels).expect("a choice");
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        let mut training = Training::new(&Options { kernels, without, poison: true });
        let losses = (0..10).map(|i| training.step(i).expect("a step")).collect();
        (losses, training.state)
    })
}

fn assert_same_bits(one: &(Vec<f32>, State), other: &(Vec<f32>, State), what: &str) {
    let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&one.0), bits(&other.0), "{what}: losses");
    assert_eq!(one.1.iter().count(), other.1.iter().count());
    for ((name, a), (_, b)) in one.1.iter().zip(other.1.iter()) {
        assert!(a == b, "{what}: slot `{name}` differs");
        assert!(a.to_f64().iter().all(|value| value.is_finite()), "{what}: slot `{name}`");
    }
}

#[test]
fn one_and_more_threads_give_the_same_bits() {
    for kernels in ["", "*:scalar"] {
        let one = train(1, kernels, &[]);
        assert!(one.0[9] < one.0[0], "training does something: {:?}", one.0);
        for threads in [2, 3] {
            assert_same_bits(
                &one,
                &train(threads, kernels, &[]),
                &format!("{threads} `{kernels}`"),
            );
        }
    }
}

#[test]
fn groups_and_passes_change_no_bit_of_it() {
    let all: Vec<_> = passes::ALL.iter().map(|pass| pass.name).chain([passes::GROUPS]).collect();
    let one = train(2, "", &[]);
    assert_same_bits(&one, &train(2, "", &[passes::GROUPS]), "without groups");
    assert_same_bits(&one, &train(2, "", &all), "without any pass");
}
