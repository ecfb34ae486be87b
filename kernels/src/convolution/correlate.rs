//! Convolution, and the gradient of its input, as sums over constant offsets:
//! an implicit matrix product, the windows being read where the image is.
//!
//! For one image and group the result is a matrix product
//! `result[channel, position] = Σ_k weight[channel, k] · window[k, position]`
//! whose right side, the windows, is the image over and over. Reference: write
//! the windows out (im2col) and multiply. For few channels that is bound by
//! the writing and reading of windows, not by the multiplications: each window
//! element is used once for each of only 8 or 16 output channels.
//!
//! Step 1: no windows. In the copy of the image made by `source`, row `k` of the
//! windows *is* the image, shifted by an offset; a table holds the offset of
//! every `k`. The inner loop loads a few vectors at `position + offset[k]` and
//! multiplies each by one weight a channel.
//!
//! Step 2: no half-empty vectors. Where the width of the result is no multiple
//! of a vector, vectors may run over the end of a row: positions are those of
//! the copy, whose border columns lie between the rows, so that the columns in
//! between are computed and dropped when the result is stored. Whether vectors
//! stop at the end of a row or run on is chosen by which way needs fewer. A
//! table holds for each vector its position, where it is stored, and which
//! lanes are results.
//!
//! Step 3: the tile's shape follows the channels. 16 output channels are two
//! tiles of 8, and a tile with few channels takes more vectors, so that there
//! are always enough independent sums to hide the latency of the multipliers.
//! The last tile of an image takes the vectors that are left, not a full set.
//!
//! Step 4: a kernel one pixel wide without a border reads the image itself, where
//! its rows are whole vectors: 1 × 1, 64 → 64 at 32 × 32 from 68 to 79 % of the
//! multiply-add peak, on two threads from 65 to 79 %.
//!
//! Measured with AVX-512, one thread, on a two-core Zen 5 server, 64 images,
//! kernel 3 × 3, best of repeated calls, in GFLOP/s, the border's products
//! counted; the limit is about 240. The first column is the product of `matmul`
//! on windows that are already written, without the time to write them:
//!
//! | channels, size | product alone | convolution | input's gradient |
//! |---|---|---|---|
//! | 3 → 8, 64 × 64 | 60 | 201 | 170 |
//! | 5 → 8, 64 × 64 | | 216 | 199 |
//! | 8 → 16, 32 × 32 | 76 | 225 | 218 |
//! | 16 → 16, 16 × 16 | 153 | 214 | 207 |
//! | 16 → 16, 8 × 8 | | 150 | 152 |
//! | 32 → 64, 16 × 16 | | 241 | 233 |
//! | 16 → 32, 20 × 20 | | 203 | 195 |
//! | 8 → 16, 64 × 64, stride 2 | | 154 | 112 |
//!
//! What did not help: making the copy with AVX-512 (compiling all for the
//! machine changed nothing). With AVX2 a tile of 4 × 3 vectors runs at half the
//! speed of 6 × 2, since 12 sums, 3 vectors and a weight leave no register.
//! What is left: with stride 2 the inner loop is the same, so what is missing to
//! the other rows is the dealing out of pixels, one by one where the stride is
//! 3 or more, and the putting together of the input's gradient.
//!
//! # The gradient of the input
//! is a correlation of the output's cotangent with the weight, its two channel
//! axes exchanged: input pixel `i` receives through tap `t` from the output
//! position `(i + p − t·d) / s`, if that is whole. For the pixels with
//! `(i + p) mod s = r`, taken as `i = s·j + r − p`, the taps are those with
//! `t·d mod s = r`, and the position is `j − (t·d − r) / s`: a constant offset
//! from `j`. So it is one *pass* of the same loop for each remainder along each
//! axis; with stride 1 there is one. With other strides the results of a pass
//! are put between those of the other passes through a staging buffer.

use super::ConvShape;
use super::source::{Axis, LINE, Layout};
use super::target::{Correlates, Target};
use crate::matmul::parts;
use crate::parallel::{Shared, for_parts};

