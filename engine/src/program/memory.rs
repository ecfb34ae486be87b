//! Where in the arena each value lies.

use super::arena::Memory;

/// A value that needs memory from one step to another, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub bytes: usize,
    pub first: usize,
    pub last: usize,
}

/// Places values so that any two that live at the same time lie apart.
/// Returns the offset of each, and the bytes needed in all.
///
/// Greedy by size: the largest value first, each at the lowest offset free
/// during its whole lifetime (Pisarchyk and Lee, "Efficient Memory Management
/// for Deep Neural Net Inference", 2020, there called greedy by size).
pub(crate) fn plan(values: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(values[*i].bytes), *i));
    let mut offsets = vec![0; values.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for index in order {
        let value = values[index];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|other| {
                let other = values[**other];
                other.first <= value.last && value.first <= other.last
            })
            .map(|other| (offsets[*other], offsets[*other] + padded(values[*other].bytes)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + padded(value.bytes) <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[index] = offset;
        placed.push(index);
        total = total.max(offset + padded(value.bytes));
    }
    (offsets, total)
}

/// Values start at multiples of the arena's alignment. An empty value still
/// takes a line, so that every address is one of the arena's.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(Memory::ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_alive_together_lie_apart(
            values in prop::collection::vec((0usize..500, 0usize..20, 0usize..8), 0..40)
        ) {
            let values: Vec<_> = values
                .iter()
                .map(|(bytes, first, length)| Lifetime { bytes: *bytes, first: *first, last: first + length })
                .collect();
            let (offsets, total) = plan(&values);
            for i in 0..values.len() {
                prop_assert!(offsets[i] + values[i].bytes <= total);
                prop_assert_eq!(offsets[i] % Memory::ALIGNMENT, 0);
                for j in 0..i {
                    let together =
                        values[i].first <= values[j].last && values[j].first <= values[i].last;
                    let apart = offsets[i] + padded(values[i].bytes) <= offsets[j]
                        || offsets[j] + padded(values[j].bytes) <= offsets[i];
                    prop_assert!(apart || !together);
                }
            }
        }
    }

    #[test]
    fn memory_is_used_again() {
        let one = |first, last| Lifetime { bytes: 64, first, last };
        assert_eq!(plan(&[one(0, 1), one(2, 3), one(4, 5)]).1, 64);
    }
}
