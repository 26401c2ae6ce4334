//! The lines of one writer, page by page, oldest or newest first.
//!
//! ```text
//! end.json, or a LIST ──► objects ──► index ──► batches of frames ──► in flight ──► pages
//!                         (plan)      (client)  (plan)                (read, decode) in order
//! ```
//!
//! Some batches are under way at any time; they are read by the runtime and decoded by its threads
//! for blocking work, and handed on in order. A chunk that vanishes while it is being read has
//! become part of a segment: the folder is looked at anew and reading goes on where it stood.
//!
//! Following a writer means to ask for the chunk with the next number until it is there, or until
//! `end.json` says that there will be none.

use std::collections::VecDeque;
use std::sync::Arc;

use object_store::path::Path;
use tokio::task::JoinHandle;

use super::super::layout;
use super::super::object::{End, FrameInfo};
use super::super::{Codec, object};
use super::Reader;
use super::client::{Client, IndexError, short};
use super::decode::{self, Decoded};
use super::plan::{self, Object};
use crate::read::filter::Filter;
use crate::read::group::Groups;
use crate::read::page::Page;
use crate::read::sources::{self, Next};
use crate::read::store::{Direction, ReadError, Stream};

/// One request for frames of a remote store brings about this much; more requests are slower, and
/// more bytes take memory.
const REMOTE_BATCH: u64 = 2 << 20;
/// The same where a request is a system call.
const LOCAL_BATCH: u64 = 64 << 10;
/// Numbers of lines are counted from here when they are counted down.
const COUNT_DOWN_FROM: u64 = 1 << 62;
/// A chunk that is not there has perhaps become part of a segment: so often that is looked for.
const LOOK_ANEW: u32 = 8;

/// What is to be read of a writer, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) stream: u32,
    pub(super) prefix: Path,
    pub(super) end: Option<Arc<End>>,
    /// Chunks may be missing because they are still under way.
    pub(super) running: bool,
    pub(super) filter: Arc<Filter>,
    pub(super) direction: Direction,
    pub(super) from_chunk: u64,
    pub(super) follow: bool,
    /// Batches under way.
    pub(super) ahead: usize,
    /// Lines of a batch, about.
    pub(super) lines: u64,
}

/// One writer being read.
#[derive(Debug)]
pub(super) struct Source {
    client: Client,
    plan: Plan,
    objects: Option<VecDeque<Object>>,
    batches: VecDeque<(Object, Vec<FrameInfo>)>,
    flights: VecDeque<Flight>,
    decoded: VecDeque<Page>,
    troubles: VecDeque<String>,
    groups: Groups,
    /// Number of the next line in scope.
    count: u64,
    /// `seq` behind the last page (forward), of the first line of it (backward).
    reached: Option<u64>,
    /// Chunks before this one are not to be read (again).
    first_chunk: u64,
    /// Number of the chunk after the last known one.
    next_chunk: u64,
    /// Of chunks, once one was seen.
    codec: Option<Codec>,
    misses: u32,
    exhausted: bool,
}

#[derive(Debug)]
struct Flight {
    object: Object,
    task: JoinHandle<Result<Landed, ReadError>>,
}

#[derive(Debug)]
enum Landed {
    Decoded(Decoded),
    /// No object of that name.
    Gone,
}

impl Source {
    pub(super) fn new(client: Client, plan: Plan) -> Self {
        let next_chunk = plan.from_chunk;
        let (groups, direction) = (Groups::new(plan.direction), plan.direction);
        Self {
            client,
            plan,
            objects: None,
            batches: VecDeque::new(),
            flights: VecDeque::new(),
            decoded: VecDeque::new(),
            troubles: VecDeque::new(),
            groups,
            count: match direction {
                Direction::Forward => 0,
                Direction::Backward => COUNT_DOWN_FROM,
            },
            reached: None,
            first_chunk: next_chunk,
            next_chunk,
            codec: None,
            misses: 0,
            exhausted: false,
        }
    }

