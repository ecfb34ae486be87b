// Integers to floats and back, and counters.
//
// CPU twin: `convert/scalar.rs`.

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

const FROM_INTEGER = 0u;
const TO_INDEX = 1u;
const INCREMENT = 2u;

override FUNCTION: u32 = FROM_INTEGER;

// Without the fraction; the nearest integer where it is beyond them, -1 for NaN.
fn to_index(v: f32) -> i32 {
    if (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u {
        return -1;
    }
    if v >= 2147483648.0 {
        return 2147483647;
    }
    if v <= -2147483648.0 {
        return -2147483647 - 1;
    }
    return i32(v);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i >= params.count {
        return;
    }
    switch FUNCTION {
        case FROM_INTEGER: { y[i] = bitcast<u32>(f32(bitcast<i32>(x[i]))); }
        case TO_INDEX: { y[i] = bitcast<u32>(to_index(bitcast<f32>(x[i]))); }
        default: { y[i] = x[i] + 1u; }
    }
}
