// The gradient of `picked_conv.wgsl` in its images.
//
// Lists made by the host say for each pixel which tap read it at which position. A
// workgroup takes 64 / LANES values of the images; the lanes of a value share the entries
// of its pixel's list, ALONG of them the outputs of an entry, and are added in a tree: the
// order depends on the shape alone, and no atomics are needed. Where there are many
// values LANES is 1: channels lie together, so that neighbours share the cotangents and
// read weights that lie `taps` apart. CPU twin: `picked/scalar.rs`.
//
// With one invocation a value throughout, as it was at first, a pixel that stands for much
// is gone through alone: 9 × 9 taps, each at many positions, with 8 outputs are more than
// the 65 535 rounds of loops that Mesa's software driver makes.

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

const MOST_LANES = 64u;

// Invocations a value, and how many of them go along the outputs: powers of two up to
// MOST_LANES, the second no more than the first.
override LANES: u32 = 1u;
override ALONG: u32 = 1u;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * (MOST_LANES / LANES) + lane / LANES;
    let first = lane % LANES;
    let inside = i < params.count;
    let channel = i % params.channels;
    let pixel = i / params.channels % params.pixels;
    let image = i / params.channels / params.pixels;
    let behind = params.pixels + 1u;
    var sum = 0.0;
    let end = select(0u, lists[pixel + 1u], inside);
    for (var entry = lists[pixel] + first / ALONG; entry < end; entry += LANES / ALONG) {
        let tap = lists[behind + 2u * entry];
        let position = lists[behind + 2u * entry + 1u];
        let row = (image * params.positions + position) * params.outputs;
        for (var o = first % ALONG; o < params.outputs; o += ALONG) {
            let w = weight[(o * params.channels + channel) * params.taps + tap];
            sum = fma(c[row + o], w, sum);
        }
    }
    if LANES > 1u {
        sums[lane] = sum;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                sums[lane] += sums[lane + half];
            }
        }
        sum = sums[lane];
    }
    if first == 0u && inside {
        y[i] = sum;
    }
}
