// Random numbers as a function of where they stand: Philox4x32-10 (Salmon, Moraes,
// Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
//
// Element i is word i mod 4 of the block of counter (i / 4, 0, step, 0) under a key
// mixed of the seed and the op's stream; the host mixes what does not change, here
// the seed comes in. One invocation a block: four elements. 64-bit products are put
// together from 16-bit halves, and 64-bit sums from words, for WGSL has neither.
// UNIFORM gives the CPU's bits. CPU twin: `random/scalar.rs`.

struct Params {
    count: u32,
    // The op's stream, low word first.
    stream_low: u32,
    stream_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Two words, the low one first.
@group(0) @binding(1) var<storage, read> seed: array<u32>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override NORMAL: bool = false;

// The product of two words: (low, high).
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let first = (a >> 16u) * (b & 0xffffu);
    let second = (a & 0xffffu) * (b >> 16u);
    let middle = (low >> 16u) + (first & 0xffffu) + (second & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (first >> 16u) + (second >> 16u) + (middle >> 16u);
    return vec2<u32>(a * b, high);
}

fn sum_64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn product_64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = wide_product(a.x, b.x);
    return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}

fn shifted_xor(z: vec2<u32>, by: u32) -> vec2<u32> {
    return vec2<u32>(z.x ^ ((z.x >> by) | (z.y << (32u - by))), z.y ^ (z.y >> by));
}

// The finaliser of SplitMix64.
fn mixed(given: vec2<u32>) -> vec2<u32> {
    var z = sum_64(given, vec2<u32>(0x7f4a7c15u, 0x9e3779b9u));
    z = product_64(shifted_xor(z, 30u), vec2<u32>(0x1ce4e5b9u, 0xbf58476du));
    z = product_64(shifted_xor(z, 27u), vec2<u32>(0x133111ebu, 0x94d049bbu));
    return shifted_xor(z, 31u);
}

fn philox(counter: vec4<u32>, given: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var key = given;
    for (var round = 0u; round < 10u; round += 1u) {
        let p = wide_product(0xd2511f53u, c.x);
        let q = wide_product(0xcd9e8d57u, c.z);
        c = vec4<u32>(q.y ^ c.y ^ key.x, q.x, p.y ^ c.w ^ key.y, p.x);
        key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// -2 ln v for v in (0, 1], a multiple of 2^-24; see `unary.wgsl`.
fn squared_radius(v: f32) -> f32 {
    let bits = bitcast<u32>(v) - 0x3f3504f3u;
    let e = f32(bitcast<i32>(bits) >> 23u);
    let f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    var p = fma(f, 6.746639e-2, -1.167565e-1);
    p = fma(f, p, 1.1888162e-1);
    p = fma(f, p, -1.2405589e-1);
    p = fma(f, p, 1.4219552e-1);
    p = fma(f, p, -1.6667996e-1);
    p = fma(f, p, 2.0002119e-1);
    p = fma(f, p, -2.500001e-1);
    p = fma(f, p, 3.3333313e-1);
    let square = f * f;
    var small = fma(e, -2.1219444e-4, square * f * p);
    small = fma(-0.5, square, small);
    return -2.0 * fma(e, 0.6933594, f + small);
}

// (cos, sin) of 2πu for u in [0, 1): the quarter is split off exactly.
fn direction(u: f32) -> vec2<f32> {
    let quarters = round(u * 4.0);
    let r = fma(quarters, -0.25, u) * 6.28318531;
    let square = r * r;
    var p = fma(square, -1.9513522e-4, 8.332151e-3);
    p = fma(square, p, -1.6666655e-1);
    let s = fma(square * r, p, r);
    var q = fma(square, 2.4434214e-5, -1.3887332e-3);
    q = fma(square, q, 4.1666646e-2);
    let c = fma(square * square, q, fma(-0.5, square, 1.0));
    switch u32(quarters) % 4u {
        case 0u: { return vec2<f32>(c, s); }
        case 1u: { return vec2<f32>(-s, c); }
        case 2u: { return vec2<f32>(-c, -s); }
        default: { return vec2<f32>(s, -c); }
    }
}

fn pair(u: vec2<f32>) -> vec2<f32> {
    return sqrt(max(squared_radius(1.0 - u.x), 0.0)) * direction(u.y);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (group.y * groups.x + group.x) * 64u + lane;
    let start = block * 4u;
    if start >= params.count {
        return;
    }
    let own = mixed(vec2<u32>(seed[0], seed[1]));
    let key = mixed(sum_64(own, vec2<u32>(params.stream_low, params.stream_high)));
    let words = philox(vec4<u32>(block, 0u, step[0], 0u), key);
    var values = vec4<f32>(words >> vec4<u32>(8u)) * 5.96046448e-8;
    if NORMAL {
        values = vec4<f32>(pair(values.xy), pair(values.zw));
    }
    for (var i = 0u; i < 4u && start + i < params.count; i += 1u) {
        y[start + i] = values[i];
    }
}
