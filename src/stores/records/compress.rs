//! What is done to the body of a request, as HTTP's Content-Encoding names it (RFC 9110 8.4.1), or as
//! the service knows it to be done.
//!
//! Apart so that the rest does not know which codings there are.

use std::io::{self, Read, Write};

/// A content coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compression {
    /// None.
    None,
    /// gzip.
    #[default]
    Gzip,
    /// deflate: the zlib format (RFC 1950).
    Deflate,
    /// zstd (RFC 8878).
    Zstd,
    /// Snappy's block format, which no header names.
    Snappy,
}

/// The levels at which speed counts more than size.
const DEFLATE_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

impl Compression {
    /// The words of the stack file.
    pub(crate) const CHOICES: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("deflate", Self::Deflate),
        ("zstd", Self::Zstd),
        ("snappy", Self::Snappy),
    ];

    /// The value of Content-Encoding; none for none.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Appends the pieces, compressed as one.
    pub(crate) fn compress(self, pieces: &[&[u8]], into: &mut Vec<u8>) -> io::Result<()> {
        let all = |to: &mut dyn Write| pieces.iter().try_for_each(|piece| to.write_all(piece));
        match self {
            Self::None => all(into),
            Self::Gzip => {
                let level = flate2::Compression::new(DEFLATE_LEVEL);
                let mut to = flate2::write::GzEncoder::new(into, level);
                all(&mut to)?;
                to.finish().map(drop)
            }
            Self::Deflate => {
                let level = flate2::Compression::new(DEFLATE_LEVEL);
                let mut to = flate2::write::ZlibEncoder::new(into, level);
                all(&mut to)?;
                to.finish().map(drop)
            }
            Self::Zstd => {
                let mut to = zstd::stream::write::Encoder::new(into, ZSTD_LEVEL)?;
                all(&mut to)?;
                to.finish().map(drop)
            }
            Self::Snappy => {
                let all = pieces.concat();
                let start = into.len();
                into.resize(start + snap::raw::max_compress_len(all.len()), 0);
                let to = into.get_mut(start..).unwrap_or_default();
                let length = snap::raw::Encoder::new().compress(&all, to)?;
                into.truncate(start + length);
                Ok(())
            }
        }
    }

    /// The reverse.
    pub(crate) fn decompress(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.reader(body)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// The same, no more than the first `bytes`.
    pub(crate) fn decompress_start(self, body: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.reader(body)?.take(bytes).read_to_end(&mut text)?;
        Ok(text)
    }

    fn reader(self, body: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::None => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
            Self::Snappy => {
                Box::new(io::Cursor::new(snap::raw::Decoder::new().decompress_vec(body)?))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        for (_, compression) in Compression::CHOICES {
            let mut body = b"before".to_vec();
            compression.compress(&[b"[", b"one,two", b"]"], &mut body).unwrap();
            let body = body.strip_prefix(b"before").unwrap();
            assert_eq!(compression.decompress(body).unwrap(), b"[one,two]", "{compression:?}");
            assert_eq!(compression.decompress_start(body, 4).unwrap(), b"[one", "{compression:?}");
        }
    }
}
