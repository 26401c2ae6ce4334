//! What of a writer's objects has to be read: from the names (or `end.json`) to objects, from an
//! index to batches of frames. Pure.

use std::ops::Range;

use object_store::ObjectMeta;
use object_store::path::Path;

use super::super::object::{End, FrameInfo, Index, SegmentInfo};
use super::super::{Codec, layout};
use crate::read::filter::Filter;
use crate::record::{Level, LevelCounts};

/// A chunk or segment that is to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) path: Path,
    pub(super) codec: Codec,
    pub(super) size: u64,
    /// Numbers of its chunks; the end is not one of them.
    pub(super) chunks: Range<u64>,
    /// A chunk that is not in a segment yet: small, and may vanish into one.
    pub(super) live: bool,
    /// From `end.json`.
    pub(super) info: Option<SegmentInfo>,
    /// Lines before this `seq` that stand in earlier objects may reach the level asked for.
    pub(super) hit_until: u64,
}

/// The objects of a finished writer that may hold what the filter asks for.
pub(super) fn finished(prefix: &Path, end: &End, filter: &Filter, from_chunk: u64) -> Vec<Object> {
    let mut hit_until = 0;
    let mut objects = Vec::new();
    for info in &end.segments {
        let hit = may_reach(filter.level, &info.levels);
        let seqs = (info.first_seq, info.first_seq + info.lines);
        let in_scope = filter.may_hold(seqs, (info.first_time, info.last_time));
        let wanted = hit || has_context(filter) || goes_on(info.group_from, hit_until);
        if in_scope && info.last >= from_chunk && wanted {
            objects.push(Object {
                path: layout::seg(prefix, info.first, info.last, info.codec),
                codec: info.codec,
                size: info.size,
                chunks: info.first..info.last + 1,
                live: false,
                info: Some(info.clone()),
                hit_until,
            });
        }
        if hit {
            hit_until = seqs.1;
        }
    }
    objects
}

/// The objects of a writer by what is in its folder: segments, and the chunks in none of them.
pub(super) fn listed(prefix: &Path, metas: &[ObjectMeta], from_chunk: u64) -> Vec<Object> {
    let mut objects: Vec<Object> = metas
        .iter()
        .filter_map(|meta| {
            let (chunks, codec, live) = match layout::member(prefix, &meta.location)? {
                layout::Member::Live { number, codec } => (number..number + 1, codec, true),
                layout::Member::Segment { first, last, codec } => (first..last + 1, codec, false),
                layout::Member::End => return None,
            };
            Some(Object {
                path: meta.location.clone(),
                codec,
                size: meta.size,
                chunks,
                live,
                info: None,
                hit_until: u64::MAX,
            })
        })
        .filter(|object| object.chunks.end > from_chunk)
        .collect();
    // A segment comes before a live chunk of the same number, and of two the longer one.
    objects.sort_by_key(|object| {
        (object.chunks.start, object.live, std::cmp::Reverse(object.chunks.end))
    });
    let mut covered = 0;
    objects.retain(|object| {
        let new = object.chunks.end > covered;
        covered = covered.max(object.chunks.end);
        new
    });
    objects
}

/// The holes in the numbers, looking from `from_chunk`: position in `objects` of what stands
/// behind each, and the numbers that are missing.
pub(super) fn holes(objects: &[Object], from_chunk: u64) -> Vec<(usize, Range<u64>)> {
    let mut next = from_chunk;
    let mut holes = Vec::new();
    for (position, object) in objects.iter().enumerate() {
        if object.chunks.start > next {
            holes.push((position, next..object.chunks.start));
        }
        next = object.chunks.end;
    }
    holes
}

/// The frames that may hold what the filter asks for. Lines before `hit_until` that stand in
/// earlier objects may reach the level.
pub(super) fn frames(index: &Index, filter: &Filter, mut hit_until: u64) -> Vec<FrameInfo> {
    let mut wanted = Vec::new();
    for frame in &index.frames {
        let hit = may_reach(filter.level, &frame.levels);
        let seqs = (frame.first_seq, frame.first_seq + frame.lines);
        let in_scope = filter.may_hold(seqs, (frame.first_time, frame.last_time));
        if in_scope && (hit || has_context(filter) || goes_on(frame.group_from, hit_until)) {
            wanted.push(frame.clone());
        }
        if hit {
            hit_until = hit_until.max(seqs.1);
        }
    }
    wanted
}

/// Frames next to each other, read by one request of about `bytes`, and about `lines` at the most.
pub(super) fn batches(frames: Vec<FrameInfo>, bytes: u64, lines: u64) -> Vec<Vec<FrameInfo>> {
    let mut batches: Vec<Vec<FrameInfo>> = Vec::new();
    for frame in frames {
        match batches.last_mut() {
            Some(batch) if fits(batch, &frame, bytes) && counted(batch) < lines => {
                batch.push(frame);
            }
            _ => batches.push(vec![frame]),
        }
    }
    batches
}

