//! Every variant this machine has, against the scalar specification.

use super::*;
use crate::testing::{RAGGED, assert_same, poisoned, random, ulps};

/// The kernels that approximate, each with the error in ULP that `formula.rs`
/// states.
fn approximations() -> [(&'static Kernel<Unary>, u64); 11] {
    [
        (&EXP, 1),
        (&EXPM1, 1),
        (&LOG, 1),
        (&LOG1P, 1),
        (&SIN, 2),
        (&COS, 2),
        (&TANH, 1),
        (&SIGMOID, 2),
        (&SOFTPLUS, 2),
        (&ERF, 1),
        (&GELU, 11),
    ]
}

/// The same for kernels of two values.
fn binary_tolerance(kernel: &Kernel<Binary>) -> u64 {
    match kernel.name {
        name if [POW.name, ATAN2.name, GELU_GRADIENT.name].contains(&name) => 2,
        _ => 0,
    }
}

/// What an error may be beside that, as a multiple of the second value.
fn binary_slack(kernel: &Kernel<Binary>) -> f32 {
    if kernel.name == GELU_GRADIENT.name { 4e-7 } else { 0.0 }
}

fn tolerance(kernel: &Kernel<Unary>) -> u64 {
    let entry = approximations().into_iter().find(|(k, _)| k.name == kernel.name);
    entry.map_or(0, |(_, tolerance)| tolerance)
}

/// The variants of a table that can run here. The scalar one is always among
/// them, so no test over them is empty.
fn here<R>(variants: &'static [Variant<R>]) -> impl Iterator<Item = &'static Variant<R>> {
    assert_eq!(variants.last().map(|v| v.name), Some("scalar"));
    variants.iter().filter(|v| v.isa.supported().is_ok())
}

/// Values at which something can go wrong.
fn special() -> Vec<f32> {
    let mut values = vec![
        0.0,
        1.0,
        f32::INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::MIN_POSITIVE / 2.0,
        f32::from_bits(1),
        1.0 + f32::EPSILON,
        1.0 - f32::EPSILON / 2.0,
        0.5,
        1.5,
        2.5,
        8_388_607.5,
        16_777_216.0,
        1e-20,
        1e20,
        // Around the borders of the formulas.
        std::f32::consts::FRAC_1_SQRT_2,
        std::f32::consts::FRAC_PI_4,
        std::f32::consts::FRAC_PI_2,
        std::f32::consts::PI,
        65535.5,
        65536.0,
        65537.0,
        1e9,
        0.55,
        0.75,
        0.9,
        4.0,
        4.01,
        9.1,
        13.1,
        14.4,
        14.5,
        16.7,
        17.9,
        18.1,
        87.3,
        88.722_84,
        88.73,
        89.1,
        103.97,
        103.98,
        105.0,
    ];
    let negative: Vec<f32> = values.iter().map(|x| -x).collect();
    values.extend(negative);
    values
}

/// Panics unless `got` is within `tolerance` ULP of `want`, with its sign where
/// both are zero.
#[track_caller]
fn check(name: &str, variant: &str, x: f32, got: f32, want: f32, tolerance: u64) {
    let error = ulps(got, want);
    assert!(error <= tolerance, "{name}:{variant} of {x:e}: {got:e}, not {want:e}: {error} ULP");
    if got == 0.0 && want == 0.0 {
        let same = got.is_sign_negative() == want.is_sign_negative();
        assert!(same, "{name}:{variant} of {x:e}: the sign of zero");
    }
}

/// What a unary kernel should give for `x`: the `f64` rule, rounded, where the
/// kernel approximates; else the scalar `f32` rule, bit by bit.
fn wanted(kernel: &Kernel<Unary>, x: &[f32]) -> Vec<f32> {
    if tolerance(kernel) > 0 {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let mut out: Vec<f64> = poisoned(x.len());
        // SAFETY: both have x.len() elements; scalar runs everywhere.
        unsafe { (kernel.f64[0].run)(x.as_ptr(), out.as_mut_ptr(), x.len()) };
        out.iter().map(|&y| y as f32).collect()
    } else {
        let mut out = poisoned(x.len());
        let scalar = kernel.f32.last().expect("a scalar variant");
        // SAFETY: both have x.len() elements; scalar runs everywhere.
        unsafe { (scalar.run)(x.as_ptr(), out.as_mut_ptr(), x.len()) };
        out
    }
}

/// Runs `variant` on `x` into poison, and checks that nothing behind the end
/// was touched.
fn run_unary(variant: &Variant<UnaryRun<f32>>, x: &[f32]) -> Vec<f32> {
    const SENTINEL: f32 = 12345.0;
    let mut out = poisoned(x.len());
    out.extend([SENTINEL; 16]);
    // SAFETY: both are valid for x.len() elements, and the variant is supported.
    unsafe { (variant.run)(x.as_ptr(), out.as_mut_ptr(), x.len()) };
    assert_eq!(out.split_off(x.len()), [SENTINEL; 16], "written past the end");
    out
}

fn check_unary(kernel: &'static Kernel<Unary>, x: &[f32]) {
    let want = wanted(kernel, x);
    // The platform's own f32 functions are not ours to bound: scalar gets slack.
    for variant in here(kernel.f32) {
        let got = run_unary(variant, x);
        let slack = if variant.name == "scalar" { 4 } else { 0 };
        let tolerance = tolerance(kernel);
        let tolerance = if tolerance > 0 { tolerance + slack } else { 0 };
        for i in 0..x.len() {
            check(kernel.name, variant.name, x[i], got[i], want[i], tolerance);
        }
    }
}

#[test]
fn unary_special_values() {
    for kernel in UNARY {
        check_unary(kernel, &special());
    }
}

#[test]
fn unary_ragged_unaligned_and_in_place() {
    for kernel in UNARY {
        for n in RAGGED {
            let x: Vec<f32> = random(n as u64, n + 1, -6.0, 6.0);
            let x = &x[1..];
            check_unary(kernel, x);
            for variant in here(kernel.f32) {
                let want = run_unary(variant, x);
                let mut both = x.to_vec();
                // SAFETY: in place over n elements is allowed.
                unsafe { (variant.run)(both.as_ptr(), both.as_mut_ptr(), n) };
                assert_same(&both, &want, &format!("{}:{} in place", kernel.name, variant.name));
            }
        }
    }
}

/// Dense over the range where the functions have their shape.
#[test]
fn approximations_on_a_dense_sample() {
    for (kernel, _) in approximations() {
        check_unary(kernel, &random(7, 200_000, -20.0, 20.0));
        check_unary(kernel, &random(8, 100_000, -1.0, 1.0));
        check_unary(kernel, &random(9, 100_000, -110.0, 110.0));
        check_unary(kernel, &random(10, 100_000, -70_000.0, 70_000.0));
    }
}

/// A stride over all bit patterns: every exponent, NaNs and denormals included.
#[test]
fn approximations_over_all_exponents() {
    let x: Vec<f32> = (0..=u32::MAX / 4099).map(|i| f32::from_bits(i * 4099)).collect();
    for (kernel, _) in approximations() {
        check_unary(kernel, &x);
    }
}

/// Every `f32` there is, and the largest error of a kernel. A minute or two each:
/// `cargo test --release -p speck-kernels every_f32 -- --ignored --nocapture`, with
/// `every_f32::gelu` for one of them; with `SPECK_EVERY=61` every 61st.
fn check_every_f32(kernel: &'static Kernel<Unary>) {
    use rayon::prelude::*;
    const CHUNK: u32 = 1 << 20;
    let every = std::env::var("SPECK_EVERY").ok().and_then(|text| text.parse().ok());
    let every: u32 = every.unwrap_or(1).max(1);
    let variants: Vec<_> = here(kernel.f32).filter(|v| v.name != "scalar").collect();
    // Of each variant the largest error and the bits it occurs at.
    let worst_of = |chunk: u32| -> Vec<(u64, u32)> {
        let bits = |i: usize| (chunk * CHUNK + i as u32).wrapping_mul(every);
        let x: Vec<f32> = (0..CHUNK as usize).map(|i| f32::from_bits(bits(i))).collect();
        let want = wanted(kernel, &x);
        let worst = |variant: &&'static Variant<UnaryRun<f32>>| {
            let got = run_unary(variant, &x);
            let error = |i: usize| (ulps(got[i], want[i]), bits(i));
            (0..x.len()).map(error).max().unwrap_or_default()
        };
        variants.iter().map(worst).collect()
    };
    let larger = |a: Vec<(u64, u32)>, b: Vec<(u64, u32)>| {
        a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect()
    };
    let chunks = (0..=u32::MAX / CHUNK / every).into_par_iter().map(worst_of);
    let worst = chunks.reduce(|| vec![(0, 0); variants.len()], larger);
    for (variant, (error, bits)) in variants.iter().zip(worst) {
        let x = f32::from_bits(bits);
        println!("{}:{}: at most {error} ULP, at {x:e}", kernel.name, variant.name);
        assert!(error <= tolerance(kernel), "the error is larger than stated");
    }
}

mod every_f32 {
    /// A test for each kernel that approximates.
    macro_rules! every_f32 {
        ($($name:ident $kernel:ident,)*) => {
            $(
                #[test]
                #[ignore = "takes a minute"]
                fn $name() {
                    super::check_every_f32(&super::$kernel);
                }
            )*

            #[test]
            fn none_is_left_out() {
                let here = [$(super::$kernel.name,)*];
                let all = super::approximations().map(|(kernel, _)| kernel.name);
                assert_eq!(here, all);
            }
        };
    }
    every_f32! {
        exp EXP,
        expm1 EXPM1,
        log LOG,
        log1p LOG1P,
        sin SIN,
        cos COS,
        tanh TANH,
        sigmoid SIGMOID,
        softplus SOFTPLUS,
        erf ERF,
        gelu GELU,
    }
}

/// What a binary kernel should give; as [`wanted`].
///
/// # Safety
/// The inputs are valid for `n` elements, one with step 0 for one.
unsafe fn wanted_of_two(
    kernel: &Kernel<Binary>,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    n: usize,
) -> Vec<f32> {
    if binary_tolerance(kernel) > 0 {
        // SAFETY: the caller's promise, and i < n.
        let value = |i: usize| unsafe {
            let (a, b) = (f64::from(*a.add(i * a_step)), f64::from(*b.add(i * b_step)));
            let mut out = f64::NAN;
            (kernel.f64[0].run)(&a, 1, &b, 1, &mut out, 1);
            out as f32
        };
        (0..n).map(value).collect()
    } else {
        let scalar = kernel.f32.last().expect("a scalar variant");
        let mut out = poisoned(n);
        // SAFETY: the caller's promise; scalar runs everywhere.
        unsafe { (scalar.run)(a, a_step, b, b_step, out.as_mut_ptr(), n) };
        out
    }
}

/// 2^27 pairs: half of any bits, half of those whose power is neither 0 nor ∞; the largest
/// error. Some minutes, as [`check_every_f32`].
#[test]
#[ignore = "takes minutes"]
fn many_pairs() {
    use rayon::prelude::*;
    const CHUNK: usize = 1 << 18;
    for kernel in [&POW, &ATAN2] {
        for variant in here(kernel.f32).filter(|v| v.name != "scalar") {
            let worst_of = |seed: u64| -> (u64, u32, u32) {
                let bits = random::<f64>(seed, 2 * CHUNK, 0.0, 2.0f64.powi(32));
                let (mut a, mut b): (Vec<f32>, Vec<f32>) = bits
                    .chunks_exact(2)
                    .map(|pair| (f32::from_bits(pair[0] as u32), f32::from_bits(pair[1] as u32)))
                    .unzip();
                if seed.is_multiple_of(2) {
                    // |b log a| below 104, in all places.
                    a.iter_mut().for_each(|a| *a = a.abs());
                    let share = random::<f32>(seed + (1 << 40), CHUNK, -104.0, 104.0);
                    for ((b, a), share) in b.iter_mut().zip(&a).zip(share) {
                        *b = share / a.ln();
                    }
                }
                let mut got = poisoned(CHUNK);
                // SAFETY: all have CHUNK elements; the variant is supported.
                let want = unsafe {
                    (variant.run)(a.as_ptr(), 1, b.as_ptr(), 1, got.as_mut_ptr(), CHUNK);
                    wanted_of_two(kernel, a.as_ptr(), 1, b.as_ptr(), 1, CHUNK)
                };
                let error = |i: usize| (ulps(got[i], want[i]), a[i].to_bits(), b[i].to_bits());
                (0..CHUNK).map(error).max().unwrap_or_default()
            };
            let chunks = (0..512u64).into_par_iter().map(worst_of);
            let (error, a, b) = chunks.max().unwrap_or_default();
            let (a, b) = (f32::from_bits(a), f32::from_bits(b));
            println!("{}:{}: at most {error} ULP, of {a:e} and {b:e}", kernel.name, variant.name);
            assert!(error <= binary_tolerance(kernel), "the error is larger than stated");
        }
    }
}

/// All pairs of special values, and ragged random lengths with every
/// combination of steps.
#[test]
fn binary_is_as_exact_as_stated() {
    let special = special();
    let pairs = || special.iter().flat_map(|&a| special.iter().map(move |&b| (a, b)));
    let (all_a, all_b): (Vec<f32>, Vec<f32>) = pairs().unzip();
    for kernel in BINARY {
        let tolerance = binary_tolerance(kernel);
        for variant in here(kernel.f32) {
            let check_pairs = |a: &[f32], a_step, b: &[f32], b_step, n: usize| {
                let mut got = poisoned(n + 1);
                got[n] = 12345.0;
                let (a, b) = (a.as_ptr(), b.as_ptr());
                // SAFETY: inputs have n elements or step 0, the output n + 1.
                let want = unsafe {
                    (variant.run)(a, a_step, b, b_step, got.as_mut_ptr(), n);
                    wanted_of_two(kernel, a, a_step, b, b_step, n)
                };
                let what = format!("{}:{} n {n}", kernel.name, variant.name);
                assert_eq!(got.pop(), Some(12345.0), "{what}: written past the end");
                if tolerance == 0 {
                    assert_same(&got, &want, &what);
                }
                let slack = if variant.name == "scalar" { 4 } else { 0 };
                for i in 0..if tolerance > 0 { n } else { 0 } {
                    // SAFETY: i < n.
                    let (a, b) = unsafe { (*a.add(i * a_step), *b.add(i * b_step)) };
                    let slack_of_two = binary_slack(kernel) * b.abs();
                    // An infinite cotangent of a slope that is too small for f32 is
                    // not held to anything.
                    if (got[i] - want[i]).abs() <= slack_of_two || slack_of_two == f32::INFINITY {
                        continue;
                    }
                    let what = format!("{} of {a:e} and", kernel.name);
                    check(&what, variant.name, b, got[i], want[i], tolerance + slack);
                }
                // In place over either operand, also where it is one value.
                for over_a in [true, false] {
                    let mut both: Vec<f32> = poisoned(n.max(1));
                    let (source, step) = if over_a { (a, a_step) } else { (b, b_step) };
                    let valid = if step == 0 { 1 } else { n };
                    // SAFETY: as above; `both` is long enough for input and output.
                    unsafe {
                        std::ptr::copy(source, both.as_mut_ptr(), valid);
                        let shared = both.as_mut_ptr();
                        let (a, b) = if over_a {
                            (shared.cast_const(), b)
                        } else {
                            (a, shared.cast_const())
                        };
                        (variant.run)(a, a_step, b, b_step, shared, n);
                    }
                    assert_same(&both[..n], &got, &format!("{what} in place"));
                }
            };
            check_pairs(&all_a, 1, &all_b, 1, all_a.len());
            for n in RAGGED {
                let (a, b) = (random(1, n.max(1), -2.0, 2.0), random(2, n.max(1), -2.0, 2.0));
                for (a_step, b_step) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    check_pairs(&a, a_step, &b, b_step, n);
                }
            }
            if tolerance > 0 {
                for (i, width) in [0.01, 1.0, 100.0].into_iter().enumerate() {
                    let seed = 2 * i as u64;
                    for low in [-1.0, 0.0, 1.0] {
                        let a = random(seed, 100_000, low, 1.0 + 3.0 * low.max(0.0));
                        let b = random(seed + 1, 100_000, -width, width);
                        check_pairs(&a, 1, &b, 1, a.len());
                    }
                }
            }
        }
    }
}

