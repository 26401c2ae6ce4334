//! Answers packed on their way: whole ones in JSON, and logs as they are read. The page has its own way, as its files
//! are always the same.
//!
//! That an answer is packed tells by its length what is in it, if others may choose a part of it and see many of them. Here they
//! may not: who asks says so in a header that a browser does not send by itself, and what other pages embed is refused
//! (`access`).

use std::io::{self, Write as _};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Body as _;

use super::answer;

/// How hard: as fast as it is read.
const LEVEL: u32 = 1;
/// Bytes of an answer that is worth it.
const LEAST: u64 = 1 << 10;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// The best that a client can unpack.
    pub(super) fn best(headers: &HeaderMap) -> Self {
        if answer::unpacks(headers, "zstd") {
            Self::Zstd
        } else if answer::unpacks(headers, "gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    /// Says so in an answer.
    pub(super) fn say(self, headers: &mut HeaderMap) {
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        let name = match self {
            Self::Identity => return,
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        };
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
}

/// Packs an answer that was built whole, if that is worth it.
pub(super) async fn whole(answer: Response<Body>, encoding: Encoding) -> Response<Body> {
    let is_json =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    let is_large = answer.body().size_hint().exact().is_some_and(|bytes| bytes >= LEAST);
    if !is_json || !is_large {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    encoding.say(&mut head.headers);
    if encoding == Encoding::Identity {
        return Response::from_parts(head, body);
    }
    let packed = async {
        let text = axum::body::to_bytes(body, usize::MAX).await.ok()?;
        let mut packer = Packer::new(encoding).ok()?;
        packer.write(&text).ok()?;
        packer.finish().ok()
    };
    // Neither can fail: what is read is there, and what is written to is memory.
    Response::from_parts(head, Body::from(packed.await.unwrap_or_default()))
}

/// Packs what is written to it.
pub(super) enum Packer {
    Identity(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Packer {
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity(Vec::new()),
            Encoding::Gzip => {
                let level = flate2::Compression::new(LEVEL);
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            Encoding::Zstd => {
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), LEVEL as i32)?)
            }
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(out) => out.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// What has come out so far.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Identity(out) => out,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_a_client_unpacks() {
        for (text, expected) in [
            ("gzip, deflate, br, zstd", Encoding::Zstd),
            ("gzip;q=0.5", Encoding::Gzip),
            ("zstd;q=0, gzip", Encoding::Gzip),
            ("br", Encoding::Identity),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]);
            assert_eq!(Encoding::best(&headers), expected, "{text}");
        }
    }
}
