// The same bits everywhere, or counting up.
//
// CPU twin: `convert/scalar.rs`, `iota`.

struct Params {
    count: u32,
    bits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

// 0, 1, 2 … as floats.
override COUNTS: bool = false;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    if i < params.count {
        y[i] = select(params.bits, bitcast<u32>(f32(i)), COUNTS);
    }
}
