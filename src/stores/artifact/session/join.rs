//! Live chunks to a segment: the same frames in one object, with one index.
//!
//! Apart because it is the only thing that moves more than a chunk at once, and must not hold it
//! all: chunks are fetched a few at a time and leave in parts. The caller deletes the chunks and
//! notes the segment.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use super::put::{Existing, Put, contradiction, create, read_index, read_whole};
use crate::record::WriterId;
use crate::stores::DeliverError;
use crate::stores::artifact::failure::{classify, retry};
use crate::stores::artifact::object::{
    Footer, Index, SegmentInfo, Sha256Builder, footer, parse_footer,
};
use crate::stores::artifact::{Codec, layout};

/// A part of an upload in parts: the least that S3 takes, and all of one size as R2 wants it.
const PART: usize = 5 << 20;
/// The same where no store has a say.
const LOCAL_PART: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };
/// Bytes of chunks that are fetched ahead.
const AHEAD: u64 = 2 << 20;
/// Chunks that are fetched ahead, however small.
const MOST_AHEAD: usize = 16;

/// Where and whose.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) prefix: &'a Path,
    pub(super) writer: WriterId,
    pub(super) codec: Codec,
    /// A folder of this machine.
    pub(super) local: bool,
}

/// Chunks to join.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
    /// About how many bytes they are.
    pub(super) bytes: u64,
}

/// What came of it.
pub(super) enum Joined {
    /// All of them are in this segment.
    Segment(SegmentInfo),
    /// This one, which the store had taken, is gone or damaged; nothing was joined.
    Damaged(u64),
}

/// Makes the segment.
pub(super) async fn join(place: Place<'_>, range: Range) -> Result<Joined, DeliverError> {
    let Range { first, last, bytes } = range;
    let path = layout::seg(place.prefix, first, last, place.codec);
    let purpose = format!("put the segment of chunks {first} to {last}");
    let mut upload = Upload::new(place, path.clone(), purpose);
    let mut index = Index::new(place.writer, place.codec);
    let ahead = (AHEAD / (bytes / (last - first + 1)).max(1)).clamp(1, MOST_AHEAD as u64);
    let mut chunks = futures_util::stream::iter(first..=last)
        .map(|number| fetch(place, number))
        .buffered(ahead as usize);
    loop {
        let (frames, of_chunk) = match chunks.try_next().await {
            Ok(None) => break,
            Ok(Some(Fetched::Chunk(frames, index))) => (frames, index),
            Ok(Some(Fetched::Damaged(number))) => {
                upload.abort().await;
                return Ok(Joined::Damaged(number));
            }
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        index.append(&of_chunk);
        upload.write(frames).await?;
    }
    let footer = Bytes::from(footer(&index));
    let footer_len = footer.len() as u64;
    upload.write(footer).await?;
    match upload.finish().await? {
        Done::Written { size, sha256 } => {
            Ok(Joined::Segment(index.segment(sha256, size, footer_len)))
        }
        Done::Exists => match describe(place, &path).await? {
            Existing::Is((there, info)) if there.chunks == index.chunks => {
                Ok(Joined::Segment(info))
            }
            Existing::Is(_) | Existing::Unreadable(_) => Err(DeliverError::Fatal {
                message: format!("{path} holds other lines than the chunks it stands for"),
                advice: "move that object out of the way; its chunks are still in the store",
                not_allowed: false,
            }),
            Existing::Missing => Err(contradiction("put a segment")),
        },
    }
}

/// Index and description of a segment that is there.
pub(super) async fn describe(
    place: Place<'_>,
    path: &Path,
) -> Result<Existing<(Index, SegmentInfo)>, DeliverError> {
    let index = match read_index(place.store, path, place.codec).await? {
        Existing::Is(index) => index,
        Existing::Unreadable(error) => return Ok(Existing::Unreadable(error)),
        Existing::Missing => return Ok(Existing::Missing),
    };
    let purpose = "read a segment";
    let failed = |error: object_store::Error| classify(purpose, &error);
    let object = place.store.get(path).await.map_err(failed)?;
    let size = object.meta.size;
    let mut digest = Sha256Builder::new();
    let mut stream = object.into_stream();
    while let Some(bytes) = stream.try_next().await.map_err(failed)? {
        digest.update(&bytes);
    }
    let info = index.segment(digest.finish(), size, size.saturating_sub(index.data_len()));
    Ok(Existing::Is((index, info)))
}

enum Fetched {
    Chunk(Bytes, Index),
    Damaged(u64),
}

/// The frames of a live chunk and what is in them.
async fn fetch(place: Place<'_>, number: u64) -> Result<Fetched, DeliverError> {
    let path = layout::live(place.prefix, number, place.codec);
    let purpose = format!("read chunk {number} to join it");
    let Some(object) = read_whole(place.store, &path, &purpose).await? else {
        return Ok(Fetched::Damaged(number));
    };
    let Ok(Footer::Index(index)) = parse_footer(&object, object.len() as u64, place.codec) else {
        return Ok(Fetched::Damaged(number));
    };
    let is_it = index.writer == place.writer
        && index.chunks.first().is_some_and(|chunk| chunk.n == number)
        && index.chunks.len() == 1;
    if !is_it {
        return Ok(Fetched::Damaged(number));
    }
    Ok(Fetched::Chunk(object.slice(..index.data_len() as usize), index))
}

/// An object on its way: in one put if it fits a part, else in parts.
struct Upload<'a> {
    store: &'a dyn ObjectStore,
    /// Bytes of a part.
    part: usize,
    path: Path,
    purpose: String,
    parts: Option<Box<dyn MultipartUpload>>,
    /// What is not sent yet; less than a part.
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    size: u64,
    digest: Sha256Builder,
}

