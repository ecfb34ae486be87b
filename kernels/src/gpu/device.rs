//! A GPU: what there is, one opened for use, its pipelines and buffers.

use super::buffer::Buffer;
use super::cache::Cache;
use super::call::{Call, MOST_ROUNDS};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

/// A GPU that cannot be had, or that failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GpuError {
    /// No adapter at all.
    #[error("there is no GPU: no adapter for Vulkan, Metal or DirectX 12 was found")]
    None,
    /// No adapter of that number.
    #[error("there is no GPU {0}; there are {1}, numbered from 0 on (`speck list devices`)")]
    NoSuch(usize, usize),
    /// The adapter gives no device.
    #[error("the GPU `{0}` cannot be opened: {1}")]
    Closed(String, String),
    /// The device went away or reported an error.
    #[error(
        "the GPU `{0}` failed: {1}\na run goes on from its last checkpoint, there or with `--device \
         cpu`"
    )]
    Failed(String, String),
    /// There is not enough memory.
    #[error(
        "the GPU `{0}` is out of memory: {1}\na smaller batch or fewer `--jobs` may fit; a run goes on \
         from its last checkpoint, there or with `--device cpu`"
    )]
    Memory(String, String),
}

/// An adapter, for listings.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The maker's name.
    pub name: String,
    /// Whether it is a program on the CPU.
    pub software: bool,
    /// `Vulkan`, `Metal`, `Dx12`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
}

/// What a device allows, as far as plans depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one binding.
    pub binding: u64,
    /// Bytes of one buffer.
    pub buffer: u64,
    /// Subgroup operations may be used.
    pub subgroups: bool,
    /// Half-precision values may be used in shaders.
    pub f16: bool,
    /// Times on the device can be taken.
    pub timestamps: bool,
    /// It is a program on the processor.
    pub software: bool,
}

impl Limits {
    /// The rounds that an invocation can make in all its loops.
    pub fn rounds(&self) -> usize {
        if self.software { MOST_ROUNDS } else { usize::MAX }
    }
}

/// How often the device was asked for something that a steady step must not ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Buffers made.
    pub buffers: u64,
    /// Pipelines made.
    pub pipelines: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Submissions.
    pub submits: u64,
}

#[derive(Default)]
struct Counters {
    buffers: AtomicU64,
    pipelines: AtomicU64,
    bind_groups: AtomicU64,
    submits: AtomicU64,
}

/// A pipeline with the layout of its bind group.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Runs that are recorded and still to be submitted.
#[derive(Default)]
struct Waiting {
    encoder: Option<wgpu::CommandEncoder>,
    /// Of the most work that a submission should hold.
    share: f64,
    /// Submissions of recorded runs so far.
    number: u64,
}

/// Values of overrides, exactly: numbers by their bits.
type Key = (&'static str, Option<String>, Vec<(&'static str, u64)>);

/// Around the lines that a call brings along.
const MARKS: [&str; 2] = ["    // The chain begins.\n", "    // The chain ends.\n"];

/// An opened GPU. Cheap to share; pipelines made once serve all programs.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    name: String,
    limits: Limits,
    /// Shaders that were read, by their names.
    modules: Mutex<HashMap<(&'static str, Option<String>), wgpu::ShaderModule>>,
    pipelines: Mutex<HashMap<Key, Arc<Pipeline>>>,
    cache: Option<Cache>,
    counters: Counters,
    /// The submission before which it is lost.
    end: AtomicU64,
    waiting: Mutex<Waiting>,
    failure: Arc<Mutex<Option<GpuError>>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({})", self.name)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let made = self.counters.pipelines.load(Ordering::Relaxed) > 0;
        if let (Some(cache), true) = (&self.cache, made) {
            cache.save();
        }
    }
}

fn adapters() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY.with_env();
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    // A program on the CPU comes last: who names no number gets the fastest kind.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu => 1,
        wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    });
    adapters
}

impl Gpu {
    /// All adapters, in the order of their numbers.
    pub fn list() -> Vec<Adapter> {
        let describe = |adapter: &wgpu::Adapter| {
            let info = adapter.get_info();
            let software = info.device_type == wgpu::DeviceType::Cpu;
            let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
            Adapter { name: info.name, software, backend: info.backend.to_string(), driver }
        };
        adapters().iter().map(describe).collect()
    }

    /// Opens adapter `number` with all it offers, or, where `least`, with no more
    /// than every WebGPU device has.
    ///
    /// # Errors
    /// No such adapter, or it cannot be opened.
    pub fn open(number: usize, least: bool) -> Result<Arc<Gpu>, GpuError> {
        Gpu::open_within(number, least, [u64::MAX; 2])
    }

