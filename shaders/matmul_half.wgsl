enable f16;

// A product with its tiles in half precision: half the workgroup memory and half of what
// is read from it.
//
// As `matmul.wgsl`, tile by tile and four by four; the operands are rounded to 11 bits
// when they come into workgroup memory, products and sums are taken in f32. So a result
// is off by some 2^-11 of the sum of its terms' sizes, which no program asks for by
// itself: the variant is taken where it is asked for only. Values beyond 65504 become
// infinite. CPU twin: `matmul/half.rs`.

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
var<workgroup> left: array<f16, 1040>;
var<workgroup> right: array<f16, 1024>;

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
            left[d * 65u + r] = f16(value);
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
            right[d * TILE + c] = f16(value);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            // Columns lie 16 apart, so that neighbouring lanes write neighbours.
            let at = d * TILE + place.x;
            let values = vec4<f32>(vec4<f16>(right[at], right[at + 16u], right[at + 32u], right[at + 48u]));
            for (var r = 0u; r < 4u; r += 1u) {
                sums[r] = fma(vec4<f32>(f32(left[d * 65u + place.y * 4u + r])), values, sums[r]);
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
