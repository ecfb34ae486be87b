// The matrix product where a result has few rows or columns, batched, of either
// operand transposed: matrix times vector, and a few vectors.
//
// The tiles of `matmul.wgsl` would be mostly empty: with one row, 31 of 32. What such a
// product costs is reading the operand with many rows or columns (`many`), once. So an
// invocation makes up to FEW results with one of the many: what it reads of `many`
// serves them all, and what it reads of `few` is the same for its neighbours. LANES
// invocations share such results, each with every LANES-th step of the sum, and a tree
// joins them. Where the many lie together in memory the invocations of a workgroup are
// neighbours among the many (ACROSS), else along the sum. Long sums are cut into parts
// (workgroups in z) that `reduce.wgsl` adds. The host says by steps in memory which
// operand is which and how either is stored. CPU twin: `matmul/scalar.rs`.

struct Params {
    // Rows or columns of the two operands, and steps of the sum.
    few: u32,
    many: u32,
    k: u32,
    batch: u32,
    // Blocks of FEW.
    blocks: u32,
    // Steps of the sum that a part makes.
    share: u32,
    // From one of the few to the next, along the sum, and from product to product.
    few_step: u32,
    few_along: u32,
    few_batch: u32,
    many_step: u32,
    many_along: u32,
    many_batch: u32,
    // In the result.
    y_few: u32,
    y_many: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> few: array<f32>;
@group(0) @binding(2) var<storage, read> many: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Results of an invocation: 1, 2, 4 or 8.
override FEW: u32 = 1u;
// Invocations that share them: a power of two up to 256.
override LANES: u32 = 1u;
override ACROSS: bool = false;
override SCALE: f32 = 1.0;

// [FEW][256].
var<workgroup> joined: array<f32, 2048>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let together = 256u / LANES;
    let own = select(lane / LANES, lane % together, ACROSS);
    let first = select(lane % LANES, lane / together, ACROSS);
    let across = (params.many + together - 1u) / together;
    let number = group.y * groups.x + group.x;
    let column = number % across * together + own;
    let row = number / across % params.blocks * FEW;
    let product = number / across / params.blocks;
    let inside = column < params.many && product < params.batch;
    let end = min((group.z + 1u) * params.share, params.k);
    var sums: array<f32, 8>;
    if inside {
        let from_few = product * params.few_batch + row * params.few_step;
        let from_many = product * params.many_batch + column * params.many_step;
        // Rows beyond the last are read as the last and not written.
        let last = min(FEW, params.few - row) - 1u;
        for (var step = group.z * params.share + first; step < end; step += LANES) {
            let value = many[from_many + step * params.many_along];
            let at = from_few + step * params.few_along;
            for (var f = 0u; f < FEW; f += 1u) {
                sums[f] = fma(few[at + min(f, last) * params.few_step], value, sums[f]);
            }
        }
    }
    if LANES > 1u {
        let apart = select(1u, together, ACROSS);
        for (var f = 0u; f < FEW; f += 1u) {
            joined[f * 256u + lane] = sums[f];
        }
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                for (var f = 0u; f < FEW; f += 1u) {
                    joined[f * 256u + lane] += joined[f * 256u + lane + half * apart];
                }
            }
        }
        for (var f = 0u; f < FEW; f += 1u) {
            sums[f] = joined[f * 256u + lane];
        }
    }
    if first == 0u && inside {
        let result = (group.z * params.batch + product) * params.few * params.many;
        for (var f = 0u; f < FEW; f += 1u) {
            if row + f < params.few {
                y[result + (row + f) * params.y_few + column * params.y_many] = SCALE * sums[f];
            }
        }
    }
}
