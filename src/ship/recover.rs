//! From what the checkpoint says and what the store has to where delivery goes on.
//!
//! Apart because it is pure and the heart of exactly-once: every crash ends here. The store is
//! right about chunks that it has; the checkpoint is right about cuts that were decided. Chunks
//! between known ones get cuts that fit.
//!
//! ```text
//! checkpoint  acked ──► chunk 4 cut at 90 · chunk 5 cut at 120
//! store                 chunk 4: 60..90   ·                  · chunk 6: 120..150
//! plan        chunk 4 is skipped; 5 is cut at 120, 6 at 150 (and found to be there); then free
//! ```

use std::collections::VecDeque;

use super::keeper::{Mark, StoreCheckpoint};
use crate::line::{State, StreamState};
use crate::stores::{Found, FoundChunk, Receipt};

/// Where to go on.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// Reading is taken up here.
    pub(super) acked: Mark,
    /// The next chunk's number.
    pub(super) next_chunk: u64,
    /// `seq` at which the next chunks have to end, in order; what follows is cut freely.
    pub(super) cuts: VecDeque<u64>,
    /// Chunks that the store has and that need not be read again.
    pub(super) skipped: Vec<Receipt>,
}

/// The store's chunks contradict the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} in the store does not follow from the lines before it")]
pub(super) struct Contradiction {
    pub(super) chunk: u64,
}

/// Makes the plan.
pub(super) fn plan(checkpoint: &StoreCheckpoint, found: &Found) -> Result<Plan, Contradiction> {
    let mut plan = Plan {
        acked: checkpoint.acked.clone(),
        next_chunk: checkpoint.next_chunk,
        cuts: VecDeque::new(),
        skipped: Vec::new(),
    };
    let mut decided: VecDeque<_> =
        checkpoint.in_flight.iter().filter(|cut| cut.chunk >= plan.next_chunk).collect();
    let mut there: VecDeque<&FoundChunk> =
        found.chunks.iter().filter(|chunk| chunk.chunk >= plan.next_chunk).collect();
    while let (Some(cut), Some(chunk)) = (decided.front(), there.front())
        && let Some(after) = &cut.after
        && (cut.chunk, chunk.chunk) == (plan.next_chunk, plan.next_chunk)
        && chunk.summary.first_seq == plan.acked.lines.seq
        && chunk.summary.next_seq() == after.lines.seq
    {
        plan.skipped.push(Receipt { chunk: chunk.chunk, summary: chunk.summary.clone() });
        plan.acked = after.clone();
        plan.next_chunk += 1;
        decided.pop_front();
        there.pop_front();
    }

    // Chunks that are there pin the ends of themselves and of the ones before them.
    let mut seq = plan.acked.lines.seq;
    let mut number = plan.next_chunk;
    for chunk in there {
        let contradiction = Contradiction { chunk: chunk.chunk };
        let (first, next) = (chunk.summary.first_seq, chunk.summary.next_seq());
        fill(&mut plan.cuts, &mut decided, (number, seq), (chunk.chunk, first))
            .ok_or(contradiction)?;
        if next <= first {
            return Err(contradiction);
        }
        decided.retain(|cut| cut.chunk > chunk.chunk);
        plan.cuts.push_back(next);
        (number, seq) = (chunk.chunk + 1, next);
    }
    for cut in decided {
        if cut.chunk != number || cut.to_seq <= seq {
            break;
        }
        plan.cuts.push_back(cut.to_seq);
        (number, seq) = (number + 1, cut.to_seq);
    }
    Ok(plan)
}

/// Cuts the chunks from `from` (number and seq) up to the one that is at `to`: where they were
/// decided to be cut, else evenly.
fn fill(
    cuts: &mut VecDeque<u64>,
    decided: &mut VecDeque<&super::keeper::Cut>,
    from: (u64, u64),
    to: (u64, u64),
) -> Option<()> {
    let (mut number, mut seq) = from;
    let (end_number, end_seq) = to;
    while number < end_number {
        let left = end_number - number;
        let room = end_seq.checked_sub(seq)?;
        if room < left {
            return None;
        }
        while decided.front().is_some_and(|cut| cut.chunk < number) {
            decided.pop_front();
        }
        let known = decided.front().filter(|cut| cut.chunk == number).map(|cut| cut.to_seq);
        let fits =
            |cut: &u64| *cut > seq && end_seq.checked_sub(*cut).is_some_and(|r| r >= left - 1);
        let cut = if left == 1 { end_seq } else { known.filter(fits).unwrap_or(seq + room / left) };
        cuts.push_back(cut);
        (number, seq) = (number + 1, cut);
    }
    (seq == end_seq).then_some(())
}

