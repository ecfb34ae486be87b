//! The gradient of the weight: sums over positions.
//!
//! `gradient[o, k] = Σ_b Σ_position cotangent[b, o, position] · window[b, k, position]`
//! is a matrix product with short sides and a very long sum. A product of
//! packed panels wants the windows transposed, which costs more than the
//! product. But with the input copied as `source` describes, row `k` of the
//! windows is the copy shifted by `offset[k]`, and both factors lie along
//! memory in the direction of the sum. So a register tile holds, for a few
//! output channels and a few `k`, a vector of partial sums each, and walks the
//! positions: nothing is packed, and lanes are added up at the end.
//!
//! Where a row of the cotangent is whole vectors, the walk goes from row to row,
//! in the cotangent itself. Else the cotangent is copied too, with the source's
//! distance between rows and zeros there, and the walk runs on over the ends of
//! rows.
//!
//! Adding up the lanes of a tile takes as long as some hundred positions, and
//! small images have few: so as many images as fit into half of the second-level
//! cache are copied first, and a tile walks through all of them before it is
//! added up. The lanes of eight sums are added up together. A kernel of 1 × 1
//! without a border reads the input itself.
//!
//! Parts are ranges of images; each sums into a gradient of its own, and these
//! are added in order.
//!
//! Measured as in `correlate`, in GFLOP/s: 3 → 8 at 64 × 64: 144 with the
//! cotangent copied, 194 in place; 8 → 16 at 32 × 32: 177, 201; 16 → 16 at
//! 16 × 16: 160, 167. At 8 × 8, where it is copied: 110. 32 → 64 at 16 × 16:
//! 197. Walks of 512 KiB in place of 256 KiB of copies, and eight sums added up
//! together, as shares of the multiply-add peak, batch 16: 128 → 128 at 16 × 16
//! from 66 to 83 %, on two threads from 58 to 72 %; 64 → 64 at 16 × 16 from 70 to
//! 78 %; stride 2, 32 → 64 at 32 × 32, from 53 to 67 %.
//!
//! What is left: a kernel of 1 × 1, 64 → 64 at 32 × 32, stays at 55 %. The six
//! offsets of a tile are six channels there, not taps of one, so each of its ten
//! vectors a step comes from the second-level cache, some 50 bytes a cycle. That
//! planes lie a multiple of the first-level cache's ways apart is not it: copied
//! to planes a line more apart it runs the same, as it does read in place.

use super::ConvShape;
use super::source::{Axis, LINE, Layout};
use crate::matmul::parts;
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// Most elements of the input that are walked through together: half of a
/// second-level cache of 1 MiB.
const COPIES: usize = 1 << 17;
/// Most elements of the gradients of all parts but one, where that leaves two
/// parts.
const PARTIAL_SUMS: usize = 1 << 20;

/// What an instruction set provides.
pub(super) trait Tile {
    /// Floats in a vector.
    const LANES: usize;
    /// Most output channels of a tile.
    const ROWS: usize;
    /// Most offsets of a tile.
    const OFFSETS: usize;
    /// Computes one tile.
    ///
    /// # Safety
    /// The processor has the instruction set, and the job's promises hold.
    unsafe fn reduce(job: &TileJob);
}

/// How far apart the stations of a walk lie in an operand.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// Elements from one image to the next.
    pub image: usize,
    /// Elements from one line to the next.
    pub line: usize,
}

/// One tile: for each row `r` and offset `k`, `sums[r · sums_step + k] +=`
/// the sum over images, lines and the positions of a line of
/// `cotangent[r · row_step + position] · source[offsets[k] + position]`.
pub(super) struct TileJob<'a> {
    /// `1..=Tile::ROWS`.
    pub rows: usize,
    /// `1..=Tile::OFFSETS` of them.
    pub offsets: &'a [u32],
    /// Number of images.
    pub images: usize,
    /// Lines of an image.
    pub lines: usize,
    /// Vectors of positions of a line.
    pub vectors: usize,
    /// Readable at all rows and positions.
    pub cotangent: *const f32,
    /// Elements from one row to the next.
    pub row_step: usize,
    /// Between stations of the cotangent.
    pub cotangent_steps: Steps,
    /// Readable at all offsets and positions.
    pub source: *const f32,
    /// Between stations of the source.
    pub source_steps: Steps,
    /// Readable and writable at all rows and offsets.
    pub sums: *mut f32,
    /// Elements from one row to the next.
    pub sums_step: usize,
}

