//! Philox4x32-10: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as
//! easy as 1, 2, 3*, SC 2011.
//!
//! A round multiplies two of the four counter words by constants to 64 bits;
//! the high halves are mixed by exclusive or with the other two words and the
//! round key, the low halves stand as they are. Either half can be undone, so
//! a round is a bijection. The key advances by Weyl constants (the golden
//! ratio and √3 − 1, as fractions of 2³²).

pub(super) const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
pub(super) const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
pub(super) const ROUNDS: usize = 10;

/// The block of four random words that belongs to `counter` under `key`.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p = u64::from(MULTIPLIERS[0]) * u64::from(a);
        let q = u64::from(MULTIPLIERS[1]) * u64::from(c);
        (a, b, c, d) = ((q >> 32) as u32 ^ b ^ k0, q as u32, (p >> 32) as u32 ^ d ^ k1, p as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

/// Names a sequence of random words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The seed of the run.
    pub seed: u64,
    /// Who draws: different for every random node of a program.
    pub stream: u64,
    /// When: the training step.
    pub step: u64,
}

impl Stream {
    /// The Philox key, `mix(mix(seed) + stream)` with a bijection `mix`: for a
    /// fixed seed one-to-one in the stream, for a fixed stream in the seed.
    pub fn key(&self) -> [u32; 2] {
        let key = mix(mix(self.seed).wrapping_add(self.stream));
        [key as u32, (key >> 32) as u32]
    }

    /// The counter of the block with elements `4·block..4·block + 4`.
    pub fn counter(&self, block: u64) -> [u32; 4] {
        let Stream { step, .. } = self;
        [block as u32, (block >> 32) as u32, *step as u32, (step >> 32) as u32]
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), in which every step
/// can be undone: a bijection of 64 bits.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Element `index` of the stream: 32 random bits.
pub fn bits(stream: &Stream, index: u64) -> u32 {
    philox4x32(stream.counter(index / 4), stream.key())[(index % 4) as usize]
}

/// Element `index` of the stream as a number in [0, 1): its upper 24 bits,
/// which is what an `f32` holds exactly, times 2⁻²⁴.
pub fn uniform(stream: &Stream, index: u64) -> f32 {
    unit(bits(stream, index))
}

#[inline(always)]
pub(super) fn unit(bits: u32) -> f32 {
    // Through `i32`, whose conversion is one instruction on every x86-64.
    (bits >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}
