//! Random draws that are addressed by what they are for.

use speck_kernels::random::{Stream, bits, uniform};

/// What a draw is for; each purpose has a stream of its own. The values only
/// have to differ from one another and from the node numbers that a program
/// uses as streams, which are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order in which positions are given to the training set.
    Mask = 0x6461_0000,
    /// Backgrounds.
    Background,
    /// Colours of specks.
    Colour,
    /// Where specks lie.
    Placement,
}

/// The draws of one sample (or batch) for one purpose, in order. Two values
/// with the same seed, purpose, step and sample give the same draws.
#[derive(Clone, Debug)]
pub struct Draws {
    stream: Stream,
    index: u64,
}

impl Draws {
    /// The draws of a sample of a step. A sample has 2^32 of them.
    pub fn new(seed: u64, purpose: Purpose, step: u64, sample: usize) -> Self {
        let stream = Stream { seed, stream: purpose as u64, step };
        Draws { stream, index: (sample as u64) << 32 }
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        let value = uniform(&self.stream, self.index);
        self.index += 1;
        f64::from(value)
    }

    /// A whole number below `end`, which must be from 1 to 2^32.
    pub fn below(&mut self, end: usize) -> usize {
        // The high half of a 32 by 32 bit product; its bias is below end / 2^32.
        let word = u64::from(bits(&self.stream, self.index));
        self.index += 1;
        ((word * end as u64) >> 32) as usize
    }

    /// `true` half of the time.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// `count` different whole numbers below `end`, sorted, neighbours at least
    /// `gap` apart; every such set is equally likely. `None` where they do not
    /// fit, that is where `(count - 1) * gap >= end`.
    ///
    /// Taking the forced part of the gaps out, `i * (gap - 1)` from the i-th
    /// number, leaves any sorted set of different numbers; so such a set is
    /// drawn and the gaps are put back in.
    pub fn spread(&mut self, count: usize, gap: usize, end: usize) -> Option<Vec<usize>> {
        let forced = count.saturating_sub(1) * gap.saturating_sub(1);
        let free = end.checked_sub(forced).filter(|free| *free >= count)?;
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        // Floyd's sampling: the k-th round draws from one number more than the
        // round before, and takes that new number where the draw is taken.
        for newest in free - count..free {
            let drawn = self.below(newest + 1);
            let taken = chosen.contains(&drawn);
            chosen.push(if taken { newest } else { drawn });
        }
        chosen.sort_unstable();
        for (index, number) in chosen.iter_mut().enumerate() {
            *number += index * gap.saturating_sub(1);
        }
        Some(chosen)
    }

    /// Puts the items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sample: usize) -> Draws {
        Draws::new(7, Purpose::Placement, 3, sample)
    }

    #[test]
    fn draws_depend_on_their_address_only() {
        let first: Vec<_> = (0..8).map(|_| draws(5).below(1 << 20)).collect();
        assert!(first.iter().all(|value| *value == first[0]));
        let others = [
            draws(6),
            Draws::new(8, Purpose::Placement, 3, 5),
            Draws::new(7, Purpose::Colour, 3, 5),
            Draws::new(7, Purpose::Placement, 4, 5),
        ];
        for mut other in others {
            assert_ne!(other.below(1 << 20), first[0]);
        }
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut draws = draws(0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[draws.below(5)] += 1;
        }
        assert!(seen.iter().all(|count| (120..280).contains(count)), "{seen:?}");
        assert_eq!(draws.below(1), 0);
    }

    #[test]
    fn spread_keeps_its_gaps_and_reaches_both_ends() {
        let mut draws = draws(0);
        let (mut lowest, mut highest) = (99, 0);
        for _ in 0..2000 {
            let numbers = draws.spread(3, 4, 12).expect("three numbers fit");
            assert!(numbers.windows(2).all(|pair| pair[1] >= pair[0] + 4), "{numbers:?}");
            lowest = lowest.min(numbers[0]);
            highest = highest.max(numbers[2]);
        }
        assert_eq!((lowest, highest), (0, 11));
        assert_eq!(draws.spread(3, 4, 9), Some(vec![0, 4, 8]));
        assert_eq!(draws.spread(3, 4, 8), None);
    }

    #[test]
    fn shuffle_keeps_the_items() {
        let mut items: Vec<usize> = (0..50).collect();
        draws(0).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
