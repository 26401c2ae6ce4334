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
