// The gradients of attention for keys and values.
//
// A workgroup a key. The weight p and the gradient ds of the score of each query that
// meets it are made again, a lane a query, from what `attention.wgsl` noted of the
// query; then a lane a component adds over the queries in order. No two workgroups
// write one element, so no atomics are needed. CPU twin: `attention/scalar.rs`.

struct Params {
    queries: u32,
    keys: u32,
    size: u32,
    value: u32,
    scale: f32,
    causal: u32,
    // Workgroups in all.
    count: u32,
    // Where the gradients of keys and of values begin.
    keys_at: u32,
    values_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> c: array<f32>;
@group(0) @binding(5) var<storage, read> notes: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const LANES = 64u;
const MOST_QUERIES = 2000u;

var<workgroup> weights: array<f32, 2000>;
var<workgroup> gradients: array<f32, 2000>;

fn exponential(given: f32) -> f32 {
    let within = max(given, -104.0);
    let n = round(within * 1.44269504);
    var r = fma(-n, 0.693147182, within);
    r = fma(-n, -1.9046542e-9, r);
    var p = fma(r, 1.3814542e-3, 8.368745e-3);
    p = fma(r, p, 4.166839e-2);
    p = fma(r, p, 1.6666521e-1);
    p = fma(r, p, 4.9999994e-1);
    let value = fma(r * r, p, r) + 1.0;
    let half = i32(n) / 2;
    let rest = i32(n) - half;
    return value * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(rest + 127) << 23u);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= params.count {
        return;
    }
    let batch = number / params.keys;
    let key = number % params.keys;
    let first = select(0u, key, params.causal != 0u);
    let from_q = batch * params.queries;
    for (var query = first + lane; query < params.queries; query += LANES) {
        let at = from_q + query;
        var score = 0.0;
        for (var i = 0u; i < params.size; i += 1u) {
            score = fma(q[at * params.size + i], k[number * params.size + i], score);
        }
        var dp = 0.0;
        for (var i = 0u; i < params.value; i += 1u) {
            dp = fma(c[at * params.value + i], v[number * params.value + i], dp);
        }
        let p = exponential(score * params.scale - notes[at * 3u]) / notes[at * 3u + 1u];
        weights[query] = p;
        gradients[query] = p * (dp - notes[at * 3u + 2u]) * params.scale;
    }
    workgroupBarrier();
    for (var i = lane; i < params.size; i += LANES) {
        var result = 0.0;
        for (var query = first; query < params.queries; query += 1u) {
            result = fma(gradients[query], q[(from_q + query) * params.size + i], result);
        }
        y[params.keys_at + number * params.size + i] = result;
    }
    for (var i = lane; i < params.value; i += LANES) {
        var result = 0.0;
        for (var query = first; query < params.queries; query += 1u) {
            result = fma(weights[query], c[(from_q + query) * params.value + i], result);
        }
        y[params.values_at + number * params.value + i] = result;
    }
}
