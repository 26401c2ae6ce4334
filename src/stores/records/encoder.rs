//! A block to the body of a request, or to several where it does not fit one. Does no I/O.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::compress::Compression;
use super::{Format, Limits, Service};
use crate::line::Block;
use crate::record::Writer;
use crate::stores::{Batch, EncodeError, Encoded, Encoder, view};

/// A buffer that has grown beyond this by an unusual block is not kept.
const KEEP: usize = 4 << 20;
/// Kept before the records for what a request has there, so that they need not be copied behind it.
const ROOM: usize = 8 << 10;
/// Buffers that come back are kept up to this number: about as many as are under way, so that pages
/// need not be made, and cleared, for every request.
const SPARE: usize = 16;

pub(super) struct RecordEncoder {
    format: Box<dyn Format>,
    limits: Limits,
    records: Vec<u8>,
    body: Vec<u8>,
    spare: Arc<Spare>,
}

/// Buffers of requests that have been sent: fresh memory costs more than filling it. One for all
/// encoders of a writer: what one of them has filled, the other may use again.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<u8>>>);

/// The spare buffers of a writer, as long as it has an encoder or a request is under way: sessions
/// live on between the turns of many writers, and must hold none.
#[derive(Default)]
pub(super) struct Spares(Mutex<Weak<Spare>>);

impl Spares {
    pub(super) fn get(&self) -> Arc<Spare> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *spare = Arc::downgrade(&new);
            new
        })
    }
}

/// The body of a request; gives its buffer back when nobody needs it any more.
struct Body {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
}

impl Spare {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < SPARE && buffer.capacity() <= KEEP {
            buffers.push(buffer);
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.spare.give(std::mem::take(&mut self.bytes));
    }
}

impl RecordEncoder {
    pub(super) fn new(service: &Arc<dyn Service>, writer: &Writer, spare: Arc<Spare>) -> Self {
        Self {
            format: service.format(writer),
            limits: service.limits(),
            records: Vec::new(),
            body: Vec::new(),
            spare,
        }
    }

    /// The records as they are, from [`ROOM`] on, become the one request's body, if they can.
    fn in_place(&mut self, ends: &[usize], cuts: &[usize]) -> Option<(Bytes, Batch)> {
        let Self { format, limits, records, .. } = self;
        let one = !cuts.iter().any(|cut| *cut > 0)
            && next_batch(ends, ROOM, limits) == (ends.len(), false);
        if limits.compression != Compression::None || ends.is_empty() || !one {
            return None;
        }
        let around = format.around(records.get(ROOM..).unwrap_or_default());
        let start = ROOM.checked_sub(around.head.len())?;
        records.get_mut(start..ROOM)?.copy_from_slice(&around.head);
        records.extend_from_slice(&around.tail);
        let batch = Batch {
            body: start..records.len(),
            head: around.head.len(),
            ends: ends.iter().map(|end| (end - ROOM) as u32).collect(),
            oversize: false,
        };
        let bytes = std::mem::replace(records, self.spare.take());
        let spare = Arc::clone(&self.spare);
        Some((Bytes::from_owner(Body { bytes, spare }), batch))
    }
}

