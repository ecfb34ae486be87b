// Numbers stored in 16 bits, and back.
//
// Two lie in a word of memory, the first in the lower half; an invocation takes a word.
// Widening is exact. Storing rounds to nearest, ties to even, by whole numbers, so that
// subnormal numbers, infinities and NaN become the processor's bits on every device
// (`pack2x16float` need not round so, nor keep subnormals). BRAIN has eight bits of
// exponent, the other format five. No device needs 16 bits in its shaders for this. CPU
// twin: `storage/scalar.rs`.

struct Params {
    // Values.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

override WIDENS: bool = false;
override BRAIN: bool = false;

fn stored_brain(bits: u32) -> u32 {
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn stored_half(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u {
        return sign | 0x7e00u | ((size >> 13u) & 0x3ffu);
    }
    // From 65520 on, half way beyond the largest number.
    if size >= 0x477ff000u {
        return sign | 0x7c00u;
    }
    if size >= 0x38800000u {
        // The exponent counts from 15 instead of 127; a carry goes into it.
        let moved = size - 0x38000000u;
        return sign | ((moved + 0xfffu + ((moved >> 13u) & 1u)) >> 13u);
    }
    // Whole multiples of 2^-24; nothing is left of 2^-25 and below.
    if size <= 0x33000000u {
        return sign;
    }
    let fraction = (size & 0x7fffffu) | 0x800000u;
    let shift = 126u - (size >> 23u);
    let whole = fraction >> shift;
    let rest = fraction & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    let up = rest > middle || (rest == middle && (whole & 1u) == 1u);
    return sign | (whole + select(0u, 1u, up));
}

fn stored(bits: u32) -> u32 {
    if BRAIN {
        return stored_brain(bits);
    }
    return stored_half(bits);
}

fn widened(half: u32) -> u32 {
    if BRAIN {
        return half << 16u;
    }
    let sign = (half & 0x8000u) << 16u;
    let size = half & 0x7fffu;
    if size >= 0x7c00u {
        return sign | 0x7f800000u | ((size & 0x3ffu) << 13u);
    }
    if size < 0x400u {
        return sign | bitcast<u32>(f32(size) * 5.9604644775390625e-8);
    }
    return sign | ((size << 13u) + 0x38000000u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let word = (group.y * groups.x + group.x) * 256u + lane;
    let i = 2u * word;
    if i >= params.count {
        return;
    }
    let both = i + 1u < params.count;
    if WIDENS {
        let pair = x[word];
        y[i] = widened(pair & 0xffffu);
        if both {
            y[i + 1u] = widened(pair >> 16u);
        }
    } else {
        var pair = stored(x[i]);
        if both {
            pair |= stored(x[i + 1u]) << 16u;
        }
        y[word] = pair;
    }
}
