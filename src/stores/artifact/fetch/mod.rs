//! The artifact store, read: which writers a run has, how they stand, and their lines.
//!
//! Finds a run by the names in `runs/by-id`, without listing what holds the lines. A finished
//! writer is known by its `end.json`; of any other, the names and times of its objects are all
//! there is, and that shows in its [`Status`].

mod client;
pub(super) mod decode;
mod indexes;
mod lines;
mod plan;
mod source;

use std::collections::HashMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore};

use client::IndexError;
pub(super) use client::{Client, short};
pub(super) use decode::text as decode_frame;

use super::config::{Config, Location};
use super::object::{self, End, FrameInfo, Index};
use super::{Codec, OpenError, layout};
use crate::read::filter::Filter;
use crate::read::sources::Sources;
use crate::read::store::{
    Cost, Lines, LogReader, Piece, Pushdown, ReadError, Request, Run, Status, Stream,
    mark_continued,
};
use crate::record::{Nanos, Writer, WriterId};

/// A writer of which nothing came for this long is not called running any more. The longest age
/// at which a chunk is sealed is 30 s, so a step that prints is well within it.
const RUNNING: Duration = Duration::from_secs(120);
/// Ends of writers that are kept.
const ENDS: usize = 2048;
/// Requests under way at a time when many writers are looked at.
const AT_A_TIME: usize = 16;

/// The artifact store as [`LogReader`].
#[derive(Clone, Debug)]
pub struct Reader {
    client: Client,
    /// Of writers that were asked for; what is written there never changes.
    ends: Arc<Mutex<HashMap<WriterId, Arc<End>>>>,
}

/// A writer, by its entry in the index by run.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) writer: Writer,
}

impl Reader {
    /// Reads from `store`; `local`: a request is but a system call.
    pub fn new(store: Arc<dyn ObjectStore>, local: bool) -> Self {
        Self { client: Client::new(store, local), ends: Arc::default() }
    }

