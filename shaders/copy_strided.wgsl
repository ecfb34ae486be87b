// Elements from or to places that are evenly spaced along up to eight dimensions:
// permutation, stretching, narrowing, flipping, padding, concatenation.
//
// One invocation an element. Where it goes, neighbours lie together; where it comes
// from they may not: a transposition reads lines of which it uses one element, which
// the cache makes up for at sizes such as a batch's. Elements travel as bits. Steps
// are added modulo 2^32, so that those backwards work too. CPU twin:
// `movement/scalar.rs`.

struct Params {
    count: u32,
    rank: u32,
    offset: u32,
    sizes: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

// The output, not the input, is the spaced one.
override WRITES: bool = false;

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
    var place = params.offset;
    var rest = i;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let size = params.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        place += (rest % size) * params.strides[(d - 1u) / 4u][(d - 1u) % 4u];
        rest = rest / size;
    }
    if WRITES {
        y[place] = x[i];
    } else {
        y[i] = x[place];
    }
}
