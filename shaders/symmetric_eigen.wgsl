// Eigenvalues and eigenvectors of symmetric matrices, by Jacobi's method.
//
// x is [count, n, n], of which the lower triangle is not read; y [count, n + 1, n] holds
// the eigenvalues, the smallest first, and below them the vectors as rows. A workgroup
// takes a matrix; rotations follow one another as on the CPU, and the lanes share the
// elements of the two rows and columns that one turns. Rotations of pairs that have no
// index in common could go side by side; but matrices here are preconditioners of a few
// hundred rows at most, decomposed now and then. Where the CPU computes in f64 this is
// f32. CPU twin: `eigen/scalar.rs`.

struct Params {
    count: u32,
    n: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// For each matrix what is left of it, and the vectors.
@group(0) @binding(2) var<storage, read_write> work: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// More sweeps than any matrix needs.
const SWEEPS: u32 = 20u;
const EPSILON: f32 = 1.1920929e-7;

// Whether a sweep turned anything.
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
    for (var at = lane; at < n * n; at += 64u) {
        let i = at / n;
        let j = at % n;
        work[a + at] = x[matrix * n * n + min(i, j) * n + max(i, j)];
        work[vectors + at] = select(0.0, 1.0, i == j);
    }
    storageBarrier();

    for (var sweep = 0u; sweep < SWEEPS; sweep += 1u) {
        if lane == 0u {
            turned = 0u;
        }
        workgroupBarrier();
        for (var p = 0u; p < n; p += 1u) {
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
                        turned = 1u;
                    }
                }
                storageBarrier();
            }
        }
        if workgroupUniformLoad(&turned) == 0u {
            break;
        }
    }

    // The place of each value is the number of those before it.
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