/// What an instruction set provides.
pub(super) trait Tile {
    /// Floats in a vector.
    const LANES: usize;
    /// Most channels of a tile.
    const ROWS: usize;
    /// Most vectors of a tile of so many channels.
    fn vectors(rows: usize) -> usize;
    /// Computes one tile.
    ///
    /// # Safety
    /// The processor has the instruction set, and the job's promises hold.
    unsafe fn correlate(job: &TileJob);
}

/// A vector of results.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Lanes {
    /// Position in the copy, without the tap's offset.
    pub position: u32,
    /// Where the first lane that is a result is stored; the others follow.
    pub stored: u32,
    /// Which lanes are results, the lowest bit first.
    pub results: u32,
}

// SAFETY: three integers, for which zero is a value.
unsafe impl bytemuck::Zeroable for Lanes {}
// SAFETY: three integers of one size, hence no padding, and any bits are a
// value of them.
unsafe impl bytemuck::Pod for Lanes {}

/// Elements of scratch that hold a [`Lanes`].
const LANES_SIZE: usize = size_of::<Lanes>() / size_of::<f32>();

/// One tile: for each row `r` and each lane `l` of each vector
/// `Σ_k weights[k · weight_step + r] · source[position + l + offsets[k]]`.
pub(super) struct TileJob<'a> {
    /// `1..=Tile::ROWS`.
    pub rows: usize,
    /// `1..=Tile::vectors(rows)` of them.
    pub vectors: &'a [Lanes],
    /// `rows` values a step.
    pub weights: *const f32,
    /// Elements between steps of the weights.
    pub weight_step: usize,
    /// One for each step.
    pub offsets: &'a [u32],
    /// Readable for whole vectors at all positions and offsets.
    pub source: *const f32,
    /// Writable at `row · out_step + stored` and on, for the number of results.
    pub out: *mut f32,
    /// Elements between rows.
    pub out_step: usize,
}

/// Which of the two is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The output from the input.
    Forward,
    /// The gradient of the input from the output's cotangent.
    InputGradient,
}

/// One axis of a pass.
#[derive(Clone, Copy)]
struct PassAxis {
    dilation: usize,
    stride: usize,
    /// The remainder that taps must have; none in the forward direction.
    remainder: Option<usize>,
    /// The gradient's position in the source of the first result, for a tap
    /// at the remainder itself.
    origin: usize,
    /// Number of results.
    count: usize,
    /// Pixel of the first result, and pixels from one to the next.
    first: usize,
    step: usize,
}

impl PassAxis {
    fn forward(shape: &ConvShape, axis: usize) -> Self {
        PassAxis {
            dilation: shape.dilation[axis],
            stride: shape.stride[axis],
            remainder: None,
            origin: 0,
            count: shape.output()[axis],
            first: 0,
            step: 1,
        }
    }

    fn input_gradient(shape: &ConvShape, axis: usize, remainder: usize, source: &Axis) -> Self {
        let (stride, padding) = (shape.stride[axis], shape.padding[axis]);
        // j runs over 0 ≤ s·j + r − p < pixels.
        let start = padding.saturating_sub(remainder).div_ceil(stride);
        let end = (shape.input[axis] + padding).saturating_sub(remainder).div_ceil(stride);
        PassAxis {
            dilation: shape.dilation[axis],
            stride,
            remainder: Some(remainder),
            origin: (start as isize + source.border) as usize,
            count: end.saturating_sub(start),
            first: (stride * start + remainder).saturating_sub(padding),
            step: stride,
        }
    }

    /// The plane and the shift at which a tap is read, if it belongs to the pass.
    fn tap(&self, tap: usize) -> Option<(usize, usize)> {
        let reach = tap * self.dilation;
        match self.remainder {
            None => Some((reach % self.stride, reach / self.stride)),
            Some(remainder) => (reach % self.stride == remainder)
                .then(|| (0, self.origin - (reach - remainder) / self.stride)),
        }
    }

