// Two-dimensional pooling: the place of the largest element of each window, the mean
// of each window, and the adjoint of the mean.
//
// One invocation an element of the result, so that the adjoint too adds in a fixed
// order: each input asks which windows it lies in. CPU twin: `pooling/scalar.rs`.

struct Params {
    count: u32,
    in_height: i32,
    in_width: i32,
    out_height: i32,
    out_width: i32,
    kernel_height: i32,
    kernel_width: i32,
    stride_down: i32,
    stride_across: i32,
    padding_down: i32,
    padding_across: i32,
    dilation_down: i32,
    dilation_across: i32,
    // What sums are divided by; 0 to divide by the taps counted.
    divisor: f32,
    // Whether taps on the padding count.
    count_padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// Indices as bits.
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

const LARGEST = 0u;
const MEAN = 1u;
const MEAN_GRADIENT = 2u;

override PASS: u32 = LARGEST;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn largest(plane: u32, output: vec2<i32>) -> i32 {
    var index = -1;
    var best = 0.0;
    for (var u = 0; u < params.kernel_height; u += 1) {
        let h = output.x * params.stride_down - params.padding_down + u * params.dilation_down;
        for (var v = 0; v < params.kernel_width; v += 1) {
            let w = output.y * params.stride_across - params.padding_across
                + v * params.dilation_across;
            if h >= 0 && w >= 0 && h < params.in_height && w < params.in_width {
                let at = h * params.in_width + w;
                let value = x[plane * u32(params.in_height * params.in_width) + u32(at)];
                if index < 0 || value > best || is_nan(value) {
                    index = at;
                    best = value;
                }
            }
        }
    }
    return index;
}

// Taps of output o along an axis that lie inside, and inside or on the padding.
fn counted(o: i32, kernel: i32, stride: i32, padding: i32, dilation: i32, size: i32) -> vec2<i32> {
    var inside = 0;
    var padded = 0;
    for (var tap = 0; tap < kernel; tap += 1) {
        let at = o * stride - padding + tap * dilation;
        inside += select(0, 1, at >= 0 && at < size);
        padded += select(0, 1, at < size + padding);
    }
    return vec2<i32>(inside, padded);
}

// What the sum of a window is divided by, and whether it has a tap inside.
fn divisor(output: vec2<i32>) -> vec2<f32> {
    let rows = counted(output.x, params.kernel_height, params.stride_down, params.padding_down,
        params.dilation_down, params.in_height);
    let columns = counted(output.y, params.kernel_width, params.stride_across,
        params.padding_across, params.dilation_across, params.in_width);
    let inside = rows.x * columns.x;
    var value = f32(inside);
    if params.divisor != 0.0 {
        value = params.divisor;
    } else if params.count_padding != 0u {
        value = f32(rows.y * columns.y);
    }
    return vec2<f32>(value, f32(inside));
}

fn mean(plane: u32, output: vec2<i32>) -> f32 {
    let by = divisor(output);
    if by.y == 0.0 {
        return 0.0;
    }
    var sum = 0.0;
    for (var u = 0; u < params.kernel_height; u += 1) {
        let h = output.x * params.stride_down - params.padding_down + u * params.dilation_down;
        for (var v = 0; v < params.kernel_width; v += 1) {
            let w = output.y * params.stride_across - params.padding_across
                + v * params.dilation_across;
            if h >= 0 && w >= 0 && h < params.in_height && w < params.in_width {
                let at = h * params.in_width + w;
                sum += x[plane * u32(params.in_height * params.in_width) + u32(at)];
            }
        }
    }
    return sum / by.x;
}

// The outputs along an axis from the first to the last that may have a tap on `at`.
fn windows(at: i32, kernel: i32, stride: i32, padding: i32, dilation: i32, outputs: i32) -> vec2<i32> {
    let reach = at + padding;
    let before = reach - (kernel - 1) * dilation;
    let first = select((before + stride - 1) / stride, 0, before <= 0);
    return vec2<i32>(first, min(reach / stride, outputs - 1));
}

fn mean_gradient(plane: u32, input: vec2<i32>) -> f32 {
    let rows = windows(input.x, params.kernel_height, params.stride_down, params.padding_down,
        params.dilation_down, params.out_height);
    let columns = windows(input.y, params.kernel_width, params.stride_across,
        params.padding_across, params.dilation_across, params.out_width);
    var sum = 0.0;
    for (var i = rows.x; i <= rows.y; i += 1) {
        let down = input.x + params.padding_down - i * params.stride_down;
        for (var j = columns.x; j <= columns.y; j += 1) {
            let across = input.y + params.padding_across - j * params.stride_across;
            if down % params.dilation_down == 0 && across % params.dilation_across == 0 {
                let at = i * params.out_width + j;
                let value = x[plane * u32(params.out_height * params.out_width) + u32(at)];
                sum += value / divisor(vec2<i32>(i, j)).x;
            }
        }
    }
    return sum;
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
    var size = vec2<i32>(params.out_height, params.out_width);
    if PASS == MEAN_GRADIENT {
        size = vec2<i32>(params.in_height, params.in_width);
    }
    let area = u32(size.x * size.y);
    let plane = i / area;
    let at = i32(i % area);
    let place = vec2<i32>(at / size.y, at % size.y);
    switch PASS {
        case LARGEST: { y[i] = bitcast<u32>(largest(plane, place)); }
        case MEAN: { y[i] = bitcast<u32>(mean(plane, place)); }
        default: { y[i] = bitcast<u32>(mean_gradient(plane, place)); }
    }
}
