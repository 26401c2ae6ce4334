//! Secrets of one stream, as the pump sees them: [`crate::redact`] with a policy for quiet.
//!
//! What may be the beginning of a secret is held back, and at some time has to go on if nothing
//! more comes, or a prompt that happens to end like one would never show. A few bytes (fewer than
//! the shortest secret has) are most likely nothing and go on as soon as the stream is quiet. More
//! of them most likely are the first half of a secret that a full buffer has cut in two; they wait
//! ten times as long. At the end everything goes on.

use std::time::Duration;

use crate::redact::{MIN_SECRET, Output, Place, Redactor, Scratch, Stream};

/// How much longer than a quiet stream's partial line the likely beginning of a secret waits.
const PATIENCE: u32 = 10;

/// Takes secrets out of one stream.
#[derive(Debug)]
pub(crate) struct Mask {
    stream: Stream,
    scratch: Scratch,
    masked: u64,
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masked {
    /// So many of its first bytes, as they are.
    Beginning(usize),
    /// Other bytes, which are now `out`.
    Other,
}

impl Mask {
    pub(crate) fn new(redactor: &Redactor) -> Self {
        Self { stream: redactor.stream(), scratch: Scratch::default(), masked: 0 }
    }

    /// Takes a block, gives what is certain. No byte is copied that did not have to be changed or
    /// put behind one that was held back.
    pub(crate) fn push(&mut self, block: &[u8], out: &mut Vec<u8>) -> Masked {
        self.scratch.take_back(out);
        let Output { bytes, place, masked } = self.stream.push(block, &mut self.scratch);
        let len = bytes.len();
        self.masked += masked;
        if place == Place::Input || len == 0 {
            return Masked::Beginning(len);
        }
        self.scratch.hand_over(place, len, out);
        Masked::Other
    }

    /// Gives what was held back.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        let output = self.stream.flush(&mut self.scratch);
        self.masked += output.masked;
        out.extend_from_slice(output.bytes);
    }

    /// After how many times the partial line's patience what is held back is to be flushed.
    /// `None`: there is nothing.
    pub(crate) fn patience(&self, partial_idle: Duration) -> Option<Duration> {
        match self.stream.pending() {
            0 => None,
            few if few < MIN_SECRET => Some(partial_idle),
            _ => Some(partial_idle * PATIENCE),
        }
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        self.stream.pending()
    }

    /// Secrets taken out so far.
    pub(crate) fn masked(&self) -> u64 {
        self.masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    fn mask() -> Mask {
        Mask::new(&Redactor::new([b"correct-horse".to_vec()], &[]).unwrap())
    }

    #[test]
    fn unchanged_bytes_are_not_copied() {
        let (mut mask, mut out) = (mask(), Vec::new());
        assert_eq!(mask.push(b"plain text\n", &mut out), Masked::Beginning(11));
        assert_eq!(mask.push(b"correct-horse\n", &mut out), Masked::Other);
        assert_eq!((out.as_slice(), mask.masked()), (&b"***\n"[..], 1));
    }

    #[test]
    fn a_few_bytes_wait_less_than_many() {
        let (mut mask, mut out) = (mask(), Vec::new());
        assert_eq!(mask.patience(IDLE), None);
        assert_eq!(mask.push(b"what? cor", &mut out), Masked::Beginning(6));
        assert_eq!(mask.patience(IDLE), Some(IDLE));
        mask.push(b"rect-h", &mut out);
        assert_eq!(mask.patience(IDLE), Some(10 * IDLE));
        mask.flush(&mut out);
        assert_eq!(out, b"correct-h");
        assert_eq!(mask.patience(IDLE), None);
    }
}
