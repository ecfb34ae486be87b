// Convolution of channels-last images of which each output reads what a list says, and
// its gradient in the weights, as products of matrices that are never written out.
//
//   FORWARD           y[(n,p), o]       = Σ x[(n,p), (t,c)]  w[(t,c), o]
//   WEIGHT_GRADIENT   w[(t,c), o]       = Σ x[(t,c), (n,p)]  g[(n,p), o]
//
// for positions p and taps t; the list has for each tap and position where in an image
// its channels begin. The tiling is that of `matmul.wgsl`; the left operand is gathered
// as it is copied to workgroup memory. Channels lie together, so along them neighbouring
// lanes read neighbours. The long sum of the weight gradient is split among workgroups,
// whose parts `reduce.wgsl` adds in order. CPU twin: `picked/scalar.rs`.

struct Params {
    // Rows and columns of the result, length of the sum.
    m: u32,
    n: u32,
    k: u32,
    tiles: u32,
    channels: u32,
    taps: u32,
    positions: u32,
    // Elements of an image.
    image: u32,
    // Steps of the sum that a split makes, a multiple of DEPTH.
    share: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// Weights [o, c, t] or cotangents [(n,p), o].
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> reads: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const TILE = 64u;
const DEPTH = 16u;
const BEYOND = 0xffffffffu;
const FORWARD = 0u;
const WEIGHT_GRADIENT = 1u;

override PASS: u32 = FORWARD;

var<workgroup> left: array<f32, 1040>;
var<workgroup> right: array<f32, 1024>;

// What a tap reads at a position of an image.
fn read_at(row: u32, step: u32) -> f32 {
    let tap = step / params.channels;
    let at = reads[tap * params.positions + row % params.positions];
    if at == BEYOND {
        return 0.0;
    }
    return x[row / params.positions * params.image + at + step % params.channels];
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(local_invocation_id) place: vec3<u32>,
) {
    let row = group.x / params.tiles * TILE;
    let column = group.x % params.tiles * TILE;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    var sums: array<vec4<f32>, 4>;
    for (var depth = start; depth < end; depth += DEPTH) {
        for (var i = lane; i < TILE * DEPTH; i += 256u) {
            // Along channels: the sum's in FORWARD, the result's rows else.
            let r = select(i % TILE, i / DEPTH, PASS == FORWARD);
            let d = select(i / TILE, i % DEPTH, PASS == FORWARD);
            var value = 0.0;
            if row + r < params.m && depth + d < end {
                if PASS == FORWARD {
                    value = read_at(row + r, depth + d);
                } else {
                    value = read_at(depth + d, row + r);
                }
            }
            left[d * 65u + r] = value;
        }
        for (var i = lane; i < TILE * DEPTH; i += 256u) {
            let c = i % TILE;
            let d = i / TILE;
            var value = 0.0;
            if column + c < params.n && depth + d < end {
                if PASS == FORWARD {
                    let step = depth + d;
                    let weight = (column + c) * params.channels + step % params.channels;
                    value = b[weight * params.taps + step / params.channels];
                } else {
                    value = b[(depth + d) * params.n + column + c];
                }
            }
            right[d * TILE + c] = value;
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let at = d * TILE + place.x;
            let values = vec4<f32>(right[at], right[at + 16u], right[at + 32u], right[at + 48u]);
            for (var r = 0u; r < 4u; r += 1u) {
                sums[r] = fma(vec4<f32>(left[d * 65u + place.y * 4u + r]), values, sums[r]);
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r += 1u) {
        let own = row + place.y * 4u + r;
        for (var c = 0u; c < 4u; c += 1u) {
            let at = column + place.x + c * 16u;
            if own >= params.m || at >= params.n {
                continue;
            }
            if PASS == FORWARD {
                y[own * params.n + at] = sums[r][c];
            } else {
                let weight = (at * params.channels + own % params.channels) * params.taps;
                let result = weight + own / params.channels;
                y[group.z * params.m * params.n + result] = sums[r][c];
            }
        }
    }
}
