//! Windows: what differs from the background, and the moves between the two.
//!
//! The image of a sample is a background on which a few specks differ. Behind
//! some layers each speck has reached a *window* of the map, a small rectangle
//! that begins at an *origin*; elsewhere the map is that of the background, the
//! *base*. A sample's value at a position is that of a window where one covers
//! it, else the base's. Windows of one sample may overlap and may reach over
//! the border: where they overlap each holds the same, true values; what lies
//! beyond the border is nothing and is never read.
//!
//! Layouts are channels last: patch `[samples, slots, height, width,
//! channels]`, base `[backgrounds, height, width, channels]`. The base of a
//! background of one colour is small: its rows and columns each stand for
//! several of the map's, named by a list of one entry a row (column) of the map.
//!
//! The routines of this family check their arguments: lengths that do not match
//! the shape panic before anything is read or written.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
#[cfg(target_arch = "x86_64")]
mod moves;
mod scalar;
#[cfg(test)]
mod tests;

/// A kernel whose fast variants move in runs.
macro_rules! moved {
    ($name:literal, $signature:ident, $run:ident) => {
        Kernel {
            name: $name,
            f32: &[
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx512", isa: Isa::Avx512, run: avx512::$run },
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx2", isa: Isa::Avx2, run: avx2::$run },
                Variant { name: "scalar", isa: Isa::Portable, run: scalar::$run },
            ],
            f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::$run }],
        }
    };
}

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use std::sync::Arc;

/// The origin of an empty slot: its window lies beyond every map.
pub const EMPTY: i32 = -(1 << 24);

/// How the origin of a window follows from a speck's position, along one axis:
/// ⌊(position + add) / divide⌋ · multiply + offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginAxis {
    /// Added to the position.
    pub add: i32,
    /// The strides of the layers so far, at least 1.
    pub divide: i32,
    /// The stride of the next layer.
    pub multiply: i32,
    /// Added at the end.
    pub offset: i32,
}

impl OriginAxis {
    /// The origin for a position.
    pub fn of(&self, position: i32) -> i32 {
        (position + self.add).div_euclid(self.divide) * self.multiply + self.offset
    }
}

/// Sizes of windows on maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Samples in the batch.
    pub samples: usize,
    /// Windows a sample.
    pub slots: usize,
    /// Channels of maps and windows.
    pub channels: usize,
    /// Height and width of a window.
    pub size: [usize; 2],
    /// Height and width of a map.
    pub map: [usize; 2],
}

impl Windows {
    /// Values of all windows.
    pub fn elements(&self) -> usize {
        self.samples * self.slots * self.size[0] * self.size[1] * self.channels
    }

    /// The origin of a window.
    fn origin(&self, origins: &[i32], sample: usize, slot: usize) -> [i64; 2] {
        let at = 2 * (sample * self.slots + slot);
        [i64::from(origins[at]), i64::from(origins[at + 1])]
    }

    /// Whether a position is on the map.
    fn on_map(&self, [row, column]: [i64; 2]) -> bool {
        (0..self.map[0] as i64).contains(&row) && (0..self.map[1] as i64).contains(&column)
    }

    /// Where in the window of `slot` a position lies.
    fn inside(
        &self,
        origins: &[i32],
        sample: usize,
        slot: usize,
        position: [i64; 2],
    ) -> Option<[usize; 2]> {
        let origin = self.origin(origins, sample, slot);
        let [row, column] = [position[0] - origin[0], position[1] - origin[1]];
        let fits =
            (0..self.size[0] as i64).contains(&row) && (0..self.size[1] as i64).contains(&column);
        fits.then_some([row as usize, column as usize])
    }

    /// Where the values of a place in a window begin.
    fn at(&self, sample: usize, slot: usize, [i, j]: [usize; 2]) -> usize {
        (((sample * self.slots + slot) * self.size[0] + i) * self.size[1] + j) * self.channels
    }

    pub(crate) fn check(&self, origins: usize) {
        assert_eq!(origins, 2 * self.samples * self.slots, "length of the origins");
    }
}

/// Origins out of positions.
pub struct Origins;

impl Signature for Origins {
    /// `(axes, positions, out)`.
    type Run<T: Real> = fn(axes: &[OriginAxis; 2], positions: &[i32], out: &mut [i32]);
}

/// `out` `[…, 2]`: the origin for each position (row, column); [`EMPTY`] for
/// the position (−1, −1).
pub static WINDOW_ORIGINS: Kernel<Origins> = Kernel {
    name: "window_origins",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::origins }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::origins }],
};

/// Drawing specks in their windows.
pub struct RenderWindows;

