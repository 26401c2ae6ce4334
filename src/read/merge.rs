//! Which of several streams comes next: a merge by time over pages.
//!
//! Within a stream, order is that of `seq`, to which times never contradict. Between streams it is
//! time, then the stream's number. Lines are handed on in runs, as long as one stream stays ahead,
//! so that a single stream costs nothing to merge. Pure.

use std::sync::Arc;

use super::page::{Page, Slice};
use super::store::Direction;
use crate::record::Nanos;

/// A page of one stream, of which some lines were handed on.
#[derive(Debug)]
pub struct Head {
    page: Arc<Page>,
    /// Lines not handed on.
    from: usize,
    to: usize,
}

impl Head {
    /// Nothing of the page was handed on; `None` if it has no lines.
    pub fn new(page: Arc<Page>) -> Option<Self> {
        let to = page.lines().len();
        (to > 0).then_some(Self { page, from: 0, to })
    }

    fn time_at(&self, position: usize) -> Nanos {
        self.page.lines().get(position).map_or(Nanos(i64::MAX), |line| line.time)
    }

    /// Time of the line that comes next.
    pub fn time(&self, direction: Direction) -> Nanos {
        match direction {
            Direction::Forward => self.time_at(self.from),
            Direction::Backward => self.time_at(self.to.saturating_sub(1)),
        }
    }
}

/// The next run of lines of all `heads` together, by position the number of their stream. A head
/// that is used up becomes `None`. Of lines at `border` and beyond, streams that are not here may
/// have earlier ones: they stay, except the very first line.
pub fn next_run(
    heads: &mut [Option<Head>],
    direction: Direction,
    border: Option<Nanos>,
) -> Option<Slice> {
    let key = |head: &Option<Head>, number: usize| {
        head.as_ref().map(|head| {
            let time = head.time(direction).0;
            match direction {
                Direction::Forward => (time, number as i64),
                // Whatever comes last forward comes first here.
                Direction::Backward => (time.saturating_neg(), -(number as i64)),
            }
        })
    };
    let (mut best, mut limit) = (None, None);
    for (number, head) in heads.iter().enumerate() {
        let Some(key) = key(head, number) else { continue };
        if best.is_none_or(|(best, _)| key < best) {
            limit = best.map(|(key, _)| key);
            best = Some((key, number));
        } else if limit.is_none_or(|limit| key < limit) {
            limit = Some(key);
        }
    }
    let (_, number) = best?;
    let slot = heads.get_mut(number)?;
    let head = slot.as_mut()?;
    let range = match direction {
        Direction::Forward => {
            let comes_before = |position: usize| {
                let time = head.time_at(position);
                limit.is_none_or(|limit| (time.0, number as i64) < limit)
                    && border.is_none_or(|border| time < border)
            };
            let end = partition(head.from + 1, head.to, comes_before);
            let range = head.from..end;
            head.from = end;
            range
        }
        Direction::Backward => {
            let comes_after = |position: usize| {
                let time = head.time_at(position);
                let key = (time.0.saturating_neg(), -(number as i64));
                limit.is_some_and(|limit| key > limit)
                    || border.is_some_and(|border| time <= border)
            };
            let start = partition(head.from, head.to - 1, comes_after);
            let range = start..head.to;
            head.to = start;
            range
        }
    };
    let slice = Slice::range(&head.page, range);
    if head.from >= head.to {
        *slot = None;
    }
    Some(slice)
}

/// The first position in `from..to` for which `holds` does not, looking near `from` first; it
/// holds for all before that.
fn partition(mut from: usize, mut to: usize, holds: impl Fn(usize) -> bool) -> usize {
    let mut step = 1;
    while from < to {
        let probe = (from + step - 1).min(to - 1);
        if holds(probe) {
            from = probe + 1;
            step *= 2;
        } else if step == 1 {
            return from;
        } else {
            to = probe;
            step = 1;
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    fn merged(times: &[Vec<u8>], direction: Direction) -> Vec<(i64, u32, u64)> {
        let mut heads: Vec<Option<Head>> = times
            .iter()
            .enumerate()
            .map(|(stream, times)| {
                let mut times = times.clone();
                times.sort_unstable();
                Head::new(Arc::new(testing::page(stream as u32, &times)))
            })
            .collect();
        let mut out = Vec::new();
        while let Some(slice) = next_run(&mut heads, direction, None) {
            let mut run: Vec<_> =
                slice.lines().iter().map(|it| (it.time.0, it.stream, it.seq)).collect();
            assert!(!run.is_empty());
            if direction == Direction::Backward {
                run.reverse();
            }
            out.extend(run);
        }
        out
    }

    proptest! {
        #[test]
        fn it_is_the_sorted_whole(times in proptest::collection::vec(
            proptest::collection::vec(0..20_u8, 0..30), 0..5)
        ) {
            let forward = merged(&times, Direction::Forward);
            prop_assert_eq!(forward.len(), times.iter().map(Vec::len).sum::<usize>());
            prop_assert!(forward.is_sorted());
            let mut backward = merged(&times, Direction::Backward);
            backward.reverse();
            prop_assert_eq!(forward, backward);
        }
    }
}
