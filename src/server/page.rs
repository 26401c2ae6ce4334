//! The page: files of `page/`, part of the program, each with a name for its contents so that browsers ask
//! only whether it has changed. Knows nothing of what they show.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::answer;
use super::problem::Problem;

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
        let shown: String = name.chars().take(100).collect();
        Problem::not_found(format!("there is nothing at /{shown}"))
            .next("the page is at /, the API at /api/v1")
    };
    let content_type = content_type(name).ok_or_else(nothing)?;
    let file = Files::get(name).ok_or_else(nothing)?;
    let hash: String = file.metadata.sha256_hash().iter().map(|it| format!("{it:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|it| it.trim() == tag));
    let body = if same { Body::empty() } else { Body::from(file.data.into_owned()) };
    let mut response = answer::of(content_type, body);
    if same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}
