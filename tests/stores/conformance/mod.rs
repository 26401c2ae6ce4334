//! What every log store that takes records must do, whatever its flavor: one suite, run by each
//! flavor against a server of its kind.
//!
//! To plug a flavor in, write `tests/stores/<flavor>.rs`:
//!
//! ```text
//! struct Datadog { server: StandIn, … }
//! impl Subject for Datadog { … }                      how to start it, what it holds, its words
//! conformance!(Datadog: basics, faults, secure, partial);
//! ```
//!
//! | group | for | cases |
//! |---|---|---|
//! | `basics` | all | nothing, one record, more than one request, every kind of line, a step that fails, ship killed, the server away for a while, away to the end |
//! | `faults` | HTTP/1.1 | by a proxy in front of the server: 429, 500, 503, no answer, slow, connections cut in each place, 413, 400, credentials |
//! | `wire` | any protocol on TCP | by a proxy that knows only bytes: cut, half closed, delayed, throttled, hanging, closed |
//! | `secure` | HTTP | TLS with a private CA, without it, client certificates, proxy variables |
//! | `partial` | services that refuse record by record | the refused one is a dead letter, the rest is there |
//! | `reading` | what can be read back | `logs`, `ls` and `download` give what the artifact store gives, byte for byte; following a step |
//! | `searching` | the same over HTTP | by a proxy: 401, 403, 400, 429, 500, 503, connections cut, while reading |
//!
//! A group that a flavor cannot have is left out, and its file says why. `http.rs` is the example.
//!
//! How a case goes: the real program in a sandbox whose stack has the log store `it`; then what the
//! *server's own side* holds ([`Subject::stored`]) is compared with what the step printed.

pub(crate) mod basics;
pub(crate) mod faults;
pub(crate) mod partial;
pub(crate) mod reading;
pub(crate) mod searching;
pub(crate) mod secure;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::servers::proxy::{Action, Seen};
use crate::support::paced::Paced;
use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::{lines, wait};

/// A flavor under test: a server of its kind, and how it is spoken of.
pub(crate) trait Subject: Sized + 'static {
    /// What a TLS front offers beside HTTP/1.1: `h2` for gRPC.
    const PROTOCOLS: &'static [&'static str] = &[];

    /// Starts it, or gives a handle on one that runs already: tests use runs of their own names.
    fn start() -> Self;

    /// Starts one that no other test uses, since it will be stopped.
    fn start_alone() -> Self {
        Self::start()
    }

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The keys of `[log_stores.it]`, `flavor = …` among them, for a server at `base`, which is
    /// `http://HOST:PORT` or `https://HOST:PORT` without anything behind. Leave
    /// `max_export_batch_size`, `schedule_delay_millis`, `compression`, the certificates and, unless
    /// the server needs them, `headers` to the suite.
    fn keys(&self, base: &str) -> String;

    /// Tables of the stack file that these keys speak of.
    fn tables(&self) -> String {
        String::new()
    }

    /// The same with credentials that the server refuses. None: the server asks for none.
    fn wrong_keys(&self, _base: &str) -> Option<String> {
        None
    }

    /// Nobody listens any more. What it holds stays.
    fn stop(&mut self);

    /// It listens again, on the same port.
    fn restart(&mut self);

    /// Everything that it holds of a run, as its own side shows it, doubles and events included, in
    /// any order. May panic with what was wrong in a request that the server has seen.
    fn stored(&self, run: &str) -> Vec<Stored>;

    /// Whether a request brings records.
    fn is_write(request: &Seen) -> bool {
        matches!(request.method.as_str(), "POST" | "PUT")
    }

    /// How the service says it, where a bare status is not the way.
    fn words(refusal: Refusal) -> Action {
        let (status, headers) = match refusal {
            Refusal::TooMany => (429, "Retry-After: 1\r\n"),
            Refusal::ServerError => (500, ""),
            Refusal::Unavailable => (503, ""),
            Refusal::TooLarge => (413, ""),
            Refusal::Invalid => (400, ""),
            Refusal::NotAllowed => (403, ""),
        };
        Action::answer(status, headers, "")
    }

    /// From now on the server refuses records that have this text in them, and takes the others of
    /// the same request: for the group `partial`.
    fn refuse(&mut self, _text: &str) {
        panic!("this flavor has no partial success: leave the group out");
    }
}

/// What a service may say instead of taking records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Slow down; come back in a second.
    TooMany,
    ServerError,
    Unavailable,
    TooLarge,
    /// Something in the request is wrong.
    Invalid,
    NotAllowed,
}

/// A record as the server holds it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) writer: String,
    pub(crate) seq: u64,
    /// `start` or `end` of a record that is no line; then `record` has `steplog_stream`.
    pub(crate) event: Option<String>,
    /// The fields of a record by the names that `steplog logs -o json` gives them, as many as the
    /// service keeps.
    pub(crate) record: Value,
}

impl Stored {
    pub(crate) fn message(&self) -> &str {
        self.record["message"].as_str().unwrap_or_default()
    }
}

