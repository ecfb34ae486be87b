// Sums of rows of weights over classes of positions.
//
// Lists made by the host say which positions are of a class. A list is walked in parts
// of PART positions by one invocation each, neighbours along the row; a second pass
// (ADDS) adds the parts of a class in order. A first version went over all positions
// for each class, with a tree over lanes at the end: 0.7 s for a layer of 8192 × 128
// on a software driver, where this takes a hundredth. Where rows are not wanted the
// sums are zero. CPU twin: `rows/scalar.rs`.

struct Params {
    count: u32,
    channels: u32,
    outputs: u32,
    stride: u32,
    // Parts of all lists; for ADDS classes.
    parts: u32,
    // Whether the sums are wanted whatever `wanted` says.
    always: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The rows; for ADDS the parts' sums.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<u32>;
// Where each part's positions begin, and the last's end, then the positions; for ADDS
// where each class's parts begin, and the last's end.
@group(0) @binding(3) var<storage, read> lists: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const PART = 64u;

override ADDS: bool = false;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i >= params.count {
        return;
    }
    let output = i % params.outputs;
    let channel = i / params.outputs % params.channels;
    let part = i / params.outputs / params.channels;
    var total = 0.0;
    var lost = 0.0;
    if params.always != 0u || wanted[0] != 0u {
        for (var entry = lists[part]; entry < lists[part + 1u]; entry += 1u) {
            var row = entry;
            if !ADDS {
                row = lists[params.parts + 1u + entry];
            }
            let value = x[(row * params.channels + channel) * params.stride + output];
            let sum = total + value;
            let small =
                select((value - sum) + total, (total - sum) + value, abs(total) >= abs(value));
            lost += select(0.0, small, abs(sum) < 3e38);
            total = sum;
        }
    }
    y[i] = total + lost;
}