#[test]
fn select_takes_the_right_side() {
    let nan = f32::NAN;
    for variant in here(SELECT.f32) {
        for n in RAGGED {
            let m = n.max(1);
            let condition: Vec<f32> = (0..m).map(|i| [0.0, 1.0, nan, -0.0, -3.0][i % 5]).collect();
            let (a, b) = (random::<f32>(3, m, 1.0, 2.0), random::<f32>(4, m, -2.0, -1.0));
            for steps in 0..8 {
                let [c_step, a_step, b_step] = [steps & 1, steps >> 1 & 1, steps >> 2 & 1];
                let at =
                    |i| if condition[i * c_step] != 0.0 { a[i * a_step] } else { b[i * b_step] };
                let mut want: Vec<f32> = (0..n).map(at).collect();
                want.push(12345.0);
                let mut got = poisoned(n + 1);
                got[n] = 12345.0;
                let mut both = condition.clone();
                let (c, a, b) = (condition.as_ptr(), a.as_ptr(), b.as_ptr());
                // SAFETY: inputs have n elements or step 0; `both` holds n.
                unsafe {
                    (variant.run)(c, c_step, a, a_step, b, b_step, got.as_mut_ptr(), n);
                    let c = both.as_mut_ptr();
                    (variant.run)(c, c_step, a, a_step, b, b_step, c, n);
                }
                assert_same(&got, &want, variant.name);
                assert_same(&both[..n], &want[..n], &format!("{} in place", variant.name));
            }
        }
    }
}

