//! Whole logs, streamed as they are read: `/runs/{run}/raw`, and `/runs/{run}/logs` as NDJSON.
//!
//! | asked for | answered |
//! |---|---|
//! | anything | as fast as the client takes it, compressed if it can be |
//! | a finished stream as it was printed | with its length; a part of it, if `Range` says so |
//! | one record | that |

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use futures_util::future::{Either, select};
use futures_util::stream;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::answer;
use super::call::Call;
use super::pack::{Encoding, Packer};
use super::problem::Problem;
use super::query::{CONDITIONS, Params, SELECTION};
use super::range::{Asked, Window, asked};
use super::view::View;
use super::window::{Place, Streams};
use crate::read::filter::Filter;
use crate::read::format::clean::Cleaning;
use crate::read::format::clock::{Clock, Style};
use crate::read::format::{Form, Formatter, Text, label};
use crate::read::join::Joining;
use crate::read::page::Slice;
use crate::read::pipeline::{Item, Pipeline};
use crate::read::store::{Direction, Event, Lines, ReadError, Request};
use crate::record::Nanos;

/// Bytes that go out at a time, about.
const PIECE: usize = 64 << 10;
/// Lines that are made ready at a time.
const FEW: usize = 256;
/// Who takes longer for a piece has what was read ahead for it let go of.
const SLOW: Duration = Duration::from_millis(500);
/// Lines that are read ahead, about.
const AHEAD: u64 = 10_000;

/// The records that match, one a line, as `steplog logs -o json` prints them.
pub(super) async fn ndjson(call: &Call, params: &Params) -> Result<Response<Body>, Problem> {
    if params.one("before")?.is_some() || params.one("start")?.is_some() {
        return Err(Problem::parameter("NDJSON comes oldest first: it has no before and no start"));
    }
    let limit = params.number("limit", u64::MAX)?;
    let after = params.cursor("after")?.unwrap_or_default();
    let filter = call.filter(params).await?;
    let download = call.app.download()?;
    let streams = call.view(params).await?.streams();
    let from = Place::of(&after, &streams.all);
    let formatter = Formatter::new(Form::Json);
    let copy =
        Copy { streams, from, filter, limit, formatter, joining: Joining::Off, range: None, at: 0 };
    let mut response = copy.answer("application/x-ndjson", &call.headers);
    response.extensions_mut().insert(download);
    Ok(response)
}