    /// As [`Gpu::open`], with bindings and buffers of no more than so many bytes. For
    /// tests of what becomes of larger values.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_within(
        number: usize,
        least: bool,
        [binding, buffer]: [u64; 2],
    ) -> Result<Arc<Gpu>, GpuError> {
        let adapters = adapters();
        let adapter = match adapters.get(number) {
            Some(adapter) => adapter,
            None if adapters.is_empty() => return Err(GpuError::None),
            None => return Err(GpuError::NoSuch(number, adapters.len())),
        };
        let info = adapter.get_info();
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let name = info.name;
        let wanted = wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE;
        let features = if least {
            adapter.features() & wgpu::Features::TIMESTAMP_QUERY
        } else {
            adapter.features() & wanted
        };
        let mut limits = if least { wgpu::Limits::default() } else { adapter.limits() };
        limits.max_buffer_size = limits.max_buffer_size.min(buffer);
        let bound = &mut limits.max_storage_buffer_binding_size;
        *bound = binding.min(*bound).min(limits.max_buffer_size);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("speck"),
            required_features: features,
            required_limits: limits.clone(),
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) =
            opened.map_err(|error| GpuError::Closed(name.clone(), error.to_string()))?;
        let failure = Arc::new(Mutex::new(None));
        let note = |failure: &Mutex<Option<GpuError>>, error| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        let (lost, own) = (Arc::clone(&failure), name.clone());
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device is no failure.
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&lost, GpuError::Failed(own.clone(), format!("it was lost: {message}")));
            }
        });
        let (wrong, own) = (Arc::clone(&failure), name.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let found = match error {
                wgpu::Error::OutOfMemory { source } => {
                    GpuError::Memory(own.clone(), source.to_string())
                }
                other => GpuError::Failed(own.clone(), other.to_string()),
            };
            note(&wrong, found);
        }));
        let cache = Cache::open(&device, &adapter.get_info());
        let limits = Limits {
            binding: limits.max_storage_buffer_binding_size,
            buffer: limits.max_buffer_size,
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            software,
        };
        Ok(Arc::new(Gpu {
            device,
            queue,
            name,
            limits,
            modules: Mutex::default(),
            pipelines: Mutex::default(),
            cache,
            counters: Counters::default(),
            end: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            failure,
        }))
    }

    /// The maker's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a program on the CPU.
    pub fn is_software(&self) -> bool {
        self.limits.software
    }

    /// What it allows.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What it was asked for so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            buffers: read(&self.counters.buffers),
            pipelines: read(&self.counters.pipelines),
            bind_groups: read(&self.counters.bind_groups),
            submits: read(&self.counters.submits),
        }
    }

    /// The first failure since it was opened.
    ///
    /// # Errors
    /// That failure.
    pub fn check(&self) -> Result<(), GpuError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().map_or(Ok(()), Err)
    }

    /// The pipeline of a call.
    pub(super) fn pipeline(&self, call: &Call) -> Arc<Pipeline> {
        let bits = call.overrides.iter().map(|(name, value)| (*name, value.to_bits())).collect();
        let key = (call.shader.name, call.lines.clone(), bits);
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pipelines.entry(key).or_insert_with(|| Arc::new(self.build(call))))
    }

    fn build(&self, call: &Call) -> Pipeline {
        let Call { shader, lines, overrides, .. } = call;
        self.counters.pipelines.fetch_add(1, Ordering::Relaxed);
        let label = Some(shader.name);
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = modules.entry((shader.name, lines.clone())).or_insert_with(|| {
            let parts = shader.source.split_once(MARKS[0]).zip(lines.as_ref());
            let text = parts.and_then(|((before, rest), lines)| {
                let (_, after) = rest.split_once(MARKS[1])?;
                Some([before, lines, after].concat())
            });
            let text = text.map_or(shader.source.into(), std::borrow::Cow::Owned);
            let source = wgpu::ShaderSource::Wgsl(text);
            self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source })
        });
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
        entries.extend(shader.writes.iter().zip(1..).map(|(written, binding)| {
            entry(binding, wgpu::BufferBindingType::Storage { read_only: !written })
        }));
        let descriptor = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
        let layout = self.device.create_bind_group_layout(&descriptor);
        let whole = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&whole),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: overrides,
                // Every kernel writes what it reads.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.cache.as_ref().map(|own| &own.cache),
        });
        Pipeline { pipeline, layout }
    }

    pub(super) fn bind(
        &self,
        pipeline: &Pipeline,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> wgpu::BindGroup {
        self.counters.bind_groups.fetch_add(1, Ordering::Relaxed);
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries,
        })
    }

    /// Submits commands, behind all that was recorded before.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) {
        self.flush();
        self.hand_over(commands);
    }

    fn hand_over(&self, commands: wgpu::CommandBuffer) {
        if self.counters.submits.fetch_add(1, Ordering::Relaxed) == self.end.load(Ordering::Relaxed)
        {
            self.device.destroy();
        }
        self.queue.submit([commands]);
    }

    /// Loses the device after so many more submissions. For tests of what becomes of a
    /// run then.
    pub fn lose_after(&self, submissions: u64) {
        self.end.store(self.counts().submits + submissions, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a run behind what was recorded before. All of it is submitted when the
    /// shares come to a whole, and before anything else is asked of the device, so that
    /// nobody can tell the difference. Gives the number of its submission.
    pub(super) fn record(&self, share: f64, run: impl FnOnce(&mut wgpu::CommandEncoder)) -> u64 {
        let mut waiting = self.waiting();
        let new = || self.device.create_command_encoder(&Default::default());
        run(waiting.encoder.get_or_insert_with(new));
        waiting.share += share;
        let number = waiting.number;
        if waiting.share >= 1.0 {
            self.release(&mut waiting);
        }
        number
    }

    fn release(&self, waiting: &mut Waiting) {
        if let Some(encoder) = waiting.encoder.take() {
            self.hand_over(encoder.finish());
            waiting.number += 1;
            waiting.share = 0.0;
        }
    }

    /// Submits what was recorded.
    pub(super) fn flush(&self) {
        self.release(&mut self.waiting());
    }

    /// Submits what was recorded if the submission of this number is still to come.
    pub(super) fn flush_until(&self, number: u64) {
        let mut waiting = self.waiting();
        if waiting.number <= number {
            self.release(&mut waiting);
        }
    }

    /// A buffer of at least `bytes` for values of programs, zeroed.
    ///
    /// # Errors
    /// More than the device can have in a buffer, or no memory left.
    pub fn buffer(self: &Arc<Self>, bytes: usize) -> Result<Buffer, GpuError> {
        let bytes = padded(bytes);
        if bytes > self.limits.buffer {
            let most = self.limits.buffer;
            let message = format!("a value of {bytes} bytes; {most} are the most in one buffer");
            return Err(GpuError::Memory(self.name.clone(), message));
        }
        self.counters.buffers.fetch_add(1, Ordering::Relaxed);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.check()?;
        Ok(Buffer::new(Arc::clone(self), buffer))
    }

    /// A buffer from which the host reads.
    pub(super) fn landing(&self, bytes: u64) -> wgpu::Buffer {
        self.counters.buffers.fetch_add(1, Ordering::Relaxed);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A buffer that is copied from.
    pub(super) fn room(&self, bytes: u64) -> wgpu::Buffer {
        self.counters.buffers.fetch_add(1, Ordering::Relaxed);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A buffer of parameters.
    pub(super) fn uniform(&self, bytes: &[u8]) -> wgpu::Buffer {
        self.counters.buffers.fetch_add(1, Ordering::Relaxed);
        self.device.create_buffer_init(&BufferInitDescriptor {
            label: None,
            contents: bytes,
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }

    /// Hands over the first bytes, whole words of 8, of a landing buffer that nothing
    /// writes any more.
    pub(super) fn fetch(
        &self,
        landing: &wgpu::Buffer,
        bytes: u64,
        take: impl FnOnce(&[u8]),
    ) -> Result<(), GpuError> {
        self.flush();
        let slice = landing.slice(..bytes);
        let (sender, receiver) = std::sync::mpsc::channel();
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // Nobody waits any more where the poll failed.
            let _ = sender.send(result.map_err(|error| error.to_string()));
        });
        let failed = |message: String| GpuError::Failed(self.name.clone(), message);
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|error| failed(error.to_string()))?;
        self.check()?;
        receiver.recv().map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        let mapped = slice.get_mapped_range().map_err(|error| failed(error.to_string()))?;
        take(&mapped);
        drop(mapped);
        landing.unmap();
        Ok(())
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// The device failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.flush();
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|error| GpuError::Failed(self.name.clone(), error.to_string()))?;
        self.check()
    }
}

/// Sizes and copies are multiples of 8 bytes (mapping wants 8, copies 4).
pub(super) fn padded(bytes: usize) -> u64 {
    bytes.max(8).next_multiple_of(8) as u64
}
