// Rows standardized, times a weight, plus a bias; and the gradients of that.
//
// What is common to a row comes from `norm_statistics.wgsl`. FORWARD and INPUT: one
// invocation a value. WEIGHTS: one a weight goes over the rows that it belongs to in
// order and adds its own gradient and, behind all weights, that of its bias. CPU twin:
// `norm/scalar.rs`.

struct Params {
    // Values, or weights.
    count: u32,
    rows: u32,
    width: u32,
    run: u32,
    groups: u32,
    centred: u32,
    // Where the gradients of the weights begin, and those of the bias.
    weights_at: u32,
    bias_at: u32,
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
const WEIGHTS = 2u;

override PASS: u32 = FORWARD;

fn weights_gradient(i: u32) {
    let share = params.width / params.run;
    let own_group = i / share;
    var with_x = 0.0;
    var alone = 0.0;
    for (var row = own_group; row < params.rows; row += params.groups) {
        let mean = statistics[4u * row];
        let inverse = statistics[4u * row + 1u];
        let first = row * params.width + i % share * params.run;
        for (var at = first; at < first + params.run; at += 1u) {
            with_x = fma(c[at], (x[at] - mean) * inverse, with_x);
            alone += c[at];
        }
    }
    y[params.weights_at + i] = with_x;
    if params.centred != 0u {
        y[params.bias_at + i] = alone;
    }
}

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
    if PASS == WEIGHTS {
        weights_gradient(i);
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
