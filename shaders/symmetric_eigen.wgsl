// Eigenvalues and eigenvectors of symmetric matrices, by Jacobi's method.
//
// x is [count, n, n], of which the lower triangle is not read; y [count, n + 1, n] holds
// the eigenvalues, the smallest first, and below them the vectors as rows. A workgroup
// takes a matrix; rotations follow one another as on the CPU, and the lanes share the
// elements of the two rows and columns that one turns. Rotations of pairs that have no
// index in common could go side by side; but matrices here are preconditioners of a few
// hundred rows at most, decomposed now and then. Where the CPU computes in f64 this is
// f32. CPU twin: `eigen/scalar.rs`.
//
// One dispatch with all sweeps would be long: 20 sweeps of a matrix of 128 are half a
// million rounds of the inner loop, more than a driver may allow (Mesa's software driver
// ends an invocation's loops after 65 535 rounds of all of them together and goes on with
// what is there, a window system's watchdog resets the device). So a dispatch makes some sweeps, or of a
// larger matrix some rows of one sweep; what is left of the matrix, and the last sweep that
// turned anything, wait in `work`.

struct Params {
    count: u32,
    n: u32,
    // The sweeps of this dispatch.
    first_sweep: u32,
    last_sweep: u32,
    // The rows p of pairs (p, q) in them.
    first_row: u32,
    last_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// For each matrix what is left of it, and the vectors; then for each the number of the
// last sweep that turned anything, from 1.
@group(0) @binding(2) var<storage, read_write> work: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const EPSILON: f32 = 1.1920929e-7;

const BEGIN = 0u;
const TURN = 1u;
const END = 2u;

override PASS: u32 = TURN;

// The number of the last sweep that turned anything.
var<workgroup> turned: u32;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let matrix = group.y * groups.x + group.x;
    if matrix >= params.count {
        return;
    }
    let n = params.n;
    let a = matrix * 2u * n * n;
    let vectors = a + n * n;
    let note = params.count * 2u * n * n + matrix;
    if PASS == BEGIN {
        for (var at = lane; at < n * n; at += 64u) {
            let i = at / n;
            let j = at % n;
            work[a + at] = x[matrix * n * n + min(i, j) * n + max(i, j)];
            work[vectors + at] = select(0.0, 1.0, i == j);
        }
        if lane == 0u {
            work[note] = 0.0;
        }
        return;
    }
    if PASS == END {
        sorted(matrix, lane);
        return;
    }

    if lane == 0u {
        turned = u32(work[note]);
    }
    for (var sweep = params.first_sweep; sweep < params.last_sweep; sweep += 1u) {
        // The sweep before has turned nothing.
        if workgroupUniformLoad(&turned) < sweep {
            break;
        }
        for (var p = params.first_row; p < params.last_row; p += 1u) {
            for (var q = p + 1u; q < n; q += 1u) {
                let app = work[a + p * n + p];
                let aqq = work[a + q * n + q];
                let apq = work[a + p * n + q];
                // Everybody has read what is written below.
                storageBarrier();
                let least = EPSILON * sqrt(abs(app)) * sqrt(abs(aqq));
                if !(apq == 0.0 || abs(apq) <= least) {
                    let theta = (aqq - app) / (2.0 * apq);
                    let side = select(-1.0, 1.0, theta >= 0.0);
                    let tangent = side / (abs(theta) + sqrt(theta * theta + 1.0));
                    let cosine = 1.0 / sqrt(tangent * tangent + 1.0);
                    let sine = tangent * cosine;
                    for (var k = lane; k < n; k += 64u) {
                        if k != p && k != q {
                            let first = work[a + p * n + k];
                            let second = work[a + q * n + k];
                            let one = cosine * first - sine * second;
                            let other = sine * first + cosine * second;
                            work[a + p * n + k] = one;
                            work[a + k * n + p] = one;
                            work[a + q * n + k] = other;
                            work[a + k * n + q] = other;
                        }
                        let first = work[vectors + p * n + k];
                        let second = work[vectors + q * n + k];
                        work[vectors + p * n + k] = cosine * first - sine * second;
                        work[vectors + q * n + k] = sine * first + cosine * second;
                    }
                    if lane == 0u {
                        work[a + p * n + p] = app - tangent * apq;
                        work[a + q * n + q] = aqq + tangent * apq;
                        work[a + p * n + q] = 0.0;
                        work[a + q * n + p] = 0.0;
                        turned = sweep + 1u;
                    }
                }
                storageBarrier();
            }
        }
    }
    if lane == 0u {
        work[note] = f32(turned);
    }
}

// Writes values and vectors in order: the place of each value is the number of those
// before it.
fn sorted(matrix: u32, lane: u32) {
    let n = params.n;
    let a = matrix * 2u * n * n;
    let vectors = a + n * n;
    for (var i = lane; i < n; i += 64u) {
        let value = work[a + i * n + i];
        var rank = 0u;
        for (var j = 0u; j < n; j += 1u) {
            let other = work[a + j * n + j];
            let before = other < value || (is_nan(value) && !is_nan(other));
            let after = value < other || (is_nan(other) && !is_nan(value));
            if before || (!after && j < i) {
                rank += 1u;
            }
        }
        var most = 0.0;
        for (var k = 0u; k < n; k += 1u) {
            let v = work[vectors + i * n + k];
            most = select(most, v, abs(v) > abs(most));
        }
        let sign = select(1.0, -1.0, most < 0.0);
        let base = matrix * (n + 1u) * n;
        y[base + rank] = value;
        for (var k = 0u; k < n; k += 1u) {
            y[base + (rank + 1u) * n + k] = sign * work[vectors + i * n + k];
        }
    }
}
