//! Values on a GPU.

use super::device::{Gpu, GpuError, padded};
use std::fmt;
use std::sync::Arc;

/// Values on a device.
#[derive(Clone)]
pub struct Buffer {
    pub(super) gpu: Arc<Gpu>,
    pub(super) buffer: wgpu::Buffer,
    /// Beginning and length of what is bound of it.
    bound: (u64, u64),
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes on {})", self.buffer.size(), self.gpu.name())
    }
}

impl Buffer {
    pub(super) fn new(gpu: Arc<Gpu>, buffer: wgpu::Buffer) -> Self {
        let bound = (0, buffer.size());
        Buffer { gpu, buffer, bound }
    }

    /// The same memory, of which calls see a piece only: `bytes` from `begin` on, where a
    /// binding may begin. Reading and writing from the host know nothing of it.
    pub fn piece(&self, begin: usize, bytes: usize) -> Buffer {
        let bytes = padded(bytes).min(self.buffer.size().saturating_sub(begin as u64));
        Buffer { bound: (begin as u64, bytes), ..self.clone() }
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        let (offset, size) = self.bound;
        let size = std::num::NonZeroU64::new(size);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.buffer, offset, size })
    }

    /// Whether it is on this device.
    pub fn is_on(&self, gpu: &Arc<Gpu>) -> bool {
        Arc::ptr_eq(&self.gpu, gpu)
    }

    /// Whether it is on the same device as another, which is not this one.
    pub fn is_beside(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.gpu, &other.gpu) && self.buffer != other.buffer
    }

    /// Writes its first bytes, before anything that is submitted afterwards.
    pub fn write(&self, bytes: &[u8]) {
        // The queue writes before what is submitted next: runs that were recorded are not
        // to see it.
        self.gpu.flush();
        let whole = bytes.len() / 4 * 4;
        if whole > 0 {
            self.gpu.queue.write_buffer(&self.buffer, 0, &bytes[..whole]);
        }
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.gpu.queue.write_buffer(&self.buffer, whole as u64, &last);
        }
    }

    /// Fills it with one byte, before anything that is submitted afterwards. For
    /// tests: it makes a copy on the host.
    pub fn fill(&self, byte: u8) {
        self.write(&vec![byte; self.buffer.size() as usize]);
    }

    /// Reads its first bytes, after all that was submitted.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self, into: &mut [u8]) -> Result<(), GpuError> {
        Buffer::read_all(&mut [(self, into)])
    }

    /// Reads the first bytes of each of several buffers of one device, in one
    /// submission: the host waits once.
    ///
    /// # Errors
    /// The device failed.
    pub fn read_all(parts: &mut [(&Buffer, &mut [u8])]) -> Result<(), GpuError> {
        let filled = |(_, into): &&(&Buffer, &mut [u8])| !into.is_empty();
        let bytes: u64 = parts.iter().filter(filled).map(|(_, into)| padded(into.len())).sum();
        let Some((first, _)) = parts.iter().find(filled) else { return Ok(()) };
        let gpu = Arc::clone(&first.gpu);
        let landing = gpu.landing(bytes);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut place = 0;
        for (buffer, into) in parts.iter().filter(filled) {
            let length = padded(into.len());
            encoder.copy_buffer_to_buffer(&buffer.buffer, 0, &landing, place, length);
            place += length;
        }
        gpu.submit(encoder.finish());
        let mut all = vec![0; bytes as usize];
        gpu.fetch(&landing, &mut all)?;
        let mut rest = all.as_slice();
        for (_, into) in parts.iter_mut().filter(|(_, into)| !into.is_empty()) {
            into.copy_from_slice(&rest[..into.len()]);
            rest = &rest[padded(into.len()) as usize..];
        }
        Ok(())
    }

    /// Exchanges the values of two buffers of one size on one device, before anything
    /// that is submitted afterwards.
    ///
    /// # Errors
    /// No memory left for one of them between.
    pub fn exchange(&self, other: &Buffer) -> Result<(), GpuError> {
        let bytes = self.buffer.size().min(other.buffer.size());
        let between = self.gpu.buffer(bytes as usize)?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (from, to) in [(self, &between), (other, self), (&between, other)] {
            encoder.copy_buffer_to_buffer(&from.buffer, 0, &to.buffer, 0, bytes);
        }
        self.gpu.submit(encoder.finish());
        self.gpu.check()
    }
}
