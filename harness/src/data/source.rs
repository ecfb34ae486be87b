//! The generator: batches from data settings and a seed.

use speck_learners::{BatchShape, Batches, SpeckBatch};

use super::arrangement::corner_of;
use super::draws::{Draws, Purpose};
use super::{Background, DataSettings, Rgb, SpeckColour};

/// Makes batches. The same data, seed and step give the same batch, always.
#[derive(Clone, Debug)]
pub struct Source {
    data: DataSettings,
    seed: u64,
    shape: BatchShape,
    places: Vec<u16>,
    enumerates: bool,
}

impl Source {
    /// An endless source of random batches of `samples` samples.
    ///
    /// # Panics
    /// If the data fail [`DataSettings::check`]; data read by
    /// [`DataSettings::new`] do not.
    pub fn new(data: &DataSettings, samples: usize, seed: u64) -> Self {
        if let Err(error) = data.check() {
            panic!("a source of impossible data: {error}");
        }
        Source {
            data: data.clone(),
            seed,
            shape: data.shape(samples),
            places: data.places(),
            enumerates: false,
        }
    }

    /// A source of samples with one speck each that shows every position of the
    /// data's split once, in order. Steps `0..self.passes()` make one round; the
    /// last batch may end with samples that have no speck.
    ///
    /// # Panics
    /// As [`Source::new`].
    pub fn all_positions(data: &DataSettings, samples: usize, seed: u64) -> Self {
        let single =
            DataSettings { count: 1, arrangement: super::Arrangement::Random, ..data.clone() };
        Source { enumerates: true, ..Source::new(&single, samples, seed) }
    }

    /// The same samples in batches of a larger shape, so that one compiled
    /// program serves sources of different shapes: at least `specks` slots, the
    /// added ones empty, and with `own_backgrounds` a background for each sample
    /// even where all are equal.
    #[must_use]
    pub fn padded(mut self, specks: usize, own_backgrounds: bool) -> Self {
        self.shape.specks = self.shape.specks.max(specks);
        if own_backgrounds {
            self.shape.backgrounds = self.shape.samples;
        }
        self
    }

    /// The same with as many positions as there are, drawn from them with replacement
    /// (Efron, "Bootstrap Methods", 1979). Where that leaves fewer than a sample has
    /// specks, they stay as they are.
    #[must_use]
    pub fn resampled(mut self, seed: u64) -> Self {
        // No step is so late: these are draws of their own.
        let mut draws = Draws::new(seed, Purpose::Placement, u64::MAX, 0);
        let drawn = (0..self.places.len()).map(|_| self.places[draws.below(self.places.len())]);
        let mut places: Vec<u16> = drawn.collect();
        places.sort_unstable();
        let distinct = places.chunk_by(|a, b| a == b).count();
        if distinct >= self.data.count {
            self.places = places;
        }
        self
    }

    /// What the data are.
    pub fn data(&self) -> &DataSettings {
        &self.data
    }

    /// In how many steps every position can be shown once.
    pub fn passes(&self) -> u64 {
        self.places.len().div_ceil(self.shape.samples.max(1)) as u64
    }

    /// Rows and columns of the top left pixels of a sample's specks.
    fn place(&self, step: u64, sample: usize) -> Vec<(usize, usize)> {
        let (count, size) = (self.data.count, self.data.size);
        if self.enumerates {
            let pass = (step % self.passes()) as usize;
            let place = self.places.get(pass * self.shape.samples + sample);
            return place.map(|place| corner_of(*place, size)).into_iter().collect();
        }
        let mut draws = Draws::new(self.seed, Purpose::Placement, step, sample);
        let arrangement = self.data.arrangement;
        arrangement.place(count, size, &self.places, &mut draws)
    }

    /// The colour of the specks where it is known before the background is: a
    /// fixed one, or one for the batch on backgrounds that change with the
    /// sample. A random background then keeps its distance from it; in all other
    /// cases it is the speck that keeps its distance from the background.
    fn colour_before_background(&self, step: u64) -> Option<Rgb> {
        match (self.data.speck, self.data.background) {
            (SpeckColour::Fixed(colour), _) => Some(colour),
            (SpeckColour::RandomBatch, Background::RandomSample) => {
                let mut draws = Draws::new(self.seed, Purpose::Colour, step, 0);
                Some([0, 1, 2].map(|_| draws.uniform() as f32))
            }
            _ => None,
        }
    }
}

