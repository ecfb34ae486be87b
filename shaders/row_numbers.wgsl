// What a step of an optimizer on rows multiplies by, for each of the steps that rows
// may have missed: the rate (Adam's over 1 - β₁ᵗ), 1 / √(1 - β₂ᵗ), and what decay
// leaves of a weight.
//
// One invocation a step, so that the update has no exponentials. Entry 0 is the step
// after `step` (UPDATE), or entry j is step - j (CATCH_UP, HISTORY of them). CPU twin:
// `rows/rule.rs`, `numbers`.

struct Params {
    // ln β of Adam's two moments; 0 where there is none.
    log_beta_1: f32,
    log_beta_2: f32,
    decay: f32,
    // Whether the rule corrects its moments.
    corrects: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// One rate, or that of step t at t mod HISTORY.
@group(0) @binding(1) var<storage, read> rates: array<f32>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const HISTORY = 256u;

override CATCH_UP: bool = false;

// 1 - e^v for v < 0: 1 - e^v = -(2^n·q + (2^n - 1)), q = e^r - 1; see `unary.wgsl`.
fn correction(log_beta: f32, t: f32) -> f32 {
    if log_beta == 0.0 {
        return 1.0;
    }
    let v = max(log_beta * t, -18.0);
    let n = round(v * 1.44269504);
    var r = fma(-n, 0.693147182, v);
    r = fma(-n, -1.9046542e-9, r);
    var p = fma(r, 1.3814542e-3, 8.368745e-3);
    p = fma(r, p, 4.166839e-2);
    p = fma(r, p, 1.6666521e-1);
    p = fma(r, p, 4.9999994e-1);
    let q = fma(r * r, p, r);
    let power = bitcast<f32>(u32(i32(n) + 127) << 23u);
    return -fma(power, q, power - 1.0);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var t = step[0] + 1u;
    var rate = rates[0];
    if CATCH_UP {
        if lane >= step[0] {
            // There is no such step.
            y[3u * lane] = 0.0;
            y[3u * lane + 1u] = 1.0;
            y[3u * lane + 2u] = 1.0;
            return;
        }
        t = step[0] - lane;
        rate = rates[t % HISTORY];
    } else if lane > 0u {
        return;
    }
    var root = 1.0;
    var corrected = rate;
    if params.corrects != 0u {
        corrected = rate / correction(params.log_beta_1, f32(t));
        root = 1.0 / sqrt(correction(params.log_beta_2, f32(t)));
    }
    y[3u * lane] = corrected;
    y[3u * lane + 1u] = root;
    y[3u * lane + 2u] = 1.0 - rate * params.decay;
}