    fn taps(&self, kernel: usize) -> usize {
        (0..kernel).filter(|&tap| self.tap(tap).is_some()).count()
    }
}

/// One pass, with where its tables start.
struct Pass {
    axes: [PassAxis; 2],
    /// Length of the sums.
    depth: usize,
    /// Number of vectors.
    vectors: usize,
    /// Whether vectors stop at the end of a row.
    row_by_row: bool,
    /// Elements before this pass's in the table of offsets, of vectors, and
    /// steps before this pass's in the packed weights of a group.
    offsets_at: usize,
    vectors_at: usize,
}

/// How a shape is computed.
struct Plan {
    direction: Direction,
    shape: ConvShape,
    source: Layout,
    /// Channels of the result in a group, of a tile, and of all tiles.
    rows: usize,
    tile_rows: usize,
    padded_rows: usize,
    /// Elements of an image of the source and of the result, in a group.
    source_image: usize,
    result_image: usize,
    /// Elements of the staging buffer.
    staging: usize,
    /// Images (batch × groups) of a part.
    part: usize,
    lanes: usize,
    /// Whether the source is read where it is: it is its own copy, and rows of
    /// results are as wide as its rows, so that no vector leaves it.
    in_place: bool,
    /// Elements of the tables over all passes.
    offsets: usize,
    vectors: usize,
}

impl Plan {
    fn new<T: Tile>(shape: &ConvShape, direction: Direction) -> Self {
        let forward = direction == Direction::Forward;
        let (channels, rows) = match direction {
            Direction::Forward => (shape.group_in(), shape.group_out()),
            Direction::InputGradient => (shape.group_out(), shape.group_in()),
        };
        let axes = match direction {
            Direction::Forward => [0, 1].map(|axis| Axis::of_input(shape, axis)),
            Direction::InputGradient => [0, 1].map(|axis| cotangent_axis(shape, axis)),
        };
        let source = Layout::new(channels, axes);
        let (source_pixels, result_pixels) = match direction {
            Direction::Forward => (shape.input_pixels(), shape.output_pixels()),
            Direction::InputGradient => (shape.output_pixels(), shape.input_pixels()),
        };
        let tile_rows = rows.div_ceil(rows.div_ceil(T::ROWS).max(1)).max(1);
        let images = shape.batch * shape.groups;
        let mut plan = Plan {
            direction,
            shape: *shape,
            source,
            rows,
            tile_rows,
            padded_rows: rows.next_multiple_of(tile_rows),
            source_image: channels * source_pixels,
            result_image: rows * result_pixels,
            staging: 0,
            part: images.div_ceil(parts(shape.products())).max(1),
            lanes: T::LANES,
            in_place: source.is_image(T::LANES),
            offsets: 0,
            vectors: 0,
        };
        let strided = !forward && shape.stride != [1, 1];
        let (mut offsets, mut vectors, mut staging) = (0, 0, 0);
        let mut in_place = plan.in_place;
        for pass in plan.passes() {
            in_place &= pass.axes[1].count == source.pitch();
            offsets += pass.depth;
            vectors += pass.vectors;
            staging = staging.max(rows * pass.axes[0].count * pass.axes[1].count);
        }
        (plan.offsets, plan.vectors, plan.in_place) = (offsets, vectors, in_place);
        plan.staging = if strided { staging.next_multiple_of(LINE) } else { 0 };
        plan
    }

