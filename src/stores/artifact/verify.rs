//! Proof that a writer's lines are all there, once each, unaltered and in order.
//!
//! Everything is read and everything is computed anew: the checksum of each object, of each chunk,
//! the chain over all chunks; from the text itself the numbers, counts, times, levels and bytes that
//! the indexes and `end.json` claim. Numbers of chunks and of lines must be dense. What the spool
//! counted must be what came out, gaps included.
//!
//! Finds and names what is wrong; repairs nothing.

mod frames;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::fetch::{Client, Entry, Reader, listed, short};
use super::object::{End, Footer, Index, SegmentInfo, Sha256, chain, chain_start, parse_footer};
use super::{Codec, layout};
use crate::read::store::ReadError;
use crate::record::{LevelCounts, Origin, Writer};
use crate::words::counted;
use frames::Sums;

/// Objects under way at a time: each is read as a whole.
const AT_A_TIME: usize = 2;

/// What was found out about a writer.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who.
    pub writer: Writer,
    /// All that is wrong.
    pub findings: Vec<Finding>,
    /// `end.json` is there.
    pub finished: bool,
    /// Lines read.
    pub lines: u64,
    /// Bytes of the step that they stand for.
    pub bytes: u64,
    /// Chunks read.
    pub chunks: u64,
    /// Objects read.
    pub objects: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub kind: Kind,
    /// What and where, in words.
    pub what: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing is lost: something lies about that has no use.
    Leftover,
    /// Something is not there: perhaps not yet, perhaps never more.
    Missing,
    /// Something is not what it was.
    Damaged,
}

impl Report {
    fn new(writer: Writer) -> Self {
        Self {
            writer,
            findings: Vec::new(),
            finished: false,
            lines: 0,
            bytes: 0,
            chunks: 0,
            objects: 0,
        }
    }

    /// The worst of it.
    pub fn worst(&self) -> Option<Kind> {
        self.findings.iter().map(|finding| finding.kind).max()
    }

    fn find(&mut self, kind: Kind, what: impl Into<String>) {
        self.findings.push(Finding { kind, what: what.into() });
    }

    /// Notes a difference.
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, claimed: &T, found: &T) {
        if claimed != found {
            let what = format!("{what}: {claimed:?} by end.json, {found:?} by the lines");
            self.find(Kind::Damaged, what);
        }
    }
}

/// The writers of a run (or of one of its steps), oldest first.
pub async fn writers(
    reader: &Reader,
    run: &str,
    step: Option<&str>,
) -> Result<Vec<Writer>, ReadError> {
    let entries = reader.entries(run, step).await?;
    Ok(entries.into_iter().map(|entry: Entry| entry.writer).collect())
}

/// Checks all that the store has of a writer.
pub async fn verify(reader: &Reader, writer: &Writer) -> Result<Report, ReadError> {
    let client = reader.client();
    let prefix = layout::writer_prefix(writer);
    let mut report = Report::new(writer.clone());
    let metas = client.list(&prefix).await?;
    let end = match client.json::<End>(&layout::end(&prefix)).await? {
        None => None,
        Some(Ok(end)) => Some(end),
        Some(Err(error)) => {
            report.find(Kind::Damaged, format!("end.json cannot be read: {error}"));
            None
        }
    };
    report.finished = end.is_some();
    let objects = match &end {
        Some(end) => of_end(&prefix, &metas, end, &mut report),
        None => of_list(&prefix, &metas, &mut report),
    };
    let mut whole = Whole::new(writer);
    let origin = Arc::new(writer.origin.clone());
    let checked: Vec<Checked> = stream::iter(objects)
        .map(|object| check(client, &prefix, writer, Arc::clone(&origin), object))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    for checked in checked {
        whole.add(checked, &mut report);
    }
    match &end {
        Some(end) => {
            whole.against(end, &mut report);
            leftovers(client, &prefix, &metas, &whole, end, &mut report).await?;
        }
        None => report.find(Kind::Missing, "end.json is missing: not finished, or not delivered"),
    }
    report.lines = whole.sums.lines;
    report.bytes = whole.sums.bytes;
    report.chunks = whole.chunks.len() as u64;
    Ok(report)
}

