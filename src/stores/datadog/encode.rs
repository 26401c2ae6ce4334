//! A record as an entry of Datadog's logs intake. Does no I/O.
//!
//! What Datadog knows by name (`timestamp`, `status`, `message`, `ddsource`, `ddtags`, `hostname`,
//! `service`) is said in its words; all fields of the record are attributes besides, so that it can be
//! read back exactly.

use serde_json::{Map, Value, json};

use super::config::{Config, SERVICE};
use crate::record::{IoStream, Level, Nanos, Writer};
use crate::stores::json;
use crate::stores::records::{Around, Format};
use crate::stores::view::{Field, View};

/// What an entry begins with, up to the milliseconds; [`super::late`] looks for it.
pub(super) const HEAD: &[u8] = b"{\"timestamp\":";
/// What stands behind the milliseconds.
pub(super) const NANOS: &[u8] = b",\"time_unix_nano\":\"";

/// The attribute `eol`: Datadog keeps no empty text.
pub(super) const EOLS: [(&str, &str); 2] = [("", "none"), ("\r\n", "crlf")];

const LEVELS: usize = Level::ALL.len() + 1;
/// Datadog cuts tags at this many characters.
const MAX_TAG: usize = 200;

pub(super) struct Encode {
    time: Option<Nanos>,
    /// From the first brace to before the value of `seq`, for `time`.
    head: Vec<u8>,
    /// `seq` without its last three digits, and `,"seq_thousand":"12"` of it.
    thousand: (Option<u64>, Vec<u8>),
    /// By iostream and level: what stands between that and the message.
    middles: [[Vec<u8>; LEVELS]; 2],
    /// What every entry ends with.
    tail: Vec<u8>,
}

impl Encode {
    pub(super) fn new(writer: &Writer, config: &Config) -> Self {
        let middle = |iostream: IoStream, level: Option<Level>| {
            let status = status(level);
            let level = level.map_or(String::new(), |it| format!("\"level\":\"{}\",", it.as_str()));
            let iostream = iostream.as_str();
            format!(",\"status\":\"{status}\",{level}\"iostream\":\"{iostream}\",\"message\":\"")
                .into_bytes()
        };
        let constant = Value::Object(constant(writer, config)).to_string();
        // `{…}` without its first brace.
        let tail = format!(",{}", constant.get(1..).unwrap_or_default());
        Self {
            time: None,
            head: Vec::new(),
            thousand: (None, Vec::new()),
            middles: IoStream::ALL.map(|iostream| {
                std::array::from_fn(|level| middle(iostream, Level::ALL.get(level).copied()))
            }),
            tail: tail.into_bytes(),
        }
    }

    fn set_time(&mut self, time: Nanos) {
        self.time = Some(time);
        self.head.clear();
        self.head.extend_from_slice(HEAD);
        let mut digits = itoa::Buffer::new();
        let millis = digits.format(time.0.div_euclid(1_000_000));
        self.head.extend_from_slice(millis.as_bytes());
        self.head.extend_from_slice(NANOS);
        self.head.extend_from_slice(digits.format(time.0).as_bytes());
        self.head.extend_from_slice(b"\",\"seq\":");
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        if self.time != Some(view.time) {
            self.set_time(view.time);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(itoa::Buffer::new().format(view.seq).as_bytes());
        let thousand = view.seq / 1000;
        if self.thousand.0 != Some(thousand) {
            self.thousand = (Some(thousand), format!(",\"seq_thousand\":\"{thousand}\"").into());
        }
        out.extend_from_slice(&self.thousand.1);
        let [stdout, stderr] = &self.middles;
        let of = match view.iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        out.extend_from_slice(of.get(level).map_or(&[], Vec::as_slice));
        json::escape(view.message.as_bytes(), out);
        out.push(b'"');
        if let Some(rare) = view.rare {
            // Lines of which other lines decide whether they are wanted; see `fetch`.
            if rare.group.is_some() || rare.line.is_some() {
                json::rare_field("joined", Field::Text("true"), out);
            }
            view.rare_fields(|name, value| match (name, value) {
                ("eol", Field::Text(eol)) => {
                    let word = EOLS.iter().find(|(text, _)| *text == eol).map(|(_, word)| *word);
                    json::rare_field(name, Field::Text(word.unwrap_or(eol)), out);
                }
                (name, value) => json::rare_field(name, value, out),
            });
        }
        let untold = view.rare.is_none_or(|rare| rare.raw.is_none() && rare.bytes.is_none());
        if untold && looks_like_json(view.message) {
            json::rare_field("raw", Field::Text(view.message), out);
        }
        out.extend_from_slice(&self.tail);
    }

    fn separator(&self) -> &'static [u8] {
        b","
    }

