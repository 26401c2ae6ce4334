//! The keys of the `datadog` flavor.

use reqwest::Url;

use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection, Hidden};
use crate::stores::{self, Flavor, Key, Read};

/// A Datadog organisation, and what its logs are labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Allows to send.
    pub api_key: Hidden,
    /// Allows to read, together with the other.
    pub application_key: Option<Hidden>,
    /// Which of Datadog's sites.
    pub site: String,
    /// Where logs are sent to.
    pub endpoint: Url,
    /// Where they are searched.
    pub api_endpoint: Url,
    /// `service` of all logs; none: as the writer's `service.name`, or [`SERVICE`].
    pub service_name: Option<String>,
    /// The tag `version` of all logs.
    pub service_version: Option<String>,
    /// Further tags, each `key:value`.
    pub tags: Vec<String>,
    /// How to connect.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

/// `service` of logs of which nobody says another.
pub(super) const SERVICE: &str = "steplog";
const SITE: &str = "datadoghq.com";
const INTAKE_PATH: &str = "/api/v2/logs";
const SEARCH_PATH: &str = "/api/v2/logs/events/search";

/// Of the 5 MB that Datadog takes, some are left for [`super::late`].
const BOUNDS: Bounds = Bounds {
    records: (1000, 1000),
    bytes: (3_000_000, 4_900_000),
    compressions: &[Compression::Gzip, Compression::Deflate, Compression::None],
};

/// What the stack file need not say.
#[cfg(test)]
pub(super) fn usual() -> Batching {
    Batching::usual(BOUNDS)
}

