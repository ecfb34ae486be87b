// The matrix product, batched, of either operand transposed.
//
// y = A B for A [m, k] and B [k, n]; a transposed operand is stored the other way
// round. The reference is three loops, which read each operand as often as the other
// has rows or columns. Here a workgroup of 16×16 invocations makes a tile of 64×64 of
// y: it copies 64×16 of A and 16×64 of B into workgroup memory, so that each value
// fetched from memory is used 64 times; and an invocation makes 4×4 of the tile in
// registers, so that eight values read from workgroup memory give sixteen
// multiply-adds. The copies of A are laid out with a gap after each row, so that the
// four rows an invocation reads lie in different banks. What is beyond the edges is
// zero. The sum runs along k in one order whatever the device. CPU twin:
// `matmul/scalar.rs`.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    // Elements from one operand of the batch to the next; 0 where all share it.
    a_stride: u32,
    b_stride: u32,
    // Tiles across y.
    tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const TILE = 64u;
const DEPTH = 16u;

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override SCALE: f32 = 1.0;

// [DEPTH][TILE + 1] of A, [DEPTH][TILE] of B.
var<workgroup> left: array<f32, 1040>;
var<workgroup> right: array<f32, 1024>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(local_invocation_id) place: vec3<u32>,
) {
    let row = group.x / params.tiles * TILE;
    let column = group.x % params.tiles * TILE;
    let from_a = group.y * params.a_stride;
    let from_b = group.y * params.b_stride;
    var sums: array<vec4<f32>, 4>;
    for (var depth = 0u; depth < params.k; depth += DEPTH) {
        for (var i = lane; i < TILE * DEPTH; i += 256u) {
            // Neighbouring lanes read neighbours: along k where A is stored by rows,
            // along m where it is stored transposed.
            let r = select(i / DEPTH, i % TILE, TRANSPOSE_A);
            let d = select(i % DEPTH, i / TILE, TRANSPOSE_A);
            let inside = row + r < params.m && depth + d < params.k;
            let at = select(
                (row + r) * params.k + depth + d,
                (depth + d) * params.m + row + r,
                TRANSPOSE_A,
            );
            var value = 0.0;
            if inside {
                value = a[from_a + at];
            }
            left[d * 65u + r] = value;
        }
        for (var i = lane; i < TILE * DEPTH; i += 256u) {
            let c = select(i % TILE, i / DEPTH, TRANSPOSE_B);
            let d = select(i / TILE, i % DEPTH, TRANSPOSE_B);
            let inside = column + c < params.n && depth + d < params.k;
            let at = select(
                (depth + d) * params.n + column + c,
                (column + c) * params.k + depth + d,
                TRANSPOSE_B,
            );
            var value = 0.0;
            if inside {
                value = b[from_b + at];
            }
            right[d * TILE + c] = value;
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            // Columns lie 16 apart, so that neighbouring lanes write neighbours.
            let at = d * TILE + place.x;
            let values = vec4<f32>(right[at], right[at + 16u], right[at + 32u], right[at + 48u]);
            for (var r = 0u; r < 4u; r += 1u) {
                sums[r] = fma(vec4<f32>(left[d * 65u + place.y * 4u + r]), values, sums[r]);
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r += 1u) {
        let own = row + place.y * 4u + r;
        for (var c = 0u; c < 4u; c += 1u) {
            let at = column + place.x + c * 16u;
            if own < params.m && at < params.n {
                y[(group.y * params.m + own) * params.n + at] = SCALE * sums[r][c];
            }
        }
    }
}
