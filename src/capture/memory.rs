//! Frames in memory, for when no directory is writable: a channel that is limited in bytes, from
//! capture to the delivering threads of the same process, one channel a log store.
//!
//! What is in it dies with the process; nothing else differs. At the limit it does what the spool
//! would do: let capture wait, drop the oldest, or drop the newest, and leave a gap frame for what
//! is lost. The frames are in a queue under a mutex, since dropping the oldest means putting a gap
//! at its front; both sides hold the mutex only to move a frame. The channel proper carries but
//! the news that there is something in the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::sink::FrameSink;
use crate::record::{Exit, Gap, GapReason, IoStream, Nanos};
use crate::ship::{FrameSource, SourceError, Stop, Stopper};
use crate::spool::{FinishError, Frame, Kind, Next, Note, WhenFull};

/// What a frame costs besides its payload.
const OVERHEAD: u64 = size_of::<Item>() as u64;

/// Makes a channel that holds so many bytes.
pub fn channel(max_bytes: u64, when_full: WhenFull) -> (MemorySink, MemorySource) {
    let shared = Arc::new(Mutex::new(Queue::default()));
    let (news, heard) = bounded(1);
    let sink = MemorySink {
        shared: Arc::clone(&shared),
        news,
        max_bytes,
        when_full,
        offset: 0,
        dropped: None,
        lost: 0,
    };
    (sink, MemorySource { shared, heard })
}

/// The capture side.
#[derive(Debug)]
pub struct MemorySink {
    shared: Arc<Mutex<Queue>>,
    news: Sender<()>,
    max_bytes: u64,
    when_full: WhenFull,
    offset: u64,
    /// What was dropped since the last frame that was taken, and where that began.
    dropped: Option<(u64, Gap)>,
    lost: u64,
}

/// The delivering side.
#[derive(Debug)]
pub struct MemorySource {
    shared: Arc<Mutex<Queue>>,
    heard: Receiver<()>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: u64,
    exit: Option<Exit>,
    /// Nobody takes anything any more.
    abandoned: bool,
}

#[derive(Debug)]
struct Item {
    kind: Kind,
    time: Nanos,
    offset: u64,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Bytes(Box<[u8]>),
    Gap(Gap),
}

impl Payload {
    fn cost(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => OVERHEAD + bytes.len() as u64,
            Self::Gap(_) => OVERHEAD,
        }
    }
}

/// The queue is consistent between any two statements, so a panic elsewhere does not spoil it.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a payload so long.
fn cost(payload: usize) -> u64 {
    OVERHEAD + payload as u64
}

impl Queue {
    /// A block that is larger than everything is taken when there is nothing else.
    fn has_room(&self, cost: u64, max_bytes: u64) -> bool {
        self.bytes == 0 || self.bytes + cost <= max_bytes
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.payload.cost();
        self.items.push_back(item);
    }

    /// Makes room for so many bytes by turning the oldest frames into one gap at the front.
    fn drop_oldest(&mut self, cost: u64, max_bytes: u64) -> u64 {
        let mut lost = 0;
        let mut gap: Option<Item> = None;
        while self.bytes + cost > max_bytes {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.payload.cost();
            let (bytes, lines) = match &oldest.payload {
                // A note about bytes that are gone says nothing.
                Payload::Bytes(_) if oldest.kind == Kind::Note => (0, 0),
                Payload::Bytes(bytes) => {
                    lost += bytes.len() as u64;
                    (bytes.len() as u64, lines(bytes))
                }
                Payload::Gap(gap) => (gap.bytes, gap.lines),
            };
            let front = gap.get_or_insert(Item {
                kind: Kind::Gap,
                time: oldest.time,
                offset: oldest.offset,
                payload: Payload::Gap(Gap { bytes: 0, lines: 0, reason: GapReason::DroppedOldest }),
            });
            if let Payload::Gap(gap) = &mut front.payload {
                gap.bytes += bytes;
                gap.lines += lines;
            }
        }
        if let Some(gap) = gap {
            self.bytes += gap.payload.cost();
            self.items.push_front(gap);
        }
        lost
    }
}

impl MemorySink {
    /// Says that there is something; that it was said before is as good.
    fn tell(&self) {
        self.news.try_send(()).ok();
    }

