// Larger windows read from patch and base, and the adjoints of that.
//
// A tile's place lies on a position of the map: beyond the border it is zero or -∞;
// where a window covers it, the tile's own first, the patch's; else the base's, whose
// rows and columns each stand for several of the map's. TILE: one invocation a value
// of the tiles. PATCH: one a value of the patch, which asks every tile of its sample
// whether it read it. BASE: one a value of the base, which asks every tile of every
// sample, for the rows and columns between the first and the last of its class. A base
// that serves all samples has few values and a sum over all windows of a batch: there workgroups in z take `share`
// samples each, and `reduce.wgsl` adds the parts. All add in a fixed order. CPU twin:
// `window/scalar.rs`.

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
    // For BASE of one background: samples of a part.
    share: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The base; for the adjoints the tiles.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> patches: array<f32>;
@group(0) @binding(3) var<storage, read> origins: array<i32>;
@group(0) @binding(4) var<storage, read> starts: array<i32>;
// The base's row for each row of the map, then its column for each column; then between
// which rows of the map each row of the base stands, and columns.
@group(0) @binding(5) var<storage, read> classes: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const TILE = 0u;
const PATCH = 1u;
const BASE = 2u;

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

// The first row or column of a class and the one behind its last.
fn range_of(at: u32) -> vec2<i32> {
    return vec2<i32>(i32(classes[at]), i32(classes[at + 1u]));
}

fn base_gradient(i: u32, part: u32) -> f32 {
    let channel = i % params.channels;
    let column = i / params.channels % params.base_width;
    let row = i / params.channels / params.base_width % params.base_height;
    let background = i / params.channels / params.base_width / params.base_height;
    let behind = u32(params.map_height + params.map_width);
    let rows = range_of(behind + 2u * row);
    let columns = range_of(behind + 2u * (params.base_height + column));
    var first = background;
    var last = background + 1u;
    if params.backgrounds == 1u {
        first = part * params.share;
        last = min(first + params.share, params.samples);
    }
    var sum = 0.0;
    for (var sample = first; sample < last; sample += 1u) {
        for (var tile = 0u; tile < params.tiles; tile += 1u) {
            let start = start_of(sample, tile);
            let size = vec2<i32>(params.tile_height, params.tile_width);
            let begin = max(vec2<i32>(0), vec2<i32>(rows.x, columns.x) - start);
            let end = min(size, vec2<i32>(rows.y, columns.y) - start);
            for (var u = begin.x; u < end.x; u += 1) {
                if classes[start.x + u] != row {
                    continue;
                }
                for (var v = begin.y; v < end.y; v += 1) {
                    if classes[params.map_height + start.y + v] != column {
                        continue;
                    }
                    let own = vec2<i32>(u, v);
                    if read_from(sample, tile, start + own) == params.slots {
                        sum += tile_at(sample, tile, own, channel);
                    }
                }
            }
        }
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
        case TILE: { y[i] = tile_value(i); }
        case PATCH: { y[i] = patch_gradient(i); }
        default: { y[group.z * params.count + i] = base_gradient(i, group.z); }
    }
}