/// A log as it was printed
///
/// Of one finished stream, `Range` is answered. Where lines are missing nothing stands in their place, and the transfer
/// breaks off behind the last line.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/raw", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected, super::openapi::Asked,
        ("seq" = Option<u64>, Query, description = "One record alone, of `writer`"),
        ("form" = Option<String>, Query, description = "`raw`: the very bytes; `text`: made safe to show, with names where there are several; `json`: the records, one a line [default: raw]"),
        ("timestamps" = Option<bool>, Query, description = "Times in front, with `form=text`"),
        ("Range" = Option<String>, Header, description = "`bytes=FROM-TO`"),
    ),
    responses(
        (status = 200, content((String = "text/plain"), (String = "application/x-ndjson"))),
        (status = 206, content((String = "text/plain"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let known = [SELECTION, CONDITIONS, &["seq", "form", "timestamps"]];
    let params = call.params(&known)?;
    let form = params.parsed("form", "raw, text or json", |text| {
        ["raw", "text", "json"].into_iter().find(|form| *form == text)
    })?;
    let form = form.unwrap_or("raw");
    let timestamps = params.flag("timestamps")?;
    let seq = params.number("seq", u64::MAX - 1)?;
    let mut filter = call.filter(&params).await?;
    if seq.is_some() && params.writer()?.is_none() {
        return Err(Problem::parameter("seq needs writer: each writer counts its own"));
    }
    // One record is as quick as any answer.
    let download = seq.is_none().then(|| call.app.download()).transpose()?;
    let view = call.view(&params).await?;
    let streams = view.streams();
    if let Some(seq) = seq {
        (filter.from_seq, filter.to_seq) = (seq, Some(seq + 1));
        if seq >= streams.end().await?.number() {
            return Err(Problem::not_found(format!("this writer has no line {seq}")));
        }
    }
    let whole = form == "raw" && !filter.leaves_out();
    let length = whole.then(|| length(&streams)).flatten();
    let (joining, content_type) = match form {
        "text" => (Joining::InPlace, "text/plain; charset=utf-8"),
        "json" => (Joining::Off, "application/x-ndjson"),
        _ => (Joining::Off, "text/plain; charset=utf-8"),
    };
    let formatter = Formatter::new(match form {
        "text" => Form::Text(text(&view, timestamps)),
        "json" => Form::Json,
        _ => Form::Raw,
    });
    let from = Place::start(streams.all.len());
    let name = name(&view, form);
    let mut copy =
        Copy { streams, from, filter, limit: None, formatter, joining, range: None, at: 0 };
    let mut response = if let Some(length) = length {
        match asked(&call.headers, length) {
            Some(Asked::Part(range)) => {
                copy.begin_near(range.start).await?;
                copy.range = Some(range.clone());
                let mut response = answer::of(content_type, copy.body(Encoding::Identity));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                insert(&mut response, header::CONTENT_RANGE, &place);
                let some = (range.end - range.start).to_string();
                insert(&mut response, header::CONTENT_LENGTH, &some);
                response
            }
            Some(Asked::Beyond) => {
                let mut response = answer::of(content_type, Body::empty());
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                response
            }
            None => {
                let mut response = copy.answer(content_type, &call.headers);
                if !response.headers().contains_key(header::CONTENT_ENCODING) {
                    insert(&mut response, header::CONTENT_LENGTH, &length.to_string());
                }
                response
            }
        }
    } else {
        copy.answer(content_type, &call.headers)
    };
    let ranges = if length.is_some() { "bytes" } else { "none" };
    insert(&mut response, header::ACCEPT_RANGES, ranges);
    insert(&mut response, header::CONTENT_DISPOSITION, &name);
    if let Some(download) = download {
        response.extensions_mut().insert(download);
    }
    Ok(response)
}

fn insert(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// How many bytes there are, where that is certain: of one stream that has ended and of which nothing is missing.
fn length(streams: &Streams) -> Option<u64> {
    let [stream] = streams.all.as_slice() else { return None };
    let certain = stream.status.is_final() && stream.gaps == 0 && streams.reader.is_exact();
    stream.bytes.filter(|_| certain)
}

/// `attachment; filename=…`: a browser keeps it and shows nothing.
fn name(view: &View, form: &str) -> String {
    let found = &view.found;
    let mut parts = vec![found.run.clone()];
    if let [stream] = found.selected.as_slice() {
        parts.push(stream.origin.step_id.clone());
        parts.push(stream.origin.attempt.to_string());
        parts.push(stream.origin.source.clone());
    }
    parts.push(if form == "json" { "ndjson" } else { "log" }.to_owned());
    let name = parts.join(".");
    let plain: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || "._-".contains(it) { it } else { '_' })
        .collect();
    let exact = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

/// Lines for people who keep them.
fn text(view: &View, timestamps: bool) -> Text {
    let streams = &view.found.selected;
    let start = streams.iter().map(|it| it.started).min().unwrap_or_else(Nanos::now);
    Text {
        cleaning: Cleaning::default(),
        colours: false,
        clock: timestamps.then(|| Clock::new(Style::Utc, TimeZone::UTC, start)),
        labels: label::labels(streams, false),
        all_progress: false,
    }
}

/// Lines on their way to a client, as fast as it takes them.
struct Copy {
    streams: Streams,
    from: Place,
    filter: Filter,
    limit: Option<u64>,
    formatter: Formatter,
    joining: Joining,
    /// Only these bytes.
    range: Option<Range<u64>>,
    /// Bytes before the place where it begins.
    at: u64,
}

impl Copy {
    /// Begins as near to this byte of a stream as is known without reading lines.
    async fn begin_near(&mut self, byte: u64) -> Result<(), ReadError> {
        let [stream] = self.streams.all.as_slice() else { return Ok(()) };
        let outline = self.streams.reader.outline(stream).await?.unwrap_or_default();
        let starts = outline.iter().filter_map(|piece| Some((piece.first_seq, piece.offset?)));
        if let Some((seq, offset)) = starts.take_while(|(_, offset)| *offset <= byte).last() {
            self.from = Place(vec![seq]);
            self.at = offset;
        }
        Ok(())
    }

    fn answer(self, content_type: &'static str, headers: &HeaderMap) -> Response<Body> {
        let encoding = Encoding::best(headers);
        let mut response = answer::of(content_type, self.body(encoding));
        encoding.say(response.headers_mut());
        response
    }

    /// An error cuts the body off, which clients see.
    fn body(self, encoding: Encoding) -> Body {
        let (pieces, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let gone = Box::pin(pieces.closed());
            // Where nothing matches nothing is sent: that nobody waits any more does not show by that.
            let ended = match select(Box::pin(self.run(&pieces, encoding)), gone).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => return,
            };
            if let Err(error) = ended {
                // The client may have gone.
                drop(pieces.send(Err(error)).await);
            }
        });
        Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
            let piece: Result<Bytes, ReadError> = receiver.recv().await?;
            Some((piece, receiver))
        }))
    }

    async fn run(
        mut self,
        pieces: &mpsc::Sender<Result<Bytes, ReadError>>,
        encoding: Encoding,
    ) -> Result<(), ReadError> {
        let failed = |error: io::Error| ReadError::Store(Box::new(error));
        let filter = Arc::new(self.filter.clone());
        let mut pipeline = Pipeline::new(filter, Direction::Forward, self.joining, self.limit);
        // Nothing is kept of one line for the next: it can be gone on with from a place.
        let can_let_go = self.joining == Joining::Off && !self.filter.has_conditions();
        let mut lines = None;
        let (place, formatter) = (&mut self.from, &mut self.formatter);
        let mut packer = Packer::new(encoding).map_err(failed)?;
        let mut window = Window::new(self.range, self.at);
        let mut buffer = Vec::new();
        let mut few = Few::default();
        let mut enough = false;
        let mut lacking = None;
        while !enough {
            let open = || open(&self.streams, &self.filter, place, self.limit);
            let reading = lines.get_or_insert_with(open);
            let mut out = |item: Item<'_>| {
                formatter.append(&item, &mut buffer);
                if let Some(line) = item.line()
                    && let Some(before) = place.0.get_mut(line.stream as usize)
                {
                    *before = line.seq + 1;
                }
                ControlFlow::Continue(())
            };
            if let Some(slice) = few.next() {
                enough = pipeline.push(&slice, &mut out).is_break();
            } else {
                match reading.next().await? {
                    Event::Lines(slice) => few = Few(Some(slice)),
                    Event::Trouble(trouble) => {
                        lacking.get_or_insert(trouble.what);
                    }
                    Event::Idle | Event::Ended(..) => {}
                    Event::End => {
                        let _enough = pipeline.finish(&mut out);
                        enough = true;
                    }
                }
            }
            if enough {
                formatter.finish(&mut buffer);
            }
            packer.write(window.of(&buffer)).map_err(failed)?;
            buffer.clear();
            enough |= window.is_over();
            if packer.out().len() < PIECE {
                continue;
            }
            let mut let_go = || {
                if can_let_go {
                    (lines, few) = (None, Few::default());
                }
            };
            if !hand_on(packer.out(), pieces, &mut let_go).await {
                return Ok(());
            }
        }
        hand_on(&mut packer.finish().map_err(failed)?, pieces, &mut || {}).await;
        let Some(what) = lacking else { return Ok(()) };
        // All that there is was sent, and gets out before the connection breaks: that it is not all there was has to show.
        sleep(SLOW).await;
        Err(ReadError::Store(what.into()))
    }
}

