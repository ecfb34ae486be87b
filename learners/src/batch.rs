//! A batch of screens, described by what is on them rather than by pixels.

/// Rows of the screen, and columns.
pub const SCREEN: usize = 64;

/// Values a model puts out: one for each row, then one for each column.
pub const TARGETS: usize = 2 * SCREEN;

/// The sizes that are fixed for a compiled program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchShape {
    /// Samples in a batch.
    pub samples: usize,
    /// Slots for specks in a sample; a sample may leave some empty.
    pub specks: usize,
    /// Backgrounds in a batch: 1 for all samples together, or one a sample.
    pub backgrounds: usize,
    /// Edge of a speck in pixels.
    pub size: usize,
    /// Standard deviation in pixels of the Gaussian by which specks fade from
    /// their centre into the background; 0 where they do not.
    pub falloff: f64,
}

/// What is on the screens of one batch.
///
/// A speck of size z at (row, column) covers rows `row..row + z` and columns
/// `column..column + z`, cut off at the edge of the screen. A later speck lies
/// over an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeckBatch {
    /// The sizes of the vectors below.
    pub shape: BatchShape,
    /// `[samples, specks, 2]`: row and column of a speck's top left pixel, each
    /// in 0..64. Row -1 marks an empty slot.
    pub positions: Vec<i32>,
    /// `[samples, specks, 3]`: red, green, blue of a speck in [0, 1].
    pub colours: Vec<f32>,
    /// `[backgrounds, 3]`: red, green, blue of a background in [0, 1].
    pub background: Vec<f32>,
}

impl SpeckBatch {
    /// Black screens with every slot empty.
    pub fn new(shape: BatchShape) -> Self {
        let slots = shape.samples * shape.specks;
        SpeckBatch {
            shape,
            positions: vec![-1; slots * 2],
            colours: vec![0.0; slots * 3],
            background: vec![0.0; shape.backgrounds * 3],
        }
    }

    /// Empties every slot and paints every background black.
    pub fn clear(&mut self) {
        self.positions.fill(-1);
        self.colours.fill(0.0);
        self.background.fill(0.0);
    }

    /// Target row and column of each speck of a sample, empty slots left out:
    /// the pixel at the centre, `size / 2` below and right of the top left one.
    /// A speck whose centre lies off the screen has no target.
    pub fn targets(&self, sample: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let length = self.shape.specks * 2;
        let centre = self.shape.size / 2;
        self.positions[sample * length..(sample + 1) * length]
            .chunks_exact(2)
            .filter(|position| position[0] >= 0)
            .map(move |position| (position[0] as usize + centre, position[1] as usize + centre))
            .filter(|&(row, column)| row < SCREEN && column < SCREEN)
    }

    /// Writes the target values of every sample: `[samples, 128]`, first the 64
    /// rows, then the 64 columns; 1 at each speck's row and column, 0 elsewhere.
    pub fn write_targets(&self, targets: &mut [f32]) {
        targets.fill(0.0);
        for (sample, values) in targets.chunks_exact_mut(TARGETS).enumerate() {
            for (row, column) in self.targets(sample) {
                values[row] = 1.0;
                values[SCREEN + column] = 1.0;
            }
        }
    }

    /// Copies the samples of `from` that start at `start`, as many as both hold;
    /// the slots and samples beyond stay as they are.
    ///
    /// # Panics
    /// If `from` has more slots a sample, or own backgrounds and `self` one.
    pub fn take(&mut self, from: &SpeckBatch, start: usize) {
        let (wide, narrow) = (self.shape.specks, from.shape.specks);
        assert!(narrow <= wide, "{narrow} specks do not fit into {wide} slots");
        let samples = self.shape.samples.min(from.shape.samples.saturating_sub(start));
        for sample in 0..samples {
            let (to, at) = (sample * wide, (start + sample) * narrow);
            self.positions[to * 2..(to + narrow) * 2]
                .copy_from_slice(&from.positions[at * 2..(at + narrow) * 2]);
            self.colours[to * 3..(to + narrow) * 3]
                .copy_from_slice(&from.colours[at * 3..(at + narrow) * 3]);
        }
        if from.shape.backgrounds == 1 {
            self.background.chunks_exact_mut(3).for_each(|b| b.copy_from_slice(&from.background));
        } else {
            assert_eq!(self.shape.backgrounds, self.shape.samples, "backgrounds do not fit");
            self.background[..samples * 3]
                .copy_from_slice(&from.background[start * 3..(start + samples) * 3]);
        }
    }

