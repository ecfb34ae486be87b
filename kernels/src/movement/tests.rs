use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, hash, poisoned, random};

/// Strides of a contiguous tensor of shape `sizes`.
fn contiguous(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis] * sizes[axis] as isize;
    }
    strides
}

/// Layouts over a slice of `len` elements, as (sizes, strides, offset, len);
/// in all of them, addresses differ from each other unless a stride is 0.
fn layouts() -> Vec<(Vec<usize>, Vec<isize>, usize, usize)> {
    let mut all = Vec::new();
    let mut add = |sizes: &[usize], strides: &[isize], offset: usize, len: usize| {
        all.push((sizes.to_vec(), strides.to_vec(), offset, len));
    };
    add(&[], &[], 3, 5);
    add(&[1, 1], &[100, -100], 2, 5);
    add(&[3, 0, 2], &[1, 1, 1], 0, 0);
    add(&[3, 0, 2], &[1, 1, 1], 7, 9);
    // Contiguous, shorter and longer than a piece.
    add(&[7, 5, 3], &[15, 3, 1], 0, 105);
    add(&[100_003], &[1], 5, 100_010);
    // Flips, along one axis and along all.
    add(&[4, 5], &[5, -1], 4, 20);
    add(&[4, 5, 6], &[-30, -6, -1], 119, 120);
    // Narrowing, with a gap between rows.
    add(&[6, 5], &[17, 1], 3, 200);
    add(&[3, 40_000], &[50_000, 1], 11, 150_000);
    // Every other element.
    add(&[3, 9], &[40, 2], 1, 120);
    // Transpositions, ragged around the tile, and with batches outside.
    for (rows, columns) in
        [(1, 9), (15, 16), (16, 16), (16, 15), (17, 33), (64, 64), (130, 3), (3, 130), (300, 257)]
    {
        add(&[rows, columns], &[1, rows as isize], 0, rows * columns);
        let plane = rows * columns;
        add(&[2, rows, columns], &[plane as isize, 1, rows as isize], 0, 2 * plane);
    }
    // NCHW read as NHWC and back, every permutation of three axes.
    add(&[2, 8, 9, 3], &[216, 9, 1, 72], 0, 432);
    add(&[2, 3, 8, 9], &[216, 1, 27, 3], 0, 432);
    add(&[5, 7, 6], &[6, 30, 1], 0, 210);
    add(&[7, 6, 5], &[6, 1, 42], 0, 210);
    add(&[6, 5, 7], &[1, 42, 6], 0, 210);
    // More axes than the plan has places for.
    add(&[2; 13], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096], 0, 8192);
    all
}

/// Layouts that repeat elements.
fn broadcasts() -> Vec<(Vec<usize>, Vec<isize>, usize, usize)> {
    vec![
        (vec![4, 6], vec![0, 1], 2, 8),
        (vec![4, 6], vec![1, 0], 0, 4),
        (vec![2, 3, 4, 5], vec![0, 1, 0, 0], 1, 4),
        (vec![2, 3, 4, 5], vec![20, 0, 5, 1], 0, 40),
        (vec![70_000], vec![0], 0, 1),
        (vec![300, 200], vec![0, 1], 0, 200),
        (vec![33, 4, 20], vec![1, 0, 33], 0, 660),
    ]
}

/// The variants that this processor has.
fn here<R>(variants: &'static [Variant<R>]) -> impl Iterator<Item = &'static Variant<R>> {
    variants.iter().filter(|variant| variant.isa.supported().is_ok())
}

fn read_matches<T: Real>() {
    let mut layouts = layouts();
    layouts.extend(broadcasts());
    for (sizes, strides, offset, len) in &layouts {
        let layout = Strided { sizes, strides, offset: *offset };
        let x = random::<T>(1, *len, -1.0, 1.0);
        let want: Vec<T> = (0..layout.elements()).map(|flat| x[layout.address(flat)]).collect();
        for variant in here(T::variants(&READ_STRIDED)) {
            let mut out = poisoned::<T>(want.len());
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&layout, &x, &mut out) };
            assert_same(&out, &want, &format!("{} {layout:?}", variant.name));
        }
    }
}

#[test]
fn every_read_variant_reads_the_addressed_elements() {
    read_matches::<f32>();
    read_matches::<f64>();
}

