//! The specification of the movement kernels.

use super::{Element, Gathering, Strided};
use crate::Real;
use crate::elementwise::scalar::{BinaryRule, Maximum};

pub(super) fn read<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T]) {
    assert_eq!(out.len(), layout.elements(), "length of the output");
    for flat in 0..out.len() {
        out[flat] = x[layout.address(flat)];
    }
}

pub(super) fn write<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), layout.elements(), "length of the input");
    for flat in 0..x.len() {
        out[layout.address(flat)] = x[flat];
    }
}

pub(super) fn gather<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    gather_or(shape, x, index, T::nan(), out);
}

pub(super) fn gather_or<T: Element>(
    shape: &Gathering,
    x: &[T],
    index: &[i32],
    outside: T,
    out: &mut [T],
) {
    shape.check(x.len(), index.len(), out.len());
    let Gathering { outer, source, picks, inner } = *shape;
    for o in 0..outer {
        for p in 0..picks {
            for i in 0..inner {
                let at = (o * picks + p) * inner + i;
                // A negative index becomes larger than any axis.
                let pick = index[at] as usize;
                out[at] = if pick < source { x[(o * source + pick) * inner + i] } else { outside };
            }
        }
    }
}

pub(super) fn scatter_add<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    shape.check(out.len(), index.len(), x.len());
    let Gathering { outer, source, picks, inner } = *shape;
    out.fill(T::zero());
    for o in 0..outer {
        for p in 0..picks {
            for i in 0..inner {
                let at = (o * picks + p) * inner + i;
                let pick = index[at] as usize;
                if pick < source {
                    out[(o * source + pick) * inner + i] += x[at];
                }
            }
        }
    }
}

pub(super) fn index_select<T: Element>(
    shape: &Gathering,
    x: &[T],
    index: &[i32],
    outside: T,
    out: &mut [T],
) {
    shape.check_rows(x.len(), index.len(), out.len());
    let Gathering { outer, source, picks, inner } = *shape;
    for o in 0..outer {
        for p in 0..picks {
            let pick = index[p] as usize;
            for i in 0..inner {
                out[(o * picks + p) * inner + i] =
                    if pick < source { x[(o * source + pick) * inner + i] } else { outside };
            }
        }
    }
}

pub(super) fn index_add<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    shape.check_rows(out.len(), index.len(), x.len());
    let Gathering { outer, source, picks, inner } = *shape;
    out.fill(T::zero());
    for o in 0..outer {
        for p in 0..picks {
            let pick = index[p] as usize;
            if pick < source {
                for i in 0..inner {
                    out[(o * source + pick) * inner + i] += x[(o * picks + p) * inner + i];
                }
            }
        }
    }
}

pub(super) fn segment_max<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    shape.check_rows(out.len(), index.len(), x.len());
    let Gathering { outer, source, picks, inner } = *shape;
    out.fill(T::neg_infinity());
    for o in 0..outer {
        for p in 0..picks {
            let pick = index[p] as usize;
            if pick < source {
                for i in 0..inner {
                    let at = (o * source + pick) * inner + i;
                    out[at] = Maximum::value(out[at], x[(o * picks + p) * inner + i]);
                }
            }
        }
    }
}
