// The adjoint of gathering where elements lie one behind the other: each element of y is
// what the picks with its index bring, added in their order.
//
// x is [outer, picks], y [outer, source]. In `scatter.wgsl` each element asks all picks,
// which for the gradient of a pooling of 64×64 pixels is a thousand reads an element. Here
// a workgroup has SLOTS elements of one outer index in workgroup memory, and its lanes go
// through the picks 256 at a time. Several may fall on one element; no atomic addition
// could tell in which order. So a chunk is done in rounds: every lane that has something
// to bring writes its number into the element's slot where it is the least (an atomic
// minimum: the same whatever the order), and who finds its own number there adds. The
// chunk is done when no lane has anything left: one round where windows do not overlap, as
// many as the most picks of one element at worst. Very many picks are gone through in
// several dispatches, each of which begins with what y has. On a software driver (llvmpipe, a two-core
// AVX-512 server) 1024 picks to 4096 elements, 512 times, take 79 ms, with `scatter.wgsl`
// 1943. CPU twin: `movement/scalar.rs`.

struct Params {
    outer: u32,
    source: u32,
    picks: u32,
    // Workgroups along the source.
    tiles: u32,
    // The picks of this dispatch, from one that 256 divides on.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const SLOTS = 1024u;
const NOBODY = 0xffffffffu;

var<workgroup> totals: array<f32, 1024>;
var<workgroup> least: array<atomic<u32>, 1024>;
// Lanes that still have something to bring, and that number for all to read.
var<workgroup> waiting: atomic<u32>;
var<workgroup> left: u32;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= params.outer * params.tiles {
        return;
    }
    let outer = number / params.tiles;
    let begin = number % params.tiles * SLOTS;
    let slots = min(SLOTS, params.source - begin);
    for (var slot = lane; slot < SLOTS; slot += 256u) {
        var total = 0.0;
        if params.first > 0u && slot < slots {
            total = y[outer * params.source + begin + slot];
        }
        totals[slot] = total;
        atomicStore(&least[slot], NOBODY);
    }
    if lane == 0u {
        atomicStore(&waiting, 0u);
    }
    for (var chunk = params.first; chunk < params.last; chunk += 256u) {
        let pick = chunk + lane;
        var slot = NOBODY;
        var value = 0.0;
        if pick < params.last {
            // Indices below the tile wrap around and lie beyond it.
            slot = index[outer * params.picks + pick] - begin;
            value = x[outer * params.picks + pick];
        }
        var brings = slot < slots;
        loop {
            workgroupBarrier();
            if brings {
                atomicMin(&least[slot], lane);
                atomicAdd(&waiting, 1u);
            }
            workgroupBarrier();
            if lane == 0u {
                left = atomicExchange(&waiting, 0u);
            }
            let mine = brings && atomicLoad(&least[slot]) == lane;
            if workgroupUniformLoad(&left) == 0u {
                break;
            }
            if mine {
                totals[slot] += value;
                atomicStore(&least[slot], NOBODY);
                brings = false;
            }
        }
    }
    workgroupBarrier();
    for (var slot = lane; slot < slots; slot += 256u) {
        y[outer * params.source + begin + slot] = totals[slot];
    }
}
