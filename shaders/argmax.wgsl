// The index of the largest element along an axis: the first of equals, NaN above all.
//
// x is [outer, length, inner]; one invocation an output goes along the axis. CPU twin:
// `reduce/scalar.rs`.

struct Params {
    outputs: u32,
    length: u32,
    inner: u32,
    // The bits of -∞.
    lowest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = (group.y * groups.x + group.x) * 64u + lane;
    if output >= params.outputs {
        return;
    }
    let base = output / params.inner * params.length * params.inner + output % params.inner;
    var best = 0u;
    var value = bitcast<f32>(params.lowest);
    for (var i = 0u; i < params.length; i += 1u) {
        let own = x[base + i * params.inner];
        if own > value || (is_nan(own) && !is_nan(value)) {
            best = i;
            value = own;
        }
    }
    y[output] = i32(best);
}
