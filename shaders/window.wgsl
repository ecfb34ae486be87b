// Windows of specks: their origins, drawing in them and its adjoint, and which of
// their places count.
//
// One invocation an element of the result. Layouts are channels last, [samples,
// slots, height, width, channels]. ORIGINS: a position (row, column) to the window's
// origin, ⌊(position + add) / divide⌋ · multiply + offset along each axis. RENDER: the
// colour of the last speck that covers a place of a speck's own window. UNRENDER: a
// colour gets the cotangents of all places at which its speck is seen, in any window.
// MASK: 1 where a place is on the map and, with OWNED, in no earlier window. CPU twin:
// `window/scalar.rs`.

struct Params {
    count: u32,
    slots: u32,
    channels: u32,
    height: i32,
    width: i32,
    map_height: i32,
    map_width: i32,
    add_down: i32,
    divide_down: i32,
    multiply_down: i32,
    offset_down: i32,
    add_across: i32,
    divide_across: i32,
    multiply_across: i32,
    offset_across: i32,
    // The slots whose windows this dispatch of UNRENDER goes over: it adds them to what is
    // there, unless they are the first.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Positions, or origins for MASK.
@group(0) @binding(1) var<storage, read> places: array<i32>;
// Colours or windows; else anything.
@group(0) @binding(2) var<storage, read> x: array<f32>;
// Origins as bits.
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

const ORIGINS = 0u;
const RENDER = 1u;
const UNRENDER = 2u;
const MASK = 3u;

override PASS: u32 = ORIGINS;
override OWNED: bool = false;

// The origin of an empty slot: its window lies beyond every map.
const EMPTY = -16777216;

fn place_of(sample: u32, slot: u32) -> vec2<i32> {
    let at = 2u * (sample * params.slots + slot);
    return vec2<i32>(places[at], places[at + 1u]);
}

fn is_empty(place: vec2<i32>) -> bool {
    return all(place == vec2<i32>(-1));
}

fn inside(origin: vec2<i32>, position: vec2<i32>) -> bool {
    let own = position - origin;
    return all(own >= vec2<i32>(0)) && all(own < vec2<i32>(params.height, params.width));
}

fn on_map(position: vec2<i32>) -> bool {
    return all(position >= vec2<i32>(0))
        && all(position < vec2<i32>(params.map_height, params.map_width));
}

fn floored(a: i32, b: i32) -> i32 {
    let whole = a / b;
    return select(whole, whole - 1, a % b != 0 && a < 0);
}

fn origin_of(i: u32) -> i32 {
    let window = i / 2u;
    if places[2u * window] == -1 && places[2u * window + 1u] == -1 {
        return EMPTY;
    }
    // Positions far off would overflow; their windows are as far off.
    let position = clamp(places[i], EMPTY, -EMPTY);
    if i % 2u == 0u {
        return floored(position + params.add_down, params.divide_down) * params.multiply_down
            + params.offset_down;
    }
    return floored(position + params.add_across, params.divide_across) * params.multiply_across
        + params.offset_across;
}

// The speck that is seen at a position of a slot's window.
fn seen(sample: u32, slot: u32, position: vec2<i32>) -> u32 {
    for (var other = params.slots; other > 0u; other -= 1u) {
        let place = place_of(sample, other - 1u);
        if !is_empty(place) && inside(place, position) {
            return other - 1u;
        }
    }
    return slot;
}

fn rendered(i: u32) -> f32 {
    let area = u32(params.height * params.width);
    let channel = i % params.channels;
    let at = i / params.channels % area;
    let window = i / params.channels / area;
    let sample = window / params.slots;
    let origin = place_of(sample, window % params.slots);
    if is_empty(origin) {
        return 0.0;
    }
    let own = vec2<i32>(i32(at) / params.width, i32(at) % params.width);
    let speck = seen(sample, window % params.slots, origin + own);
    return x[(sample * params.slots + speck) * params.channels + channel];
}

fn unrendered(i: u32) -> f32 {
    let channel = i % params.channels;
    let speck = i / params.channels % params.slots;
    let sample = i / params.channels / params.slots;
    var sum = 0.0;
    if params.first > 0u {
        sum = bitcast<f32>(y[i]);
    }
    for (var slot = params.first; slot < params.last; slot += 1u) {
        let origin = place_of(sample, slot);
        if is_empty(origin) {
            continue;
        }
        for (var row = 0; row < params.height; row += 1) {
            for (var column = 0; column < params.width; column += 1) {
                if seen(sample, slot, origin + vec2<i32>(row, column)) == speck {
                    let window = (sample * params.slots + slot) * u32(params.height * params.width);
                    let at = window + u32(row * params.width + column);
                    sum += x[at * params.channels + channel];
                }
            }
        }
    }
    return sum;
}

fn counts(i: u32) -> f32 {
    let area = u32(params.height * params.width);
    let at = i32(i % area);
    let window = i / area;
    let sample = window / params.slots;
    let slot = window % params.slots;
    let position = place_of(sample, slot) + vec2<i32>(at / params.width, at % params.width);
    if !on_map(position) {
        return 0.0;
    }
    if OWNED {
        for (var other = 0u; other < slot; other += 1u) {
            if inside(place_of(sample, other), position) {
                return 0.0;
            }
        }
    }
    return 1.0;
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
        case ORIGINS: { y[i] = bitcast<u32>(origin_of(i)); }
        case RENDER: { y[i] = bitcast<u32>(rendered(i)); }
        case UNRENDER: { y[i] = bitcast<u32>(unrendered(i)); }
        default: { y[i] = bitcast<u32>(counts(i)); }
    }
}
