//! The `elasticsearch` flavor: against two servers that speak its interface, and against a stand-in of
//! `_bulk` that answers for each document what it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::conformance::{BATCH, Bench, Doubles, Stored, Subject, assert_arrived};
use crate::servers::message::Message;
use crate::servers::proxy::Seen;
use crate::servers::search;
use crate::servers::stand_in::{Reply, StandIn};
use crate::support::lines;

/// What is different between products.
trait Product: 'static {
    /// Further keys.
    const KEYS: &'static str;
    fn address() -> SocketAddr;
}

pub(super) struct Elastic;

impl Product for Elastic {
    const KEYS: &'static str = "";
    fn address() -> SocketAddr {
        search::noida()
    }
}

pub(super) struct Open;

impl Product for Open {
    const KEYS: &'static str = "data_stream = false\n";
    fn address() -> SocketAddr {
        search::osmem()
    }
}

pub(super) struct Cluster<P> {
    front: StandIn,
    /// Its own, so that looking at it does not take longer the more tests have run.
    index: String,
    product: std::marker::PhantomData<P>,
}

impl<P: Product> Subject for Cluster<P> {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let index = format!("logs-steplog-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { front: search::before(P::address()), index, product: std::marker::PhantomData }
    }

    fn address(&self) -> SocketAddr {
        self.front.address
    }

    fn keys(&self, base: &str) -> String {
        let (index, keys) = (&self.index, P::KEYS);
        format!("flavor = \"elasticsearch\"\nendpoint = \"{base}\"\nindex = \"{index}\"\n{keys}")
    }

    fn stop(&mut self) {
        self.front.stop();
    }

    fn restart(&mut self) {
        self.front.restart();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        search::documents(P::address(), &self.index, run).into_iter().map(stored).collect()
    }

    fn is_write(request: &Seen) -> bool {
        is_bulk(&request.path)
    }
}

fn is_bulk(path: &str) -> bool {
    path.split('?').next().is_some_and(|path| path.ends_with("/_bulk"))
}

fn stored(mut record: Value) -> Stored {
    record["timestamp"] = record["@timestamp"].take();
    Stored {
        writer: record["writer"].as_str().unwrap().to_owned(),
        seq: record["seq"].as_u64().unwrap(),
        event: record["steplog_event"].as_str().map(str::to_owned),
        record,
    }
}

mod elastic {
    use super::super::conformance::conformance;
    use super::{Cluster, Elastic};

    type Noida = Cluster<Elastic>;
    conformance!(Noida: basics, faults, wire, secure, reading, searching);
}

mod open {
    use super::super::conformance::conformance;
    use super::{Cluster, Open};

    type Osmem = Cluster<Open>;
    conformance!(Osmem: basics, faults, reading, searching);
}

/// `_bulk`, document by document.
pub(super) struct Bulk {
    server: StandIn,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By `_id`.
    documents: BTreeMap<String, Value>,
    /// Documents with this text are refused for good …
    refused: Option<String>,
    /// … and so many, whichever come first, are to come again.
    busy: usize,
    /// How often a document that is there was sent again.
    doubles: usize,
}

impl Bulk {
    fn answer(state: &mut State, request: &Message) -> Reply {
        if !is_bulk(&request.path()) {
            return Reply::json(200, &json!({"acknowledged": true}));
        }
        let text = String::from_utf8(request.text().unwrap()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut errors = false;
        let items: Vec<Value> = lines
            .chunks(2)
            .map(|pair| {
                let id = pair[0]["create"]["_id"].as_str().unwrap();
                let refused = state.refused.as_ref();
                let (status, error) = if refused.is_some_and(|it| pair[1].to_string().contains(it))
                {
                    (400, json!({"type": "document_parsing_exception", "reason": "not liked"}))
                } else if state.documents.contains_key(id) {
                    state.doubles += 1;
                    (409, json!({"type": "version_conflict_engine_exception", "reason": "there"}))
                } else if state.busy > 0 {
                    state.busy -= 1;
                    (429, json!({"type": "es_rejected_execution_exception", "reason": "busy"}))
                } else {
                    state.documents.insert(id.to_owned(), pair[1].clone());
                    return json!({"create": {"status": 201}});
                };
                errors = true;
                json!({"create": {"status": status, "error": error}})
            })
            .collect();
        Reply::json(200, &json!({"errors": errors, "items": items}))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Subject for Bulk {
    fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let of_server = Arc::clone(&state);
        let server =
            StandIn::start(move |request| Self::answer(&mut of_server.lock().unwrap(), request));
        Self { server, state }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn keys(&self, base: &str) -> String {
        format!("flavor = \"elasticsearch\"\nendpoint = \"{base}\"\n")
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let state = self.state();
        let of_run = state.documents.values().filter(|it| it["pipeline_run_id"] == run);
        of_run.cloned().map(stored).collect()
    }

    fn is_write(request: &Seen) -> bool {
        is_bulk(&request.path)
    }

    fn refuse(&mut self, text: &str) {
        self.state().refused = Some(text.to_owned());
    }
}

mod bulk {
    use super::super::conformance::conformance;
    use super::Bulk;

    conformance!(Bulk: partial);
}

#[test]
fn documents_that_are_to_come_again_come_again_alone() {
    let bulk = Bulk::start();
    bulk.state().busy = 70;
    let bench = Bench::new(&bulk.keys(&format!("http://{}", bulk.address())));
    let text = lines::numbered(2 * BATCH);
    bench.deliver("busy", text.as_bytes());
    assert_arrived(&bulk, "busy", text.as_bytes(), Doubles::Never);
    let state = bulk.state();
    assert_eq!((state.busy, state.doubles), (0, 0), "what was taken is not sent again");
}

#[test]
fn documents_that_are_there_already_are_taken() {
    let mut bulk = Bulk::start();
    let mut bench = Bench::new(&bulk.keys(&format!("http://{}", bulk.address())));
    bulk.stop();
    bench.set("deadline", "100ms");
    let text = lines::numbered(2 * BATCH);
    bench.print("there", text.as_bytes()).expect(0);
    // The same spool once more and without its checkpoint, as if power had been lost.
    let [spool] = bench.sandbox.spooled().try_into().unwrap();
    let copy = bench.sandbox.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(&spool).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file()
            && !file.file_name().to_string_lossy().starts_with("checkpoint")
        {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    bulk.restart();
    bench.sandbox.call(["ship", "--all"]).expect(0);
    bench.all_delivered();
    std::fs::rename(copy, spool).unwrap();
    bench.sandbox.call(["ship", "--all"]).expect(0);
    bench.all_delivered();
    assert_arrived(&bulk, "there", text.as_bytes(), Doubles::Never);
    assert_eq!(bulk.state().doubles, 2 * BATCH + 2, "all of it, the start and the end");
    assert!(bench.dead_letters().is_empty());
}
