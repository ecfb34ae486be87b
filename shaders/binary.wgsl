// A function of two elements, or of one element chosen by another; operands may be
// stretched.
//
// One invocation an element. An operand that is not stretched is read at the
// element's own place; else the place is taken apart into up to eight coordinates,
// outermost first, and each operand has a step for each (0 where it is stretched).
// Neighbouring dimensions that an operand walks in one are merged by the host, so
// two or three remain. CPU twin: `elementwise/scalar.rs`.

struct Params {
    count: u32,
    rank: u32,
    nan: u32,
    sizes: array<vec4<u32>, 2>,
    // Steps of a, b and the condition.
    a: array<vec4<u32>, 2>,
    b: array<vec4<u32>, 2>,
    k: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
// The condition of SELECT; for other functions a once more.
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const ADD = 0u;
const SUB = 1u;
const MUL = 2u;
const DIV = 3u;
const POW = 4u;
const ATAN2 = 5u;
const MAXIMUM = 6u;
const MINIMUM = 7u;
const GREATER = 8u;
const GREATER_EQUAL = 9u;
const EQUAL = 10u;
const SELECT = 11u;
const GELU_GRADIENT = 12u;

override FUNCTION: u32 = ADD;
// No operand is stretched.
override FULL: bool = false;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn with_sign(v: f32, sign: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) ^ (bitcast<u32>(sign) & 0x80000000u));
}

// 2^v, v whole plus a fraction held apart: the fraction by its series, then the exponent.
fn power_of_2(whole: f32, fraction: f32) -> f32 {
    let r = fraction * 0.693147182;
    var p = fma(r, 1.3814542e-3, 8.368745e-3);
    p = fma(r, p, 4.166839e-2);
    p = fma(r, p, 1.6666521e-1);
    p = fma(r, p, 4.9999994e-1);
    let value = fma(r * r, p, r) + 1.0;
    let n = i32(clamp(whole, -300.0, 300.0));
    let third = n / 3;
    let rest = n - 2 * third;
    let factor = bitcast<f32>(u32(third + 127) << 23u);
    return value * factor * factor * bitcast<f32>(u32(rest + 127) << 23u);
}

// The sum of two numbers and what rounding lost of it (Knuth).
fn two_sum(u: f32, v: f32) -> vec2<f32> {
    let s = u + v;
    let w = s - u;
    return vec2<f32>(s, (u - (s - w)) + (v - w));
}

// The product and what rounding lost of it.
fn two_product(u: f32, v: f32) -> vec2<f32> {
    let p = u * v;
    return vec2<f32>(p, fma(u, v, -p));
}

// u^v for u > 0 finite: 2^(v · log2 u), the logarithm held in two numbers, for its
// error is multiplied by up to v · log2 u = 128. With u = 2^e · m and
// s = (m - 1)/(m + 1), ln m = 2 s (1 + s²/3 + s⁴/5 + …); s too is held in two.
fn positive_power(u: f32, v: f32) -> f32 {
    var given = u;
    var more = 0.0;
    if u < 1.17549435e-38 {
        given = u * 8388608.0;
        more = -23.0;
    }
    let bits = bitcast<u32>(given) - 0x3f3504f3u;
    let e = f32(bitcast<i32>(bits) >> 23u) + more;
    let m = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u);
    let above = m - 1.0;
    let below = two_sum(m, 1.0);
    let s = above / below.x;
    let s_rest = (fma(-s, below.x, above) - s * below.y) / below.x;
    let square = s * s;
    // ln m / 2 - s, to a relative 2^-24 of itself.
    var p = fma(square, 0.0769230769, 0.0909090909);
    p = fma(square, p, 0.111111111);
    p = fma(square, p, 0.142857143);
    p = fma(square, p, 0.2);
    p = fma(square, p, 0.333333333);
    let tail = s * square * p + s_rest;
    // log2 m = (s + tail) · 2/ln 2, 2/ln 2 in two parts.
    let main_part = two_product(s, 2.88539004);
    let rest = main_part.y + fma(s, 3.851926e-8, tail * 2.88539004);
    let log2 = two_sum(e, main_part.x);
    let low = log2.y + rest;
    let whole = two_product(v, log2.x);
    let small = fma(v, low, whole.y);
    if !(abs(whole.x) < 1000.0) {
        // Overflow or nothing: a product with itself gives either.
        return select(0.0, 3e38 * abs(whole.x), whole.x > 0.0);
    }
    let n = round(whole.x);
    return power_of_2(n, (whole.x - n) + small);
}