    fn passes(&self) -> impl Iterator<Item = Pass> {
        let remainders = match self.direction {
            Direction::Forward => [1, 1],
            Direction::InputGradient => self.shape.stride,
        };
        let (mut offsets_at, mut vectors_at) = (0, 0);
        (0..remainders[0] * remainders[1]).map(move |index| {
            let remainder = [index / remainders[1], index % remainders[1]];
            let axes = [0, 1].map(|axis| match self.direction {
                Direction::Forward => PassAxis::forward(&self.shape, axis),
                Direction::InputGradient => {
                    let source = &self.source.axes[axis];
                    PassAxis::input_gradient(&self.shape, axis, remainder[axis], source)
                }
            });
            let [height, width] = axes.map(|axis| axis.count);
            let taps = axes[0].taps(self.shape.kernel[0]) * axes[1].taps(self.shape.kernel[1]);
            let by_row = height * width.div_ceil(self.lanes);
            let running_on = match height * width {
                0 => 0,
                _ => ((height - 1) * self.source.pitch() + width).div_ceil(self.lanes),
            };
            let pass = Pass {
                axes,
                depth: self.source.channels * taps,
                vectors: by_row.min(running_on),
                row_by_row: by_row <= running_on,
                offsets_at,
                vectors_at,
            };
            offsets_at += pass.depth;
            vectors_at += pass.vectors;
            pass
        })
    }

    fn parts(&self) -> usize {
        (self.shape.batch * self.shape.groups).div_ceil(self.part)
    }

    /// Elements of the copy of an image; the last vector may run over its end.
    fn copy(&self) -> usize {
        if self.in_place {
            return 0;
        }
        (self.source.size() + self.lanes).next_multiple_of(LINE)
    }

    /// Elements of scratch for offsets, vectors, weights, and one part.
    fn regions(&self) -> [usize; 4] {
        let weights = self.shape.groups * self.padded_rows * self.offsets;
        let whole_lines = |elements: usize| elements.next_multiple_of(LINE);
        [
            whole_lines(self.offsets),
            whole_lines(self.vectors * LANES_SIZE),
            whole_lines(weights),
            self.copy() + self.staging,
        ]
    }

    fn scratch(&self) -> usize {
        let [offsets, vectors, weights, part] = self.regions();
        LINE + offsets + vectors + weights + self.parts() * part
    }

    /// Fills the table of offsets, and the weights: for each group, pass and
    /// tile of rows, the rows' weights side by side at each step.
    fn prepare_depth(&self, weight: &[f32], offsets: &mut [u32], packed: &mut [f32]) {
        let [kernel_height, kernel_width] = self.shape.kernel;
        let (taps, group_size) = (self.shape.taps(), self.shape.weight_size() / self.shape.groups);
        // Steps in the weight from one channel of the source, and of the
        // result, to the next.
        let filter = self.shape.group_in() * taps;
        let [channel_step, row_step] = match self.direction {
            Direction::Forward => [taps, filter],
            Direction::InputGradient => [filter, taps],
        };
        for pass in self.passes() {
            let mut step = 0;
            for channel in 0..self.source.channels {
                for (ky, y) in (0..kernel_height).filter_map(|k| Some((k, pass.axes[0].tap(k)?))) {
                    for (kx, x) in (0..kernel_width).filter_map(|k| Some((k, pass.axes[1].tap(k)?)))
                    {
                        let plane = self.source.plane_at(channel, [y.0, x.0]);
                        let offset = plane + y.1 * self.source.pitch() + x.1;
                        offsets[pass.offsets_at + step] = offset as u32;
                        for group in 0..self.shape.groups {
                            let from = channel * channel_step + ky * kernel_width + kx;
                            let from = &weight[group * group_size + from..];
                            for (tile, first) in (0..self.rows).step_by(self.tile_rows).enumerate()
                            {
                                let to =
                                    self.weights_at(group, &pass, tile) + step * self.tile_rows;
                                for row in 0..self.tile_rows.min(self.rows - first) {
                                    packed[to + row] = from[(first + row) * row_step];
                                }
                            }
                        }
                        step += 1;
                    }
                }
            }
        }
    }

    /// Where the packed weights of a tile of rows start.
    fn weights_at(&self, group: usize, pass: &Pass, tile: usize) -> usize {
        (group * self.offsets + pass.offsets_at) * self.padded_rows
            + tile * self.tile_rows * pass.depth
    }

