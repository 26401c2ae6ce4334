//! Keys of the stack file, standard variables, and which comes first.

use std::path::Path;
use std::time::Duration;

use super::super::Otel;
use super::super::config::{Config, Protocol};
use crate::stack::Errors;
use crate::stores;
use crate::stores::records::compress::Compression;
use crate::stores::records::testing::{check_refused, log_store};

/// What these keys come to in this environment.
pub(super) fn config<const N: usize>(
    keys: &str,
    variables: [(&str, &str); N],
) -> Result<Config, Errors> {
    let config = log_store("otel", keys, variables)?;
    let stores::Config::Otel(config) = config else { panic!("{config:?}") };
    Ok(config)
}

/// The problems with these keys in this environment.
#[track_caller]
fn check_bad<const N: usize>(keys: &str, variables: [(&str, &str); N], expected: &[&str]) {
    check_refused("otel", keys, variables, expected);
}

#[track_caller]
fn check_endpoint<const N: usize>(keys: &str, variables: [(&str, &str); N], expected: &str) {
    let config = config(keys, variables).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.endpoint.as_str(), expected);
}

const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

#[test]
fn endpoints_over_http() {
    check_endpoint("", [], "http://localhost:4318/v1/logs");
    for (endpoint, expected) in [
        ("http://c:4318", "http://c:4318/v1/logs"),
        ("https://c", "https://c/v1/logs"),
        ("https://c/otlp/", "https://c/otlp/v1/logs"),
        ("https://c/otlp/v1/logs", "https://c/otlp/v1/logs"),
        ("https://c/v1/logs/?k=v", "https://c/v1/logs?k=v"),
    ] {
        check_endpoint(&format!("endpoint = '{endpoint}'"), [], expected);
    }
    check_endpoint("", [(BASE, "http://c/base")], "http://c/base/v1/logs");
    check_endpoint("", [(LOGS, "http://c/mine")], "http://c/mine");
    check_endpoint("", [(LOGS, "http://c")], "http://c/");
    check_endpoint("", [(LOGS, "http://l/x"), (BASE, "http://b")], "http://l/x");
    check_endpoint("endpoint = 'http://f'", [(LOGS, "http://l")], "http://f/v1/logs");
}

#[test]
fn endpoints_over_grpc() {
    let grpc = "protocol = 'grpc'\n";
    check_endpoint(grpc, [], &format!("http://localhost:4317{METHOD}"));
    let file = format!("{grpc}endpoint = 'https://c:443'");
    check_endpoint(&file, [], &format!("https://c{METHOD}"));
    check_endpoint(grpc, [(BASE, "http://c:1/x")], &format!("http://c:1{METHOD}"));
    check_endpoint(grpc, [(LOGS, "http://c:1")], &format!("http://c:1{METHOD}"));
    let file = format!("{grpc}endpoint = 'https://c/v1/logs'");
    check_bad(&file, [], &["log_stores.it.endpoint: expected a URL without a path"]);
}

#[test]
fn variables_stand_in_for_keys() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b%3D, x = y ,"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "key.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"),
    ];
    let found = config("", variables).unwrap();
    assert_eq!(found.protocol, Protocol::HttpJson);
    let headers: Vec<_> = found
        .connection
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.0.as_str()))
        .collect();
    assert_eq!(headers, [("api-key", "a b="), ("x", "y")]);
    assert_eq!(found.batching.timeout, Some(Duration::from_millis(2500)));
    assert_eq!(found.batching.compression, Compression::None);
    assert_eq!(found.connection.certificate_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(found.connection.client_certificate_file.as_deref(), Some(Path::new("/cert.pem")));
    assert_eq!(found.connection.client_key_file.as_deref(), Some(Path::new("/key.pem")));
    assert!(!format!("{found:?}").contains("a b="), "{found:?}");

    let keys = "protocol = 'http/protobuf'\nheaders = { z = '1' }\nexport_timeout_millis = 100\n\
                compression = 'zstd'\ncertificate_file = '/f.pem'\n\
                client_certificate_file = '/f.pem'\nclient_key_file = '/f.pem'";
    let file = config(keys, variables).unwrap();
    assert_eq!(file, config(keys, []).unwrap());
    assert_eq!(file.protocol, Protocol::HttpProtobuf);
    assert_eq!(file.connection.headers.len(), 1);
}

#[test]
fn defaults() {
    let found = config("", []).unwrap();
    assert_eq!(found.protocol, Protocol::HttpProtobuf);
    assert_eq!(found.batching.compression, Compression::Gzip);
    assert_eq!(found.batching.timeout, None);
    assert_eq!((found.batching.records, found.batching.bytes), (2000, 3 << 20));
    assert_eq!((found.service_name, found.service_version), (None, None));
    let zero = config("", [("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]).unwrap();
    assert_eq!(zero.batching.timeout, None);
}

#[test]
fn what_cannot_be_understood_is_said() {
    check_bad(
        "",
        [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
        ],
        &[
            "protocol: the environment variable OTEL_EXPORTER_OTLP_PROTOCOL does not hold one of \
             http/protobuf, http/json, grpc",
            "headers: the environment variable OTEL_EXPORTER_OTLP_HEADERS does not hold a list",
            "export_timeout_millis: the environment variable OTEL_EXPORTER_OTLP_TIMEOUT does not",
            "compression: the environment variable OTEL_EXPORTER_OTLP_COMPRESSION does not hold",
            "endpoint: the environment variable OTEL_EXPORTER_OTLP_ENDPOINT does not hold a URL",
            "client_certificate_file: missing",
        ],
    );
    check_bad("", [("OTEL_EXPORTER_OTLP_HEADERS", "=hunter2")], &["headers"]);
    check_bad("", [("OTEL_EXPORTER_OTLP_HEADERS", "a=%ffhunter2")], &["headers"]);
    check_bad("max_queue_size = 1999", [], &["less than max_export_batch_size, which is 2000"]);
}

#[test]
fn the_queue_size_bounds_the_records_under_way() {
    for (keys, concurrency) in [
        ("", 50),
        ("max_export_batch_size = 100", 64),
        ("max_export_batch_size = 100\nmax_queue_size = 250", 2),
        ("max_export_batch_size = 100000", 1),
        ("max_queue_size = 2000", 1),
        ("max_queue_size = 50000\nmax_concurrent_exports = 3", 3),
    ] {
        let service = Otel::open(config(keys, []).unwrap()).unwrap();
        assert_eq!(service.limits().concurrency, concurrency, "{keys}");
    }
}
