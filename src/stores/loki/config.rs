//! The keys of the `loki` flavor.

use std::time::Duration;

use reqwest::Url;

use super::encode::FIELDS;
use super::{EVENT, HALF_HOUR, WRITER};
use crate::record::Writer;
use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection, Hidden};
use crate::stores::{self, Flavor, Key, Read};

/// A Loki, and what streams are labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What stands before `/loki/api/v1`.
    pub endpoint: Url,
    /// `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// What allows to send and to ask.
    pub credentials: Option<Credentials>,
    /// Beside the writer.
    pub labels: Vec<Label>,
    /// Runs are looked for so far back.
    pub lookback: Duration,
    /// How to connect.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

/// What allows to send and to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token.
    Token(Hidden),
    /// A user and a password.
    User(String, Hidden),
}

/// A label of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value, in pieces.
    value: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What the writer has of this name.
    Of(String),
}

const EXAMPLE: &str = "https://loki.example.com";
const PUSH_PATH: &str = "/loki/api/v1/push";
/// A series has 15 labels at the most, of which two are ours.
const MAX_LABELS: usize = 13;

/// A message between Loki's own parts has 4 MiB at the most.
const BOUNDS: Bounds = Bounds {
    records: (3_000, 100_000),
    bytes: (1 << 20, 7 << 19),
    compressions: &[Compression::Snappy],
};

const fn key(name: &'static str, default: &'static str, secret: Secret) -> Key {
    Key { name, default, secret }
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "loki",
    keys: &[
        &[
            key("endpoint", "", Secret::No),
            key("tenant", "", Secret::No),
            key("username", "", Secret::No),
            key("password", "", Secret::Yes),
            key("token", "", Secret::Yes),
            key("labels", "{ service_name = \"steplog\" }", Secret::No),
            key("lookback", "\"30d\"", Secret::No),
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| stores::Config::Loki(read(reader))),
};

fn read(reader: &mut Reader<'_, '_, '_>) -> Config {
    let mut endpoint = http::endpoint(reader, EXAMPLE);
    let path = endpoint.path().trim_end_matches('/').trim_end_matches(PUSH_PATH).to_owned();
    endpoint.set_path(&path);
    let mut lookback = usual_lookback();
    let day = Duration::from_secs(24 * 3600);
    reader.duration("lookback", day / 24..=day * 3660, &mut lookback);
    Config {
        endpoint,
        tenant: reader.optional_text("tenant", "team-a"),
        credentials: read_credentials(reader),
        labels: read_labels(reader),
        lookback,
        connection: Connection::read(reader),
        batching: Batching::read(reader, BOUNDS),
    }
}

fn read_credentials(reader: &mut Reader<'_, '_, '_>) -> Option<Credentials> {
    let token = reader.optional_text("token", "${env:LOKI_TOKEN}");
    let username = reader.optional_text("username", "steplog");
    let password = reader.optional_text("password", "${env:LOKI_PASSWORD}");
    let user = reader.is_unclear(&["username"]) || reader.is_unclear(&["password"]);
    if reader.is_unclear(&["token"]) && user {
        let what = "token and a user: one of them is needed".to_owned();
        reader.conflict(["token", "username"], what);
    }
    if user {
        reader.require("username", "steplog");
        reader.require("password", "${env:LOKI_PASSWORD}");
    }
    match (token, username, password) {
        (Some(token), ..) => Some(Credentials::Token(Hidden(token))),
        (None, Some(user), Some(password)) => Some(Credentials::User(user, Hidden(password))),
        _ => None,
    }
}

fn read_labels(reader: &mut Reader<'_, '_, '_>) -> Vec<Label> {
    let Some(mut table) = reader.table("labels") else { return usual_labels() };
    let mut written = Vec::new();
    table.rest(|_| Some(Secret::No), |name, value| written.push((name.to_owned(), value)));
    let mut labels = Vec::new();
    for (name, value) in written {
        match Label::new(&name, &value) {
            Ok(label) => labels.push(label),
            Err((what, help)) => table.problem(&name, what, Some(help)),
        }
    }
    if let Some(label) = labels.get(MAX_LABELS) {
        let what = format!("expected {MAX_LABELS} labels at the most");
        let help = "Loki takes 15, of which two are steplog's own".to_owned();
        table.problem(&label.name, what, Some(help));
    }
    table.finish();
    labels
}

fn usual_labels() -> Vec<Label> {
    let value = vec![Piece::Text("steplog".to_owned())];
    vec![Label { name: "service_name".to_owned(), value }]
}

fn usual_lookback() -> Duration {
    Duration::from_secs(30 * 24 * 3600)
}

impl Label {
    /// What is wrong with it, and what would be right.
    pub(super) fn new(name: &str, value: &str) -> Result<Self, (String, String)> {
        let wrong = |what: String, help: &str| Err((what, help.to_owned()));
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_');
        if !first || !bytes.all(|it| it.is_ascii_alphanumeric() || it == b'_') {
            let help = "a name has letters, digits and _, and does not begin with a digit";
            return wrong(format!("{name:?} cannot be the name of a label"), help);
        }
        if name.starts_with("__") {
            let help = "names that begin with __ are Loki's own";
            return wrong(format!("{name:?} cannot be the name of a label"), help);
        }
        if [WRITER, HALF_HOUR, EVENT].contains(&name) || FIELDS.contains(&name) {
            let help = "it is attached to each line, with the line's own value";
            return wrong(format!("{name:?} is a name of steplog's own"), help);
        }
        let Some(value) = pieces(value) else {
            let help = "such as \"training\" or \"{pipeline_run_id}\" or \"{k8s.namespace.name}\"";
            return wrong("expected text, in which names stand in braces".to_owned(), help);
        };
        Ok(Self { name: name.to_owned(), value })
    }

    /// The value, if it is the same for every writer.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.value.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The value for this writer; none if it has nothing of the sort.
    pub(super) fn of(&self, writer: &Writer) -> Option<String> {
        let mut value = String::new();
        for piece in &self.value {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Of(name) => {
                    let origin = &writer.origin;
                    let attempt = origin.attempt.to_string();
                    value.push_str(match name.as_str() {
                        "pipeline_run_id" => &origin.pipeline_run_id,
                        "step_id" => &origin.step_id,
                        "source" => &origin.source,
                        "attempt" => &attempt,
                        name => writer.attributes.get(name).map_or("", String::as_str),
                    });
                }
            }
        }
        (!value.is_empty()).then_some(value)
    }
}

/// `text{name}text`; none if braces do not fit or it is empty.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        if before.contains('}') || name.is_empty() || name.contains('{') {
            return None;
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Of(name.to_owned()));
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    (!pieces.is_empty()).then_some(pieces)
}

/// What the stack file need not say.
#[cfg(test)]
pub(super) fn usual(endpoint: Url) -> Config {
    Config {
        endpoint,
        tenant: None,
        credentials: None,
        labels: usual_labels(),
        lookback: usual_lookback(),
        connection: Connection::default(),
        batching: Batching::usual(BOUNDS),
    }
}
