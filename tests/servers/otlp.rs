//! What takes OTLP: a server of ours on the official stubs (`otlp.py`), a collector (rotel), and
//! Datadog's test agent.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use serde_json::Value;
use tempfile::TempDir;

use super::{Server, answers, free_port, http, loopback, tool};
use crate::support::project;

/// Our own. What it has taken outlives it: it can be stopped and started again.
pub(crate) struct Otlp {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    folder: TempDir,
    server: Option<Server>,
}

/// A request that it has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The content type, or `grpc`.
    pub(crate) protocol: String,
    /// Headers or metadata; names in lower case.
    pub(crate) metadata: Value,
    /// When, in seconds.
    pub(crate) at: f64,
    /// None: it was refused.
    pub(crate) request: Option<ExportLogsServiceRequest>,
}

impl Otlp {
    pub(crate) fn start() -> Self {
        let mut server = Self {
            http: loopback(free_port()),
            grpc: loopback(free_port()),
            folder: tempfile::tempdir().unwrap(),
            server: None,
        };
        server.restart();
        server
    }

    pub(crate) fn stop(&mut self) {
        drop(self.server.take());
        super::wait::until_true("the OTLP server to be gone", || {
            TcpStream::connect(self.http).is_err() && TcpStream::connect(self.grpc).is_err()
        });
    }

    /// It listens again, on the same ports.
    pub(crate) fn restart(&mut self) {
        let command = vec![
            tool("python3").display().to_string(),
            project("tests/servers/otlp.py").display().to_string(),
            self.http.port().to_string(),
            self.grpc.port().to_string(),
            self.folder.path().display().to_string(),
        ];
        let (http, grpc) = (self.http, self.grpc);
        let up = || TcpStream::connect(http).is_ok() && TcpStream::connect(grpc).is_ok();
        self.server = Some(Server::start("the OTLP server", |_| command, up));
    }

    /// Says what is answered from now on; see `otlp.py`.
    pub(crate) fn order(&self, order: &str) {
        let new = self.folder.path().join("orders.new");
        fs::write(&new, order).unwrap();
        fs::rename(new, self.folder.path().join("orders")).unwrap();
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let text = fs::read_to_string(self.folder.path().join("taken")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(seen).collect()
    }
}

fn seen(line: &str) -> Seen {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let request = line["request"].as_str().map(|request| STANDARD.decode(request).unwrap());
    Seen {
        protocol: line["how"]["protocol"].as_str().unwrap().to_owned(),
        metadata: line["how"]["metadata"].take(),
        at: line["how"]["at"].as_f64().unwrap(),
        request: request.map(|it| ExportLogsServiceRequest::decode(it.as_slice()).unwrap()),
    }
}

/// Datadog's test agent: a server of others that takes OTLP in every form and shows it.
pub(crate) struct TestAgent {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    _server: Server,
}

/// The agent, started at first use. Requests with a session token of their own are kept apart.
pub(crate) fn test_agent() -> &'static TestAgent {
    static RUNNING: LazyLock<TestAgent> = LazyLock::new(TestAgent::start);
    &RUNNING
}

/// The header that names a session.
pub(crate) const SESSION: &str = "x-datadog-test-session-token";

impl TestAgent {
    fn start() -> Self {
        let [agent, http, grpc] = [(); 3].map(|()| loopback(free_port()));
        let mut command =
            vec![tool("ddapm-test-agent").display().to_string(), "--host=127.0.0.1".to_owned()];
        for (option, address) in
            [("--port", agent), ("--otlp-http-port", http), ("--otlp-grpc-port", grpc)]
        {
            command.push(format!("{option}={}", address.port()));
        }
        let up =
            || answers(http, "/test/session/logs").is_some() && TcpStream::connect(grpc).is_ok();
        let server = Server::start("Datadog's test agent", |_| command, up);
        Self { http, grpc, _server: server }
    }

    /// The requests of a session, as protobuf's own JSON or as they came.
    pub(crate) fn requests(&self, session: &str) -> Vec<Value> {
        self.requests_of("logs", session)
    }

    /// Those of one kind: `logs`, `metrics` or `traces`.
    pub(crate) fn requests_of(&self, kind: &str, session: &str) -> Vec<Value> {
        let path = format!("/test/session/{kind}?test_session_token={session}");
        let (head, body) = http(self.http, "GET", &path, "").unwrap();
        assert!(head.contains(" 200 "), "{head}\n{body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// rotel: a collector, which passes on what it takes.
pub(crate) struct Collector {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    _server: Server,
}

impl Collector {
    /// One that passes everything on to `to`.
    pub(crate) fn before(to: &Otlp) -> Self {
        let [http, grpc] = [(); 2].map(|()| loopback(free_port()));
        let agent = rotel();
        let options = [
            ("--otlp-http-endpoint", http.to_string()),
            ("--otlp-grpc-endpoint", grpc.to_string()),
            ("--exporter", "otlp".to_owned()),
            ("--otlp-exporter-endpoint", format!("http://{}", to.grpc)),
        ];
        let command = |folder: &TempDir| {
            let file = |name: &str| folder.path().join(name).display().to_string();
            let mut command = vec![agent, "start".to_owned()];
            for (option, value) in options {
                command.extend([option.to_owned(), value]);
            }
            command.extend(["--pid-file".to_owned(), file("pid")]);
            command.extend(["--log-file".to_owned(), file("rotel-log")]);
            command
        };
        let up = || TcpStream::connect(http).is_ok() && TcpStream::connect(grpc).is_ok();
        let server = Server::start("rotel", command, up);
        Self { http, grpc, _server: server }
    }
}

/// The package has no command, only the program itself.
fn rotel() -> String {
    let python = tool("python3");
    let script =
        "import rotel, os; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let output = std::process::Command::new(python).args(["-c", script]).output().unwrap();
    let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(Path::new(&path).exists(), "{path:?}: `tests/run setup` installs it");
    path
}
