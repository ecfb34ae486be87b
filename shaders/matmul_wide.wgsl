// The matrix product with large tiles, for a device with many registers and large
// operands.
//
// As `matmul.wgsl`, but a tile is 128×128 and an invocation makes 8×8 of it: four reads
// of 16 bytes from workgroup memory give 64 multiply-adds, twice as many a byte, and a
// value fetched from memory is used 128 times. That takes 64 registers for sums alone and
// fills a large GPU only where y has a hundred tiles; the host offers it from there on.
// An invocation copies one vector of either operand 8 steps of the sum at a time, and
// fetches those of the next 8 before it multiplies, so that memory is waited for
// meanwhile. On a software driver (llvmpipe, a two-core AVX-512 server) a product of
// 256×256×256 takes 2.2 ms, with 64×64 a tile 4.3. CPU twin: `matmul/scalar.rs`.

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

const TILE = 128u;
const DEPTH = 8u;
// Vectors of a row in workgroup memory, a gap behind them.
const WIDTH = 33u;

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override SCALE: f32 = 1.0;

// [DEPTH][WIDTH] of A and of B.
var<workgroup> left: array<vec4<f32>, 264>;
var<workgroup> right: array<vec4<f32>, 264>;

// The four of a vector are a quarter of a tile apart.
fn four_of_a(base: u32, row: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let r = row + j * 32u;
        if r < params.m && step < end {
            four[j] = a[base + select(r * params.k + step, step * params.m + r, TRANSPOSE_A)];
        }
    }
    return four;
}

fn four_of_b(base: u32, column: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let c = column + j * 32u;
        if c < params.n && step < end {
            four[j] = b[base + select(step * params.n + c, c * params.k + step, TRANSPOSE_B)];
        }
    }
    return four;
}

// Four columns of row `row`, which it has and y may not.
fn write(result: u32, row: u32, column: u32, four: vec4<f32>) {
    for (var c = 0u; c < 4u; c += 1u) {
        let at = column + c * 32u;
        if row < params.m && at < params.n {
            y[(result + row) * params.n + at] = SCALE * four[c];
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x / params.tiles * TILE;
    let column = group.x % params.tiles * TILE;
    let from_a = group.y * params.a_stride;
    let from_b = group.y * params.b_stride;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    // What this invocation copies: along k where an operand is stored so.
    let a_row = select(lane / DEPTH, lane % 32u, TRANSPOSE_A);
    let a_step = select(lane % DEPTH, lane / 32u, TRANSPOSE_A);
    let b_column = select(lane % 32u, lane / DEPTH, TRANSPOSE_B);
    let b_step = select(lane / 32u, lane % DEPTH, TRANSPOSE_B);
    // And what it makes: rows own_row + 16 i, columns own_column + 16 j.
    let own_row = lane / 16u;
    let own_column = lane % 16u;
    // Of the upper rows with the left columns and with the right ones, then of the lower.
    var s00 = vec4<f32>(0.0);
    var s01 = vec4<f32>(0.0);
    var s02 = vec4<f32>(0.0);
    var s03 = vec4<f32>(0.0);
    var s10 = vec4<f32>(0.0);
    var s11 = vec4<f32>(0.0);
    var s12 = vec4<f32>(0.0);
    var s13 = vec4<f32>(0.0);
    var s20 = vec4<f32>(0.0);
    var s21 = vec4<f32>(0.0);
    var s22 = vec4<f32>(0.0);
    var s23 = vec4<f32>(0.0);
    var s30 = vec4<f32>(0.0);
    var s31 = vec4<f32>(0.0);
    var s32 = vec4<f32>(0.0);
    var s33 = vec4<f32>(0.0);
    var next_a = four_of_a(from_a, row + a_row, start + a_step, end);
    var next_b = four_of_b(from_b, column + b_column, start + b_step, end);
    for (var depth = start; depth < end; depth += DEPTH) {
        left[a_step * WIDTH + a_row] = next_a;
        right[b_step * WIDTH + b_column] = next_b;
        workgroupBarrier();
        next_a = four_of_a(from_a, row + a_row, depth + DEPTH + a_step, end);
        next_b = four_of_b(from_b, column + b_column, depth + DEPTH + b_step, end);
        for (var d = 0u; d < DEPTH; d += 1u) {
            let upper = left[d * WIDTH + own_row];
            let lower = left[d * WIDTH + own_row + 16u];
            let near = right[d * WIDTH + own_column];
            let far = right[d * WIDTH + own_column + 16u];
            s00 = fma(upper.xxxx, near, s00);
            s01 = fma(upper.yyyy, near, s01);
            s02 = fma(upper.zzzz, near, s02);
            s03 = fma(upper.wwww, near, s03);
            s10 = fma(upper.xxxx, far, s10);
            s11 = fma(upper.yyyy, far, s11);
            s12 = fma(upper.zzzz, far, s12);
            s13 = fma(upper.wwww, far, s13);
            s20 = fma(lower.xxxx, near, s20);
            s21 = fma(lower.yyyy, near, s21);
            s22 = fma(lower.zzzz, near, s22);
            s23 = fma(lower.wwww, near, s23);
            s30 = fma(lower.xxxx, far, s30);
            s31 = fma(lower.yyyy, far, s31);
            s32 = fma(lower.zzzz, far, s32);
            s33 = fma(lower.wwww, far, s33);
        }
        workgroupBarrier();
    }
    let result = (group.z * params.batch + group.y) * params.m;
    let first = row + own_row;
    let near = column + own_column;
    let far = near + 16u;
    write(result, first, near, s00);
    write(result, first + 32u, near, s01);
    write(result, first + 64u, near, s02);
    write(result, first + 96u, near, s03);
    write(result, first, far, s10);
    write(result, first + 32u, far, s11);
    write(result, first + 64u, far, s12);
    write(result, first + 96u, far, s13);
    write(result, first + 16u, near, s20);
    write(result, first + 48u, near, s21);
    write(result, first + 80u, near, s22);
    write(result, first + 112u, near, s23);
    write(result, first + 16u, far, s30);
    write(result, first + 48u, far, s31);
    write(result, first + 80u, far, s32);
    write(result, first + 112u, far, s33);
}
