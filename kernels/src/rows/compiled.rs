//! What an instruction set's file consists of: the loops of `lanes` and `update`
//! compiled for it, and the routines around them.

/// The routines of an instruction set, out of the loops over its registers.
macro_rules! compiled {
    ($vector:ty, $across:literal, $features:literal) => {
        use super::gaps::Gaps;
        use super::rule::{Numbers, Rule};
        use super::{Change, Classes, Missed, Rows, lanes, update};
        use std::ops::Range;

        #[target_feature(enable = $features)]
        unsafe fn linear(
            rows: &Rows,
            columns: Range<usize>,
            a: &[f32],
            b: &[f32],
            index: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::linear::<$vector, $across>(rows, columns, a, b, index, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn patch(
            rows: &Rows,
            positions: Range<usize>,
            a: &[f32],
            b: &[f32],
            index: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { lanes::patch::<$vector>(rows, positions, a, b, index, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn weight(
            rows: &Rows,
            positions: Range<usize>,
            a: &[f32],
            b: &[f32],
            index: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { lanes::weight::<$vector, $across>(rows, positions, a, b, index, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn sum(
            rows: &Rows,
            classes: &Classes,
            columns: Range<usize>,
            x: &[f32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { lanes::sum::<$vector>(rows, classes, columns, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn change(
            rows: &Rows,
            classes: &Classes,
            rule: &Rule,
            numbers: &Numbers,
            change: &Change<f32>,
            positions: Range<usize>,
            out: *mut f32,
        ) {
            let run = update::change::<$vector, $across>;
            // SAFETY: as above.
            unsafe { run(rows, classes, rule, numbers, change, positions, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn catch_up(
            rows: &Rows,
            rule: &Rule,
            missed: &Missed<f32>,
            gaps: &Gaps,
            positions: Range<usize>,
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { update::catch_up::<$vector>(rows, rule, missed, gaps, positions, out) }
        }

        /// The contract of [`super::ROW_LINEAR`].
        pub fn row_linear(rows: &Rows, a: &[f32], b: &[f32], index: &[i32], out: &mut [f32]) {
            lanes::row_linear(rows, a, b, index, out, linear);
        }

        /// The contract of [`super::ROW_LINEAR_PATCH`].
        pub fn row_linear_patch(rows: &Rows, a: &[f32], b: &[f32], index: &[i32], out: &mut [f32]) {
            lanes::row_linear_patch(rows, a, b, index, out, patch);
        }

        /// The contract of [`super::ROW_LINEAR_WEIGHT`].
        pub fn row_linear_weight(
            rows: &Rows,
            a: &[f32],
            b: &[f32],
            index: &[i32],
            out: &mut [f32],
        ) {
            lanes::row_linear_weight(rows, a, b, index, out, weight);
        }

        /// The contract of [`super::ROW_SUM`].
        pub fn row_sum(rows: &Rows, classes: &Classes, wanted: bool, x: &[f32], out: &mut [f32]) {
            lanes::row_sum(rows, classes, wanted, x, out, sum);
        }

        /// The contract of [`super::ROW_UPDATE`].
        pub fn row_update(
            rows: &Rows,
            classes: &Classes,
            rule: &Rule,
            read: &Change<f32>,
            out: &mut [f32],
        ) {
            lanes::row_update(rows, classes, rule, read, out, change);
        }

        /// The contract of [`super::ROW_CATCH_UP`].
        pub fn row_catch_up(rows: &Rows, rule: &Rule, missed: &Missed<f32>, out: &mut [f32]) {
            lanes::row_catch_up(rows, rule, missed, out, catch_up);
        }
    };
}
pub(super) use compiled;
