//! Convolution of small channels-last images of which each output reads rows and
//! columns given by lists, and its two gradients.
//!
//! The structure rewrite has two kinds of such images: tiles around the windows of
//! all samples, of which each output reads neighbours, and bases whose rows and
//! columns stand for several of a map's. Both are thousands of positions with tens
//! of channels, where a matrix of all rectangles would cost more than the product
//! with it.
//!
//! With images x `[images, height, width, channels]` and weights w `[outputs,
//! channels, kernel height, kernel width]`,
//! y`[n, i, j, o]` = Σ x`[n, rows[i, u], columns[j, v], c]` w`[o, c, u, v]`, where
//! what a list names beyond the image is 0.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod compiled;
pub mod gpu;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
#[cfg(test)]
mod tests;

use crate::window::Picks;
use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// In place of an offset: what is read lies beyond the image.
const BEYOND: u32 = u32::MAX;

/// What is convolved.
#[derive(Clone, Debug)]
pub struct Correlation {
    picks: Picks,
    outputs: usize,
    /// For each tap and position, where in an image begins what is read.
    reads: Vec<u32>,
    /// For each tap, the positions at which it reads inside the image, and where.
    inside: Vec<Vec<[u32; 2]>>,
}

impl Correlation {
    /// Convolution of the images of `picks` to `outputs` channels.
    pub fn new(picks: Picks, outputs: usize) -> Self {
        let [height, width] = picks.image;
        let [down, across] = picks.output();
        assert!(picks.image_elements() < BEYOND as usize, "images of 2^32 elements");
        let mut reads = Vec::new();
        for (u, v) in (0..picks.kernel[0]).flat_map(|u| (0..picks.kernel[1]).map(move |v| (u, v))) {
            for (i, j) in (0..down).flat_map(|i| (0..across).map(move |j| (i, j))) {
                let row = picks.reads[0][i * picks.kernel[0] + u] as usize;
                let column = picks.reads[1][j * picks.kernel[1] + v] as usize;
                let at = (row * width + column) * picks.channels;
                let is_inside = row < height && column < width;
                reads.push(if is_inside { at as u32 } else { BEYOND });
            }
        }
        let positions = (down * across).max(1);
        let found = |reads: &[u32]| {
            let reads = (0..).zip(reads).filter(|(_, at)| **at != BEYOND);
            reads.map(|(position, at)| [position, *at]).collect()
        };
        let inside = reads.chunks(positions).map(found).collect();
        Correlation { picks, outputs, reads, inside }
    }

    /// Channels of the results.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What is read.
    pub fn picks(&self) -> &Picks {
        &self.picks
    }

    fn positions(&self) -> usize {
        let [down, across] = self.picks.output();
        down * across
    }

    fn taps(&self) -> usize {
        self.picks.kernel[0] * self.picks.kernel[1]
    }

    /// Rows of the matrix that the weights are.
    fn depth(&self) -> usize {
        self.picks.channels * self.taps()
    }

    /// Rows of results: positions of all images.
    fn rows(&self) -> usize {
        self.picks.images * self.positions()
    }

    /// Elements of an image.
    fn image(&self) -> usize {
        self.picks.image[0] * self.picks.image[1] * self.picks.channels
    }

    /// Multiplications of the whole convolution, zeros beyond the images included.
    pub fn products(&self) -> usize {
        self.rows() * self.depth() * self.outputs
    }

    /// Multiplications of what is read inside the images.
    pub fn products_inside(&self) -> usize {
        let inside: usize = self.inside.iter().map(Vec::len).sum();
        self.picks.images * inside * self.picks.channels * self.outputs
    }

    /// Panics unless the slices have exactly the lengths of images, weights and
    /// results.
    fn check<T>(&self, images: &[T], weight: &[T], results: &[T]) {
        assert_eq!(images.len(), self.picks.image_elements(), "length of the images");
        assert_eq!(weight.len(), self.depth() * self.outputs, "length of the weights");
        assert_eq!(results.len(), self.rows() * self.outputs, "length of the results");
    }
}

/// `run(correlation, first, second, result, scratch)`; the kernels say what the
/// operands are.
pub type Run<T> = unsafe fn(&Correlation, &[T], &[T], &mut [T], &mut [T]);

/// One way to convolve.
#[derive(Clone, Copy)]
pub struct Routine<T> {
    /// Overwrites all of `result`, whatever it held, and leaves anything in
    /// `scratch`.
    ///
    /// Panics where a slice's length is not that of the shape.
    ///
    /// # Safety
    /// The processor has what the variant's [`Isa`] names.
    pub run: Run<T>,
    /// How many elements of scratch `run` needs. A function of the shape alone,
    /// never of the number of threads.
    pub scratch: fn(&Correlation) -> usize,
}

/// The signature of the three kernels.
pub struct Correlate;

impl Signature for Correlate {
    type Run<T: Real> = Routine<T>;
}

macro_rules! kernel {
    ($name:literal, $fast:ident, $plain:ident) => {
        Kernel {
            name: $name,
            f32: &[
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx512", isa: Isa::Avx512, run: avx512::$fast },
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx2", isa: Isa::Avx2, run: avx2::$fast },
                Variant { name: "scalar", isa: Isa::Portable, run: scalar::$plain() },
            ],
            f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::$plain() }],
        }
    };
}

/// `(images, weights)` → results `[images, down, across, outputs]`.
pub static PICKED_CONV: Kernel<Correlate> = kernel!("picked_conv", FORWARD, forward);

/// `(cotangent of the results, weights)` → gradient of the images.
pub static PICKED_CONV_INPUT_GRADIENT: Kernel<Correlate> =
    kernel!("picked_conv_input_gradient", INPUT_GRADIENT, input_gradient);

/// `(images, cotangent of the results)` → gradient of the weights.
pub static PICKED_CONV_WEIGHT_GRADIENT: Kernel<Correlate> =
    kernel!("picked_conv_weight_gradient", WEIGHT_GRADIENT, weight_gradient);

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![
        PICKED_CONV.status(),
        PICKED_CONV_INPUT_GRADIENT.status(),
        PICKED_CONV_WEIGHT_GRADIENT.status(),
    ]
}
