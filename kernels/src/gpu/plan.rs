//! Calls bound to buffers: what runs in a step, with nothing left to make.

use super::call::Call;
use super::device::{Buffer, Gpu, GpuError, Pipeline, padded};
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

/// Steps with their pipelines, bind groups and parameters, in order.
pub struct Plan {
    gpu: Arc<Gpu>,
    steps: Vec<Bound>,
    /// What the host reads after a run: buffer, place in the landing buffer.
    outputs: Vec<(wgpu::Buffer, u64, u64)>,
    landing: wgpu::Buffer,
    bytes: u64,
}

/// Where the parameters of a call may begin.
const ALIGNMENT: usize = 256;

impl Plan {
    /// Binds `steps`; the first bytes of each of `outputs` are read by the host after
    /// a run.
    ///
    /// # Errors
    /// A shader that the device refuses, or no memory left.
    pub fn new(
        gpu: &Arc<Gpu>,
        steps: Vec<PlanStep>,
        outputs: &[(Buffer, usize)],
    ) -> Result<Self, GpuError> {
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
                    let pipeline = gpu.pipeline(call.shader, &call.overrides);
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
                        let resource = buffer.buffer.as_entire_binding();
                        entries.push(wgpu::BindGroupEntry { binding, resource });
                    }
                    let group = gpu.bind(&pipeline, &entries);
                    Bound::Call { pipeline, group, groups: call.groups }
                }
            });
        }
        let mut bytes = 0;
        let mut read = Vec::new();
        for (buffer, length) in outputs {
            let length = padded(*length);
            read.push((buffer.buffer.clone(), bytes, length));
            bytes += length;
        }
        let landing = gpu.landing(bytes.max(8));
        gpu.check()?;
        Ok(Plan { gpu: Arc::clone(gpu), steps: bound, outputs: read, landing, bytes })
    }

    /// Submits one run, and the copies of the outputs if the host wants them.
    pub fn run(&self, outputs: bool) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut steps = self.steps.iter().peekable();
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
        if outputs {
            for (buffer, place, bytes) in &self.outputs {
                encoder.copy_buffer_to_buffer(buffer, 0, &self.landing, *place, *bytes);
            }
        }
        self.gpu.submit(encoder.finish());
    }

    /// The outputs of the last run that wanted them, one after another, each padded
    /// to whole words.
    ///
    /// # Errors
    /// The device failed.
    pub fn outputs(&self) -> Result<Vec<u64>, GpuError> {
        let mut words = vec![0; self.bytes as usize / 8];
        if !words.is_empty() {
            self.gpu.fetch(&self.landing, bytemuck::cast_slice_mut(&mut words))?;
        }
        Ok(words)
    }

    /// How many dispatches a run makes.
    pub fn calls(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Bound::Call { .. })).count()
    }
}