    /// Reads from the store that `config` describes. Makes no request.
    pub fn of(config: &Config) -> Result<Self, OpenError> {
        let local = match &config.location {
            Location::Local { path } if matches!(path.try_exists(), Ok(false)) => {
                // Nothing was ever kept there, and a reader makes no folders; but whoever follows
                // waits for a writer that does.
                let root = Path::from_absolute_path(path).map_err(object_store::Error::from)?;
                let store = PrefixStore::new(LocalFileSystem::new(), root);
                return Ok(Self::new(Arc::new(store), true));
            }
            Location::Local { .. } => true,
            Location::Remote { .. } => false,
        };
        Ok(Self::new(config.open()?, local))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The folder of a stream's writer.
    pub(super) fn prefix(stream: &Stream) -> Path {
        layout::prefix_of(&stream.origin, stream.writer)
    }

    /// All writers of a run, oldest first.
    pub(super) async fn entries(
        &self,
        run: &str,
        step: Option<&str>,
    ) -> Result<Vec<Entry>, ReadError> {
        let metas = self.client.list(&layout::by_id_folder(run, step)).await?;
        let mut entries: Vec<Entry> = stream::iter(metas)
            .map(async |meta| self.entry(&meta.location).await)
            .buffered(AT_A_TIME)
            .try_filter_map(async |entry| Ok(entry))
            .try_collect()
            .await?;
        entries.retain(|entry| {
            let origin = &entry.writer.origin;
            origin.pipeline_run_id == run && step.is_none_or(|step| origin.step_id == step)
        });
        entries.sort_by_key(|entry| entry.writer.id);
        Ok(entries)
    }

    /// The writer of an entry: by its name, or by its body where the name is too short.
    pub(super) async fn entry(&self, path: &Path) -> Result<Option<Entry>, ReadError> {
        let Some(parsed) = layout::parse_by_id(path) else { return Ok(None) };
        if parsed.exact {
            let writer = Writer {
                id: parsed.id,
                origin: parsed.origin,
                started: parsed.id.started(),
                attributes: std::collections::BTreeMap::new(),
            };
            return Ok(Some(Entry { writer }));
        }
        let body = self.client.json::<Writer>(path).await?;
        Ok(body.and_then(Result::ok).map(|writer| Entry { writer }))
    }

    /// `end.json` of a writer.
    pub(super) async fn end(
        &self,
        writer: &Writer,
    ) -> Result<Option<Result<Arc<End>, serde_json::Error>>, ReadError> {
        if let Some(end) = self.ends().get(&writer.id) {
            return Ok(Some(Ok(Arc::clone(end))));
        }
        let path = layout::end(&layout::writer_prefix(writer));
        Ok(match self.client.json::<End>(&path).await? {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(end)) => {
                let end = Arc::new(end);
                let mut ends = self.ends();
                if ends.len() >= ENDS {
                    // They are there to be read again.
                    ends.clear();
                }
                ends.insert(writer.id, Arc::clone(&end));
                drop(ends);
                Some(Ok(end))
            }
        })
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, HashMap<WriterId, Arc<End>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_end(&self, stream: &Stream) -> Option<Arc<End>> {
        self.ends().get(&stream.writer).map(Arc::clone)
    }

    async fn stream(&self, writer: Writer) -> Result<Stream, ReadError> {
        if let Some(Ok(end)) = self.end(&writer).await? {
            return Ok(Self::stream_of_end(&end));
        }
        let prefix = layout::writer_prefix(&writer);
        let metas = self.client.list(&prefix).await?;
        let last_seen = metas.iter().map(seen).max().unwrap_or(writer.started);
        let quiet = Nanos::now().0.saturating_sub(last_seen.0);
        let status =
            if quiet <= RUNNING.as_nanos() as i64 { Status::Running } else { Status::Unfinished };
        let lines = match plan::listed(&prefix, &metas, 0).last() {
            None => Some(0),
            Some(last) => {
                let index = self.client.index(&last.path, last.size, None, last.codec).await;
                index.ok().map(|index| index.next_seq())
            }
        };
        Ok(Stream {
            continues: writer.continues(),
            origin: writer.origin,
            writer: writer.id,
            status,
            started: writer.started,
            ended: None,
            last_seen: Some(last_seen),
            lines,
            bytes: None,
            levels: None,
            gaps: 0,
            exit: None,
            first_error: None,
        })
    }

    fn stream_of_end(end: &End) -> Stream {
        Stream {
            origin: end.writer.origin.clone(),
            writer: end.writer.id,
            continues: end.writer.continues(),
            status: match end.status {
                object::Status::Succeeded => Status::Succeeded,
                object::Status::Failed => Status::Failed,
                object::Status::Interrupted => Status::Interrupted,
            },
            started: end.started,
            ended: Some(end.ended),
            last_seen: None,
            lines: Some(end.lines),
            bytes: Some(end.bytes),
            levels: Some(end.levels),
            gaps: end.gaps.count,
            exit: end.exit.clone(),
            first_error: end.first_error.as_ref().map(|error| error.message.clone()),
        }
    }

    /// How many batches to have under way: as many as there are cores to decode them, unless a
    /// few lines are all that is wanted and the first batch has them.
    fn ahead(&self, about: Option<u64>, filter: &Filter) -> usize {
        if about.is_some_and(|lines| lines <= 20_000) && !filter.has_conditions() {
            return 1;
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        if self.client.local { (cores + 1).min(8) } else { (cores + 2).clamp(4, 8) }
    }

    /// The frames of a stream, by the indexes of its segments and chunks.
    async fn pieces(&self, stream: &Stream) -> Result<Vec<Piece>, ReadError> {
        let prefix = Self::prefix(stream);
        let objects = match self.known_end(stream) {
            Some(end) => plan::finished(&prefix, &end, &Filter::default(), 0),
            None => plan::listed(&prefix, &self.client.list(&prefix).await?, 0),
        };
        let mut pieces = Vec::new();
        let mut offset = Some(0);
        for object in objects {
            let guess = object.info.as_ref().map(|info| info.index_len);
            let (path, size, codec) = (&object.path, object.size, object.codec);
            let index = if object.live {
                self.client.index(path, size, guess, codec).await.map(Arc::new)
            } else {
                self.client.segment_index(path, size, guess, codec).await
            };
            match index {
                Ok(index) => pieces.extend(pieces_of(&index, &mut offset)),
                Err(IndexError::Read(error)) => return Err(error),
                // Whoever reads its lines is told.
                Err(_) => offset = None,
            }
        }
        Ok(pieces)
    }

    async fn newest(&self, limit: usize) -> Result<Vec<Run>, ReadError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut days = self.client.folders(&Path::from(layout::BY_DAY)).await?;
        while runs.len() < limit
            && let Some(day) = days.pop()
        {
            let mut metas = self.client.list(&day).await?;
            metas.sort_by_key(|meta| std::cmp::Reverse(meta.last_modified));
            for meta in metas {
                let Some((_, run)) = layout::parse_by_day(&meta.location) else { continue };
                let id = if run.exact {
                    run.value
                } else {
                    let body = self.client.json::<RunBody>(&meta.location).await?;
                    let Some(Ok(body)) = body else { continue };
                    body.pipeline_run_id
                };
                if runs.iter().all(|run| run.pipeline_run_id != id) {
                    runs.push(Run { pipeline_run_id: id, started: seen(&meta) });
                }
            }
        }
        runs.truncate(limit);
        Ok(runs)
    }
}

/// The frames of an object. Bytes are counted by chunk, so where one begins is known of the first of each.
fn pieces_of(index: &Index, offset: &mut Option<u64>) -> Vec<Piece> {
    let mut chunks = index.chunks.iter().peekable();
    let piece = |frame: &FrameInfo| {
        let chunk = chunks.next_if(|chunk| chunk.first_seq == frame.first_seq);
        let before = chunk.and(*offset);
        if let (Some(offset), Some(chunk)) = (offset.as_mut(), chunk) {
            *offset += chunk.raw_bytes;
        }
        Piece {
            first_seq: frame.first_seq,
            lines: frame.lines,
            offset: before,
            first_time: frame.first_time,
            last_time: frame.last_time,
            levels: frame.levels,
        }
    };
    index.frames.iter().map(piece).collect()
}

/// The chunks in a folder, a segment before its live chunks: object, codec, numbers.
pub(super) fn listed(prefix: &Path, metas: &[ObjectMeta]) -> Vec<(Path, Codec, Range<u64>)> {
    let objects = plan::listed(prefix, metas, 0);
    objects.into_iter().map(|object| (object.path, object.codec, object.chunks)).collect()
}

/// What an entry of the index by day says.
#[derive(serde::Deserialize)]
struct RunBody {
    pipeline_run_id: String,
}

impl LogReader for Reader {
    fn pushdown(&self) -> Pushdown {
        Pushdown { filter: true, backward: true, follow: true }
    }

