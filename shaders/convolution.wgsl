// Convolution and its two gradients, as products of matrices that are never written
// out.
//
//   FORWARD           y[o, (n,i,j)]      = Σ w[o, (c,u,v)]  x[(c,u,v), (n,i,j)]
//   INPUT_GRADIENT    x[c, (n,i,j)]      = Σ w[c, (o,u,v)]  g[(o,u,v), (n,i,j)]
//   WEIGHT_GRADIENT   w[o, (c,u,v)]      = Σ g[o, (n,i,j)]  x[(n,i,j), (c,u,v)]
//
// The tiling is that of `matmul.wgsl`: ROWS × 4096 / ROWS of the result a workgroup, 16
// steps of the sum at a time in workgroup memory, 4×4 results an invocation, which it
// makes from one vector of each operand a step; with 32 rows for layers of 32 channels,
// where 64 would be half empty. The right operand is gathered as it is copied there. What
// that costs is finding places: with sizes as parameters, five divisions a value, more
// than its sixteen multiply-adds. So kernel and sizes are overrides, by which division
// is a product, and a place is taken apart once: forward and for the input the four
// columns of a lane stay the same throughout, and a step of the sum serves all four; for
// the weights, where neighbouring lanes go along the sum to read neighbouring pixels,
// columns are looked up in workgroup memory. The sum of the weight gradient runs over all
// positions of all samples; there workgroups in z share a tile, each writes its part, and
// `reduce.wgsl` adds the parts in order. Other sums are cut where they are very long.
//
// On a software driver (llvmpipe, a two-core AVX-512 server) tiles of 32 rows, vectors and
// places taken apart once made of 72 ms 16 for 3×3 from 32 to 32 channels on 16 samples of
// 16×16, unpadded. CPU
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

// Elements of a tile, and steps of the sum at a time.
const AREA = 4096u;
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

// Rows of a tile: 32, 64 or 128.
override ROWS: u32 = 64u;

// Four values in workgroup memory.
alias Four = vec4<f32>;

// [DEPTH][ROWS / 4 + 1] of the left operand, then [DEPTH][AREA / ROWS / 4 + 1] of the
// right one.
var<workgroup> tile: array<Four, 672>;
// For WEIGHT_GRADIENT what each column of the tile reads: the channel's offset, row and
// column of the tap.
var<workgroup> taps: array<vec4<i32>, 128>;

// A row of the image that no window reaches.
const NOWHERE = -16777216;

fn left_at(block: u32, row: u32, step: u32) -> f32 {
    let area = KERNEL_HEIGHT * KERNEL_WIDTH;
    if PASS == FORWARD {
        return b[(block * params.out_channels + row) * params.k + step];
    }
    if PASS == INPUT_GRADIENT {
        let o = block * params.out_channels + step / area;
        return b[(o * params.in_channels + row) * area + step % area];
    }
    let plane = OUT_HEIGHT * OUT_WIDTH;
    let channels = params.groups * params.out_channels;
    let channel = step / plane * channels + block * params.out_channels + row;
    return b[channel * plane + step % plane];
}

// Of the left operand at four rows, a quarter of a tile apart; zero beyond the edges.
fn four_of_left(block: u32, row: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let r = row + j * (ROWS / 4u);
        if r < params.m && step < end {
            four[j] = left_at(block, r, step);
        }
    }
    return four;
}

// What column `column` of the right operand reads, whatever the step: where its sample's
// part of the array begins, and row and column of its place there.
fn place_of(block: u32, column: u32) -> vec3<i32> {
    if column >= params.n {
        return vec3<i32>(0, NOWHERE, 0);
    }
    if PASS == FORWARD {
        let sample = column / (OUT_HEIGHT * OUT_WIDTH);
        let begin = (sample * params.groups + block) * params.in_channels * IN_HEIGHT * IN_WIDTH;
        let i = i32(column / OUT_WIDTH % OUT_HEIGHT);
        let j = i32(column % OUT_WIDTH);
        return vec3<i32>(
            i32(begin),
            i * STRIDE_DOWN - PADDING_DOWN,
            j * STRIDE_ACROSS - PADDING_ACROSS,
        );
    }
    if PASS == INPUT_GRADIENT {
        let sample = column / (IN_HEIGHT * IN_WIDTH);
        let begin = (sample * params.groups + block) * params.out_channels * OUT_HEIGHT * OUT_WIDTH;
        let i = i32(column / IN_WIDTH % IN_HEIGHT);
        let j = i32(column % IN_WIDTH);
        return vec3<i32>(i32(begin), i + PADDING_DOWN, j + PADDING_ACROSS);
    }
    let channel = block * params.in_channels + column / (KERNEL_HEIGHT * KERNEL_WIDTH);
    let u = i32(column / KERNEL_WIDTH % KERNEL_HEIGHT);
    let v = i32(column % KERNEL_WIDTH);
    return vec3<i32>(
        i32(channel * IN_HEIGHT * IN_WIDTH),
        u * DILATION_DOWN - PADDING_DOWN,
        v * DILATION_ACROSS - PADDING_ACROSS,
    );
}

