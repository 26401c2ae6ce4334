//! An endpoint as the stack file says it: address, certificate and key, token. Its keys and what they must fulfil.
//!
//! Apart from [`Guard`](super::Guard), which opens the files: here nothing is opened.

use std::path::PathBuf;

use super::{Address, AddressError};
use crate::stack::Reader;
use crate::stores::records::http::Hidden;

/// Where a server listens and who may talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// What it is encrypted with.
    pub tls: Option<Tls>,
    /// What a client has to say.
    pub token: Option<TokenSource>,
}

/// Files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those between it and a root (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// Where the token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In the stack file, or where a reference of it leads.
    Text(Hidden),
    /// In a file, which is read again on a reload.
    File(PathBuf),
    /// There are several, and the handler knows them.
    Handler,
}

/// Others could connect, and could read along or need not say who they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines, which needs {missing}: or use 127.0.0.1, [::1] or a Unix socket"
)]
pub struct Exposed {
    address: Address,
    missing: &'static str,
}

/// What an endpoint's keys are called in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) address: &'static str,
    pub(crate) tls_certificate: &'static str,
    pub(crate) tls_key: &'static str,
    pub(crate) token: &'static str,
    pub(crate) token_file: &'static str,
}

impl Endpoint {
    /// On this machine alone, and without more.
    pub fn local(address: Address) -> Self {
        Self { address, tls: None, token: None }
    }

    /// Whether it may be opened.
    pub fn check(&self) -> Result<(), Exposed> {
        let missing = match (&self.tls, &self.token) {
            _ if self.address.is_local() => return Ok(()),
            (Some(_), Some(_)) => return Ok(()),
            (None, None) => "TLS and a token",
            (None, Some(_)) => "TLS",
            (Some(_), None) => "a token",
        };
        Err(Exposed { address: self.address.clone(), missing })
    }
}

impl Keys {
    /// Reads them. `default`: where it listens without being told; none: then it does not.
    /// `None` also if something is wrong, which has been noted.
    pub(crate) fn read(
        &self,
        reader: &mut Reader<'_, '_, '_>,
        example: &str,
        default: Option<Address>,
    ) -> Option<Endpoint> {
        reader.keep_secret([self.token].into_iter());
        let written = reader.optional_text(self.address, example);
        let address = match written.as_deref().map(str::parse::<Address>) {
            None => default,
            Some(Ok(address)) => Some(address),
            Some(Err(error @ AddressError)) => {
                let help = Some(format!("such as {example:?}"));
                reader.problem(self.address, error.to_string(), help);
                None
            }
        };
        let mut file = |key: &str| {
            let mut path = PathBuf::new();
            reader.path(key, &mut path);
            (!path.as_os_str().is_empty()).then_some(path)
        };
        let (certificate, key) = (file(self.tls_certificate), file(self.tls_key));
        let token_file = file(self.token_file).map(TokenSource::File);
        let token = reader.optional_text(self.token, "${credential:token}");
        let token = token.map(|token| TokenSource::Text(Hidden(token)));
        if reader.is_unclear(&[self.token]) && token_file.is_some() {
            let what = "only one of the two can be the token".to_owned();
            reader.conflict([self.token, self.token_file], what);
        }
        match (&certificate, &key) {
            (Some(_), None) => reader.require(self.tls_key, "/etc/steplog/tls.key"),
            (None, Some(_)) => reader.require(self.tls_certificate, "/etc/steplog/tls.pem"),
            _ => {}
        }
        let token = token.or(token_file);
        let tls = certificate.zip(key).map(|(certificate, key)| Tls { certificate, key });
        let endpoint = Endpoint { address: address?, tls, token };
        // Where references are not followed, a token that is one cannot be seen.
        let unseen = endpoint.token.is_none() && reader.is_unclear(&[self.token]);
        let half =
            endpoint.tls.is_none() && reader.is_unclear(&[self.tls_certificate, self.tls_key]);
        match endpoint.check() {
            Err(error) if !unseen && !half => {
                let Self { tls_certificate, tls_key, token_file, .. } = self;
                let help = format!("the keys are {tls_certificate}, {tls_key} and {token_file}");
                reader.problem(self.address, error.to_string(), Some(help));
                None
            }
            _ => Some(endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_there_is_tls_and_a_token() {
        let tls = Tls { certificate: PathBuf::from("/c"), key: PathBuf::from("/k") };
        let token = TokenSource::File(PathBuf::from("/t"));
        let open: Address = "0.0.0.0:1".parse().unwrap();
        for (tls, token, missing) in [
            (None, None, Some("TLS and a token")),
            (Some(tls.clone()), None, Some("a token")),
            (None, Some(token.clone()), Some("TLS")),
            (Some(tls), Some(token), None),
        ] {
            let endpoint = Endpoint { address: open.clone(), tls, token };
            let found = endpoint.check().err().map(|error| error.missing);
            assert_eq!(found, missing);
        }
        assert!(Endpoint::local("[::1]:1".parse().unwrap()).check().is_ok());
    }
}
