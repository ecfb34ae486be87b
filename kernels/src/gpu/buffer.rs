//! Values on a GPU.

use super::device::{Gpu, GpuError, padded};
use std::fmt;
use std::sync::Arc;

/// Bytes that the host reads in one go: what is read passes through memory of the host's
/// own, of which there should not be as much again as of what is read.
const LANDING: u64 = 1 << 26;

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

    /// Reads the first bytes of each of several buffers of one device. The host waits
    /// once for every [`LANDING`] bytes, however many buffers these are of.
    ///
    /// # Errors
    /// The device failed.
    pub fn read_all(parts: &mut [(&Buffer, &mut [u8])]) -> Result<(), GpuError> {
        Buffer::read_by(parts, LANDING)
    }

    /// As [`Buffer::read_all`], with so many bytes at once: whole words of 8.
    fn read_by(parts: &mut [(&Buffer, &mut [u8])], most: u64) -> Result<(), GpuError> {
        let filled = |(_, into): &&(&Buffer, &mut [u8])| !into.is_empty();
        let bytes: u64 = parts.iter().filter(filled).map(|(_, into)| padded(into.len())).sum();
        let Some((first, _)) = parts.iter().find(filled) else { return Ok(()) };
        let gpu = Arc::clone(&first.gpu);
        let room = bytes.min(most).min(gpu.limits().buffer / 8 * 8);
        let landing = gpu.landing(room);
        gpu.check()?;
        // What lands together: number of the part, where in it, how many bytes.
        let mut together: Vec<(usize, u64, u64)> = Vec::new();
        let mut taken = 0;
        for number in 0..parts.len() {
            let length = if parts[number].1.is_empty() { 0 } else { padded(parts[number].1.len()) };
            let mut begin = 0;
            while begin < length {
                let piece = (length - begin).min(room - taken);
                together.push((number, begin, piece));
                (begin, taken) = (begin + piece, taken + piece);
                if taken == room {
                    gpu.land(&landing, &together, parts)?;
                    together.clear();
                    taken = 0;
                }
            }
        }
        gpu.land(&landing, &together, parts)
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

impl Gpu {
    /// Reads pieces of buffers by way of `landing`, which holds them all: of the part of
    /// that number, from there on, so many bytes.
    fn land(
        &self,
        landing: &wgpu::Buffer,
        pieces: &[(usize, u64, u64)],
        parts: &mut [(&Buffer, &mut [u8])],
    ) -> Result<(), GpuError> {
        if pieces.is_empty() {
            return Ok(());
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut place = 0;
        for (number, begin, bytes) in pieces {
            let from = &parts[*number].0.buffer;
            encoder.copy_buffer_to_buffer(from, *begin, landing, place, *bytes);
            place += bytes;
        }
        self.submit(encoder.finish());
        self.fetch(landing, place, |mut rest| {
            for (number, begin, bytes) in pieces {
                let (own, behind) = rest.split_at(*bytes as usize);
                let into = &mut parts[*number].1[*begin as usize..];
                let length = into.len().min(own.len());
                into[..length].copy_from_slice(&own[..length]);
                rest = behind;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_its_landing_comes_in_pieces() {
        let gpu = match Gpu::open(0, true) {
            Ok(gpu) => gpu,
            Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
                println!("skipped: reading in pieces, for there is no GPU");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        // Below, at and above what lands at once, and nothing at all.
        let lengths = [0, 3, 8, 24, 25, 0, 47, 48, 49, 200, 1, 0];
        let bytes = |number: usize, length: usize| -> Vec<u8> {
            (0..length).map(|i| (i * 7 + number * 31 + 1) as u8).collect()
        };
        let wanted: Vec<_> = lengths.iter().enumerate().map(|(i, n)| bytes(i, *n)).collect();
        let buffers: Vec<_> = lengths.map(|length| gpu.buffer(length).expect("a buffer")).into();
        buffers.iter().zip(&wanted).for_each(|(buffer, bytes)| buffer.write(bytes));
        for most in [8, 24, 48, 1 << 20] {
            let mut found: Vec<_> = lengths.map(|length| vec![0xff; length]).into();
            let parts = buffers.iter().zip(&mut found);
            let mut parts: Vec<_> = parts.map(|(own, into)| (own, into.as_mut_slice())).collect();
            let before = gpu.counts();
            Buffer::read_by(&mut parts, most).expect("the values");
            let submits = gpu.counts().submits - before.submits;
            assert_eq!(found, wanted, "{most} bytes at once");
            let all: u64 = lengths.iter().filter(|n| **n > 0).map(|n| padded(*n)).sum();
            assert_eq!(submits, all.div_ceil(most), "{most} bytes at once");
        }
    }
}