impl Signature for RenderWindows {
    /// `(windows, positions, x, out)`.
    type Run<T: Real> = fn(windows: &Windows, positions: &[i32], x: &[T], out: &mut [T]);
}

/// `out` = windows of the specks' own size, at their positions: the colours
/// `x` `[samples, slots, channels]` of the speck seen at each place, which is
/// the one of the greatest index that covers it; 0 for empty slots.
pub static RENDER_WINDOWS: Kernel<RenderWindows> =
    Kernel { name: "render_windows", f32: &render(), f64: &render() };

const fn render<T: Real>() -> [Variant<<RenderWindows as Signature>::Run<T>>; 1] {
    [Variant { name: "scalar", isa: Isa::Portable, run: scalar::render::<T> }]
}

/// The adjoint of [`RENDER_WINDOWS`]: `x` are windows, `out` colours.
pub static UNRENDER_WINDOWS: Kernel<RenderWindows> =
    Kernel { name: "unrender_windows", f32: &unrender(), f64: &unrender() };

const fn unrender<T: Real>() -> [Variant<<RenderWindows as Signature>::Run<T>>; 1] {
    [Variant { name: "scalar", isa: Isa::Portable, run: scalar::unrender::<T> }]
}

/// Larger windows read from patch and base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The windows that are there; of size 0 × 0 if only the base is read.
    pub windows: Windows,
    /// Tiles a sample; the first have a window of their own.
    pub tiles: usize,
    /// Height and width of the tiles.
    pub size: [usize; 2],
    /// Backgrounds: 1 for all samples, or one each.
    pub backgrounds: usize,
    /// Height and width of the base.
    pub base: [usize; 2],
    /// The base's row for each row of the map, and its column for each column.
    pub classes: [Arc<[u32]>; 2],
    /// Whether places beyond the border are −∞ (a maximum never takes them)
    /// rather than 0.
    pub negative: bool,
}

/// What stands at a place of a tile.
enum Place {
    /// Nothing: it is beyond the border.
    Beyond,
    /// A value of the patch, from this element on.
    Patch(usize),
    /// A value of the base, from this element on.
    Base(usize),
}

impl Tile {
    /// Values of all tiles.
    pub fn elements(&self) -> usize {
        let Windows { samples, channels, .. } = self.windows;
        samples * self.tiles * self.size[0] * self.size[1] * channels
    }

    /// Values of the base.
    pub fn base_elements(&self) -> usize {
        self.backgrounds * self.base[0] * self.base[1] * self.windows.channels
    }

    /// What stands at a position of a sample; a tile's own window is asked first.
    fn place(&self, origins: &[i32], sample: usize, tile: usize, position: [i64; 2]) -> Place {
        let windows = &self.windows;
        if !windows.on_map(position) {
            return Place::Beyond;
        }
        let patch = |slot: usize| {
            let inside = windows.inside(origins, sample, slot, position)?;
            Some(windows.at(sample, slot, inside))
        };
        let own = (tile < windows.slots).then(|| patch(tile)).flatten();
        if let Some(at) = own.or_else(|| (0..windows.slots).find_map(patch)) {
            return Place::Patch(at);
        }
        let background = if self.backgrounds == 1 { 0 } else { sample };
        let row = self.classes[0][position[0] as usize] as usize;
        let column = self.classes[1][position[1] as usize] as usize;
        let at = ((background * self.base[0] + row) * self.base[1] + column) * windows.channels;
        Place::Base(at)
    }

    fn check(&self, origins: usize, starts: usize) {
        self.windows.check(origins);
        assert_eq!(starts, 2 * self.windows.samples * self.tiles, "length of the starts");
        for axis in 0..2 {
            assert_eq!(self.classes[axis].len(), self.windows.map[axis], "classes of an axis");
            let inside = self.classes[axis].iter().all(|class| (*class as usize) < self.base[axis]);
            assert!(inside, "a class beyond the base");
        }
        let backgrounds = self.backgrounds;
        assert!(backgrounds == 1 || backgrounds == self.windows.samples, "{backgrounds} bases");
    }
}

/// Reading tiles.
pub struct ReadTile;

impl Signature for ReadTile {
    /// `(tile, base, patch, origins, starts, out)`.
    type Run<T: Real> =
        fn(tile: &Tile, base: &[T], patch: &[T], origins: &[i32], starts: &[i32], out: &mut [T]);
}

/// `out` `[samples, tiles, size, channels]`: the sample's values on the
/// rectangles that begin at `starts` `[samples, tiles, 2]`.
pub static WINDOW_TILE: Kernel<ReadTile> = moved!("window_tile", ReadTile, tile);

/// The adjoint of reading tiles in the patch.
pub struct ToPatch;