fn write_matches<T: Real>() {
    for (sizes, strides, offset, len) in &layouts() {
        let layout = Strided { sizes, strides, offset: *offset };
        let x = random::<T>(2, layout.elements(), -1.0, 1.0);
        let before = random::<T>(3, *len, 5.0, 6.0);
        let mut want = before.clone();
        for (flat, &value) in x.iter().enumerate() {
            want[layout.address(flat)] = value;
        }
        for variant in here(T::variants(&WRITE_STRIDED)) {
            let mut out = before.clone();
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&layout, &x, &mut out) };
            assert_same(&out, &want, &format!("{} {layout:?}", variant.name));
        }
    }
}

#[test]
fn every_write_variant_writes_the_addressed_elements_and_no_other() {
    write_matches::<f32>();
    write_matches::<f64>();
}

/// Over 16 MiB, with whole lines at an aligned place, and a ragged other axis.
#[test]
fn planes_beyond_the_caches_are_transposed() {
    let (rows, columns) = (2049, 2064);
    let (sizes, strides) = ([rows, columns], [1, rows as isize]);
    let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
    let x = random::<f32>(4, rows * columns, -1.0, 1.0);
    for variant in here(READ_STRIDED.f32) {
        let mut out = poisoned::<f32>(x.len() + 32);
        let start = out.as_ptr().align_offset(64);
        // SAFETY: the variant is supported.
        unsafe { (variant.run)(&layout, &x, &mut out[start..start + x.len()]) };
        let right = |i: usize| out[start + i] == x[i % columns * rows + i / columns];
        assert!((0..x.len()).all(right), "{}", variant.name);
        let beside = out[..start].iter().chain(&out[start + x.len()..]);
        assert!(beside.into_iter().all(|value| value.is_nan()), "{}", variant.name);
    }
}

#[test]
fn integers_disguised_as_floats_survive() {
    // Among them signalling NaNs, which arithmetic would quiet.
    let integers: Vec<i32> = (0..2000)
        .map(|i| if i % 3 == 0 { 0x7f80_0001 + i } else { hash(i as u64) as i32 })
        .collect();
    let x: &[f32] = bytemuck::cast_slice(&integers);
    let (sizes, strides) = ([50, 40], [1, 50]);
    let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
    for (read, write) in here(READ_STRIDED.f32).zip(here(WRITE_STRIDED.f32)) {
        let (mut there, mut back) = (vec![0.0; 2000], vec![0.0; 2000]);
        // SAFETY: supported variants.
        unsafe {
            (read.run)(&layout, x, &mut there);
            (write.run)(&layout, &there, &mut back);
        }
        assert_ne!(bytemuck::cast_slice::<f32, i32>(&there), integers);
        assert_eq!(bytemuck::cast_slice::<f32, i32>(&back), integers);
    }
    let index: Vec<i32> = (0..2000).rev().collect();
    let shape = Gathering { outer: 1, source: 2000, picks: 2000, inner: 1 };
    for variant in here(GATHER.f32) {
        let mut out = vec![0.0; 2000];
        // SAFETY: the variant is supported.
        unsafe { (variant.run)(&shape, x, &index, &mut out) };
        out.reverse();
        assert_eq!(bytemuck::cast_slice::<f32, i32>(&out), integers);
    }
}

#[test]
fn a_layout_that_leaves_the_slice_is_refused_before_anything_is_written() {
    let cases: [(&[usize], &[isize], usize); 5] = [
        (&[4], &[1], 7),
        (&[4], &[-1], 2),
        (&[2, 2], &[isize::MAX, 1], 0),
        (&[2, 2], &[isize::MIN, 1], 0),
        (&[4], &[1], usize::MAX),
    ];
    for (sizes, strides, offset) in cases {
        let layout = Strided { sizes, strides, offset };
        let refused = std::panic::catch_unwind(|| {
            let mut out = [0.0f32; 10];
            tiled::write(&layout, &[1.0; 4], &mut out);
        });
        assert!(refused.is_err(), "write {layout:?}");
        let refused = std::panic::catch_unwind(|| tiled::read(&layout, &[1.0; 10], &mut [0.0; 4]));
        assert!(refused.is_err(), "read {layout:?}");
    }
}

fn gatherings() -> Vec<Gathering> {
    let mut all = Vec::new();
    for outer in [0, 1, 3, 40] {
        for source in [1, 2, 37] {
            for picks in [0, 1, 5, 300] {
                for inner in [0, 1, 2, 9] {
                    all.push(Gathering { outer, source, picks, inner });
                }
            }
        }
    }
    all.push(Gathering { outer: 2, source: 50, picks: 70_001, inner: 1 });
    all.push(Gathering { outer: 64, source: 1024, picks: 256, inner: 1 });
    all.push(Gathering { outer: 2, source: 5, picks: 0, inner: 3 });
    all
}

