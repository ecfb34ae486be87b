// The sum or the largest element over some dimensions.
//
// A workgroup takes 256 / LANES outputs, LANES invocations each. What is reduced is an
// innermost dimension, the run, and all others; a lane goes along the run by RUN steps
// at a time and through the others by LANES / RUN, so that only where a run begins has
// a place to be found by division, and with one other dimension not even there. Where
// the run is what lies together in memory, the lanes of an output are neighbours; where
// it is the outputs (the sums of columns, the second pass), ACROSS makes the outputs of
// a workgroup neighbours instead, so that either way neighbouring lanes read
// neighbours. Few outputs with much to add leave most of a device idle: then the host
// makes PARTS of each (workgroups in z), of `share` steps of the run or of the others,
// and a second pass over their results. A lane carries along what rounding loses
// (Neumaier), then lanes are added in a tree: the order depends on the shape alone. CPU
// twin: `reduce/scalar.rs`.

struct Params {
    outputs: u32,
    // Steps of the run, and its step in memory.
    run: u32,
    run_stride: u32,
    // How many runs an output has.
    others: u32,
    // Steps that a part makes: of the run where PARTS_OF_RUN, else of the others.
    share: u32,
    kept_rank: u32,
    others_rank: u32,
    // Where the results begin in y.
    begin: u32,
    // The bits of -∞.
    lowest: u32,
    kept_sizes: array<vec4<u32>, 2>,
    kept_strides: array<vec4<u32>, 2>,
    others_sizes: array<vec4<u32>, 2>,
    others_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Invocations an output, and how many of them go along the run: powers of two up to
// 256, the second no more than the first.
override LANES: u32 = 1u;
override RUN: u32 = 1u;
override ACROSS: bool = false;
override PARTS_OF_RUN: bool = false;
override LARGEST: bool = false;

var<workgroup> totals: array<f32, 256>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

fn kept_place(output: u32) -> u32 {
    if params.kept_rank == 1u {
        return output * params.kept_strides[0].x;
    }
    var rest = output;
    var place = 0u;
    for (var d = params.kept_rank; d > 0u; d -= 1u) {
        let size = params.kept_sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        place += (rest % size) * params.kept_strides[(d - 1u) / 4u][(d - 1u) % 4u];
        rest = rest / size;
    }
    return place;
}

fn others_place(step: u32) -> u32 {
    if params.others_rank <= 1u {
        return step * params.others_strides[0].x;
    }
    var rest = step;
    var place = 0u;
    for (var d = params.others_rank; d > 0u; d -= 1u) {
        let size = params.others_sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        place += (rest % size) * params.others_strides[(d - 1u) / 4u][(d - 1u) % 4u];
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
    let rows = 256u / LANES;
    let own = select(lane / LANES, lane % rows, ACROSS);
    let first = select(lane % LANES, lane / rows, ACROSS);
    let output = (group.y * groups.x + group.x) * rows + own;
    var runs = vec2<u32>(0u, params.others);
    var steps = vec2<u32>(0u, params.run);
    let begin = group.z * params.share;
    if PARTS_OF_RUN {
        steps = vec2<u32>(begin, min(begin + params.share, params.run));
    } else {
        runs = vec2<u32>(begin, min(begin + params.share, params.others));
    }
    var total = select(0.0, bitcast<f32>(params.lowest), LARGEST);
    var lost = 0.0;
    if output < params.outputs {
        let base = kept_place(output);
        for (var i = runs.x + first / RUN; i < runs.y; i += LANES / RUN) {
            let place = base + others_place(i);
            for (var step = steps.x + first % RUN; step < steps.y; step += RUN) {
                let value = x[place + step * params.run_stride];
                if LARGEST {
                    total = larger(total, value);
                } else {
                    let sum = total + value;
                    // What is lost of the smaller of the two; nothing where the sum is
                    // no number any more.
                    let small = select(
                        (value - sum) + total,
                        (total - sum) + value,
                        abs(total) >= abs(value),
                    );
                    lost += select(0.0, small, abs(sum) < 3e38);
                    total = sum;
                }
            }
        }
        total += lost;
    }
    if LANES > 1u {
        // From one lane of an output to the next.
        let apart = select(1u, rows, ACROSS);
        totals[lane] = total;
        for (var half = LANES / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if first < half {
                let other = lane + half * apart;
                if LARGEST {
                    totals[lane] = larger(totals[lane], totals[other]);
                } else {
                    totals[lane] += totals[other];
                }
            }
        }
        total = totals[lane];
    }
    if first == 0u && output < params.outputs {
        y[params.begin + group.z * params.outputs + output] = total;
    }
}