    /// Puts the samples of another batch behind its own and says whether it could:
    /// slots and size are the same, and so is the background where there is one
    /// for all.
    pub fn join(&mut self, other: &SpeckBatch) -> bool {
        let BatchShape { samples, specks, backgrounds, size, falloff } = other.shape;
        let own = self.shape;
        let shared = own.backgrounds == 1 && backgrounds == 1;
        let each = own.backgrounds == own.samples && backgrounds == samples && !shared;
        if (own.specks, own.size, own.falloff) != (specks, size, falloff)
            || !(each || shared && self.background == other.background)
        {
            return false;
        }
        self.positions.extend_from_slice(&other.positions);
        self.colours.extend_from_slice(&other.colours);
        self.shape.samples += samples;
        if each {
            self.background.extend_from_slice(&other.background);
            self.shape.backgrounds = self.shape.samples;
        }
        true
    }

    /// Whether every sample has one slot, specks have one colour, that of the
    /// first slot, and there is one background: samples then differ only in where
    /// their specks are. No speck begins above or left of the screen.
    pub fn is_of_one_colour(&self) -> bool {
        if self.shape.specks != 1 || self.shape.backgrounds != 1 {
            return false;
        }
        let specks = self.positions.chunks_exact(2).zip(self.colours.chunks_exact(3));
        let bits = |colour: &[f32]| [0, 1, 2].map(|i| colour[i].to_bits());
        let Some(first) = self.colours.get(..3).map(bits) else { return false };
        let mut shown = specks.filter(|(place, _)| *place != [-1, -1]);
        self.positions.first().is_some_and(|row| *row >= 0)
            && shown.all(|(place, colour)| place.iter().all(|at| *at >= 0) && bits(colour) == first)
    }

    /// The background of a sample: red, green, blue.
    pub fn background_of(&self, sample: usize) -> [f32; 3] {
        let index = if self.shape.backgrounds == 1 { 0 } else { sample };
        let colour = &self.background[index * 3..index * 3 + 3];
        [colour[0], colour[1], colour[2]]
    }
}

/// A source of batches that is addressed by step: the same source and step
/// always give the same batch, in whatever order the steps are asked for.
pub trait Batches {
    /// The sizes of every batch of this source.
    fn shape(&self) -> BatchShape;

