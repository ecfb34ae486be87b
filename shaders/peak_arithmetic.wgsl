// Multiply-adds in registers, to see what the device's arithmetic can do.
//
// Every invocation keeps CHAINS sums of four numbers that do not depend on each other,
// so that a multiply-add need not wait for the one before it, and goes over them
// `rounds` times. Only their sum is written. Nothing that a program runs; the host takes
// the time of it and calls two operations a multiply-add the peak.

struct Params {
    rounds: u32,
    // The factor and the summand: unknown when the shader is translated.
    factor: f32,
    summand: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const CHAINS = 4u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    let factor = vec4<f32>(params.factor);
    let summand = vec4<f32>(params.summand);
    var a = vec4<f32>(f32(lane));
    var b = a + 1.0;
    var c = a + 2.0;
    var d = a + 3.0;
    for (var round = 0u; round < params.rounds; round += 1u) {
        a = fma(a, factor, summand);
        b = fma(b, factor, summand);
        c = fma(c, factor, summand);
        d = fma(d, factor, summand);
    }
    let all = (a + b) + (c + d);
    y[i] = (all.x + all.y) + (all.z + all.w);
}