fn open(streams: &Streams, filter: &Filter, from: &Place, limit: Option<u64>) -> Box<dyn Lines> {
    let request = Request {
        filter: filter.clone(),
        from: from.0.iter().copied().map(Some).collect(),
        about: Some(limit.unwrap_or(AHEAD).min(AHEAD)),
        ..Request::default()
    };
    streams.reader.open(&streams.all, request)
}

/// Lines that were read, a few at a time: what is made of them waits for the client.
#[derive(Default)]
struct Few(Option<Slice>);

impl Iterator for Few {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        let slice = self.0.take()?;
        let Range { start, end } = slice.positions();
        if end - start <= FEW {
            return Some(slice);
        }
        self.0 = Some(Slice::range(slice.page(), start + FEW..end));
        Some(Slice::range(slice.page(), start..start + FEW))
    }
}

/// Sends what is ready, as fast as it is taken; says if that is slow. `false`: nobody is there any more.
async fn hand_on(
    ready: &mut Vec<u8>,
    pieces: &mpsc::Sender<Result<Bytes, ReadError>>,
    slow: &mut (dyn FnMut() + Send),
) -> bool {
    let mut all = Bytes::from(std::mem::take(ready));
    while !all.is_empty() {
        let piece = all.split_to(all.len().min(PIECE));
        let room = if let Ok(room) = timeout(SLOW, pieces.reserve()).await {
            room
        } else {
            slow();
            pieces.reserve().await
        };
        let Ok(room) = room else { return false };
        room.send(Ok(piece));
    }
    true
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::read::store::{Cost, LogReader, Pushdown, Run, Status, Stream};
    use crate::read::testing;
    use crate::record::WriterId;

    /// A log in which nothing ever comes, for as long as somebody reads it.
    #[derive(Clone)]
    struct Silent(#[expect(dead_code, reason = "it shows when it is gone")] mpsc::Sender<()>);

    impl LogReader for Silent {
        fn pushdown(&self) -> Pushdown {
            Pushdown::default()
        }

        fn runs(&self, _: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>> {
            std::future::ready(Ok(Vec::new())).boxed()
        }

        fn streams<'a>(
            &'a self,
            _: &'a str,
            _: Option<&'a str>,
            _: &'a [WriterId],
        ) -> BoxFuture<'a, Result<Vec<Stream>, ReadError>> {
            std::future::ready(Ok(Vec::new())).boxed()
        }

        fn open(&self, _: &[Stream], _: Request) -> Box<dyn Lines> {
            Box::new(self.clone())
        }

        fn discovery(&self) -> Duration {
            Duration::ZERO
        }

        fn cost(&self) -> Cost {
            Cost::default()
        }
    }

    impl Lines for Silent {
        fn next(&mut self) -> BoxFuture<'_, Result<Event, ReadError>> {
            std::future::pending().boxed()
        }

        fn add(&mut self, _: u32, _: &Stream) {}

        fn marks(&self) -> Vec<Option<u64>> {
            Vec::new()
        }
    }

    #[test]
    fn what_a_client_has_let_go_of_is_not_read_any_further() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (reading, mut read) = mpsc::channel(1);
            let copy = Copy {
                streams: Streams {
                    reader: Arc::new(Silent(reading)),
                    reading: Arc::new(Semaphore::new(1)),
                    all: vec![testing::stream("load", 1, Status::Running)],
                },
                from: Place::start(1),
                filter: Filter::default(),
                limit: None,
                formatter: Formatter::new(Form::Raw),
                joining: Joining::Off,
                range: None,
                at: 0,
            };
            let body = copy.body(Encoding::Identity);
            tokio::task::yield_now().await;
            assert!(read.try_recv() == Err(mpsc::error::TryRecvError::Empty));
            drop(body);
            let ended = tokio::time::timeout(Duration::from_secs(60), read.recv()).await;
            assert_eq!(ended, Ok(None));
        });
    }
}