    /// Fills the table of vectors.
    fn prepare_vectors(&self, table: &mut [Lanes]) {
        let pitch = self.source.pitch();
        for pass in self.passes() {
            let width = pass.axes[1].count;
            let results = pass.axes[0].count * width;
            let table = &mut table[pass.vectors_at..pass.vectors_at + pass.vectors];
            let row_vectors = width.div_ceil(self.lanes).max(1);
            for (index, vector) in table.iter_mut().enumerate() {
                let (row, column) = match pass.row_by_row {
                    true => (index / row_vectors, index % row_vectors * self.lanes),
                    false => (index * self.lanes / pitch, index * self.lanes % pitch),
                };
                let is_result = |lane: &usize| match pass.row_by_row {
                    true => column + lane < width,
                    false => {
                        let row = row + (column + lane) / pitch;
                        (column + lane) % pitch < width && row * width < results
                    }
                };
                let bits = (0..self.lanes).filter(is_result).map(|lane| 1u32 << lane);
                // Where a vector starts between two rows, its first result is
                // the first of the next row.
                *vector = Lanes {
                    position: (row * pitch + column) as u32,
                    stored: (row * width + column.min(width)) as u32,
                    results: bits.sum(),
                };
            }
        }
    }
}

/// The axis that the input's gradient reads: the cotangent of the output,
/// positions `⌊(p − (k − 1)·d) / s⌋` to `⌊(pixels − 1 + p) / s⌋`.
fn cotangent_axis(shape: &ConvShape, axis: usize) -> Axis {
    let [stride, padding] = [shape.stride[axis], shape.padding[axis]].map(|x| x as isize);
    let reach = ((shape.kernel[axis] - 1) * shape.dilation[axis]) as isize;
    let first = (padding - reach).div_euclid(stride);
    let last = (shape.input[axis] as isize - 1 + padding).div_euclid(stride);
    Axis {
        pixels: shape.output()[axis],
        planes: 1,
        length: (last - first + 1).max(0) as usize,
        step: 1,
        border: -first,
    }
}

/// Scratch for [`run`].
pub(super) fn scratch<T: Tile>(shape: &ConvShape, direction: Direction) -> usize {
    Plan::new::<T>(shape, direction).scratch()
}

impl<T: Tile> Correlates for T {
    fn needed(shape: &ConvShape, direction: Direction) -> usize {
        scratch::<T>(shape, direction)
    }

    unsafe fn correlate(
        shape: &ConvShape,
        direction: Direction,
        source: &[f32],
        weight: &[f32],
        target: Target<'_>,
        scratch: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe { run::<T>(shape, direction, source, weight, target, scratch) }
    }
}

