//! HTTP, as all flavors that speak it do: keys of the stack file, the client, one try, what its
//! answer means.
//!
//! One client a log store, on the same libraries as the artifact store's. It follows the proxy
//! variables of the environment and no redirects (a redirected POST would lose its body or its
//! credentials). No message has a query, a header or a body that we sent in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Identity, RequestBuilder, StatusCode, Url};

use super::SendError;
use crate::record::Nanos;
use crate::stack::{Reader, Secret};
use crate::stores::Key;

/// What an answer may hold at the most.
pub(crate) const MAX_ANSWER: usize = 16 << 20;
/// What is shown of an answer in a message.
const MAX_SHOWN: usize = 300;
/// Connecting takes no longer than this; the session limits a whole try.
const CONNECT: Duration = Duration::from_secs(5);

const CREDENTIALS: &str = "check the log store's credentials and what they allow";
const ENDPOINT: &str = "check the log store's endpoint";

/// Text that must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hidden")
    }
}

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Further headers of each request. Values may be secrets.
    pub headers: BTreeMap<String, Hidden>,
    /// Certificates (PEM) of who may have signed the server's, beside the system's.
    pub certificate_file: Option<PathBuf>,
    /// Our own certificate (PEM), where the server asks for one …
    pub client_certificate_file: Option<PathBuf>,
    /// … and its key.
    pub client_key_file: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A file of certificates.
    #[error("read {path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in it.
    #[error("use the certificates in {path}", path = path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: reqwest::Error,
    },
    /// A header.
    #[error("the header {name} has characters that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// The rest.
    #[error("set up HTTP")]
    Client(#[source] reqwest::Error),
}

/// The keys of [`Connection`].
pub(crate) const KEYS: &[Key] = &[
    Key { name: "headers", default: "", secret: Secret::Yes },
    Key { name: "certificate_file", default: "", secret: Secret::No },
    Key { name: "client_certificate_file", default: "", secret: Secret::No },
    Key { name: "client_key_file", default: "", secret: Secret::No },
];

/// Reads the key `endpoint`, which must be there.
pub(crate) fn endpoint(reader: &mut Reader<'_, '_, '_>, example: &str) -> Url {
    let text = reader.required_text("endpoint", example);
    url(reader, "endpoint", text, example)
}

/// `text` of the key `key` as a URL; `example` where it is none.
pub(crate) fn url(
    reader: &mut Reader<'_, '_, '_>,
    key: &str,
    text: Option<String>,
    example: &str,
) -> Url {
    let parsed = text.map(|text| text.parse::<Url>());
    match parsed {
        Some(Ok(url)) if matches!(url.scheme(), "http" | "https") && url.has_host() => return url,
        Some(_) => {
            let what = format!("expected a URL, such as {example:?}");
            reader.problem(key, what, Some("it begins with http:// or https://".to_owned()));
        }
        None => {}
    }
    // Never used: either a problem was noted, or references are not followed.
    let mut url = example.parse::<Url>();
    loop {
        match url {
            Ok(url) => return url,
            Err(_) => url = "http://localhost/".parse(),
        }
    }
}

impl Connection {
    /// Reads its keys.
    pub(crate) fn read(reader: &mut Reader<'_, '_, '_>) -> Self {
        let mut connection = Self::default();
        if let Some(mut headers) = reader.table("headers") {
            let mut known = BTreeMap::new();
            headers.rest(
                |_| Some(Secret::Yes),
                |name, value| {
                    known.insert(name.to_ascii_lowercase(), Hidden(value));
                },
            );
            headers.finish();
            connection.headers = known;
        }
        let mut file = |key: &str| {
            let mut path = PathBuf::new();
            reader.path(key, &mut path);
            (!path.as_os_str().is_empty()).then_some(path)
        };
        connection.certificate_file = file("certificate_file");
        connection.client_certificate_file = file("client_certificate_file");
        connection.client_key_file = file("client_key_file");
        if connection.client_key_file.is_some() && connection.client_certificate_file.is_none() {
            reader.require("client_certificate_file", "/etc/steplog/client.pem");
        }
        connection
    }

    /// A client. Makes no request.
    pub(crate) fn client(&self) -> Result<Client, ConnectionError> {
        self.client_with(|builder| builder)
    }

