// The indices of the first elements in order along an axis.
//
// x is [outer, length, inner], y [outer, count, inner]. One invocation an element
// counts how many come before it, which is its place: no exchange among invocations,
// as many comparisons as the square of the length, which for the lab's axes (128) is
// less than a sort's barriers cost. Very long axes are compared with in several
// dispatches, and the places so far wait in `ranks`. The order is the CPU's: -0 equals 0,
// NaN is largest, equals keep theirs. CPU twin: `sort/scalar.rs`.

struct Params {
    elements: u32,
    length: u32,
    inner: u32,
    count: u32,
    descending: u32,
    // What this dispatch compares with.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;
// The places of all elements, where there are several dispatches.
@group(0) @binding(3) var<storage, read_write> ranks: array<u32>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// Whether a is smaller in the order.
fn smaller(a: f32, b: f32) -> bool {
    return a < b || (!is_nan(a) && is_nan(b));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i >= params.elements {
        return;
    }
    let row = i / params.inner;
    let outer = row / params.length;
    let own = row % params.length;
    let base = outer * params.length * params.inner + i % params.inner;
    let value = x[i];
    var rank = 0u;
    if params.first > 0u {
        rank = ranks[i];
    }
    for (var l = params.first; l < params.last; l += 1u) {
        let other = x[base + l * params.inner];
        var before = smaller(other, value);
        var after = smaller(value, other);
        if params.descending != 0u {
            let swapped = before;
            before = after;
            after = swapped;
        }
        if before || (!after && l < own) {
            rank += 1u;
        }
    }
    if params.last < params.length {
        ranks[i] = rank;
    } else if rank < params.count {
        y[(outer * params.count + rank) * params.inner + i % params.inner] = i32(own);
    }
}
