//! A bearer token: kept as its SHA-256, compared in constant time.
//!
//! Apart from [`Guard`](super::Guard), as a server may have several, each allowed something else.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// What a client has to say.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; SHA256_OUTPUT_LEN]);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hidden")
    }
}

impl Token {
    /// This text, without space around it; `None` if it is empty.
    pub fn new(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if text.is_empty() { None } else { Some(Self::hash(text)) }
    }

    /// The token with this SHA-256.
    pub fn from_sha256(hash: [u8; SHA256_OUTPUT_LEN]) -> Self {
        Self(hash)
    }

    /// What a request says as `Authorization: Bearer …`, if anything.
    pub fn said(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        // Of several, whoever stands between may have looked at another one.
        let (Some(said), None) = (all.next(), all.next()) else { return None };
        let said = said.as_bytes();
        let (scheme, token) = said.split_at_checked(b"bearer ".len())?;
        if scheme.eq_ignore_ascii_case(b"bearer ") { Self::new(token) } else { None }
    }

    /// Whether it is the same. Takes the same time whatever is different.
    pub fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    fn hash(text: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, text).as_ref());
        Self(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_stands_for_its_token_and_shows_neither() {
        let token = Token::new(b" hunter2\n").unwrap();
        // printf hunter2 | sha256sum
        let hex = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        }
        assert!(token.is(&Token::from_sha256(hash)));
        assert!(!token.is(&Token::new(b"hunter").unwrap()));
        assert_eq!(format!("{token:?}"), "hidden");
        assert_eq!(Token::new(b" \n"), None);
    }
}
