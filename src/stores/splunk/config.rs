//! The keys of the `splunk` flavor.

use reqwest::Url;

use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection, Hidden};
use crate::stores::{self, Flavor, Key, Read};

/// An HTTP Event Collector, and what its events are labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The collector: what `/event` and `/ack` stand behind.
    pub endpoint: Url,
    /// Allows to send.
    pub token: Hidden,
    /// Which index; none: the token's.
    pub index: Option<String>,
    /// `sourcetype` of all events.
    pub sourcetype: String,
    /// `source` of all events.
    pub source: String,
    /// Where events are searched, if they can be.
    pub search: Option<SearchConfig>,
    /// How to connect.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

/// A search head's management port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchConfig {
    /// The export endpoint.
    pub endpoint: Url,
    /// Allows to search.
    pub credentials: Credentials,
}

/// What allows to search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// An authentication token.
    Token(Hidden),
    /// A user and a password.
    User(String, Hidden),
}

const EXAMPLE: &str = "https://splunk.example.com:8088";
const SEARCH_EXAMPLE: &str = "https://splunk.example.com:8089";
const COLLECTOR_PATH: &str = "/services/collector";
const EXPORT_PATH: &str = "/services/search/v2/jobs/export";

/// HEC takes 800 MB unless it is told otherwise, and often is: 1 MB in older versions and at Splunk Cloud.
const BOUNDS: Bounds = Bounds {
    records: (1_500, 100_000),
    bytes: (1_000_000, 64 << 20),
    compressions: &[Compression::Gzip, Compression::None],
};

