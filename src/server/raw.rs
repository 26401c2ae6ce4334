//! Whole logs, streamed as they are read: `/runs/{run}/raw`, and `/runs/{run}/logs` as NDJSON.

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use tokio::sync::mpsc;

use super::problem::Problem;
use super::query::Params;
use super::window::{Place, Streams};
use super::{App, answer};
use crate::read::filter::Filter;
use crate::read::format::{Form, Formatter};
use crate::read::join::Joining;
use crate::read::pipeline::{Item, Pipeline};
use crate::read::store::{Direction, Event, ReadError, Request};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes that go out at a time, about.
const PIECE: usize = 64 << 10;

/// The records that match, one a line, as `steplog logs -o json` prints them.
pub(super) async fn ndjson(
    app: &App,
    run: &str,
    params: &Params,
) -> Result<Response<Body>, Problem> {
    if params.one("before")?.is_some() || params.one("start")?.is_some() {
        return Err(Problem::parameter("NDJSON comes oldest first: it has no before and no start"));
    }
    let limit = params.number("limit", u64::MAX)?;
    let after = params.cursor("after")?.unwrap_or_default();
    let filter = params.filter()?;
    let streams = app.view(run, params).await?.streams();
    let from = Place::of(&after, &streams.all);
    let copy = Copy { streams, from, filter, limit, formatter: Formatter::new(Form::Json) };
    Ok(answer::of("application/x-ndjson", copy.body()))
}

/// Lines on their way to a client, as fast as it takes them.
pub(super) struct Copy {
    pub(super) streams: Streams,
    pub(super) from: Place,
    pub(super) filter: Filter,
    pub(super) limit: Option<u64>,
    pub(super) formatter: Formatter,
}

impl Copy {
    /// An error in the middle cuts the body off, which clients see.
    pub(super) fn body(self) -> Body {
        let (pieces, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            if let Err(error) = self.run(&pieces).await {
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
    ) -> Result<(), ReadError> {
        let request = Request {
            filter: self.filter.clone(),
            from: self.from.0.iter().copied().map(Some).collect(),
            about: self.limit,
            ..Request::default()
        };
        let mut lines = self.streams.reader.open(&self.streams.all, request);
        let filter = Arc::new(self.filter);
        let mut pipeline = Pipeline::new(filter, Direction::Forward, Joining::Off, self.limit);
        let formatter = &mut self.formatter;
        let mut buffer = Vec::new();
        loop {
            let mut out = |item: Item<'_>| {
                formatter.append(&item, &mut buffer);
                ControlFlow::Continue(())
            };
            let enough = match lines.next().await? {
                Event::Lines(slice) => pipeline.push(&slice, &mut out).is_break(),
                Event::Trouble(_) | Event::Idle | Event::Ended(..) => false,
                Event::End => {
                    let _enough = pipeline.finish(&mut out);
                    true
                }
            };
            if enough {
                formatter.finish(&mut buffer);
            }
            while buffer.len() >= PIECE || (enough && !buffer.is_empty()) {
                let rest = buffer.split_off(buffer.len().min(PIECE));
                let piece = Bytes::from(std::mem::replace(&mut buffer, rest));
                if pieces.send(Ok(piece)).await.is_err() {
                    return Ok(());
                }
            }
            if enough {
                return Ok(());
            }
        }
    }
}
