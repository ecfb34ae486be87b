// A function of each element.
//
// One invocation an element: what limits it is memory, and neighbours read
// neighbours. FUNCTION is fixed when the pipeline is made, so that the chain of
// tests below is gone by then.
//
// The formulas are those of the CPU's `elementwise/formula.rs`, with the same
// coefficients; its comments derive them. WGSL's own exp, log, sin, tanh are not
// used: their errors differ from device to device, and sin's may be 2^-11. A
// product and a sum are not always fused here, so errors can be one unit in the
// last place larger. CPU twin: `elementwise/scalar.rs`.

struct Params {
    count: u32,
    // Bits of infinity and of NaN: a shader may not contain them as constants.
    infinity: u32,
    nan: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const NEG = 0u;
const ABS = 1u;
const SIGN = 2u;
const FLOOR = 3u;
const ROUND = 4u;
const SQRT = 5u;
const RSQRT = 6u;
const RECIPROCAL = 7u;
const SQUARE = 8u;
const EXP = 9u;
const EXPM1 = 10u;
const LOG = 11u;
const LOG1P = 12u;
const SIN = 13u;
const COS = 14u;
const TANH = 15u;
const SIGMOID = 16u;
const RELU = 17u;
const SOFTPLUS = 18u;
const ERF = 19u;
const GELU = 20u;

override FUNCTION: u32 = NEG;

fn infinity() -> f32 {
    return bitcast<f32>(params.infinity);
}

fn not_a_number() -> f32 {
    return bitcast<f32>(params.nan);
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// v · 2^n for whole n in -300..300, in three exact factors until the last.
fn scale(v: f32, n: f32) -> f32 {
    let whole = i32(n);
    let third = whole / 3;
    let rest = whole - 2 * third;
    let factor = bitcast<f32>(u32(third + 127) << 23u);
    return v * factor * factor * bitcast<f32>(u32(rest + 127) << 23u);
}

// n and e^r - 1, where v = n ln 2 + r.
fn exp_reduced(v: f32) -> vec2<f32> {
    let n = round(v * 1.44269504);
    var r = fma(-n, 0.693147182, v);
    r = fma(-n, -1.9046542e-9, r);
    var p = fma(r, 1.3814542e-3, 8.368745e-3);
    p = fma(r, p, 4.166839e-2);
    p = fma(r, p, 1.6666521e-1);
    p = fma(r, p, 4.9999994e-1);
    return vec2<f32>(n, fma(r * r, p, r));
}

fn exp_within(v: f32) -> f32 {
    let reduced = exp_reduced(v);
    return scale(reduced.y + 1.0, reduced.x);
}

fn exponential(v: f32) -> f32 {
    if is_nan(v) {
        return v;
    }
    if v > 88.8 {
        return infinity();
    }
    return exp_within(max(v, -104.0));
}

fn exponential_minus_1(v: f32) -> f32 {
    if is_nan(v) || v == 0.0 {
        return v;
    }
    if v > 88.8 {
        return infinity();
    }
    let reduced = exp_reduced(max(v, -18.0));
    let half = scale(1.0, reduced.x - 1.0);
    let h = fma(half, reduced.y, half - 0.5);
    return h + h;
}

// ln(v · 2^more) for a positive normal v.
fn log_normal(v: f32, more: f32) -> f32 {
    // m between √½ and √2: the exponent is taken off bits shifted by those of √½.
    let bits = bitcast<u32>(v) - 0x3f3504f3u;
    let e = f32(bitcast<i32>(bits) >> 23u) + more;
    let m = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u);
    let f = m - 1.0;
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

fn logarithm(v: f32) -> f32 {
    if is_nan(v) || v < 0.0 {
        return not_a_number();
    }
    if v == 0.0 {
        return -infinity();
    }
    if v == infinity() {
        return v;
    }
    if v < 1.17549435e-38 {
        return log_normal(v * 8388608.0, -23.0);
    }
    return log_normal(v, 0.0);
}

// ln(1 + u) for finite u > -1. The sum goes through a number that the compiler does not
// know to be zero: some would make u of (u + 1) - 1, and nothing would be lost.
fn log_1_plus(u: f32) -> f32 {
    let v = bitcast<f32>(bitcast<u32>(u + 1.0) ^ (params.infinity & 1u));
    let lost = u - (v - 1.0);
    return log_normal(v, 0.0) + lost / v;
}

fn logarithm_of_1_plus(v: f32) -> f32 {
    if is_nan(v) || v < -1.0 {
        return not_a_number();
    }
    if v == -1.0 {
        return -infinity();
    }
    if v == 0.0 || v == infinity() {
        return v;
    }
    return log_1_plus(v);
}

// The product of two numbers: its upper and its lower 32 bits.
fn product(a: u32, b: u32) -> vec2<u32> {
    let low = vec2<u32>(a & 0xffffu, b & 0xffffu);
    let high = vec2<u32>(a >> 16u, b >> 16u);
    let one = high.x * low.y;
    let other = low.x * high.y;
    let middle = (low.x * low.y >> 16u) + (one & 0xffffu) + (other & 0xffffu);
    return vec2<u32>(high.x * high.y + (one >> 16u) + (other >> 16u) + (middle >> 16u), a * b);
}

// The upper 32 bits of two words shifted to the left by less than 32.
fn shifted(high: u32, low: u32, bits: u32) -> u32 {
    return (high << bits) | ((low >> 1u) >> (31u - bits));
}

// n mod 4 and r, where v = n π/2 + r and |r| ≤ π/4, for a finite v from 256 on.
//
// Payne and Hanek's reduction, in whole numbers. v is m · 2^s with a whole m of 24 bits. Of
// v · 2/π only what is left by 4 counts, so that of the digits of 2/π those above 2^(1 - s)
// are not needed, for m times them is a multiple of 4; from there on 96 are taken. What
// lies beyond is less than 2^-70 in the product, of which no f32 comes closer to a whole
// number than 2^-32 or so.
fn reduced_from_far(v: f32) -> vec2<f32> {
    // 2/π, behind 32 digits of zero.
    var digits = array<u32, 8>(
        0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu,
    );
    let bits = bitcast<u32>(v);
    let m = (bits & 0x007fffffu) | 0x00800000u;
    // s + 30, s the exponent less 150; v is positive.
    let begin = (bits >> 23u) - 120u;
    let word = begin / 32u;
    let shift = begin % 32u;
    let lowest = product(m, shifted(digits[word + 2u], digits[word + 3u], shift));
    let middle = product(m, shifted(digits[word + 1u], digits[word + 2u], shift));
    let second = middle.y + lowest.x;
    let carry = select(0u, 1u, second < middle.y);
    let top = m * shifted(digits[word], digits[word + 1u], shift) + middle.x + carry;
    // Two digits in front of the point; rounded to nearest.
    let n = (top + 0x20000000u) >> 30u;
    var rest = vec3<u32>(top - (n << 30u), second, lowest.y);
    let negative = rest.x >= 0x80000000u;
    if negative {
        rest = ~rest;
        rest.z += 1u;
        rest.y += select(0u, 1u, rest.z == 0u);
        rest.x += select(0u, 1u, rest.z == 0u && rest.y == 0u);
    }
    // 32 digits from the first that is not zero, as two exact numbers.
    var power = 97u;
    if rest.x == 0u {
        rest = vec3<u32>(rest.yz, 0u);
        power = 65u;
    }
    let zeros = countLeadingZeros(rest.x);
    let leading = shifted(rest.x, rest.y, zeros & 31u);
    let high = f32(leading & 0xffffff00u);
    let low = f32(leading & 0xffu);
    let r = fma(high, 1.57079637, fma(high, -4.371139e-8, low * 1.57079637))
        * bitcast<f32>((power - zeros) << 23u);
    return vec2<f32>(f32(n & 3u), select(r, -r, negative));
}

// The same for v from 0 to 256: n has 8 bits, and the parts of π/2 (Cody and Waite) have 16
// and fewer, so that their products are exact where fma rounds twice, too.
fn reduced(v: f32) -> vec2<f32> {
    let n = round(v * 0.636619747);
    var r = fma(-n, 1.57080078, v);
    r = fma(-n, -4.45439946e-6, r);
    r = fma(-n, -5.56443155e-11, r);
    return vec2<f32>(n, r);
}

// sin(|v| + turns · 2π). On the CPU there is one reduction up to 65536, with fused
// multiply-adds, and beyond that the platform's sine.
fn sine(v: f32, turns: f32) -> f32 {
    let x = abs(v);
    if is_nan(v) || x == infinity() {
        return not_a_number();
    }
    var parts: vec2<f32>;
    if x < 256.0 {
        parts = reduced(x);
    } else {
        parts = reduced_from_far(x);
    }
    let r = parts.y;
    let turned = fma(parts.x, 0.25, turns);
    let fraction = turned - floor(turned);
    let square = r * r;
    var p = fma(square, -1.9513522e-4, 8.332151e-3);
    p = fma(square, p, -1.6666655e-1);
    let s = fma(square * r, p, r);
    var q = fma(square, 2.4434214e-5, -1.3887332e-3);
    q = fma(square, q, 4.1666646e-2);
    let c = fma(square * square, q, fma(-0.5, square, 1.0));
    let value = select(s, c, fraction == 0.25 || fraction == 0.75);
    return select(value, -value, fraction >= 0.5);
}

fn with_sign(v: f32, sign: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) ^ (bitcast<u32>(sign) & 0x80000000u));
}