/// Indices inside the source, and with `strays` some outside.
fn indices(shape: &Gathering, strays: bool) -> Vec<i32> {
    let n = shape.outer * shape.picks * shape.inner;
    let inside = |i: usize| (hash(i as u64) % shape.source as u64) as i32;
    let stray = |i: usize| [-1, shape.source as i32, i32::MIN, i32::MAX][i % 4];
    (0..n).map(|i| if strays && i % 5 == 3 { stray(i / 5) } else { inside(i) }).collect()
}

fn gather_matches<T: Real>() {
    for shape in gatherings() {
        let Gathering { outer, source, picks, inner } = shape;
        let index = indices(&shape, true);
        let x = random::<T>(4, outer * source * inner, -1.0, 1.0);
        let want = |flat: usize| {
            let (o, i) = (flat / (picks * inner), flat % inner);
            match usize::try_from(index[flat]) {
                Ok(pick) if pick < source => x[(o * source + pick) * inner + i],
                _ => T::nan(),
            }
        };
        let want: Vec<T> = (0..index.len()).map(want).collect();
        let here = |isa: Isa| isa.supported().is_ok();
        for variant in T::variants(&GATHER).iter().filter(|variant| here(variant.isa)) {
            // Not NaN: that is what a stray index has to give.
            let mut out = vec![T::of(7.0); want.len()];
            // SAFETY: the slices have the lengths of the shape; the variant is supported.
            unsafe { (variant.run)(&shape, &x, &index, &mut out) };
            assert_same(&out, &want, &format!("{} {shape:?}", variant.name));
        }
        let cotangent = random::<T>(5, index.len(), -1.0, 1.0);
        let mut want = vec![T::zero(); x.len()];
        // SAFETY: the scalar variant is portable.
        unsafe {
            let scalar = T::variants(&SCATTER_ADD).last().expect("a scalar variant");
            (scalar.run)(&shape, &cotangent, &index, &mut want);
        }
        for variant in T::variants(&SCATTER_ADD) {
            let mut out = poisoned::<T>(x.len());
            // SAFETY: portable variants.
            unsafe { (variant.run)(&shape, &cotangent, &index, &mut out) };
            assert_same(&out, &want, &format!("{} {shape:?}", variant.name));
        }
    }
}

#[test]
fn every_gather_and_scatter_variant_agrees() {
    gather_matches::<f32>();
    gather_matches::<f64>();
}

/// The inner product, against which a map and its adjoint are held.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn scatter_is_the_adjoint_of_gather() {
    for shape in gatherings() {
        let index = indices(&shape, false);
        let x = random::<f64>(6, shape.outer * shape.source * shape.inner, -1.0, 1.0);
        let y = random::<f64>(7, index.len(), -1.0, 1.0);
        for (gather, scatter) in GATHER.f64.iter().zip(SCATTER_ADD.f64) {
            let (mut forward, mut backward) = (poisoned(y.len()), poisoned(x.len()));
            // SAFETY: portable variants.
            unsafe {
                (gather.run)(&shape, &x, &index, &mut forward);
                (scatter.run)(&shape, &y, &index, &mut backward);
            }
            let (got, want) = (dot(&x, &backward), dot(&forward, &y));
            assert_close(&[got], &[want], 1e-11, 1e-11, &format!("{} {shape:?}", gather.name));
        }
    }
}

#[test]
fn writing_is_the_adjoint_of_reading() {
    for (sizes, strides, offset, len) in &layouts() {
        let layout = Strided { sizes, strides, offset: *offset };
        let x = random::<f64>(8, *len, -1.0, 1.0);
        let y = random::<f64>(9, layout.elements(), -1.0, 1.0);
        let (mut forward, mut backward) = (poisoned(y.len()), vec![0.0; x.len()]);
        tiled::read(&layout, &x, &mut forward);
        tiled::write(&layout, &y, &mut backward);
        assert_close(&[dot(&x, &backward)], &[dot(&forward, &y)], 1e-11, 1e-11, "adjoint");
    }
}

