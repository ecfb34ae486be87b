use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, hash, poisoned, random};

/// What each fast variant gives for operands of these lengths, against the plain
/// loops in twice the precision.
fn compare(
    kernel: &'static Kernel<Correlate>,
    correlation: &Correlation,
    lengths: [usize; 3],
    terms: usize,
    what: &str,
) {
    let [a, b] = [0, 1].map(|i| random::<f32>(i as u64 + 7, lengths[i] + 1, -1.0, 1.0));
    let wide = |values: &[f32]| values[1..].iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let mut want = poisoned::<f64>(lengths[2]);
    let plain = kernel.f64[0].run;
    let mut scratch = poisoned((plain.scratch)(correlation));
    // SAFETY: the plain loops need nothing.
    unsafe { (plain.run)(correlation, &wide(&a), &wide(&b), &mut want, &mut scratch) };
    assert!(want.iter().all(|value| !value.is_nan()));
    let want: Vec<_> = want.iter().map(|value| *value as f32).collect();
    for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
        let results = on_one_and_two_threads(|| {
            let mut out = poisoned(lengths[2] + 1);
            let mut scratch = poisoned((variant.run.scratch)(correlation));
            // SAFETY: the processor has the instruction set.
            unsafe {
                let out = &mut out[1..];
                (variant.run.run)(correlation, &a[1..], &b[1..], out, &mut scratch);
            }
            out.split_off(1)
        });
        let what = format!("{} {} of {what}", kernel.name, variant.name);
        let tolerance = 2e-6 * (1.0 + terms as f64).sqrt();
        assert_close(&results[0], &want, 1e-6, tolerance, &what);
        assert_same(&results[1], &results[0], &what);
    }
}

fn check(picks: Picks, outputs: usize) {
    let what = format!("{picks:?} to {outputs}");
    let correlation = Correlation::new(picks, outputs);
    let images = correlation.picks().image_elements();
    let weights = correlation.depth() * outputs;
    let results = correlation.rows() * outputs;
    compare(&PICKED_CONV, &correlation, [images, weights, results], correlation.depth(), &what);
    let readers = correlation.taps() * correlation.positions() * outputs;
    compare(&PICKED_CONV_INPUT_GRADIENT, &correlation, [results, weights, images], readers, &what);
    compare(
        &PICKED_CONV_WEIGHT_GRADIENT,
        &correlation,
        [images, results, weights],
        correlation.rows(),
        &what,
    );
}

/// Lists of what `outputs` read of `size` rows at `taps` taps, some beyond.
fn lists(outputs: usize, taps: usize, size: usize, seed: u64) -> std::sync::Arc<[u32]> {
    let read = |i: usize| (hash(i as u64 + seed) % (size as u64 + 1)) as u32;
    (0..outputs * taps).map(read).collect()
}

#[test]
fn every_edge_of_every_tile_is_that_of_the_plain_loops() {
    for channels in [1, 2, 3, 8, 13, 14, 15, 17, 32, 33, 65] {
        for outputs in [1, 3, 8, 9, 16, 17, 31, 32, 33, 48, 70] {
            let images = 1 + (channels + outputs) % 4;
            let kernel = [1 + channels % 3, 1 + outputs % 3];
            let output = [1 + outputs % 4, 1 + channels % 5];
            let reads = [0, 1].map(|axis| lists(output[axis], kernel[axis], 4 - axis, 5));
            check(
                Picks { images, image: [4, 3], channels, kernel, reads, negative: false },
                outputs,
            );
        }
    }
}

#[test]
fn nothing_gives_nothing_or_zeros() {
    let kernel = [2, 2];
    let reads = || [lists(2, 2, 3, 1), lists(3, 2, 3, 2)];
    for (images, channels, outputs) in [(0, 2, 3), (2, 0, 3), (2, 2, 0)] {
        let reads = reads();
        check(Picks { images, image: [3, 3], channels, kernel, reads, negative: false }, outputs);
    }
    // All of it beyond the border.
    let reads = [[9; 4].as_slice().into(), [9; 4].as_slice().into()];
    check(Picks { images: 2, image: [3, 3], channels: 5, kernel, reads, negative: false }, 7);
}

#[test]
fn parts_of_rows_images_and_tiles_are_those_of_the_plain_loops() {
    // Many images; one large one; more channels and outputs than positions.
    for (images, output, channels, outputs) in
        [(70, [5, 4], 20, 33), (1, [40, 41], 33, 20), (3, [2, 3], 150, 130)]
    {
        let image = output.map(|size| size + 2);
        let reads = [0, 1]
            .map(|axis| (0..output[axis] as u32).flat_map(|at| [at, at + 1, at + 3]).collect());
        let picks = Picks { images, image, channels, kernel: [3, 3], reads, negative: false };
        check(picks, outputs);
    }
}