/// Whether a record may be there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubles {
    Never,
    /// An answer was lost, or ship died.
    Allowed,
}

/// A sandbox with the flavor as its log store.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    keys: String,
    /// Of `[ship]`.
    settings: BTreeMap<&'static str, String>,
    /// Of the stack.
    log_stores: Vec<&'static str>,
    /// Further tables.
    tables: String,
}

/// Records in a request, unless a case says otherwise.
pub(crate) const BATCH: usize = 500;

impl Bench {
    /// With the subject reached where it listens.
    pub(crate) fn of(subject: &impl Subject) -> Self {
        let mut bench = Self::new(&subject.keys(&format!("http://{}", subject.address())));
        bench.tables = subject.tables();
        bench.write();
        bench
    }

    pub(crate) fn new(keys: &str) -> Self {
        Self::with(keys, "")
    }

    /// The artifact store gets every record too, as log store `copy`; with further tables.
    pub(crate) fn copied(mut self, tables: &str) -> Self {
        self.log_stores.push("copy");
        self.tables += &format!("[log_stores.copy]\nflavor = \"artifact\"\n{tables}");
        self.write();
        self
    }

    /// With further keys of the log store.
    pub(crate) fn with(keys: &str, more: &str) -> Self {
        // Some of the servers take their time on a busy machine.
        let settings = [
            ("retry_initial", "5ms"),
            ("retry_max", "50ms"),
            ("timeout", "10s"),
            ("deadline", "100s"),
        ];
        let bench = Self {
            sandbox: Sandbox::new(),
            keys: format!(
                "{keys}\nmax_export_batch_size = {BATCH}\nschedule_delay_millis = 20\n{more}\n"
            ),
            settings: settings.map(|(key, value)| (key, value.to_owned())).into(),
            log_stores: vec!["it"],
            tables: String::new(),
        };
        bench.write();
        bench
    }

    fn write(&self) {
        let settings: String =
            self.settings.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
        let Self { keys, log_stores, tables, .. } = self;
        self.sandbox.write_stack(&format!(
            "active = \"test\"\n[stacks.test]\nartifact_store = \"here\"\nlog_stores = {log_stores:?}\n\
             [artifact_stores.here]\nflavor = \"local\"\npath = \"{{sandbox}}/store\"\n\
             [spool]\ndir = \"{{sandbox}}/spool\"\n[log_stores.it]\n{keys}\n\
             [ship]\n{settings}dead_letter = \"{{sandbox}}/dead\"\n{tables}"
        ));
    }

    /// A key of `[ship]` has this value from now on.
    pub(crate) fn set(&mut self, key: &'static str, value: &str) {
        self.settings.insert(key, value.to_owned());
        self.write();
    }

    /// The log store's keys are others from now on.
    pub(crate) fn change_keys(&mut self, change: impl FnOnce(&str) -> String) {
        self.keys = change(&self.keys);
        self.write();
    }

    /// A step that prints `text`, to its end.
    pub(crate) fn print(&self, run: &str, text: &[u8]) -> Output {
        let input = self.sandbox.path("input");
        std::fs::write(&input, text).unwrap();
        finish(&mut self.sandbox.wrap(run, ["cat".to_owned(), input.display().to_string()]))
    }

    /// The same, all of it delivered and nothing said.
    #[track_caller]
    pub(crate) fn deliver(&self, run: &str, text: &[u8]) {
        let output = self.print(run, text).expect(0);
        assert_eq!(output.errors(), "", "{}", self.sandbox.ship_said());
        self.all_delivered();
    }

    #[track_caller]
    pub(crate) fn all_delivered(&self) {
        assert!(self.sandbox.spooled().is_empty(), "{}", self.sandbox.ship_said());
    }

    /// A step that prints `count` known lines in `shares`, each when it is told to.
    pub(crate) fn paced(&self, run: &str, count: usize, shares: usize) -> Paced {
        Paced::start(&self.sandbox, run, count, shares)
    }

