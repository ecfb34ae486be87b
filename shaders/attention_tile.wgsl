// Attention for short rows: softmax(q kᵀ · scale) v, and what its gradient needs of each
// query, 16 queries at a time.
//
// In `attention.wgsl` a workgroup has one query and reads all keys and values for it,
// and the lanes of a step read as many rows, of each four bytes. Here 16 queries stand in
// workgroup memory and go through the keys 16 at a time, so that what is read of keys and
// values serves 16 queries and is read by neighbours. Four lanes share a query: each
// makes four of its 16 scores, and then every fourth component of its result. The largest
// score is not known before the last key; where it grows, what was added up so far is
// scaled by e^(old - new) (Milakov and Gimelshein's online softmax), so that FORWARD goes
// through the keys once. QUERIES does so twice: for the largest, the sum and Σ p·dp, which
// it leaves for `attention_keys_tile.wgsl`, and for the gradient of the query. Rows of up
// to 32 components, any number of keys. On a software driver (llvmpipe, a two-core AVX-512
// server), which has no banks and no lines to share, 256 attentions of 64 rows of 32 take
// 203 ms instead of 235. CPU twin: `attention/scalar.rs`.

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
// Queries of a workgroup, and keys at a time.
const TILE = 16u;
const MOST_SIZE = 32u;

override PASS: u32 = FORWARD;

// [TILE][MOST_SIZE + 1], [TILE][TILE + 1]: the gaps keep lanes in different banks.
var<workgroup> own_q: array<f32, 528>;
var<workgroup> own_c: array<f32, 528>;
var<workgroup> some_k: array<f32, 528>;
var<workgroup> some_v: array<f32, 528>;
var<workgroup> scores: array<f32, 272>;
var<workgroup> weights: array<f32, 272>;

fn row_at(which: u32, batch: u32, row: u32) -> u32 {
    let place = params.places[which];
    return place.x + batch / params.heads * place.y + batch % params.heads * place.z
        + row * place.w;
}

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

// Copies 16 keys and values from `first` on; zero beyond the last.
fn fetch(batch: u32, first: u32, lane: u32) {
    for (var i = lane; i < TILE * MOST_SIZE; i += 64u) {
        let row = first + i / MOST_SIZE;
        let component = i % MOST_SIZE;
        let to = i / MOST_SIZE * (MOST_SIZE + 1u) + component;
        var key = 0.0;
        var value = 0.0;
        if row < params.keys && component < params.size {
            key = k[row_at(1u, batch, row) + component];
        }
        if row < params.keys && component < params.value {
            value = v[row_at(2u, batch, row) + component];
        }
        some_k[to] = key;
        some_v[to] = value;
    }
}

// The score of a query of the tile and a key of those fetched.
fn score_of(own: u32, key: u32) -> f32 {
    var score = 0.0;
    for (var i = 0u; i < params.size; i += 1u) {
        score = fma(own_q[own * (MOST_SIZE + 1u) + i], some_k[key * (MOST_SIZE + 1u) + i], score);
    }
    return score * params.scale;
}