enum Done {
    Written { size: u64, sha256: crate::stores::artifact::object::Sha256 },
    Exists,
}

impl<'a> Upload<'a> {
    fn new(place: Place<'a>, path: Path, purpose: String) -> Self {
        Self {
            store: place.store,
            part: if place.local { LOCAL_PART } else { PART },
            path,
            purpose,
            parts: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            size: 0,
            digest: Sha256Builder::new(),
        }
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), DeliverError> {
        self.digest.update(&bytes);
        self.size += bytes.len() as u64;
        while self.waiting_bytes + bytes.len() > self.part {
            let head = bytes.split_to(self.part - self.waiting_bytes);
            self.wait_with(head);
            self.send_part().await?;
        }
        self.wait_with(bytes);
        Ok(())
    }

    fn wait_with(&mut self, bytes: Bytes) {
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
    }

    async fn send_part(&mut self) -> Result<(), DeliverError> {
        if self.parts.is_none() {
            let parts = self.store.put_multipart(&self.path).await;
            self.parts = Some(parts.map_err(|error| classify(&self.purpose, &error))?);
        }
        let payload = self.payload();
        let Some(parts) = &mut self.parts else { return Ok(()) };
        if let Err(error) = parts.put_part(payload).await {
            let error = classify(&self.purpose, &error);
            self.abort().await;
            return Err(error);
        }
        Ok(())
    }

    fn payload(&mut self) -> PutPayload {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().collect()
    }

    async fn finish(mut self) -> Result<Done, DeliverError> {
        let written = |digest: Sha256Builder, size| Done::Written { size, sha256: digest.finish() };
        if self.parts.is_none() {
            let payload = self.payload();
            return match create(self.store, &self.path, payload, &self.purpose).await? {
                Put::Created => Ok(written(self.digest, self.size)),
                Put::Exists => Ok(Done::Exists),
            };
        }
        // The parts of an upload cannot be conditional. The name stands for these chunks, so an
        // object that is there already has the same frames.
        self.send_part().await?;
        let Some(parts) = &mut self.parts else { return Err(retry(self.purpose)) };
        match parts.complete().await {
            Ok(_) => Ok(written(self.digest, self.size)),
            Err(error) => {
                let error = classify(&self.purpose, &error);
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Lets the store forget the parts. Best effort: buckets have a rule for what is left.
    async fn abort(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            drop(parts.abort().await);
        }
    }
}