    fn runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>> {
        self.newest(limit).boxed()
    }

    fn streams<'a>(
        &'a self,
        run: &'a str,
        step: Option<&'a str>,
        except: &'a [WriterId],
    ) -> BoxFuture<'a, Result<Vec<Stream>, ReadError>> {
        async move {
            let mut entries = self.entries(run, step).await?;
            entries.retain(|entry| !except.contains(&entry.writer.id));
            let mut streams: Vec<Stream> = stream::iter(entries)
                .map(|entry| self.stream(entry.writer))
                .buffered(AT_A_TIME)
                .try_collect()
                .await?;
            mark_continued(&mut streams);
            Ok(streams)
        }
        .boxed()
    }

    fn open(&self, streams: &[Stream], request: Request) -> Box<dyn Lines> {
        Box::new(Sources::new(lines::Writers(self.clone()), streams, request))
    }

    fn outline<'a>(
        &'a self,
        stream: &'a Stream,
    ) -> BoxFuture<'a, Result<Option<Vec<Piece>>, ReadError>> {
        async move { self.pieces(stream).await.map(Some) }.boxed()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn discovery(&self) -> Duration {
        Duration::from_millis(if self.client.local { 250 } else { 3000 })
    }

    fn cost(&self) -> Cost {
        self.client.meter.cost()
    }
}

/// When the store got an object.
pub(super) fn seen(meta: &ObjectMeta) -> Nanos {
    Nanos(meta.last_modified.timestamp_nanos_opt().unwrap_or_default())
}

#[cfg(test)]
mod tests;
