// For each position of a map the places of windows that lie on it, as lists one after
// another.
//
// COUNT: one invocation a position goes through all windows in order and counts those
// that cover it. BEGIN: one workgroup turns counts into where lists begin: each lane
// adds a stretch, the stretches are added in order, each lane walks its own again.
// FILL: as COUNT, but writes pairs (sample, place). A list is in ascending order
// because one invocation writes it. CPU twin: `rows/scalar.rs`.

struct Params {
    positions: u32,
    windows: u32,
    slots: u32,
    height: i32,
    width: i32,
    map_width: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> origins: array<i32>;
// positions + 1 offsets, then the pairs.
@group(0) @binding(2) var<storage, read_write> index: array<u32>;

const COUNT = 0u;
const BEGIN = 1u;
const FILL = 2u;

override PASS: u32 = COUNT;

var<workgroup> totals: array<u32, 256>;

fn visit(position: u32, fills: bool) -> u32 {
    let at = vec2<i32>(i32(position) / params.map_width, i32(position) % params.map_width);
    var count = 0u;
    var to = 0u;
    if fills {
        to = params.positions + 1u + 2u * index[position];
    }
    for (var window = 0u; window < params.windows; window += 1u) {
        let own = at - vec2<i32>(origins[2u * window], origins[2u * window + 1u]);
        if any(own < vec2<i32>(0)) || any(own >= vec2<i32>(params.height, params.width)) {
            continue;
        }
        if fills {
            let area = u32(params.height * params.width);
            index[to] = window / params.slots;
            index[to + 1u] = window * area + u32(own.x * params.width + own.y);
            to += 2u;
        }
        count += 1u;
    }
    return count;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if PASS != BEGIN {
        let position = (group.y * groups.x + group.x) * 256u + lane;
        if position < params.positions {
            let count = visit(position, PASS == FILL);
            if PASS == COUNT {
                index[position + 1u] = count;
            }
        }
        return;
    }
    let share = (params.positions + 255u) / 256u;
    let first = min(lane * share, params.positions);
    let last = min(first + share, params.positions);
    var total = 0u;
    for (var position = first; position < last; position += 1u) {
        total += index[position + 1u];
    }
    totals[lane] = total;
    workgroupBarrier();
    var before = 0u;
    for (var other = 0u; other < lane; other += 1u) {
        before += totals[other];
    }
    for (var position = first; position < last; position += 1u) {
        before += index[position + 1u];
        index[position + 1u] = before;
    }
    if lane == 0u {
        index[0] = 0u;
    }
}