fn power(u: f32, v: f32) -> f32 {
    if v == 0.0 || u == 1.0 {
        return 1.0;
    }
    if is_nan(u) || is_nan(v) {
        return bitcast<f32>(params.nan);
    }
    let size = abs(u);
    let infinite = bitcast<u32>(size) == 0x7f800000u;
    let endless = bitcast<u32>(abs(v)) == 0x7f800000u;
    if endless {
        if size == 1.0 {
            return 1.0;
        }
        return select(0.0, abs(v), (size > 1.0) == (v > 0.0));
    }
    let whole = floor(v) == v;
    // Beyond 2^24 all numbers are even.
    let odd = whole && abs(v) < 16777216.0 && (i32(abs(v)) & 1) == 1;
    var value = 0.0;
    if size == 0.0 {
        value = select(0.0, 1.0 / size, v < 0.0);
    } else if infinite {
        value = select(size, 0.0, v < 0.0);
    } else {
        if u < 0.0 && !whole {
            return bitcast<f32>(params.nan);
        }
        value = positive_power(size, v);
    }
    return select(value, with_sign(value, u), odd);
}

// The angle of the point (p, q) from the positive axis of p.
fn angle(q: f32, p: f32) -> f32 {
    if is_nan(p) || is_nan(q) {
        return bitcast<f32>(params.nan);
    }
    let height = abs(q);
    let width = abs(p);
    var t = min(height, width) / max(height, width);
    if height == width {
        t = select(1.0, 0.0, height == 0.0);
    }
    let square = t * t;
    var r = fma(square, -1.7936454e-3, 1.0914726e-2);
    r = fma(square, r, -3.1178081e-2);
    r = fma(square, r, 5.795785e-2);
    r = fma(square, r, -8.403467e-2);
    r = fma(square, r, 1.0952192e-1);
    r = fma(square, r, -1.4264244e-1);
    r = fma(square, r, 1.9998549e-1);
    r = fma(square, r, -3.33333e-1);
    var value = fma(square * t, r, t);
    if height > width {
        value = 1.57079637 - (value + 4.371139e-8);
    }
    if (bitcast<u32>(p) >> 31u) == 1u {
        value = 3.14159274 - (value + 8.742278e-8);
    }
    return with_sign(value, q);
}

// e^v for -104 ≤ v ≤ 0; see `unary.wgsl`.
fn exp_within(v: f32) -> f32 {
    let n = round(v * 1.44269504);
    var r = fma(-n, 0.693147182, v);
    r = fma(-n, -1.9046542e-9, r);
    return power_of_2(n, r * 1.44269504);
}

fn error_function(v: f32) -> f32 {
    if is_nan(v) {
        return v;
    }
    let t = min(abs(v), 4.0);
    var value = 0.0;
    if t <= 0.9 {
        let s = t * t;
        var p = fma(s, -6.111297e-4, 5.016229e-3);
        p = fma(s, p, -2.6781958e-2);
        p = fma(s, p, 1.128223e-1);
        p = fma(s, p, -3.7612534e-1);
        p = fma(s, p, 1.2837915e-1);
        value = fma(t, p, t);
    } else {
        var q = fma(t, 1.0433429e-5, -3.1486072e-4);
        q = fma(t, q, 3.6103507e-3);
        q = fma(t, q, -2.369458e-2);
        q = fma(t, q, 1.0615906e-1);
        q = fma(t, q, 6.3519806e-1);
        q = fma(t, q, 1.2863708e-1);
        value = 1.0 - exp_within(-fma(t, q, t));
    }
    return with_sign(value, v);
}

// The slope of v Φ(v), with φ the normal density: Φ(v) + v φ(v).
fn gelu_slope(v: f32) -> f32 {
    let below = 0.5 * (1.0 + error_function(v * 0.707106781));
    if abs(v) > 14.0 {
        return below;
    }
    return fma(v * 0.398942280, exp_within(-0.5 * v * v), below);
}

fn function_of(u: f32, v: f32, condition: f32) -> f32 {
    switch FUNCTION {
        case ADD: { return u + v; }
        case SUB: { return u - v; }
        case MUL: { return u * v; }
        case DIV: { return u / v; }
        case POW: { return power(u, v); }
        case ATAN2: { return angle(u, v); }
        case MAXIMUM: { return select(v, u, u > v || is_nan(u)); }
        case MINIMUM: { return select(v, u, u < v || is_nan(u)); }
        case GREATER: { return select(0.0, 1.0, u > v); }
        case GREATER_EQUAL: { return select(0.0, 1.0, u >= v); }
        case EQUAL: { return select(0.0, 1.0, u == v); }
        case GELU_GRADIENT: { return gelu_slope(u) * v; }
        // NaN counts as true.
        case SELECT: { return select(u, v, condition == 0.0); }
        default: { return u; }
    }
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
    var at = vec3<u32>(i);
    if !FULL {
        at = vec3<u32>(0u);
        var rest = i;
        for (var d = params.rank; d > 0u; d -= 1u) {
            let size = params.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
            let own = rest % size;
            rest = rest / size;
            at.x += own * params.a[(d - 1u) / 4u][(d - 1u) % 4u];
            at.y += own * params.b[(d - 1u) / 4u][(d - 1u) % 4u];
            at.z += own * params.k[(d - 1u) / 4u][(d - 1u) % 4u];
        }
    }
    if FUNCTION == SELECT {
        y[i] = function_of(a[at.x], b[at.y], k[at.z]);
    } else {
        y[i] = function_of(a[at.x], b[at.y], 0.0);
    }
}
