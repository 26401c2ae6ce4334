//! Following against a store whose requests a test holds back, in one process: what comes to the store between two
//! looks at it, and what waits for a client.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request as Asked;
use axum::http::{Response, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::read::store::{
    Cost, Event, Lines, LogReader, Pushdown, ReadError, Request, Run, Stream,
};
use crate::read::testing::Spec;
use crate::record::WriterId;
use crate::server::{BURSTS, PLACES, Server, Settings, Store};
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::testing::{self, Shape, block_on};

/// An artifact store in which the look for where a reading goes on waits for the test.
struct Late {
    reader: Reader,
    looks: Arc<Semaphore>,
}

struct LateLines {
    lines: Box<dyn Lines>,
    /// Until this can be had.
    looks: Option<Arc<Semaphore>>,
}

impl LogReader for Late {
    fn pushdown(&self) -> Pushdown {
        self.reader.pushdown()
    }

    fn runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>> {
        self.reader.runs(limit)
    }

    fn streams<'a>(
        &'a self,
        run: &'a str,
        step: Option<&'a str>,
        except: &'a [WriterId],
    ) -> BoxFuture<'a, Result<Vec<Stream>, ReadError>> {
        self.reader.streams(run, step, except)
    }

    fn open(&self, streams: &[Stream], request: Request) -> Box<dyn Lines> {
        // Who wants no lines wants the place behind the last one.
        let looks = (request.about == Some(0)).then(|| Arc::clone(&self.looks));
        Box::new(LateLines { lines: self.reader.open(streams, request), looks })
    }

    fn discovery(&self) -> Duration {
        self.reader.discovery()
    }

    fn cost(&self) -> Cost {
        self.reader.cost()
    }
}

impl Lines for LateLines {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, ReadError>> {
        async {
            if let Some(looks) = self.looks.take() {
                let _turn = looks.acquire().await;
            }
            self.lines.next().await
        }
        .boxed()
    }

    fn add(&mut self, number: u32, stream: &Stream) {
        self.lines.add(number, stream);
    }

    fn marks(&self) -> Vec<Option<u64>> {
        self.lines.marks()
    }
}

fn serve(reader: Arc<dyn LogReader>) -> Server {
    let store = Store { name: "here".into(), flavor: "artifact".into(), reader };
    Server::new(Settings::default(), store, Vec::new()).unwrap()
}

async fn ask(server: &Server, query: &str) -> Response<Body> {
    let uri = format!("/api/v1/runs/run/logs/stream?linger=0&{query}");
    let asked = Asked::builder().uri(uri).header("host", "localhost").body(Body::empty()).unwrap();
    server.service.call(asked).await.unwrap()
}

/// What follows.
async fn follow(server: &Server, query: &str) -> Body {
    let answer = ask(server, query).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

/// Adds what comes, until it ends with this; whole events.
async fn read(body: &mut Body, text: &mut String, until: &str) {
    while !text.contains(until) {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
}

/// Per event with lines, the numbers of them.
fn seqs(text: &str) -> Vec<Vec<u64>> {
    let events = text.split("\n\n").filter(|event| event.contains("event: lines"));
    events
        .map(|event| {
            let (_, data) = event.split_once("data: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            let items = data["items"].as_array().unwrap();
            items.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
        })
        .collect()
}

fn numbered(lines: usize) -> Vec<Spec> {
    (0..lines).map(|number| Spec::text(&format!("line {number}"))).collect()
}

#[test]
fn what_comes_between_a_follower_and_its_hub_is_not_lost() {
    block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let specs = numbered(24);
        testing::put(&*store, &writer, &specs[..8], &Shape::live()).await;
        let looks = Arc::new(Semaphore::new(0));
        let reader = Reader::new(Arc::clone(&store), true);
        let server = serve(Arc::new(Late { reader, looks: Arc::clone(&looks) }));
        let mut body = follow(&server, "").await;
        let mut text = String::new();
        read(&mut body, &mut text, "\"line 7\"").await;
        // The follower has looked, the hub has not.
        let ended = Shape { leftovers: true, ..Shape::finished() };
        testing::put(&*store, &writer, &specs, &ended).await;
        looks.add_permits(1);
        read(&mut body, &mut text, "event: end").await;
        assert_eq!(seqs(&text).concat(), (0..24).collect::<Vec<u64>>());
    });
}

#[test]
fn the_last_lines_wait_for_a_client_a_few_at_a_time() {
    block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let shape = Shape { frame_lines: 500, chunk_frames: 4, ..Shape::finished() };
        testing::put(&*store, &writer, &numbered(6000), &shape).await;
        let server = serve(Arc::new(Reader::new(store, true)));
        // Others take much already.
        let _much = server.app.bursts.acquire_many(BURSTS as u32).await.unwrap();
        let mut body = follow(&server, "tail=5000").await;
        let mut text = String::new();
        read(&mut body, &mut text, "event: end").await;
        let events = seqs(&text);
        assert!(events.iter().all(|event| event.len() <= 100));
        assert_eq!(events.concat(), (1000..6000).collect::<Vec<u64>>());
    });
}

#[test]
fn more_streams_than_a_place_can_name_are_refused() {
    block_on(async {
        let store = testing::memory();
        for number in 0..=PLACES {
            let writer = testing::writer("run", &format!("step {number}"), 1);
            testing::put(&*store, &writer, &[], &Shape::finished()).await;
        }
        let server = serve(Arc::new(Reader::new(store, true)));
        let answer = ask(&server, "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let problem = answer.into_body().collect().await.unwrap().to_bytes();
        let problem = String::from_utf8_lossy(&problem);
        let detail = "1501 streams are selected, and 1500 can be followed together";
        assert!(
            problem.contains(detail) && problem.contains("choose some of the steps"),
            "{problem}"
        );
        assert_eq!(ask(&server, "step=step%207").await.status(), StatusCode::OK);
    });
}
