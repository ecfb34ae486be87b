// What a norm needs of each row, by subgroups: as `norm_statistics.wgsl`, with its sums
// joined inside a subgroup without memory or a barrier, so that of the six barriers of a
// tree over 64 lanes two are left and one number of each subgroup goes through workgroup
// memory. A lane counts itself by subgroup and place in it, for a device need not number
// invocations so. CPU twin: `norm/scalar.rs`, `statistics`.

struct Params {
    rows: u32,
    width: u32,
    // Values of a row that share a weight, and groups of weights.
    run: u32,
    groups: u32,
    centred: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// The cotangent; without GRADIENT x once more.
@group(0) @binding(3) var<storage, read> c: array<f32>;
// Four numbers a row.
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const LANES = 64u;

override GRADIENT: bool = false;

// One number of each subgroup: of four invocations at least.
var<workgroup> joined: array<f32, 16>;

fn total_of(place: u32, subgroup: u32, subgroups: u32, own: f32) -> f32 {
    let part = subgroupAdd(own);
    if place == 0u {
        joined[subgroup] = part;
    }
    workgroupBarrier();
    var total = joined[0];
    for (var other = 1u; other < subgroups; other += 1u) {
        total += joined[other];
    }
    workgroupBarrier();
    return total;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let lane = subgroup * size + place;
    let row = group.y * groups.x + group.x;
    if row >= params.rows {
        return;
    }
    let from_x = row * params.width;
    let n = f32(params.width);
    var own = 0.0;
    for (var i = lane; i < params.width; i += LANES) {
        own += x[from_x + i];
    }
    let sum = total_of(place, subgroup, subgroups, own);
    let mean = select(0.0, sum / n, params.centred != 0u);
    own = 0.0;
    for (var i = lane; i < params.width; i += LANES) {
        let difference = x[from_x + i] - mean;
        own = fma(difference, difference, own);
    }
    let inverse = 1.0 / sqrt(total_of(place, subgroup, subgroups, own) / n + params.epsilon);
    var shift = 0.0;
    var share = 0.0;
    if GRADIENT {
        let first = row % params.groups * (params.width / params.run);
        var with_x = 0.0;
        own = 0.0;
        for (var i = lane; i < params.width; i += LANES) {
            let g = c[from_x + i] * weight[first + i / params.run];
            own += g;
            with_x = fma(g, (x[from_x + i] - mean) * inverse, with_x);
        }
        let together = total_of(place, subgroup, subgroups, own);
        shift = select(0.0, together / n, params.centred != 0u);
        share = total_of(place, subgroup, subgroups, with_x) / n;
    }
    if lane == 0u {
        y[4u * row] = mean;
        y[4u * row + 1u] = inverse;
        y[4u * row + 2u] = shift;
        y[4u * row + 3u] = share;
    }
}
