//! The limit in bytes on what is between the reader and the store.
//!
//! Apart because threads share it and must not be able to block for ever. The reader asks for room
//! before it hands a block on; the encoder corrects it as soon as the block is encoded, which makes it
//! smaller or larger; the coordinator gives it back when the chunk is delivered. Room is refused only while a sealed
//! chunk is under way, whose delivery will give some back: a chunk larger than the limit goes
//! through alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use super::stop::Stop;

/// The reader's end.
pub(super) struct Allowance {
    counts: Arc<Counts>,
    freed: Receiver<()>,
}

/// The end of the encoders and the coordinator.
#[derive(Clone)]
pub(super) struct Ledger {
    counts: Arc<Counts>,
    freed: Sender<()>,
}

struct Counts {
    limit: usize,
    used: AtomicUsize,
    /// Chunks that are sealed and not delivered.
    sealed: AtomicUsize,
}

/// The two ends.
pub(super) fn budget(limit: usize) -> (Allowance, Ledger) {
    let counts = Arc::new(Counts { limit, used: AtomicUsize::new(0), sealed: AtomicUsize::new(0) });
    let (sender, receiver) = bounded(1);
    (Allowance { counts: Arc::clone(&counts), freed: receiver }, Ledger { counts, freed: sender })
}

impl Allowance {
    /// Waits for room for a block and takes it. Once stopped there is room for everything.
    pub(super) fn take(&self, bytes: usize, halt: &Stop) {
        while self.counts.used.load(Ordering::SeqCst) + bytes > self.counts.limit
            && self.counts.sealed.load(Ordering::SeqCst) > 0
        {
            select! {
                recv(self.freed) -> freed => if freed.is_err() { break },
                recv(halt.channel()) -> _ => break,
            }
        }
        self.take_anyway(bytes);
    }

    /// Takes it whether there is room or not.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.counts.used.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The open chunk is complete.
    pub(super) fn sealed(&self) {
        self.counts.sealed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Ledger {
    /// What took `taken` bytes has become `bytes`. That it has grown stops nobody but the reader, later.
    pub(super) fn became(&self, taken: usize, bytes: usize) {
        match taken.checked_sub(bytes) {
            Some(less) => self.give(less),
            None => {
                self.counts.used.fetch_add(bytes - taken, Ordering::SeqCst);
            }
        }
    }

    /// Gives room back.
    fn give(&self, bytes: usize) {
        self.counts.used.fetch_sub(bytes, Ordering::SeqCst);
        self.wake();
    }

    /// A sealed chunk has left, with all its bytes.
    pub(super) fn delivered(&self, bytes: usize) {
        self.counts.sealed.fetch_sub(1, Ordering::SeqCst);
        self.give(bytes);
    }

    fn wake(&self) {
        match self.freed.try_send(()) {
            // A wake-up that has not been heard yet will do, and nobody may be there to hear it.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::ship::stop::stop;

    #[test]
    fn one_waits_only_for_chunks_that_are_under_way() {
        let (allowance, ledger) = budget(10);
        let (_stopper, halt) = stop();
        allowance.take(8, &halt);
        // Over the limit, but nothing is sealed that could give room back.
        allowance.take(8, &halt);
        allowance.sealed();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| allowance.take(8, &halt));
            ledger.became(8, 7);
            ledger.delivered(15);
            waiting.join().unwrap();
        });
        assert_eq!(ledger.counts.used.load(Ordering::SeqCst), 8);
    }

    #[test]
    fn what_has_grown_by_encoding_counts_as_what_it_is() {
        let (allowance, ledger) = budget(100);
        let (stopper, halt) = stop();
        allowance.take(8, &halt);
        ledger.became(8, 80);
        allowance.sealed();
        allowance.take(20, &halt);
        ledger.became(20, 10);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| allowance.take(11, &halt));
            ledger.delivered(80);
            waiting.join().unwrap();
        });
        assert_eq!(ledger.counts.used.load(Ordering::SeqCst), 21);
        drop(stopper);
    }

    #[test]
    fn stop_and_the_end_of_the_other_side_make_room() {
        let (allowance, ledger) = budget(1);
        let (stopper, halt) = stop();
        allowance.sealed();
        drop(stopper);
        allowance.take(5, &halt);
        let (_stopper, halt) = stop();
        drop(ledger);
        allowance.take(5, &halt);
    }
}
