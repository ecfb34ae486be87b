//! Rules of the ops that pick slices, sort and accumulate.

use crate::structured::{TWO_60, f, i};
use crate::table::{Entry, INF, NAN, entry};

pub fn entries() -> Vec<Entry> {
    let mut all = slices();
    all.extend(segments());
    all.extend(sorting());
    all.extend(scans());
    all.extend(eigenvalues());
    all
}

fn eigenvalues() -> Vec<Entry> {
    vec![
        entry(
            "symmetric_eigen",
            "the lower triangle is not read",
            vec![f(&[2, 2], &[2.0, 0.0, NAN, 1.0])],
            |g, x| g.symmetric_eigen(x[0]),
            &[1.0, 2.0, 0.0, 1.0, 1.0, 0.0],
        ),
        entry(
            "symmetric_eigen",
            "the largest component of a vector is positive",
            vec![f(&[2, 2], &[-4.0, 0.0, 0.0, -9.0])],
            |g, x| g.symmetric_eigen(x[0]),
            &[-9.0, -4.0, 0.0, 1.0, 1.0, 0.0],
        ),
    ]
}

fn slices() -> Vec<Entry> {
    vec![
        entry(
            "index_select",
            "an index outside gives NaN and passes no cotangent",
            vec![f(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), i(&[5], &[2, 3, -1, 0, 2])],
            |g, x| g.index_select(x[0], 0, x[1]),
            &[5.0, 6.0, NAN, NAN, NAN, NAN, 1.0, 2.0, 5.0, 6.0],
        )
        .gradients(&[&[1.0, 1.0, 0.0, 0.0, 2.0, 2.0]]),
        entry(
            "index_select",
            "or 0, which passes no cotangent",
            vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), i(&[4], &[1, 2, -1, 1])],
            |g, x| g.index_select_or_zero(x[0], 0, x[1]),
            &[3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0],
        )
        .gradients(&[&[0.0, 0.0, 2.0, 2.0]]),
        entry(
            "index_select",
            "integers travel whole, f32's NaN for those outside",
            vec![i(&[3], &[i32::MAX, i32::MIN, 0x7f80_0001]), i(&[4], &[1, 0, 2, 3])],
            |g, x| g.index_select(x[0], 0, x[1]),
            &[-2_147_483_648.0, 2_147_483_647.0, 2_139_095_041.0, 2_143_289_344.0],
        ),
        entry(
            "index_add",
            "an index outside adds nothing",
            vec![f(&[2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), i(&[4], &[0, -1, 3, 0])],
            |g, x| g.index_add(x[0], 1, x[1], 3),
            &[5.0, 0.0, 0.0, 13.0, 0.0, 0.0],
        )
        .gradients(&[&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]]),
        entry(
            "index_add",
            "sums run in the order of the slices",
            vec![f(&[3, 2], &[TWO_60, TWO_60, 1.0, -TWO_60, -TWO_60, 1.0]), i(&[3], &[1, 1, 1])],
            |g, x| g.index_add(x[0], 0, x[1], 2),
            &[0.0, 0.0, 0.0, 1.0],
        ),
        entry(
            "to_index",
            "truncates, saturates, and NaN is nowhere",
            vec![f(&[8], &[2.9, -2.9, -0.5, NAN, INF, -INF, 1e10, 7.0])],
            |g, x| g.to_index(x[0]),
            &[2.0, -2.0, 0.0, -1.0, 2_147_483_647.0, -2_147_483_648.0, 2_147_483_647.0, 7.0],
        ),
    ]
}

fn segments() -> Vec<Entry> {
    vec![
        entry(
            "segment_max",
            "ties share, an empty segment is -infinity, an index outside counts nothing",
            vec![f(&[6, 1], &[3.0, 1.0, 3.0, 2.0, 9.0, 9.0]), i(&[6], &[0, 0, 0, 2, -1, 3])],
            |g, x| g.segment_max(x[0], 0, x[1], 3),
            &[3.0, -INF, 2.0],
        )
        .gradients(&[&[0.5, 0.0, 0.5, 1.0, 0.0, 0.0]]),
        entry(
            "segment_max",
            "NaN wins wherever it stands",
            vec![f(&[1, 4], &[NAN, 1.0, 1.0, NAN]), i(&[4], &[0, 0, 1, 1])],
            |g, x| g.segment_max(x[0], 1, x[1], 2),
            &[NAN, NAN],
        ),
    ]
}

fn sorting() -> Vec<Entry> {
    let mixed = || vec![f(&[8], &[1.0, NAN, -0.0, INF, 0.0, -INF, NAN, 1.0])];
    vec![
        entry(
            "argsort",
            "equals in their order, NaN behind infinity",
            mixed(),
            |g, x| g.argsort(x[0], 0, false, 8),
            &[5.0, 2.0, 4.0, 0.0, 7.0, 3.0, 1.0, 6.0],
        ),
        entry(
            "argsort",
            "descending, equals still in their order, NaN first",
            mixed(),
            |g, x| g.argsort(x[0], 0, true, 7),
            &[1.0, 6.0, 3.0, 0.0, 7.0, 2.0, 4.0],
        ),
    ]
}

fn scans() -> Vec<Entry> {
    // 2⁻⁴⁰ beside 1 is lost in f32 but not in the f64 that totals are kept in.
    let tiny = 2f64.powi(-40);
    vec![
        entry(
            "cumulative_sum",
            "totals are kept in f64",
            vec![f(&[4], &[1.0, tiny, -1.0, 0.0])],
            |g, x| g.cumulative_sum(x[0], 0, false),
            &[1.0, 1.0 + tiny, tiny, tiny],
        )
        .gradients(&[&[4.0, 3.0, 2.0, 1.0]]),
        entry(
            "cumulative_sum",
            "in order: what was swallowed does not come back",
            vec![f(&[2, 3], &[TWO_60, 1.0, -TWO_60, TWO_60, -TWO_60, 1.0])],
            |g, x| g.cumulative_sum(x[0], 1, false),
            &[TWO_60, TWO_60, 0.0, TWO_60, 0.0, 1.0],
        ),
        entry(
            "cumulative_sum",
            "NaN stays from where it is met",
            vec![f(&[2, 3], &[1.0, NAN, 2.0, INF, 1.0, -INF])],
            |g, x| g.cumulative_sum(x[0], 1, true),
            &[NAN, NAN, 2.0, NAN, -INF, -INF],
        )
        .gradients(&[&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]]),
    ]
}
