//! The formats by value, and every variant against `scalar`, bit for bit.

use super::*;
use crate::testing::{RAGGED, random};

const BOTH: [Storage; 2] = [Storage::F16, Storage::Bf16];

/// By the definition of the formats, in `f64`: sign, exponent, fraction.
fn by_definition(storage: Storage, bits: u16) -> f64 {
    let (exponent_bits, fraction_bits) = match storage {
        Storage::F16 => (5, 10),
        Storage::Bf16 => (8, 7),
    };
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> fraction_bits & ((1 << exponent_bits) - 1));
    let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
    let bias = (1 << (exponent_bits - 1)) - 1;
    match exponent {
        0 => sign * fraction * 2f64.powi(1 - bias),
        _ if exponent == 2 * bias + 1 && fraction == 0.0 => sign * f64::INFINITY,
        _ if exponent == 2 * bias + 1 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - bias),
    }
}

#[test]
fn all_patterns_are_what_the_formats_say_and_come_back() {
    for storage in BOTH {
        for bits in 0..=u16::MAX {
            let (value, want) = (storage.load(bits), by_definition(storage, bits));
            if want.is_nan() {
                assert!(value.is_nan(), "{storage:?} {bits:#x}");
                assert!(storage.load(storage.store(value)).is_nan());
                continue;
            }
            assert_eq!(f64::from(value), want, "{storage:?} {bits:#x}");
            assert_eq!(value.is_sign_negative(), bits >> 15 == 1);
            assert_eq!(storage.store(value), bits, "{storage:?} {value}");
            assert_eq!(storage.store_wide(want), bits, "{storage:?} {value}");
        }
    }
}

/// Between each two neighbours: the middle goes to the even one, what lies nearer to
/// one of them to that one, by however little.
#[test]
fn every_gap_is_rounded_to_nearest_ties_to_even() {
    for storage in BOTH {
        let infinity = match storage {
            Storage::F16 => 0x7c00,
            Storage::Bf16 => 0x7f80,
        };
        for bits in 0..infinity {
            let low = f64::from(storage.load(bits));
            // Beyond the largest value the next would be as far away as the one before.
            let high = match bits + 1 == infinity {
                true => 2.0 * low - f64::from(storage.load(bits - 1)),
                false => f64::from(storage.load(bits + 1)),
            };
            let middle = 0.5 * (low + high);
            let even = bits + (bits & 1);
            for (value, want) in
                [(middle, even), (middle.next_down(), bits), (middle.next_up(), bits + 1)]
            {
                assert_eq!(storage.store_wide(value), want, "{storage:?} {value:e}");
                assert_eq!(storage.store_wide(-value), want | 0x8000, "{storage:?} {value:e}");
            }
            let middle = middle as f32;
            for (value, want) in
                [(middle, even), (middle.next_down(), bits), (middle.next_up(), bits + 1)]
            {
                assert_eq!(storage.store(value), want, "{storage:?} {value:e}");
                assert_eq!(storage.store(-value), want | 0x8000, "{storage:?} {value:e}");
            }
        }
        assert_eq!(storage.store(f32::MAX), infinity);
        assert_eq!(storage.store_wide(f64::MIN), infinity | 0x8000);
        assert_eq!(storage.store_wide(f64::MIN_POSITIVE), 0);
    }
}

#[test]
fn variants_widen_all_patterns_to_the_same_bits() {
    let from: Vec<u16> = (0..=u16::MAX).collect();
    for kernel in [&WIDEN_F16, &WIDEN_BF16] {
        let run = |variant: &'static Variant<<Widen as Signature>::Run<f32>>| -> Vec<u32> {
            let mut to = vec![f32::NAN; from.len()];
            // SAFETY: the machine supports the variant; both are as long.
            unsafe { (variant.run)(from.as_ptr(), to.as_mut_ptr(), from.len()) };
            to.into_iter().map(f32::to_bits).collect()
        };
        let want = run(kernel.f32.last().expect("a variant"));
        for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            assert!(run(variant) == want, "{}:{}", kernel.name, variant.name);
        }
    }
}

