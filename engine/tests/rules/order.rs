//! Rules of the ops that pick slices, sort and accumulate.

use crate::structured::{TWO_60, f, i};
use crate::table::{Entry, INF, NAN, entry};

pub fn entries() -> Vec<Entry> {
    slices()
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
        ),
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
