//! The standard variables, which stand in for keys that the stack file does not have.
//!
//! Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter": for each
//! `OTEL_EXPORTER_OTLP_X` there is an `OTEL_EXPORTER_OTLP_LOGS_X` which comes before it. A value that
//! cannot be understood is a problem of the stack file's, not passed over: logs would go
//! where nobody looks. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read where the step is
//! captured (`enrich`), since they speak of the step and not of where its logs go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::config::Protocol;
use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::Batching;
use crate::stores::records::http::{Connection, Hidden};

/// The value of one of the two variables that end with `name`, and which one.
fn variable(
    reader: &mut Reader<'_, '_, '_>,
    name: &str,
    secret: Secret,
) -> Option<(String, String)> {
    ["OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_"].into_iter().find_map(|prefix| {
        let name = format!("{prefix}{name}");
        let value = reader.variable(&name, secret)?.trim().to_owned();
        Some((name, value))
    })
}

/// The same, unless the file has the key that it stands for.
fn instead_of(reader: &mut Reader<'_, '_, '_>, key: &str, name: &str) -> Option<(String, String)> {
    if reader.is_unclear(&[key]) { None } else { variable(reader, name, Secret::No) }
}

/// Notes that a variable does not hold what it should.
fn problem(reader: &mut Reader<'_, '_, '_>, key: &str, variable: &str, expected: &str) {
    let what = format!("the environment variable {variable} does not hold {expected}");
    reader.problem(key, what, Some(format!("mend it, or set {key} here, which comes first")));
}

pub(super) fn protocol(reader: &mut Reader<'_, '_, '_>) -> Protocol {
    let mut protocol = Protocol::default();
    choice(reader, "protocol", "PROTOCOL", &Protocol::CHOICES, &mut protocol);
    protocol
}

fn choice<T: Copy>(
    reader: &mut Reader<'_, '_, '_>,
    key: &str,
    name: &str,
    choices: &[(&str, T)],
    into: &mut T,
) {
    let Some((variable, value)) = instead_of(reader, key, name) else { return };
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
        *into = *choice;
    } else {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        problem(reader, key, &variable, &format!("one of {}", words.join(", ")));
    }
}

/// Where logs go, and whether that is the whole URL: it is if the variable is the one for logs.
/// `default` if there is none.
pub(super) fn endpoint(reader: &mut Reader<'_, '_, '_>, default: &str) -> (Url, bool) {
    if let Some((variable, value)) = instead_of(reader, "endpoint", "ENDPOINT") {
        match value.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                return (url, variable.contains("_LOGS_"));
            }
            _ => problem(reader, "endpoint", &variable, &format!("a URL, such as {default}")),
        }
    }
    let (key, default) = ("endpoint", Some(default.to_owned()));
    (crate::stores::records::http::url(reader, key, default, "http://localhost"), false)
}

pub(super) fn connection(reader: &mut Reader<'_, '_, '_>, connection: &mut Connection) {
    if !reader.is_unclear(&["headers"])
        && let Some((name, value)) = variable(reader, "HEADERS", Secret::Yes)
    {
        match headers(&value) {
            Some(headers) => connection.headers = headers,
            None => problem(reader, "headers", &name, "a list such as name=value,name=value"),
        }
    }
    let mut file = |key: &str, name: &str, into: &mut Option<PathBuf>| {
        if let Some((_, value)) = instead_of(reader, key, name) {
            *into = Some(reader.path_of_process(&value));
        }
    };
    file("certificate_file", "CERTIFICATE", &mut connection.certificate_file);
    let client = &mut connection.client_certificate_file;
    file("client_certificate_file", "CLIENT_CERTIFICATE", client);
    file("client_key_file", "CLIENT_KEY", &mut connection.client_key_file);
    if connection.client_key_file.is_some()
        && connection.client_certificate_file.is_none()
        && !reader.is_unclear(&["client_key_file"])
    {
        reader.require("client_certificate_file", "/etc/steplog/client.pem");
    }
}

/// `name=value,name=value`, values percent-encoded.
fn headers(text: &str) -> Option<BTreeMap<String, Hidden>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = name.trim();
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            (!name.is_empty()).then(|| (name.to_ascii_lowercase(), Hidden(value.into_owned())))
        })
        .collect()
}

pub(super) fn batching(reader: &mut Reader<'_, '_, '_>, batching: &mut Batching) {
    let choices = &Compression::CHOICES;
    choice(reader, "compression", "COMPRESSION", choices, &mut batching.compression);
    let Some((name, value)) = instead_of(reader, "export_timeout_millis", "TIMEOUT") else {
        return;
    };
    match value.parse() {
        Ok(0) => batching.timeout = None,
        Ok(millis @ 1..=3_600_000) => batching.timeout = Some(Duration::from_millis(millis)),
        _ => {
            let expected = "milliseconds, an integer from 0 to 3600000";
            problem(reader, "export_timeout_millis", &name, expected);
        }
    }
}