/// An object that is to be read.
struct Object {
    path: Path,
    codec: Codec,
    chunks: Range<u64>,
    claimed: Option<SegmentInfo>,
}

/// What `end.json` says there is; objects that are not there are found here.
fn of_end(prefix: &Path, metas: &[ObjectMeta], end: &End, report: &mut Report) -> Vec<Object> {
    let mut next = 0;
    let mut objects = Vec::new();
    for info in &end.segments {
        if info.first != next || info.last < info.first {
            let what = format!("end.json: chunk {next} should be followed by {}", info.first);
            report.find(Kind::Damaged, what);
        }
        next = info.last + 1;
        let path = layout::seg(prefix, info.first, info.last, info.codec);
        match metas.iter().find(|meta| meta.location == path) {
            None => {
                let what = format!(
                    "{} is missing: lines {} to {}",
                    short(prefix, &path),
                    info.first_seq,
                    (info.first_seq + info.lines).saturating_sub(1)
                );
                report.find(Kind::Missing, what);
            }
            Some(_) => objects.push(Object {
                path,
                codec: info.codec,
                chunks: info.first..info.last + 1,
                claimed: Some(info.clone()),
            }),
        }
    }
    if next != end.chunks {
        let what = format!("end.json: {} chunks, but its segments hold {next}", end.chunks);
        report.find(Kind::Damaged, what);
    }
    objects
}

/// What is there, where nothing says what should be.
fn of_list(prefix: &Path, metas: &[ObjectMeta], report: &mut Report) -> Vec<Object> {
    let objects = listed(prefix, metas);
    let mut next = 0;
    for (_, _, chunks) in &objects {
        if chunks.start > next {
            let what = match chunks.start - next {
                1 => format!("chunk {next} is missing"),
                _ => format!("chunks {next} to {} are missing", chunks.start - 1),
            };
            report.find(Kind::Missing, what);
        }
        next = chunks.end;
    }
    for meta in metas.iter().filter(|meta| layout::member(prefix, &meta.location).is_none()) {
        let what = format!("{} is no object of steplog's", meta.location);
        report.find(Kind::Leftover, what);
    }
    objects
        .into_iter()
        .map(|(path, codec, chunks)| Object { path, codec, chunks, claimed: None })
        .collect()
}

/// What an object turned out to be.
struct Checked {
    name: String,
    index: Option<Index>,
    /// Per chunk, computed.
    digests: Vec<(u64, Sha256)>,
    sums: Option<Sums>,
    findings: Vec<Finding>,
}

async fn check(
    client: &Client,
    prefix: &Path,
    writer: &Writer,
    origin: Arc<Origin>,
    object: Object,
) -> Result<Checked, ReadError> {
    let name = short(prefix, &object.path).to_owned();
    let bytes = client.get(&object.path).await?;
    let id = writer.id;
    let work = move || {
        let mut checked = Checked {
            name: name.clone(),
            index: None,
            digests: Vec::new(),
            sums: None,
            findings: Vec::new(),
        };
        match bytes {
            None => checked.find(Kind::Missing, "is missing"),
            Some(bytes) => {
                checked.object(&bytes, &object);
                if let Some(index) = checked.index.take() {
                    if index.writer != id {
                        checked.find(Kind::Damaged, format!("is of writer {}", index.writer));
                    }
                    checked.chunks(&bytes, &index, &object, &origin);
                    checked.index = Some(index);
                }
            }
        }
        checked
    };
    Ok(tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let what = format!("checking stopped: {error}");
        Checked {
            name: what.clone(),
            index: None,
            digests: Vec::new(),
            sums: None,
            findings: vec![Finding { kind: Kind::Damaged, what }],
        }
    }))
}

