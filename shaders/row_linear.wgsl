// Linear layers on windows, by rows of weights: forward, to the windows, to the rows.
//
// The index lists the places of windows by position. PLACES turns that round, once:
// the position of each place, or none. OUTPUTS: one invocation an output of a sample
// goes over the places of the sample in order. WINDOWS: one a value of the windows,
// along the row. ROWS: one a value of the rows, over the list of its position. What
// each adds, it adds in one order. CPU twin: `rows/scalar.rs`.

struct Params {
    count: u32,
    positions: u32,
    // Places of windows of a sample.
    places: u32,
    channels: u32,
    outputs: u32,
    // Elements from one row to the next.
    stride: u32,
    // The places that this dispatch of OUTPUTS goes over: it adds them to what is there,
    // unless they are the first.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Windows for OUTPUTS and ROWS, outputs for WINDOWS.
@group(0) @binding(1) var<storage, read> a: array<f32>;
// Rows for OUTPUTS and WINDOWS, outputs for ROWS.
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> index: array<u32>;
// The position of each place, written by PLACES; else not used by ROWS.
@group(0) @binding(4) var<storage, read_write> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const PLACES = 0u;
const OUTPUTS = 1u;
const WINDOWS = 2u;
const ROWS = 3u;

override PASS: u32 = PLACES;

const NOWHERE = 0xffffffffu;

fn output_of(i: u32) -> f32 {
    let sample = i / params.outputs;
    let output = i % params.outputs;
    var sum = 0.0;
    if params.first > 0u {
        sum = y[i];
    }
    for (var own = params.first; own < params.last; own += 1u) {
        let place = sample * params.places + own;
        let position = positions[place];
        if position == NOWHERE {
            continue;
        }
        for (var channel = 0u; channel < params.channels; channel += 1u) {
            let row = (position * params.channels + channel) * params.stride;
            sum = fma(a[place * params.channels + channel], b[row + output], sum);
        }
    }
    return sum;
}

fn window_value(i: u32) -> f32 {
    let place = i / params.channels;
    let position = positions[place];
    if position == NOWHERE {
        return 0.0;
    }
    let row = (position * params.channels + i % params.channels) * params.stride;
    let outputs = place / params.places * params.outputs;
    var sum = 0.0;
    for (var output = 0u; output < params.outputs; output += 1u) {
        sum = fma(a[outputs + output], b[row + output], sum);
    }
    return sum;
}

fn row_value(i: u32) -> f32 {
    let output = i % params.outputs;
    let row = i / params.outputs;
    let position = row / params.channels;
    let behind = params.positions + 1u;
    var sum = 0.0;
    for (var entry = index[position]; entry < index[position + 1u]; entry += 1u) {
        let sample = index[behind + 2u * entry];
        let place = index[behind + 2u * entry + 1u];
        let x = a[place * params.channels + row % params.channels];
        sum = fma(x, b[sample * params.outputs + output], sum);
    }
    return sum;
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
    switch PASS {
        case PLACES: {
            let behind = params.positions + 1u;
            for (var entry = index[i]; entry < index[i + 1u]; entry += 1u) {
                positions[index[behind + 2u * entry + 1u]] = i;
            }
        }
        case OUTPUTS: { y[i] = output_of(i); }
        case WINDOWS: { y[i] = window_value(i); }
        default: { y[i] = row_value(i); }
    }
}
