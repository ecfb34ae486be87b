//! Kernels on shapes and alignments nobody thought of: every variant against
//! `scalar`, on slices that begin anywhere in a cache line, with elements before
//! and after the output that must stay what they are.
//!
//! Products and convolutions of 32 bits have the same in their own tests, where the
//! blocks they are cut into are known. `tests/unsafe.sh` runs this under
//! AddressSanitizer and valgrind.

use proptest::prelude::*;
use speck_kernels::attention::{self, AttentionRows, AttentionShape};
use speck_kernels::convolution::ConvShape;
use speck_kernels::convolution::half as convolution_half;
use speck_kernels::elementwise::{self, Binary, Unary};
use speck_kernels::matmul::{MatmulShape, half::MATMUL_HALF};
use speck_kernels::movement::half as movement_half;
use speck_kernels::movement::{self, Gather, Gathering, Strided};
use speck_kernels::norm::{self, MomentsShape, NormShape};
use speck_kernels::pooling::{self, AveragePool, AveragePooling, PoolShape};
use speck_kernels::reduce::{self, Dim, Reduce, collapse};
use speck_kernels::softmax::{self, Softmax};
use speck_kernels::storage::Storage;
use speck_kernels::{Kernel, Signature};

/// What lies beside an output, and in it before a kernel runs.
const POISON: f32 = -7.75e33;
/// Floats in a cache line.
const LINE: usize = 16;

/// Memory in which a slice begins `shift` floats after a cache line.
struct Memory {
    floats: Vec<f32>,
    start: usize,
    length: usize,
}

impl Memory {
    fn poisoned(length: usize, shift: usize) -> Self {
        let floats = vec![POISON; length + 3 * LINE];
        let to_line = floats.as_ptr().align_offset(4 * LINE);
        Memory { floats, start: to_line + shift % LINE, length }
    }

    /// Values in −2..2 that depend on the seed, with a zero now and then.
    fn random(length: usize, shift: usize, seed: u64) -> Self {
        let mut memory = Memory::poisoned(length, shift);
        let mut state = seed | 1;
        for value in memory.slice_mut() {
            // Xorshift (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1u64 << 24) as f32;
            *value = if state.is_multiple_of(13) { 0.0 } else { 4.0 * unit - 2.0 };
        }
        memory
    }

    fn slice(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.length]
    }

    fn slice_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..self.start + self.length]
    }

    /// The output, if nothing beside it was written.
    fn written(&self) -> Result<Vec<f32>, String> {
        let before = &self.floats[..self.start];
        let after = &self.floats[self.start + self.length..];
        match before.iter().chain(after).all(|value| *value == POISON) {
            true => Ok(self.slice().to_vec()),
            false => Err("wrote beside its output".to_owned()),
        }
    }
}

/// Runs every variant of `kernel` that this processor has, on an output of
/// `length` that begins at `shift`, and compares with the last one, `scalar`:
/// within rounding of the largest value, or of `terms`, the magnitude of what is
/// added up to it.
fn agree<S: Signature>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    terms: f32,
    run: impl Fn(S::Run<f32>, &mut [f32]),
) -> Result<(), TestCaseError> {
    let mut truth = None;
    for variant in kernel.f32.iter().rev().filter(|variant| variant.isa.supported().is_ok()) {
        let mut out = Memory::poisoned(length, shift);
        run(variant.run, out.slice_mut());
        let label = format!("{}:{}", kernel.name, variant.name);
        let found = out.written().map_err(|what| TestCaseError::fail(format!("{label} {what}")))?;
        let Some(truth) = &truth else {
            truth = Some(found);
            continue;
        };
        let sized = |value: &&f32| value.is_finite() && **value != POISON;
        let largest = truth.iter().filter(sized).fold(terms, |a: f32, b| a.max(b.abs()));
        for (i, (found, truth)) in found.iter().zip(truth).enumerate() {
            let same = found == truth || (found.is_nan() && truth.is_nan());
            let close = (found - truth).abs() <= 2e-6 * largest;
            prop_assert!(same || close, "{label}[{i}] is {found}, scalar says {truth}");
        }
    }
    Ok(())
}

