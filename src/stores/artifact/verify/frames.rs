//! What the lines themselves say: counted and checked frame by frame.

use super::super::Codec;
use super::super::fetch::decode_frame;
use super::super::object::{FrameInfo, Gaps};
use super::{Finding, Kind};
use crate::read::filter::Filter;
use crate::read::page::{Line, Page};
use crate::record::{Level, LevelCounts, Nanos, Origin};

/// Sums over lines in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) first_seq: Option<u64>,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) levels: LevelCounts,
    pub(super) gaps: Gaps,
    pub(super) first_time: Option<Nanos>,
    pub(super) last_time: Option<Nanos>,
}

impl Sums {
    /// Reads a frame of `object` and adds what is in it.
    pub(super) fn add_frame(
        &mut self,
        object: &[u8],
        codec: Codec,
        info: &FrameInfo,
        origin: &Origin,
    ) -> Result<(), Finding> {
        let frame = Self::of_frame(object, codec, info, origin)
            .map_err(|what| Finding { kind: Kind::Damaged, what })?;
        self.append(&frame)
    }

    fn of_frame(
        object: &[u8],
        codec: Codec,
        info: &FrameInfo,
        origin: &Origin,
    ) -> Result<Self, String> {
        let start = info.offset as usize;
        let bytes = object.get(start..start + info.len as usize).unwrap_or_default();
        let text = decode_frame(codec, bytes, info).map_err(|error| {
            format!("the frame at byte {start} cannot be decompressed: {error}")
        })?;
        let page = Filter::default().select(text, 0);
        if page.unreadable() > 0 {
            return Err(format!("{} lines are not records", page.unreadable()));
        }
        let frame = Self::of(&page, origin)?;
        let first_error = page.lines().iter().find(|line| line.level >= Some(Level::Error));
        let groups = page.lines().iter().filter_map(Line::group);
        let group_from = groups.filter(|group| *group < info.first_seq).min();
        let progress = page.lines().iter().filter(|line| line.progress).count() as u64;
        if info.lines != frame.lines
            || Some(info.first_seq) != frame.first_seq
            || Some(info.first_time) != frame.first_time
            || Some(info.last_time) != frame.last_time
            || info.levels != frame.levels
            || info.first_error != first_error.map(|line| line.seq)
            || info.progress != progress
            || info.group_from != group_from
        {
            return Err(format!("the index does not fit the lines of the frame at byte {start}"));
        }
        Ok(frame)
    }

    fn of(page: &Page, origin: &Origin) -> Result<Self, String> {
        let mut sums = Self::default();
        let tail = tail(origin);
        let mut exact = Vec::new();
        for line in page.lines() {
            let next = sums.first_seq.map_or(line.seq, |first| first + sums.lines);
            if line.seq != next {
                return Err(format!("line {} is followed by line {}", next - 1, line.seq));
            }
            if sums.last_time.is_some_and(|last| line.time < last) {
                return Err(format!(
                    "the time of line {} is before that of the line before",
                    line.seq
                ));
            }
            check_origin(page, line, &tail, origin)?;
            exact.clear();
            page.append_exact(line, &mut exact);
            sums.first_seq.get_or_insert(line.seq);
            sums.first_time.get_or_insert(line.time);
            sums.last_time = Some(line.time);
            sums.lines += 1;
            sums.bytes += exact.len() as u64;
            if let Some(count) = line.level.and_then(|level| sums.levels.get_mut(level as usize)) {
                *count += 1;
            }
            if let Some(gap) = line.gap() {
                sums.gaps.count += 1;
                sums.gaps.bytes += gap.bytes;
                sums.gaps.lines += gap.lines;
            }
        }
        Ok(sums)
    }

    /// Adds what follows.
    pub(super) fn append(&mut self, next: &Self) -> Result<(), Finding> {
        let Some(first) = next.first_seq else { return Ok(()) };
        let expected = self.first_seq.map(|first| first + self.lines);
        let back = self.last_time.zip(next.first_time).is_some_and(|(last, first)| first < last);
        self.first_seq.get_or_insert(first);
        self.lines += next.lines;
        self.bytes += next.bytes;
        for (sum, count) in self.levels.iter_mut().zip(next.levels) {
            *sum += count;
        }
        self.gaps.count += next.gaps.count;
        self.gaps.bytes += next.gaps.bytes;
        self.gaps.lines += next.gaps.lines;
        self.first_time = self.first_time.or(next.first_time);
        self.last_time = next.last_time;
        let (kind, what) = match expected {
            Some(expected) if first > expected => {
                (Kind::Missing, format!("lines {expected} to {} are missing", first - 1))
            }
            Some(expected) if first < expected => {
                (Kind::Damaged, format!("line {first} comes a second time"))
            }
            None | Some(_) if back => {
                let what = format!("the time of line {first} is before that of the line before");
                (Kind::Damaged, what)
            }
            None | Some(_) => return Ok(()),
        };
        Err(Finding { kind, what })
    }
}

/// The end of each record.
fn tail(origin: &Origin) -> Vec<u8> {
    let mut tail = serde_json::to_vec(origin).unwrap_or_default();
    if let Some(first) = tail.first_mut() {
        *first = b',';
    }
    tail
}

fn check_origin(page: &Page, line: &Line, tail: &[u8], origin: &Origin) -> Result<(), String> {
    if page.json(line).ends_with(tail) {
        return Ok(());
    }
    // Perhaps only written differently.
    match page.record(line) {
        Ok(record) if record.origin == *origin => Ok(()),
        _ => Err(format!("line {} is of another step", line.seq)),
    }
}
