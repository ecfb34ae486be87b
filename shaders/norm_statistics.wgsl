// What a norm needs of each row: the mean, 1 / √(variance + epsilon), and for the
// gradient the means of g and of g x̂, g the cotangent times the weight.
//
// A workgroup a row; the lanes of a tree add what each has gone through. The variance
// is that of differences to the mean, in a second walk: the row is in the cache by
// then. CPU twin: `norm/scalar.rs`, `statistics`.

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

var<workgroup> joined: array<f32, 64>;

fn total_of(lane: u32, own: f32) -> f32 {
    joined[lane] = own;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if lane < half {
            joined[lane] += joined[lane + half];
        }
    }
    workgroupBarrier();
    let total = joined[0];
    workgroupBarrier();
    return total;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
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
    let sum = total_of(lane, own);
    let mean = select(0.0, sum / n, params.centred != 0u);
    own = 0.0;
    for (var i = lane; i < params.width; i += LANES) {
        let difference = x[from_x + i] - mean;
        own = fma(difference, difference, own);
    }
    let inverse = 1.0 / sqrt(total_of(lane, own) / n + params.epsilon);
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
        let together = total_of(lane, own);
        shift = select(0.0, together / n, params.centred != 0u);
        share = total_of(lane, with_x) / n;
    }
    if lane == 0u {
        y[4u * row] = mean;
        y[4u * row + 1u] = inverse;
        y[4u * row + 2u] = shift;
        y[4u * row + 3u] = share;
    }
}