/// The same of 16 bits: shifts count them.
struct Halves {
    bits: Vec<u16>,
    start: usize,
    length: usize,
}

const POISONED: u16 = 0xdead;
const BOTH: [Storage; 2] = [Storage::F16, Storage::Bf16];

impl Halves {
    fn poisoned(length: usize, shift: usize) -> Self {
        let bits = vec![POISONED; length + 6 * LINE];
        let to_line = bits.as_ptr().align_offset(4 * LINE);
        Halves { bits, start: to_line + shift % (2 * LINE), length }
    }

    /// What [`Memory::random`] holds, as it is stored.
    fn random(storage: Storage, length: usize, shift: usize, seed: u64) -> Self {
        let mut halves = Halves::poisoned(length, shift);
        let values = Memory::random(length, 0, seed);
        let stored = halves.slice_mut().iter_mut().zip(values.slice());
        stored.for_each(|(bits, value)| *bits = storage.store(*value));
        halves
    }

    fn slice(&self) -> &[u16] {
        &self.bits[self.start..self.start + self.length]
    }

    fn slice_mut(&mut self) -> &mut [u16] {
        &mut self.bits[self.start..self.start + self.length]
    }
}

/// As [`agree`], of outputs of 16 bits, which are to be the same.
fn same<S: Signature>(
    kernel: &Kernel<S>,
    length: usize,
    shift: usize,
    run: impl Fn(S::Run<f32>, &mut [u16]),
) -> Result<(), TestCaseError> {
    let mut truth = None;
    for variant in kernel.f32.iter().rev().filter(|variant| variant.isa.supported().is_ok()) {
        let mut out = Halves::poisoned(length, shift);
        run(variant.run, out.slice_mut());
        let (before, after) = (&out.bits[..out.start], &out.bits[out.start + length..]);
        let beside = before.iter().chain(after).all(|bits| *bits == POISONED);
        prop_assert!(beside, "{}:{} wrote beside its output", kernel.name, variant.name);
        let truth = truth.get_or_insert_with(|| out.slice().to_vec());
        prop_assert_eq!(out.slice(), &truth[..], "{}:{}", kernel.name, variant.name);
    }
    Ok(())
}

const UNARY: &[&Kernel<Unary>] = &[
    &elementwise::NEG,
    &elementwise::SIGN,
    &elementwise::FLOOR,
    &elementwise::EXP,
    &elementwise::EXPM1,
    &elementwise::SIN,
    &elementwise::COS,
    &elementwise::TANH,
    &elementwise::SIGMOID,
    &elementwise::RELU,
    &elementwise::SOFTPLUS,
    &elementwise::ERF,
    &elementwise::SQUARE,
];

const BINARY: &[&Kernel<Binary>] = &[
    &elementwise::ADD,
    &elementwise::SUB,
    &elementwise::MUL,
    &elementwise::MAXIMUM,
    &elementwise::MINIMUM,
    &elementwise::ATAN2,
];

