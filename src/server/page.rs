//! The page: files of `page/`, part of the program, each with a name for its contents so that browsers ask
//! only whether it has changed. Knows nothing of what they show.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer;
use super::problem::{self, Problem};

/// The folder.
#[derive(rust_embed::RustEmbed)]
#[folder = "src/server/page"]
struct Files;

/// What a browser is to take a file for; others are not served.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        _ => return None,
    })
}

/// The file of this name.
pub(super) fn get(name: &str, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let name = if name.is_empty() { "index.html" } else { name };
    let nothing = || {
        let shown = problem::shown(name);
        Problem::not_found(format!("there is nothing at /{shown}"))
            .next("the page is at /, the API at /api/v1")
    };
    let content_type = content_type(name).ok_or_else(nothing)?;
    let file = Files::get(name).ok_or_else(nothing)?;
    let hash: String = file.metadata.sha256_hash().iter().map(|it| format!("{it:02x}")).collect();
    let packed = answer::unpacks(headers, "gzip").then(|| gzip(&file.data)).flatten();
    let tag = if packed.is_some() { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|it| it.trim() == tag));
    let is_packed = packed.is_some();
    let body = match packed {
        _ if same => Body::empty(),
        Some(packed) => Body::from(packed),
        None => Body::from(file.data.into_owned()),
    };
    let mut response = answer::of(content_type, body);
    if same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed && !same {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The files are few and small: this takes less time than to send them as they are over most networks.
fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ask(name: &str, pairs: &[(header::HeaderName, &str)]) -> Response<Body> {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        get(name, &pairs.collect()).unwrap()
    }

    #[test]
    fn files_are_packed_for_those_who_take_it_and_not_sent_twice() {
        let plain = ask("", &[]);
        assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
        let packed = ask("", &[(header::ACCEPT_ENCODING, "br, gzip")]);
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert_ne!(plain.headers()[header::ETAG], packed.headers()[header::ETAG]);
        let tag = packed.headers()[header::ETAG].to_str().unwrap();
        let again = [(header::ACCEPT_ENCODING, "gzip"), (header::IF_NONE_MATCH, tag)];
        let same = ask("", &again);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert!(same.headers().get(header::CONTENT_ENCODING).is_none());
        let refused = ask("main.js", &[(header::ACCEPT_ENCODING, "gzip;q=0")]);
        assert!(refused.headers().get(header::CONTENT_ENCODING).is_none());
    }

    #[test]
    fn other_files_are_not_served() {
        for name in ["../mod.rs", "page.rs", "none.js", ".", "main.js/"] {
            assert!(get(name, &HeaderMap::new()).is_err(), "{name}");
        }
    }
}
