//! The page: files of `page/`, part of the program, as one document (see `pack`) and each by itself, with a name
//! for their contents so that browsers ask only whether they have changed. Knows nothing of what they show.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer;
use super::pack::pack;
use super::problem::{self, Problem};

/// What is put together, and is at `/`.
const INDEX: &str = "index.html";
/// What the page may do beside what is in it: talk to this server.
const POLICY: &str = "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

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

/// What is behind a name.
struct Served {
    bytes: Cow<'static, [u8]>,
    hash: String,
    packed: Option<Vec<u8>>,
    policy: Option<HeaderValue>,
}

/// The file of this name; of none: the page, which sends a token only to a server that has some: to ask the browser
/// for what it keeps takes time.
pub(super) fn get(
    name: &str,
    headers: &HeaderMap,
    has_tokens: bool,
) -> Result<Response<Body>, Problem> {
    let name = if name.is_empty() { INDEX } else { name };
    let nothing = || {
        let shown = problem::shown(name);
        Problem::not_found(format!("there is nothing at /{shown}"))
            .next("the page is at /, the API at /api/v1")
    };
    let content_type = content_type(name).ok_or_else(nothing)?;
    let served =
        if name == INDEX { document(has_tokens) } else { file(name) }.ok_or_else(nothing)?;
    let unpacks = answer::unpacks(headers, "gzip");
    let packed = served.packed.as_ref().filter(|_| unpacks);
    let hash = &served.hash;
    let tag = if packed.is_some() { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|it| it.trim() == tag));
    let is_packed = packed.is_some();
    let body = match packed {
        _ if same => Body::empty(),
        Some(packed) => Body::from(packed.clone()),
        None => Body::from(served.bytes.clone().into_owned()),
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
    if let Some(policy) = &served.policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    Ok(response)
}

/// A file by itself.
fn file(name: &str) -> Option<Arc<Served>> {
    let file = Files::get(name)?;
    let packed = gzip(&file.data);
    let hash = hex(&file.metadata.sha256_hash());
    Some(Arc::new(Served { bytes: file.data, hash, packed, policy: None }))
}

/// The page, packed again only if a file has changed: that happens to who works on it.
fn document(has_tokens: bool) -> Option<Arc<Served>> {
    static KEPT: Mutex<Option<Arc<Served>>> = Mutex::new(None);
    let hashes = Files::iter().filter_map(|name| Files::get(&name));
    let mut hashes: Vec<u8> = hashes.flat_map(|file| file.metadata.sha256_hash()).collect();
    hashes.push(u8::from(has_tokens));
    let hash = hex(digest(&SHA256, &hashes).as_ref());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept.as_ref().filter(|kept| kept.hash == hash) {
        return Some(Arc::clone(kept));
    }
    let mut document = pack(&text(INDEX)?, |name| text(name).unwrap_or_default());
    if has_tokens {
        document.html = document.html.replacen("<html", "<html data-tokens", 1);
    }
    let policy = HeaderValue::try_from(format!("{}; {POLICY}", document.policy)).ok();
    let bytes = document.html.into_bytes();
    let packed = gzip(&bytes);
    let served = Arc::new(Served { bytes: bytes.into(), hash, packed, policy });
    *kept = Some(Arc::clone(&served));
    Some(served)
}

fn text(name: &str) -> Option<String> {
    Files::get(name).map(|file| String::from_utf8_lossy(&file.data).into_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
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
        get(name, &pairs.collect(), false).unwrap()
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
        assert_eq!(
            plain.headers()[header::CONTENT_SECURITY_POLICY],
            same.headers()[header::CONTENT_SECURITY_POLICY],
            "a browser takes the new one"
        );
        let refused = ask("main.js", &[(header::ACCEPT_ENCODING, "gzip;q=0")]);
        assert!(refused.headers().get(header::CONTENT_ENCODING).is_none());
    }

    #[test]
    fn all_of_the_page_is_in_one_document() {
        let html = String::from_utf8(document(false).unwrap().bytes.to_vec()).unwrap();
        for name in Files::iter() {
            let is_part = name != "types.js" && name != "icon.svg";
            let file = text(&name).unwrap();
            let kept =
                file.lines().filter(|it| !it.starts_with("import ") && !it.starts_with("export "));
            let longest = kept.max_by_key(|line| line.len()).unwrap();
            assert_eq!(html.matches(longest).count(), usize::from(is_part), "{name}: {longest}");
        }
        let with_tokens = document(true).unwrap();
        assert!(with_tokens.bytes.starts_with(b"<!doctype html>\n<html data-tokens lang="));
        assert_ne!(with_tokens.hash, document(false).unwrap().hash);
        for line in html.lines() {
            let unknown = line.starts_with("import ") || line.starts_with("export ");
            assert!(!unknown, "pack() does not know this: {line}");
        }
        // Nothing in a script ends it.
        assert_eq!(
            html.matches("<script").count(),
            text(INDEX).unwrap().matches("<script").count()
        );
        assert_eq!(html.matches("</script").count(), html.matches("<script").count());
        assert_eq!(html.matches("<!--").count(), 0);
    }

    #[test]
    fn other_files_are_not_served() {
        for name in ["../mod.rs", "page.rs", "none.js", ".", "main.js/"] {
            assert!(get(name, &HeaderMap::new(), false).is_err(), "{name}");
        }
    }
}
