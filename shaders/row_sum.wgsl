// Sums of rows of weights over classes of positions.
//
// A workgroup has 256 / LANES results; the lanes of a result go over all positions and
// add those of its class, carrying along what rounding loses, then are added in a
// tree. Where rows are not wanted the sums are zero. CPU twin: `rows/scalar.rs`.

struct Params {
    count: u32,
    positions: u32,
    channels: u32,
    outputs: u32,
    stride: u32,
    // Whether the sums are wanted whatever `wanted` says.
    always: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<u32>;
@group(0) @binding(3) var<storage, read> classes: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const LANES = 32u;

var<workgroup> totals: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Lanes of neighbouring results lie together, for they read neighbours.
    let results = 256u / LANES;
    let i = (group.y * groups.x + group.x) * results + lane % results;
    let first = lane / results;
    let output = i % params.outputs;
    let channel = i / params.outputs % params.channels;
    let own_class = i / params.outputs / params.channels;
    var total = 0.0;
    var lost = 0.0;
    if i < params.count && (params.always != 0u || wanted[0] != 0u) {
        for (var position = first; position < params.positions; position += LANES) {
            if classes[position] != own_class {
                continue;
            }
            let value = x[(position * params.channels + channel) * params.stride + output];
            let sum = total + value;
            let small =
                select((value - sum) + total, (total - sum) + value, abs(total) >= abs(value));
            lost += select(0.0, small, abs(sum) < 3e38);
            total = sum;
        }
    }
    totals[lane] = total + lost;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if first < half {
            totals[lane] += totals[lane + half * results];
        }
    }
    if first == 0u && i < params.count {
        y[i] = totals[lane];
    }
}
