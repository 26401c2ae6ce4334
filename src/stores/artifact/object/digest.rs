//! SHA-256 as the objects carry it, and the chain over all chunks of a writer.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::WriterId;

/// A SHA-256; 64 hex digits in JSON.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut builder = Sha256Builder::new();
        builder.update(bytes);
        builder.finish()
    }
}

/// A SHA-256 that is not yet whole.
pub struct Sha256Builder(Context);

impl Sha256Builder {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all bytes given.
    pub fn finish(self) -> Sha256 {
        from_digest(&self.0.finish())
    }
}

impl Default for Sha256Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the chain of a writer starts: the SHA-256 of its id as text.
pub fn chain_start(writer: WriterId) -> Sha256 {
    Sha256::of(writer.to_string().as_bytes())
}

/// The chain with one chunk more: SHA-256 of the chain so far and the chunk's checksum.
pub fn chain(previous: Sha256, chunk: Sha256) -> Sha256 {
    let mut builder = Sha256Builder::new();
    builder.update(&previous.0);
    builder.update(&chunk.0);
    builder.finish()
}

fn from_digest(digest: &Digest) -> Sha256 {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Sha256(bytes)
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hex digits")]
pub struct BadDigest;

impl FromStr for Sha256 {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        if text.len() != 64 {
            return Err(BadDigest);
        }
        let mut bytes = [0; 32];
        let mut digits = text.chars().map(|digit| digit.to_digit(16).ok_or(BadDigest));
        for byte in &mut bytes {
            let high = digits.next().ok_or(BadDigest)??;
            let low = digits.next().ok_or(BadDigest)??;
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_digest_is_the_known_one_and_survives_json() {
        let empty = Sha256::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), text);
        let json = serde_json::to_string(&empty).unwrap();
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), empty);
        assert!("é".repeat(32).parse::<Sha256>().is_err());
        assert!("ab".parse::<Sha256>().is_err());
    }

    #[test]
    fn the_chain_depends_on_the_order() {
        let start = chain_start(WriterId::new());
        let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
        assert_ne!(chain(chain(start, one), two), chain(chain(start, two), one));
    }
}
