//! Calls bound to buffers: what runs in a step, with nothing left to make.

use super::buffer::Buffer;
use super::call::Call;
use super::device::{Gpu, GpuError, Pipeline, padded};
use super::feed::Feed;
use std::sync::Arc;

/// One step of a plan.
pub enum PlanStep {
    /// A call, with the buffers of its operands in order.
    Call(Call, Vec<Buffer>),
    /// The first bytes of one buffer into another.
    Copy {
        /// From here.
        from: Buffer,
        /// To here.
        to: Buffer,
        /// How many.
        bytes: usize,
    },
}

enum Bound {
    Call { pipeline: Arc<Pipeline>, group: wgpu::BindGroup, groups: [u32; 3] },
    Copy { from: wgpu::Buffer, to: wgpu::Buffer, bytes: u64 },
}

/// What a plan's steps work on, from the host's side.
#[derive(Default)]
pub struct Ends<'a> {
    /// What the host gives: the first bytes of each buffer.
    pub inputs: &'a [(Buffer, usize)],
    /// What it reads after a run: likewise.
    pub outputs: &'a [(Buffer, usize)],
    /// Operations of a run, and bytes moved.
    pub work: f64,
}

/// Steps with their pipelines, bind groups and parameters, in order.
pub struct Plan {
    gpu: Arc<Gpu>,
    steps: Vec<Bound>,
    feed: Feed,
    /// Of the most work that a submission should hold.
    share: f64,
    /// What the host reads after a run: buffer, place in the landing buffer.
    outputs: Vec<(wgpu::Buffer, u64, u64)>,
    /// Room for the outputs of some runs, one behind the other.
    landing: wgpu::Buffer,
    bytes: u64,
    kept: usize,
}

/// Runs whose outputs are kept until the host looks at them, where they are small: it
/// need not wait for one run before it submits the next.
const MOST_KEPT: usize = 32;
/// Bytes of the room for them.
const LANDING: u64 = 1 << 20;

/// Runs in one submission, where they are small: a submission costs the host some tens
/// of microseconds, in which the device may run dry; more of them and it begins later.
const MOST_TOGETHER: usize = 8;
/// Operations and bytes in one submission of several runs: 0.1 s of a small GPU. Systems
/// take a GPU for hung whose submissions last for seconds.
const MOST_WORK: f64 = 1e10;

/// Steps timed in one submission: a query set has 4096 places at most.
const MOST_TIMED: usize = 2048;

/// Where the parameters of a call may begin.
const ALIGNMENT: usize = 256;

