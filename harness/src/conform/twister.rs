//! The Mersenne Twister of PyTorch's CPU generator.
//!
//! The reference's samples of an operator that drops at random were computed
//! right after `manual_seed(42)`, which is part of their definition in
//! PyTorch's operator database. What was dropped is nowhere in a file; it
//! follows from the seed.

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// MT19937 (Matsumoto and Nishimura, "Mersenne Twister", 1998).
pub(super) struct Twister {
    state: [u32; WORDS],
    next: usize,
}

impl Twister {
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for i in 1..WORDS {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Twister { state, next: WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            for i in 0..WORDS {
                let (high, low) = (self.state[i], self.state[(i + 1) % WORDS]);
                let both = (high & 0x8000_0000) | (low & 0x7fff_ffff);
                let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + MIDDLE) % WORDS] ^ (both >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A draw in [0, 1) in double precision: the low 53 of the bits of two
    /// words, the first of which is the high one.
    pub fn uniform(&mut self) -> f64 {
        let (high, low) = (u64::from(self.word()), u64::from(self.word()));
        let bits = (high << 32 | low) & ((1 << 53) - 1);
        bits as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Twister;

    #[test]
    fn the_words_that_the_standard_library_of_cpp_prescribes() {
        // [rand.predef]: the 10000th word of a default-constructed mt19937.
        let mut twister = Twister::new(5489);
        let last = (0..10_000).map(|_| twister.word()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
