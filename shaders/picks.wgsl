// Rectangles of small images that stand for large ones, and the adjoint of that.
//
// Lists say which rows and columns of an image rectangles read; what is not in the
// image is beyond the border. Layouts are channels last. One invocation a value of the
// rectangles, or, for the adjoint, one a value of the images, which finds in lists of
// readers what has read it, so that it adds in a fixed order. CPU twin:
// `window/scalar.rs`.

struct Params {
    count: u32,
    height: u32,
    width: u32,
    channels: u32,
    kernel_height: u32,
    kernel_width: u32,
    // Rows and columns of rectangles.
    down: u32,
    across: u32,
    // The bits of what lies beyond the border.
    beyond: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// The rows, kernel_height for each row of rectangles, then the columns. For the adjoint
// where the readers of each row begin, the last's end, and the readers; then of columns.
@group(0) @binding(2) var<storage, read> reads: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override ADJOINT: bool = false;

fn picked(i: u32) -> f32 {
    let channel = i % params.channels;
    var rest = i / params.channels;
    let v = rest % params.kernel_width;
    rest = rest / params.kernel_width;
    let u = rest % params.kernel_height;
    rest = rest / params.kernel_height;
    let j = rest % params.across;
    rest = rest / params.across;
    let i_down = rest % params.down;
    let image = rest / params.down;
    let row = reads[i_down * params.kernel_height + u];
    let columns = params.down * params.kernel_height;
    let column = reads[columns + j * params.kernel_width + v];
    if row >= params.height || column >= params.width {
        return bitcast<f32>(params.beyond);
    }
    return x[((image * params.height + row) * params.width + column) * params.channels + channel];
}

fn gathered(i: u32) -> f32 {
    let channel = i % params.channels;
    let column = i / params.channels % params.width;
    let row = i / params.channels / params.width % params.height;
    let image = i / params.channels / params.width / params.height;
    let row_readers = params.height + 1u;
    let columns = row_readers + params.down * params.kernel_height;
    let column_readers = columns + params.width + 1u;
    var sum = 0.0;
    for (var own = reads[row]; own < reads[row + 1u]; own += 1u) {
        let r = reads[row_readers + own];
        let down = (image * params.down + r / params.kernel_height) * params.across;
        for (var other = reads[columns + column]; other < reads[columns + column + 1u]; other += 1u) {
            let c = reads[column_readers + other];
            let place = ((down + c / params.kernel_width) * params.kernel_height
                + r % params.kernel_height) * params.kernel_width + c % params.kernel_width;
            sum += x[place * params.channels + channel];
        }
    }
    return sum;
}

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
    if ADJOINT {
        y[i] = gathered(i);
    } else {
        y[i] = picked(i);
    }
}