    async fn step(&mut self) -> Result<Next, ReadError> {
        if self.objects.is_none() {
            self.look().await?;
        }
        loop {
            if let Some(trouble) = self.troubles.pop_front() {
                return Ok(Next::Trouble(trouble));
            }
            if let Some(page) = self.next_decided() {
                return Ok(Next::Page(page));
            }
            if self.exhausted {
                return Ok(Next::Done);
            }
            self.take_off().await?;
            if let Some(flight) = self.flights.pop_front() {
                self.land(flight).await?;
                continue;
            }
            if self.plan.follow {
                if !self.poll().await? {
                    return Ok(if self.exhausted { Next::Done } else { Next::Pending });
                }
            } else {
                self.groups.finish(self.keeps_context());
                self.exhausted = true;
            }
        }
    }

    fn keeps_context(&self) -> bool {
        self.plan.filter.context != (0, 0)
    }

    fn next_decided(&mut self) -> Option<Page> {
        loop {
            if let Some(mut page) = self.groups.pop() {
                let lines = page.scope_lines();
                match self.plan.direction {
                    Direction::Forward => {
                        page.set_base(self.count);
                        self.count += lines;
                    }
                    Direction::Backward => {
                        self.count -= lines;
                        page.set_base(self.count);
                    }
                }
                return Some(page);
            }
            let page = self.decoded.pop_front()?;
            self.reached = Some(match self.plan.direction {
                Direction::Forward => page.next_seq(),
                Direction::Backward => page.first_seq(),
            });
            let keeps_context = self.keeps_context();
            self.groups.push(page, keeps_context);
        }
    }

    /// Finds out what objects there are, from `next_chunk` on or, backward, up to where reading
    /// stands.
    async fn look(&mut self) -> Result<(), ReadError> {
        let filter = self.bounded();
        let from = self.next_chunk;
        self.first_chunk = from;
        let objects = if let Some(end) = &self.plan.end {
            let objects = plan::finished(&self.plan.prefix, end, &filter, from);
            self.next_chunk = end.chunks;
            objects
        } else {
            let metas = self.client.list(&self.plan.prefix).await?;
            let mut objects = plan::listed(&self.plan.prefix, &metas, from);
            let mut holes = plan::holes(&objects, from).into_iter();
            if self.plan.running || self.plan.follow {
                // Chunks are sent several at a time: what is missing may be under way.
                if let Some((position, _)) = holes.next() {
                    objects.truncate(position);
                }
            } else {
                self.troubles.extend(holes.map(|(_, missing)| match missing.end - missing.start {
                    1 => format!("chunk {} is missing", missing.start),
                    _ => format!("chunks {} to {} are missing", missing.start, missing.end - 1),
                }));
            }
            self.next_chunk = objects.last().map_or(from, |object| object.chunks.end);
            objects
        };
        let mut objects = VecDeque::from(objects);
        if self.plan.direction == Direction::Backward {
            objects.make_contiguous().reverse();
        }
        self.objects = Some(objects);
        Ok(())
    }

    /// The filter, without what has been read.
    fn bounded(&self) -> Filter {
        let mut filter = (*self.plan.filter).clone();
        if let Some(reached) = self.reached {
            match self.plan.direction {
                Direction::Forward => filter.from_seq = filter.from_seq.max(reached),
                Direction::Backward => {
                    filter.to_seq = Some(filter.to_seq.map_or(reached, |to| to.min(reached)));
                }
            }
        }
        filter
    }

    /// Sends off as many batches as may be under way.
    async fn take_off(&mut self) -> Result<(), ReadError> {
        while self.flights.len() < self.plan.ahead {
            if let Some((object, frames)) = self.batches.pop_front() {
                let task = self.fly(object.clone(), frames);
                self.flights.push_back(Flight { object, task });
                continue;
            }
            let Some(object) = self.objects.as_mut().and_then(VecDeque::pop_front) else { break };
            if object.live {
                let task = self.fly_live(&object);
                self.flights.push_back(Flight { object, task });
                continue;
            }
            self.open_segment(object).await?;
        }
        Ok(())
    }

