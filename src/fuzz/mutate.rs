//! A small mutation engine: changes seeds a little, as fuzzers do. No coverage; always the same for a seed.
//!
//! Own, because what there is as a crate either needs nightly or makes random bytes, which no parser of JSON or
//! TOML takes past its first byte.

/// Random enough for this: xorshift64*.
pub(super) struct Random(u64);

/// The longest input that is made.
const LONGEST: usize = 4096;

/// Numbers at which things change, as text and as bytes.
const NUMBERS: [i64; 12] = [
    0,
    1,
    -1,
    127,
    255,
    256,
    65_535,
    i32::MAX as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
    1_764_000_000_000_000_000,
];

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `limit`; 0 if that is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A range within so many, rather a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = (length - start).min(1 << self.below(9));
        start..start + self.below(most + 1)
    }

    /// One of the seeds, changed once or a few times.
    pub(super) fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(5) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = self.below(bytes.len());
        match self.below(9) {
            0 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            1 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = self.next() as u8),
            2 => drop(bytes.drain(self.range(bytes.len()))),
            3 => {
                let range = self.range(bytes.len());
                let copy = bytes[range].to_vec();
                bytes.splice(place..place, copy);
            }
            4 => {
                let other = &seeds[self.below(seeds.len())];
                let part = other[self.range(other.len())].to_vec();
                let until = self.range(bytes.len()).end.max(place);
                bytes.splice(place..until, part);
            }
            5 => bytes.insert(place, self.next() as u8),
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_string();
                bytes.splice(place..place, number.into_bytes());
            }
            7 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_be_bytes();
                let until = (place + 8).min(bytes.len());
                bytes.splice(place..until, number);
            }
            _ => bytes.truncate(place),
        }
    }
}