impl Checked {
    fn find(&mut self, kind: Kind, what: impl std::fmt::Display) {
        self.findings.push(Finding { kind, what: format!("{} {what}", self.name) });
    }

    /// Length, checksum and index of the object.
    fn object(&mut self, bytes: &Bytes, object: &Object) {
        let size = bytes.len() as u64;
        if let Some(claimed) = &object.claimed {
            if claimed.size != size {
                let what = format!("has {size} bytes, end.json says {}", claimed.size);
                self.find(Kind::Damaged, what);
            }
            let sha256 = Sha256::of(bytes);
            if claimed.sha256 != sha256 {
                let what =
                    format!("was altered: SHA-256 {sha256}, end.json says {}", claimed.sha256);
                self.find(Kind::Damaged, what);
            }
        }
        match parse_footer(bytes, size, object.codec) {
            Ok(Footer::Index(index)) => self.index = Some(index),
            Ok(Footer::Need(_)) => self.find(Kind::Damaged, "is cut off at its end"),
            Err(error) => self.find(Kind::Damaged, format!("has no index: {error}")),
        }
    }

    /// Each chunk and all that is in it.
    fn chunks(&mut self, bytes: &Bytes, index: &Index, object: &Object, origin: &Origin) {
        let numbers: Vec<u64> = index.chunks.iter().map(|chunk| chunk.n).collect();
        if !numbers.iter().copied().eq(object.chunks.clone()) {
            let what = format!("holds chunks {numbers:?}, by its name {:?}", object.chunks);
            self.find(Kind::Damaged, what);
        }
        let mut frames = index.frames.iter();
        let mut offset = 0;
        let mut all = Sums::default();
        for chunk in &index.chunks {
            let end = offset + chunk.stored_bytes;
            let stored = bytes.get(offset as usize..end as usize).unwrap_or_default();
            let sha256 = Sha256::of(stored);
            if sha256 != chunk.sha256 {
                self.find(Kind::Damaged, format!("chunk {} was altered (SHA-256)", chunk.n));
            }
            self.digests.push((chunk.n, sha256));
            let mut sums = Sums::default();
            // The footer was checked: frames lie without holes up to the index.
            let of_chunk =
                frames.by_ref().take_while_inclusive(|frame| frame.offset + frame.len < end);
            for frame in of_chunk {
                if let Err(found) = sums.add_frame(bytes, index.codec, frame, origin) {
                    self.find(found.kind, format!("chunk {}: {}", chunk.n, found.what));
                }
            }
            for (what, claimed, found) in [
                ("lines", chunk.lines, sums.lines),
                ("bytes", chunk.raw_bytes, sums.bytes),
                ("first line", chunk.first_seq, sums.first_seq.unwrap_or(chunk.first_seq)),
            ] {
                if claimed != found {
                    let what = format!(
                        "chunk {}: {what} {claimed} by its index, {found} by its text",
                        chunk.n
                    );
                    self.find(Kind::Damaged, what);
                }
            }
            if let Err(found) = all.append(&sums) {
                self.find(found.kind, format!("chunk {}: {}", chunk.n, found.what));
            }
            offset = end;
        }
        if let Some(claimed) = &object.claimed {
            let times = (all.first_time.unwrap_or_default(), all.last_time.unwrap_or_default());
            if (
                claimed.first_seq,
                claimed.lines,
                claimed.first_time,
                claimed.last_time,
                claimed.levels,
            ) != (all.first_seq.unwrap_or_default(), all.lines, times.0, times.1, all.levels)
            {
                self.find(Kind::Damaged, "does not hold the lines that end.json says it holds");
            }
        }
        self.sums = Some(all);
    }
}

/// `take_while` that takes the first element that fails too.
trait TakeWhileInclusive: Iterator {
    fn take_while_inclusive(
        self,
        holds: impl Fn(&Self::Item) -> bool,
    ) -> impl Iterator<Item = Self::Item>;
}