fn hyperbolic_tangent(v: f32) -> f32 {
    let t = abs(v);
    if is_nan(v) {
        return v;
    }
    var value = 1.0;
    if t <= 0.55 {
        let square = t * t;
        var p = fma(square, -6.282474e-3, 2.107776e-2);
        p = fma(square, p, -5.385386e-2);
        p = fma(square, p, 1.3332602e-1);
        p = fma(square, p, -3.333332e-1);
        value = fma(square * t, p, t);
    } else if t < 10.0 {
        value = 1.0 - 2.0 / (exp_within(t + t) + 1.0);
    }
    return with_sign(value, v);
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

fn sigmoid(v: f32) -> f32 {
    if is_nan(v) {
        return v;
    }
    let e = exponential(-abs(v));
    return select(e, 1.0, v >= 0.0) / (1.0 + e);
}

fn relu(v: f32) -> f32 {
    return select(v, 0.0, v <= 0.0);
}

fn sign_of(a: f32) -> f32 {
    return select(select(a, -1.0, a < 0.0), 1.0, a > 0.0);
}

// Exact where the device's own root is not: one step of Newton on its estimate, with
// the remainder formed without rounding. Zero, infinity and NaN stand for themselves.
fn square_root(v: f32) -> f32 {
    let y = sqrt(v);
    if !(v > 1e-36 && v < 1e36) {
        return y;
    }
    return fma(fma(-y, y, v), 0.5 / y, y);
}

// v Φ(v). Far below zero Φ is the difference of nearly equal numbers: there the result,
// which is next to nothing, has few digits, other than on the CPU.
fn gelu(v: f32) -> f32 {
    if v < -10.0 {
        return -0.0;
    }
    return 0.5 * v * (1.0 + error_function(v * 0.707106781));
}

fn function_of(v: f32) -> f32 {
    switch FUNCTION {
        case NEG: { return with_sign(v, -1.0); }
        case ABS: { return bitcast<f32>(bitcast<u32>(v) & 0x7fffffffu); }
        case SIGN: { return sign_of(v); }
        case FLOOR: { return floor(v); }
        case ROUND: { return round(v); }
        case SQRT: { return square_root(v); }
        case RSQRT: { return 1.0 / square_root(v); }
        case RECIPROCAL: { return 1.0 / v; }
        case SQUARE: { return v * v; }
        case EXP: { return exponential(v); }
        case EXPM1: { return exponential_minus_1(v); }
        case LOG: { return logarithm(v); }
        case LOG1P: { return logarithm_of_1_plus(v); }
        case SIN: { return with_sign(sine(v, 0.0), v); }
        case COS: { return sine(v, 0.25); }
        case TANH: { return hyperbolic_tangent(v); }
        case SIGMOID: { return sigmoid(v); }
        case RELU: { return relu(v); }
        case SOFTPLUS: { return relu(v) + log_1_plus(exponential(-abs(v))); }
        case ERF: { return error_function(v); }
        case GELU: { return gelu(v); }
        default: { return v; }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i < params.count {
        y[i] = function_of(x[i]);
    }
}
