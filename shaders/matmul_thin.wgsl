// The matrix product where a result has few rows or columns, batched, of either
// operand transposed.
//
// The tiles of `matmul.wgsl` would be mostly empty: with one row, 63 of 64. Here LANES
// invocations share a result: each takes every LANES-th step of the sum, and a tree
// joins them. Lanes of one result read neighbours along k where an operand is stored
// that way; results of a group are neighbours along n. CPU twin: `matmul/scalar.rs`.

struct Params {
    // Results in all.
    count: u32,
    m: u32,
    n: u32,
    k: u32,
    a_stride: u32,
    b_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Invocations a result: a power of two up to 256.
override LANES: u32 = 1u;
override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override SCALE: f32 = 1.0;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let results = 256u / LANES;
    let i = (group.y * groups.x + group.x) * results + lane / LANES;
    let first = lane % LANES;
    var sum = 0.0;
    if i < params.count {
        let column = i % params.n;
        let row = i / params.n % params.m;
        let batch = i / params.n / params.m;
        for (var step = first; step < params.k; step += LANES) {
            let from_a = select(row * params.k + step, step * params.m + row, TRANSPOSE_A);
            let from_b = select(step * params.n + column, column * params.k + step, TRANSPOSE_B);
            sum = fma(a[batch * params.a_stride + from_a], b[batch * params.b_stride + from_b], sum);
        }
    }
    if LANES > 1u {
        sums[lane] = sum;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                sums[lane] += sums[lane + half];
            }
        }
        sum = sums[lane];
    }
    if first == 0u && i < params.count {
        y[i] = SCALE * sum;
    }
}
