//! How much a spool holds, before it is taken as delivered.
//!
//! Apart because nothing is sent here: a store or the checkpoint says that the writer is complete,
//! and a spool that holds more must not be removed for it. Reads to the writer's end, and waits for
//! that while the writer lives.

use super::Error;
use super::keeper::Mark;
use super::source::FrameSource;
use super::stop::Stop;
use crate::line::{self, Block, Splitter};
use crate::spool::Next;
use crate::stores::{Summary, Totals};

/// All up to `mark` and what `source` has from there on; none if stopped before the writer's end.
pub(super) fn all(
    mark: &Mark,
    mut source: Box<dyn FrameSource>,
    lines: &line::Settings,
    stop: &Stop,
) -> Result<Option<Totals>, Error> {
    let mut splitter = Splitter::new(lines.clone(), mark.lines.clone());
    let mut totals = mark.totals.clone();
    let (mut block, mut payload) = (Block::default(), Vec::new());
    loop {
        payload.clear();
        match source.next(&mut payload)? {
            Next::Frame(frame) => {
                let mut rest = payload.as_slice();
                while !rest.is_empty() {
                    let taken = splitter.push(&frame, rest, &mut block, None);
                    rest = rest.get(taken..).unwrap_or_default();
                    totals.add(&Summary::of(&block));
                    block.clear();
                }
            }
            Next::Pending => source.wait(None, stop),
            Next::Finished | Next::Interrupted => {
                splitter.end(&mut block);
                totals.add(&Summary::of(&block));
                return Ok(Some(totals.so_much()));
            }
        }
        if stop.is_set() {
            return Ok(None);
        }
    }
}

/// Whether anything of `here` cannot be in `there`. Less is no loss: what the store had taken may
/// have been lost here with the power.
pub(super) fn is_more(here: Totals, there: Totals) -> bool {
    here.bytes > there.bytes || here.lines > there.lines
}