    /// The dead letters of the log store.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let Ok(files) = std::fs::read_dir(self.sandbox.path("dead/it")) else { return Vec::new() };
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        let text: String =
            files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Proves that the server holds exactly these lines of the run, each with the right `seq`, and the
/// writer's start and end. Gives the end's `steplog_stream`.
#[track_caller]
pub(crate) fn assert_arrived(
    subject: &impl Subject,
    run: &str,
    expected: &[u8],
    doubles: Doubles,
) -> Value {
    let stored = settled(subject, run);
    let (events, records): (Vec<_>, Vec<_>) =
        stored.iter().partition(|stored| stored.event.is_some());
    let writer = &events.first().expect("no event has arrived").writer;
    let mut by_seq = BTreeMap::new();
    for stored in &records {
        assert_eq!(&stored.writer, writer, "one step, one writer");
        let before = by_seq.insert(stored.seq, stored.message());
        assert!(
            before.is_none() || doubles == Doubles::Allowed,
            "{run}: seq {} is there twice",
            stored.seq
        );
        assert!(before.is_none_or(|before| before == stored.message()), "one seq, two lines");
    }
    assert!(by_seq.keys().copied().eq(0..by_seq.len() as u64), "holes: {:?}", by_seq.keys());
    let mut text = by_seq.values().fold(String::new(), |text, line| text + line + "\n");
    if !expected.ends_with(b"\n") {
        text.pop();
    }
    lines::assert_same(run, expected, text.as_bytes());
    check_events(&events, by_seq.len() as u64, doubles)
}

/// What the server holds once it shows the writer's end: some show a record a while after they
/// have taken it, but never the last one first for long.
pub(crate) fn settled(subject: &impl Subject, run: &str) -> Vec<Stored> {
    let is_end = |stored: &Stored| stored.event.as_deref() == Some("end");
    wait::until("the server to show the writer's end", || {
        let stored = subject.stored(run);
        let end = stored.iter().find(|stored| is_end(stored))?;
        let lines = stored.iter().filter(|stored| stored.event.is_none());
        let distinct: std::collections::BTreeSet<u64> = lines.map(|stored| stored.seq).collect();
        let stream = stream(end);
        let announced = stream["end"]["lines"].as_u64()? - stream["end"]["rejected"].as_u64()?;
        (distinct.len() as u64 >= announced).then(|| stored.clone())
    })
}

#[track_caller]
fn check_events(events: &[&Stored], lines: u64, doubles: Doubles) -> Value {
    let of = |kind: &str| -> Vec<&Stored> {
        events.iter().copied().filter(|stored| stored.event.as_deref() == Some(kind)).collect()
    };
    let (starts, ends) = (of("start"), of("end"));
    assert!(!starts.is_empty() && !ends.is_empty());
    assert_eq!(starts.len() + ends.len(), events.len());
    if doubles == Doubles::Never {
        assert_eq!((starts.len(), ends.len()), (1, 1));
    }
    let start = stream(starts[0]);
    assert_eq!(start["writer"]["id"].as_str(), Some(starts[0].writer.as_str()));
    assert!(start["end"].is_null());
    let end = stream(ends[0]);
    assert_eq!(end["end"]["lines"].as_u64(), Some(lines));
    end
}

/// What an event says of its writer.
pub(crate) fn stream(event: &Stored) -> Value {
    let stream = event.record["steplog_stream"].as_str().expect("an event has steplog_stream");
    serde_json::from_str(stream).unwrap()
}

/// One test a case, in a module a group: `conformance!(Subject: basics, faults);`
macro_rules! conformance {
    (@basics $subject:ident) => {
        conformance!(@tests basics $subject: prints_nothing, prints_one_line,
            prints_more_than_one_request_holds, prints_every_kind_of_line, fails,
            ship_is_killed_again_and_again, the_server_restarts_in_the_middle,
            the_server_is_away_to_the_end);
    };
    (@faults $subject:ident) => {
        conformance!(@tests faults $subject: answers_429_and_says_when_to_come_back, answers_500,
            answers_503, does_not_answer, is_slow, closes_the_connection, cuts_the_request,
            takes_the_request_and_swallows_the_answer, cuts_the_answer, closes_its_half,
            says_that_requests_are_too_large, says_that_one_record_is_invalid,
            refuses_everything_from_the_start, refuses_the_credentials);
    };
    (@wire $subject:ident) => {
        conformance!(@tests wire $subject: connections_are_closed, connections_are_cut,
            answers_are_cut, connections_are_half_closed, bytes_are_delayed, bytes_trickle,
            connections_hang);
    };
    (@secure $subject:ident) => {
        conformance!(@tests secure $subject: a_private_ca_is_trusted_when_it_is_named,
            a_private_ca_is_not_trusted_otherwise, a_client_certificate_is_shown,
            without_its_client_certificate_it_is_refused, the_proxy_variable_is_heeded,
            https_goes_through_a_proxy, no_proxy_is_heeded);
    };
    (@partial $subject:ident) => {
        conformance!(@tests partial $subject: some_records_are_refused, the_dead_letters_are_full);
    };
    (@reading $subject:ident) => {
        conformance!(@tests reading $subject: it_is_read_as_the_artifact_store_is,
            it_is_followed_while_it_is_written);
    };
    (@searching $subject:ident) => {
        conformance!(@tests searching $subject: what_is_not_allowed_is_not_taken_for_nothing,
            a_service_that_fails_is_not_taken_for_nothing, a_failure_is_tried_again,
            a_limit_is_kept_to);
    };
    (@tests $group:ident $subject:ident: $($case:ident),+) => {
        mod $group {
            use super::$subject;
            use crate::stores::conformance::$group;
            $(#[test]
            fn $case() {
                $group::$case::<$subject>();
            })+
        }
    };
    ($subject:ident: $($group:ident),+) => {
        $(conformance!(@$group $subject);)+
    };
}
pub(crate) use conformance;
