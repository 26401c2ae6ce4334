//! gcp-storage-emulator stands for Google Cloud Storage.
//!
//! It takes the puts and gets that `object_store` sends (the XML interface), but knows listing,
//! heads and deletes, ages and preconditions only by the JSON interface, if at all. A proxy in
//! front of it translates these; the objects are the emulator's.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::LazyLock;

use serde_json::Value;

use super::proxy::{Action, Proxy, Seen};
use super::{Remote, Server, answers, free_port, http, loopback, tool};

// Only letters: the emulator does not decode a bucket's name in a path.
const BUCKET: &str = "steplogtests";

/// The store, started at first use.
pub(crate) fn remote() -> Remote {
    static RUNNING: LazyLock<(Server, Proxy, Remote)> = LazyLock::new(start);
    RUNNING.2.clone()
}

fn start() -> (Server, Proxy, Remote) {
    let port = free_port();
    let emulator = loopback(port);
    let server = Server::start(
        "gcp-storage-emulator",
        |_| {
            vec![
                tool("gcp-storage-emulator").display().to_string(),
                "start".into(),
                "--host=127.0.0.1".into(),
                format!("--port={port}"),
                "--in-memory".into(),
            ]
        },
        || answers(emulator, "/").is_some_and(|status| status.contains(" 200 ")),
    );
    let bucket = format!("{{\"name\":\"{BUCKET}\"}}");
    let created = http(emulator, "POST", "/storage/v1/b?project=test", &bucket);
    assert!(created.as_ref().is_some_and(|(head, _)| head.contains(" 200 ")), "{created:?}");
    let proxy = Proxy::scripted(emulator, move |request| translate(emulator, request));
    let address = proxy.address;
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

fn translate(emulator: SocketAddr, request: &Seen) -> Action {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let Some(name) = path.strip_prefix(&format!("/{BUCKET}")) else { return Action::Pass };
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return list(emulator, query);
    }
    let object = format!("/storage/v1/b/{BUCKET}/o/{}", name.replace('/', "%2F"));
    let Some((head, body)) = http(emulator, "GET", &object, "") else {
        return Action::status(502);
    };
    let there = head.contains(" 200 ");
    let condition = request.head.to_ascii_lowercase().contains("x-goog-if-generation-match: 0");
    match request.method.as_str() {
        "PUT" if condition && there => Action::status(412),
        "PUT" => Action::PassWith("ETag: \"new\"\r\nx-goog-generation: 1\r\n".to_owned()),
        "GET" if there => Action::PassWith(ages(&body)),
        "HEAD" if there => {
            let size = text(&parse(&body), "size");
            Action::answer(200, &format!("{}Content-Length: {size}\r\n", ages(&body)), "")
        }
        "DELETE" if there => {
            http(emulator, "DELETE", &object, "");
            Action::status(204)
        }
        "HEAD" | "DELETE" => Action::status(404),
        _ => Action::Pass,
    }
}

/// Headers that the XML interface has on every object.
fn ages(object: &str) -> String {
    let object = parse(object);
    let time: jiff::Timestamp = text(&object, "updated").parse().unwrap();
    format!(
        "ETag: \"{}\"\r\nLast-Modified: {}\r\nx-goog-generation: {}\r\n",
        text(&object, "etag"),
        time.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        text(&object, "generation")
    )
}

fn list(emulator: SocketAddr, query: &str) -> Action {
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let path = format!("/storage/v1/b/{BUCKET}/o?prefix={prefix}&delimiter={delimiter}");
    let Some((_, body)) = http(emulator, "GET", &path, "") else { return Action::status(502) };
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
