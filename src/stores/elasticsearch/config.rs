//! The keys of the `elasticsearch` flavor.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection, Hidden};
use crate::stores::{self, Flavor, Key, Read};

/// An index, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of the cluster.
    pub endpoint: Url,
    /// An index, an alias or a data stream.
    pub index: String,
    /// What a template makes of the name.
    pub data_stream: bool,
    /// Whether the template is set.
    pub template: bool,
    /// How to connect; credentials are among its headers.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

const EXAMPLE: &str = "https://localhost:9200";

const BOUNDS: Bounds = Bounds {
    records: (2_000, 50_000),
    bytes: (8 << 20, 90 << 20),
    compressions: &[Compression::Gzip, Compression::None],
};

const fn key(name: &'static str, default: &'static str, secret: Secret) -> Key {
    Key { name, default, secret }
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "elasticsearch",
    keys: &[
        &[
            key("endpoint", "", Secret::No),
            key("index", "\"logs-steplog-default\"", Secret::No),
            key("data_stream", "true", Secret::No),
            key("template", "true", Secret::No),
            key("api_key", "", Secret::Yes),
            key("username", "", Secret::No),
            key("password", "", Secret::Yes),
            key("bearer_token", "", Secret::Yes),
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| {
        let endpoint = http::endpoint(reader, EXAMPLE);
        let mut index = "logs-steplog-default".to_owned();
        if let Some(name) = reader.optional_text("index", "logs-steplog-default") {
            index = name;
        }
        if let Some(what) = wrong(&index) {
            let help = "as in \"logs-steplog-default\"".to_owned();
            reader.problem("index", what.to_owned(), Some(help));
        }
        let (mut data_stream, mut template) = (true, true);
        reader.flag("data_stream", &mut data_stream);
        reader.flag("template", &mut template);
        let credentials = credentials(reader);
        let mut connection = Connection::read(reader);
        if let Some(value) = credentials {
            connection.headers.insert("authorization".to_owned(), Hidden(value));
        }
        let batching = Batching::read(reader, BOUNDS);
        stores::Config::Elasticsearch(Config {
            endpoint,
            index,
            data_stream,
            template,
            connection,
            batching,
        })
    }),
};

/// The value of the header Authorization.
fn credentials(reader: &mut Reader<'_, '_, '_>) -> Option<String> {
    let api_key = reader.optional_text("api_key", "the base64 of id:key").map(|key| {
        // Both forms are shown by Kibana: `id:key`, and the base64 of it.
        let key = if key.contains(':') { STANDARD.encode(key) } else { key };
        format!("ApiKey {key}")
    });
    let bearer = reader.optional_text("bearer_token", "a token");
    let bearer = bearer.map(|token| format!("Bearer {token}"));
    let username = reader.optional_text("username", "steplog");
    let password = reader.optional_text("password", "a password");
    if username.is_some() != password.is_some() && !reader.is_unclear(&["username", "password"]) {
        reader.problem("", "username and password go together".to_owned(), None);
    }
    let basic = username.zip(password).map(|(username, password)| {
        format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
    });
    let mut all = [api_key, bearer, basic].into_iter().flatten();
    let first = all.next();
    if all.next().is_some() {
        let what = "more than one of api_key, bearer_token, username".to_owned();
        reader.problem("", what, Some("keep one of them".to_owned()));
    }
    first
}

/// What is wrong with an index name, as far as it would lead to another place.
fn wrong(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.starts_with(['_', '-', '+', '.']) {
        return Some("an index name begins with a letter or a digit");
    }
    let bad = |c: char| c.is_uppercase() || c.is_control() || " \"*\\<|,>/?#:".contains(c);
    name.contains(bad)
        .then_some("an index name has no upper case, no space and none of \"*\\<|,>/?#:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names() {
        for name in ["logs-steplog-default", "steplog.2026", "a_b"] {
            assert_eq!(wrong(name), None, "{name}");
        }
        for name in ["", "_bulk", "-x", ".kibana", "Logs", "a/b", "a,b", "a*", "a b"] {
            assert!(wrong(name).is_some(), "{name}");
        }
    }
}
