//! Convolutions and their two gradients.

use crate::cases;
use crate::compare::agree;
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::convolution::half::{
    CONV2D_HALF, CONV2D_INPUT_GRADIENT_HALF, CONV2D_WEIGHT_GRADIENT_HALF,
};
use speck_kernels::convolution::{
    CONV2D, CONV2D_INPUT_GRADIENT, CONV2D_WEIGHT_GRADIENT, ConvShape,
};
use speck_kernels::storage::Storage;
use std::ops::Range;

/// Elements of image, weight and output.
fn lengths(shape: &ConvShape) -> [usize; 3] {
    let plane = |[height, width]: [usize; 2]| height * width;
    let weight = shape.out_channels * (shape.in_channels / shape.groups) * plane(shape.kernel);
    [
        shape.batch * shape.in_channels * plane(shape.input),
        weight,
        shape.batch * shape.out_channels * plane(shape.output()),
    ]
}

/// Magnitude of the products added up to an element of image, weight and output.
/// Winograd's forms add to them others of about that size, which cancel.
fn terms(shape: &ConvShape) -> [f32; 3] {
    let taps = shape.kernel[0] * shape.kernel[1];
    let [height, width] = shape.output();
    let products = [
        shape.out_channels / shape.groups * taps,
        shape.batch * height * width,
        shape.in_channels / shape.groups * taps,
    ];
    products.map(|products| 16.0 * products.max(4) as f32)
}

/// Few channels, or as many as Winograd's forms want.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1usize..7, 1 => 15usize..37]
}

fn pair<S: Strategy<Value = usize> + Clone>(of: S) -> [S; 2] {
    [of.clone(), of]
}

/// Anything, with few pixels.
fn any_shape() -> impl Strategy<Value = ConvShape> {
    let sizes = (0usize..4, channels(), channels(), 1usize..3, [1usize..20, 1..36]);
    let window = (pair(1usize..5), pair(1usize..4), pair(0usize..4), pair(1usize..4));
    (sizes, window).prop_map(
        |((batch, i, o, groups, input), (kernel, stride, padding, dilation))| ConvShape {
            batch,
            in_channels: i * groups,
            out_channels: o * groups,
            groups,
            input,
            kernel,
            stride,
            padding,
            dilation,
        },
    )
}

/// Rows of the image or of the output that are whole vectors, without a border or
/// with as much as the kernel reaches: there a tap of a row's end is read from the
/// next row, and that of the last row from behind the image.
fn shape_of_whole_vectors() -> impl Strategy<Value = ConvShape> {
    let sizes = (1usize..4, channels(), channels(), 1usize..3, 1usize..10);
    let width = (prop::sample::select(vec![8usize, 16, 32]), any::<bool>());
    let window = (
        pair(prop::sample::select(vec![1usize, 2, 3, 5])),
        pair(1usize..3),
        [any::<bool>(), any::<bool>()],
    );
    (sizes, width, window).prop_map(
        |((batch, i, o, groups, height), (width, is_output), (kernel, stride, is_padded))| {
            let padding = [0, 1].map(|axis| if is_padded[axis] { kernel[axis] - 1 } else { 0 });
            // The input of which the output is so wide.
            let room = stride[1] * (width - 1) + kernel[1] - 2 * padding[1];
            ConvShape {
                batch,
                in_channels: i * groups,
                out_channels: o * groups,
                groups,
                input: [height, if is_output { room } else { width }],
                kernel,
                stride,
                padding,
                dilation: [1, 1],
            }
        },
    )
}

/// Image, weight and output; of the three, each pass reads two and makes one.
const PASSES: [[usize; 3]; 3] = [[0, 1, 2], [2, 1, 0], [0, 2, 1]];

fn check(
    shape: &ConvShape,
    reported: bool,
    shifts: [usize; 4],
    seed: u64,
) -> Result<(), TestCaseError> {
    let (lengths, terms) = (lengths(shape), terms(shape));
    let kernels = [&CONV2D, &CONV2D_INPUT_GRADIENT, &CONV2D_WEIGHT_GRADIENT];
    for (kernel, [first, second, made]) in kernels.into_iter().zip(PASSES) {
        let a = Memory::random(lengths[first], shifts[0], seed);
        let b = Memory::random(lengths[second], shifts[1], !seed);
        agree(kernel, lengths[made], shifts[2], terms[made], |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(shape), shifts[3]);
            let (a, b, scratch) = (a.slice(), b.slice(), scratch.slice_mut());
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported, and nobody touches the result meanwhile.
            unsafe {
                match run.report {
                    Some(report) if reported => {
                        let nobody = |_: Range<usize>, _: *mut u8| {};
                        report(shape, a, b, out.as_mut_ptr(), scratch, &nobody);
                    }
                    _ => (run.run)(shape, a, b, out, scratch),
                }
            }
        })?;
    }
    Ok(())
}

fn check_of_16_bits(
    shape: &ConvShape,
    storage: Storage,
    shifts: [usize; 4],
    seed: u64,
) -> Result<(), TestCaseError> {
    let (lengths, terms) = (lengths(shape), terms(shape));
    let kernels = [&CONV2D_HALF, &CONV2D_INPUT_GRADIENT_HALF, &CONV2D_WEIGHT_GRADIENT_HALF];
    for (kernel, [first, second, made]) in kernels.into_iter().zip(PASSES) {
        let a = Memory::stored(storage, lengths[first], shifts[0], seed);
        let b = Memory::stored(storage, lengths[second], shifts[1], !seed);
        agree(kernel, lengths[made], shifts[2], terms[made], |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(shape), shifts[3]);
            let (a, b, scratch) = (a.slice(), b.slice(), scratch.slice_mut());
            // SAFETY: as above.
            unsafe { (run.run)(shape, storage, a, b, out, scratch) }
        })?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(400)))]

    #[test]
    fn of_any_shape(
        shape in any_shape(), reported: bool, shifts in [SHIFTS; 4], seed: u64,
    ) {
        check(&shape, reported, shifts, seed)?;
    }

    #[test]
    fn of_whole_vectors(
        shape in shape_of_whole_vectors(), reported: bool, shifts in [SHIFTS; 4], seed: u64,
    ) {
        check(&shape, reported, shifts, seed)?;
    }

    #[test]
    fn of_16_bits_of_any_shape(
        shape in any_shape(), half: bool, shifts in [SHIFTS; 4], seed: u64,
    ) {
        let storage = if half { Storage::Bf16 } else { Storage::F16 };
        check_of_16_bits(&shape, storage, shifts, seed)?;
    }

    #[test]
    fn of_16_bits_of_whole_vectors(
        shape in shape_of_whole_vectors(), half: bool, shifts in [SHIFTS; 4], seed: u64,
    ) {
        let storage = if half { Storage::Bf16 } else { Storage::F16 };
        check_of_16_bits(&shape, storage, shifts, seed)?;
    }
}