impl Plan {
    /// Binds `steps`.
    ///
    /// # Errors
    /// A shader that the device refuses, or no memory left.
    pub fn new(gpu: &Arc<Gpu>, steps: Vec<PlanStep>, ends: &Ends<'_>) -> Result<Self, GpuError> {
        let mut params = Vec::new();
        let mut offsets = Vec::new();
        for step in &steps {
            if let PlanStep::Call(call, _) = step {
                params.resize(params.len().next_multiple_of(ALIGNMENT), 0);
                offsets.push(params.len() as u64);
                params.extend_from_slice(&call.params);
            }
        }
        params.resize(params.len().max(16), 0);
        let uniform = gpu.uniform(&params);
        let mut offsets = offsets.into_iter();
        let mut bound = Vec::new();
        for step in steps {
            bound.push(match step {
                PlanStep::Copy { from, to, bytes } => {
                    Bound::Copy { from: from.buffer, to: to.buffer, bytes: padded(bytes) }
                }
                PlanStep::Call(call, buffers) => {
                    let pipeline = gpu.pipeline(&call);
                    let size = std::num::NonZeroU64::new(call.params.len() as u64);
                    let mut entries = vec![wgpu::BindGroupEntry {
                        binding: 0,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &uniform,
                            offset: offsets.next().unwrap_or_default(),
                            size,
                        }),
                    }];
                    for (buffer, binding) in buffers.iter().zip(1..) {
                        let resource = buffer.binding();
                        entries.push(wgpu::BindGroupEntry { binding, resource });
                    }
                    let group = gpu.bind(&pipeline, &entries);
                    Bound::Call { pipeline, group, groups: call.groups }
                }
            });
        }
        let mut bytes = 0;
        let mut read = Vec::new();
        for (buffer, length) in ends.outputs {
            let length = padded(*length);
            read.push((buffer.buffer.clone(), bytes, length));
            bytes += length;
        }
        let room = LANDING.min(gpu.limits().buffer);
        let kept = (room / bytes.max(8)).clamp(1, MOST_KEPT as u64) as usize;
        let landing = gpu.landing(bytes.max(8) * kept as u64);
        let share = (ends.work / MOST_WORK).clamp(1.0 / MOST_TOGETHER as f64, 1.0);
        let feed = Feed::new(gpu, ends.inputs, (1.0 / share).ceil() as usize);
        gpu.check()?;
        let gpu = Arc::clone(gpu);
        Ok(Plan { gpu, steps: bound, feed, share, outputs: read, landing, bytes, kept })
    }

    /// The runs whose outputs are kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Gives the bytes of an input to the runs from the next one on.
    pub fn give(&mut self, input: usize, bytes: &[u8]) {
        self.feed.give(input, bytes);
    }

    /// Makes one run, and the copies of the outputs to place `turn` of those kept. It is
    /// submitted together with others, at the latest when the host asks for something.
    pub fn run(&mut self, turn: usize) {
        let Plan { gpu, steps, feed, share, outputs, landing, bytes, .. } = self;
        feed.write();
        let number = gpu.record(*share, |encoder| {
            feed.enter(encoder);
            encode(encoder, steps);
            let begin = turn as u64 * *bytes;
            for (buffer, place, bytes) in outputs.iter() {
                encoder.copy_buffer_to_buffer(buffer, 0, landing, begin + *place, *bytes);
            }
        });
        feed.entered(number);
    }

    /// Runs once with a pass of its own for each call, and gives the seconds that each
    /// took on the device; `None` where it cannot take times.
    ///
    /// # Errors
    /// The device failed.
    pub fn run_timed(&mut self) -> Result<Option<Vec<f64>>, GpuError> {
        if !self.gpu.limits().timestamps {
            return Ok(None);
        }
        let Plan { gpu, feed, .. } = self;
        feed.write();
        let number = gpu.record(0.0, |encoder| feed.enter(encoder));
        feed.entered(number);
        let mut seconds = Vec::new();
        for steps in self.steps.chunks(MOST_TIMED) {
            seconds.extend(self.time(steps)?);
        }
        Ok(Some(seconds))
    }

    fn time(&self, steps: &[Bound]) -> Result<Vec<f64>, GpuError> {
        let count = 2 * steps.len() as u32;
        let device = &self.gpu.device;
        let times = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = u64::from(count) * 8;
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let landing = self.gpu.landing(bytes);
        let mut encoder = device.create_command_encoder(&Default::default());
        for (step, first) in steps.iter().zip((0..).step_by(2)) {
            let timed = wgpu::ComputePassTimestampWrites {
                query_set: &times,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            };
            let descriptor =
                wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(timed) };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            match step {
                Bound::Call { pipeline, group, groups: [x, y, z] } => {
                    pass.set_pipeline(&pipeline.pipeline);
                    pass.set_bind_group(0, group, &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                }
                Bound::Copy { from, to, bytes } => {
                    drop(pass);
                    encoder.copy_buffer_to_buffer(from, 0, to, 0, *bytes);
                }
            }
        }
        encoder.resolve_query_set(&times, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &landing, 0, bytes);
        self.gpu.submit(encoder.finish());
        let mut ticks = vec![0u64; count as usize];
        let into: &mut [u8] = bytemuck::cast_slice_mut(&mut ticks);
        self.gpu.fetch(&landing, bytes, |found| into.copy_from_slice(found))?;
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        let pairs = ticks.chunks_exact(2);
        Ok(pairs.map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period).collect())
    }

    /// The outputs of all runs that are kept, one after another, each padded to whole
    /// words.
    ///
    /// # Errors
    /// The device failed.
    pub fn outputs(&self) -> Result<Vec<u64>, GpuError> {
        let mut words = vec![0; self.bytes as usize / 8 * self.kept];
        if !words.is_empty() {
            let into: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            let bytes = into.len() as u64;
            self.gpu.fetch(&self.landing, bytes, |found| into.copy_from_slice(found))?;
        }
        Ok(words)
    }
}

/// Records steps: calls in a row are one pass.
fn encode(encoder: &mut wgpu::CommandEncoder, steps: &[Bound]) {
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.peek() {
        if let Bound::Copy { from, to, bytes } = step {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, *bytes);
            steps.next();
            continue;
        }
        let mut pass = encoder.begin_compute_pass(&Default::default());
        while let Some(Bound::Call { pipeline, group, groups: [x, y, z] }) = steps.peek() {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
            steps.next();
        }
    }
}
