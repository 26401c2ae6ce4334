//! How long to wait before the next try: full jitter over an exponential bound.
//!
//! Apart so that every store waits the same way. Pure: it neither sleeps nor knows the time.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Draws pauses.
#[derive(Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    /// State of the generator (xorshift64*); never zero.
    random: u64,
}

impl Backoff {
    /// Pauses up to `initial` at first, twice that after each failure, `max` at the most.
    pub(super) fn new(initial: Duration, max: Duration) -> Self {
        // The only randomness the standard library has; ships must not try in step.
        Self::seeded(initial, max, RandomState::new().build_hasher().finish())
    }

    fn seeded(initial: Duration, max: Duration, seed: u64) -> Self {
        Self { initial, max, random: seed | 1 }
    }

    /// The pause after this many failures in a row; not less than what the store asked for.
    pub(super) fn pause(&mut self, failures: u32, asked: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.initial.saturating_mul(1 << doublings).min(self.max);
        let pause = bound.mul_f64(self.draw());
        asked.map_or(pause, |asked| asked + pause)
    }

    /// From 0 to 1.
    fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_fill_a_growing_range_and_heed_what_the_store_asks() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::seeded(ms(200), ms(30_000), 7);
        for (failures, bound) in [(1, 200), (2, 400), (5, 3200), (9, 30_000), (4_000_000, 30_000)] {
            let pauses: Vec<_> = (0..200).map(|_| backoff.pause(failures, None)).collect();
            let longest = pauses.iter().max().copied().unwrap_or_default();
            let shortest = pauses.iter().min().copied().unwrap_or_default();
            assert!(longest <= ms(bound) && longest > ms(bound * 9 / 10), "{longest:?}");
            assert!(shortest < ms(bound / 10), "{shortest:?}");
        }
        assert!(backoff.pause(1, Some(ms(5000))) >= ms(5000));
    }
}
