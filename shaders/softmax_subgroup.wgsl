// The softmax of rows that lie one behind the other, or its logarithm, by subgroups.
//
// As `softmax.wgsl`: LANES invocations a row, which go along it three times. What they
// find is joined inside a subgroup by exchanges, without memory or a barrier; only where
// a row has more lanes than a subgroup does one number of each subgroup go through
// workgroup memory. Where a subgroup is larger, several rows share it and are joined at
// distances below LANES. A lane counts itself by subgroup and place in it, for a device
// need not number invocations so. CPU twin: `softmax/scalar.rs`.

struct Params {
    slices: u32,
    length: u32,
    // 1: rows are contiguous.
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

// One number of each subgroup: of four invocations at least.
var<workgroup> joined: array<f32, 64>;

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

fn join(a: f32, b: f32, adds: bool) -> f32 {
    if adds {
        return a + b;
    }
    return larger(a, b);
}

// The sum or the largest of the lanes of a row, for all of them.
fn whole(own: f32, adds: bool, width: u32, subgroup: u32, place: u32) -> f32 {
    var total = own;
    for (var distance = min(LANES, width) / 2u; distance > 0u; distance = distance / 2u) {
        total = join(total, subgroupShuffleXor(total, distance), adds);
    }
    if LANES > width {
        // What was joined before has been read.
        workgroupBarrier();
        if place == 0u {
            joined[subgroup] = total;
        }
        workgroupBarrier();
        let parts = LANES / width;
        let begin = (subgroup * width + place) / LANES * parts;
        total = joined[begin];
        for (var part = 1u; part < parts; part += 1u) {
            total = join(total, joined[begin + part], adds);
        }
    }
    return total;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) width: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let lane = subgroup * width + place;
    let slice = (group.y * groups.x + group.x) * (256u / LANES) + lane / LANES;
    let first = lane % LANES;
    let length = select(0u, params.length, slice < params.slices);
    let base = slice * params.length;

    var most = bitcast<f32>(params.lowest);
    for (var i = first; i < length; i += LANES) {
        most = larger(most, x[base + i]);
    }
    most = whole(most, false, width, subgroup, place);
    var total = 0.0;
    for (var i = first; i < length; i += LANES) {
        total += exponential(x[base + i] - most);
    }
    total = whole(total, true, width, subgroup, place);
    for (var i = first; i < length; i += LANES) {
        let centred = x[base + i] - most;
        if LOGARITHM {
            // A sum that is no number stays none.
            y[base + i] = select(centred - logarithm(total), total, is_nan(total));
        } else {
            y[base + i] = exponential(centred) / total;
        }
    }
}
