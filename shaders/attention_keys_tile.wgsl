// The gradients of attention for keys and values, of short rows, 16 keys at a time.
//
// As `attention_keys.wgsl`, but 16 keys and their values stand in workgroup memory and go
// through the queries 16 at a time, so that what is read of queries and cotangents serves
// 16 keys and is read by neighbours. Four lanes share a key: each makes the weight p and
// the gradient ds of the score of four of the 16 queries, from what `attention_tile.wgsl`
// noted of these, and then every fourth component of both results. Queries come in order,
// and no two workgroups write one element. Rows of up to 32 components. Thousands of
// queries are gone through in several dispatches, each of which adds to what is there; see
// `attention_tile.wgsl`. CPU twin: `attention/scalar.rs`.

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
    // The queries of this dispatch.
    first: u32,
    last: u32,
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

// Keys of a workgroup, and queries at a time.
const TILE = 16u;
const MOST_SIZE = 32u;

// [TILE][MOST_SIZE + 1], [TILE][TILE + 1].
var<workgroup> own_k: array<f32, 528>;
var<workgroup> own_v: array<f32, 528>;
var<workgroup> some_q: array<f32, 528>;
var<workgroup> some_c: array<f32, 528>;
var<workgroup> weights: array<f32, 272>;
var<workgroup> gradients: array<f32, 272>;

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

// What a component of a query and its cotangent adds to those of a key and its value; of
// queries that do not meet the key it is not looked at.
fn one_of_queries(at: u32, component: u32, meets: bool, sums: vec2<f32>) -> vec2<f32> {
    let q_value = select(0.0, some_q[component], meets);
    let c_value = select(0.0, some_c[component], meets);
    return vec2<f32>(fma(gradients[at], q_value, sums.x), fma(weights[at], c_value, sums.y));
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
    let tiles = (params.keys + TILE - 1u) / TILE;
    let batch = number / tiles;
    let first = number % tiles * TILE;
    let own = lane / 4u;
    let part = lane % 4u;
    let key = first + own;
    let row_step = MOST_SIZE + 1u;
    for (var i = lane; i < TILE * MOST_SIZE; i += 64u) {
        let row = first + i / MOST_SIZE;
        let component = i % MOST_SIZE;
        var key_value = 0.0;
        var value = 0.0;
        if row < params.keys && component < params.size {
            key_value = k[row_at(1u, batch, row) + component];
        }
        if row < params.keys && component < params.value {
            value = v[row_at(2u, batch, row) + component];
        }
        own_k[i / MOST_SIZE * row_step + component] = key_value;
        own_v[i / MOST_SIZE * row_step + component] = value;
    }
    let at = own * (TILE + 1u);
    var of_key: array<f32, 8>;
    var of_value: array<f32, 8>;
    if params.first > 0u && key < params.keys {
        for (var j = 0u; j < 8u; j += 1u) {
            let component = part + 4u * j;
            if component < params.size {
                of_key[j] = y[row_at(4u, batch, key) + component];
            }
            if component < params.value {
                of_value[j] = y[row_at(5u, batch, key) + component];
            }
        }
    }
    // The tile's first key is the first that any of these queries meets; this one is met
    // from there on.
    let begin = max(params.first, select(0u, first, params.causal != 0u));
    let met_from = select(0u, key, params.causal != 0u);
    for (var block = begin; block < params.last; block += TILE) {
        workgroupBarrier();
        for (var i = lane; i < TILE * MOST_SIZE; i += 64u) {
            let row = block + i / MOST_SIZE;
            let component = i % MOST_SIZE;
            var query_value = 0.0;
            var cotangent = 0.0;
            if row < params.queries && component < params.size {
                query_value = q[row_at(0u, batch, row) + component];
            }
            if row < params.queries && component < params.value {
                cotangent = c[row_at(3u, batch, row) + component];
            }
            some_q[i / MOST_SIZE * row_step + component] = query_value;
            some_c[i / MOST_SIZE * row_step + component] = cotangent;
        }
        workgroupBarrier();
        for (var t = 0u; t < 4u; t += 1u) {
            let other = part + 4u * t;
            let query = block + other;
            var weight = 0.0;
            var gradient = 0.0;
            let meets = params.causal == 0u || key <= query;
            if query < params.queries && meets {
                var score = 0.0;
                let a = other * row_step;
                let b = own * row_step;
                // Zero from the size on.
                for (var i = 0u; i < params.size; i += 4u) {
                    score = fma(some_q[a + i], own_k[b + i], score);
                    score = fma(some_q[a + i + 1u], own_k[b + i + 1u], score);
                    score = fma(some_q[a + i + 2u], own_k[b + i + 2u], score);
                    score = fma(some_q[a + i + 3u], own_k[b + i + 3u], score);
                }
                var dp = 0.0;
                for (var i = 0u; i < params.value; i += 4u) {
                    dp = fma(some_c[a + i], own_v[b + i], dp);
                    dp = fma(some_c[a + i + 1u], own_v[b + i + 1u], dp);
                    dp = fma(some_c[a + i + 2u], own_v[b + i + 2u], dp);
                    dp = fma(some_c[a + i + 3u], own_v[b + i + 3u], dp);
                }
                let noted = 3u * (batch * params.queries + query);
                weight = exponential(score * params.scale - notes[noted]) / notes[noted + 1u];
                gradient = weight * (dp - notes[noted + 2u]) * params.scale;
            }
            weights[at + other] = weight;
            gradients[at + other] = gradient;
        }
        workgroupBarrier();
        for (var j = 0u; j < 8u; j += 1u) {
            var results = vec2<f32>(of_key[j], of_value[j]);
            for (var other = 0u; other < TILE; other += 4u) {
                let component = other * row_step + part + 4u * j;
                let query = block + other;
                results = one_of_queries(at + other, component, query >= met_from, results);
                results =
                    one_of_queries(at + other + 1u, component + row_step, query + 1u >= met_from, results);
                results = one_of_queries(
                    at + other + 2u, component + 2u * row_step, query + 2u >= met_from, results);
                results = one_of_queries(
                    at + other + 3u, component + 3u * row_step, query + 3u >= met_from, results);
            }
            of_key[j] = results.x;
            of_value[j] = results.y;
        }
    }
    if key < params.keys {
        for (var j = 0u; j < 8u; j += 1u) {
            let component = part + 4u * j;
            if component < params.size {
                y[row_at(4u, batch, key) + component] = of_key[j];
            }
            if component < params.value {
                y[row_at(5u, batch, key) + component] = of_value[j];
            }
        }
    }
}
