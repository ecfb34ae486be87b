// Larger windows read from patch and base, and the adjoints of that.
//
// A tile's place lies on a position of the map: beyond the border it is zero or -∞;
// where a window covers it, the tile's own first, the patch's; else the base's, whose
// rows and columns each stand for several of the map's. TILE: one invocation a value
// of the tiles. PATCH: one a value of the patch, which asks every tile of its sample
// whether it read it. BASE: one workgroup a value of the base and a part of the tiles;
// its lanes share the rows of all tiles, those of another class are skipped at once, and
// their sums are added in pairs. SUM: one invocation a value, over the parts. All add in a
// fixed order. CPU twin: `window/scalar.rs`.
//
// One invocation a value of the base, as it was at first, has to go through all places of
// all tiles where the base is small because it stands for much: 8 screens of 64 × 64 were
// 90 000 rounds of loops, of which Mesa's software driver makes 65 535 an invocation and no
// more. The host makes parts with that in view; each place asks all slots.

struct Params {
    count: u32,
    samples: u32,
    slots: u32,
    tiles: u32,
    channels: u32,
    backgrounds: u32,
    // Sizes of windows, tiles, map and base.
    height: i32,
    width: i32,
    tile_height: i32,
    tile_width: i32,
    map_height: i32,
    map_width: i32,
    base_height: u32,
    base_width: u32,
    // The bits of what lies beyond the border.
    beyond: u32,
    // Parts that the tiles of a background are divided into.
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The base; for the adjoints the tiles.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> patches: array<f32>;
@group(0) @binding(3) var<storage, read> origins: array<i32>;
@group(0) @binding(4) var<storage, read> starts: array<i32>;
// The base's row for each row of the map, then its column for each column.
@group(0) @binding(5) var<storage, read> classes: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const TILE = 0u;
const PATCH = 1u;
const BASE = 2u;
const SUM = 3u;

var<workgroup> sums: array<f32, 64>;

override PASS: u32 = TILE;

fn origin_of(sample: u32, slot: u32) -> vec2<i32> {
    let at = 2u * (sample * params.slots + slot);
    return vec2<i32>(origins[at], origins[at + 1u]);
}

fn start_of(sample: u32, tile: u32) -> vec2<i32> {
    let at = 2u * (sample * params.tiles + tile);
    return vec2<i32>(starts[at], starts[at + 1u]);
}

fn inside(origin: vec2<i32>, position: vec2<i32>) -> bool {
    let own = position - origin;
    return all(own >= vec2<i32>(0)) && all(own < vec2<i32>(params.height, params.width));
}

fn on_map(position: vec2<i32>) -> bool {
    return all(position >= vec2<i32>(0))
        && all(position < vec2<i32>(params.map_height, params.map_width));
}

// The slot whose window a tile reads at a position on the map; as many as there are
// where it reads the base.
fn read_from(sample: u32, tile: u32, position: vec2<i32>) -> u32 {
    if tile < params.slots && inside(origin_of(sample, tile), position) {
        return tile;
    }
    for (var slot = 0u; slot < params.slots; slot += 1u) {
        if inside(origin_of(sample, slot), position) {
            return slot;
        }
    }
    return params.slots;
}

fn tile_value(i: u32) -> f32 {
    let area = u32(params.tile_height * params.tile_width);
    let channel = i % params.channels;
    let at = i32(i / params.channels % area);
    let number = i / params.channels / area;
    let sample = number / params.tiles;
    let tile = number % params.tiles;
    let own = vec2<i32>(at / params.tile_width, at % params.tile_width);
    let position = start_of(sample, tile) + own;
    if !on_map(position) {
        return bitcast<f32>(params.beyond);
    }
    let slot = read_from(sample, tile, position);
    if slot < params.slots {
        let place = position - origin_of(sample, slot);
        let window = (sample * params.slots + slot) * u32(params.height * params.width);
        let from_window = window + u32(place.x * params.width + place.y);
        return patches[from_window * params.channels + channel];
    }
    let row = classes[position.x];
    let column = classes[params.map_height + position.y];
    let background = select(sample, 0u, params.backgrounds == 1u);
    let from_base = (background * params.base_height + row) * params.base_width + column;
    return x[from_base * params.channels + channel];
}

fn tile_at(sample: u32, tile: u32, own: vec2<i32>, channel: u32) -> f32 {
    let number = (sample * params.tiles + tile) * u32(params.tile_height * params.tile_width);
    return x[(number + u32(own.x * params.tile_width + own.y)) * params.channels + channel];
}

fn patch_gradient(i: u32) -> f32 {
    let area = u32(params.height * params.width);
    let channel = i % params.channels;
    let at = i32(i / params.channels % area);
    let window = i / params.channels / area;
    let sample = window / params.slots;
    let slot = window % params.slots;
    let position = origin_of(sample, slot) + vec2<i32>(at / params.width, at % params.width);
    var sum = 0.0;
    if !on_map(position) {
        return sum;
    }
    for (var tile = 0u; tile < params.tiles; tile += 1u) {
        let own = position - start_of(sample, tile);
        let size = vec2<i32>(params.tile_height, params.tile_width);
        let covers = all(own >= vec2<i32>(0)) && all(own < size);
        if covers && read_from(sample, tile, position) == slot {
            sum += tile_at(sample, tile, own, channel);
        }
    }
    return sum;
}

// What one lane has to add to a value of the base.
fn base_gradient(i: u32, part: u32, lane: u32) -> f32 {
    let channel = i % params.channels;
    let column = i / params.channels % params.base_width;
    let row = i / params.channels / params.base_width % params.base_height;
    let background = i / params.channels / params.base_width / params.base_height;
    // Its tiles, those of all samples or of one, by their numbers.
    let tiles = params.tiles * select(1u, params.samples, params.backgrounds == 1u);
    let each = (tiles + params.parts - 1u) / params.parts;
    let first = min(part * each, tiles);
    let last = min(first + each, tiles);
    let rows = u32(params.tile_height);
    let all = (last - first) * rows;
    var sum = 0.0;
    for (var at = lane; at < all; at += 64u) {
        let u = i32(at % rows);
        let number = background * tiles + first + at / rows;
        let tile = number % params.tiles;
        let sample = number / params.tiles;
        let start = start_of(sample, tile);
        let down = start.x + u;
        if down < 0 || down >= params.map_height || classes[down] != row {
            continue;
        }
        for (var v = max(0, -start.y); v < min(params.tile_width, params.map_width - start.y); v += 1) {
            if classes[params.map_height + start.y + v] != column {
                continue;
            }
            let own = vec2<i32>(u, v);
            if read_from(sample, tile, start + own) == params.slots {
                sum += tile_at(sample, tile, own, channel);
            }
        }
    }
    return sum;
}

// The parts of a value one after the other.
fn sum_of_parts(i: u32) -> f32 {
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part += 1u) {
        sum += x[part * params.count + i];
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if PASS == BASE {
        if number >= params.count * params.parts {
            return;
        }
        sums[lane] = base_gradient(number % params.count, number / params.count, lane);
        for (var step = 32u; step > 0u; step /= 2u) {
            workgroupBarrier();
            if lane < step {
                sums[lane] += sums[lane + step];
            }
        }
        if lane == 0u {
            y[number] = sums[0];
        }
        return;
    }
    let i = number * 64u + lane;
    if i >= params.count {
        return;
    }
    switch PASS {
        case TILE: { y[i] = tile_value(i); }
        case PATCH: { y[i] = patch_gradient(i); }
        default: { y[i] = sum_of_parts(i); }
    }
}