// The gradient of its weight.
fn dp_of(own: u32, key: u32) -> f32 {
    var dp = 0.0;
    for (var i = 0u; i < params.value; i += 1u) {
        dp = fma(own_c[own * (MOST_SIZE + 1u) + i], some_v[key * (MOST_SIZE + 1u) + i], dp);
    }
    return dp;
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
    let tiles = (params.queries + TILE - 1u) / TILE;
    let batch = number / tiles;
    let first = number % tiles * TILE;
    let own = lane / 4u;
    let part = lane % 4u;
    let query = first + own;
    let met = select(params.keys, min(params.keys, query + 1u), params.causal != 0u);
    // Keys that any query of the tile meets.
    let last = select(params.keys, min(params.keys, first + TILE), params.causal != 0u);
    for (var i = lane; i < TILE * MOST_SIZE; i += 64u) {
        let row = first + i / MOST_SIZE;
        let component = i % MOST_SIZE;
        let to = i / MOST_SIZE * (MOST_SIZE + 1u) + component;
        var query_value = 0.0;
        var cotangent = 0.0;
        if row < params.queries && component < params.size {
            query_value = q[row_at(0u, batch, row) + component];
        }
        if PASS == QUERIES && row < params.queries && component < params.value {
            cotangent = c[row_at(3u, batch, row) + component];
        }
        own_q[to] = query_value;
        own_c[to] = cotangent;
    }
    let at = own * (TILE + 1u);
    var most = bitcast<f32>(params.lowest);
    // Of this lane's keys.
    var sum = 0.0;
    var mean = 0.0;
    var results: array<f32, 8>;
    for (var block = 0u; block < last; block += TILE) {
        workgroupBarrier();
        fetch(batch, block, lane);
        workgroupBarrier();
        for (var t = 0u; t < 4u; t += 1u) {
            let key = part + 4u * t;
            let score = score_of(own, key);
            scores[at + key] = select(bitcast<f32>(params.lowest), score, block + key < met);
        }
        workgroupBarrier();
        var largest = most;
        for (var key = 0u; key < TILE; key += 1u) {
            largest = max(largest, scores[at + key]);
        }
        // A query that meets no key yet has nothing to scale.
        let scaled = select(exponential(most - largest), 0.0, most == bitcast<f32>(params.lowest));
        most = largest;
        sum *= scaled;
        mean *= scaled;
        for (var t = 0u; t < 4u; t += 1u) {
            let key = part + 4u * t;
            var weight = 0.0;
            if block + key < met {
                weight = exponential(scores[at + key] - most);
            }
            sum += weight;
            if PASS == QUERIES {
                mean = fma(weight, dp_of(own, key), mean);
            } else {
                weights[at + key] = weight;
            }
        }
        if PASS == FORWARD {
            workgroupBarrier();
            for (var j = 0u; j < 8u; j += 1u) {
                var result = results[j] * scaled;
                for (var key = 0u; key < TILE; key += 1u) {
                    let value = some_v[key * (MOST_SIZE + 1u) + part + 4u * j];
                    result = fma(weights[at + key], value, result);
                }
                results[j] = result;
            }
        }
    }
    // Of all keys.
    workgroupBarrier();
    scores[at + part] = sum;
    weights[at + part] = mean;
    workgroupBarrier();
    sum = scores[at] + scores[at + 1u] + scores[at + 2u] + scores[at + 3u];
    mean = (weights[at] + weights[at + 1u] + weights[at + 2u] + weights[at + 3u]) / sum;
    if PASS == FORWARD {
        if query < params.queries {
            for (var j = 0u; j < 8u; j += 1u) {
                let component = part + 4u * j;
                if component < params.value {
                    let to = row_at(3u, batch, query) + component;
                    y[to] = select(results[j] / sum, 0.0, met == 0u);
                }
            }
        }
        return;
    }
    for (var block = 0u; block < last; block += TILE) {
        workgroupBarrier();
        fetch(batch, block, lane);
        workgroupBarrier();
        for (var t = 0u; t < 4u; t += 1u) {
            let key = part + 4u * t;
            var gradient = 0.0;
            if block + key < met {
                let weight = exponential(score_of(own, key) - most) / sum;
                gradient = weight * (dp_of(own, key) - mean);
            }
            scores[at + key] = gradient;
        }
        workgroupBarrier();
        for (var j = 0u; j < 8u; j += 1u) {
            for (var key = 0u; key < TILE; key += 1u) {
                let value = some_k[key * (MOST_SIZE + 1u) + part + 4u * j];
                results[j] = fma(scores[at + key], value, results[j]);
            }
        }
    }
    if query < params.queries {
        for (var j = 0u; j < 8u; j += 1u) {
            let component = part + 4u * j;
            if component < params.size {
                y[row_at(4u, batch, query) + component] = results[j] * params.scale;
            }
        }
        if part == 0u {
            let to = 3u * (batch * params.queries + query);
            notes[to] = most;
            notes[to + 1u] = sum;
            notes[to + 2u] = mean;
        }
    }
}