    /// Puts the account of what was dropped before what follows it.
    fn push_gap(&mut self, queue: &mut Queue, time: Nanos) {
        if let Some((offset, gap)) = self.dropped.take() {
            queue.push(Item { kind: Kind::Gap, time, offset, payload: Payload::Gap(gap) });
        }
    }
}

impl MemorySink {
    /// Whether a payload so long is taken now.
    fn takes(&self, payload: usize) -> bool {
        let queue = lock(&self.shared);
        queue.abandoned || queue.has_room(cost(payload), self.max_bytes)
    }
}

impl FrameSink for MemorySink {
    fn append(&mut self, iostream: IoStream, time: Nanos, payload: &[u8]) -> bool {
        let cost = cost(payload.len());
        let shared = Arc::clone(&self.shared);
        let mut queue = lock(&shared);
        if queue.abandoned {
            self.lost += payload.len() as u64;
            self.offset += payload.len() as u64;
            return true;
        }
        if !queue.has_room(cost, self.max_bytes) {
            match self.when_full {
                WhenFull::Block => return false,
                WhenFull::DropOldest => self.lost += queue.drop_oldest(cost, self.max_bytes),
                WhenFull::DropNewest => {
                    let (_, gap) = self.dropped.get_or_insert((
                        self.offset,
                        Gap { bytes: 0, lines: 0, reason: GapReason::DroppedNewest },
                    ));
                    gap.bytes += payload.len() as u64;
                    gap.lines += lines(payload);
                    self.lost += payload.len() as u64;
                    self.offset += payload.len() as u64;
                    return true;
                }
            }
        }
        self.push_gap(&mut queue, time);
        let kind = match iostream {
            IoStream::Stdout => Kind::Stdout,
            IoStream::Stderr => Kind::Stderr,
        };
        queue.push(Item {
            kind,
            time,
            offset: self.offset,
            payload: Payload::Bytes(payload.into()),
        });
        self.offset += payload.len() as u64;
        drop(queue);
        self.tell();
        true
    }

    fn note(&mut self, time: Nanos, note: Note) {
        let (code, iostream) = match note {
            Note::Idle(iostream) => (0, iostream),
            Note::Eof(iostream) => (1, iostream),
        };
        let bytes = Box::new([code, iostream as u8]);
        let shared = Arc::clone(&self.shared);
        let mut queue = lock(&shared);
        self.push_gap(&mut queue, time);
        let payload = Payload::Bytes(bytes);
        queue.push(Item { kind: Kind::Note, time, offset: self.offset, payload });
        drop(queue);
        self.tell();
    }

    fn has_room(&mut self) -> bool {
        let queue = lock(&self.shared);
        queue.abandoned || queue.bytes < self.max_bytes
    }

