// The mean and the variance of each channel, over all samples and pixels.
//
// A workgroup a channel. Lanes go through its pixels with what rounding loses carried
// along, a tree adds the lanes; then once more for the squares of the differences to
// the mean, which a single walk would lose to cancellation. CPU twin:
// `norm/scalar.rs`, `of_channel`.

struct Params {
    samples: u32,
    channels: u32,
    pixels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> joined: array<f32, 256>;

fn total_of(lane: u32, own: f32) -> f32 {
    joined[lane] = own;
    for (var half = 128u; half > 0u; half = half / 2u) {
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

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = group.y * groups.x + group.x;
    if channel >= params.channels {
        return;
    }
    let count = params.samples * params.pixels;
    var own = 0.0;
    var lost = 0.0;
    for (var i = lane; i < count; i += 256u) {
        let at = (i / params.pixels * params.channels + channel) * params.pixels;
        let value = x[at + i % params.pixels];
        let sum = own + value;
        let small = select((value - sum) + own, (own - sum) + value, abs(own) >= abs(value));
        lost += select(0.0, small, abs(sum) < 3e38);
        own = sum;
    }
    let n = f32(count);
    let mean = select(total_of(lane, own + lost) / n, 0.0, count == 0u);
    own = 0.0;
    for (var i = lane; i < count; i += 256u) {
        let at = (i / params.pixels * params.channels + channel) * params.pixels;
        let difference = x[at + i % params.pixels] - mean;
        own = fma(difference, difference, own);
    }
    let squares = total_of(lane, own);
    if lane == 0u {
        y[channel] = mean;
        y[params.channels + channel] = select(squares / n, 0.0, count == 0u);
    }
}