impl Encoder for RecordEncoder {
    fn encode(&mut self, block: &Block) -> Result<Encoded, EncodeError> {
        let Self { format, records, body, .. } = self;
        records.clear();
        records.resize(ROOM, 0);
        body.clear();
        let separator = format.separator();
        let mut ends = Vec::with_capacity(block.lines.len());
        let mut cuts = Vec::new();
        let summary = view::each(block, |view| {
            if records.len() > ROOM {
                records.extend_from_slice(separator);
            }
            format.record(view, records);
            if format.begins_anew() {
                cuts.push(ends.len());
            }
            ends.push(records.len());
        });
        let text_bytes = (records.len() - ROOM) as u64;
        if let Some((body, batch)) = self.in_place(&ends, &cuts) {
            return Ok(Encoded { body, text_bytes, summary, batches: vec![batch] });
        }
        let Self { format, limits, records, body, .. } = self;
        let mut batches = Vec::with_capacity(1);
        let (mut start, mut rest) = (ROOM, ends.as_slice());
        while !rest.is_empty() {
            let at = ends.len() - rest.len();
            let cut = cuts.iter().find(|cut| **cut > at).map_or(rest.len(), |cut| cut - at);
            let together = rest.get(..cut).unwrap_or(rest);
            let (count, oversize) = next_batch(together, start, limits);
            let (these, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            let end = these.last().copied().unwrap_or(start);
            let batch = records.get(start..end).unwrap_or_default();
            let around = format.around(batch);
            let from = body.len();
            limits
                .compression
                .compress(&[&around.head, batch, &around.tail], body)
                .map_err(EncodeError)?;
            batches.push(Batch {
                body: from..body.len(),
                head: around.head.len(),
                ends: these.iter().map(|end| (end - start) as u32).collect(),
                oversize,
            });
            (start, rest) = (end + separator.len(), behind);
        }
        let encoded = Encoded { body: Bytes::copy_from_slice(body), text_bytes, summary, batches };
        if records.capacity() > KEEP {
            *records = Vec::new();
            *body = Vec::new();
        }
        Ok(encoded)
    }
}

/// How many of the records that end at `ends` go into one request, the first of which starts at
/// `start`; and whether that is one that is too large for any.
fn next_batch(ends: &[usize], start: usize, limits: &Limits) -> (usize, bool) {
    let mut previous = start;
    for (position, end) in ends.iter().enumerate() {
        let oversize = end - previous > limits.record_bytes;
        if oversize && position == 0 {
            return (1, true);
        }
        let full = position >= limits.records || end - start > limits.bytes;
        if oversize || (full && position > 0) {
            return (position, false);
        }
        previous = *end;
    }
    (ends.len(), false)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::BoxFuture;

    use super::super::testing::{plain, writer};
    use super::super::{Around, Reply, Request, SendError};
    use super::*;
    use crate::record::Nanos;
    use crate::stores::view::View;

    /// A service whose records are digits, of which those of one decade may be in one request.
    struct Decades;

    struct Digits(u64);

    impl Format for Digits {
        fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
            self.0 = view.seq;
            out.extend_from_slice(view.seq.to_string().as_bytes());
        }

        fn begins_anew(&self) -> bool {
            self.0.is_multiple_of(10)
        }

        fn separator(&self) -> &'static [u8] {
            b","
        }
    }

    impl Service for Decades {
        fn limits(&self) -> Limits {
            Limits {
                records: 7,
                bytes: 1000,
                record_bytes: 1000,
                age: Duration::ZERO,
                timeout: None,
                concurrency: 1,
                compression: Compression::None,
            }
        }

        fn format(&self, _writer: &Writer) -> Box<dyn Format> {
            Box::new(Digits(0))
        }

        fn send(&self, _request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
            Box::pin(async { Ok(Reply::Taken) })
        }
    }

    #[test]
    fn what_begins_anew_is_in_a_request_of_its_own() {
        let service: Arc<dyn Service> = Arc::new(Decades);
        let mut encoder =
            RecordEncoder::new(&service, &writer("run", "step", Nanos(0)), Arc::default());
        let encoded = encoder.encode(&plain(8, 25, 1, Nanos(0), 1)).unwrap();
        let bodies: Vec<_> = encoded
            .batches
            .iter()
            .map(|batch| std::str::from_utf8(&encoded.body[batch.body.clone()]).unwrap())
            .collect();
        assert_eq!(
            bodies,
            [
                "8,9",
                "10,11,12,13,14,15,16",
                "17,18,19",
                "20,21,22,23,24,25,26",
                "27,28,29",
                "30,31,32"
            ]
        );
    }

    /// Digits in brackets, any number of them in one request.
    struct List;

    struct Bracketed;

    impl Format for Bracketed {
        fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
            out.extend_from_slice(view.seq.to_string().as_bytes());
        }

        fn separator(&self) -> &'static [u8] {
            b","
        }

        fn around(&self, _records: &[u8]) -> Around {
            Around { head: b"[".to_vec(), tail: b"]".to_vec() }
        }
    }

    impl Service for List {
        fn limits(&self) -> Limits {
            Limits { records: 1000, ..Decades.limits() }
        }

        fn format(&self, _writer: &Writer) -> Box<dyn Format> {
            Box::new(Bracketed)
        }

        fn send(&self, _request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
            Box::pin(async { Ok(Reply::Taken) })
        }
    }

    #[test]
    fn a_block_that_is_one_request_stays_where_it_was_written_and_its_buffer_is_used_again() {
        let service: Arc<dyn Service> = Arc::new(List);
        let writer = writer("run", "step", Nanos(0));
        let spares = Spares::default();
        let mut encoder = RecordEncoder::new(&service, &writer, spares.get());
        let mut other = RecordEncoder::new(&service, &writer, spares.get());
        let encode = |encoder: &mut RecordEncoder, first, count| {
            let encoded = encoder.encode(&plain(first, count, 1, Nanos(0), 1)).unwrap();
            let [batch] = encoded.batches.as_slice() else { panic!("{:?}", encoded.batches) };
            (encoded.body.slice(batch.body.clone()), batch.head, batch.ends.clone())
        };
        let (body, head, ends) = encode(&mut encoder, 8, 4);
        assert_eq!((&*body, head, ends), (b"[8,9,10,11]".as_slice(), 1, vec![1, 3, 6, 9]));
        let place = body.as_ptr();
        drop(body);
        // The other has none of its own yet, and takes that one when it hands its first on.
        assert_eq!(&*encode(&mut other, 1, 2).0, b"[1,2]");
        assert_eq!(encode(&mut other, 3, 1).0.as_ptr(), place);
        let under_way = encode(&mut other, 4, 1).0;
        drop((encoder, other));
        assert!(spares.0.lock().unwrap().upgrade().is_some(), "it will come back");
        drop(under_way);
        assert!(spares.0.lock().unwrap().upgrade().is_none(), "a session holds none");
    }

    #[test]
    fn requests_are_full_and_what_no_request_takes_stands_alone() {
        let limits = Limits {
            records: 3,
            bytes: 100,
            record_bytes: 80,
            age: Duration::ZERO,
            timeout: None,
            concurrency: 1,
            compression: Compression::None,
        };
        for (ends, start, expected) in [
            (&[10, 20, 30, 40][..], 0, (3, false)),
            (&[10, 20], 0, (2, false)),
            (&[50, 101], 0, (1, false)),
            (&[50, 100], 0, (2, false)),
            (&[81, 82], 0, (1, true)),
            (&[10, 91, 92], 0, (1, false)),
            (&[110, 130], 100, (2, false)),
        ] {
            assert_eq!(next_batch(ends, start, &limits), expected, "{ends:?}");
        }
    }
}
