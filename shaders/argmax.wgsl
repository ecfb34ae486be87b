// The index of the largest element along an axis: the first of equals, NaN above all.
//
// x is [outer, length, inner]. A workgroup takes 64 / LANES outputs; the lanes of an output
// go along the axis side by side, and what each found is joined in a tree. Along an axis
// that is not the last one, neighbours are outputs, and LANES is 1 unless the axis is very
// long. CPU twin: `reduce/scalar.rs`.

struct Params {
    outputs: u32,
    length: u32,
    inner: u32,
    // The bits of -∞.
    lowest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

const MOST_LANES = 64u;

// Invocations an output: a power of two up to MOST_LANES.
override LANES: u32 = 1u;

var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

// Whether a value comes before another one that stands further on.
fn above(own: f32, other: f32) -> bool {
    return own > other || (is_nan(own) && !is_nan(other));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = (group.y * groups.x + group.x) * (MOST_LANES / LANES) + lane / LANES;
    let first = lane % LANES;
    let length = select(0u, params.length, output < params.outputs);
    let base = output / params.inner * params.length * params.inner + output % params.inner;
    var best = 0u;
    var value = bitcast<f32>(params.lowest);
    for (var i = first; i < length; i += LANES) {
        let own = x[base + i * params.inner];
        if above(own, value) {
            best = i;
            value = own;
        }
    }
    if LANES > 1u {
        values[lane] = value;
        places[lane] = best;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                let other = values[lane + half];
                let place = places[lane + half];
                // Of equals the first; whoever found nothing above -∞ says 0, as one lane
                // alone would.
                let earlier = place < places[lane] && !above(values[lane], other);
                if above(other, values[lane]) || earlier {
                    values[lane] = other;
                    places[lane] = place;
                }
            }
        }
        best = places[lane];
    }
    if first == 0u && output < params.outputs {
        y[output] = i32(best);
    }
}
