// Sums or maxima of rows that lie one behind the other, by subgroups.
//
// As `reduce.wgsl`, LANES invocations share a row, each adding every LANES-th element
// with what rounding lost kept apart; but what they have found is joined inside a
// subgroup without memory or a barrier, and only one number of each subgroup goes
// through workgroup memory. An invocation counts itself by subgroup and place in it,
// for a device need not number invocations so. LANES is a power of two; where a
// subgroup is larger, several rows share it and are joined by exchanges at distances
// below LANES. CPU twin: `reduce/scalar.rs`.

struct Params {
    outputs: u32,
    length: u32,
    // The bits of -∞.
    lowest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override LANES: u32 = 1u;
override LARGEST: bool = false;

// One number of each subgroup: of four invocations at least.
var<workgroup> totals: array<f32, 64>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

fn join(a: f32, b: f32) -> f32 {
    if LARGEST {
        return larger(a, b);
    }
    return a + b;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) width: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let lane = subgroup * width + place;
    let output = (group.y * groups.x + group.x) * (256u / LANES) + lane / LANES;
    let first = lane % LANES;
    var total = select(0.0, bitcast<f32>(params.lowest), LARGEST);
    var lost = 0.0;
    if output < params.outputs {
        let base = output * params.length;
        for (var step = first; step < params.length; step += LANES) {
            let value = x[base + step];
            if LARGEST {
                total = larger(total, value);
            } else {
                let sum = total + value;
                let small = select(
                    (value - sum) + total,
                    (total - sum) + value,
                    abs(total) >= abs(value),
                );
                lost += select(0.0, small, abs(sum) < 3e38);
                total = sum;
            }
        }
        total += lost;
    }
    for (var distance = min(LANES, width) / 2u; distance > 0u; distance = distance / 2u) {
        total = join(total, subgroupShuffleXor(total, distance));
    }
    if LANES > width {
        if place == 0u {
            totals[subgroup] = total;
        }
        workgroupBarrier();
        let parts = LANES / width;
        let begin = lane / LANES * parts;
        total = totals[begin];
        for (var part = 1u; part < parts; part += 1u) {
            total = join(total, totals[begin + part]);
        }
    }
    if first == 0u && output < params.outputs {
        y[output] = total;
    }
}