fn fits(batch: &[FrameInfo], frame: &FrameInfo, bytes: u64) -> bool {
    let Some(range) = span(batch) else { return true };
    range.end == frame.offset && frame.offset + frame.len - range.start <= bytes
}

fn counted(batch: &[FrameInfo]) -> u64 {
    batch.iter().map(|frame| frame.lines).sum()
}

/// The bytes of the object that a batch lies in.
pub(super) fn span(batch: &[FrameInfo]) -> Option<Range<u64>> {
    let (first, last) = (batch.first()?, batch.last()?);
    Some(first.offset..last.offset + last.len)
}

/// Around a match, lines of any level are wanted.
fn has_context(filter: &Filter) -> bool {
    filter.context != (0, 0)
}

/// A group is as serious as its first line: whether that one may reach the level asked for.
fn goes_on(group_from: Option<u64>, hit_until: u64) -> bool {
    group_from.is_some_and(|from| from < hit_until)
}

fn may_reach(level: Option<Level>, counts: &LevelCounts) -> bool {
    level.is_none_or(|level| counts.iter().skip(level as usize).any(|count| *count > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Nanos;

    fn frame(number: u64, errors: u64) -> FrameInfo {
        FrameInfo {
            offset: number * 10,
            len: 10,
            first_seq: number * 2000,
            lines: 2000,
            first_time: Nanos(number as i64 * 100),
            last_time: Nanos(number as i64 * 100 + 99),
            levels: [0, 0, 0, 0, errors, 0],
            ..FrameInfo::default()
        }
    }

    #[track_caller]
    fn check(
        filter: &Filter,
        errors: &[u64],
        groups: &[(usize, u64)],
        hit_until: u64,
        expected: &[u64],
    ) {
        let mut index = Index::new(crate::record::WriterId::new(), Codec::Zstd);
        index.frames = errors.iter().zip(0..).map(|(errors, n)| frame(n, *errors)).collect();
        for (n, from) in groups {
            index.frames[*n].group_from = Some(*from);
        }
        let read: Vec<u64> =
            frames(&index, filter, hit_until).iter().map(|frame| frame.offset / 10).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn only_frames_that_may_match_are_read() {
        let errors = [0, 0, 3, 0, 0, 0];
        let all = Filter::default();
        check(&all, &errors, &[], 0, &[0, 1, 2, 3, 4, 5]);
        let level = Filter { level: Some(Level::Error), ..Filter::default() };
        check(&level, &errors, &[], u64::MAX, &[2]);
        // A traceback may be long, and lines of another iostream may fill a frame of it.
        check(&level, &errors, &[(3, 5999), (5, 5999)], 0, &[2, 3, 5]);
        check(&level, &errors, &[(1, 1000), (3, 6000)], 0, &[2]);
        // One that began in an earlier object.
        check(&level, &[0, 0], &[(1, 30)], 30, &[]);
        check(&level, &[0, 0], &[(1, 30)], 31, &[1]);
        let critical = Filter { level: Some(Level::Critical), ..Filter::default() };
        check(&critical, &errors, &[(3, 5999)], 0, &[]);
        let context = Filter { context: (1, 1), ..critical };
        check(&context, &errors, &[], 0, &[0, 1, 2, 3, 4, 5]);
        let time = Filter { since: Some(Nanos(150)), until: Some(Nanos(300)), ..Filter::default() };
        check(&time, &errors, &[], 0, &[1, 2]);
        let seq = Filter { from_seq: 3999, to_seq: Some(4001), ..Filter::default() };
        check(&seq, &errors, &[], 0, &[1, 2]);
    }

    #[test]
    fn neighbours_are_read_together() {
        let frames = vec![frame(0, 0), frame(1, 0), frame(2, 0), frame(4, 0)];
        let sizes = |bytes, lines| -> Vec<usize> {
            batches(frames.clone(), bytes, lines).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(1, u64::MAX), [1, 1, 1, 1]);
        assert_eq!(sizes(20, u64::MAX), [2, 1, 1]);
        assert_eq!(sizes(1000, u64::MAX), [3, 1]);
        assert_eq!(sizes(1000, 2001), [2, 1, 1]);
    }

    #[test]
    fn segments_win_over_chunks_and_holes_show() {
        let prefix = Path::from("p");
        let meta = |location: Path| ObjectMeta {
            location,
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let metas: Vec<ObjectMeta> = [
            layout::live(&prefix, 1, Codec::Zstd),
            layout::live(&prefix, 2, Codec::Zstd),
            layout::live(&prefix, 4, Codec::Zstd),
            layout::seg(&prefix, 0, 1, Codec::Zstd),
        ]
        .into_iter()
        .map(meta)
        .collect();
        let objects = listed(&prefix, &metas, 0);
        let chunks: Vec<_> = objects.iter().map(|object| object.chunks.clone()).collect();
        assert_eq!(chunks, [0..2, 2..3, 4..5]);
        assert_eq!(holes(&objects, 0), [(2, 3..4)]);
        assert_eq!(holes(&objects[..2], 0), []);
        assert_eq!(listed(&prefix, &metas, 3).len(), 1);
    }
}
