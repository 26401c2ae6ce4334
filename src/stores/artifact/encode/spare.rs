//! What encoders leave for those after them: contexts of the compressor and buffers.
//!
//! Apart because an encoder is one writer's, and these are not. With many streams that take turns an encoder
//! lives for milliseconds, and making these would be most of its work. Encodes nothing.

use std::sync::{Mutex, PoisonError};

use super::Codec;
use super::compress::Compressor;

/// So many are kept: as many as encode at the same moment, on most machines.
const MOST: usize = 4;
/// Of a larger text nothing is kept.
const KEEP: usize = 1 << 20;

/// What an encoder works with.
pub(super) struct Spare {
    codec: Codec,
    level: i32,
    pub(super) compressor: Compressor,
    pub(super) text: Vec<u8>,
    pub(super) compressed: Vec<u8>,
}

impl Spare {
    pub(super) fn new(codec: Codec, level: i32) -> Self {
        let compressor = Compressor::new(codec, level);
        Self { codec, level, compressor, text: Vec::new(), compressed: Vec::new() }
    }
}

impl Default for Spare {
    /// One that has nothing yet.
    fn default() -> Self {
        Self::new(Codec::default(), 1)
    }
}

/// See the module.
#[derive(Default)]
pub(in crate::stores::artifact) struct Spares(Mutex<Vec<Spare>>);

impl Spares {
    /// One that was left, or a new one.
    pub(super) fn take(&self, codec: Codec, level: i32) -> Spare {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = left.iter().rposition(|spare| spare.codec == codec && spare.level == level);
        match fits {
            Some(index) => left.swap_remove(index),
            None => Spare::new(codec, level),
        }
    }

    /// Keeps one.
    pub(super) fn give(&self, spare: Spare) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() < MOST && spare.text.capacity() <= KEEP {
            left.push(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_used_again_where_it_fits() {
        let spares = Spares::default();
        let mut spare = spares.take(Codec::Zstd, 3);
        spare.text.reserve(1000);
        spares.give(spare);
        assert_eq!(spares.take(Codec::Gzip, 3).text.capacity(), 0);
        assert_eq!(spares.take(Codec::Zstd, 1).text.capacity(), 0);
        let again = spares.take(Codec::Zstd, 3);
        assert!(again.text.capacity() >= 1000);
        assert_eq!(spares.take(Codec::Zstd, 3).text.capacity(), 0, "it was given once");
        let mut large = again;
        large.text.reserve(2 * KEEP);
        spares.give(large);
        assert_eq!(spares.take(Codec::Zstd, 3).text.capacity(), 0, "a large one is not kept");
    }
}
