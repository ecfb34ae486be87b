// The sum or the largest element over some dimensions.
//
// A workgroup takes as many outputs as it has rows of LANES invocations: where there
// is much to add and few outputs, a row is the whole group; where outputs are many
// and sums short, a row is one invocation. A lane adds every LANES-th value of its
// output, carrying along what rounding loses (Neumaier), then the lanes of a row are
// added in a tree: the order depends on the shape alone. Sizes and steps of the kept
// and of the reduced dimensions come from the host, outermost first. CPU twin:
// `reduce/scalar.rs`.

struct Params {
    outputs: u32,
    length: u32,
    kept_rank: u32,
    reduced_rank: u32,
    // The bits of -∞.
    lowest: u32,
    kept_sizes: array<vec4<u32>, 2>,
    kept_strides: array<vec4<u32>, 2>,
    reduced_sizes: array<vec4<u32>, 2>,
    reduced_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Invocations an output: a power of two up to 256.
override LANES: u32 = 1u;
override LARGEST: bool = false;

var<workgroup> totals: array<f32, 256>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

fn kept_place(output: u32) -> u32 {
    var rest = output;
    var place = 0u;
    for (var d = params.kept_rank; d > 0u; d -= 1u) {
        let size = params.kept_sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        place += (rest % size) * params.kept_strides[(d - 1u) / 4u][(d - 1u) % 4u];
        rest = rest / size;
    }
    return place;
}

fn reduced_place(step: u32) -> u32 {
    var rest = step;
    var place = 0u;
    for (var d = params.reduced_rank; d > 0u; d -= 1u) {
        let size = params.reduced_sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        place += (rest % size) * params.reduced_strides[(d - 1u) / 4u][(d - 1u) % 4u];
        rest = rest / size;
    }
    return place;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = (group.y * groups.x + group.x) * (256u / LANES) + lane / LANES;
    let first = lane % LANES;
    var total = select(0.0, bitcast<f32>(params.lowest), LARGEST);
    var lost = 0.0;
    if output < params.outputs {
        let base = kept_place(output);
        for (var step = first; step < params.length; step += LANES) {
            let value = x[base + reduced_place(step)];
            if LARGEST {
                total = larger(total, value);
            } else {
                let sum = total + value;
                // What is lost of the smaller of the two; nothing where the sum is no
                // number any more.
                let small = select(
                    (value - sum) + total,
                    (total - sum) + value,
                    abs(total) >= abs(value),
                );
                lost += select(0.0, small, abs(sum) < 3e38);
                total = sum;
            }
        }
        total += lost;
    }
    if LANES > 1u {
        totals[lane] = total;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                if LARGEST {
                    totals[lane] = larger(totals[lane], totals[lane + half]);
                } else {
                    totals[lane] += totals[lane + half];
                }
            }
        }
        total = totals[lane];
    }
    if first == 0u && output < params.outputs {
        y[output] = total;
    }
}