/// How a shape is computed.
struct Plan {
    shape: ConvShape,
    source: Layout,
    /// Whether the input is read in place.
    source_in_place: bool,
    /// None where it is read in place.
    cotangent: Option<Layout>,
    /// Elements of the copy of an image; the last vector of the source may run
    /// over its end.
    source_copy: usize,
    cotangent_copy: usize,
    /// Lines of an image, and their vectors.
    lines: usize,
    vectors: usize,
    /// Length of a row of the gradient, of a tile of it, and rows of a tile.
    depth: usize,
    tile_offsets: usize,
    tile_rows: usize,
    /// Images of a part, and of those copied together.
    part: usize,
    chunk: usize,
}

impl Plan {
    fn new<T: Tile>(shape: &ConvShape) -> Self {
        let axes = [0, 1].map(|axis| Axis::of_input(shape, axis));
        let source = Layout::new(shape.group_in(), axes);
        let [height, width] = shape.output();
        let plain = |pixels, length| Axis { pixels, planes: 1, length, step: 1, border: 0 };
        let in_place = width % T::LANES == 0;
        let cotangent = (!in_place).then(|| {
            let axes = [plain(height, height), plain(width, source.pitch())];
            let mut layout = Layout::new(shape.group_out(), axes);
            layout.plane = layout.plane.next_multiple_of(LINE);
            layout
        });
        let positions = (height * source.pitch()).saturating_sub(source.pitch() - width);
        let [lines, vectors] = match in_place {
            true => [height, width / T::LANES],
            false => [1, positions.div_ceil(T::LANES)],
        };
        let source_in_place = in_place && source.is_image(T::LANES);
        let source_copy = match source_in_place {
            true => 0,
            false => (source.size() + T::LANES).next_multiple_of(LINE),
        };
        let cotangent_copy = cotangent.map_or(0, |layout| layout.size());
        let weights = shape.weight_size().max(1);
        let parts = parts(shape.products()).min((PARTIAL_SUMS / weights).max(2));
        let part = shape.batch.div_ceil(parts).max(1);
        let rows = shape.group_out().max(1);
        let depth = (shape.group_in() * shape.taps()).max(1);
        Plan {
            shape: *shape,
            source,
            source_in_place,
            cotangent,
            source_copy,
            cotangent_copy,
            lines,
            vectors,
            depth,
            tile_offsets: depth.div_ceil(depth.div_ceil(T::OFFSETS)),
            tile_rows: rows.div_ceil(rows.div_ceil(T::ROWS)),
            part,
            chunk: (COPIES / (source.size() + cotangent_copy).max(1)).clamp(1, part),
        }
    }

    fn parts(&self) -> usize {
        self.shape.batch.div_ceil(self.part)
    }

    /// Elements of scratch for offsets, the gradients of all parts but the
    /// first, and the copies of one part.
    fn regions(&self) -> [usize; 3] {
        let later = self.parts().saturating_sub(1) * self.shape.weight_size();
        [
            self.depth.next_multiple_of(LINE),
            later.next_multiple_of(LINE),
            self.chunk * (self.source_copy + self.cotangent_copy),
        ]
    }

    fn scratch(&self) -> usize {
        let [offsets, sums, copies] = self.regions();
        LINE + offsets + sums + self.parts() * copies
    }

    fn prepare(&self, offsets: &mut [u32]) {
        let [kernel_height, kernel_width] = self.shape.kernel;
        let [tap_rows, tap_columns] = [0, 1].map(|axis| {
            let (dilation, stride) = (self.shape.dilation[axis], self.shape.stride[axis]);
            move |tap: usize| (tap * dilation % stride, tap * dilation / stride)
        });
        for (k, offset) in offsets.iter_mut().enumerate().take(self.depth) {
            let (channel, tap) = (k / self.shape.taps(), k % self.shape.taps());
            debug_assert!(tap / kernel_width < kernel_height);
            let (y, x) = (tap_rows(tap / kernel_width), tap_columns(tap % kernel_width));
            let plane = self.source.plane_at(channel, [y.0, x.0]);
            *offset = (plane + y.1 * self.source.pitch() + x.1) as u32;
        }
    }
}

/// Scratch for [`run`].
pub(super) fn scratch<T: Tile>(shape: &ConvShape) -> usize {
    Plan::new::<T>(shape).scratch()
}

