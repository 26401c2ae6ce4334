//! One writer's delivery to a service that takes records in requests.
//!
//! ```text
//! deliver    the start, once and before all else; then each request of the chunk
//!              taken                        ─► next
//!              too large, something invalid ─► halves, down to one record ─► dead letter
//!              partly                       ─► dead letters; what is to be sent again, later
//!              anything else                ─► the chunk's rest waits for the next try
//! finish     the end, once and last
//! ```
//!
//! What is left of a chunk whose try failed is kept, in memory as requests and in the checkpoint as
//! `seq`s, so that the next try does not send again what was taken. Only what is under way when
//! ship dies, or was taken since the checkpoint was written, arrives twice.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::dead_letter::{DeadLetter, Letter};
use super::encoder::{RecordEncoder, Spares};
use super::event::StreamEvent;
use super::{Format, Limits, Rejected, Reply, Request, SETTINGS, SendError, Service};
use crate::record::{IoStream, Level, Writer, WriterId};
use crate::stores::view::View;
use crate::stores::{
    Answer, Chunk, DeliverError, Encoder, Ending, Found, Patience, Receipt, Refused, Session,
    StateError, Summary,
};

const DEAD_LETTERS: &str =
    "look at what was rejected, then remove it or raise dead_letter_bytes in [ship]";

pub(super) struct RecordSession {
    service: Arc<dyn Service>,
    patience: Patience,
    dead_letter: Arc<DeadLetter>,
    writer: Writer,
    limits: Limits,
    format: Mutex<Box<dyn Format>>,
    spares: Spares,
    /// The start was taken.
    started: OnceCell<()>,
    /// The service has taken something of this process: what it refuses now is the record's fault. Not
    /// in the checkpoint, since the settings may be others by then.
    proved: AtomicBool,
    rejected: AtomicU64,
    /// What is left of chunks whose try failed, by number.
    rest: Mutex<HashMap<u64, VecDeque<Piece>>>,
    /// The same, and nothing for chunks that wait for others to be delivered, for the checkpoint.
    left: Mutex<BTreeMap<u64, Left>>,
}

/// What the checkpoint keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    started: bool,
    rejected: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<u64, Left>,
}

/// What is left of a chunk of which something was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    /// The chunk: good for no other cut of this number.
    chunk: Span,
    left: Vec<Span>,
}

/// Records, by `seq`: from the first one up to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span(u64, u64);

impl Span {
    fn of(summary: &Summary) -> Self {
        Self(summary.first_seq, summary.next_seq())
    }
}

/// One `seq` after another, put together.
fn spans(seqs: impl IntoIterator<Item = u64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for seq in seqs {
        match spans.last_mut() {
            Some(last) if last.1 == seq => last.1 += 1,
            _ => spans.push(Span(seq, seq + 1)),
        }
    }
    spans
}

/// The name of a request, by all of its records.
fn request_id(writer: WriterId, spans: &[Span]) -> String {
    let (first, next) = spans.first().zip(spans.last()).map_or((0, 1), |(a, b)| (a.0, b.1));
    let ends = format!("{writer}-{first}-{}", next.saturating_sub(1));
    if spans.len() <= 1 {
        return ends;
    }
    // FNV-1a: which of those between.
    let bytes = spans.iter().flat_map(|span| [span.0, span.1]).flat_map(u64::to_le_bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{ends}-{hash:016x}")
}

/// Records that are sent together.
#[derive(Clone, Debug)]
struct Piece {
    id: String,
    body: Bytes,
    /// Bytes before the first record in the body before compression.
    head: usize,
    ends: Vec<u32>,
    oversize: bool,
    /// Its records.
    spans: Vec<Span>,
}

/// What is left of a chunk, put back when a try ends early, however it ends.
struct Rest<'a> {
    session: &'a RecordSession,
    number: u64,
    chunk: Span,
    pieces: VecDeque<Piece>,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        let left: Vec<Span> = pieces.iter().flat_map(|piece| piece.spans.clone()).collect();
        let count: u64 = left.iter().map(|span| span.1 - span.0).sum();
        if count < self.chunk.1 - self.chunk.0 {
            self.session.left().insert(self.number, Left { chunk: self.chunk, left });
        }
        if !pieces.is_empty() {
            self.session.rest().insert(self.number, pieces);
        }
    }
}

