// A copy of numbers in fours, to see what the device's memory can do.
//
// One invocation four numbers, neighbours beside each other: the widest reads and
// writes there are, and nothing else. Nothing that a program runs; the host takes the
// time of it and calls bytes read and written a second the bandwidth.

struct Params {
    // Fours.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i < params.count {
        y[i] = x[i];
    }
}
