// Convolution and its two gradients, as products of matrices that are never written
// out.
//
//   FORWARD           y[o, (n,i,j)]      = Σ w[o, (c,u,v)]  x[(c,u,v), (n,i,j)]
//   INPUT_GRADIENT    x[c, (n,i,j)]      = Σ w[c, (o,u,v)]  g[(o,u,v), (n,i,j)]
//   WEIGHT_GRADIENT   w[o, (c,u,v)]      = Σ g[o, (n,i,j)]  x[(n,i,j), (c,u,v)]
//
// The tiling is that of `matmul.wgsl`: 64×64 of the result a workgroup, 16 steps of
// the sum at a time in workgroup memory, 4×4 results an invocation. The right operand
// is gathered as it is copied there. What that costs is finding places: with sizes as
// parameters, five divisions a value, more than its sixteen multiply-adds. So the
// column an invocation copies stays the same throughout and is taken apart once, and
// kernel and sizes are overrides, by which division is a product. The sum of the
// weight gradient runs over all positions of all samples; there SPLITS workgroups
// share a tile, each writes its part, and `reduce.wgsl` adds the parts in order. CPU
// twin: `convolution/scalar.rs`.

struct Params {
    // Rows and columns of the result of a group, and the length of the sum.
    m: u32,
    n: u32,
    k: u32,
    tiles: u32,
    groups: u32,
    // Of a group.
    in_channels: u32,
    out_channels: u32,
    // Steps of the sum that a split makes, a multiple of DEPTH.
    share: u32,
    // Elements of one split's result.
    split_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const TILE = 64u;
const DEPTH = 16u;
const FORWARD = 0u;
const INPUT_GRADIENT = 1u;
const WEIGHT_GRADIENT = 2u;

override PASS: u32 = FORWARD;
override IN_HEIGHT: u32 = 1u;
override IN_WIDTH: u32 = 1u;
override OUT_HEIGHT: u32 = 1u;
override OUT_WIDTH: u32 = 1u;
override KERNEL_HEIGHT: u32 = 1u;
override KERNEL_WIDTH: u32 = 1u;
override STRIDE_DOWN: i32 = 1;
override STRIDE_ACROSS: i32 = 1;
override PADDING_DOWN: i32 = 0;
override PADDING_ACROSS: i32 = 0;
override DILATION_DOWN: i32 = 1;
override DILATION_ACROSS: i32 = 1;

// [DEPTH][TILE + 1] of the left operand, [DEPTH][TILE] of the right one.
var<workgroup> left: array<f32, 1040>;
var<workgroup> right: array<f32, 1024>;

// Sample, row, column of a position; or channel, row, column of a tap.
fn taken_apart(i: u32, height: u32, width: u32) -> vec3<u32> {
    return vec3<u32>(i / (height * width), i / width % height, i % width);
}

fn left_at(block: u32, row: u32, step: u32) -> f32 {
    let taps = KERNEL_HEIGHT * KERNEL_WIDTH;
    if PASS == FORWARD {
        return b[(block * params.out_channels + row) * params.k + step];
    }
    if PASS == INPUT_GRADIENT {
        let o = block * params.out_channels + step / taps;
        return b[(o * params.in_channels + row) * taps + step % taps];
    }
    let plane = OUT_HEIGHT * OUT_WIDTH;
    let channels = params.groups * params.out_channels;
    let channel = step / plane * channels + block * params.out_channels + row;
    return b[channel * plane + step % plane];
}

// The image at a channel and a place, zero outside.
fn image_at(sample: u32, channel: u32, place: vec2<i32>) -> f32 {
    let size = vec2<i32>(i32(IN_HEIGHT), i32(IN_WIDTH));
    if any(place < vec2<i32>(0)) || any(place >= size) {
        return 0.0;
    }
    let plane = sample * params.groups * params.in_channels + channel;
    return a[(plane * IN_HEIGHT + u32(place.x)) * IN_WIDTH + u32(place.y)];
}

fn window_place(output: vec2<u32>, tap: vec2<u32>) -> vec2<i32> {
    return vec2<i32>(output) * vec2<i32>(STRIDE_DOWN, STRIDE_ACROSS)
        + vec2<i32>(tap) * vec2<i32>(DILATION_DOWN, DILATION_ACROSS)
        - vec2<i32>(PADDING_DOWN, PADDING_ACROSS);
}

fn right_at(block: u32, own: vec3<u32>, step: u32) -> f32 {
    if PASS == FORWARD {
        let tap = taken_apart(step, KERNEL_HEIGHT, KERNEL_WIDTH);
        let channel = block * params.in_channels + tap.x;
        return image_at(own.x, channel, window_place(own.yz, tap.yz));
    }
    if PASS == INPUT_GRADIENT {
        // The output, if any, whose window has this tap on the position.
        let tap = taken_apart(step, KERNEL_HEIGHT, KERNEL_WIDTH);
        let reach = vec2<i32>(own.yz) + vec2<i32>(PADDING_DOWN, PADDING_ACROSS)
            - vec2<i32>(tap.yz) * vec2<i32>(DILATION_DOWN, DILATION_ACROSS);
        let stride = vec2<i32>(STRIDE_DOWN, STRIDE_ACROSS);
        let output = reach / stride;
        let size = vec2<i32>(i32(OUT_HEIGHT), i32(OUT_WIDTH));
        if any(reach < vec2<i32>(0)) || any(output >= size) || any(output * stride != reach) {
            return 0.0;
        }
        let plane = (own.x * params.groups + block) * params.out_channels + tap.x;
        return a[(plane * OUT_HEIGHT + u32(output.x)) * OUT_WIDTH + u32(output.y)];
    }
    let output = taken_apart(step, OUT_HEIGHT, OUT_WIDTH);
    let channel = block * params.in_channels + own.x;
    return image_at(output.x, channel, window_place(output.yz, own.yz));
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(local_invocation_id) place: vec3<u32>,
) {
    let row = group.x / params.tiles * TILE;
    let column = group.x % params.tiles * TILE;
    let block = group.y;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    // The column that this invocation copies.
    let copied = column + lane % TILE;
    var own = taken_apart(copied, OUT_HEIGHT, OUT_WIDTH);
    if PASS == INPUT_GRADIENT {
        own = taken_apart(copied, IN_HEIGHT, IN_WIDTH);
    }
    if PASS == WEIGHT_GRADIENT {
        own = taken_apart(copied, KERNEL_HEIGHT, KERNEL_WIDTH);
    }
    var sums: array<vec4<f32>, 4>;
    for (var depth = start; depth < end; depth += DEPTH) {
        for (var i = lane; i < TILE * DEPTH; i += 256u) {
            let r = i / DEPTH;
            let d = i % DEPTH;
            var value = 0.0;
            if row + r < params.m && depth + d < end {
                value = left_at(block, row + r, depth + d);
            }
            left[d * 65u + r] = value;
        }
        for (var d = lane / TILE; d < DEPTH; d += 4u) {
            var value = 0.0;
            if copied < params.n && depth + d < end {
                value = right_at(block, own, depth + d);
            }
            right[d * TILE + lane % TILE] = value;
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
        let own_row = row + place.y * 4u + r;
        for (var c = 0u; c < 4u; c += 1u) {
            let at = column + place.x + c * 16u;
            if own_row >= params.m || at >= params.n {
                continue;
            }
            if PASS == FORWARD {
                let output = taken_apart(at, OUT_HEIGHT, OUT_WIDTH);
                let plane = (output.x * params.groups + block) * params.out_channels + own_row;
                y[(plane * OUT_HEIGHT + output.y) * OUT_WIDTH + output.z] = sums[r][c];
            } else if PASS == INPUT_GRADIENT {
                let input = taken_apart(at, IN_HEIGHT, IN_WIDTH);
                let plane = (input.x * params.groups + block) * params.in_channels + own_row;
                y[(plane * IN_HEIGHT + input.y) * IN_WIDTH + input.z] = sums[r][c];
            } else {
                let weight = (block * params.out_channels + own_row) * params.n + at;
                y[group.z * params.split_stride + weight] = sums[r][c];
            }
        }
    }
}
