// The softmax along an axis, or its logarithm.
//
// x is [outer, length, inner]. A workgroup takes 256 / LANES slices; the lanes of a
// slice go along it three times: for the largest value, for the sum of e^(x - largest),
// and to write. Along a contiguous axis neighbouring lanes read neighbours; along
// another one the slices of a group are neighbours, and LANES is 1 unless the axis is
// very long. Largest values and sums of lanes are joined in a tree. CPU twin: `softmax/scalar.rs`.

struct Params {
    slices: u32,
    length: u32,
    inner: u32,
    // The bits of -∞.
    lowest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Invocations a slice: a power of two up to 256.
override LANES: u32 = 1u;
override LOGARITHM: bool = false;

var<workgroup> shared_values: array<f32, 256>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

// e^v for v ≤ 0; see `unary.wgsl`.
fn exponential(v: f32) -> f32 {
    if is_nan(v) {
        return v;
    }
    let within = max(v, -104.0);
    let n = round(within * 1.44269504);
    var r = fma(-n, 0.693147182, within);
    r = fma(-n, -1.9046542e-9, r);
    var p = fma(r, 1.3814542e-3, 8.368745e-3);
    p = fma(r, p, 4.166839e-2);
    p = fma(r, p, 1.6666521e-1);
    p = fma(r, p, 4.9999994e-1);
    let value = fma(r * r, p, r) + 1.0;
    let half = i32(n) / 2;
    let rest = i32(n) - half;
    return value * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(rest + 127) << 23u);
}

// ln v for v ≥ 1; see `unary.wgsl`.
fn logarithm(v: f32) -> f32 {
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
    return fma(e, 0.6933594, f + small);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let slice = (group.y * groups.x + group.x) * (256u / LANES) + lane / LANES;
    let first = lane % LANES;
    let inside = slice < params.slices;
    let length = select(0u, params.length, inside);
    let base = slice / params.inner * params.length * params.inner + slice % params.inner;

    var most = bitcast<f32>(params.lowest);
    for (var i = first; i < length; i += LANES) {
        most = larger(most, x[base + i * params.inner]);
    }
    if LANES > 1u {
        shared_values[lane] = most;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                shared_values[lane] = larger(shared_values[lane], shared_values[lane + half]);
            }
        }
        workgroupBarrier();
        most = shared_values[lane - first];
        workgroupBarrier();
    }

    var total = 0.0;
    for (var i = first; i < length; i += LANES) {
        total += exponential(x[base + i * params.inner] - most);
    }
    if LANES > 1u {
        shared_values[lane] = total;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                shared_values[lane] += shared_values[lane + half];
            }
        }
        workgroupBarrier();
        total = shared_values[lane - first];
    }

    for (var i = first; i < length; i += LANES) {
        let at = base + i * params.inner;
        let centred = x[at] - most;
        if LOGARITHM {
            // A sum that is no number stays none.
            y[at] = select(centred - logarithm(total), total, is_nan(total));
        } else {
            y[at] = exponential(centred) / total;
        }
    }
}