/// All patterns as they are, the middles between neighbours and what lies next to
/// them, NaNs with all kinds of payload, and what lies between.
fn tricky(storage: Storage) -> Vec<f32> {
    let mut values: Vec<f32> = (0..=u16::MAX).map(|bits| storage.load(bits)).collect();
    for bits in 0..0x7f80u16 {
        let middle = 0.5 * storage.load(bits) + 0.5 * storage.load(bits + 1);
        values.extend([middle.next_down(), middle, middle.next_up(), -middle]);
    }
    values.extend((0..1 << 16).map(|i: u32| f32::from_bits(i.wrapping_mul(0x0001_0003))));
    values.extend((0..1 << 12).map(|i: u32| f32::from_bits(0x7f80_0001 + i * 0x7ff)));
    values.extend([f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 65519.996, 65520.0]);
    values
}

#[test]
fn variants_round_to_the_same_bits() {
    for (kernel, storage) in [(&STORE_F16, Storage::F16), (&STORE_BF16, Storage::Bf16)] {
        let from = tricky(storage);
        let want: Vec<u16> = from.iter().map(|value| storage.store(*value)).collect();
        for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            let mut to = vec![0xdead; from.len()];
            // SAFETY: the machine supports the variant; both are as long.
            unsafe { (variant.run)(from.as_ptr(), to.as_mut_ptr(), from.len()) };
            for ((value, got), want) in from.iter().zip(&to).zip(&want) {
                let bits = value.to_bits();
                let name = variant.name;
                assert_eq!(got, want, "{}:{name} of {value:e}, {bits:#x}", kernel.name);
            }
        }
    }
}

/// Lengths around every vector, at any alignment; what lies beside is left alone.
#[test]
fn ragged_lengths_are_written_whole_and_nothing_beside() {
    let values = random::<f32>(3, 1100, -4.0, 4.0);
    for storage in BOTH {
        let bits: Vec<u16> = values.iter().map(|value| storage.store(*value)).collect();
        for n in RAGGED {
            for shift in [0, 1, 3] {
                let (values, bits) = (&values[shift..shift + n], &bits[shift..shift + n]);
                for variant in storage.round().f32.iter().filter(|v| v.isa.supported().is_ok()) {
                    let mut to = vec![0xdead; n + shift + 1];
                    // SAFETY: `n` elements are there on both sides.
                    unsafe { (variant.run)(values.as_ptr(), to[shift..].as_mut_ptr(), n) };
                    assert_eq!(to[shift..shift + n], *bits, "{} {n}", variant.name);
                    let beside = to[..shift].iter().chain(&to[shift + n..]);
                    assert!(beside.into_iter().all(|value| *value == 0xdead), "{}", variant.name);
                }
                let want: Vec<f32> = bits.iter().map(|bits| storage.load(*bits)).collect();
                for variant in storage.widen().f32.iter().filter(|v| v.isa.supported().is_ok()) {
                    let mut to = vec![-99.0; n + shift + 1];
                    // SAFETY: as above.
                    unsafe { (variant.run)(bits.as_ptr(), to[shift..].as_mut_ptr(), n) };
                    assert_eq!(to[shift..shift + n], *want, "{} {n}", variant.name);
                    let beside = to[..shift].iter().chain(&to[shift + n..]);
                    assert!(beside.into_iter().all(|value| *value == -99.0), "{}", variant.name);
                }
            }
        }
    }
}

#[test]
fn the_reference_in_f64_rounds_once() {
    // Just above the middle of 1 and the next value: by way of the nearest f32 it
    // would be taken for the middle, and rounded to 1.
    for (storage, step) in [(Storage::F16, 2f64.powi(-10)), (Storage::Bf16, 2f64.powi(-7))] {
        let value = 1.0 + 0.5 * step + 2f64.powi(-40);
        let mut to = [0u16];
        let scalar = storage.round().f64.last().expect("a variant");
        // SAFETY: one element on both sides.
        unsafe { (scalar.run)(&value, to.as_mut_ptr(), 1) };
        assert_eq!(f64::from(storage.load(to[0])), 1.0 + step, "{storage:?}");
        assert_eq!(f64::from(storage.load(storage.store(value as f32))), 1.0, "{storage:?}");
    }
}