/// The gradient of the weight.
///
/// # Safety
/// The processor has the instruction set of `T`.
pub(super) unsafe fn run<T: Tile>(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(input, gradient, cotangent);
    if input.is_empty() || cotangent.is_empty() || gradient.is_empty() {
        gradient.fill(0.0);
        return;
    }
    let plan = Plan::new::<T>(shape);
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a weight's gradient");
    assert!(u32::try_from(plan.source.size()).is_ok(), "images of 2^32 elements");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let [offsets, later, part_size] = plan.regions();
    let (offsets, rest) = scratch[aligned..].split_at_mut(offsets);
    let (later, copies) = rest.split_at_mut(later);
    let offsets: &mut [u32] = bytemuck::cast_slice_mut(offsets);
    plan.prepare(offsets);

    let offsets = &offsets[..plan.depth];
    let size = gradient.len();
    let alone = rayon::current_num_threads() == 1;
    let shared_gradient = Shared::new(gradient);
    let shared_later = Shared::new(later);
    let shared_copies = Shared::new(copies);
    for_parts(shape.batch, plan.part, |range| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the first part sums in the gradient itself, each later one in
        // a gradient of its own; the scratch holds copies for every part, and
        // parts that share the first one's run one after another on this
        // thread.
        let (sums, copies) = unsafe {
            let sums = match part {
                0 => shared_gradient.part(0..size),
                part => shared_later.part((part - 1) * size..part * size),
            };
            (sums, shared_copies.part(slot * part_size..(slot + 1) * part_size))
        };
        sums.fill(0.0);
        if slot == part {
            copies.fill(0.0);
        }
        for start in range.clone().step_by(plan.chunk) {
            let images = start..(start + plan.chunk).min(range.end);
            for group in 0..shape.groups {
                let operands = plan.operands(images.clone(), group, [input, cotangent], copies);
                let sums = &mut sums[group * size / shape.groups..][..size / shape.groups];
                // SAFETY: `T` runs here, by the caller's promise.
                unsafe { walk::<T>(&plan, images.len(), operands, offsets, sums) };
            }
        }
    });
    let later = &*later;
    if plan.parts() > 1 {
        for_parts(size, GRAIN, |range| {
            // SAFETY: ranges of `for_parts` are disjoint and inside the gradient.
            let gradient = unsafe { shared_gradient.part(range.clone()) };
            for sums in later.chunks_exact(size).take(plan.parts() - 1) {
                let sums = &sums[range.clone()];
                gradient.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
        });
    }
}

impl Plan {
    /// A group's channels of some images: copies of the input, and copies of
    /// the cotangent or the cotangent itself.
    fn operands<'a>(
        &self,
        images: Range<usize>,
        group: usize,
        [input, cotangent]: [&'a [f32]; 2],
        copies: &'a mut [f32],
    ) -> [&'a [f32]; 2] {
        let (sources, cotangents) = copies.split_at_mut(self.chunk * self.source_copy);
        let image_of = |size: usize, image: usize| {
            let size = size / (self.shape.batch * self.shape.groups);
            let at = (image * self.shape.groups + group) * size;
            at..at + size
        };
        let sources = if self.source_in_place {
            &input[image_of(input.len(), images.start).start..]
        } else {
            for (index, image) in images.clone().enumerate() {
                let image = &input[image_of(input.len(), image)];
                self.source.fill(image, &mut sources[index * self.source_copy..]);
            }
            sources
        };
        let Some(layout) = self.cotangent else {
            return [sources, &cotangent[image_of(cotangent.len(), images.start).start..]];
        };
        for (index, image) in images.enumerate() {
            let image = &cotangent[image_of(cotangent.len(), image)];
            layout.fill(image, &mut cotangents[index * self.cotangent_copy..]);
        }
        [sources, cotangents]
    }
}

/// All tiles of a group's gradient, over the copied images.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn walk<T: Tile>(
    plan: &Plan,
    images: usize,
    [source, cotangent]: [&[f32]; 2],
    offsets: &[u32],
    sums: &mut [f32],
) {
    let source_image = match plan.source_in_place {
        true => plan.shape.in_channels * plan.shape.input_pixels(),
        false => plan.source_copy,
    };
    let source_steps = Steps { image: source_image, line: plan.source.pitch() };
    let (row_step, cotangent_steps) = match plan.cotangent {
        Some(layout) => (layout.plane, Steps { image: plan.cotangent_copy, line: 0 }),
        None => {
            let pixels = plan.shape.output_pixels();
            let line = plan.shape.output()[1];
            (pixels, Steps { image: plan.shape.out_channels * pixels, line })
        }
    };
    for row in (0..plan.shape.group_out()).step_by(plan.tile_rows) {
        for (tile, offsets) in offsets.chunks(plan.tile_offsets).enumerate() {
            let job = TileJob {
                rows: plan.tile_rows.min(plan.shape.group_out() - row),
                offsets,
                images,
                lines: plan.lines,
                vectors: plan.vectors,
                cotangent: cotangent[row * row_step..].as_ptr(),
                row_step,
                cotangent_steps,
                source: source.as_ptr(),
                source_steps,
                sums: sums[row * plan.depth + tile * plan.tile_offsets..].as_mut_ptr(),
                sums_step: plan.depth,
            };
            // SAFETY: positions stay inside the cotangent, whose rows, or the
            // planes of whose copy, are whole vectors, and with the offsets
            // inside the source's copies, whose end leaves room for a vector, or
            // inside the input, whose rows are whole vectors too.
            unsafe { T::reduce(&job) };
        }
    }
}
