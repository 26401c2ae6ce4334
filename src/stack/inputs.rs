//! `[[inputs]]`: what the agent reads.
//!
//! Apart from the other tables because there are any number of these, and what a key means depends on
//! the kind. Opens nothing.

use std::time::Duration;

use super::reader::{Reader, Secret};
use super::resolve::is_name;
use crate::agent::{Input, Kind, Metadata, Otlp, max_connections};
use crate::capture::file::{Template, cri};
use crate::listen::Keys;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// After so long without a line, a stream of records has ended.
const OTLP_IDLE: Duration = Duration::from_secs(600);

/// Clients of records that are connected at the same time.
const OTLP_CONNECTIONS: usize = 64;

/// Who may write: everybody; who may read: the agent.
const MODE: u32 = 0o622;

/// Where records are taken, and from whom.
const ENDPOINT: Keys = Keys {
    address: "listen",
    tls_certificate: "tls_certificate",
    tls_key: "tls_key",
    token: "token",
    token_file: "token_file",
};

/// Reads them all; one that is wrong is left out.
pub(super) fn read(top: &mut Reader<'_, '_, '_>) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    top.tables("inputs", |reader| {
        let input = one(reader);
        if let Some(input) = &input
            && inputs.iter().any(|other| other.name == input.name)
        {
            let what = format!("another input is called {:?}", input.name);
            reader.problem("name", what, Some("give each its own name".to_owned()));
        } else if let Some(input) = &input
            && input.kind == Kind::Stdin
            && inputs.iter().any(|other| other.kind == Kind::Stdin)
        {
            let what = "standard input can be read only once".to_owned();
            reader.problem("kind", what, None);
        }
        inputs.extend(input);
    });
    inputs
}

fn one(reader: &mut Reader<'_, '_, '_>) -> Option<Input> {
    let name = reader.required_text("name", "trainer");
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        let help = "a name is 1 to 64 letters, digits, \"_\", \"-\" or \".\"".to_owned();
        reader.problem("name", format!("{name:?} is not a name"), Some(help));
    }
    reader.require("kind", "fifo");
    let choices = Kind::ALL.map(|(word, kind)| (word, Some(kind)));
    let mut kind = None;
    reader.choice("kind", &choices, &mut kind);
    let otlp = if kind == Some(Kind::Otlp) { Some(otlp(reader)) } else { None };
    let path = match &otlp {
        Some(otlp) => otlp.as_ref().map(|otlp| otlp.endpoint.address.to_string()),
        None => path(reader, kind),
    };
    let exclude = exclude(reader, kind);
    let env_file = reader.optional_text("env_file", "/steps/{pipeline_run_id}/{step_id}.env");
    // Nobody says when a step is over that sends its lines.
    let mut ends_after_idle = if otlp.is_some() { Some(OTLP_IDLE) } else { None };
    reader.duration_or_inf("ends_after_idle", SECOND..=YEAR, &mut ends_after_idle);
    let mode = mode(reader);
    // Records may come from many streams over few connections.
    let mut connections = if otlp.is_some() { OTLP_CONNECTIONS } else { max_connections() };
    if matches!(kind, Some(Kind::Otlp | Kind::Socket)) {
        reader.count("max_connections", 1..=65_536, &mut connections);
    }
    let metadata = reader.table("metadata").map(metadata).unwrap_or_default();
    let (name, kind) = (name?, kind?);
    let (otlp, max_connections) = (otlp.flatten(), connections);
    Some(Input {
        name,
        kind,
        path: path?,
        exclude,
        env_file,
        process: None,
        ends_after_idle,
        mode,
        max_connections,
        otlp,
        metadata,
    })
}