impl Batches for Source {
    fn shape(&self) -> BatchShape {
        self.shape
    }

    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        let (data, shape) = (&self.data, self.shape);
        assert_eq!(batch.shape, shape, "the batch was made for another source");
        batch.clear();
        let known = self.colour_before_background(step);
        let background = |sample: usize| {
            let sample = match data.background {
                Background::RandomSample => sample,
                Background::Fixed(_) | Background::RandomBatch => 0,
            };
            let mut draws = Draws::new(self.seed, Purpose::Background, step, sample);
            data.background.draw(known, data.distance, &mut draws)
        };
        for (sample, colour) in batch.background.chunks_exact_mut(3).enumerate() {
            colour.copy_from_slice(&background(sample));
        }
        for sample in 0..shape.samples {
            let behind = batch.background_of(sample);
            let of_batch = data.speck == SpeckColour::RandomBatch;
            let mut draws =
                Draws::new(self.seed, Purpose::Colour, step, if of_batch { 0 } else { sample });
            let mut shared = known;
            for (slot, (row, column)) in self.place(step, sample).into_iter().enumerate() {
                let colour = shared.unwrap_or_else(|| {
                    data.speck.draw(behind, data.distance, data.trained, &mut draws)
                });
                if of_batch {
                    shared = Some(colour);
                }
                let index = sample * shape.specks + slot;
                batch.positions[index * 2..][..2].copy_from_slice(&[row as i32, column as i32]);
                batch.colours[index * 3..][..3].copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::colour::distance;
    use super::super::{Arrangement, Mask, Split};
    use super::*;

    const SAMPLES: usize = 40;

    fn batch(source: &Source, step: u64) -> SpeckBatch {
        let mut batch = SpeckBatch::new(source.shape());
        source.fill(step, &mut batch);
        batch
    }

    fn colours(batch: &SpeckBatch) -> Vec<Rgb> {
        let colour = |part: &[f32]| [part[0], part[1], part[2]];
        batch.colours.chunks_exact(3).map(colour).collect()
    }

    fn distinct(colours: &[Rgb]) -> usize {
        let bits = |colour: &Rgb| colour.map(f32::to_bits);
        colours.iter().map(bits).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn batches_follow_from_seed_and_step() {
        let data = DataSettings {
            background: Background::RandomSample,
            speck: SpeckColour::RandomSample,
            count: 3,
            ..DataSettings::default()
        };
        let source = Source::new(&data, SAMPLES, 9);
        let (later, first) = (batch(&source, 5), batch(&source, 0));
        assert_eq!(batch(&source, 5), later);
        assert_eq!(batch(&Source::new(&data, SAMPLES, 9), 5), later);
        assert_ne!(first, later);
        assert_ne!(batch(&Source::new(&data, SAMPLES, 10), 5), later);
        // A sample does not depend on the size of its batch either.
        let smaller = batch(&Source::new(&data, 7, 9), 5);
        assert_eq!(smaller.positions, later.positions[..7 * 6]);
        assert_eq!(smaller.colours, later.colours[..7 * 9]);
        // Nothing of an earlier content stays.
        let mut used = first;
        source.fill(5, &mut used);
        assert_eq!(used, later);
    }

    #[test]
    fn colours_keep_their_distance_for_every_choice() {
        let white = SpeckColour::Fixed([1.0; 3]);
        let backgrounds =
            [Background::Fixed([0.2, 0.4, 0.9]), Background::RandomBatch, Background::RandomSample];
        let specks = [
            (white, false),
            (SpeckColour::Near, true),
            (SpeckColour::Between, true),
            (SpeckColour::RandomBatch, false),
            (SpeckColour::RandomSample, false),
        ];
        for background in backgrounds {
            for (speck, exact) in specks {
                let data = DataSettings {
                    background,
                    speck,
                    distance: 0.6,
                    count: 2,
                    ..DataSettings::default()
                };
                let source = Source::new(&data, SAMPLES, 1);
                for step in 0..5 {
                    let batch = batch(&source, step);
                    for (slot, colour) in colours(&batch).into_iter().enumerate() {
                        let apart = distance(colour, batch.background_of(slot / 2));
                        assert!(apart >= 0.6 - 1e-6, "{background:?} {speck:?}: {apart}");
                        assert!(!exact || apart <= 0.6 + 1e-6, "{background:?} {speck:?}");
                        assert!(colour.iter().all(|part| (0.0..=1.0).contains(part)));
                    }
                }
            }
        }
    }

    #[test]
    fn colours_change_with_batch_or_sample() {
        let counts = |background, speck| {
            let data = DataSettings { background, speck, count: 2, ..DataSettings::default() };
            let source = Source::new(&data, SAMPLES, 1).padded(2, true);
            let batches = [batch(&source, 0), batch(&source, 1)];
            let specks = batches.each_ref().map(|batch| distinct(&colours(batch)));
            let behind = |batch: &SpeckBatch| {
                (0..SAMPLES).map(|s| batch.background_of(s)).collect::<Vec<_>>()
            };
            let backgrounds = batches.each_ref().map(|batch| distinct(&behind(batch)));
            assert_eq!(specks[0], specks[1]);
            assert_eq!(backgrounds[0], backgrounds[1]);
            let same = batches[0].background == batches[1].background;
            assert_eq!(same, matches!(background, Background::Fixed(_)));
            (backgrounds[0], specks[0])
        };
        let black = Background::Fixed([0.0; 3]);
        assert_eq!(counts(black, SpeckColour::RandomBatch), (1, 1));
        assert_eq!(counts(black, SpeckColour::RandomSample), (1, 2 * SAMPLES));
        assert_eq!(counts(Background::RandomBatch, SpeckColour::RandomBatch), (1, 1));
        let each = Background::RandomSample;
        assert_eq!(counts(each, SpeckColour::RandomBatch), (SAMPLES, 1));
        assert_eq!(counts(each, SpeckColour::Near), (SAMPLES, 2 * SAMPLES));
    }

    #[test]
    fn random_backgrounds_fill_the_cube_evenly() {
        let data = DataSettings {
            background: Background::RandomSample,
            speck: SpeckColour::Contrast,
            ..DataSettings::default()
        };
        let batch = batch(&Source::new(&data, 2000, 1), 0);
        for part in 0..3 {
            let values = batch.background.iter().skip(part).step_by(3);
            let below = values.filter(|value| **value < 0.25).count();
            assert!((420..580).contains(&below), "{below}");
        }
    }

    #[test]
    fn no_two_specks_share_a_pixel() {
        let data = DataSettings {
            count: 16,
            positions: Mask::Fraction,
            fraction: 0.01,
            ..DataSettings::default()
        };
        let batch = batch(&Source::new(&data, SAMPLES, 1), 0);
        for sample in 0..SAMPLES {
            assert_eq!(batch.targets(sample).collect::<BTreeSet<_>>().len(), 16);
        }
    }

    #[test]
    fn only_positions_of_the_split_are_drawn() {
        for split in [Split::Training, Split::HeldOut] {
            let data = DataSettings {
                positions: Mask::Combination,
                split,
                size: 3,
                ..DataSettings::default()
            };
            let sets = data.position_sets();
            let batch = batch(&Source::new(&data, 200, 1), 0);
            for sample in 0..200 {
                let (row, column) = batch.targets(sample).next().expect("one speck");
                let place = (row * 64 + column) as u16;
                assert_eq!(sets.held_out.contains(&place), split == Split::HeldOut);
            }
        }
    }

    #[test]
    fn all_positions_come_exactly_once() {
        let data = DataSettings {
            positions: Mask::Border,
            count: 4,
            arrangement: Arrangement::Corners,
            split: Split::Any,
            size: 2,
            ..DataSettings::default()
        };
        let source = Source::all_positions(&data, 100, 1);
        assert_eq!((source.shape().specks, source.passes()), (1, 40));
        let mut seen = Vec::new();
        for step in 0..source.passes() {
            let batch = batch(&source, step);
            seen.extend((0..100).flat_map(|sample| batch.targets(sample).collect::<Vec<_>>()));
        }
        let rows = 1..64;
        let expected: Vec<_> =
            rows.clone().flat_map(|row| rows.clone().map(move |c| (row, c))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn padding_changes_the_shape_only() {
        let data = DataSettings::default();
        let plain = batch(&Source::new(&data, 8, 1), 3);
        let padded = batch(&Source::new(&data, 8, 1).padded(4, true), 3);
        assert_eq!((padded.shape.specks, padded.shape.backgrounds), (4, 8));
        for sample in 0..8 {
            assert!(plain.targets(sample).eq(padded.targets(sample)));
            assert_eq!(plain.background_of(sample), padded.background_of(sample));
            assert_eq!(padded.colours[sample * 12..][..3], plain.colours[sample * 3..][..3]);
        }
    }

    #[test]
    #[should_panic(expected = "impossible data: `count`")]
    fn impossible_data_have_no_source() {
        let data = DataSettings { arrangement: Arrangement::Rectangle, ..DataSettings::default() };
        Source::new(&data, 1, 0);
    }
}