impl RecordSession {
    pub(super) fn new(
        service: Arc<dyn Service>,
        patience: Patience,
        dead_letter: Arc<DeadLetter>,
        writer: Writer,
        state: &serde_json::Value,
    ) -> Result<Self, StateError> {
        let state = if state.is_null() { State::default() } else { State::deserialize(state)? };
        Ok(Self {
            format: Mutex::new(service.format(&writer)),
            spares: Spares::default(),
            limits: service.limits(),
            service,
            patience,
            dead_letter,
            writer,
            started: if state.started { OnceCell::from(()) } else { OnceCell::new() },
            proved: AtomicBool::new(false),
            rejected: AtomicU64::new(state.rejected),
            rest: Mutex::default(),
            left: Mutex::new(state.left),
        })
    }

    fn rest(&self) -> MutexGuard<'_, HashMap<u64, VecDeque<Piece>>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, BTreeMap<u64, Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn format(&self) -> MutexGuard<'_, Box<dyn Format>> {
        self.format.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one try at one request, within its limit.
    async fn send(&self, request: Request) -> Result<Reply, SendError> {
        let limit = self.patience.with(request.body.len());
        let sent = tokio::time::timeout(limit, self.service.send(request)).await;
        sent.unwrap_or_else(|_| Err(silence(limit)))
    }

    /// The pieces of a chunk that are to be sent.
    fn pieces(&self, chunk: &Chunk) -> Result<VecDeque<Piece>, DeliverError> {
        if let Some(rest) = self.rest().remove(&chunk.number) {
            return Ok(rest);
        }
        let batches = chunk
            .blocks
            .iter()
            .flat_map(|block| block.batches.iter().map(|batch| (block.body.clone(), batch)));
        let mut next = chunk.summary.first_seq;
        let pieces = batches.map(|(body, batch)| {
            let first = next;
            next += batch.ends.len() as u64;
            let spans = vec![Span(first, next)];
            Piece {
                id: request_id(self.writer.id, &spans),
                body: body.slice(batch.body.clone()),
                head: batch.head,
                ends: batch.ends.clone(),
                oversize: batch.oversize,
                spans,
            }
        });
        let left = self.left().get(&chunk.number).cloned();
        match left.filter(|left| left.chunk == Span::of(&chunk.summary)) {
            None => Ok(pieces.collect()),
            // An earlier process has sent the others.
            Some(Left { left, .. }) => pieces
                .filter_map(|piece| {
                    let wanted = |seq: u64| left.iter().any(|span| span.0 <= seq && seq < span.1);
                    let positions: Vec<usize> = (0..)
                        .zip(piece.seqs())
                        .filter(|(_, seq)| wanted(*seq))
                        .map(|it| it.0)
                        .collect();
                    if positions.len() == piece.ends.len() {
                        return Some(Ok(piece));
                    }
                    self.some(&piece, &positions).transpose()
                })
                .collect(),
        }
    }

    async fn start(&self) -> Result<(), DeliverError> {
        let start = || self.event(StreamEvent::start(&self.writer));
        self.started.get_or_try_init(start).await.map(drop)
    }

    async fn event(&self, event: StreamEvent) -> Result<(), DeliverError> {
        let kind = if event.end.is_none() { "start" } else { "end" };
        self.one(kind, |show| event.show(show)).await
    }

    /// Sends one record that is harmless: a line of a run that no reader finds, for it has no start.
    pub(super) async fn probe(&self) -> Result<(), DeliverError> {
        let line = View {
            time: self.writer.started,
            seq: 0,
            level: Some(Level::Info),
            iostream: IoStream::Stderr,
            message: "steplog: a test of the log store; nothing to see here",
            rare: None,
        };
        self.one("test", |show| show(&line)).await
    }

    /// Sends a record that is no line of a step. That it is refused is never the record's fault.
    async fn one(
        &self,
        kind: &str,
        show: impl FnOnce(&mut dyn FnMut(&View<'_>)),
    ) -> Result<(), DeliverError> {
        let piece = {
            let mut records = Vec::new();
            let mut format = self.format();
            show(&mut |view| format.record(view, &mut records));
            let id = format!("{}-{kind}", self.writer.id);
            self.piece(&**format, id, Vec::new(), &[&records])?
        };
        let taken = || {
            self.proved.store(true, Ordering::Relaxed);
            Ok(())
        };
        match self.send(piece.request()).await {
            Ok(Reply::Taken) => taken(),
            Ok(Reply::Partly { rejected, again, after }) => match rejected.into_iter().next() {
                None if again.is_empty() => taken(),
                None => Err(retry(format!("the service wants the {kind} again"), after)),
                Some(rejected) => Err(fatal(rejected.reason, SETTINGS)),
            },
            Ok(Reply::SomeRejected { reason, .. }) => Err(fatal(reason, SETTINGS)),
            Err(error) => Err(error.into()),
        }
    }

    async fn send_chunk(&self, chunk: &Chunk) -> Result<Receipt, DeliverError> {
        self.start().await?;
        let mut rest = Rest {
            session: self,
            number: chunk.number,
            chunk: Span::of(&chunk.summary),
            pieces: self.pieces(chunk)?,
        };
        while let Some(piece) = rest.pieces.front().cloned() {
            if piece.oversize {
                let reason = format!(
                    "larger than the service takes ({} bytes a record)",
                    self.limits.record_bytes
                );
                self.bury(&piece, &[Rejected { position: 0, reason }]).await?;
                rest.pieces.pop_front();
                continue;
            }
            match self.send(piece.request()).await {
                Ok(Reply::Taken) => {
                    self.proved.store(true, Ordering::Relaxed);
                    rest.pieces.pop_front();
                }
                Ok(Reply::Partly { rejected, again, after }) => {
                    if rejected.len() + again.len() < piece.ends.len() {
                        self.proved.store(true, Ordering::Relaxed);
                    }
                    // The others are taken, whatever becomes of these.
                    let positions: Vec<usize> = rejected.iter().map(|it| it.position).collect();
                    let left = [self.some(&piece, &positions)?, self.some(&piece, &again)?];
                    rest.pieces.pop_front();
                    left.into_iter().rev().flatten().for_each(|it| rest.pieces.push_front(it));
                    if !rejected.is_empty() {
                        self.bury(&piece, &rejected).await?;
                        rest.pieces.pop_front();
                    }
                    if !again.is_empty() {
                        let count = again.len();
                        let message = format!("the service wants {count} records again");
                        return Err(retry(message, after));
                    }
                }
                Ok(Reply::SomeRejected { count, reason }) => {
                    let all = piece.ends.len();
                    if count < all as u64 {
                        self.proved.store(true, Ordering::Relaxed);
                    }
                    let reason =
                        format!("{count} of these {all} records, not said which: {reason}");
                    let every = |position| Rejected { position, reason: reason.clone() };
                    self.bury_counted(&piece, (0..all).map(every).collect(), count).await?;
                    rest.pieces.pop_front();
                }
                Err(SendError::TooLarge { message } | SendError::Invalid { message }) => {
                    if piece.ends.len() <= 1 {
                        self.bury(&piece, &[Rejected { position: 0, reason: message }]).await?;
                        rest.pieces.pop_front();
                    } else {
                        let all: Vec<usize> = (0..piece.ends.len()).collect();
                        let (first, second) = all.split_at(all.len() / 2);
                        let halves = [self.some(&piece, first)?, self.some(&piece, second)?];
                        rest.pieces.pop_front();
                        for half in halves.into_iter().rev().flatten() {
                            rest.pieces.push_front(half);
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(chunk.receipt())
    }

    async fn bury(&self, piece: &Piece, rejected: &[Rejected]) -> Result<(), DeliverError> {
        let count = rejected.len() as u64;
        self.bury_counted(piece, rejected.to_vec(), count).await
    }

    /// Keeps records that were refused for good.
    async fn bury_counted(
        &self,
        piece: &Piece,
        rejected: Vec<Rejected>,
        count: u64,
    ) -> Result<(), DeliverError> {
        if rejected.is_empty() {
            return Ok(());
        }
        if !self.proved.load(Ordering::Relaxed) && !piece.oversize {
            // An earlier process has sent the start; that the service takes it again is the proof.
            self.event(StreamEvent::start(&self.writer)).await?;
        }
        let text = self.text(piece)?;
        let letters: Vec<Letter> = {
            let format = self.format();
            let separator = format.separator().len();
            let record = |position| format.show(piece.record(&text, position, separator));
            rejected
                .into_iter()
                .map(|it| Letter { record: record(it.position), reason: it.reason })
                .collect()
        };
        let (dead_letter, writer) = (Arc::clone(&self.dead_letter), self.writer.id);
        let kept = tokio::task::spawn_blocking(move || dead_letter.keep(writer, &letters)).await;
        match kept {
            Ok(Ok(())) => {
                self.rejected.fetch_add(count, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
                Err(fatal(format!("{error}{cause}"), DEAD_LETTERS))
            }
            Err(_) => Err(retry("keeping rejected records was broken off".to_owned(), None)),
        }
    }

    /// Some of the records of a piece, as a piece of their own; none of none.
    fn some(&self, piece: &Piece, positions: &[usize]) -> Result<Option<Piece>, DeliverError> {
        if positions.is_empty() {
            return Ok(None);
        }
        let seqs: Vec<u64> = piece.seqs().collect();
        let spans = spans(positions.iter().filter_map(|position| seqs.get(*position).copied()));
        let text = self.text(piece)?;
        let format = self.format();
        let separator = format.separator().len();
        let records: Vec<&[u8]> =
            positions.iter().map(|position| piece.record(&text, *position, separator)).collect();
        let id = request_id(self.writer.id, &spans);
        self.piece(&**format, id, spans, &records).map(Some)
    }

    fn text(&self, piece: &Piece) -> Result<Vec<u8>, DeliverError> {
        let text = self.limits.compression.decompress(&piece.body);
        text.map_err(|error| retry(format!("take a request apart again: {error}"), None))
    }

    fn piece(
        &self,
        format: &dyn Format,
        id: String,
        spans: Vec<Span>,
        records: &[&[u8]],
    ) -> Result<Piece, DeliverError> {
        let mut all = Vec::new();
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            if !all.is_empty() {
                all.extend_from_slice(format.separator());
            }
            all.extend_from_slice(record);
            ends.push(all.len() as u32);
        }
        let around = format.around(&all);
        let mut body = Vec::new();
        self.limits
            .compression
            .compress(&[&around.head, &all, &around.tail], &mut body)
            .map_err(|error| retry(format!("put a request together: {error}"), None))?;
        let (body, head) = (body.into(), around.head.len());
        Ok(Piece { id, body, head, ends, oversize: false, spans })
    }
}

impl Piece {
    fn request(&self) -> Request {
        Request { body: self.body.clone(), records: self.ends.len(), id: self.id.clone() }
    }

    fn seqs(&self) -> impl Iterator<Item = u64> {
        self.spans.iter().flat_map(|span| span.0..span.1)
    }

    /// A record of `text`, the body before compression.
    fn record<'a>(&self, text: &'a [u8], position: usize, separator: usize) -> &'a [u8] {
        let before = position.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = self.head + before.map_or(0, |end| *end as usize + separator);
        let end = self.head + self.ends.get(position).map_or(0, |end| *end as usize);
        text.get(start..end).unwrap_or_default()
    }
}

impl Session for RecordSession {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(RecordEncoder::new(&self.service, &self.writer, self.spares.get()))
    }

    fn resume(&self, _next_chunk: u64) -> Answer<'_, Found> {
        // Nobody can be asked what is there; the checkpoint's cuts make the same requests again.
        async { Ok(Found::default()) }.boxed()
    }

    fn deliver<'a>(&'a self, chunk: &'a Chunk) -> Answer<'a, Receipt> {
        self.send_chunk(chunk).boxed()
    }

    fn acknowledged(&self, receipt: &Receipt) {
        self.left().retain(|number, _| *number > receipt.chunk);
    }

    fn state(&self) -> serde_json::Value {
        let state = State {
            started: self.started.initialized(),
            rejected: self.rejected.load(Ordering::Relaxed),
            left: self.left().clone(),
        };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn upkeep_due(&self) -> bool {
        false
    }

    fn upkeep(&self) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn finish<'a>(&'a self, ending: &'a Ending) -> Answer<'a, ()> {
        async {
            self.start().await?;
            let rejected = self.rejected.load(Ordering::Relaxed);
            self.event(StreamEvent::end(&self.writer, ending, rejected)).await?;
            let limit = self.patience.with(0);
            let flushed = tokio::time::timeout(limit, self.service.flush()).await;
            flushed.unwrap_or_else(|_| Err(silence(limit))).map_err(DeliverError::from)
        }
        .boxed()
    }

    fn refused(&self) -> Option<Refused> {
        let records = self.rejected.load(Ordering::Relaxed);
        (records > 0).then(|| Refused { records, file: self.dead_letter.path(self.writer.id) })
    }
}

fn silence(limit: Duration) -> SendError {
    SendError::Retry { message: format!("no answer in {limit:?}"), after: None }
}

fn retry(message: String, after: Option<Duration>) -> DeliverError {
    DeliverError::Retry { message, after }
}

fn fatal(message: String, advice: &'static str) -> DeliverError {
    DeliverError::Fatal { message, advice, not_allowed: false }
}
