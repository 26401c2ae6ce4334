//! An encoder thread: blocks in, what the store takes out.
//!
//! Apart because several run at once. It keeps one encoder of the store's for all its blocks,
//! gives the emptied blocks back to the reader, and ends when the reader has gone.

use crossbeam_channel::{Receiver, Sender};

use super::budget::Ledger;
use super::reader::{Event, Job};
use crate::line::Block;
use crate::stores::{Encoder, Session};

pub(super) fn run(
    session: &dyn Session,
    jobs: &Receiver<Job>,
    spare: &Sender<Block>,
    events: &Sender<Event>,
    ledger: &Ledger,
) {
    let mut encoder = session.encoder();
    for job in jobs {
        if !encode(encoder.as_mut(), job, spare, events, ledger) {
            return;
        }
    }
}

/// One block; false: nobody wants it any more.
pub(super) fn encode(
    encoder: &mut dyn Encoder,
    job: Job,
    spare: &Sender<Block>,
    events: &Sender<Event>,
    ledger: &Ledger,
) -> bool {
    let Job { chunk, position, taken, block } = job;
    let encoded = encoder.encode(&block);
    // Where enough spare blocks wait, this one goes.
    drop(spare.try_send(block));
    if let Ok(encoded) = &encoded {
        ledger.became(taken, encoded.held());
    }
    events.send(Event::Encoded { chunk, position, encoded }).is_ok()
}
