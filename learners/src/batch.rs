//! A batch of screens, described by what is on them rather than by pixels.

/// Rows of the screen, and columns.
pub const SCREEN: usize = 64;

/// Values a model puts out: one for each row, then one for each column.
pub const TARGETS: usize = 2 * SCREEN;

/// The sizes that are fixed for a compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Samples in a batch.
    pub samples: usize,
    /// Slots for specks in a sample; a sample may leave some empty.
    pub specks: usize,
    /// Backgrounds in a batch: 1 for all samples together, or one a sample.
    pub backgrounds: usize,
    /// Edge of a speck in pixels.
    pub size: usize,
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
        BatchShape { samples: 2, specks: 2, backgrounds, size }
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
        let mut from =
            SpeckBatch::new(BatchShape { samples: 3, specks: 1, backgrounds: 3, size: 1 });
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
    fn backgrounds_are_shared_or_one_a_sample() {
        let mut shared = SpeckBatch::new(shape(1, 1));
        shared.background = vec![0.1, 0.2, 0.3];
        assert_eq!(shared.background_of(1), [0.1, 0.2, 0.3]);
        let mut own = SpeckBatch::new(shape(2, 1));
        own.background = vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(own.background_of(1), [0.4, 0.5, 0.6]);
    }
}
