//! What the host gives to runs before they are submitted.
//!
//! The queue writes a buffer before whatever is submitted next, so a run that waits for
//! its submission would see what is meant for the one behind it. Each of the runs that
//! wait together finds its inputs in a place of its own, and a run begins with copies
//! from there.

use super::buffer::Buffer;
use super::device::{Gpu, padded};
use std::sync::Arc;

/// Bytes of the inputs of a run that wait in a place of their own; larger ones, whose
/// copies would cost more than a submission, are written in front of it.
const MOST_WAITING: u64 = 1 << 18;

struct Input {
    buffer: Buffer,
    /// Where it begins in a place, and its bytes.
    begin: u64,
    bytes: u64,
    /// Whether it was given since the last run.
    given: bool,
}

/// The places for the inputs of runs, one behind the other.
struct Ring {
    buffer: wgpu::Buffer,
    /// The inputs as they are now.
    now: Vec<u8>,
    /// For each place, the number of the submission of the last run that read it.
    readers: Vec<Option<u64>>,
    /// Of the next run.
    next: usize,
}

pub(super) struct Feed {
    gpu: Arc<Gpu>,
    inputs: Vec<Input>,
    ring: Option<Ring>,
}

impl Feed {
    /// For the first bytes of each of `inputs`, and `places` runs that wait together.
    pub fn new(gpu: &Arc<Gpu>, inputs: &[(Buffer, usize)], places: usize) -> Self {
        let mut whole = 0;
        let mut own = Vec::new();
        for (buffer, bytes) in inputs {
            let bytes = padded(*bytes);
            own.push(Input { buffer: buffer.clone(), begin: whole, bytes, given: false });
            whole += bytes;
        }
        let small = whole > 0 && whole <= MOST_WAITING && places > 1;
        let small = small && whole * places as u64 <= gpu.limits().buffer;
        let ring = small.then(|| Ring {
            buffer: gpu.room(whole * places as u64),
            now: vec![0; whole as usize],
            readers: vec![None; places],
            next: 0,
        });
        Feed { gpu: Arc::clone(gpu), inputs: own, ring }
    }

    /// Takes the bytes of an input for the runs from the next one on.
    pub fn give(&mut self, input: usize, bytes: &[u8]) {
        let input = &mut self.inputs[input];
        match &mut self.ring {
            Some(ring) => {
                ring.now[input.begin as usize..][..bytes.len()].copy_from_slice(bytes);
                input.given = true;
            }
            None => input.buffer.write(bytes),
        }
    }

    /// Hands what was given to the queue.
    pub fn write(&mut self) {
        let Some(ring) = &self.ring else { return };
        let mut given = self.inputs.iter().filter(|input| input.given);
        let Some(first) = given.next() else { return };
        let end =
            given.next_back().map_or(first.begin + first.bytes, |last| last.begin + last.bytes);
        if let Some(number) = ring.readers[ring.next] {
            self.gpu.flush_until(number);
        }
        let place = (ring.next * ring.now.len()) as u64;
        let bytes = &ring.now[first.begin as usize..end as usize];
        self.gpu.queue.write_buffer(&ring.buffer, place + first.begin, bytes);
    }

    /// Records the copies at the beginning of a run.
    pub fn enter(&self, encoder: &mut wgpu::CommandEncoder) {
        let Some(ring) = &self.ring else { return };
        let place = (ring.next * ring.now.len()) as u64;
        for input in self.inputs.iter().filter(|input| input.given) {
            let Input { buffer, begin, bytes, .. } = input;
            encoder.copy_buffer_to_buffer(&ring.buffer, place + begin, &buffer.buffer, 0, *bytes);
        }
    }

    /// Says in which submission the run is.
    pub fn entered(&mut self, number: u64) {
        let Some(ring) = &mut self.ring else { return };
        if self.inputs.iter().any(|input| input.given) {
            ring.readers[ring.next] = Some(number);
            ring.next = (ring.next + 1) % ring.readers.len();
            self.inputs.iter_mut().for_each(|input| input.given = false);
        }
    }
}
