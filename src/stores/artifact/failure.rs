//! What a failed request means: try again, or tell a person.
//!
//! Apart because it is a table of knowledge about other people's software, and the only place that
//! looks into `object_store`'s errors. It decides, it does not wait.

use std::error::Error;
use std::io;

use object_store::Error as StoreError;

use crate::read::store::ReadError;
use crate::stores::DeliverError;
use crate::stores::records::http;

const CREDENTIALS: &str =
    "check the artifact store's credentials and their permissions (get, put, list, delete)";
const PLACE: &str = "check that the artifact store's bucket or container exists and its name, region and endpoint are right";
const SETTINGS: &str = "check the artifact store's settings in the stack file";
const ROOTS: &str = " (install root certificates that know who has signed the server's: the package \
                     ca-certificates, or a file of them in $SSL_CERT_FILE)";
const FOLDER: &str = "check who may write to the artifact store's folder";

/// What `error` means for a request that was to `purpose` (an infinitive: "put chunk 3").
pub(super) fn classify(purpose: &str, error: &StoreError) -> DeliverError {
    // Stores answer in XML, over many lines.
    let said = without_queries(&http::causes(error));
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut message = format!("failed to {purpose}: {said}");
    if http::is_unknown_issuer(&message) {
        message.push_str(ROOTS);
    }
    let fatal =
        |advice, not_allowed| DeliverError::Fatal { message: message.clone(), advice, not_allowed };
    match error {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            fatal(CREDENTIALS, true)
        }
        // A folder that others make and remove at the same time; it is made again.
        StoreError::NotFound { .. } if io_kind(error).is_some() => retry(message),
        StoreError::NotFound { .. } => fatal(PLACE, false),
        StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::InvalidPath { .. }
        | StoreError::UnknownConfigurationKey { .. } => fatal(SETTINGS, false),
        _ => match status(&message) {
            // Too early or too much; the request itself is fine.
            Some(408 | 425 | 429) | None => {
                if io_kind(error) == Some(io::ErrorKind::PermissionDenied) {
                    fatal(FOLDER, true)
                } else {
                    retry(message)
                }
            }
            Some(401 | 403) => fatal(CREDENTIALS, true),
            Some(300..=399 | 404) => fatal(PLACE, false),
            Some(400..=499) => fatal(SETTINGS, false),
            Some(_) => retry(message),
        },
    }
}

/// What `error` means to a reader: tells "not allowed" from everything else.
pub(super) fn read_error(error: StoreError) -> ReadError {
    let denied = matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. })
            || io_kind(&error) == Some(io::ErrorKind::PermissionDenied)
            // Where the client does not tell kinds apart (listing), its text has the status.
            || matches!(status(&error.to_string()), Some(401 | 403));
    if denied {
        return ReadError::Denied(error.into());
    }
    let text = http::causes(&error);
    if http::is_unknown_issuer(&text) {
        return ReadError::Store(format!("{}{ROOTS}", without_queries(&text)).into());
    }
    ReadError::Store(error.into())
}

/// A failure that has no error of the store behind it and may go away.
pub(super) fn retry(message: String) -> DeliverError {
    DeliverError::Retry { message, after: None }
}

/// `object_store` keeps the type private that knows the HTTP status; its text is all there is.
fn status(message: &str) -> Option<u16> {
    if message.contains("Received redirect without LOCATION") {
        return Some(301);
    }
    let (_, behind) = message.split_once("status code: ")?;
    behind.get(..3)?.parse().ok()
}

/// The system error at the root of what a local store says.
fn io_kind(error: &StoreError) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

/// A signature may stand in a URL's query; no message shows one.
pub(crate) fn without_queries(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start + 3);
        out.push_str(before);
        let end = url.find([' ', ')', '"', '\'', '\n']).unwrap_or(url.len());
        let (url, behind) = url.split_at(end);
        out.push_str(url.split_once('?').map_or(url, |(path, _)| path));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[track_caller]
    fn check(error: &StoreError, expected: &str) {
        let actual = match classify("put chunk 3", error) {
            DeliverError::Retry { .. } => "retry",
            DeliverError::Fatal { not_allowed: true, .. } => "not allowed",
            DeliverError::Fatal { advice: PLACE, .. } => "place",
            DeliverError::Fatal { advice: SETTINGS, .. } => "settings",
            DeliverError::Fatal { .. } | DeliverError::Conflict { .. } => "other",
        };
        assert_eq!(actual, expected, "{error}");
    }

    #[test]
    fn each_failure_has_its_meaning() {
        let source = || "x".to_owned().into();
        let path = String::new;
        check(&StoreError::PermissionDenied { path: path(), source: source() }, "not allowed");
        check(&StoreError::Unauthenticated { path: path(), source: source() }, "not allowed");
        check(&StoreError::NotFound { path: path(), source: source() }, "place");
        let gone = Box::new(io::Error::from(io::ErrorKind::NotFound));
        check(&StoreError::NotFound { path: path(), source: gone }, "retry");
        check(&generic("error sending request"), "retry");
        for (status, expected) in [
            (500, "retry"),
            (503, "retry"),
            (429, "retry"),
            (408, "retry"),
            (400, "settings"),
            (403, "not allowed"),
            (301, "place"),
        ] {
            check(
                &generic(&format!("Server returned non-2xx status code: {status} X: ")),
                expected,
            );
        }
        check(&generic("Received redirect without LOCATION, this normally"), "place");
        let io = |kind: io::ErrorKind| StoreError::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(kind)),
        };
        check(&io(io::ErrorKind::PermissionDenied), "not allowed");
        check(&io(io::ErrorKind::StorageFull), "retry");
    }

    #[test]
    fn what_is_said_is_one_line() {
        let error = generic("status code: 404 Not Found: <Error>\n  <Code>NoSuchKey</Code>\n");
        let message = classify("put chunk 3", &error).to_string();
        let expected = "put chunk 3: Generic S3 error: status code: 404 Not Found: <Error> <Code>NoSuchKey</Code>";
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn signatures_are_not_shown() {
        let error = generic("performing PUT https://x.y/z/a?sig=SECRET&se=1 in 3ms (http://p/?q)");
        let message = classify("put chunk 3", &error).to_string();
        assert_eq!(
            message,
            "failed to put chunk 3: Generic S3 error: performing PUT https://x.y/z/a in 3ms (http://p/)"
        );
    }
}
