// The mean and the variance of each channel, over all samples and pixels.
//
// A workgroup a channel and a part of the samples: a network has few channels, and one
// workgroup for each would leave most of a large GPU idle. Lanes go through the part's
// pixels with what rounding loses carried along, a tree adds the lanes; then once more
// for the squares of the differences to the part's mean, which a single walk would lose
// to cancellation, and which the cache still holds. JOINS makes of the parts' means mᵢ
// and squares Sᵢ of nᵢ values those of the whole: m = Σ nᵢ mᵢ / n and
// S = Σ Sᵢ + nᵢ (mᵢ - m)² (Chan, Golub and LeVeque), a lane a part, in order. CPU twin:
// `norm/scalar.rs`, `of_channel`.

struct Params {
    samples: u32,
    channels: u32,
    pixels: u32,
    // Samples of a part, and parts.
    share: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The values; for JOINS mean and squares of each part, [parts][2][channels].
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override JOINS: bool = false;

var<workgroup> joined: array<f32, 256>;

const LANES = 256u;

fn total_of(lane: u32, own: f32) -> f32 {
    joined[lane] = own;
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
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

// How many values a part has.
fn values(part: u32) -> f32 {
    let begin = part * params.share;
    return f32((min(begin + params.share, params.samples) - begin) * params.pixels);
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
    if JOINS {
        var own = 0.0;
        for (var part = lane; part < params.parts; part += 256u) {
            own = fma(values(part), x[2u * part * params.channels + channel], own);
        }
        let count = params.samples * params.pixels;
        let n = f32(count);
        let mean = select(total_of(lane, own) / n, 0.0, count == 0u);
        own = 0.0;
        for (var part = lane; part < params.parts; part += 256u) {
            let difference = x[2u * part * params.channels + channel] - mean;
            own += x[(2u * part + 1u) * params.channels + channel];
            own = fma(values(part) * difference, difference, own);
        }
        let squares = total_of(lane, own);
        if lane == 0u {
            y[channel] = mean;
            y[params.channels + channel] = select(squares / n, 0.0, count == 0u);
        }
        return;
    }
    let begin = group.z * params.share;
    let samples = min(begin + params.share, params.samples) - begin;
    // Lanes along the pixels, and where those are few from sample to sample, too.
    let count = samples * params.pixels;
    var own = 0.0;
    var lost = 0.0;
    for (var i = lane; i < count; i += 256u) {
        let sample = begin + i / params.pixels;
        let value = x[(sample * params.channels + channel) * params.pixels + i % params.pixels];
        let sum = own + value;
        let small = select((value - sum) + own, (own - sum) + value, abs(own) >= abs(value));
        lost += select(0.0, small, abs(sum) < 3e38);
        own = sum;
    }
    let n = f32(count);
    let mean = select(total_of(lane, own + lost) / n, 0.0, count == 0u);
    own = 0.0;
    for (var i = lane; i < count; i += 256u) {
        let sample = begin + i / params.pixels;
        let at = (sample * params.channels + channel) * params.pixels + i % params.pixels;
        let difference = x[at] - mean;
        own = fma(difference, difference, own);
    }
    let squares = total_of(lane, own);
    if lane == 0u {
        y[2u * group.z * params.channels + channel] = mean;
        y[(2u * group.z + 1u) * params.channels + channel] = squares;
    }
}
