//! The GPU side, through wgpu: a device, the shaders in `shaders/`, and plans of
//! their calls.
//!
//! A kernel of the GPU side is a function that gives [`Calls`] for loops of given
//! sizes; it stands in `gpu.rs` of its family's folder, beside the files for the
//! processor's instruction sets. [`Plan`] binds calls to buffers once and runs them
//! any number of times.

mod buffer;
mod cache;
mod call;
mod device;
mod feed;
mod peak;
mod plan;
mod shader;
mod split;
mod variants;

pub use buffer::Buffer;
pub use call::{
    Call, Calls, MOST_DIMS, MOST_GROUPS, MOST_ROUNDS, Operand, Parameters, Variant, dims, flag,
    linear, signed, size, spread, unless_empty,
};
pub(crate) use call::{ROUNDS, in_turn};
pub use device::{Adapter, Counts, Gpu, GpuError, Limits};
pub use peak::Peak;
pub use plan::{Ends, Plan, PlanStep};
pub use shader::*;
pub(crate) use split::{BUSY_GROUPS, BUSY_LANES, Split, tile_rows};
pub use variants::{FAMILIES, Family, PLAIN, When};
