// What stands, or comes to stand, where the largest of some values is.
//
// x is [places, taps, channels]. AT gives k at the largest tap of each place and
// channel; TO puts k there and zero at the others. The first of equals, NaN above all.
// One invocation a place and channel. CPU twin: `largest/scalar.rs`.

struct Params {
    // Places times channels.
    count: u32,
    taps: u32,
    channels: u32,
    // The bits of -∞.
    lowest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override TO: bool = false;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
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
    let first = i / params.channels * params.taps * params.channels + i % params.channels;
    var best = 0u;
    var value = bitcast<f32>(params.lowest);
    for (var tap = 0u; tap < params.taps; tap += 1u) {
        let own = x[first + tap * params.channels];
        if own > value || (is_nan(own) && !is_nan(value)) {
            best = tap;
            value = own;
        }
    }
    if TO {
        for (var tap = 0u; tap < params.taps; tap += 1u) {
            y[first + tap * params.channels] = select(0.0, k[i], tap == best);
        }
    } else {
        y[i] = k[first + best * params.channels];
    }
}
