// Attention: softmax(q kᵀ · scale) v, and what its gradient needs of each query.
//
// A workgroup a query. The scores of its keys are made 64 at a time, one a lane, and
// kept in workgroup memory; nothing of them is written out. With the largest and the
// sum at hand (trees over the lanes), FORWARD adds the values, a lane a component.
// QUERIES makes the gradient of the query and leaves (largest, sum, Σ p·dp) for
// `attention_keys.wgsl`. Keys beyond the workgroup memory are refused by the host.
// CPU twin: `attention/scalar.rs`.

struct Params {
    queries: u32,
    keys: u32,
    size: u32,
    value: u32,
    scale: f32,
    causal: u32,
    // The bits of -∞.
    lowest: u32,
    // Workgroups in all.
    count: u32,
    // Attentions whose rows lie between each other.
    heads: u32,
    // Of queries, keys, values, outputs (or their cotangents), and gradients of
    // queries: the first element, and the steps from sample to sample, from head to
    // head and from row to row.
    places: array<vec4<u32>, 5>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
// The cotangent of the output for QUERIES; else q once more.
@group(0) @binding(4) var<storage, read> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
// Three numbers a query for QUERIES; else not used.
@group(0) @binding(6) var<storage, read_write> notes: array<f32>;

const FORWARD = 0u;
const QUERIES = 1u;
const LANES = 64u;
const MOST_KEYS = 3840u;

override PASS: u32 = FORWARD;

var<workgroup> scores: array<f32, 3840>;
var<workgroup> joined: array<f32, 64>;

fn row_at(which: u32, batch: u32, row: u32) -> u32 {
    let place = params.places[which];
    return place.x + batch / params.heads * place.y + batch % params.heads * place.z
        + row * place.w;
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
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

fn total_of(lane: u32, own: f32) -> f32 {
    joined[lane] = own;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if lane < half {
            joined[lane] += joined[lane + half];
        }
    }
    workgroupBarrier();
    let total = joined[0];
    workgroupBarrier();
    return total;
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
    let batch = number / params.queries;
    let query = number % params.queries;
    let met = select(params.keys, min(params.keys, query + 1u), params.causal != 0u);
    let from_q = row_at(0u, batch, query);
    let from_k = row_at(1u, batch, 0u);
    let from_v = row_at(2u, batch, 0u);
    let step_k = params.places[1].w;
    let step_v = params.places[2].w;
    let from_c = row_at(3u, batch, query);

    var most = bitcast<f32>(params.lowest);
    for (var key = lane; key < met; key += LANES) {
        var score = 0.0;
        for (var i = 0u; i < params.size; i += 1u) {
            score = fma(q[from_q + i], k[from_k + key * step_k + i], score);
        }
        score *= params.scale;
        scores[key] = score;
        most = larger(most, score);
    }
    joined[lane] = most;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if lane < half {
            joined[lane] = larger(joined[lane], joined[lane + half]);
        }
    }
    workgroupBarrier();
    most = joined[0];
    workgroupBarrier();
    var own = 0.0;
    for (var key = lane; key < met; key += LANES) {
        let value = exponential(scores[key] - most);
        scores[key] = value;
        own += value;
    }
    let sum = total_of(lane, own);
    if PASS == FORWARD {
        for (var i = lane; i < params.value; i += LANES) {
            var result = 0.0;
            for (var key = 0u; key < met; key += 1u) {
                result = fma(scores[key], v[from_v + key * step_v + i], result);
            }
            y[from_c + i] = select(result / sum, 0.0, met == 0u);
        }
        return;
    }
    // p·dp of each key, dp = c · v; then ds = p (dp - Σ p dp).
    var met_own = 0.0;
    for (var key = lane; key < met; key += LANES) {
        var dp = 0.0;
        for (var i = 0u; i < params.value; i += 1u) {
            dp = fma(c[from_c + i], v[from_v + key * step_v + i], dp);
        }
        met_own += scores[key] / sum * dp;
    }
    let mean = total_of(lane, met_own);
    for (var key = lane; key < met; key += LANES) {
        var dp = 0.0;
        for (var i = 0u; i < params.value; i += 1u) {
            dp = fma(c[from_c + i], v[from_v + key * step_v + i], dp);
        }
        scores[key] = scores[key] / sum * (dp - mean);
    }
    workgroupBarrier();
    for (var i = lane; i < params.size; i += LANES) {
        var result = 0.0;
        for (var key = 0u; key < met; key += 1u) {
            result = fma(scores[key], k[from_k + key * step_k + i], result);
        }
        y[row_at(4u, batch, query) + i] = result * params.scale;
    }
    if lane == 0u {
        notes[number * 3u] = most;
        notes[number * 3u + 1u] = sum;
        notes[number * 3u + 2u] = mean;
    }
}
