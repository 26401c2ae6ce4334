//! What a request's body holds: read whole, decompressed, both with a limit.
//!
//! Apart from [`server`](super::server), which knows what to answer. Parses nothing.

use std::io::{self, Read};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

/// The largest window that a zstd frame may ask for, as a power of two: 8 MiB, what levels up to 19 use.
const MAX_WINDOW: u32 = 23;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client sends too much.
    #[error("the request is larger than {0} bytes (max_request_bytes)")]
    TooLarge(usize),
    /// So it is when it is decompressed.
    #[error("the request is larger than {0} bytes when it is decompressed (max_decompressed_bytes)")]
    Expands(usize),
    /// A coding that is not known here.
    #[error("the encoding {0:?} is not known: send gzip, deflate, zstd or none")]
    Coding(String),
    /// It is not what its coding says.
    #[error("cannot decompress the request: {0}")]
    Damaged(io::Error),
    /// The connection.
    #[error("the request has no end: {0}")]
    Broken(hyper::Error),
}

/// Reads all of it.
pub(super) async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, BodyError> {
    // Who says how much comes is refused before it does.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(BodyError::Broken)?;
        let Ok(data): Result<Bytes, _> = frame.into_data() else { continue };
        if all.len() + data.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// Undoes a content coding.
pub(super) fn decompress(coding: &str, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, BodyError> {
    match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" if body.len() > limit => Err(BodyError::Expands(limit)),
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => all(flate2::read::MultiGzDecoder::new(body.as_slice()), limit),
        "deflate" => all(flate2::read::ZlibDecoder::new(body.as_slice()), limit),
        "zstd" => {
            let mut decoder = zstd::Decoder::with_buffer(body.as_slice()).map_err(BodyError::Damaged)?;
            decoder.window_log_max(MAX_WINDOW).map_err(BodyError::Damaged)?;
            all(decoder, limit)
        }
        _ => Err(BodyError::Coding(coding.to_owned())),
    }
}

fn all(decoder: impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::new();
    let most = (limit as u64).saturating_add(1);
    decoder.take(most).read_to_end(&mut out).map_err(BodyError::Damaged)?;
    if out.len() > limit { Err(BodyError::Expands(limit)) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn codings(text: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        let level = flate2::Compression::default();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(text).unwrap();
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), level);
        deflate.write_all(text).unwrap();
        [
            ("identity", text.to_vec()),
            ("GZIP", gzip.finish().unwrap()),
            ("deflate", deflate.finish().unwrap()),
            ("zstd", zstd::encode_all(text, 3).unwrap()),
        ]
    }

    #[test]
    fn each_coding_is_undone_up_to_its_limit() {
        let text = vec![b'x'; 100_000];
        for (coding, body) in codings(&text) {
            assert_eq!(decompress(coding, body.clone(), text.len()).unwrap(), text, "{coding}");
            let less = decompress(coding, body, text.len() - 1);
            assert!(matches!(less, Err(BodyError::Expands(99_999))), "{coding}: {less:?}");
        }
        assert!(matches!(decompress("br", Vec::new(), 9), Err(BodyError::Coding(_))));
    }

    proptest! {
        #[test]
        fn what_is_damaged_is_no_panic(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            for coding in ["gzip", "deflate", "zstd"] {
                if let Ok(out) = decompress(coding, noise.clone(), 1000) {
                    prop_assert!(out.len() <= 1000);
                }
            }
        }
    }
}
