//! Log stores that speak HTTP, as the stack file has them: what is wrong is told, what is secret is not.

use super::bad::check;
use super::*;
use crate::stores::http::config::BodyFormat;
use crate::stores::records::http::ConnectionError;

fn stack(keys: &str) -> String {
    format!(
        "active = 'a'\n[stacks.a]\nartifact_store = 'local'\nlog_stores = ['hook']\n\
         [log_stores.hook]\nflavor = 'http'\n{keys}\n"
    )
}

const ENDPOINT: &str = "endpoint = 'https://ada:hunter2pass@logs.example.com/in?key=hunter2'";

fn config(keys: &str) -> stores::http::Config {
    let (stack, _) = resolved(&stack(&format!("{ENDPOINT}\n{keys}")));
    match stack.log_stores.into_iter().next().map(|store| store.config) {
        Some(stores::Config::Http(config)) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_that_are_wrong() {
    for (keys, expected) in [
        (
            "",
            "5:13: log_stores.hook.endpoint: missing\nhelp: add endpoint = \"https://logs.example.com/ingest\"",
        ),
        (
            "endpoint = 'logs.example.com'",
            "7:12: log_stores.hook.endpoint: expected a URL, such as \"https://logs.example.com/ingest\"\n\
             help: it begins with http:// or https://",
        ),
        (
            "endpoint = 'ftp://logs.example.com'",
            "7:12: log_stores.hook.endpoint: expected a URL, such as \"https://logs.example.com/ingest\"\n\
             help: it begins with http:// or https://",
        ),
        (
            "endpoint = 'https://x'\nmethod = 'GET'",
            "8:10: log_stores.hook.method: expected one of \"POST\", \"PUT\", found \"GET\"",
        ),
        (
            "endpoint = 'https://x'\nmax_export_batch_size = 0",
            "8:25: log_stores.hook.max_export_batch_size: expected an integer from 1 to 100000, found 0",
        ),
    ] {
        check(&stack(keys), expected);
    }
}

#[test]
fn keys_that_are_right() {
    let config = config("format = 'json'\nmethod = 'PUT'\nexport_timeout_millis = 500");
    assert_eq!((config.format, config.method.as_str()), (BodyFormat::Json, "PUT"));
    assert_eq!(config.batching.timeout, Some(Duration::from_millis(500)));
    assert_eq!(config.batching.concurrency, 64);
}

#[test]
fn a_header_that_http_does_not_allow_is_named_without_its_value() {
    for headers in ["{ 'x y' = 'hunter2' }", "{ x-key = \"hunter2\\nHost: evil\" }"] {
        let error = config(&format!("headers = {headers}")).connection.client().unwrap_err();
        assert!(matches!(error, ConnectionError::Header { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn files_that_are_not_there_or_hold_something_else_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let key = format!("certificate_file = '{}'", path.display());
    let error = config(&key).connection.client().unwrap_err();
    assert!(
        matches!(&error, ConnectionError::File { path: named, .. } if *named == path),
        "{error}"
    );
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
        .unwrap();
    let error = config(&key).connection.client().unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[test]
fn no_secret_shows() {
    let text = stack(&format!(
        "{ENDPOINT}\nheaders = {{ authorization = 'Bearer hunter2literal', x = '${{env:SECRET}}' }}"
    ));
    let (stack, view) = resolved(&text);
    let json = view.to_json().to_string();
    for text in [format!("{stack:?}"), format!("{view:?}"), view.to_toml(), json] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
