//! The shapes under which a field is known to the graph.
//!
//! A field has four axes: samples, channels, rows and columns. A node that holds
//! it has dimensions that are runs of *factors* of these axes, most significant
//! first: the planes of a map are [N], [C], [H W]; its 8 × 8 patches as rows of a
//! matrix are [N H/8 W/8], [C 8 8]. Reshapes and permutations are then moves of
//! factors, and a rule asks which whole axes a dimension holds.

/// Samples, channels, rows, columns.
pub(super) const AXES: usize = 4;
pub(super) const SAMPLES: usize = 0;
pub(super) const CHANNELS: usize = 1;
pub(super) const ROWS: usize = 2;
pub(super) const COLUMNS: usize = 3;

/// A digit of an index into an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor {
    pub axis: usize,
    pub size: usize,
    /// What the axis' index grows by with this digit.
    pub stride: usize,
}

/// The factors of each dimension. Factors of size 1 are left out; neighbours that
/// are one digit together are one factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View(Vec<Vec<Factor>>);

/// Factors joined where they are digits of one number.
fn joined(factors: impl IntoIterator<Item = Factor>) -> Vec<Factor> {
    let mut all: Vec<Factor> = Vec::new();
    for factor in factors.into_iter().filter(|factor| factor.size != 1) {
        match all.last_mut() {
            Some(last)
                if last.axis == factor.axis && last.stride == factor.size * factor.stride =>
            {
                *last = Factor { size: last.size * factor.size, ..factor };
            }
            _ => all.push(factor),
        }
    }
    all
}

impl View {
    /// [samples, channels, rows, columns].
    pub fn map(sizes: [usize; AXES]) -> View {
        View(
            (0..AXES).map(|axis| joined([Factor { axis, size: sizes[axis], stride: 1 }])).collect(),
        )
    }

    /// A view of these dimensions.
    pub fn of(dimensions: Vec<Vec<Factor>>) -> View {
        View(dimensions.into_iter().map(joined).collect())
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    pub fn dimension(&self, dimension: usize) -> &[Factor] {
        &self.0[dimension]
    }

    pub fn size(&self, dimension: usize) -> usize {
        self.0[dimension].iter().map(|factor| factor.size).product()
    }

    pub fn shape(&self) -> Vec<usize> {
        (0..self.rank()).map(|dimension| self.size(dimension)).collect()
    }

    /// All factors in the order of the elements.
    pub fn factors(&self) -> impl Iterator<Item = Factor> + '_ {
        self.0.iter().flatten().copied()
    }

    /// The view after a reshape, if its dimensions are runs of factors.
    pub fn reshaped(&self, shape: &[usize]) -> Option<View> {
        let mut rest = joined(self.factors());
        rest.reverse();
        let mut dimensions = Vec::new();
        for size in shape {
            let mut missing = *size;
            let mut dimension = Vec::new();
            while missing > 1 {
                let factor = rest.pop()?;
                if missing.is_multiple_of(factor.size) {
                    missing /= factor.size;
                    dimension.push(factor);
                } else if factor.size.is_multiple_of(missing) {
                    let minor = factor.size / missing;
                    rest.push(Factor { size: minor, ..factor });
                    let stride = factor.stride * minor;
                    dimension.push(Factor { size: missing, stride, ..factor });
                    missing = 1;
                } else {
                    return None;
                }
            }
            dimensions.push(joined(dimension));
        }
        (rest.is_empty() && !shape.contains(&0)).then_some(View(dimensions))
    }

    pub fn permuted(&self, order: &[usize]) -> View {
        View(order.iter().map(|dimension| self.0[*dimension].clone()).collect())
    }

    /// The view without some dimensions.
    pub fn without(&self, dimensions: &[usize]) -> View {
        let kept = (0..self.rank()).filter(|dimension| !dimensions.contains(dimension));
        View(kept.map(|dimension| self.0[dimension].clone()).collect())
    }

    /// The view with another dimension.
    pub fn with(&self, dimension: usize, factors: Vec<Factor>) -> View {
        let mut view = self.clone();
        view.0[dimension] = joined(factors);
        view
    }

    /// The view with one factor in place of another.
    pub fn replaced(&self, from: Factor, to: Factor) -> View {
        let swap = |factor: &Factor| if *factor == from { to } else { *factor };
        View(self.0.iter().map(|factors| joined(factors.iter().map(swap))).collect())
    }

    /// The view of a field of which one axis has another size, where that axis
    /// is one factor or, of size 1, none; `dimension` is where to put it then.
    pub fn resized(&self, dimension: usize, axis: usize, size: usize) -> View {
        let mut view = self.clone();
        let factors = &mut view.0[dimension];
        factors.retain(|factor| factor.axis != axis);
        factors.push(Factor { axis, size, stride: 1 });
        *factors = joined(factors.iter().copied());
        view
    }

    /// What of each axis some dimensions hold.
    pub fn held(&self, dimensions: &[usize], sizes: [usize; AXES]) -> [Held; AXES] {
        let own = |axis: usize| {
            let factors = dimensions.iter().flat_map(|dimension| &self.0[*dimension]);
            let size: usize =
                factors.filter(|factor| factor.axis == axis).map(|factor| factor.size).product();
            match size {
                _ if sizes[axis] == 1 => Held::Single,
                1 => Held::Nothing,
                size if size == sizes[axis] => Held::All,
                _ => Held::Part,
            }
        };
        [0, 1, 2, 3].map(own)
    }
}

/// How much of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    Part,
    All,
    /// The axis has size 1: nothing and all of it.
    Single,
}

impl Held {
    pub fn all(self) -> bool {
        matches!(self, Held::All | Held::Single)
    }

    pub fn nothing(self) -> bool {
        matches!(self, Held::Nothing | Held::Single)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_and_permutations_move_factors() {
        let map = View::map([5, 6, 8, 12]);
        let planes = map.reshaped(&[5, 6, 96]).expect("planes");
        assert_eq!(planes.shape(), [5, 6, 96]);
        assert_eq!(planes.reshaped(&[5, 6, 8, 12]), Some(map.clone()));
        let split = map.reshaped(&[5, 6, 2, 4, 3, 4]).expect("patches");
        let rows = split.permuted(&[0, 2, 4, 1, 3, 5]).reshaped(&[30, 96]).expect("rows");
        assert_eq!(rows.dimension(1)[1], Factor { axis: ROWS, size: 4, stride: 1 });
        assert_eq!(rows.dimension(0)[1], Factor { axis: ROWS, size: 2, stride: 4 });
        // The digits that are left meet no others of their axis.
        assert_eq!(map.reshaped(&[5, 9, 8, 8]), None);
        assert_eq!(map.reshaped(&[5, 6, 8, 11]), None);
        let groups = map.reshaped(&[5, 2, 288]).expect("groups");
        let held = groups.held(&[2], [5, 6, 8, 12]);
        assert_eq!(held, [Held::Nothing, Held::Part, Held::All, Held::All]);
    }
}
