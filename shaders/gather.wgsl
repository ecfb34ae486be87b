// Elements picked along an axis by their indices.
//
// x is [outer, source, inner], y [outer, picks, inner]. The index has an element for
// each of y, or one for each pick. An index outside of the axis gives fixed bits.
// One invocation an element of y. CPU twin: `movement/scalar.rs`.

struct Params {
    count: u32,
    source: u32,
    picks: u32,
    inner: u32,
    outside: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

// One index a pick.
override BY_ROWS: bool = false;

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
    let row = i / params.inner;
    let outer = row / params.picks;
    var place = i;
    if BY_ROWS {
        place = row % params.picks;
    }
    // Negative indices are larger than any axis.
    let pick = index[place];
    if pick < params.source {
        y[i] = x[(outer * params.source + pick) * params.inner + i % params.inner];
    } else {
        y[i] = params.outside;
    }
}
