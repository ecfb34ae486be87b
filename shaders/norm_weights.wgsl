// The gradients of a norm's weights and bias, in parts.
//
// A weight belongs to `run` values of each row of its group. As in `reduce.wgsl`, LANES
// invocations share a weight, RUN of them along its values in a row and the others from
// row to row; where a weight has one value a row, the weights of a workgroup are
// neighbours (ACROSS), else the lanes of a weight are. Rows are cut into parts
// (workgroups in z), for a layer has a hundred weights and ten thousand rows: one
// invocation a weight, as it was before, leaves a large GPU idle. `reduce.wgsl` adds
// the parts' results, those for the weights and, behind them, those for the bias. What is
// common to a row comes from `norm_statistics.wgsl`. CPU twin: `norm/scalar.rs`.

struct Params {
    weights: u32,
    rows: u32,
    width: u32,
    run: u32,
    groups: u32,
    centred: u32,
    // Rows of a group that a part goes through, and how many parts there are.
    share: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// The cotangent.
@group(0) @binding(2) var<storage, read> c: array<f32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
// [2][parts][weights], or [1] where there is no bias.
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override LANES: u32 = 1u;
override RUN: u32 = 1u;
override ACROSS: bool = false;

var<workgroup> totals: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let together = 256u / LANES;
    let own = select(lane / LANES, lane % together, ACROSS);
    let first = select(lane % LANES, lane / together, ACROSS);
    let i = (group.y * groups.x + group.x) * together + own;
    // Of x̂ c, and of c.
    var total = vec2<f32>(0.0);
    if i < params.weights {
        let share = params.width / params.run;
        let own_group = i / share;
        let offset = i % share * params.run;
        let end = min((group.z + 1u) * params.share, params.rows / params.groups);
        for (var r = group.z * params.share + first / RUN; r < end; r += LANES / RUN) {
            let row = own_group + r * params.groups;
            let mean = statistics[4u * row];
            let inverse = statistics[4u * row + 1u];
            let begin = row * params.width + offset;
            for (var at = begin + first % RUN; at < begin + params.run; at += RUN) {
                let cotangent = c[at];
                total.x = fma(cotangent, (x[at] - mean) * inverse, total.x);
                total.y += cotangent;
            }
        }
    }
    if LANES > 1u {
        let apart = select(1u, together, ACROSS);
        totals[lane] = total;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                totals[lane] += totals[lane + half * apart];
            }
        }
        total = totals[lane];
    }
    if first == 0u && i < params.weights {
        y[group.z * params.weights + i] = total.x;
        if params.centred != 0u {
            y[(params.parts + group.z) * params.weights + i] = total.y;
        }
    }
}