    fn tick(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn fault(&self) -> Option<String> {
        (self.lost > 0).then(|| {
            "delivery is slower than the step, and without a writable directory there is no room \
             to wait: output is being dropped"
                .to_owned()
        })
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn finish(mut self: Box<Self>, exit: &Exit) -> Result<(), FinishError> {
        let shared = Arc::clone(&self.shared);
        let mut queue = lock(&shared);
        self.push_gap(&mut queue, Nanos::now());
        queue.exit = Some(exit.clone());
        drop(queue);
        self.tell();
        Ok(())
    }
}

impl FrameSource for MemorySource {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError> {
        let mut queue = lock(&self.shared);
        let Some(item) = queue.items.pop_front() else {
            return Ok(if queue.exit.is_some() { Next::Finished } else { Next::Pending });
        };
        queue.bytes -= item.payload.cost();
        drop(queue);
        let before = into.len();
        match &item.payload {
            Payload::Bytes(bytes) => into.extend_from_slice(bytes),
            Payload::Gap(gap) => {
                if let Ok(json) = serde_json::to_vec(gap) {
                    into.extend(json);
                }
            }
        }
        let len = (into.len() - before) as u32;
        Ok(Next::Frame(Frame { kind: item.kind, time: item.time, offset: item.offset, len }))
    }

    fn wait(&mut self, until: Option<Instant>, halt: &Stop) {
        let queue = lock(&self.shared);
        if !queue.items.is_empty() || queue.exit.is_some() {
            return;
        }
        drop(queue);
        let timeout = until.map_or(Duration::from_secs(3600), |until| {
            until.saturating_duration_since(Instant::now())
        });
        select! {
            recv(self.heard) -> _ => {}
            recv(halt.channel()) -> _ => {}
            default(timeout) => {}
        }
    }

    /// What was taken is gone already.
    fn release(&mut self, _: u64) {}

    fn exit(&mut self) -> Result<Exit, SourceError> {
        Ok(lock(&self.shared).exit.clone().unwrap_or_default())
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        let mut queue = lock(&self.shared);
        queue.abandoned = true;
        queue.items.clear();
        queue.bytes = 0;
    }
}

/// The same to several log stores.
#[derive(Debug)]
pub struct FanOut(pub Vec<MemorySink>);

impl FrameSink for FanOut {
    fn append(&mut self, iostream: IoStream, time: Nanos, payload: &[u8]) -> bool {
        // Part of them taking it and part not could not be undone.
        let waits =
            |sink: &MemorySink| sink.when_full == WhenFull::Block && !sink.takes(payload.len());
        if self.0.iter().any(waits) {
            return false;
        }
        for sink in &mut self.0 {
            sink.append(iostream, time, payload);
        }
        true
    }

    fn note(&mut self, time: Nanos, note: Note) {
        for sink in &mut self.0 {
            sink.note(time, note);
        }
    }

    fn has_room(&mut self) -> bool {
        self.0.iter_mut().all(MemorySink::has_room)
    }

    fn tick(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn fault(&self) -> Option<String> {
        self.0.iter().find_map(MemorySink::fault)
    }

    fn offset(&self) -> u64 {
        self.0.first().map_or(0, MemorySink::offset)
    }

    fn finish(self: Box<Self>, exit: &Exit) -> Result<(), FinishError> {
        self.0.into_iter().try_for_each(|sink| Box::new(sink).finish(exit))
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The delivering thread, as the rest of the process sees it.
#[derive(Debug)]
pub struct Courier {
    thread: Option<JoinHandle<Result<String, String>>>,
    stopper: Option<Stopper>,
    /// What came of it: as the thread.
    result: Result<String, String>,
}

impl Courier {
    /// The thread says why if it did not deliver everything, also when `stopper` stops it; and if it
    /// did, what was refused of it, if anything.
    pub fn new(thread: JoinHandle<Result<String, String>>, stopper: Stopper) -> Self {
        Self { thread: Some(thread), stopper: Some(stopper), result: Ok(String::new()) }
    }

    /// Whether the thread has ended, and if so, whether everything was delivered.
    pub(crate) fn delivered(&mut self) -> Option<bool> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            self.result = thread.join().unwrap_or_else(|_| Err("delivery has crashed".to_owned()));
        }
        self.thread.is_none().then_some(self.result.is_ok())
    }

    /// Asks it to end.
    pub(crate) fn stop(&mut self) {
        self.stopper = None;
    }

    /// Why it did not deliver, or what was refused.
    pub(crate) fn last_words(&self) -> String {
        let (Ok(words) | Err(words)) = &self.result;
        words.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(source: &mut MemorySource) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let mut payload = Vec::new();
            match source.next(&mut payload).unwrap() {
                Next::Frame(frame) => seen.push(format!(
                    "{:?} {} {}",
                    frame.kind,
                    frame.offset,
                    String::from_utf8_lossy(&payload).escape_debug()
                )),
                Next::Finished => {
                    seen.push(format!("finished {:?}", source.exit().unwrap().code));
                    return seen;
                }
                Next::Pending | Next::Interrupted => return seen,
            }
        }
    }

    fn append(sink: &mut MemorySink, text: &str) -> bool {
        FrameSink::append(sink, IoStream::Stdout, Nanos(1), text.as_bytes())
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (mut sink, mut source) = channel(1 << 20, WhenFull::DropOldest);
        assert!(append(&mut sink, "one\n"));
        sink.note(Nanos(2), Note::Eof(IoStream::Stderr));
        assert!(append(&mut sink, "two\n"));
        let exit = Exit { code: Some(3), ..Exit::default() };
        Box::new(sink).finish(&exit).unwrap();
        assert_eq!(
            drain(&mut source),
            ["Stdout 0 one\\n", "Note 4 \\u{1}\\u{1}", "Stdout 4 two\\n", "finished Some(3)"]
        );
    }

    #[test]
    fn block_refuses_until_there_is_room() {
        let (mut sink, mut source) = channel(OVERHEAD + 4, WhenFull::Block);
        assert!(append(&mut sink, "one\n"));
        assert!(!append(&mut sink, "two\n"));
        assert!(!sink.has_room());
        assert_eq!(drain(&mut source), ["Stdout 0 one\\n"]);
        assert!(sink.has_room());
        assert!(append(&mut sink, "two\n"));
        assert_eq!(drain(&mut source), ["Stdout 4 two\\n"]);
    }

    #[test]
    fn drop_newest_leaves_a_gap_where_the_bytes_were() {
        let (mut sink, mut source) = channel(OVERHEAD + 4, WhenFull::DropNewest);
        for text in ["one\n", "two\n", "three\n"] {
            assert!(append(&mut sink, text));
        }
        assert_eq!(drain(&mut source), ["Stdout 0 one\\n"]);
        assert!(append(&mut sink, "four\n"));
        let gap = r#"Gap 4 {\"bytes\":10,\"lines\":2,\"reason\":\"dropped_newest\"}"#;
        assert_eq!(drain(&mut source), [gap, "Stdout 14 four\\n"]);
        assert!(sink.fault().is_some());
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_one_gap() {
        let (mut sink, mut source) = channel(3 * (OVERHEAD + 4), WhenFull::DropOldest);
        for text in ["aaa\n", "bbb\n", "ccc\n", "ddd\n", "eee\n"] {
            assert!(append(&mut sink, text));
        }
        let seen = drain(&mut source);
        assert!(seen[0].starts_with(r#"Gap 0 {\"bytes\":"#), "{seen:?}");
        assert_eq!(seen.last().unwrap(), "Stdout 16 eee\\n");
        assert_eq!(seen.iter().filter(|line| line.starts_with("Gap")).count(), 1, "{seen:?}");
    }

    #[test]
    fn nobody_at_the_other_end_holds_nobody_up() {
        let (mut sink, source) = channel(OVERHEAD + 4, WhenFull::Block);
        assert!(append(&mut sink, "one\n"));
        assert!(!append(&mut sink, "two\n"));
        drop(source);
        assert!(sink.has_room());
        assert!(append(&mut sink, "two\n"));
        assert!(sink.fault().is_some());
    }

    #[test]
    fn waiting_ends_when_something_comes_or_somebody_says_stop() {
        let (mut sink, mut source) = channel(1 << 20, WhenFull::Block);
        let (stopper, stop) = crate::ship::stop();
        let waiting = std::thread::spawn(move || {
            source.wait(None, &stop);
            let seen = drain(&mut source);
            source.wait(None, &stop);
            seen
        });
        assert!(append(&mut sink, "one\n"));
        // Whether it waits already or not, it sees the frame, and then only the stop.
        drop(stopper);
        let seen = waiting.join().unwrap();
        assert!(seen.is_empty() || seen == ["Stdout 0 one\\n"], "{seen:?}");
    }

    #[test]
    fn every_store_gets_everything() {
        let (one, mut first) = channel(1 << 20, WhenFull::Block);
        let (two, mut second) = channel(1 << 20, WhenFull::Block);
        let mut sink = Box::new(FanOut(vec![one, two]));
        assert!(FrameSink::append(sink.as_mut(), IoStream::Stderr, Nanos(1), b"x"));
        sink.finish(&Exit::default()).unwrap();
        for source in [&mut first, &mut second] {
            assert_eq!(drain(source), ["Stderr 0 x", "finished None"]);
        }
    }

    #[test]
    fn what_one_of_them_would_refuse_is_refused_for_all() {
        let (one, mut first) = channel(OVERHEAD + 6, WhenFull::Block);
        let (two, mut second) = channel(1 << 20, WhenFull::Block);
        let mut sink = FanOut(vec![one, two]);
        let mut append =
            |text: &str| FrameSink::append(&mut sink, IoStream::Stdout, Nanos(1), text.as_bytes());
        assert!(append("one\n"));
        // There is some room, but not so much.
        assert!(!append("two\n"));
        assert_eq!(drain(&mut first), ["Stdout 0 one\\n"]);
        assert!(append("two\n"));
        assert_eq!(drain(&mut first), ["Stdout 4 two\\n"]);
        assert_eq!(drain(&mut second), ["Stdout 0 one\\n", "Stdout 4 two\\n"]);
    }
}
