//! Who asks, and which runs they may see. Decided before a request is looked at any further; "no" is always said,
//! never shown as nothing there.
//!
//! | server | who may ask |
//! |---|---|
//! | on this machine, without more | whoever can connect; a browser only by a name of this machine |
//! | with a token, or a file of tokens | who has one, and sees what it is for |
//! | with `identity_header`, on a Unix socket | whom a trusted proxy names, and sees what that name is for |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use serde::Deserialize;

use super::problem::{self, Problem};
use super::settings::Settings;
use crate::glob;
use crate::listen::{Address, Peer, Token, TokenSource};

/// The largest file of tokens.
const MAX_FILE: u64 = 1 << 20;

/// Who may ask what.
pub(super) struct Access {
    /// A browser may be led to a server of this machine by any name that somebody makes up.
    hosts: Option<Vec<String>>,
    proxy: Option<Proxy>,
    file: Option<PathBuf>,
    known: RwLock<Arc<Known>>,
}

/// A proxy that says who asks.
struct Proxy {
    header: HeaderName,
    trusted: Vec<u32>,
}

/// Tokens and users, and what they may see.
#[derive(Debug, Default)]
struct Known {
    tokens: Vec<(Token, Who)>,
    /// By name; without any, all of them see everything.
    users: Vec<(String, Who)>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Globs of run ids; none: everything.
    runs: Option<Arc<[String]>>,
}

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it.
    #[error("{}: {what}", path.display())]
    Contents {
        /// Which.
        path: PathBuf,
        /// What is wrong, without what it says.
        what: String,
    },
    /// A user that is trusted is none.
    #[error("trusted_users: there is no user {0:?} in /etc/passwd; a number will do too")]
    NoUser(String),
    /// A header is believed only on a Unix socket.
    #[error(
        "identity_header needs a Unix socket to listen at: anybody could send that header over a network"
    )]
    NotUnix,
}

/// A file of tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tokens: Vec<Written>,
    #[serde(default)]
    users: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    token: Option<String>,
    sha256: Option<String>,
    runs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    runs: Option<Vec<String>>,
}

impl Who {
    const ALL: Self = Self { runs: None };

    fn seeing(runs: Option<Vec<String>>) -> Self {
        Self { runs: runs.map(Arc::from) }
    }

    /// Whether it may see this run.
    pub(super) fn sees(&self, run: &str) -> bool {
        let matches = |glob: &String| glob::matches(glob, run, u8::eq);
        self.runs.as_ref().is_none_or(|globs| globs.iter().any(matches))
    }

    /// Whether it may see every run there is.
    pub(super) fn sees_all(&self) -> bool {
        self.runs.is_none()
    }
}

impl Access {
    /// As the settings say.
    pub(super) fn new(settings: &Settings) -> Result<Self, AccessError> {
        let unix = matches!(settings.endpoint.address, Address::Unix(_));
        let proxy = match &settings.identity_header {
            None => None,
            Some(_) if !unix => return Err(AccessError::NotUnix),
            Some(name) => HeaderName::try_from(name.as_str())
                .ok()
                .map(|header| Ok(Proxy { header, trusted: users(&settings.trusted_users)? }))
                .transpose()?,
        };
        let file = match &settings.endpoint.token {
            Some(TokenSource::File(path)) => Some(path.clone()),
            _ => None,
        };
        let local = settings.endpoint.address.is_local() && !unix;
        let hosts = local.then(|| settings.hosts.clone());
        let known = match (&settings.endpoint.token, &file) {
            (_, Some(path)) => Known::read(path)?,
            (Some(TokenSource::Text(text)), None) => Known::one(text.0.as_bytes()),
            _ => Known::default(),
        };
        Ok(Self { hosts, proxy, file, known: RwLock::new(Arc::new(known)) })
    }

    /// Reads the file of tokens again; if anything is wrong all stays as it was.
    pub(super) fn reload(&self) -> Result<(), AccessError> {
        if let Some(path) = &self.file {
            let known = Arc::new(Known::read(path)?);
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        }
        Ok(())
    }

    /// Whether there are tokens: the page has to send one.
    pub(super) fn has_tokens(&self) -> bool {
        !self.known.read().unwrap_or_else(PoisonError::into_inner).tokens.is_empty()
    }

