// Several light functions of each element in one go: what is between them stays in
// registers.
//
// One invocation an element. Up to eight buffers are read, functions computed one after
// another, each of what was read, of numbers in the parameters or of what functions
// before it gave, and results are written, also where values were read at the same
// place. Which functions and which operands differs from chain to chain: the host writes
// the lines between the two marks in `main` anew for each, out of the functions of this
// file and nothing else. The lines that stand there make the file valid by itself: an
// addition. To choose by overrides from all functions at each of sixteen places was
// tried: a driver copies every function to every place before it throws them away, and
// the tests of all ops and compositions took 2.5 times as long (llvmpipe).
//
// Functions with long formulas (exp, tanh, pow …) stay alone. The formulas are those of
// `unary.wgsl` and `binary.wgsl`; where a product is followed by a sum, a device may
// round once instead of twice. CPU twin: `elementwise/scalar.rs`.

struct Params {
    count: u32,
    rank: u32,
    // Numbers that functions take.
    constants: array<vec4<f32>, 2>,
    // Dimensions of what is stretched, outermost first, and the steps along them.
    sizes: array<vec4<u32>, 2>,
    steps_0: array<vec4<u32>, 2>,
    steps_1: array<vec4<u32>, 2>,
    steps_2: array<vec4<u32>, 2>,
    steps_3: array<vec4<u32>, 2>,
    steps_4: array<vec4<u32>, 2>,
    steps_5: array<vec4<u32>, 2>,
    steps_6: array<vec4<u32>, 2>,
    steps_7: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> z0: array<f32>;
@group(0) @binding(2) var<storage, read_write> z1: array<f32>;
@group(0) @binding(3) var<storage, read_write> z2: array<f32>;
@group(0) @binding(4) var<storage, read_write> z3: array<f32>;
@group(0) @binding(5) var<storage, read_write> z4: array<f32>;
@group(0) @binding(6) var<storage, read_write> z5: array<f32>;
@group(0) @binding(7) var<storage, read_write> z6: array<f32>;
@group(0) @binding(8) var<storage, read_write> z7: array<f32>;

// Buffers that can be bound, and numbers in the parameters.
const BUFFERS = 8u;
const CONSTANTS = 8u;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn neg_of(a: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(a) ^ 0x80000000u);
}

fn abs_of(a: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(a) & 0x7fffffffu);
}

fn sign_of(a: f32) -> f32 {
    return select(select(a, -1.0, a < 0.0), 1.0, a > 0.0);
}

fn floor_of(a: f32) -> f32 {
    return floor(a);
}

fn round_of(a: f32) -> f32 {
    return round(a);
}

fn sqrt_of(a: f32) -> f32 {
    let y = sqrt(a);
    return select(y, fma(fma(-y, y, a), 0.5 / y, y), a > 1e-36 && a < 1e36);
}

fn rsqrt_of(a: f32) -> f32 {
    return 1.0 / sqrt_of(a);
}

fn reciprocal_of(a: f32) -> f32 {
    return 1.0 / a;
}

fn square_of(a: f32) -> f32 {
    return a * a;
}

fn relu_of(a: f32) -> f32 {
    return select(a, 0.0, a <= 0.0);
}

fn add_of(a: f32, b: f32) -> f32 {
    return a + b;
}

fn sub_of(a: f32, b: f32) -> f32 {
    return a - b;
}

fn mul_of(a: f32, b: f32) -> f32 {
    return a * b;
}

fn div_of(a: f32, b: f32) -> f32 {
    return a / b;
}

fn maximum_of(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

fn minimum_of(a: f32, b: f32) -> f32 {
    return select(b, a, a < b || is_nan(a));
}

fn greater_of(a: f32, b: f32) -> f32 {
    return select(0.0, 1.0, a > b);
}

fn greater_equal_of(a: f32, b: f32) -> f32 {
    return select(0.0, 1.0, a >= b);
}

fn equal_of(a: f32, b: f32) -> f32 {
    return select(0.0, 1.0, a == b);
}

// The condition comes first; NaN counts as true.
fn select_of(a: f32, b: f32, c: f32) -> f32 {
    return select(b, c, a == 0.0);
}

fn number(k: u32) -> f32 {
    return params.constants[k / 4u][k % 4u];
}

// Where the element's place is in a buffer that is stretched.
fn stretched(i: u32, steps: array<vec4<u32>, 2>) -> u32 {
    var own = steps;
    var rest = i;
    var at = 0u;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let size = params.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        at += (rest % size) * own[(d - 1u) / 4u][(d - 1u) % 4u];
        rest = rest / size;
    }
    return at;
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
    // The chain begins.
    let b0 = z0[i];
    let s0 = add_of(b0, number(0u));
    z1[i] = s0;
    // The chain ends.
}