    fn around(&self, _records: &[u8]) -> Around {
        Around { head: b"[".to_vec(), tail: b"]".to_vec() }
    }
}

/// Datadog may take such a message apart.
fn looks_like_json(message: &str) -> bool {
    match message.as_bytes().first() {
        Some(b'{') => true,
        Some(first) if *first > b' ' => false,
        _ => message.trim_start().starts_with('{'),
    }
}

/// Datadog's word for a level. Lines that do not say are shown as it shows logs without status.
fn status(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Trace | Level::Debug) => "debug",
        Some(Level::Info) | None => "info",
        Some(Level::Warning) => "warn",
        Some(Level::Error) => "error",
        Some(Level::Critical) => "critical",
    }
}

/// What is the same in every entry.
fn constant(writer: &Writer, config: &Config) -> Map<String, Value> {
    let said = |name: &str| writer.attributes.get(name).map(String::as_str);
    let service = config.service_name.as_deref().or_else(|| said("service.name"));
    let mut constant = Map::new();
    constant.insert("ddsource".to_owned(), json!("steplog"));
    constant.insert("ddtags".to_owned(), json!(tags(writer, config)));
    if let Some(host) = said("host.name") {
        constant.insert("hostname".to_owned(), json!(host));
    }
    constant.insert("service".to_owned(), json!(service.unwrap_or(SERVICE)));
    constant.insert("writer".to_owned(), json!(writer.id));
    constant.insert("pipeline_run_id".to_owned(), json!(writer.origin.pipeline_run_id));
    constant.insert("step_id".to_owned(), json!(writer.origin.step_id));
    constant.insert("attempt".to_owned(), json!(writer.origin.attempt));
    constant.insert("source".to_owned(), json!(writer.origin.source));
    if !writer.attributes.is_empty() {
        constant.insert("resource".to_owned(), json!(writer.attributes));
    }
    constant
}

/// Few tags, each with one value a writer: what makes them many is in attributes.
fn tags(writer: &Writer, config: &Config) -> String {
    let pairs = [
        ("pipeline_run_id", Some(&writer.origin.pipeline_run_id)),
        ("step_id", Some(&writer.origin.step_id)),
        ("env", writer.attributes.get("deployment.environment.name")),
        ("version", config.service_version.as_ref()),
    ];
    let pairs = pairs.iter().filter_map(|(key, value)| Some(format!("{key}:{}", (*value)?)));
    let taken = |key: &str| {
        config.tags.iter().any(|tag| tag.split_once(':').is_some_and(|(name, _)| name == key))
    };
    let own = pairs.filter(|tag| tag.split_once(':').is_some_and(|(key, _)| !taken(key)));
    config.tags.iter().cloned().chain(own).map(|tag| normal(&tag)).collect::<Vec<_>>().join(",")
}

/// A tag as Datadog would write it: it takes no commas, and changes the rest itself.
fn normal(tag: &str) -> String {
    let fit = |c: char| {
        if c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '/') { c } else { '_' }
    };
    tag.to_lowercase().chars().map(fit).take(MAX_TAG).collect()
}
