use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_same, hash, poisoned, random};

#[test]
fn the_largest_are_found_as_by_the_plain_loops() {
    let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0];
    for taps in [1, 2, 4, 9] {
        for channels in [0, 1, 7, 8, 15, 16, 17, 33, 64] {
            for places in [0, 1, 5, 600] {
                let sizes = Taps { places, taps, channels };
                // Few distinct values make ties; now and then none is finite.
                let mut x: Vec<f32> = random(1, places * taps * channels, -3.0, 3.0);
                for (i, value) in x.iter_mut().enumerate() {
                    *value = value.round();
                    if hash(i as u64).is_multiple_of(5) {
                        *value = specials[i % 4];
                    }
                }
                let k: Vec<f32> = random(2, x.len(), -1.0, 1.0);
                let c: Vec<f32> = random(3, places * channels, -1.0, 1.0);
                for (kernel, k, length) in
                    [(&AT_LARGEST, &k, places * channels), (&TO_LARGEST, &c, x.len())]
                {
                    let mut want = poisoned(length);
                    let [fast @ .., scalar] = kernel.f32 else { panic!("no variants") };
                    (scalar.run)(&sizes, &x, k, &mut want);
                    for variant in fast.iter().filter(|v| v.isa.supported().is_ok()) {
                        for out in on_one_and_two_threads(|| {
                            let mut out = poisoned(length);
                            (variant.run)(&sizes, &x, k, &mut out);
                            out
                        }) {
                            assert_same(&out, &want, &format!("{} {sizes:?}", kernel.name));
                        }
                    }
                }
            }
        }
    }
}
