//! Servers that speak Elasticsearch's interface: noida-db for Elasticsearch (data streams), osmem
//! for OpenSearch (indexes only). Both keep what they hold in memory or in their folder.
//!
//! Neither can be stopped and started with what it holds, so a [`StandIn`] that only passes on stands
//! before each: that one can be stopped.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use super::message::Message;
use super::stand_in::{Reply, StandIn};
use super::{Server, answers, free_port, http, loopback, tool};

/// Where noida-db listens; started at first use.
pub(crate) fn noida() -> SocketAddr {
    static RUNNING: LazyLock<(Server, SocketAddr)> = LazyLock::new(|| {
        let port = free_port();
        let command = move |folder: &tempfile::TempDir| {
            let data = folder.path().join("data");
            let port = port.to_string();
            let arguments = ["start", "--only", "elasticsearch", "--elasticsearch-port", &port];
            let mut command = vec![tool("noida-db").display().to_string()];
            command.extend(arguments.map(str::to_owned));
            command.extend(["--data-dir".to_owned(), data.display().to_string()]);
            command
        };
        up("noida-db", port, command)
    });
    RUNNING.1
}

/// Where osmem listens; started at first use.
pub(crate) fn osmem() -> SocketAddr {
    static RUNNING: LazyLock<(Server, SocketAddr)> = LazyLock::new(|| {
        let port = free_port();
        let command = move |_: &tempfile::TempDir| {
            let address = format!("127.0.0.1:{port}");
            vec![program().display().to_string(), "-addr".into(), address, "-no-stdin-watch".into()]
        };
        up("osmem", port, command)
    });
    RUNNING.1
}

fn up(
    name: &str,
    port: u16,
    command: impl FnOnce(&tempfile::TempDir) -> Vec<String>,
) -> (Server, SocketAddr) {
    let address = loopback(port);
    let ready = || answers(address, "/").is_some_and(|status| status.contains(" 200 "));
    (Server::start(name, command, ready), address)
}

/// osmem's program is a file of its Python package.
fn program() -> PathBuf {
    let library = tool("python").parent().unwrap().join("../lib");
    let folders = std::fs::read_dir(library).unwrap().map(|folder| folder.unwrap().path());
    let inside = "site-packages/osmem_server/bin/osmem-server";
    folders.map(|folder| folder.join(inside)).find(|path| path.exists()).unwrap()
}

/// A server that passes everything on to `upstream` and can be stopped.
pub(crate) fn before(upstream: SocketAddr) -> StandIn {
    StandIn::start(move |request| {
        pass_on(upstream, request).unwrap_or_else(|error| Reply::text(502, &error.to_string()))
    })
}

fn pass_on(upstream: SocketAddr, request: &Message) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(upstream)?;
    stream.write_all(&request.bytes())?;
    let head_only = request.method() == "HEAD";
    let answer = Message::read(&mut BufReader::new(stream.try_clone()?), &stream, head_only)?
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let body = answer.text().map_err(std::io::Error::other)?;
    let kind = answer.header("content-type");
    let headers = kind.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
    Ok(Reply { status: answer.path().parse().map_err(std::io::Error::other)?, headers, body })
}

/// All documents of a run in `index`.
pub(crate) fn documents(server: SocketAddr, index: &str, run: &str) -> Vec<Value> {
    const PAGE: usize = 5000;
    let ask = |method, path: &str, body: &str| {
        let (head, body) = http(server, method, path, body)?;
        let ok = head.starts_with("HTTP/1.1 200");
        // Before the first document there is no index.
        ok.then(|| serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
    };
    if ask("POST", &format!("/{index}/_refresh"), "").is_none() {
        return Vec::new();
    }
    let (mut documents, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut question = serde_json::json!({
            "size": PAGE,
            "query": {"match_phrase": {"pipeline_run_id": run}},
            "sort": [{"seq": "asc"}],
        });
        if !after.is_null() {
            question["search_after"] = after;
        }
        let path = format!("/{index}/_search");
        let answer = ask("POST", &path, &question.to_string()).expect("an answer to _search");
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        after = hits.last().map_or(Value::Null, |hit| hit["sort"].clone());
        let full = hits.len() == PAGE;
        documents.extend(hits.into_iter().map(|hit| hit["_source"].clone()));
        if !full {
            return documents;
        }
    }
}
