//! One stream's turn: what is ready of a descriptor or a file, into the shared block and on to its stream.
//!
//! The second half of [`Intake`], apart for its size: that waits and says whose turn it is.

use std::time::Instant;

use nix::errno::Errno;

use super::{BLOCKS, Event, Intake, Outcome, REST, SMALL_READ, Slot, all_was_read, is_readable};
use crate::agent::source::{Connection, Head, Source, header, without_writer};
use crate::capture::file::{Presence, Read, Take};
use crate::record::Exit;

impl Intake {
    pub(super) fn read_descriptor(
        &mut self,
        slot: &mut Slot,
        blocks: usize,
        now: Instant,
    ) -> Outcome {
        for _ in 0..blocks {
            if !slot.stream.is_ready() {
                return Outcome::Waits;
            }
            let Some(descriptor) = slot.source.descriptor() else { return Outcome::Waits };
            let count = match nix::unistd::read(descriptor, &mut self.block) {
                Ok(0) => {
                    self.end_of_head(slot, now);
                    return Outcome::End(Box::new(all_was_read("end of file")));
                }
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Outcome::Waits,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    self.end_of_head(slot, now);
                    let reason = Some(format!("reading failed: {}", error.desc()));
                    return Outcome::End(Box::new(Exit { reason, ..Exit::default() }));
                }
            };
            let bytes = self.block.get(..count).unwrap_or_default();
            if let Source::Connection(Connection { head: Some(head), .. }) = &mut slot.source {
                head.extend_from_slice(bytes);
                return Outcome::Header;
            }
            slot.stream.take(&self.common, bytes, &mut self.scratch, now);
            self.small = count < SMALL_READ;
            if count < self.block.len() {
                // What has come since is told by the next wait. Standard input may be one that waits.
                return if slot.watched { Outcome::Waits } else { Outcome::More };
            }
            if let Source::Stdin(_) = slot.source {
                break;
            }
        }
        if slot.watched { Outcome::Waits } else { Outcome::More }
    }

    /// A connection has ended before its first line did.
    pub(super) fn end_of_head(&mut self, slot: &mut Slot, now: Instant) {
        if let Source::Connection(connection) = &mut slot.source
            && let Some(head) = connection.head.take()
            && !head.is_empty()
        {
            slot.stream.take(&self.common, &head, &mut self.scratch, now);
        }
    }

    /// Looks at the first bytes of a connection. A header is for the caller to use; then
    /// [`go_on`](Self::go_on).
    pub(in crate::agent) fn head(&mut self, index: usize) -> Head {
        match self.slot_mut(index).map(|slot| &mut slot.source) {
            Some(Source::Connection(Connection { head: Some(head), .. })) => header(head, false),
            _ => Head::Undecided,
        }
    }

    /// The first line is known: what follows it is the step's.
    pub(in crate::agent) fn go_on(&mut self, index: usize) {
        let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { return };
        let now = Instant::now();
        if let Source::Connection(connection) = &mut slot.source
            && let Some(head) = connection.head.take()
        {
            slot.stream.take(&self.common, &head, &mut self.scratch, now);
        }
        self.settle(index, slot, now);
    }

    pub(super) fn read_file(&mut self, slot: &mut Slot, take: Take, now: Instant) -> Outcome {
        let Source::File(followed) = &mut slot.source else { return Outcome::Waits };
        for _ in 0..BLOCKS {
            if !slot.stream.is_ready() {
                return Outcome::Waits;
            }
            match followed.follower.read(&mut self.buffer, take, now) {
                Ok(Read::Block(block)) => {
                    if followed.generation != block.generation {
                        // What is held back is of another file: see `Ledger::read`.
                        slot.stream.flush(&self.common, &mut self.scratch, now);
                        followed.generation = block.generation;
                    }
                    followed.partial_since = None;
                    let bytes = self.buffer.bytes(&block);
                    slot.stream.take_block(&self.common, &block, bytes, &mut self.scratch, now);
                }
                Ok(Read::Gap(gap)) => {
                    slot.stream.gap(&self.common, &gap, &mut self.scratch, now);
                    let label = &slot.stream.label;
                    self.log.warn(&format!("{label}: bytes are lost: {}", gap.reason.as_str()));
                }
                Ok(Read::Idle(idle)) => {
                    followed.missing = idle.presence == Presence::Missing;
                    match idle.partial {
                        0 => followed.partial_since = None,
                        _ => _ = followed.partial_since.get_or_insert(now),
                    }
                    return Outcome::Waits;
                }
                Ok(Read::Ended) => return Outcome::End(Box::new(all_was_read("end of file"))),
                Err(error) => {
                    self.log.limited(&crate::delivery::chain(&error));
                    return Outcome::Waits;
                }
            }
        }
        Outcome::More
    }

    /// A FIFO is not at its path any more: its stream ends when those have gone who still write to it.
    pub(in crate::agent) fn part(&mut self, index: usize, told: &mut Vec<Event>) {
        let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { return };
        slot.path = None;
        if let Source::Fifo(fifo) = &slot.source {
            match without_writer(fifo) {
                Ok(fifo) => {
                    self.set_watched(index, &mut slot, false);
                    slot.source = Source::Fifo(fifo);
                }
                Err(error) => self.log.warn(&format!("{}: {error}", slot.stream.label)),
            }
        }
        self.settle(index, slot, Instant::now());
        self.read(index, told);
    }

    /// Reads what there is of a FIFO or file whose step has ended. False: there is more than one turn or the spool has room
    /// for, so that it is not to be ended yet.
    pub(in crate::agent) fn drain(&mut self, index: usize) -> bool {
        let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { return true };
        let now = Instant::now();
        if let Source::File(followed) = &mut slot.source {
            followed.follower.hurry();
        }
        let mut rest = REST.div_ceil(self.block.len().max(1) * BLOCKS);
        let mut more = true;
        while more && rest > 0 && slot.stream.is_ready() {
            more = match &slot.source {
                Source::File(_) => {
                    matches!(self.read_file(&mut slot, Take::Everything, now), Outcome::More)
                }
                source => {
                    is_readable(source)
                        && !matches!(self.read_descriptor(&mut slot, BLOCKS, now), Outcome::End(_))
                }
            };
            rest -= 1;
        }
        let is_file = matches!(slot.source, Source::File(_));
        // A pipe holds less than that: what comes now was written later.
        let drained = slot.stream.is_ready() && !(more && is_file);
        if is_file && !drained {
            self.busy.insert(index);
        }
        self.settle(index, slot, now);
        drained
    }
}
