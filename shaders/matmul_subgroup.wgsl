// The matrix product without workgroup memory: operands go from invocation to invocation.
//
// As `matmul.wgsl`, a workgroup makes a tile of y, here of 64×128; but it needs neither
// workgroup memory nor barriers, at which a software driver is slow. Invocations form
// teams: a subgroup, or 32 of one that is larger. A team makes 8 rows of the tile and four
// columns an invocation. For as many steps of the sum as it has invocations, each of them
// fetches the eight values of A of its own step; then step by step it fetches its four of
// B, which are neighbours' neighbours, and gets those of A from whom the step is: two
// vectors handed on and one fetched give 32 multiply-adds. B is fetched by each of the
// eight teams above each other, from the cache; that is the price.
//
// An invocation counts itself by subgroup and place in it, for a device need not number
// invocations so. What is beyond the edges is zero. The sum runs along k in order, in
// parts as there.
//
// On a software driver (llvmpipe, a two-core AVX-512 server), whose subgroups are of eight,
// 256×256×256 took 1.1 times what it takes in `matmul.wgsl`: what barriers cost there is
// spent on fetching B anew. So it is taken where it is asked for. CPU twin: `matmul/scalar.rs`.

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
    // Steps of the sum that a part makes.
    share: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Rows and columns of a tile, rows of a team's, and most invocations of a team.
const ROWS = 64u;
const COLUMNS = 128u;
const STRIP = 8u;
const MOST = 32u;

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override SCALE: f32 = 1.0;

// Of A at four rows, of B at four columns; zero beyond the edges.
fn four_of_a(base: u32, row: u32, step: u32, end: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let r = row + j;
        if r < params.m && step < end {
            four[j] = a[base + select(r * params.k + step, step * params.m + r, TRANSPOSE_A)];
        }
    }
    return four;
}

fn four_of_b(base: u32, column: u32, step: u32, end: u32, team: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let c = column + j * team;
        if c < params.n && step < end {
            four[j] = b[base + select(step * params.n + c, c * params.k + step, TRANSPOSE_B)];
        }
    }
    return four;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) width: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let team = min(width, MOST);
    let own = place % team;
    let first = place - own;
    let number = (subgroup * width + place) / team;
    let across = COLUMNS / (4u * team);
    let row = group.x / params.tiles * ROWS + number / across * STRIP;
    let column = group.x % params.tiles * COLUMNS + number % across * (4u * team) + own;
    let from_a = group.y * params.a_stride;
    let from_b = group.y * params.b_stride;
    let start = group.z * params.share;
    let end = min(start + params.share, params.k);
    var sums: array<vec4<f32>, 8>;
    for (var depth = start; depth < end; depth += team) {
        let upper = four_of_a(from_a, row, depth + own, end);
        let lower = four_of_a(from_a, row + 4u, depth + own, end);
        for (var d = 0u; d < team; d += 1u) {
            let columns = four_of_b(from_b, column, depth + d, end, team);
            let above = subgroupShuffle(upper, first + d);
            let below = subgroupShuffle(lower, first + d);
            sums[0] = fma(above.xxxx, columns, sums[0]);
            sums[1] = fma(above.yyyy, columns, sums[1]);
            sums[2] = fma(above.zzzz, columns, sums[2]);
            sums[3] = fma(above.wwww, columns, sums[3]);
            sums[4] = fma(below.xxxx, columns, sums[4]);
            sums[5] = fma(below.yyyy, columns, sums[5]);
            sums[6] = fma(below.zzzz, columns, sums[6]);
            sums[7] = fma(below.wwww, columns, sums[7]);
        }
    }
    let result = (group.z * params.batch + group.y) * params.m;
    for (var r = 0u; r < STRIP; r += 1u) {
        for (var c = 0u; c < 4u; c += 1u) {
            let y_column = column + c * team;
            if row + r < params.m && y_column < params.n {
                y[(result + row + r) * params.n + y_column] = SCALE * sums[r][c];
            }
        }
    }
}
