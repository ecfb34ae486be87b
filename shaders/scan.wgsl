// Running totals along an axis, from either end.
//
// x is [outer, length, inner]; one invocation a line adds in order and carries along
// what rounding loses, for the CPU adds in f64. A very long line is gone through in several
// dispatches, and what it has come to waits in `notes`. CPU twin: `scan/scalar.rs`.

struct Params {
    lines: u32,
    length: u32,
    inner: u32,
    reverse: u32,
    // The steps of this dispatch.
    first: u32,
    last: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
// The total of each line and what it has lost, where there are several dispatches.
@group(0) @binding(3) var<storage, read_write> notes: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = (group.y * groups.x + group.x) * 64u + lane;
    if line >= params.lines {
        return;
    }
    let base = line / params.inner * params.length * params.inner + line % params.inner;
    var total = 0.0;
    var lost = 0.0;
    if params.first > 0u {
        total = notes[2u * line];
        lost = notes[2u * line + 1u];
    }
    for (var step = params.first; step < params.last; step += 1u) {
        let l = select(step, params.length - 1u - step, params.reverse != 0u);
        let value = x[base + l * params.inner];
        let sum = total + value;
        let small = select((value - sum) + total, (total - sum) + value, abs(total) >= abs(value));
        lost += select(0.0, small, abs(sum) < 3e38);
        total = sum;
        y[base + l * params.inner] = total + lost;
    }
    if params.last < params.length {
        notes[2u * line] = total;
        notes[2u * line + 1u] = lost;
    }
}