// And what a step of the sum adds to that.
fn step_of(step: u32) -> vec3<i32> {
    if PASS == WEIGHT_GRADIENT {
        let sample = step / (OUT_HEIGHT * OUT_WIDTH);
        let begin = sample * params.groups * params.in_channels * IN_HEIGHT * IN_WIDTH;
        let i = i32(step / OUT_WIDTH % OUT_HEIGHT);
        let j = i32(step % OUT_WIDTH);
        return vec3<i32>(i32(begin), i * STRIDE_DOWN, j * STRIDE_ACROSS);
    }
    let channel = i32(step / (KERNEL_HEIGHT * KERNEL_WIDTH));
    let u = i32(step / KERNEL_WIDTH % KERNEL_HEIGHT) * DILATION_DOWN;
    let v = i32(step % KERNEL_WIDTH) * DILATION_ACROSS;
    if PASS == FORWARD {
        return vec3<i32>(channel * i32(IN_HEIGHT * IN_WIDTH), u, v);
    }
    return vec3<i32>(channel * i32(OUT_HEIGHT * OUT_WIDTH), -u, -v);
}

// The value at a place and a step; zero outside.
fn right_at(place: vec3<i32>, step: vec3<i32>) -> f32 {
    let at = place + step;
    if PASS == INPUT_GRADIENT {
        // The output, if any, whose window has this tap on the position.
        let i = at.y / STRIDE_DOWN;
        let j = at.z / STRIDE_ACROSS;
        if at.y < 0 || at.z < 0 || i >= i32(OUT_HEIGHT) || j >= i32(OUT_WIDTH)
            || i * STRIDE_DOWN != at.y || j * STRIDE_ACROSS != at.z {
            return 0.0;
        }
        return a[u32(at.x + i * i32(OUT_WIDTH) + j)];
    }
    if at.y < 0 || at.z < 0 || at.y >= i32(IN_HEIGHT) || at.z >= i32(IN_WIDTH) {
        return 0.0;
    }
    return a[u32(at.x + at.y * i32(IN_WIDTH) + at.z)];
}

// Where a part's result at a row and a column is.
fn result_at(block: u32, part: u32, row: u32, column: u32) -> u32 {
    let begin = part * params.split_stride;
    if PASS == FORWARD {
        let area = OUT_HEIGHT * OUT_WIDTH;
        let plane = (column / area * params.groups + block) * params.out_channels + row;
        return begin + plane * area + column % area;
    }
    if PASS == INPUT_GRADIENT {
        let area = IN_HEIGHT * IN_WIDTH;
        let plane = (column / area * params.groups + block) * params.in_channels + row;
        return begin + plane * area + column % area;
    }
    return begin + (block * params.out_channels + row) * params.n + column;
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
    let block = group.y;
    let own_row = lane / across;
    let own_column = lane % across;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    // What the columns that this invocation copies read.
    var places: array<vec3<i32>, 4>;
    if PASS == WEIGHT_GRADIENT {
        for (var i = lane; i < 4u * across; i += 256u) {
            taps[i] = vec4<i32>(place_of(block, column + i), 0);
        }
        workgroupBarrier();
    } else {
        for (var j = 0u; j < 4u; j += 1u) {
            places[j] = place_of(block, column + own_column + j * across);
        }
    }
    var sums: array<vec4<f32>, 4>;
    for (var depth = start; depth < end; depth += DEPTH) {
        for (var i = lane; i < down * DEPTH; i += 256u) {
            let r = i / DEPTH;
            let d = i % DEPTH;
            tile[d * (down + 1u) + r] = Four(four_of_left(block, row + r, depth + d, end));
        }
        for (var i = lane; i < across * DEPTH; i += 256u) {
            // Along the sum for the weights, else along the columns, of which a lane has
            // the same each time.
            let c = select(own_column, i / DEPTH, PASS == WEIGHT_GRADIENT);
            let d = select(i / across, i % DEPTH, PASS == WEIGHT_GRADIENT);
            var four = vec4<f32>(0.0);
            if depth + d < end {
                let step = step_of(depth + d);
                for (var j = 0u; j < 4u; j += 1u) {
                    if PASS == WEIGHT_GRADIENT {
                        four[j] = right_at(taps[c + j * across].xyz, step);
                    } else {
                        four[j] = right_at(places[j], step);
                    }
                }
            }
            tile[right + d * (across + 1u) + c] = Four(four);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let rows = vec4<f32>(tile[d * (down + 1u) + own_row]);
            let columns = vec4<f32>(tile[right + d * (across + 1u) + own_column]);
            sums[0] = fma(rows.xxxx, columns, sums[0]);
            sums[1] = fma(rows.yyyy, columns, sums[1]);
            sums[2] = fma(rows.zzzz, columns, sums[2]);
            sums[3] = fma(rows.wwww, columns, sums[3]);
        }
        workgroupBarrier();
    }
    for (var c = 0u; c < 4u; c += 1u) {
        let y_column = column + own_column + c * across;
        if y_column < params.n {
            for (var r = 0u; r < 4u; r += 1u) {
                let y_row = row + own_row + r * down;
                if y_row < params.m {
                    y[result_at(block, group.z, y_row, y_column)] = sums[r][c];
                }
            }
        }
    }
}
