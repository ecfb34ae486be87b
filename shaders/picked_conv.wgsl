// Convolution of channels-last images of which each output reads what a list says, and
// its gradient in the weights, as products of matrices that are never written out.
//
//   FORWARD           y[(n,p), o]       = Σ x[(n,p), (t,c)]  w[(t,c), o]
//   WEIGHT_GRADIENT   w[(t,c), o]       = Σ x[(t,c), (n,p)]  g[(n,p), o]
//
// for positions p and taps t; the list has for each tap and position where in an image
// its channels begin. The tiling is that of `matmul.wgsl`: ROWS × 4096 / ROWS of the
// result a workgroup, 4×4 an invocation from one vector of each operand a step; the left
// operand is gathered as it is copied to workgroup memory. Channels lie together, so along
// them neighbouring lanes read neighbours. The long sum of the weight gradient is split
// among workgroups, whose parts `reduce.wgsl` adds in order; so is a very long one of
// FORWARD. CPU twin: `picked/scalar.rs`.

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

// Elements of a tile, and steps of the sum at a time.
const AREA = 4096u;
const DEPTH = 16u;
const BEYOND = 0xffffffffu;
const FORWARD = 0u;
const WEIGHT_GRADIENT = 1u;

override PASS: u32 = FORWARD;
// Rows of a tile: 32, 64 or 128.
override ROWS: u32 = 64u;

// [DEPTH][ROWS / 4 + 1] of the left operand, then [DEPTH][AREA / ROWS / 4 + 1] of the
// right one.
var<workgroup> tile: array<vec4<f32>, 672>;

// What a tap reads at a position of an image.
fn read_at(row: u32, step: u32) -> f32 {
    let tap = step / params.channels;
    let at = reads[tap * params.positions + row % params.positions];
    if at == BEYOND {
        return 0.0;
    }
    return x[row / params.positions * params.image + at + step % params.channels];
}

// The four of a vector are a quarter of a tile apart; zero beyond the edges.
fn four_of_left(row: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let r = row + j * (ROWS / 4u);
        if r < params.m && step < end {
            if PASS == FORWARD {
                four[j] = read_at(r, step);
            } else {
                four[j] = read_at(step, r);
            }
        }
    }
    return four;
}

fn four_of_right(column: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    let tap = step / params.channels;
    let channel = step % params.channels;
    for (var j = 0u; j < 4u; j += 1u) {
        let c = column + j * (AREA / ROWS / 4u);
        if c < params.n && step < end {
            if PASS == FORWARD {
                four[j] = b[(c * params.channels + channel) * params.taps + tap];
            } else {
                four[j] = b[step * params.n + c];
            }
        }
    }
    return four;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Vectors along the rows of a tile and along its columns.
    let down = ROWS / 4u;
    let across = AREA / ROWS / 4u;
    let right = DEPTH * (down + 1u);
    let row = group.x / params.tiles * ROWS;
    let column = group.x % params.tiles * (AREA / ROWS);
    let own_row = lane / across;
    let own_column = lane % across;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    var sums: array<vec4<f32>, 4>;
    for (var depth = start; depth < end; depth += DEPTH) {
        for (var i = lane; i < down * DEPTH; i += 256u) {
            // Along channels: the sum's in FORWARD, the result's rows else.
            let r = select(i % down, i / DEPTH, PASS == FORWARD);
            let d = select(i / down, i % DEPTH, PASS == FORWARD);
            tile[d * (down + 1u) + r] = four_of_left(row + r, depth + d, end);
        }
        for (var i = lane; i < across * DEPTH; i += 256u) {
            let c = i % across;
            let d = i / across;
            tile[right + d * (across + 1u) + c] = four_of_right(column + c, depth + d, end);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let rows = tile[d * (down + 1u) + own_row];
            let columns = tile[right + d * (across + 1u) + own_column];
            sums[0] = fma(rows.xxxx, columns, sums[0]);
            sums[1] = fma(rows.yyyy, columns, sums[1]);
            sums[2] = fma(rows.zzzz, columns, sums[2]);
            sums[3] = fma(rows.wwww, columns, sums[3]);
        }
        workgroupBarrier();
    }
    let begin = group.z * params.m * params.n;
    for (var r = 0u; r < 4u; r += 1u) {
        let own = row + own_row + r * down;
        for (var c = 0u; c < 4u; c += 1u) {
            let at = column + own_column + c * across;
            if own >= params.m || at >= params.n {
                continue;
            }
            if PASS == FORWARD {
                y[begin + own * params.n + at] = sums[r][c];
            } else {
                let weight = (at * params.channels + own % params.channels) * params.taps;
                let result = weight + own / params.channels;
                y[begin + result] = sums[r][c];
            }
        }
    }
}