/// The rules that `scalar.rs` states, by value.
#[test]
fn stated_rules() {
    use scalar::*;
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    assert_eq!((Sign::value(0.0f32), Sign::value(-2.0f32), Sign::value(3.0f32)), (0.0, -1.0, 1.0));
    assert!(Sign::value(nan).is_nan() && Relu::value(nan).is_nan());
    assert_eq!((Relu::value(-1.0f32), Relu::value(0.0f32), Relu::value(2.0f32)), (0.0, 0.0, 2.0));
    assert!(Relu::value(-0.0f32).is_sign_positive());
    for other in [0.0, inf, -inf] {
        assert!(Maximum::value(nan, other).is_nan() && Maximum::value(other, nan).is_nan());
        assert!(Minimum::value(nan, other).is_nan() && Minimum::value(other, nan).is_nan());
        assert_eq!(Greater::value(nan, other) + GreaterEqual::value(other, nan), 0.0);
    }
    assert_eq!(Equal::value(nan, nan), 0.0);
    assert_eq!((Equal::value(-0.0f32, 0.0), GreaterEqual::value(1.0f32, 1.0)), (1.0, 1.0));
    assert_eq!(
        (Pow::value(nan, 0.0), Pow::value(0.0f32, 0.0), Pow::value(-2.0f32, 3.0)),
        (1.0, 1.0, -8.0)
    );
    assert!(Pow::value(-2.0f32, 0.5).is_nan());
    assert_eq!(
        (Sigmoid::value(inf), Sigmoid::value(-inf), Sigmoid::value(0.0f32)),
        (1.0, 0.0, 0.5)
    );
    assert_eq!((Softplus::value(inf), Softplus::value(-inf)), (inf, 0.0));
    assert_eq!((Rsqrt::value(0.0f32), Log::value(0.0f32)), (inf, -inf));
    assert_eq!((Expm1::value(-inf), Log1p::value(-1.0f32)), (-1.0, -inf));
    assert_eq!(
        [-1.5, -0.5, 0.5, 1.5, 2.5].map(|x: f32| Round::value(x)),
        [-2.0, -0.0, 0.0, 2.0, 2.0]
    );
    let pi = std::f32::consts::PI;
    assert_eq!((Atan2::value(0.0f32, -0.0), Atan2::value(-0.0f32, -1.0)), (pi, -pi));
}

#[test]
fn names_are_unique_and_scalar_is_last() {
    let kernels = kernels();
    let mut names: Vec<_> = kernels.iter().map(|kernel| kernel.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), kernels.len());
    for kernel in &kernels {
        for variants in [&kernel.f32, &kernel.f64] {
            assert_eq!(variants.last().map(|v| v.name), Some("scalar"), "{}", kernel.name);
        }
    }
}