const fn key(name: &'static str, default: &'static str, secret: Secret) -> Key {
    Key { name, default, secret }
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "splunk",
    keys: &[
        &[
            key("endpoint", "", Secret::No),
            key("token", "", Secret::Yes),
            key("index", "", Secret::No),
            key("sourcetype", "\"steplog\"", Secret::No),
            key("source", "\"steplog\"", Secret::No),
            key("search_endpoint", "", Secret::No),
            key("search_token", "", Secret::Yes),
            key("search_username", "", Secret::No),
            key("search_password", "", Secret::Yes),
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| stores::Config::Splunk(read(reader))),
};

fn read(reader: &mut Reader<'_, '_, '_>) -> Config {
    let mut endpoint = http::endpoint(reader, EXAMPLE);
    let path = endpoint.path().trim_end_matches('/').trim_end_matches("/event").to_owned();
    endpoint.set_path(if path.is_empty() { COLLECTOR_PATH } else { &path });
    let token = reader.required_text("token", "${env:SPLUNK_HEC_TOKEN}");
    let text = |text: Option<String>| text.unwrap_or_else(|| "steplog".to_owned());
    Config {
        endpoint,
        token: Hidden(token.unwrap_or_default()),
        index: reader.optional_text("index", "steps"),
        sourcetype: text(reader.optional_text("sourcetype", "steplog")),
        source: text(reader.optional_text("source", "steplog")),
        search: read_search(reader),
        connection: Connection::read(reader),
        batching: Batching::read(reader, BOUNDS),
    }
}

fn read_search(reader: &mut Reader<'_, '_, '_>) -> Option<SearchConfig> {
    let endpoint = reader.optional_text("search_endpoint", SEARCH_EXAMPLE);
    let token = reader.optional_text("search_token", "${env:SPLUNK_TOKEN}");
    let username = reader.optional_text("search_username", "steplog");
    let password = reader.optional_text("search_password", "${env:SPLUNK_PASSWORD}");
    let there = |reader: &Reader<'_, '_, '_>, key: &str| reader.is_unclear(&[key]);
    let user = there(reader, "search_username") || there(reader, "search_password");
    if there(reader, "search_token") && user {
        let what = "search_token and a user: one of them is needed".to_owned();
        reader.conflict(["search_token", "search_username"], what);
    }
    if user {
        reader.require("search_username", "steplog");
        reader.require("search_password", "${env:SPLUNK_PASSWORD}");
    }
    if there(reader, "search_endpoint") && !user {
        reader.require("search_token", "${env:SPLUNK_TOKEN}");
    }
    if there(reader, "search_token") || user {
        reader.require("search_endpoint", SEARCH_EXAMPLE);
    }
    let endpoint = endpoint?;
    let mut endpoint = http::url(reader, "search_endpoint", Some(endpoint), SEARCH_EXAMPLE);
    if endpoint.path() == "/" {
        endpoint.set_path(EXPORT_PATH);
    }
    let credentials = match (token, username, password) {
        (Some(token), ..) => Credentials::Token(Hidden(token)),
        (None, Some(user), Some(password)) => Credentials::User(user, Hidden(password)),
        _ => return None,
    };
    Some(SearchConfig { endpoint, credentials })
}

/// What the stack file need not say.
#[cfg(test)]
pub(super) fn usual() -> Batching {
    Batching::usual(BOUNDS)
}

impl Config {
    /// What is asked for in Splunk's search to see the logs.
    pub(crate) fn search_text(&self) -> String {
        let index = self.index.as_deref().unwrap_or("*");
        format!("index=\"{index}\" sourcetype=\"{}\"", self.sourcetype)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stores::records::testing::{
        check_refused, check_shared_keys, log_store, shared_keys,
    };

    const KEYS: &str = "endpoint = 'https://splunk:8088'\ntoken = '${env:SECRET}'";
    const SECRET: [(&str, &str); 1] = [("SECRET", "hunter2")];

    #[track_caller]
    fn config(keys: &str) -> Config {
        match log_store("splunk", &format!("{KEYS}\n{keys}"), SECRET) {
            Ok(stores::Config::Splunk(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(keys: &str, expected: &[&str]) {
        check_refused("splunk", &format!("{KEYS}\n{keys}"), SECRET, expected);
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn hidden(text: &str) -> Hidden {
        Hidden(text.to_owned())
    }

    #[test]
    fn only_a_collector_and_its_token_are_needed() {
        let found = config("");
        let expected = Config {
            endpoint: url("https://splunk:8088/services/collector"),
            token: hidden("hunter2"),
            index: None,
            sourcetype: "steplog".to_owned(),
            source: "steplog".to_owned(),
            search: None,
            connection: Connection::default(),
            batching: Batching {
                records: 1500,
                bytes: 1_000_000,
                delay: Duration::from_secs(1),
                timeout: None,
                concurrency: 64,
                compression: Compression::Gzip,
            },
        };
        assert_eq!(found, expected);
        assert!(!format!("{found:?}").contains("hunter2"));
        assert_eq!(found.search_text(), "index=\"*\" sourcetype=\"steplog\"");
    }

    #[test]
    fn every_key_is_heeded() {
        let (shared, connection, batching) = shared_keys(Compression::None);
        let keys = "index = 'steps'\nsourcetype = 'st'\nsource = 'so'\n\
                    search_endpoint = 'https://search:8089'\nsearch_token = 'hunter2search'\n\
                    compression = 'none'";
        let found = config(&format!("{shared}{keys}"));
        let expected = Config {
            endpoint: url("https://splunk:8088/services/collector"),
            token: hidden("hunter2"),
            index: Some("steps".to_owned()),
            sourcetype: "st".to_owned(),
            source: "so".to_owned(),
            search: Some(SearchConfig {
                endpoint: url("https://search:8089/services/search/v2/jobs/export"),
                credentials: Credentials::Token(hidden("hunter2search")),
            }),
            connection,
            batching,
        };
        assert_eq!(found, expected);
        assert!(!format!("{found:?}").contains("hunter2"));
        assert_eq!(found.search_text(), "index=\"steps\" sourcetype=\"st\"");
    }

    #[test]
    fn endpoints_may_have_paths() {
        for (endpoint, expected) in [
            ("https://s:1/", "https://s:1/services/collector"),
            ("https://s:1/services/collector/", "https://s:1/services/collector"),
            ("https://s:1/services/collector/event", "https://s:1/services/collector"),
            ("https://s:1/behind/proxy", "https://s:1/behind/proxy"),
        ] {
            let keys = format!("endpoint = '{endpoint}'\ntoken = 'a'");
            let found = log_store("splunk", &keys, []);
            let Ok(stores::Config::Splunk(found)) = found else { panic!("{found:?}") };
            assert_eq!(found.endpoint, url(expected));
        }
        let search = |endpoint: &str| {
            let keys = format!(
                "search_endpoint = '{endpoint}'\nsearch_username = 'ada'\nsearch_password = 'hunter2ada'"
            );
            config(&keys).search.unwrap()
        };
        let found = search("https://s:8089/behind/proxy");
        assert_eq!(found.endpoint, url("https://s:8089/behind/proxy"));
        assert_eq!(found.credentials, Credentials::User("ada".to_owned(), hidden("hunter2ada")));
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check_refused(
            "splunk",
            "",
            [],
            &[
                "log_stores.it.endpoint: missing",
                "add endpoint = \"https://splunk.example.com:8088\"",
                "log_stores.it.token: missing",
                "add token = \"${env:SPLUNK_HEC_TOKEN}\"",
            ],
        );
        check_refused("splunk", KEYS, [], &["log_stores.it.token: ", "SECRET"]);
        check("tokn = 'hunter2'", &["tokn: unknown key", "did you mean \"token\"?"]);
        check_refused(
            "splunk",
            "endpoint = 'splunk:8088'\ntoken = 'hunter2'",
            [],
            &["log_stores.it.endpoint: expected a URL", "it begins with http:// or https://"],
        );
        for key in ["index", "sourcetype", "source"] {
            let expected = format!("log_stores.it.{key}: expected text");
            check(&format!("{key} = 1"), &[&expected]);
            check(&format!("{key} = ''"), &[&expected]);
        }
        let (endpoint, token) = ("search_endpoint = 'https://s'", "search_token = 'hunter2'");
        let (user, password) = ("search_username = 'ada'", "search_password = 'hunter2'");
        for (keys, expected) in [
            (vec!["search_endpoint = 'ftp://s'", token], "search_endpoint: expected a URL"),
            (vec![endpoint], "search_token: missing"),
            (vec![token], "search_endpoint: missing"),
            (vec![user, password], "search_endpoint: missing"),
            (vec![endpoint, user], "search_password: missing"),
            (vec![endpoint, password], "search_username: missing"),
            (
                vec![endpoint, token, user, password],
                "search_token and a user: one of them is needed",
            ),
            (vec![endpoint, "search_token = 1"], "search_token: expected text"),
        ] {
            check(&keys.join("\n"), &[expected]);
        }
        let good = "endpoint = 'https://s'\ntoken = 'a'";
        check_shared_keys("splunk", good, (100_000, "64 MiB"), "\"none\", \"gzip\"");
    }
}