impl Signature for ToPatch {
    /// `(tile, x, origins, starts, out)`.
    type Run<T: Real> = fn(tile: &Tile, x: &[T], origins: &[i32], starts: &[i32], out: &mut [T]);
}

/// The adjoint of [`WINDOW_TILE`] in the patch: the tiles `x` added to where
/// they were read from.
pub static WINDOW_TILE_PATCH: Kernel<ToPatch> = moved!("window_tile_patch", ToPatch, tile_patch);

/// The adjoint of reading tiles in the base.
pub struct ToBase;

impl Signature for ToBase {
    /// `(tile, x, origins, starts, out, scratch)`; [`base_scratch`] says how much.
    type Run<T: Real> =
        fn(tile: &Tile, x: &[T], origins: &[i32], starts: &[i32], out: &mut [T], scratch: &mut [T]);
}

/// The adjoint of [`WINDOW_TILE`] in the base.
pub static WINDOW_TILE_BASE: Kernel<ToBase> = moved!("window_tile_base", ToBase, tile_base);

/// Into how many parts the samples are cut that add to one base, each with sums of
/// its own: none where the base is as large as what is added to it.
fn base_parts(tile: &Tile) -> usize {
    const MOST: usize = 4;
    let elements = tile.elements();
    if tile.backgrounds > 1 || tile.base_elements() * MOST > elements {
        return 1;
    }
    (elements / crate::parallel::GRAIN).clamp(1, MOST)
}

/// Elements of scratch for [`WINDOW_TILE_BASE`].
pub fn base_scratch(tile: &Tile) -> usize {
    (base_parts(tile) - 1) * tile.base_elements()
}

/// Which places of windows count.
pub struct Mask;

impl Signature for Mask {
    /// `(windows, owned, origins, out)`.
    type Run<T: Real> = fn(windows: &Windows, owned: bool, origins: &[i32], out: &mut [T]);
}

/// `out` `[samples, slots, height, width]`: 1 where the place is on the map
/// and, if `owned`, in no window of a smaller index of the same sample; else 0.
/// Channels do not matter.
pub static WINDOW_MASK: Kernel<Mask> = Kernel { name: "window_mask", f32: &mask(), f64: &mask() };

const fn mask<T: Real>() -> [Variant<<Mask as Signature>::Run<T>>; 1] {
    [Variant { name: "scalar", isa: Isa::Portable, run: scalar::mask::<T> }]
}

/// Rectangles of images, often of small ones that stand for large ones: which rows
/// and columns each reads is given by lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picks {
    /// Images.
    pub images: usize,
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Height and width of a rectangle.
    pub kernel: [usize; 2],
    /// The rows that the rectangles read, `kernel[0]` for each row of rectangles,
    /// and the columns; what is not in the image is beyond the border.
    pub reads: [Arc<[u32]>; 2],
    /// Whether places beyond the border are −∞ rather than 0.
    pub negative: bool,
}

impl Picks {
    /// Rectangles down and across.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.reads[axis].len() / self.kernel[axis].max(1))
    }

    /// Values of all rectangles.
    pub fn elements(&self) -> usize {
        let [height, width] = self.output();
        self.images * height * width * self.kernel[0] * self.kernel[1] * self.channels
    }

    /// Values of the images.
    pub fn image_elements(&self) -> usize {
        self.images * self.image[0] * self.image[1] * self.channels
    }

    fn check(&self) {
        for axis in 0..2 {
            let kernel = self.kernel[axis];
            assert!(
                kernel > 0 && self.reads[axis].len().is_multiple_of(kernel),
                "reads of a rectangle"
            );
        }
    }
}

/// Between images and rectangles of them.
pub struct Pick;

impl Signature for Pick {
    /// `(picks, x, out)`.
    type Run<T: Real> = fn(picks: &Picks, x: &[T], out: &mut [T]);
}

/// `out` `[images, down, across, kernel height, kernel width, channels]`: the
/// rectangles of the images `x` `[images, height, width, channels]`.
pub static PICKS: Kernel<Pick> = moved!("picks", Pick, picks);

/// The adjoint of [`PICKS`]: rectangles added to images.
pub static PICKS_GRADIENT: Kernel<Pick> = moved!("picks_gradient", Pick, picks_gradient);

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![
        WINDOW_ORIGINS.status(),
        RENDER_WINDOWS.status(),
        UNRENDER_WINDOWS.status(),
        WINDOW_TILE.status(),
        WINDOW_TILE_PATCH.status(),
        WINDOW_TILE_BASE.status(),
        WINDOW_MASK.status(),
        PICKS.status(),
        PICKS_GRADIENT.status(),
    ]
}