    /// Who asks, or why they get no answer.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        peer: Option<Peer>,
    ) -> Result<Who, Problem> {
        self.check_names(headers, uri)?;
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(said) = Token::said(headers) {
            // All are compared: the time tells nothing of which it was.
            let found = known
                .tokens
                .iter()
                .filter(|(token, _)| said.is(token))
                .fold(None, |_, it| Some(it));
            if let Some((_, who)) = found {
                return Ok(who.clone());
            }
            if !known.tokens.is_empty() {
                return Err(Problem::unauthorized("this token is not known here")
                    .next("ask whoever runs the server for one"));
            }
        }
        match &self.proxy {
            Some(proxy) => proxy.who(headers, peer, &known),
            None if known.tokens.is_empty() => Ok(Who::ALL),
            None => Err(Problem::unauthorized("a token is needed").next(
                "send it as Authorization: Bearer …; for the page, open it with #token=… behind the address",
            )),
        }
    }

    /// Against pages of others, which a browser may have led here.
    fn check_names(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).or_else(|| uri.authority().map(Authority::as_str));
        if let (Some(hosts), Some(host)) = (&self.hosts, host) {
            let name = host_of(host);
            let mine = ["localhost", "127.0.0.1", "[::1]"].contains(&name)
                || hosts.iter().any(|it| it.eq_ignore_ascii_case(name));
            if !mine {
                let shown = problem::shown(name);
                return Err(Problem::forbidden(format!("this server is not called {shown:?}"))
                    .next(
                        "use http://127.0.0.1 or localhost, or add the name to hosts of [server]",
                    ));
            }
        }
        if let Some(origin) = text(header::ORIGIN) {
            let other = origin.split_once("://").map(|(_, host)| host);
            if other != host {
                return Err(Problem::forbidden("pages of other servers get no answer here"));
            }
        }
        Ok(())
    }
}

/// Without the port.
fn host_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

impl Proxy {
    fn who(&self, headers: &HeaderMap, peer: Option<Peer>, known: &Known) -> Result<Who, Problem> {
        let trusted = match peer {
            Some(peer @ Peer::Process { uid, .. }) => {
                peer.is_own_or_root() || self.trusted.contains(&uid)
            }
            _ => false,
        };
        if !trusted {
            return Err(Problem::forbidden("whoever has connected is not trusted to say who asks")
                .next("the proxy's user must be one of trusted_users of [server]"));
        }
        let mut said = headers.get_all(&self.header).iter();
        let (Some(name), None) = (said.next().and_then(|it| it.to_str().ok()), said.next()) else {
            let header = &self.header;
            return Err(Problem::unauthorized(format!(
                "the proxy has not said who asks ({header})"
            )));
        };
        if name.is_empty() {
            return Err(Problem::unauthorized("the proxy has said that nobody asks"));
        }
        if known.users.is_empty() {
            return Ok(Who::ALL);
        }
        let found = known.users.iter().find(|(user, _)| user == name);
        let found = found.or_else(|| known.users.iter().find(|(user, _)| user == "*"));
        let (_, who) = found.ok_or_else(|| Problem::forbidden("this user may see nothing here"))?;
        Ok(who.clone())
    }
}

fn users(names: &[String]) -> Result<Vec<u32>, AccessError> {
    // By hand: what the C library asks besides this file a static program cannot load.
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = |name: &String| {
        let known = file.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
        });
        known.or_else(|| name.parse().ok()).ok_or_else(|| AccessError::NoUser(name.clone()))
    };
    names.iter().map(uid).collect()
}

impl Known {
    fn one(token: &[u8]) -> Self {
        let tokens = Token::new(token).map(|token| (token, Who::ALL)).into_iter().collect();
        Self { tokens, users: Vec::new() }
    }

    fn read(path: &Path) -> Result<Self, AccessError> {
        use std::io::Read as _;
        let failed = |source| AccessError::Read { path: path.to_owned(), source };
        let wrong = |what: String| AccessError::Contents { path: path.to_owned(), what };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
        let is_list = |line: &str| ["[[tokens]]", "[[users]]"].contains(&line.trim());
        if !text.lines().any(is_list) {
            let known = Self::one(text.as_bytes());
            return if known.tokens.is_empty() {
                Err(wrong("there is no token in it".to_owned()))
            } else {
                Ok(known)
            };
        }
        // What TOML says of an error would show the line, and with it the token.
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| {
                let before = text.get(..span.start).unwrap_or_default();
                format!("line {}: ", before.lines().count().max(1))
            });
            wrong(format!(
                "{}{}",
                line.unwrap_or_default(),
                "expected [[tokens]] with token or sha256, and runs if \
                           not all are meant; [[users]] with name and runs"
            ))
        })?;
        let mut tokens = Vec::new();
        for (number, written) in (1..).zip(file.tokens) {
            let name = written.name.clone().unwrap_or_else(|| format!("number {number}"));
            let token = written.token().ok_or_else(|| {
                wrong(format!(
                    "token {name}: expected either token, or sha256 with 64 hexadecimal digits"
                ))
            })?;
            tokens.push((token, Who::seeing(written.runs)));
        }
        let users = file.users.into_iter().map(|it| (it.name, Who::seeing(it.runs))).collect();
        Ok(Self { tokens, users })
    }
}

