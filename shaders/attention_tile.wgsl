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
// to 32 components, any number of keys: since Mesa's software driver ends loops after
// 65 535 rounds of all of them in an invocation, four products are made in a round, and
// where there are thousands of keys a dispatch goes through some of them and leaves what
// it has come to in `notes` and `y`. On a software driver (llvmpipe, a two-core AVX-512
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
    // The keys of this dispatch, and for QUERIES which walks it makes: 1 the first, 2 the
    // second, 3 both.
    first: u32,
    last: u32,
    walks: u32,
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
// Three numbers a query for QUERIES, and between dispatches.
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
    let a = own * (MOST_SIZE + 1u);
    let b = key * (MOST_SIZE + 1u);
    // Zero from the size on.
    for (var i = 0u; i < params.size; i += 4u) {
        score = fma(own_q[a + i], some_k[b + i], score);
        score = fma(own_q[a + i + 1u], some_k[b + i + 1u], score);
        score = fma(own_q[a + i + 2u], some_k[b + i + 2u], score);
        score = fma(own_q[a + i + 3u], some_k[b + i + 3u], score);
    }
    return score * params.scale;
}

// The gradient of its weight.
fn dp_of(own: u32, key: u32) -> f32 {
    var dp = 0.0;
    let a = own * (MOST_SIZE + 1u);
    let b = key * (MOST_SIZE + 1u);
    for (var i = 0u; i < params.value; i += 4u) {
        dp = fma(own_c[a + i], some_v[b + i], dp);
        dp = fma(own_c[a + i + 1u], some_v[b + i + 1u], dp);
        dp = fma(own_c[a + i + 2u], some_v[b + i + 2u], dp);
        dp = fma(own_c[a + i + 3u], some_v[b + i + 3u], dp);
    }
    return dp;
}

// The products of four weights or gradients of a query with what the keys have for a
// component; `met` of these keys are met, and what others have is not looked at.
fn four_of_values(at: u32, key: u32, component: u32, met: u32, sum: f32) -> f32 {
    let row = key * (MOST_SIZE + 1u) + component;
    let step = MOST_SIZE + 1u;
    var result = fma(weights[at], select(0.0, some_v[row], key < met), sum);
    result = fma(weights[at + 1u], select(0.0, some_v[row + step], key + 1u < met), result);
    result = fma(weights[at + 2u], select(0.0, some_v[row + 2u * step], key + 2u < met), result);
    return fma(weights[at + 3u], select(0.0, some_v[row + 3u * step], key + 3u < met), result);
}

fn four_of_keys(at: u32, key: u32, component: u32, met: u32, sum: f32) -> f32 {
    let row = key * (MOST_SIZE + 1u) + component;
    let step = MOST_SIZE + 1u;
    var result = fma(scores[at], select(0.0, some_k[row], key < met), sum);
    result = fma(scores[at + 1u], select(0.0, some_k[row + step], key + 1u < met), result);
    result = fma(scores[at + 2u], select(0.0, some_k[row + 2u * step], key + 2u < met), result);
    return fma(scores[at + 3u], select(0.0, some_k[row + 3u * step], key + 3u < met), result);
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
    // Keys that any query of the tile meets in this dispatch.
    let reached = select(params.keys, min(params.keys, first + TILE), params.causal != 0u);
    let last = min(reached, params.last);
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
    let mine = query < params.queries;
    let noted = 3u * (batch * params.queries + query);
    let from_y = row_at(select(4u, 3u, PASS == FORWARD), batch, query);
    let width = select(params.size, params.value, PASS == FORWARD);
    let ends = params.last >= params.keys;
    let first_walk = PASS == FORWARD || (params.walks & 1u) != 0u;
    // What dispatches before this one have come to.
    if mine && (params.first > 0u || !first_walk) {
        most = notes[noted];
        if part == 0u || !first_walk {
            sum = notes[noted + 1u];
            mean = notes[noted + 2u];
        }
    }
    if mine && params.first > 0u && (PASS == FORWARD || !first_walk) {
        for (var j = 0u; j < 8u; j += 1u) {
            let component = part + 4u * j;
            if component < width {
                results[j] = y[from_y + component];
            }
        }
    }
    let first_end = select(0u, last, first_walk);
    for (var block = params.first; block < first_end; block += TILE) {
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
            largest = larger(largest, scores[at + key]);
        }
        // A query that meets no key yet has nothing to scale.
        let scaled = select(exponential(most - largest), 0.0, most == bitcast<f32>(params.lowest));
        most = largest;
        sum *= scaled;
        mean *= scaled;
        for (var t = 0u; t < 4u; t += 1u) {
            let key = part + 4u * t;
            var weight = 0.0;
            // Scores of -∞ count for nothing as long as there is no other.
            if block + key < met && most != bitcast<f32>(params.lowest) {
                weight = exponential(scores[at + key] - most);
                if PASS == QUERIES {
                    mean = fma(weight, dp_of(own, key), mean);
                }
            }
            sum += weight;
            if PASS == FORWARD {
                weights[at + key] = weight;
            }
        }
        if PASS == FORWARD {
            workgroupBarrier();
            for (var j = 0u; j < 8u; j += 1u) {
                var result = results[j] * scaled;
                for (var key = 0u; key < TILE; key += 4u) {
                    let own_met = max(met, block) - block;
                    result = four_of_values(at + key, key, part + 4u * j, own_met, result);
                }
                results[j] = result;
            }
        }
    }
    if first_walk {
        // Of all keys.
        workgroupBarrier();
        scores[at + part] = sum;
        weights[at + part] = mean;
        workgroupBarrier();
        sum = scores[at] + scores[at + 1u] + scores[at + 2u] + scores[at + 3u];
        mean = weights[at] + weights[at + 1u] + weights[at + 2u] + weights[at + 3u];
        if ends {
            mean /= sum;
        }
        // What FORWARD has in the end, nobody asks for.
        if mine && part == 0u && (PASS == QUERIES || !ends) {
            notes[noted] = most;
            notes[noted + 1u] = sum;
            notes[noted + 2u] = mean;
        }
    }
    if PASS == FORWARD {
        for (var j = 0u; j < 8u; j += 1u) {
            let component = part + 4u * j;
            if mine && component < width {
                let whole = select(results[j] / sum, 0.0, met == 0u);
                y[from_y + component] = select(results[j], whole, ends);
            }
        }
        return;
    }
    if (params.walks & 2u) == 0u {
        return;
    }
    for (var block = params.first; block < last; block += TILE) {
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
            var result = results[j];
            for (var key = 0u; key < TILE; key += 4u) {
                let own_met = max(met, block) - block;
                result = four_of_keys(at + key, key, part + 4u * j, own_met, result);
            }
            results[j] = result;
        }
    }
    for (var j = 0u; j < 8u; j += 1u) {
        let component = part + 4u * j;
        if mine && component < width {
            y[from_y + component] = select(results[j], results[j] * params.scale, ends);
        }
    }
}
