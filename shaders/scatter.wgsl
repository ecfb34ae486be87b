// The adjoint of gathering: each element of y is what the picks with its index bring,
// added in their order, or the largest of them.
//
// x is [outer, picks, inner], y [outer, source, inner]. One invocation an element of
// y, which goes through all indices: no two invocations write one element, so the
// order of additions is fixed and no atomics are needed. The price is a read of the
// index by each; the lab's axes are short. Very many picks are gone through in several
// dispatches, each of which begins with what y has. CPU twin: `movement/scalar.rs`.

struct Params {
    count: u32,
    source: u32,
    picks: u32,
    inner: u32,
    // The bits of -∞.
    lowest: u32,
    // The picks of this dispatch.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override BY_ROWS: bool = false;
override LARGEST: bool = false;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
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
    let inner = i % params.inner;
    let row = i / params.inner;
    let own = row % params.source;
    let outer = row / params.source;
    var total = select(0.0, bitcast<f32>(params.lowest), LARGEST);
    if params.first > 0u {
        total = y[i];
    }
    for (var p = params.first; p < params.last; p += 1u) {
        let place = (outer * params.picks + p) * params.inner + inner;
        var at = place;
        if BY_ROWS {
            at = p;
        }
        if index[at] == own {
            let value = x[place];
            if LARGEST {
                total = select(value, total, total > value || is_nan(total));
            } else {
                total += value;
            }
        }
    }
    y[i] = total;
}
