// Steps of an optimizer on rows of weights, in place: the one of now, or those that
// were missed.
//
// A row has up to three parts, the weight and what the rule keeps of it, side by side.
// A workgroup has the rows of a position, or where very many windows may lie on one some
// blocks of their elements (workgroups in z): its invocations go over them, each
// adds up an element's gradient over the places of windows on the position, which is
// never written out, and makes a step; or makes all the steps that the row has missed,
// each with a gradient of zero, in registers. Positions under no window are left alone
// unless all are due: a whole workgroup ends at once. One invocation an element, which
// looked for itself, took ten times as long on a software driver (12288 rows of 128,
// a fortieth of them under a window). The numbers of each step come from
// `row_numbers.wgsl`. CPU twins: `rows/scalar.rs`, `rows/rule.rs`.

struct Params {
    positions: u32,
    channels: u32,
    outputs: u32,
    stride: u32,
    beta_1: f32,
    beta_2: f32,
    // 1 - β, rounded once.
    rest_1: f32,
    rest_2: f32,
    epsilon: f32,
    // Decay that is added to the gradient.
    coupled: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Windows for UPDATE; the last steps, as bits, for CATCH_UP.
@group(0) @binding(1) var<storage, read> windows: array<u32>;
// Cotangents of the outputs; for CATCH_UP the step that has been made, as bits.
@group(0) @binding(2) var<storage, read> outputs: array<u32>;
// Gradients of the sums of classes; for CATCH_UP anything.
@group(0) @binding(3) var<storage, read> sums: array<f32>;
@group(0) @binding(4) var<storage, read> index: array<u32>;
// Whether all rows are due.
@group(0) @binding(5) var<storage, read> due: array<u32>;
@group(0) @binding(6) var<storage, read> numbers: array<f32>;
// The class of each position; for CATCH_UP anything.
@group(0) @binding(7) var<storage, read> classes: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

const SGD = 0u;
const MOMENTUM = 1u;
const RMSPROP = 2u;
const LION = 3u;
const ADAM = 4u;
const HISTORY = 256u;

override RULE: u32 = SGD;
override CATCH_UP: bool = false;

// The weight and two more parts after a step with gradient g; `own` are its numbers.
fn step(values: vec3<f32>, g: f32, own: vec3<f32>) -> vec3<f32> {
    let w = values.x;
    switch RULE {
        case SGD: { return vec3<f32>(w * own.z - g * own.x, values.yz); }
        case MOMENTUM: {
            let v = values.y * params.beta_1 + (g + w * params.coupled);
            return vec3<f32>(w - v * own.x, v, values.z);
        }
        case RMSPROP: {
            let v = values.y * params.beta_1 + g * g * params.rest_1;
            return vec3<f32>(w - g / (sqrt(v) + params.epsilon) * own.x, v, values.z);
        }
        case LION: {
            let mixed = values.y * params.beta_1 + g * params.rest_1;
            let way = select(select(mixed, -1.0, mixed < 0.0), 1.0, mixed > 0.0);
            let m = values.y * params.beta_2 + g * params.rest_2;
            return vec3<f32>(w * own.z - way * own.x, m, values.z);
        }
        default: {
            let m = values.y * params.beta_1 + g * params.rest_1;
            let v = values.z * params.beta_2 + g * g * params.rest_2;
            let under = sqrt(v) * own.y + params.epsilon;
            return vec3<f32>(w * own.z - m / under * own.x, m, v);
        }
    }
}

fn change(position: u32, element: u32, first: u32, last: u32, parts: u32, missed: u32) {
    let output = element % params.outputs;
    let channel = element / params.outputs;
    let row = position * params.channels + channel;
    let at = row * params.stride + output;
    var values = vec3<f32>(y[at], 0.0, 0.0);
    if parts > 1u {
        values.y = y[at + params.outputs];
    }
    if parts > 2u {
        values.z = y[at + 2u * params.outputs];
    }
    if CATCH_UP {
        for (var left = missed; left > 0u; left -= 1u) {
            let own = 3u * (left - 1u);
            values = step(values, 0.0, vec3<f32>(numbers[own], numbers[own + 1u], numbers[own + 2u]));
        }
    } else {
        let behind = params.positions + 1u;
        var g = sums[(classes[position] * params.channels + channel) * params.outputs + output];
        for (var entry = first; entry < last; entry += 1u) {
            let sample = index[behind + 2u * entry];
            let place = index[behind + 2u * entry + 1u];
            let x = bitcast<f32>(windows[place * params.channels + channel]);
            g = fma(x, bitcast<f32>(outputs[sample * params.outputs + output]), g);
        }
        values = step(values, g, vec3<f32>(numbers[0], numbers[1], numbers[2]));
    }
    y[at] = values.x;
    if parts > 1u {
        y[at + params.outputs] = values.y;
    }
    if parts > 2u {
        y[at + 2u * params.outputs] = values.z;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let position = group.y * groups.x + group.x;
    if position >= params.positions {
        return;
    }
    let first = index[position];
    let last = index[position + 1u];
    if first == last && due[0] == 0u {
        return;
    }
    var missed = 0u;
    if CATCH_UP {
        let made = outputs[0];
        missed = made - min(made, u32(max(bitcast<i32>(windows[position]), 0)));
        missed = min(missed, HISTORY);
    }
    let parts = params.stride / params.outputs;
    let first_own = group.z * 64u + lane;
    for (var element = first_own; element < params.channels * params.outputs; element += 64u * groups.z) {
        change(position, element, first, last, parts, missed);
    }
}
