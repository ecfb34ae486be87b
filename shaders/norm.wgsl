// Rows standardized, times a weight, plus a bias; and the gradient of that in the rows.
//
// What is common to a row comes from `norm_statistics.wgsl`; the gradients of weights
// and bias are `norm_weights.wgsl`. One invocation a value: all is read and written once,
// by neighbours. CPU twin: `norm/scalar.rs`.

struct Params {
    count: u32,
    width: u32,
    run: u32,
    groups: u32,
    centred: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// The bias, or the cotangent.
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> statistics: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const FORWARD = 0u;
const INPUT = 1u;

override PASS: u32 = FORWARD;

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
    let row = i / params.width;
    let mean = statistics[4u * row];
    let inverse = statistics[4u * row + 1u];
    let place = row % params.groups * (params.width / params.run) + i % params.width / params.run;
    let normal = (x[i] - mean) * inverse;
    if PASS == FORWARD {
        var bias = 0.0;
        if params.centred != 0u {
            bias = c[place];
        }
        y[i] = fma(normal, weight[place], bias);
    } else {
        let g = c[i] * weight[place];
        y[i] = inverse * (g - statistics[4u * row + 2u] - normal * statistics[4u * row + 3u]);
    }
}
