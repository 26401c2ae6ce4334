//! Where a server listens, as it is written: `127.0.0.1:4318`, `[::]:4318`, `unix:/path`.
//!
//! Apart from [`Endpoint`](super::Endpoint), which says whether that is safe.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address of this machine.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// It is written wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address and a port, or \"unix:\" and a path")]
pub struct AddressError;

impl Address {
    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            let usable = path.is_absolute() && path.file_name().is_some();
            return if usable { Ok(Self::Unix(path.to_owned())) } else { Err(AddressError) };
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        numeric.as_deref().unwrap_or(text).parse().map(Self::Tcp).map_err(|_| AddressError)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_known_for_local_or_not() {
        for (text, expected) in [
            ("127.0.0.1:4318", Some(true)),
            ("localhost:4318", Some(true)),
            ("127.9.9.9:1", Some(true)),
            ("[::1]:4318", Some(true)),
            ("[::ffff:127.0.0.1]:4318", Some(true)),
            ("unix:/run/steplog/otlp.sock", Some(true)),
            ("0.0.0.0:4318", Some(false)),
            ("[::]:4318", Some(false)),
            ("[::ffff:10.0.0.1]:4318", Some(false)),
            ("10.0.0.1:4318", Some(false)),
            (":4318", None),
            ("4318", None),
            ("example.org:4318", None),
            ("unix:relative", None),
            ("unix:/", None),
            ("unix:", None),
        ] {
            let parsed = text.parse::<Address>().ok();
            assert_eq!(parsed.as_ref().map(Address::is_local), expected, "{text}");
        }
        let address: Address = "unix:/run/x".parse().unwrap();
        assert_eq!(address.to_string(), "unix:/run/x");
    }
}
