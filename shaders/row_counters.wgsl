// The counters that updates of rows go by: whether all rows are due, the last steps of
// rows, the rates of past steps.
//
// DUE is one workgroup: 1 if any value of the base is not zero or the step is a
// multiple of HISTORY. SEEN: the step where a window lies on a position or all are due,
// else what it was. RATES: the rates with that of the step after `step`. CPU twin:
// `rows/scalar.rs`.

struct Params {
    // Values of the base, positions, or rates.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Base, last steps, or rates, as bits.
@group(0) @binding(1) var<storage, read> x: array<u32>;
// For SEEN the index, for RATES the rate; for DUE the base once more.
@group(0) @binding(2) var<storage, read> more: array<u32>;
// For SEEN whether all are due; else the step once more.
@group(0) @binding(3) var<storage, read> due: array<u32>;
@group(0) @binding(4) var<storage, read> step: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;

const DUE = 0u;
const SEEN = 1u;
const RATES = 2u;
const HISTORY = 256u;

override PASS: u32 = DUE;

var<workgroup> found: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if PASS == SEEN {
        if i < params.count {
            let touched = more[i] < more[i + 1u] || due[0] != 0u;
            y[i] = select(x[i], step[0], touched);
        }
        return;
    }
    if PASS == RATES {
        if i < params.count {
            y[i] = select(x[i], more[0], i == (step[0] + 1u) % HISTORY);
        }
        return;
    }
    var any_own = 0u;
    for (var at = lane; at < params.count; at += 256u) {
        // Zero of either sign has no other bit.
        any_own |= select(0u, 1u, (x[at] & 0x7fffffffu) != 0u);
    }
    found[lane] = any_own;
    for (var half = 128u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if lane < half {
            found[lane] |= found[lane + half];
        }
    }
    if lane == 0u {
        y[0] = select(found[0], 1u, step[0] % HISTORY == 0u);
    }
}