    /// The same, for flavors that set more.
    pub(crate) fn client_with(
        &self,
        more: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectionError> {
        more(self.configured()?).build().or_else(|error| {
            // Where the system has no root certificates at all (a container from scratch), there is no client
            // with them. Plain HTTP works without, and so do certificates of our own.
            let builder = more(self.configured()?).tls_certs_only([]);
            builder.build().map_err(|_| match &self.certificate_file {
                // What is not a certificate shows only now.
                Some(path) => ConnectionError::Certificate { path: path.clone(), source: error },
                None => ConnectionError::Client(error),
            })
        })
    }

    fn configured(&self) -> Result<ClientBuilder, ConnectionError> {
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|source| ConnectionError::File { path: path.clone(), source })
        };
        let mut builder = Client::builder();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = || ConnectionError::Header { name: name.clone() };
            let mut text = HeaderValue::from_str(&value.0).map_err(|_| bad())?;
            text.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?, text);
        }
        if let Some(path) = &self.certificate_file {
            let bad = |source| ConnectionError::Certificate { path: path.clone(), source };
            let certificates = Certificate::from_pem_bundle(&read(path)?).map_err(bad)?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(path) = &self.client_certificate_file {
            let mut pem = read(path)?;
            if let Some(key) = &self.client_key_file {
                pem.push(b'\n');
                pem.extend(read(key)?);
            }
            let bad = |source| ConnectionError::Certificate { path: path.clone(), source };
            builder = builder.identity(Identity::from_pem(&pem).map_err(bad)?);
        }
        Ok(builder
            .default_headers(headers)
            .user_agent(concat!("steplog/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true))
    }
}

/// A URL without what may be secret in it: user, password, query.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs without a host, which have neither.
    let _unchanged = (url.set_username(""), url.set_password(None));
    url.to_string()
}

/// An answer, read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Makes one try. `purpose` is an infinitive: "send 12 records".
pub(crate) async fn send(request: RequestBuilder, purpose: &str) -> Result<Answer, SendError> {
    send_for_trailers(request, purpose).await.map(|(answer, _)| answer)
}

/// The same; also gives what came behind the body.
pub(crate) async fn send_for_trailers(
    request: RequestBuilder,
    purpose: &str,
) -> Result<(Answer, HeaderMap), SendError> {
    let failed = |error: reqwest::Error| SendError::Retry {
        message: format!("failed to {purpose}: {}", chain(&error.without_url())),
        after: None,
    };
    let response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let Some((body, trailers)) = body(response).await.map_err(failed)? else {
        let message = format!("failed to {purpose}: the answer is larger than {MAX_ANSWER} bytes");
        return Err(SendError::Retry { message, after: None });
    };
    Ok((Answer { status, headers, body }, trailers))
}

/// The body of an answer and what came behind it; none if it is larger than memory should hold.
pub(crate) async fn body(
    response: reqwest::Response,
) -> Result<Option<(Bytes, HeaderMap)>, reqwest::Error> {
    let mut frames = reqwest::Body::from(response);
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = frames.frame().await {
        match frame?.into_data() {
            Ok(data) if body.len() + data.len() > MAX_ANSWER => return Ok(None),
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(Some((body.into(), trailers)))
}

impl Answer {
    /// What the status means where the service says nothing more exact; `Ok` for 2xx.
    pub(crate) fn judge(&self, purpose: &str) -> Result<(), SendError> {
        let status = self.status;
        let message = format!("failed to {purpose}: {status}{}", self.shown());
        Err(match status.as_u16() {
            200..=299 => return Ok(()),
            300..=399 | 404 | 405 => {
                SendError::Fatal { message, advice: ENDPOINT, not_allowed: false }
            }
            401 | 403 | 407 => SendError::Fatal { message, advice: CREDENTIALS, not_allowed: true },
            413 => SendError::TooLarge { message },
            408 | 425 | 429 => SendError::Retry { message, after: self.retry_after() },
            400..=499 => SendError::Invalid { message },
            _ => SendError::Retry { message, after: self.retry_after() },
        })
    }

    /// Retry-After (RFC 9110 10.2.3): seconds, or a date.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_nanosecond();
        let pause = then - i128::from(Nanos::now().0);
        Some(Duration::from_nanos(u64::try_from(pause).unwrap_or(0)))
    }

    /// The beginning of the body, for a message.
    pub(crate) fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        match clip(&text) {
            text if text.is_empty() => text,
            text => format!(": {text}"),
        }
    }
}

/// What a service said, as one line of bearable length.
pub(crate) fn clip(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_SHOWN) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// An error and its causes, and what can be done where that is known.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = causes(error);
    if is_unknown_issuer(&text) {
        text.push_str(
            " (name who has signed the server's certificate as certificate_file, or install root \
             certificates: the package ca-certificates, or a file of them in $SSL_CERT_FILE)",
        );
    }
    text
}

/// An error and its causes, as far as it does not say them itself.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

/// Whether these are the words for a certificate that nobody vouches for; its type is private to others.
pub(crate) fn is_unknown_issuer(text: &str) -> bool {
    text.contains("UnknownIssuer")
}
