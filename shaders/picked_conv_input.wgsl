// The gradient of `picked_conv.wgsl` in its images.
//
// One invocation a value of the images. Lists made by the host say for each pixel which
// tap read it at which position; what they bring is added in their order, so that no
// atomics are needed. Channels lie together: neighbouring lanes share the cotangents
// and read weights that lie `taps` apart. CPU twin: `picked/scalar.rs`.

struct Params {
    count: u32,
    pixels: u32,
    channels: u32,
    taps: u32,
    positions: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Cotangents [(n,p), o].
@group(0) @binding(1) var<storage, read> c: array<f32>;
// Weights [o, c, t].
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// Where each pixel's list begins, and the last ends; then pairs (tap, position).
@group(0) @binding(3) var<storage, read> lists: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let channel = i % params.channels;
    let pixel = i / params.channels % params.pixels;
    let image = i / params.channels / params.pixels;
    let behind = params.pixels + 1u;
    var sum = 0.0;
    for (var entry = lists[pixel]; entry < lists[pixel + 1u]; entry += 1u) {
        let tap = lists[behind + 2u * entry];
        let position = lists[behind + 2u * entry + 1u];
        let row = (image * params.positions + position) * params.outputs;
        for (var o = 0u; o < params.outputs; o += 1u) {
            let w = weight[(o * params.channels + channel) * params.taps + tap];
            sum = fma(c[row + o], w, sum);
        }
    }
    y[i] = sum;
}
