// Drawing specks on a background, the adjoint of that in the colours, and the target
// that belongs to a drawing.
//
// One invocation an element of the result. A pixel asks the specks of its screen from
// the last to the first which covers it; a colour of the adjoint goes over the pixels
// of its speck and adds those that no later speck covers; a target asks whether any
// speck's centre is in its row or column. Position (-1, -1) is an empty slot. CPU
// twin: `render/scalar.rs`.

struct Params {
    count: u32,
    specks: u32,
    backgrounds: u32,
    channels: u32,
    height: i32,
    width: i32,
    size: i32,
    // The rows of the specks that this dispatch of UNRENDER goes over: it adds them to what
    // is there, unless they are the first.
    first: i32,
    last: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Row and column of each slot.
@group(0) @binding(1) var<storage, read> positions: array<i32>;
// Colours to render; the image to take apart; for targets anything.
@group(0) @binding(2) var<storage, read> x: array<f32>;
// Backgrounds to render; else anything.
@group(0) @binding(3) var<storage, read> background: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const RENDER = 0u;
const UNRENDER = 1u;
const TARGETS = 2u;

override PASS: u32 = RENDER;

fn position(sample: u32, speck: u32) -> vec2<i32> {
    let at = 2u * (sample * params.specks + speck);
    return vec2<i32>(positions[at], positions[at + 1u]);
}

fn is_empty(place: vec2<i32>) -> bool {
    return all(place == vec2<i32>(-1));
}

fn covers(place: vec2<i32>, pixel: vec2<i32>) -> bool {
    let within = pixel - place;
    return !is_empty(place) && all(within >= vec2<i32>(0)) && all(within < vec2<i32>(params.size));
}

// The last speck that covers a pixel; as many as there are where none does.
fn owner(sample: u32, pixel: vec2<i32>) -> u32 {
    for (var speck = params.specks; speck > 0u; speck -= 1u) {
        if covers(position(sample, speck - 1u), pixel) {
            return speck - 1u;
        }
    }
    return params.specks;
}

fn rendered(i: u32) -> f32 {
    let area = u32(params.height * params.width);
    let plane = i / area;
    let channel = plane % params.channels;
    let sample = plane / params.channels;
    let at = i32(i % area);
    let speck = owner(sample, vec2<i32>(at / params.width, at % params.width));
    if speck < params.specks {
        return x[(sample * params.specks + speck) * params.channels + channel];
    }
    return background[select(sample, 0u, params.backgrounds == 1u) * params.channels + channel];
}

fn unrendered(i: u32) -> f32 {
    let channel = i % params.channels;
    let slot = i / params.channels;
    let sample = slot / params.specks;
    let place = position(sample, slot % params.specks);
    if is_empty(place) {
        return 0.0;
    }
    let screen = vec2<i32>(params.height, params.width);
    let first = clamp(place + vec2<i32>(params.first, 0), vec2<i32>(0), screen);
    let last = clamp(place + vec2<i32>(params.last, params.size), vec2<i32>(0), screen);
    let plane = u32(params.height * params.width) * (sample * params.channels + channel);
    var sum = 0.0;
    if params.first > 0 {
        sum = y[i];
    }
    for (var row = first.x; row < last.x; row += 1) {
        for (var column = first.y; column < last.y; column += 1) {
            if owner(sample, vec2<i32>(row, column)) == slot % params.specks {
                sum += x[plane + u32(row * params.width + column)];
            }
        }
    }
    return sum;
}

fn target_of(i: u32) -> f32 {
    let sides = params.height + params.width;
    let sample = i / u32(sides);
    let at = i32(i % u32(sides));
    for (var speck = 0u; speck < params.specks; speck += 1u) {
        let place = position(sample, speck);
        let centre = place + vec2<i32>(params.size / 2);
        let row = at < params.height && centre.x == at;
        let column = at >= params.height && centre.y == at - params.height;
        if !is_empty(place) && (row || column) {
            return 1.0;
        }
    }
    return 0.0;
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
    switch PASS {
        case RENDER: { y[i] = rendered(i); }
        case UNRENDER: { y[i] = unrendered(i); }
        default: { y[i] = target_of(i); }
    }
}