fn rows_match<T: Real>() {
    let mut shapes = gatherings();
    shapes.push(Gathering { outer: 2, source: 900, picks: 1500, inner: 65 });
    for shape in shapes {
        let Gathering { outer, source, picks, inner } = shape;
        let index = indices(&Gathering { outer: 1, inner: 1, ..shape }, true);
        // The same indices for every row, as gather takes them.
        let every = |flat: usize| index[flat / inner % picks];
        let spread: Vec<i32> = (0..outer * picks * inner).map(every).collect();
        let x = random::<T>(11, outer * source * inner, -1.0, 1.0);
        let y = random::<T>(12, spread.len(), -1.0, 1.0);
        let (mut want, mut sums) = (vec![T::of(7.0); y.len()], poisoned(x.len()));
        scalar::gather(&shape, &x, &spread, &mut want);
        scalar::scatter_add(&shape, &y, &spread, &mut sums);
        for (select, add) in T::variants(&INDEX_SELECT).iter().zip(T::variants(&INDEX_ADD)) {
            let (mut picked, mut added) = (vec![T::of(7.0); y.len()], poisoned(x.len()));
            // SAFETY: portable variants.
            unsafe {
                (select.run)(&shape, &x, &index, T::nan(), &mut picked);
                (add.run)(&shape, &y, &index, &mut added);
            }
            assert_same(&picked, &want, &format!("select {} {shape:?}", select.name));
            // SAFETY: portable variants.
            unsafe { (select.run)(&shape, &x, &index, T::zero(), &mut picked) };
            let zeroed = |v: &T| if v.is_nan() { T::zero() } else { *v };
            let zeroed: Vec<T> = want.iter().map(zeroed).collect();
            assert_same(&picked, &zeroed, &format!("select or 0 {} {shape:?}", select.name));
            assert_same(&added, &sums, &format!("add {} {shape:?}", add.name));
        }
        let mut largest = vec![T::neg_infinity(); x.len()];
        for (at, &value) in y.iter().enumerate() {
            let (o, i, pick) = (at / inner / picks, at % inner, spread[at] as usize);
            if pick < source {
                let place = &mut largest[(o * source + pick) * inner + i];
                *place = place.max(value);
            }
        }
        for variant in T::variants(&SEGMENT_MAX) {
            let mut out = poisoned::<T>(x.len());
            // SAFETY: portable variants.
            unsafe { (variant.run)(&shape, &y, &index, &mut out) };
            assert_same(&out, &largest, &format!("max {} {shape:?}", variant.name));
        }
    }
}

#[test]
fn rows_are_picked_and_folded_as_their_elements_would_be() {
    rows_match::<f32>();
    rows_match::<f64>();
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let work = || {
        let mut results: Vec<Vec<f32>> = Vec::new();
        let side = 700;
        let x = random::<f32>(10, side * side, -1.0, 1.0);
        for strides in [[1, side as isize], [side as isize, 1], [0, 1]] {
            let layout = Strided { sizes: &[side, side], strides: &strides, offset: 0 };
            let mut out = poisoned(x.len());
            tiled::read(&layout, &x, &mut out);
            results.push(out);
        }
        let layout = Strided { sizes: &[side, side], strides: &[1, side as isize], offset: 0 };
        let mut out = poisoned(x.len());
        tiled::write(&layout, &x, &mut out);
        results.push(out);
        let shape = Gathering { outer: 35, source: 100, picks: 14_000, inner: 1 };
        let index = indices(&shape, false);
        let (mut picked, mut sums) = (poisoned(index.len()), poisoned(3500));
        tiled::gather(&shape, &x[..3500], &index, &mut picked);
        tiled::scatter_add(&shape, &x, &index, &mut sums);
        results.extend([picked, sums]);
        let shape = Gathering { outer: 1, source: 300, picks: 7_000, inner: 70 };
        let index = indices(&Gathering { inner: 1, ..shape }, false);
        let (mut picked, mut sums) = (poisoned(490_000), poisoned(21_000));
        let mut largest = poisoned(21_000);
        rows::index_select(&shape, &x[..21_000], &index, 0.0, &mut picked);
        rows::index_add(&shape, &x, &index, &mut sums);
        rows::segment_max(&shape, &x, &index, &mut largest);
        results.extend([picked, sums, largest]);
        results
    };
    let [one, two] = on_one_and_two_threads(work);
    for (one, two) in one.iter().zip(&two) {
        assert_same(two, one, "2 threads");
    }
}

#[test]
fn contiguous_layouts_read_themselves() {
    let sizes = [3, 4, 5];
    let strides = contiguous(&sizes);
    let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
    assert!((0..60).all(|flat| layout.address(flat) == flat));
}