/// How many cases: as many as usual, or `SPECK_FUZZ_CASES` if that is fewer (under a
/// checker that slows them down).
fn cases(usual: u32) -> u32 {
    let most = std::env::var("SPECK_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    most.map_or(usual, |most: u32| most.min(usual))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn one_operand(
        which in 0..UNARY.len(), n in 0usize..300, shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let x = Memory::random(n, shifts[0], seed);
        agree(UNARY[which], n, shifts[1], 1.0, |run, out| {
            // SAFETY: both slices have `n` elements and do not overlap; the
            // variant is supported.
            unsafe { run(x.slice().as_ptr(), out.as_mut_ptr(), n) }
        })?;
    }

    #[test]
    fn two_operands(
        which in 0..BINARY.len(), n in 1usize..300, steps in [0usize..2, 0..2],
        shifts in [0usize..LINE, 0..LINE, 0..LINE], seed: u64,
    ) {
        let a = Memory::random(n, shifts[0], seed);
        let b = Memory::random(n, shifts[1], !seed);
        agree(BINARY[which], n, shifts[2], 1.0, |run, out| {
            // SAFETY: all slices have `n` elements and do not overlap; the
            // variant is supported.
            unsafe {
                run(a.slice().as_ptr(), steps[0], b.slice().as_ptr(), steps[1], out.as_mut_ptr(), n)
            }
        })?;
    }

    #[test]
    fn reductions(
        sizes in prop::collection::vec((0usize..40, any::<bool>()), 0..4),
        shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let dims: Vec<Dim> = sizes.iter().map(|(size, reduced)| Dim { size: *size, reduced: *reduced }).collect();
        let count = |reduced: bool| dims.iter().filter(|dim| reduced || !dim.reduced).map(|dim| dim.size).product();
        let (elements, kept): (usize, usize) = (count(true), count(false));
        let dims = collapse(&dims);
        let x = Memory::random(elements, shifts[0], seed);
        for kernel in [&reduce::SUM, &reduce::MAX] as [&Kernel<Reduce>; 2] {
            agree(kernel, kept, shifts[1], 2.0 * (elements / kept.max(1)) as f32, |run, out| {
                // SAFETY: the slices are as long as the dimensions say; the
                // variant is supported.
                unsafe { run(&dims, x.slice(), out) }
            })?;
        }
    }

    #[test]
    fn softmaxes(
        outer in 0usize..6, length in 1usize..90, inner in 1usize..40,
        shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let x = Memory::random(outer * length * inner, shifts[0], seed);
        for kernel in [&softmax::SOFTMAX, &softmax::LOG_SOFTMAX] as [&Kernel<Softmax>; 2] {
            agree(kernel, x.length, shifts[1], 1.0, |run, out| {
                // SAFETY: both slices have outer · length · inner elements; the
                // variant is supported.
                unsafe { run(outer, length, inner, x.slice(), out) }
            })?;
        }
    }

    #[test]
    fn attentions(
        batch in 0usize..3, queries in 0usize..80, keys in 0usize..150,
        size in 1usize..40, value in 0usize..40, causal: bool,
        shifts in prop::array::uniform5(0usize..LINE), seed: u64,
    ) {
        let scale = 1.0 / (size as f64).sqrt();
        let shape = AttentionShape { batch, queries, keys, size, value, scale, causal, rows: AttentionRows::Apart };
        let lengths = shape.elements();
        let arrays = [0, 1, 2, 3].map(|i| Memory::random(lengths[i], shifts[i], seed.wrapping_add(i as u64)));
        let [q, k, v, c] = [0, 1, 2, 3].map(|i| arrays[i].slice());
        agree(&attention::ATTENTION, lengths[3], shifts[4], 1.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { (run.run)(&shape, q, k, v, out, scratch.slice_mut()) }
        })?;
        // Up to `queries` products are added up.
        let length = lengths[0] + lengths[1] + lengths[2];
        agree(&attention::ATTENTION_GRADIENT, length, shifts[4], 100.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: as above.
            unsafe { (run.run)(&shape, q, k, v, c, out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn packed_attentions(
        samples in 0usize..3, heads in 1usize..4, tokens in 0usize..140, size in 1usize..40,
        causal: bool, shifts in prop::array::uniform3(0usize..LINE), seed: u64,
    ) {
        let shape = AttentionShape {
            batch: samples * heads,
            queries: tokens,
            keys: tokens,
            size,
            value: size,
            scale: 1.0 / (size as f64).sqrt(),
            causal,
            rows: AttentionRows::Packed { heads },
        };
        let length = samples * tokens * heads * size;
        let x = Memory::random(3 * length, shifts[0], seed);
        let c = Memory::random(length, shifts[1], seed ^ 1);
        let part = |which: usize| &x.slice()[(which * heads * size).min(3 * length)..];
        agree(&attention::ATTENTION, length, shifts[2], 1.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { (run.run)(&shape, part(0), part(1), part(2), out, scratch.slice_mut()) }
        })?;
        agree(&attention::ATTENTION_GRADIENT, 3 * length, shifts[2], 100.0, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[0]);
            let (c, scratch) = (c.slice(), scratch.slice_mut());
            // SAFETY: as above.
            unsafe { (run.run)(&shape, part(0), part(1), part(2), c, out, scratch) }
        })?;
    }

    #[test]
    fn norms(
        examples in 0usize..40, groups in 1usize..4, each in 1usize..9, run in 1usize..70,
        by_column: bool, centred: bool, shifts in prop::array::uniform5(0usize..LINE), seed: u64,
    ) {
        // Rows whose values have weights of their own are one group.
        let (groups, width) = if by_column { (1, each * run) } else { (groups, each * run) };
        let run = if by_column { 1 } else { run };
        let shape =
            NormShape { rows: examples * groups, width, centred, epsilon: 0.1, run, groups };
        let arrays = [shape.elements(), shape.weights(), shape.weights(), shape.elements()];
        let lengths = if centred { arrays } else { [arrays[0], arrays[1], 0, arrays[3]] };
        let arrays = [0, 1, 2, 3]
            .map(|i| Memory::random(lengths[i], shifts[i], seed.wrapping_add(i as u64)));
        let [x, weight, bias, c] = [0, 1, 2, 3].map(|i| arrays[i].slice());
        agree(&norm::NORM, shape.elements(), shifts[4], 10.0, |run, out| {
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { run(&shape, x, weight, bias, out) }
        })?;
        let terms = 10.0 * (1 + shape.rows) as f32;
        agree(&norm::NORM_GRADIENT, shape.gradients(), shifts[4], terms, |run, out| {
            let mut scratch = Memory::poisoned(norm::gradient_scratch(&shape), shifts[0]);
            // SAFETY: as above.
            unsafe { run(&shape, x, weight, c, out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn moments(
        samples in 0usize..40, channels in 0usize..5, pixels in 0usize..300,
        shifts in prop::array::uniform2(0usize..LINE), seed: u64,
    ) {
        let shape = MomentsShape { samples, channels, pixels };
        let x = Memory::random(samples * channels * pixels, shifts[0], seed);
        agree(&norm::MOMENTS, 2 * channels, shifts[1], 4.0, |run, out| {
            let mut scratch = Memory::poisoned(shape.scratch(), shifts[0]);
            // SAFETY: as above.
            unsafe { run(&shape, x.slice(), out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn sums_of_tiles(rows in 0usize..9, width in 0usize..300, shift in 0usize..LINE, seed: u64) {
        let x = Memory::random(rows * width, shift, seed);
        let kernel = &reduce::tiles::SUM_TILES;
        for which in 0..3 {
            let length = if which == 2 { width } else { rows };
            agree(kernel, length, shift, (rows * width) as f32, |run, out| {
                let mut totals = vec![0.0f64; length];
                let at = x.slice().as_ptr();
                // SAFETY: `rows · width` elements and as many totals as are
                // written are there; the variant is supported.
                unsafe {
                    match which {
                        0 => (0..rows).for_each(|r| totals[r] = (run.run)(at.add(r * width), width)),
                        1 => (run.each)(at, rows, width, totals.as_mut_ptr()),
                        _ => (run.rows)(at, rows, width, totals.as_mut_ptr()),
                    }
                }
                out.iter_mut().zip(totals).for_each(|(out, total)| *out = total as f32);
            })?;
        }
    }

    #[test]
    fn poolings(
        planes in 0usize..4, input in [1usize..24, 1..40], kernel in [1usize..4, 1..4],
        stride in [1usize..4, 1..4], dilation in [1usize..3, 1..3], pad in any::<bool>(),
        shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let padding = kernel.map(|taps| if pad { taps / 2 } else { 0 });
        let output = [0, 1].map(|axis| {
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let room = input[axis] + 2 * padding[axis];
            if room < reach { 0 } else { (room - reach) / stride[axis] + 1 }
        });
        let shape = PoolShape { planes, input, output, kernel, stride, padding, dilation };
        let x = Memory::random(planes * input[0] * input[1], shifts[0], seed);
        let outputs = planes * output[0] * output[1];
        let mut truth: Option<Vec<i32>> = None;
        let table = pooling::MAX_POOL2D_INDICES.f32.iter().rev();
        for variant in table.filter(|variant| variant.isa.supported().is_ok()) {
            let mut found = vec![i32::MIN; outputs];
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { (variant.run)(&shape, x.slice(), &mut found) };
            let truth = truth.get_or_insert_with(|| found.clone());
            prop_assert_eq!(&found, truth, "{}", variant.name);
        }
        let pool = AveragePool { shape, count_padding: pad, divisor: None };
        let there: &Kernel<AveragePooling> = &pooling::AVERAGE_POOL2D;
        agree(there, outputs, shifts[1], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&pool, x.slice(), out) }
        })?;
        let cotangent = Memory::random(outputs, shifts[1], seed);
        agree(&pooling::AVERAGE_POOL2D_GRADIENT, x.length, shifts[0], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&pool, cotangent.slice(), out) }
        })?;
    }

    #[test]
    fn indexing(
        outer in 0usize..5, source in 1usize..20, picks in 0usize..20, inner in 1usize..40,
        shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let shape = Gathering { outer, source, picks, inner };
        let pick = |i: usize| (i as u64).wrapping_mul(seed | 1) >> 7;
        // One index in some is outside, on either side.
        let index: Vec<i32> = (0..outer * picks * inner)
            .map(|i| (pick(i) % (source as u64 + 2)) as i32 - 1)
            .collect();
        let x = Memory::random(outer * source * inner, shifts[0], seed);
        let there: &Kernel<Gather> = &movement::GATHER;
        agree(there, index.len(), shifts[1], 1.0, |run, out| {
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { run(&shape, x.slice(), &index, out) }
        })?;
        let picked = Memory::random(index.len(), shifts[1], seed);
        agree(&movement::SCATTER_ADD, x.length, shifts[0], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&shape, picked.slice(), &index, out) }
        })?;
    }

    /// Permutations of three axes, with gaps behind the lines of each.
    #[test]
    fn permutations(
        sizes in [0usize..40, 1usize..40, 1usize..5], gap in 0usize..3, order in 0usize..6,
        shifts in [0usize..LINE, 0..LINE], seed: u64,
    ) {
        let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
        let lines = [sizes[0], sizes[1], sizes[2] + gap];
        let own = [lines[1] * lines[2], lines[2], 1].map(|stride| stride as isize);
        let (sizes, strides) = (order.map(|axis| sizes[axis]), order.map(|axis| own[axis]));
        let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
        let (gapped, dense) = (lines.iter().product(), layout.elements());
        let x = Memory::random(gapped, shifts[0], seed);
        agree(&movement::READ_STRIDED, dense, shifts[1], 1.0, |run, out| {
            // SAFETY: the layout lies in its slice, the other is as long as it has
            // elements; the variant is supported.
            unsafe { run(&layout, x.slice(), out) }
        })?;
        let x = Memory::random(dense, shifts[1], seed);
        agree(&movement::WRITE_STRIDED, gapped, shifts[0], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&layout, x.slice(), out) }
        })?;
    }

    /// To 16 bits and back.
    #[test]
    fn conversions_of_16_bits(
        half: bool, n in 0usize..300, shifts in [0usize..LINE, 0..2 * LINE], seed: u64,
    ) {
        let storage = BOTH[usize::from(half)];
        let x = Memory::random(n, shifts[0], seed);
        same(storage.round(), n, shifts[1], |run, out| {
            // SAFETY: both slices have `n` elements and do not overlap; the variant is
            // supported.
            unsafe { run(x.slice().as_ptr(), out.as_mut_ptr(), n) }
        })?;
        let stored = Halves::random(storage, n, shifts[1], seed);
        agree(storage.widen(), n, shifts[0], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(stored.slice().as_ptr(), out.as_mut_ptr(), n) }
        })?;
    }

    #[test]
    fn products_of_16_bits(
        half: bool, batch in 1usize..3, sizes in [0usize..40, 0..70, 0..90],
        turned in [any::<bool>(), any::<bool>()], shared: bool,
        shifts in [0usize..2 * LINE, 0..2 * LINE, 0..LINE], seed: u64,
    ) {
        let storage = BOTH[usize::from(half)];
        let [m, n, k] = sizes;
        let b_stride = if shared { 0 } else { k * n };
        let [transpose_a, transpose_b] = turned;
        let shape =
            MatmulShape { batch, m, n, k, transpose_a, transpose_b, a_stride: m * k, b_stride };
        let a = Halves::random(storage, batch * m * k, shifts[0], seed);
        let b = Halves::random(storage, (batch - 1) * b_stride + k * n, shifts[1], !seed);
        agree(&MATMUL_HALF, batch * m * n, shifts[2], 4.0 * k as f32, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[2]);
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { (run.run)(&shape, storage, a.slice(), b.slice(), out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn convolutions_of_16_bits(
        half: bool, batch in 1usize..4, channels in [1usize..6, 1..6], groups in 1usize..3,
        input in [1usize..20, 1..36], kernel in [1usize..4, 1..4], stride in [1usize..3, 1..3],
        padding in [0usize..3, 0..3], shifts in [0usize..2 * LINE, 0..2 * LINE, 0..LINE],
        seed: u64,
    ) {
        let storage = BOTH[usize::from(half)];
        let shape = ConvShape {
            batch,
            in_channels: channels[0] * groups,
            out_channels: channels[1] * groups,
            groups,
            input,
            kernel,
            stride,
            padding,
            dilation: [1, 1],
        };
        let [height, width] = shape.output();
        if height * width == 0 {
            return Ok(());
        }
        let lengths = [
            batch * shape.in_channels * input[0] * input[1],
            shape.out_channels * channels[0] * kernel[0] * kernel[1],
            batch * shape.out_channels * height * width,
        ];
        // Image, weight and output; of the three, each pass reads two and makes one.
        let passes = [
            (&convolution_half::CONV2D_HALF, [0, 1, 2]),
            (&convolution_half::CONV2D_INPUT_GRADIENT_HALF, [2, 1, 0]),
            (&convolution_half::CONV2D_WEIGHT_GRADIENT_HALF, [0, 2, 1]),
        ];
        for (kernel, [first, second, made]) in passes {
            let a = Halves::random(storage, lengths[first], shifts[0], seed);
            let b = Halves::random(storage, lengths[second], shifts[1], !seed);
            // No more products than that are added up to a result.
            let most = lengths[first].max(lengths[second]) as f32;
            agree(kernel, lengths[made], shifts[2], most.min(1000.0), |run, out| {
                let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[2]);
                let scratch = scratch.slice_mut();
                // SAFETY: as above.
                unsafe { (run.run)(&shape, storage, a.slice(), b.slice(), out, scratch) }
            })?;
        }
    }

    #[test]
    fn moves_of_16_bits(
        outer in 0usize..5, source in 1usize..20, picks in 0usize..20, inner in 1usize..40,
        shifts in [0usize..2 * LINE, 0..2 * LINE], seed: u64,
    ) {
        let shape = Gathering { outer, source, picks, inner };
        let pick = |i: usize| (i as u64).wrapping_mul(seed | 1) >> 7;
        let index: Vec<i32> = (0..outer * picks * inner)
            .map(|i| (pick(i) % (source as u64 + 2)) as i32 - 1)
            .collect();
        let x = Halves::random(Storage::F16, outer * source * inner, shifts[0], seed);
        same(&movement_half::GATHER_HALF, index.len(), shifts[1], |run, out| {
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { run(&shape, x.slice(), &index, 0x7e00, out) }
        })?;
        if outer > 0 {
            same(&movement_half::INDEX_SELECT_HALF, index.len(), shifts[1], |run, out| {
                // SAFETY: as above.
                unsafe { run(&shape, x.slice(), &index[..picks], 0x7e00, out) }
            })?;
        }
        // The planes [source, inner] turned, and put back.
        let sizes = [outer, inner, source];
        let strides = [source * inner, 1, inner].map(|stride| stride as isize);
        let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
        same(&movement_half::READ_STRIDED_HALF, x.length, shifts[1], |run, out| {
            // SAFETY: as above.
            unsafe { run(&layout, x.slice(), out) }
        })?;
        same(&movement_half::WRITE_STRIDED_HALF, x.length, shifts[1], |run, out| {
            // SAFETY: as above.
            unsafe { run(&layout, x.slice(), out) }
        })?;
    }
}