/// Without a checkpoint and with the first `missing` bytes of the spool released, the lines
/// that the store has cannot be cut again. All of them are taken as delivered, and reading goes
/// on behind as many bytes as they stand for.
///
/// Exact where the stream had no gaps and no two lines of different iostreams overlapped at that
/// point; else a line there may be told in two halves. Only damage to the spool directory leads here.
pub(super) fn behind_the_store(found: &Found, missing: u64) -> Option<Plan> {
    let mut acked = Mark::default();
    let mut skipped = Vec::new();
    for (number, chunk) in (0..).zip(&found.chunks) {
        let summary = &chunk.summary;
        if chunk.chunk != number || summary.first_seq != acked.totals.lines {
            return None;
        }
        acked.totals.add(summary);
        skipped.push(Receipt { chunk: number, summary: summary.clone() });
    }
    let offset = acked.totals.raw_bytes.max(missing);
    let stream = StreamState { offset, ..StreamState::default() };
    acked.lines = State {
        seq: acked.totals.lines,
        last_time: acked.totals.last_time,
        position: offset,
        stdout: stream.clone(),
        stderr: stream,
    };
    let next_chunk = skipped.len() as u64;
    Some(Plan { acked, next_chunk, cuts: VecDeque::new(), skipped })
}

#[cfg(test)]
mod tests {
    use super::super::keeper::{Cut, fresh};
    use super::*;
    use crate::stores::Summary;

    fn found(chunks: &[(u64, u64, u64)]) -> Found {
        let chunk = |(chunk, first_seq, next): &(u64, u64, u64)| FoundChunk {
            chunk: *chunk,
            summary: Summary {
                first_seq: *first_seq,
                lines: next - first_seq,
                ..Summary::default()
            },
        };
        Found { complete: None, chunks: chunks.iter().map(chunk).collect() }
    }

    fn mark(seq: u64) -> Mark {
        let mut mark = Mark::default();
        mark.lines.seq = seq;
        mark
    }

    /// (acknowledged seq, next chunk), cuts (chunk, seq) with marks, chunks there.
    fn check(
        (seq, next_chunk): (u64, u64),
        in_flight: &[(u64, u64)],
        there: &[(u64, u64, u64)],
        expected: Result<(u64, &[u64]), u64>,
    ) {
        let cut = |(chunk, to_seq): &(u64, u64)| Cut {
            chunk: *chunk,
            to_seq: *to_seq,
            after: Some(mark(*to_seq)),
        };
        let checkpoint = StoreCheckpoint {
            acked: mark(seq),
            next_chunk,
            in_flight: in_flight.iter().map(cut).collect(),
            ..fresh()
        };
        match (plan(&checkpoint, &found(there)), expected) {
            (Ok(plan), Ok((next_chunk, cuts))) => {
                assert_eq!(plan.next_chunk, next_chunk);
                assert_eq!(plan.cuts, cuts);
            }
            (Err(Contradiction { chunk }), Err(expected)) => assert_eq!(chunk, expected),
            (actual, expected) => panic!("{actual:?} is not {expected:?}"),
        }
    }

    #[test]
    fn crashes_and_what_follows_from_them() {
        // Nothing was under way.
        check((60, 4), &[], &[], Ok((4, &[])));
        // Cuts were decided, nothing arrived.
        check((60, 4), &[(4, 90), (5, 120)], &[], Ok((4, &[90, 120])));
        // All arrived, no answer did.
        check((60, 4), &[(4, 90), (5, 120)], &[(4, 60, 90), (5, 90, 120)], Ok((6, &[])));
        // The later one arrived.
        check((60, 4), &[(4, 90), (5, 120)], &[(5, 90, 120)], Ok((4, &[90, 120])));
        // The checkpoint is older than the store.
        check((60, 4), &[], &[(4, 60, 90)], Ok((4, &[90])));
        check((60, 4), &[(4, 90)], &[(4, 60, 90), (5, 90, 120)], Ok((5, &[120])));
        // … and one is missing between.
        check((60, 4), &[], &[(5, 90, 120)], Ok((4, &[90, 120])));
        check((0, 0), &[], &[(2, 90, 120)], Ok((0, &[45, 90, 120])));
        check((0, 0), &[(0, 50)], &[(2, 90, 120)], Ok((0, &[50, 90, 120])));
        // A cut that contradicts the store is forgotten.
        check((60, 4), &[(4, 80), (5, 99)], &[(4, 60, 90)], Ok((4, &[90, 99])));
        check((60, 4), &[(4, 80), (5, 85)], &[(4, 60, 90)], Ok((4, &[90])));
        // What cannot be.
        check((60, 4), &[], &[(4, 61, 90)], Err(4));
        check((60, 4), &[], &[(4, 10, 90)], Err(4));
        check((60, 4), &[], &[(4, 60, 90), (5, 80, 99)], Err(5));
        check((60, 4), &[], &[(9, 62, 99)], Err(9));
    }

    #[test]
    fn without_a_checkpoint_and_the_spools_start_the_store_is_believed() {
        let mut there = found(&[(0, 0, 10), (1, 10, 25)]);
        for chunk in &mut there.chunks {
            chunk.summary.raw_bytes = 1000;
        }
        let plan = behind_the_store(&there, 1500).unwrap();
        assert_eq!((plan.next_chunk, plan.acked.lines.seq), (2, 25));
        assert_eq!(plan.acked.lines.resume_offset(), 2000);
        assert_eq!(plan.skipped.len(), 2);
        assert_eq!(behind_the_store(&there, 2500).unwrap().acked.lines.resume_offset(), 2500);
        assert_eq!(behind_the_store(&found(&[(1, 10, 25)]), 0), None);
    }
}