    /// Reads a segment's index and plans its batches.
    async fn open_segment(&mut self, object: Object) -> Result<(), ReadError> {
        let guess = object.info.as_ref().map(|info| info.index_len);
        let (path, size, codec) = (&object.path, object.size, object.codec);
        let index = match self.client.segment_index(path, size, guess, codec).await {
            Ok(index) => index,
            Err(IndexError::Read(error)) => return Err(error),
            Err(error) => {
                let lost = match &object.info {
                    Some(info) => {
                        format!("lines {} to {}", info.first_seq, info.first_seq + info.lines - 1)
                    }
                    None => format!("chunks {} to {}", object.chunks.start, object.chunks.end - 1),
                };
                self.troubles.push_back(format!("{lost} are lost: {error}"));
                return Ok(());
            }
        };
        let mut filter = self.bounded();
        if let Some(first) = index.chunks.iter().find(|chunk| chunk.n >= self.first_chunk) {
            filter.from_seq = filter.from_seq.max(first.first_seq);
        }
        let frames = plan::frames(&index, &filter, object.hit_until);
        let bytes = if self.client.local { LOCAL_BATCH } else { REMOTE_BATCH };
        let mut batches = plan::batches(frames, bytes, self.plan.lines);
        if self.plan.direction == Direction::Backward {
            batches.reverse();
        }
        self.batches.extend(batches.into_iter().map(|batch| (object.clone(), batch)));
        Ok(())
    }

    /// Reads and decodes a batch of a segment.
    fn fly(&self, object: Object, frames: Vec<FrameInfo>) -> JoinHandle<Result<Landed, ReadError>> {
        let (client, filter) = (self.client.clone(), Arc::clone(&self.plan.filter));
        let stream = self.plan.stream;
        let name = short(&self.plan.prefix, &object.path).to_owned();
        tokio::spawn(async move {
            let Some(range) = plan::span(&frames) else {
                return Ok(Landed::Decoded(Decoded::default()));
            };
            let offset = range.start;
            let Some(bytes) = client.range(&object.path, range).await? else {
                return Ok(Landed::Gone);
            };
            on_a_thread(move || {
                decode::batch(&name, object.codec, &bytes, offset, &frames, &filter, stream)
            })
            .await
        })
    }

    /// Reads and decodes a chunk that is not in a segment, its index with it.
    fn fly_live(&self, object: &Object) -> JoinHandle<Result<Landed, ReadError>> {
        let (client, filter) = (self.client.clone(), Arc::new(self.bounded()));
        let (path, codec, stream) = (object.path.clone(), object.codec, self.plan.stream);
        let name = short(&self.plan.prefix, &path).to_owned();
        tokio::spawn(async move {
            let Some(bytes) = client.get(&path).await? else { return Ok(Landed::Gone) };
            on_a_thread(move || live(&name, codec, &bytes, &filter, stream)).await
        })
    }

    async fn land(&mut self, flight: Flight) -> Result<(), ReadError> {
        let landed = match flight.task.await {
            Ok(landed) => landed?,
            Err(error) => Landed::Decoded(Decoded {
                pages: Vec::new(),
                troubles: vec![format!("{}: {error}", flight.object.path)],
            }),
        };
        match landed {
            Landed::Decoded(mut decoded) => {
                if self.plan.direction == Direction::Backward {
                    decoded.pages.reverse();
                }
                self.decoded.extend(decoded.pages);
                self.troubles.extend(decoded.troubles);
            }
            Landed::Gone if flight.object.live || self.plan.end.is_none() => {
                self.look_anew(&flight.object).await?;
            }
            Landed::Gone => {
                let name = short(&self.plan.prefix, &flight.object.path);
                self.troubles.push_back(format!("{name} is missing"));
            }
        }
        Ok(())
    }

