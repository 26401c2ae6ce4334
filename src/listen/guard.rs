//! The certificate, the key and the token that are in use, and how they are renewed.
//!
//! Apart from [`Endpoint`], which only names them. Files are read when a guard is made and on
//! [`Guard::reload`], never in between.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use hyper::HeaderMap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::{Endpoint, Exposed, Tls, Token, TokenSource};

/// The largest file of a token, key or certificates.
const MAX_FILE: u64 = 1 << 20;

/// What may be asked for while TLS begins, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Who may come in, and how it is kept from others.
pub struct Guard {
    endpoint: Endpoint,
    used: RwLock<Arc<Used>>,
}

#[derive(Default)]
struct Used {
    tls: Option<TlsAcceptor>,
    token: Option<Token>,
    /// Files with secrets that others can read.
    open: Vec<PathBuf>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// It would be open.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// A file.
    #[error("read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it.
    #[error("{}: {what}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Certificate and key are no pair, say.
    #[error("use the certificate {} with the key {}: {source}", tls.certificate.display(), tls.key.display())]
    Pair {
        /// The files.
        tls: Tls,
        /// What is wrong.
        source: rustls::Error,
    },
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guard").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Guard {
    /// Reads what the endpoint names.
    pub fn new(endpoint: Endpoint) -> Result<Self, GuardError> {
        endpoint.check()?;
        let used = RwLock::new(Arc::new(Used::read(&endpoint)?));
        Ok(Self { endpoint, used })
    }

    /// What it guards.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Reads the files again; if anything is wrong all stays as it was.
    pub fn reload(&self) -> Result<(), GuardError> {
        let used = Arc::new(Used::read(&self.endpoint)?);
        *self.used.write().unwrap_or_else(PoisonError::into_inner) = used;
        Ok(())
    }

    /// What is to be said of files with secrets.
    pub fn warnings(&self) -> Vec<String> {
        let files = self.used().open.clone();
        let warn = |file: PathBuf| {
            let file = file.display();
            format!("others may read {file}, which is a secret: chmod 600 {file}")
        };
        files.into_iter().map(warn).collect()
    }

    /// Whether a request with these headers may come in: `Authorization: Bearer …` has the token, or there is none to
    /// have. Nobody, where the handler has tokens of its own to ask.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let used = self.used();
        match (&self.endpoint.token, &used.token) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(token)) => Token::said(headers).is_some_and(|said| said.is(token)),
        }
    }

    /// What begins TLS; none: there is none.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.used().tls.clone()
    }

    fn used(&self) -> Arc<Used> {
        Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Used {
    fn read(endpoint: &Endpoint) -> Result<Self, GuardError> {
        let mut used = Self::default();
        used.token = match &endpoint.token {
            None | Some(TokenSource::Handler) => None,
            Some(TokenSource::Text(text)) => Token::new(text.0.as_bytes()),
            Some(TokenSource::File(path)) => {
                let token = Token::new(&used.secret(path)?);
                let what = "there is no token in it".to_owned();
                let empty = GuardError::Contents { path: path.clone(), what };
                Some(token.ok_or(empty)?)
            }
        };
        if let Some(tls) = &endpoint.tls {
            used.tls = Some(used.tls(tls)?);
        }
        Ok(used)
    }

    fn tls(&mut self, tls: &Tls) -> Result<TlsAcceptor, GuardError> {
        let Tls { certificate: path, key: key_path } = tls;
        let (text, _) = read(path)?;
        let certificates: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&text).collect();
        let certificates = match certificates {
            Ok(certificates) if !certificates.is_empty() => certificates,
            _ => {
                let what = "there is no certificate in it: expected PEM".to_owned();
                return Err(GuardError::Contents { path: path.clone(), what });
            }
        };
        let text = self.secret(key_path)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            let what = "there is no private key in it: expected PEM, and no password".to_owned();
            GuardError::Contents { path: key_path.clone(), what }
        })?;
        let wrong = |source| GuardError::Pair { tls: tls.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(wrong)?;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config).into())
    }

    /// Reads a file that nobody else should.
    fn secret(&mut self, path: &Path) -> Result<Vec<u8>, GuardError> {
        let (text, open) = read(path)?;
        if open {
            self.open.push(path.to_owned());
        }
        Ok(text)
    }
}

/// A file's contents, and whether others may read it: a group may if root has said so, as Kubernetes does.
fn read(path: &Path) -> Result<(Vec<u8>, bool), GuardError> {
    let failed = |source| GuardError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let others = if metadata.uid() == 0 { 0o007 } else { 0o077 };
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    Ok((text, metadata.mode() & others != 0))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use hyper::header::AUTHORIZATION;

    use super::*;
    use crate::stores::records::http::Hidden;

    fn endpoint(token: TokenSource) -> Endpoint {
        Endpoint { token: Some(token), ..Endpoint::local("127.0.0.1:1".parse().unwrap()) }
    }

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn only_the_token_opens() {
        let guard = Guard::new(endpoint(TokenSource::Text(Hidden("hunter2".to_owned())))).unwrap();
        for (said, expected) in [
            ("Bearer hunter2", true),
            ("bearer  hunter2 ", true),
            ("Bearer hunter", false),
            ("Bearer hunter22", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("Basic hunter2", false),
            ("hunter2", false),
        ] {
            assert_eq!(guard.allows(&headers(said)), expected, "{said}");
        }
        assert!(!guard.allows(&HeaderMap::new()));
        assert!(!format!("{guard:?}").contains("hunter2"));
        let none = Guard::new(Endpoint::local("127.0.0.1:1".parse().unwrap())).unwrap();
        assert!(none.allows(&HeaderMap::new()));
    }

    #[test]
    fn a_renewed_token_counts_after_a_reload_and_a_bad_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let guard = Guard::new(endpoint(TokenSource::File(path.clone()))).unwrap();
        assert_eq!(guard.warnings(), [""; 0]);
        fs::write(&path, "second\n").unwrap();
        assert!(guard.allows(&headers("Bearer first")));
        guard.reload().unwrap();
        assert!(!guard.allows(&headers("Bearer first")));
        assert!(guard.allows(&headers("Bearer second")));
        fs::write(&path, "\n").unwrap();
        let error = guard.reload().unwrap_err().to_string();
        assert!(error.ends_with("there is no token in it"), "{error}");
        assert!(guard.allows(&headers("Bearer second")));
        fs::remove_file(&path).unwrap();
        assert!(guard.reload().is_err());
        assert!(guard.allows(&headers("Bearer second")));
        fs::write(&path, "third\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        guard.reload().unwrap();
        assert!(guard.warnings().concat().starts_with("others may read "));
    }

    #[test]
    fn files_that_are_no_certificate_or_key_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nx\n").unwrap();
        let tls = Some(Tls { certificate: path.clone(), key: path.clone() });
        let local = Endpoint::local("127.0.0.1:1".parse().unwrap());
        let error = Guard::new(Endpoint { tls, ..local }).unwrap_err();
        assert!(matches!(&error, GuardError::Contents { path: of, .. } if *of == path), "{error}");
    }
}
