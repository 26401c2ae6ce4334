//! Secrets of one stream, as the pump sees them.

/// Takes secrets out of one stream.
#[derive(Debug, Default)]
pub(crate) struct Mask {}

impl Mask {
    /// There is nothing to take out: bytes need not go through.
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    /// Takes bytes, gives those that are certain; says how many secrets were taken out.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(input);
        0
    }

    /// Gives what was held back: nothing more comes.
    pub(crate) fn flush(&mut self, _out: &mut Vec<u8>) -> u64 {
        0
    }

    /// Gives what was held back and is no part of a secret, as far as anybody can tell.
    pub(crate) fn idle(&mut self, _out: &mut Vec<u8>) -> u64 {
        0
    }

    /// Whether [`idle`](Self::idle) would give anything.
    pub(crate) fn would_yield(&self) -> bool {
        false
    }
}
