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
    heads: u32,
    // Of queries, keys, values, cotangents, and gradients of keys and values; see
    // `attention.wgsl`.
    places: array<vec4<u32>, 6>,
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

fn row_at(which: u32, batch: u32, row: u32) -> u32 {
    let place = params.places[which];
    return place.x + batch / params.heads * place.y + batch % params.heads * place.z
        + row * place.w;
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// e^v for v ≤ 0; see `unary.wgsl`.
fn exponential(v: f32) -> f32 {
    if is_nan(v) {
        return v;
    }
    let within = max(v, -104.0);
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
    let noted = batch * params.queries;
    let from_k = row_at(1u, batch, key);
    let from_v = row_at(2u, batch, key);
    for (var query = first + lane; query < params.queries; query += LANES) {
        let at = noted + query;
        let from_q = row_at(0u, batch, query);
        let from_c = row_at(3u, batch, query);
        var score = 0.0;
        for (var i = 0u; i < params.size; i += 1u) {
            score = fma(q[from_q + i], k[from_k + i], score);
        }
        var dp = 0.0;
        for (var i = 0u; i < params.value; i += 1u) {
            dp = fma(c[from_c + i], v[from_v + i], dp);
        }
        let p = exponential(score * params.scale - notes[at * 3u]) / notes[at * 3u + 1u];
        weights[query] = p;
        gradients[query] = p * (dp - notes[at * 3u + 2u]) * params.scale;
    }
    workgroupBarrier();
    for (var i = lane; i < params.size; i += LANES) {
        var result = 0.0;
        for (var query = first; query < params.queries; query += 1u) {
            result = fma(gradients[query], q[row_at(0u, batch, query) + i], result);
        }
        y[row_at(4u, batch, key) + i] = result;
    }
    for (var i = lane; i < params.value; i += LANES) {
        var result = 0.0;
        for (var query = first; query < params.queries; query += 1u) {
            result = fma(weights[query], c[row_at(3u, batch, query) + i], result);
        }
        y[row_at(5u, batch, key) + i] = result;
    }
}