/// `None`: it is wrong, which has been noted.
fn otlp(reader: &mut Reader<'_, '_, '_>) -> Option<Otlp> {
    let mut otlp = Otlp::default();
    let usual = otlp.endpoint.address.clone();
    let endpoint = ENDPOINT.read(reader, "127.0.0.1:4318", Some(usual));
    reader.bytes("max_request_bytes", KIB..=GIB, &mut otlp.max_request_bytes);
    reader.bytes("max_decompressed_bytes", KIB..=GIB, &mut otlp.max_decompressed_bytes);
    reader.count("max_requests", 1..=1024, &mut otlp.max_requests);
    otlp.endpoint = endpoint?;
    Some(otlp)
}

/// `None`: it is missing or wrong, which has been noted.
fn path(reader: &mut Reader<'_, '_, '_>, kind: Option<Kind>) -> Option<String> {
    let example = "/steps/{pipeline_run_id}/{step_id}.log";
    let written = match kind {
        // What else there is to say of a table without a kind is said when it has one.
        None | Some(Kind::Stdin | Kind::Cri | Kind::Otlp) => reader.optional_text("path", example),
        Some(_) => reader.required_text("path", example),
    };
    match (kind?, written) {
        (Kind::Stdin, None) => Some(String::new()),
        (Kind::Stdin, Some(_)) => {
            let what = "standard input has no path".to_owned();
            reader.problem("path", what, Some("leave the key out".to_owned()));
            None
        }
        (Kind::Cri, None) => Some(cri::PATH.to_owned()),
        // Its place is where it listens.
        (_, None) | (Kind::Otlp, _) => None,
        (Kind::File | Kind::Cri, Some(text)) => match Template::new(&text) {
            Ok(_) => Some(text),
            Err(error) => {
                reader.problem("path", error.to_string(), None);
                None
            }
        },
        (Kind::Fifo | Kind::Socket | Kind::Steps, Some(text)) => {
            let (env, folder) = reader.origin();
            let path = env.path(&text, folder);
            if let Some(path) = path.to_str() {
                return Some(path.to_owned());
            }
            reader.problem("path", "it is not UTF-8".to_owned(), None);
            None
        }
    }
}

/// Those that are wrong are left out, which has been noted.
fn exclude(reader: &mut Reader<'_, '_, '_>, kind: Option<Kind>) -> Vec<String> {
    let example = "[\"/var/log/jobs/*.tmp\"]";
    let Some((texts, _)) = reader.list("exclude", example) else { return Vec::new() };
    if kind.is_some_and(|kind| !matches!(kind, Kind::File | Kind::Cri)) {
        let what = "only files are found by wildcards".to_owned();
        reader.problem("exclude", what, Some("leave the key out".to_owned()));
        return Vec::new();
    }
    for (text, place) in &texts {
        if let Err(error) = Template::new(text) {
            reader.note(Some(*place), "exclude", error.to_string(), None);
        }
    }
    texts.into_iter().map(|(text, _)| text).collect()
}

fn mode(reader: &mut Reader<'_, '_, '_>) -> u32 {
    let Some(text) = reader.optional_text("mode", "0622") else { return MODE };
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            let what = format!("expected octal digits from \"0000\" to \"0777\", found {text:?}");
            reader.problem("mode", what, None);
            MODE
        }
    }
}

fn metadata(mut reader: Reader<'_, '_, '_>) -> Metadata {
    let mut metadata = Metadata {
        pipeline_run_id: reader.optional_text("pipeline_run_id", "nightly-7"),
        step_id: reader.optional_text("step_id", "train"),
        ..Metadata::default()
    };
    let mut attempt = 0_u32;
    reader.count("attempt", 1..=1_000_000, &mut attempt);
    metadata.attempt = Some(attempt).filter(|attempt| *attempt > 0);
    metadata.source = reader.optional_text("source", "step");
    if let Some(mut attributes) = reader.table("attributes") {
        attributes.rest(
            |_| Some(Secret::No),
            |name, value| {
                metadata.attributes.insert(name.to_owned(), value);
            },
        );
        attributes.finish();
    }
    reader.finish();
    metadata
}