    /// A chunk is gone: it is in a segment now, or the whole run was removed.
    async fn look_anew(&mut self, gone: &Object) -> Result<(), ReadError> {
        self.flights.clear();
        self.batches.clear();
        // What was known is forgotten, except how far reading has come.
        let known = self.next_chunk;
        self.next_chunk = match self.plan.direction {
            Direction::Forward => gone.chunks.start,
            Direction::Backward => self.plan.from_chunk,
        };
        self.see_end().await?;
        self.look().await?;
        let objects = self.objects.get_or_insert_default();
        objects.retain(|object| object.chunks.start < known);
        let again = objects.iter().any(|object| object.path == gone.path);
        let covered = objects.iter().any(|object| object.chunks.contains(&gone.chunks.start));
        if again || !covered {
            // Listed, but not to be had; or nowhere.
            objects.retain(|object| object.path != gone.path);
            let name = short(&self.plan.prefix, &gone.path);
            self.troubles.push_back(format!("{name} is missing"));
        }
        self.next_chunk = self.next_chunk.max(known);
        Ok(())
    }

    async fn see_end(&mut self) -> Result<bool, ReadError> {
        if self.plan.end.is_none() {
            match self.client.json::<End>(&layout::end(&self.plan.prefix)).await? {
                Some(Ok(end)) => self.plan.end = Some(Arc::new(end)),
                Some(Err(error)) => {
                    self.troubles.push_back(format!("end.json cannot be read: {error}"));
                    self.exhausted = true;
                }
                None => {}
            }
        }
        Ok(self.plan.end.is_some())
    }

    /// Following: whether there is more now, or an end.
    async fn poll(&mut self) -> Result<bool, ReadError> {
        if let Some(end) = &self.plan.end {
            if self.next_chunk >= end.chunks {
                self.exhausted = true;
                return Ok(false);
            }
            self.look().await?;
            return Ok(true);
        }
        let codecs = self.codec.map_or(vec![Codec::Zstd, Codec::Gzip], |codec| vec![codec]);
        for codec in codecs {
            let path = layout::live(&self.plan.prefix, self.next_chunk, codec);
            let Some(bytes) = self.client.get(&path).await? else { continue };
            let (filter, stream) = (Arc::clone(&self.plan.filter), self.plan.stream);
            let name = short(&self.plan.prefix, &path).to_owned();
            let landed = on_a_thread(move || live(&name, codec, &bytes, &filter, stream)).await?;
            if let Landed::Decoded(decoded) = landed {
                self.decoded.extend(decoded.pages);
                self.troubles.extend(decoded.troubles);
            }
            self.next_chunk += 1;
            self.codec = Some(codec);
            self.misses = 0;
            return Ok(true);
        }
        if self.see_end().await? {
            return Ok(true);
        }
        self.misses += 1;
        if self.misses.is_multiple_of(LOOK_ANEW) {
            let before = self.next_chunk;
            self.look().await?;
            return Ok(self.next_chunk > before);
        }
        Ok(false)
    }
}

impl sources::Source for Source {
    fn next(&mut self) -> impl Future<Output = Result<Next, ReadError>> + Send {
        self.step()
    }

    fn ended(&self) -> Option<Stream> {
        self.plan.end.as_deref().map(Reader::stream_of_end)
    }

    /// Number of the chunk after the last one that was there when reading began.
    fn mark(&self) -> u64 {
        self.plan.end.as_ref().map_or(self.next_chunk, |end| end.chunks)
    }
}

/// Decoding would keep the runtime's own threads from their work.
async fn on_a_thread(work: impl FnOnce() -> Decoded + Send + 'static) -> Result<Landed, ReadError> {
    let decoded = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Decoded {
        pages: Vec::new(),
        troubles: vec![format!("decoding stopped: {error}")],
    });
    Ok(Landed::Decoded(decoded))
}

/// A whole chunk to pages.
fn live(name: &str, codec: Codec, bytes: &[u8], filter: &Filter, stream: u32) -> Decoded {
    match object::parse_footer(bytes, bytes.len() as u64, codec) {
        Ok(object::Footer::Index(index)) => {
            let frames = plan::frames(&index, filter, u64::MAX);
            decode::batch(name, codec, bytes, 0, &frames, filter, stream)
        }
        Ok(object::Footer::Need(_)) => {
            Decoded { pages: Vec::new(), troubles: vec![format!("{name} is cut off")] }
        }
        Err(error) => {
            Decoded { pages: Vec::new(), troubles: vec![format!("{name} is damaged: {error}")] }
        }
    }
}