impl<I: Iterator> TakeWhileInclusive for I {
    fn take_while_inclusive(
        mut self,
        holds: impl Fn(&Self::Item) -> bool,
    ) -> impl Iterator<Item = Self::Item> {
        let mut over = false;
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let item = self.next()?;
            over = !holds(&item);
            Some(item)
        })
    }
}

/// All objects of a writer, put together.
struct Whole {
    chain: Sha256,
    chunks: Vec<(u64, Sha256)>,
    sums: Sums,
}

impl Whole {
    fn new(writer: &Writer) -> Self {
        Self { chain: chain_start(writer.id), chunks: Vec::new(), sums: Sums::default() }
    }

    fn add(&mut self, checked: Checked, report: &mut Report) {
        report.objects += 1;
        report.findings.extend(checked.findings);
        for (number, sha256) in checked.digests {
            self.chain = chain(self.chain, sha256);
            self.chunks.push((number, sha256));
        }
        if let Some(sums) = checked.sums
            && let Err(found) = self.sums.append(&sums)
        {
            report.find(found.kind, format!("{}: {}", checked.name, found.what));
        }
    }

    /// What `end.json` claims of the whole.
    fn against(&self, end: &End, report: &mut Report) {
        let (writer, sums) = (&report.writer, &self.sums);
        if (end.writer.id, &end.writer.origin) != (writer.id, &writer.origin) {
            report.find(Kind::Damaged, "end.json is of another writer");
        }
        if report.findings.iter().any(|finding| finding.kind == Kind::Missing) {
            // Sums cannot be right, and what is missing was named.
            return;
        }
        report.same("chunks", &end.chunks, &(self.chunks.len() as u64));
        report.same("chain of checksums", &end.chain, &self.chain);
        report.same("lines", &end.lines, &sums.lines);
        report.same("bytes", &end.bytes, &sums.bytes);
        report.same::<LevelCounts>("lines per level", &end.levels, &sums.levels);
        report.same("gaps", &end.gaps, &sums.gaps);
        if let Some(exit) = &end.exit {
            report.same(
                "bytes that the spool counted",
                &exit.bytes_spooled,
                &(sums.bytes + sums.gaps.bytes),
            );
        }
        if sums.gaps.count > 0 {
            let what = format!(
                "{}: {} and {} could not be kept when they were captured",
                counted(sums.gaps.count, "gap"),
                counted(sums.gaps.bytes, "byte"),
                counted(sums.gaps.lines, "line end")
            );
            report.find(Kind::Missing, what);
        }
    }
}

/// Objects that a finished writer does not need any more.
async fn leftovers(
    client: &Client,
    prefix: &Path,
    metas: &[ObjectMeta],
    whole: &Whole,
    end: &End,
    report: &mut Report,
) -> Result<(), ReadError> {
    for meta in metas {
        let name = short(prefix, &meta.location);
        match layout::member(prefix, &meta.location) {
            Some(layout::Member::End) => {}
            Some(layout::Member::Segment { first, last, .. }) => {
                if !end.segments.iter().any(|info| (info.first, info.last) == (first, last)) {
                    report.find(Kind::Leftover, format!("{name} is not one that end.json names"));
                }
            }
            Some(layout::Member::Live { number, codec }) => {
                let index = client.index(&meta.location, meta.size, None, codec).await;
                let claimed = index.ok().and_then(|index| index.chunks.first().map(|it| it.sha256));
                let known =
                    whole.chunks.iter().find(|(n, _)| *n == number).map(|(_, sha256)| *sha256);
                if claimed.is_some() && claimed == known {
                    report.find(Kind::Leftover, format!("{name} is in a segment too"));
                } else {
                    let what = format!("{name} is not what the segments hold as chunk {number}");
                    report.find(Kind::Damaged, what);
                }
            }
            None => report.find(Kind::Leftover, format!("{name} is no object of steplog's")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