const fn key(name: &'static str, default: &'static str, secret: Secret) -> Key {
    Key { name, default, secret }
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "datadog",
    keys: &[
        &[
            key("api_key", "", Secret::Yes),
            key("application_key", "", Secret::Yes),
            key("site", "\"datadoghq.com\"", Secret::No),
            key("endpoint", "", Secret::No),
            key("api_endpoint", "", Secret::No),
            key("service_name", "", Secret::No),
            key("service_version", "", Secret::No),
            key("tags", "", Secret::No),
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| stores::Config::Datadog(read(reader))),
};

fn read(reader: &mut Reader<'_, '_, '_>) -> Config {
    let api_key = reader.required_text("api_key", "${env:DD_API_KEY}");
    let application_key = reader.optional_text("application_key", "${env:DD_APP_KEY}");
    let site = read_site(reader);
    Config {
        api_key: Hidden(api_key.unwrap_or_default()),
        application_key: application_key.map(Hidden),
        endpoint: read_url(reader, "endpoint", &format!("http-intake.logs.{site}"), INTAKE_PATH),
        api_endpoint: read_url(reader, "api_endpoint", &format!("api.{site}"), SEARCH_PATH),
        site,
        service_name: reader.optional_text("service_name", "training"),
        service_version: reader.optional_text("service_version", "1.4.2"),
        tags: read_tags(reader),
        connection: Connection::read(reader),
        batching: Batching::read(reader, BOUNDS),
    }
}

fn read_site(reader: &mut Reader<'_, '_, '_>) -> String {
    let Some(site) = reader.optional_text("site", SITE) else { return SITE.to_owned() };
    let domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if site.contains('.') && site.bytes().all(domain) {
        return site;
    }
    let what = format!("expected a domain of Datadog's, such as {SITE:?}");
    let help = "as in the address of the web interface, without \"app.\" before it".to_owned();
    reader.problem("site", what, Some(help));
    SITE.to_owned()
}

/// The URL of the key `key`; `path` is added where it has none.
fn read_url(reader: &mut Reader<'_, '_, '_>, key: &str, host: &str, path: &str) -> Url {
    let usual = format!("https://{host}{path}");
    let text = reader.optional_text(key, &usual).unwrap_or_else(|| usual.clone());
    let mut url = http::url(reader, key, Some(text), &usual);
    if url.path() == "/" {
        url.set_path(path);
    }
    url
}

/// `key:value` pairs between commas, as the Datadog Agent's `DD_TAGS` has them.
fn read_tags(reader: &mut Reader<'_, '_, '_>) -> Vec<String> {
    let example = "env:prod,team:vision";
    let Some(text) = reader.optional_text("tags", example) else { return Vec::new() };
    let tags: Vec<String> =
        text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let bad = tags.iter().find(|tag| {
        let pair = tag.split_once(':');
        pair.is_none_or(|(key, value)| {
            value.is_empty() || !key.starts_with(|first: char| first.is_alphabetic())
        })
    });
    if let Some(bad) = bad {
        let what = format!("expected tags, such as {example:?}, found {bad:?}");
        reader.problem(
            "tags",
            what,
            Some("a tag is key:value and begins with a letter".to_owned()),
        );
    }
    tags
}

impl Config {
    /// Where people look at the logs.
    pub(crate) fn explorer(&self) -> String {
        let Self { site, .. } = self;
        // `datadoghq.eu` has its pages at `app.datadoghq.eu`, `us5.datadoghq.com` at itself.
        let app = if site.matches('.').count() == 1 { "app." } else { "" };
        format!("https://{app}{site}/logs?query=source%3Asteplog")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stores::records::testing::{
        check_refused, check_shared_keys, log_store, shared_keys,
    };

    const KEY: &str = "api_key = '${env:SECRET}'";
    const SECRET: [(&str, &str); 1] = [("SECRET", "hunter2")];

    #[track_caller]
    fn config(keys: &str) -> Config {
        match log_store("datadog", &format!("{KEY}\n{keys}"), SECRET) {
            Ok(stores::Config::Datadog(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(keys: &str, expected: &[&str]) {
        check_refused("datadog", &format!("{KEY}\n{keys}"), SECRET, expected);
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn hidden(text: &str) -> Hidden {
        Hidden(text.to_owned())
    }

    /// What it is without any other key.
    fn usual_config() -> Config {
        Config {
            api_key: hidden("hunter2"),
            application_key: None,
            site: "datadoghq.com".to_owned(),
            endpoint: url("https://http-intake.logs.datadoghq.com/api/v2/logs"),
            api_endpoint: url("https://api.datadoghq.com/api/v2/logs/events/search"),
            service_name: None,
            service_version: None,
            tags: Vec::new(),
            connection: Connection::default(),
            batching: Batching {
                records: 1000,
                bytes: 3_000_000,
                delay: Duration::from_secs(1),
                timeout: None,
                concurrency: 64,
                compression: Compression::Gzip,
            },
        }
    }

    #[test]
    fn only_a_key_is_needed() {
        let config = config("");
        assert_eq!(config, usual_config());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn every_key_is_heeded() {
        let (shared, connection, batching) = shared_keys(Compression::Deflate);
        let keys = "application_key = 'app'\nsite = 'us5.datadoghq.com'\nservice_name = 'training'\n\
                    service_version = '1.4'\ntags = ' env:prod,, team:a:b '\ncompression = 'deflate'";
        let expected = Config {
            api_key: hidden("hunter2"),
            application_key: Some(hidden("app")),
            site: "us5.datadoghq.com".to_owned(),
            endpoint: url("https://http-intake.logs.us5.datadoghq.com/api/v2/logs"),
            api_endpoint: url("https://api.us5.datadoghq.com/api/v2/logs/events/search"),
            service_name: Some("training".to_owned()),
            service_version: Some("1.4".to_owned()),
            tags: vec!["env:prod".to_owned(), "team:a:b".to_owned()],
            connection,
            batching,
        };
        assert_eq!(config(&format!("{shared}{keys}")), expected);
    }

    #[test]
    fn endpoints_may_be_proxies() {
        let found =
            config("endpoint = 'http://proxy:80'\napi_endpoint = 'https://proxy/dd/search'");
        assert_eq!(found.endpoint, url("http://proxy/api/v2/logs"));
        assert_eq!(found.api_endpoint, url("https://proxy/dd/search"));
        // The site is what the other endpoint and the pages go by.
        let found = config("site = 'datadoghq.eu'\nendpoint = 'http://proxy/'");
        assert_eq!(found.api_endpoint, url("https://api.datadoghq.eu/api/v2/logs/events/search"));
    }

    #[test]
    fn pages_are_at_the_site() {
        let page = |site: &str| config(&format!("site = '{site}'")).explorer();
        assert_eq!(page("datadoghq.eu"), "https://app.datadoghq.eu/logs?query=source%3Asteplog");
        assert_eq!(
            page("us5.datadoghq.com"),
            "https://us5.datadoghq.com/logs?query=source%3Asteplog"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        check_refused(
            "datadog",
            "",
            [],
            &["log_stores.it.api_key: missing", "add api_key = \"${env:DD_API_KEY}\""],
        );
        check_refused("datadog", KEY, [], &["log_stores.it.api_key: ", "SECRET"]);
        check_refused("datadog", "api_key = ''", [], &["log_stores.it.api_key: expected text"]);
        check("api_ke = 'hunter2'", &["api_ke: unknown key", "did you mean \"api_key\"?"]);
        let site = "log_stores.it.site: expected a domain of Datadog's, such as \"datadoghq.com\"";
        for bad in ["datadoghq", "https://datadoghq.eu", "datadoghq.eu/", "app datadoghq.eu"] {
            check(&format!("site = '{bad}'"), &[site, "without \"app.\" before it"]);
        }
        check("site = 1", &["log_stores.it.site: expected text"]);
        for (key, example) in [
            ("endpoint", "https://http-intake.logs.datadoghq.com/api/v2/logs"),
            ("api_endpoint", "https://api.datadoghq.com/api/v2/logs/events/search"),
        ] {
            let expected = format!("log_stores.it.{key}: expected a URL, such as \"{example}\"");
            for bad in ["proxy:80", "ftp://proxy/", "hunter2"] {
                let help = "it begins with http:// or https://";
                check(&format!("{key} = '{bad}'"), &[&expected, help]);
            }
        }
        let tags = "log_stores.it.tags: expected tags, such as \"env:prod,team:vision\", found ";
        for (given, bad) in
            [("a:b, c", "\"c\""), ("a:", "\"a:\""), ("1:b", "\"1:b\""), (":b", "\":b\"")]
        {
            check(&format!("tags = '{given}'"), &[&format!("{tags}{bad}"), "a tag is key:value"]);
        }
        for key in ["application_key", "service_name", "service_version", "tags"] {
            let expected = format!("log_stores.it.{key}: expected text");
            check(&format!("{key} = 1"), &[&expected]);
            check(&format!("{key} = ''"), &[&expected]);
        }
        let compressions = "\"none\", \"gzip\", \"deflate\"";
        check_shared_keys("datadog", "api_key = 'a'", (1000, "4900000 B"), compressions);
    }
}