/// Correlates `source` with `weight`.
///
/// # Safety
/// The processor has the instruction set of `T`, and nobody else touches what of the
/// result has not been handed over.
pub(super) unsafe fn run<T: Tile>(
    shape: &ConvShape,
    direction: Direction,
    source: &[f32],
    weight: &[f32],
    result: Target<'_>,
    scratch: &mut [f32],
) {
    let length = result.length();
    match direction {
        Direction::Forward => shape.check_lengths(source.len(), weight.len(), length),
        Direction::InputGradient => shape.check_lengths(length, weight.len(), source.len()),
    }
    if source.is_empty() || weight.is_empty() || length == 0 {
        // SAFETY: the caller's promise.
        return unsafe { result.zero() };
    }
    let plan = Plan::new::<T>(shape, direction);
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a convolution");
    assert!(u32::try_from(plan.source.size().max(length)).is_ok(), "images of 2^32 elements");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let [offsets, vectors, weights, part_size] = plan.regions();
    let (offsets, rest) = scratch[aligned..].split_at_mut(offsets);
    let (vectors, rest) = rest.split_at_mut(vectors);
    let (weights, buffers) = rest.split_at_mut(weights);
    let offsets: &mut [u32] = bytemuck::cast_slice_mut(offsets);
    let vectors: &mut [Lanes] = bytemuck::cast_slice_mut(&mut vectors[..plan.vectors * LANES_SIZE]);
    plan.prepare_depth(weight, offsets, weights);
    plan.prepare_vectors(vectors);

    let (offsets, vectors, weights) = (&*offsets, &*vectors, &*weights);
    let alone = rayon::current_num_threads() == 1;
    let images = shape.batch * shape.groups;
    let shared_buffers = Shared::new(buffers);
    for_parts(images, plan.part, |range| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the scratch holds a buffer for every part, and parts that
        // share the first one run one after another on this thread.
        let buffer = unsafe { shared_buffers.part(slot * part_size..(slot + 1) * part_size) };
        let (copy, staging) = buffer.split_at_mut(plan.copy());
        // The borders; a buffer used by one part after another has them.
        if slot == part {
            copy.fill(0.0);
        }
        for image in range {
            let group = image % shape.groups;
            let from = &source[image * plan.source_image..][..plan.source_image];
            if !copy.is_empty() {
                plan.source.fill(from, copy);
            }
            let copy = if copy.is_empty() { from } else { &*copy };
            let own = image * plan.result_image..(image + 1) * plan.result_image;
            // SAFETY: images of the result are disjoint and inside it.
            let out = unsafe { result.part(own.clone()) };
            // SAFETY: `T` runs here, by the caller's promise.
            unsafe {
                run_image::<T>(&plan, group, offsets, vectors, weights, copy, staging, out);
            }
            result.done(own);
        }
    });
}

/// All passes over one image.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn run_image<T: Tile>(
    plan: &Plan,
    group: usize,
    offsets: &[u32],
    vectors: &[Lanes],
    weights: &[f32],
    copy: &[f32],
    staging: &mut [f32],
    result: &mut [f32],
) {
    let most_vectors = T::vectors(plan.tile_rows);
    for pass in plan.passes() {
        let [height, width] = pass.axes.map(|axis| axis.count);
        let out = if staging.is_empty() { &mut *result } else { &mut *staging };
        let vectors = &vectors[pass.vectors_at..pass.vectors_at + pass.vectors];
        for vectors in vectors.chunks(most_vectors) {
            for row in (0..plan.rows).step_by(plan.tile_rows) {
                let job = TileJob {
                    rows: plan.tile_rows.min(plan.rows - row),
                    vectors,
                    weights: weights[plan.weights_at(group, &pass, row / plan.tile_rows)..]
                        .as_ptr(),
                    weight_step: plan.tile_rows,
                    offsets: &offsets[pass.offsets_at..pass.offsets_at + pass.depth],
                    source: copy.as_ptr(),
                    out: out[row * height * width..].as_mut_ptr(),
                    out_step: height * width,
                };
                // SAFETY: the tables keep positions plus offsets inside the copy, whose
                // end leaves room for a vector, or the image, of whose rows vectors are
                // whole parts; and the results inside the rows of `out`.
                unsafe { T::correlate(&job) };
            }
        }
        if !staging.is_empty() {
            scatter(plan, &pass, staging, result);
        }
    }
}

/// Puts the results of a pass at their pixels.
fn scatter(plan: &Plan, pass: &Pass, staging: &[f32], result: &mut [f32]) {
    let [vertical, horizontal] = pass.axes;
    let [pixel_rows, pixel_columns] = plan.shape.input;
    if vertical.count * horizontal.count == 0 {
        return;
    }
    for (index, from) in staging.chunks_exact(horizontal.count).enumerate() {
        let (channel, row) = (index / vertical.count, index % vertical.count);
        if channel == plan.rows {
            break;
        }
        let pixel_row = channel * pixel_rows + vertical.first + row * vertical.step;
        let to = &mut result[pixel_row * pixel_columns + horizontal.first..];
        let to = to.iter_mut().step_by(horizontal.step);
        to.zip(from).for_each(|(to, from)| *to = *from);
    }
}