/// Elements of 16 bits, of every pattern.
fn stored(seed: u64, length: usize) -> Vec<u16> {
    (0..length).map(|i| hash(seed << 32 | i as u64) as u16).collect()
}

#[test]
fn elements_of_16_bits_move_as_the_layout_says() {
    let mut all = layouts();
    all.extend(broadcasts());
    for (sizes, strides, offset, len) in &all {
        let layout = Strided { sizes, strides, offset: *offset };
        let x = stored(1, *len);
        let want: Vec<u16> = (0..layout.elements()).map(|flat| x[layout.address(flat)]).collect();
        for variant in here(half::READ_STRIDED_HALF.f32) {
            let mut out = vec![0xdead; want.len()];
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&layout, &x, &mut out) };
            assert_eq!(out, want, "{} {layout:?}", variant.name);
        }
    }
    for (sizes, strides, offset, len) in &layouts() {
        let layout = Strided { sizes, strides, offset: *offset };
        let (x, before) = (stored(2, layout.elements()), stored(3, *len));
        let mut want = before.clone();
        x.iter().enumerate().for_each(|(flat, value)| want[layout.address(flat)] = *value);
        for variant in here(half::WRITE_STRIDED_HALF.f32) {
            let mut out = before.clone();
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&layout, &x, &mut out) };
            assert_eq!(out, want, "{} {layout:?}", variant.name);
        }
    }
}

#[test]
fn elements_of_16_bits_are_picked_by_index() {
    const OUTSIDE: u16 = 0x7e00;
    for shape in gatherings() {
        let index = indices(&shape, true);
        let x = stored(4, shape.outer * shape.source * shape.inner);
        let mut want = vec![0; index.len()];
        for (at, want) in want.iter_mut().enumerate() {
            let (o, i) = (at / shape.inner / shape.picks, at % shape.inner);
            let pick = index[at] as usize;
            let there = pick < shape.source;
            *want = if there { x[(o * shape.source + pick) * shape.inner + i] } else { OUTSIDE };
        }
        for variant in here(half::GATHER_HALF.f32) {
            let mut out = vec![0xdead; want.len()];
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&shape, &x, &index, OUTSIDE, &mut out) };
            assert_eq!(out, want, "{} {shape:?}", variant.name);
        }
        let index = &index[..shape.picks.min(index.len())];
        if index.len() < shape.picks {
            continue;
        }
        let rows = shape.outer * shape.picks;
        let want: Vec<u16> = (0..rows * shape.inner)
            .map(|at| {
                let (o, p) = (at / shape.inner / shape.picks, at / shape.inner % shape.picks);
                let pick = index[p] as usize;
                let there = pick < shape.source;
                let row = (o * shape.source + pick.min(shape.source)) * shape.inner;
                if there { x[row + at % shape.inner] } else { OUTSIDE }
            })
            .collect();
        for variant in here(half::INDEX_SELECT_HALF.f32) {
            let mut out = vec![0xdead; want.len()];
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&shape, &x, index, OUTSIDE, &mut out) };
            assert_eq!(out, want, "{} {shape:?}", variant.name);
        }
    }
}

/// Rows that are near and far, and longer than what is asked for of each.
#[test]
fn long_lists_of_rows_are_folded_in_order() {
    for (source, picks, inner) in [(1, 900, 16), (37, 3000, 130), (600, 700, 329), (5, 257, 1)] {
        let shape = Gathering { outer: 2, source, picks, inner };
        let x = random::<f32>(7, 2 * picks * inner, -1.0, 1.0);
        let index: Vec<i32> =
            (0..picks).map(|p| (hash(p as u64) % (source as u64 + 2)) as i32 - 1).collect();
        for kernel in [&INDEX_ADD, &SEGMENT_MAX] {
            let run = |variant: &Variant<<Gather as Signature>::Run<f32>>| {
                let mut out = poisoned::<f32>(2 * source * inner);
                // SAFETY: the variant is supported.
                unsafe { (variant.run)(&shape, &x, &index, &mut out) };
                out
            };
            let want = run(kernel.f32.last().expect("a variant"));
            for variant in here(kernel.f32) {
                let [one, two] = on_one_and_two_threads(|| run(variant));
                assert_same(&one, &want, &format!("{} {shape:?}", variant.name));
                assert_same(&two, &want, &format!("{} {shape:?}", variant.name));
            }
        }
    }
}
