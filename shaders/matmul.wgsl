// The matrix product, batched, of either operand transposed.
//
// y = A B for A [m, k] and B [k, n]; a transposed operand is stored the other way
// round. The reference is three loops, which read each operand as often as the other
// has rows or columns. Here a workgroup of 256 invocations makes a tile of ROWS ×
// 4096 / ROWS of y: it copies 16 steps of the sum of A and B at a time into workgroup
// memory, so that each value fetched from memory is used by a whole row or column of
// the tile, and an invocation makes 4×4 of the tile in registers. A tile is 64×64, or
// 32×128 or 128×32 where that wastes less at the edges: a batch of 32 fills half of
// 64 rows.
//
// What an invocation needs at a step is one vector of four rows and one of four columns
// and is read so: two reads of 16 bytes give sixteen multiply-adds, where eight reads of
// one value each would keep a GPU busy with reading. The four of a vector are a quarter
// of the tile apart, so that neighbouring lanes copy and write neighbours, and a row of
// vectors is followed by a gap, so that lanes that copy along the sum write different
// banks. What is beyond the edges is zero. The sum runs along k in order; where y has
// few tiles and k is long, workgroups in z take `share` steps each and `reduce.wgsl`
// adds their results.
//
// On a software driver (llvmpipe, a two-core AVX-512 server) vectors and wider rows made
// of 9.2 ms 4.3 for 256×256×256, with a tile of 32 rows and the sum in parts of 52 ms 17
// for 32×3072×512. CPU twin: `matmul/scalar.rs`.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    // Elements from one operand of the batch to the next; 0 where all share it.
    a_stride: u32,
    b_stride: u32,
    // Tiles across y.
    tiles: u32,
    // Products.
    batch: u32,
    // Steps of the sum that a part makes, a multiple of DEPTH.
    share: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Elements of a tile, and steps of the sum at a time.
const AREA = 4096u;
const DEPTH = 16u;

// Rows of a tile: 32, 64 or 128.
override ROWS: u32 = 64u;
override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override SCALE: f32 = 1.0;

// Four values in workgroup memory.
alias Four = vec4<f32>;

// [DEPTH][ROWS / 4 + 1] of A, then [DEPTH][AREA / ROWS / 4 + 1] of B.
var<workgroup> tile: array<Four, 672>;

// Of A at four rows, of B at four columns; zero beyond the edges.
fn four_of_a(base: u32, row: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let r = row + j * (ROWS / 4u);
        if r < params.m && step < end {
            four[j] = a[base + select(r * params.k + step, step * params.m + r, TRANSPOSE_A)];
        }
    }
    return four;
}

fn four_of_b(base: u32, column: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let c = column + j * (AREA / ROWS / 4u);
        if c < params.n && step < end {
            four[j] = b[base + select(step * params.n + c, c * params.k + step, TRANSPOSE_B)];
        }
    }
    return four;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Vectors along the rows of a tile and along its columns.
    let down = ROWS / 4u;
    let across = AREA / ROWS / 4u;
    let right = DEPTH * (down + 1u);
    let row = group.x / params.tiles * ROWS;
    let column = group.x % params.tiles * (AREA / ROWS);
    let from_a = group.y * params.a_stride;
    let from_b = group.y * params.b_stride;
    let own_row = lane / across;
    let own_column = lane % across;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    var sums: array<vec4<f32>, 4>;
    for (var depth = start; depth < end; depth += DEPTH) {
        // Neighbouring lanes read neighbours: along k where an operand is stored so.
        for (var i = lane; i < down * DEPTH; i += 256u) {
            let r = select(i / DEPTH, i % down, TRANSPOSE_A);
            let d = select(i % DEPTH, i / down, TRANSPOSE_A);
            tile[d * (down + 1u) + r] = Four(four_of_a(from_a, row + r, depth + d, end));
        }
        for (var i = lane; i < across * DEPTH; i += 256u) {
            let c = select(i % across, i / DEPTH, TRANSPOSE_B);
            let d = select(i / across, i % DEPTH, TRANSPOSE_B);
            let at = right + d * (across + 1u) + c;
            tile[at] = Four(four_of_b(from_b, column + c, depth + d, end));
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let rows = vec4<f32>(tile[d * (down + 1u) + own_row]);
            let columns = vec4<f32>(tile[right + d * (across + 1u) + own_column]);
            sums[0] = fma(rows.xxxx, columns, sums[0]);
            sums[1] = fma(rows.yyyy, columns, sums[1]);
            sums[2] = fma(rows.zzzz, columns, sums[2]);
            sums[3] = fma(rows.wwww, columns, sums[3]);
        }
        workgroupBarrier();
    }
    let result = (group.z * params.batch + group.y) * params.m;
    for (var r = 0u; r < 4u; r += 1u) {
        let y_row = row + own_row + r * down;
        for (var c = 0u; c < 4u; c += 1u) {
            let y_column = column + own_column + c * across;
            if y_row < params.m && y_column < params.n {
                y[(result + y_row) * params.n + y_column] = SCALE * sums[r][c];
            }
        }
    }
}