    /// Writes the batch of a step, every element of it.
    ///
    /// `batch` must have been made for [`Batches::shape`].
    fn fill(&self, step: u64, batch: &mut SpeckBatch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(backgrounds: usize, size: usize) -> BatchShape {
        BatchShape { samples: 2, specks: 2, backgrounds, size, falloff: 0.0 }
    }

    #[test]
    fn a_new_batch_is_empty() {
        let batch = SpeckBatch::new(shape(1, 1));
        assert_eq!(
            (batch.positions.len(), batch.colours.len(), batch.background.len()),
            (8, 12, 3)
        );
        assert_eq!(batch.targets(0).count() + batch.targets(1).count(), 0);
    }

    #[test]
    fn targets_are_centres_and_skip_empty_slots() {
        let mut batch = SpeckBatch::new(shape(1, 3));
        batch.positions = vec![4, 5, -1, 0, 0, 61, 7, 8];
        assert_eq!(batch.targets(0).collect::<Vec<_>>(), [(5, 6)]);
        assert_eq!(batch.targets(1).collect::<Vec<_>>(), [(1, 62), (8, 9)]);
        let mut targets = vec![0.5; 2 * TARGETS];
        batch.write_targets(&mut targets);
        let lit: Vec<_> = (0..targets.len()).filter(|&i| targets[i] == 1.0).collect();
        assert_eq!(lit, [5, 64 + 6, 128 + 1, 128 + 8, 192 + 9, 192 + 62]);
        assert_eq!(targets.iter().sum::<f32>(), 6.0);
        batch.clear();
        assert_eq!(batch, SpeckBatch::new(shape(1, 3)));
        batch.positions = vec![62, 63, -1, 0, -1, 0, -1, 0];
        assert_eq!(batch.targets(0).count(), 0);
    }

    #[test]
    fn samples_are_taken_into_wider_batches() {
        let mut from = SpeckBatch::new(BatchShape { samples: 3, specks: 1, ..shape(3, 1) });
        from.positions = vec![1, 2, 3, 4, 5, 6];
        from.background = (0..9).map(|i| i as f32).collect();
        let mut to = SpeckBatch::new(shape(2, 1));
        to.take(&from, 1);
        assert_eq!(to.positions, [3, 4, -1, -1, 5, 6, -1, -1]);
        assert_eq!(to.background, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        to.clear();
        to.take(&from, 2);
        assert_eq!(to.positions, [5, 6, -1, -1, -1, -1, -1, -1]);
    }

    #[test]
    fn batches_are_joined_where_the_background_is_the_same() {
        let mut one = SpeckBatch::new(shape(1, 1));
        one.positions = (0..8).collect();
        let mut other = one.clone();
        other.positions = (8..16).collect();
        assert!(one.join(&other));
        assert_eq!(one.shape, BatchShape { samples: 4, ..shape(1, 1) });
        assert_eq!(one.positions, (0..16).collect::<Vec<_>>());
        assert_eq!((one.colours.len(), one.background.len()), (24, 3));
        other.background[1] = 0.5;
        let before = one.clone();
        assert!(!one.join(&other) && !one.join(&SpeckBatch::new(shape(1, 2))));
        assert_eq!(one, before);
        let mut own = SpeckBatch::new(shape(2, 1));
        let mut next = own.clone();
        next.background = (0..6).map(|i| i as f32).collect();
        assert!(own.join(&next));
        assert_eq!((own.shape.samples, own.shape.backgrounds), (4, 4));
        assert_eq!(own.background_of(3), [3.0, 4.0, 5.0]);
    }

    #[test]
    fn batches_of_one_colour_are_known() {
        let one = BatchShape { samples: 3, specks: 1, ..shape(1, 1) };
        let mut batch = SpeckBatch::new(one);
        assert!(!batch.is_of_one_colour());
        batch.positions = vec![4, 5, 0, 63, -1, -1];
        batch.colours[..6].fill(0.5);
        assert!(batch.is_of_one_colour());
        batch.positions[4] = 0;
        assert!(!batch.is_of_one_colour(), "half a place");
        batch.positions[5] = 0;
        assert!(!batch.is_of_one_colour(), "another colour");
        batch.colours[6..].fill(0.5);
        assert!(batch.is_of_one_colour());
        assert!(
            !SpeckBatch { shape: BatchShape { backgrounds: 3, ..one }, ..batch }.is_of_one_colour()
        );
    }

    #[test]
    fn backgrounds_are_shared_or_one_a_sample() {
        let mut shared = SpeckBatch::new(shape(1, 1));
        shared.background = vec![0.1, 0.2, 0.3];
        assert_eq!(shared.background_of(1), [0.1, 0.2, 0.3]);
        let mut own = SpeckBatch::new(shape(2, 1));
        own.background = vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(own.background_of(1), [0.4, 0.5, 0.6]);
    }
}