impl Written {
    fn token(&self) -> Option<Token> {
        match (&self.token, &self.sha256) {
            (Some(token), None) => Token::new(token.as_bytes()),
            (None, Some(hex)) if hex.len() == 64 && hex.is_ascii() => {
                let mut hash = [0; 32];
                for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
                    *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
                }
                Some(Token::from_sha256(hash))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::listen::Endpoint;
    use crate::stores::records::http::Hidden;

    fn settings(address: &str) -> Settings {
        let endpoint = Endpoint::local(address.parse().unwrap());
        Settings { endpoint, ..Settings::default() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn status(checked: &Result<Who, Problem>) -> String {
        match checked {
            Ok(_) => "ok".to_owned(),
            Err(problem) => String::from_utf8(problem.to_json()).unwrap(),
        }
    }

    #[track_caller]
    fn check(access: &Access, said: &[(&'static str, &str)], peer: Option<Peer>, expected: &str) {
        let checked = access.check(&headers(said), &Uri::from_static("/"), peer);
        assert!(status(&checked).contains(expected), "{said:?}: {}", status(&checked));
    }

    #[test]
    fn names_that_others_make_up_lead_nowhere() {
        let access = Access::new(&settings("127.0.0.1:1")).unwrap();
        for host in ["localhost:1", "127.0.0.1", "[::1]:7300"] {
            check(&access, &[("host", host)], None, "ok");
        }
        for host in ["evil.example", "evil.example:1", "127.0.0.1.evil.example:1"] {
            check(&access, &[("host", host)], None, "is not called");
        }
        check(&access, &[("host", "localhost:1"), ("origin", "http://localhost:1")], None, "ok");
        check(&access, &[("host", "localhost:1"), ("origin", "http://x")], None, "other servers");
        check(&access, &[("host", "localhost:1"), ("origin", "null")], None, "other servers");
        let named = Settings { hosts: vec!["logs.example".into()], ..settings("127.0.0.1:1") };
        check(&Access::new(&named).unwrap(), &[("host", "Logs.example:1")], None, "ok");
    }

    #[test]
    fn tokens_and_what_they_see() {
        let mut settings = settings("127.0.0.1:1");
        settings.endpoint.token = Some(TokenSource::Text(Hidden("hunter2".to_owned())));
        let access = Access::new(&settings).unwrap();
        check(&access, &[], None, "a token is needed");
        check(&access, &[("authorization", "Bearer hunter2")], None, "ok");
        check(&access, &[("authorization", "Bearer hunter3")], None, "is not known");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        // printf hunter2 | sha256sum
        let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        let text = format!(
            "[[tokens]]\nname = \"ci\"\nsha256 = \"{hash}\"\nruns = [\"nightly-*\"]\n\
             [[tokens]]\ntoken = \"all\"\n"
        );
        std::fs::write(&path, text).unwrap();
        settings.endpoint.token = Some(TokenSource::File(path.clone()));
        let access = Access::new(&settings).unwrap();
        let who = |token: &str| {
            access.check(&headers(&[("authorization", token)]), &Uri::from_static("/"), None)
        };
        let ci = who("Bearer hunter2").unwrap();
        assert!(ci.sees("nightly-7") && !ci.sees("Nightly-7") && !ci.sees("x") && !ci.sees_all());
        assert!(who("Bearer all").unwrap().sees_all());
        assert!(who("Bearer x").is_err());
        for (text, expected) in [
            ("[[tokens]]\ntoken = \"hunter2\nx", ": expected [[tokens]]"),
            ("[[tokens]]\nsha256 = \"hunter2\"", "token number 1: expected either"),
            ("\n", "there is no token in it"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = access.reload().unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
            assert!(who("Bearer all").is_ok());
        }
        std::fs::write(&path, "single\n").unwrap();
        access.reload().unwrap();
        assert!(who("Bearer single").unwrap().sees_all() && who("Bearer all").is_err());
    }

    #[test]
    fn a_proxy_is_believed_if_it_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::fs::write(&path, "[[users]]\nname = \"ada\"\nruns = [\"a*\"]\n").unwrap();
        let mut settings = settings("unix:/run/x.sock");
        settings.identity_header = Some("X-User".to_owned());
        settings.endpoint.token = Some(TokenSource::File(path));
        let access = Access::new(&settings).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        let peer = |uid| Some(Peer::Process { pid: 1, uid, gid: 1 });
        check(&access, &[("x-user", "ada")], peer(own), "ok");
        check(&access, &[("x-user", "ada")], peer(own + 4242), "not trusted");
        check(&access, &[("x-user", "ada")], None, "not trusted");
        check(&access, &[("x-user", "bob")], peer(own), "may see nothing");
        check(&access, &[], peer(own), "has not said who asks");
        let said = headers(&[("x-user", "ada")]);
        let who = access.check(&said, &Uri::from_static("/"), peer(own)).unwrap();
        assert!(who.sees("a1") && !who.sees("b1"));
        settings.endpoint.address = "127.0.0.1:1".parse().unwrap();
        assert!(matches!(Access::new(&settings), Err(AccessError::NotUnix)));
        settings.endpoint.address = "unix:/x".parse().unwrap();
        settings.trusted_users = vec!["root".to_owned(), "4242".to_owned()];
        let proxy = Access::new(&settings).unwrap().proxy.unwrap();
        assert_eq!(proxy.trusted, [0, 4242]);
        settings.trusted_users = vec!["nobody-of-that-name".to_owned()];
        assert!(matches!(Access::new(&settings), Err(AccessError::NoUser(_))));
    }
}
