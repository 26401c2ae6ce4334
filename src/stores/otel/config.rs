//! The keys of the `otel` flavor.

use reqwest::Url;

use super::environment;
use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection};
use crate::stores::{self, Flavor, Key, Read};

/// A server, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where requests go, with the path.
    pub endpoint: Url,
    /// How.
    pub protocol: Protocol,
    /// `service.name`; none: what the writer's environment says, else `steplog`.
    pub service_name: Option<String>,
    /// `service.version`; none: what the writer's environment says.
    pub service_version: Option<String>,
    /// Records in requests under way at the most.
    pub max_queue_size: usize,
    /// How to connect.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf in HTTP requests.
    #[default]
    HttpProtobuf,
    /// JSON in HTTP requests.
    HttpJson,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// The words of the stack file and of the specification.
    pub(super) const CHOICES: [(&'static str, Self); 3] = [
        ("http/protobuf", Self::HttpProtobuf),
        ("http/json", Self::HttpJson),
        ("grpc", Self::Grpc),
    ];
}

/// gRPC servers take 4 MiB unless told otherwise; every server has to know gzip.
const BOUNDS: Bounds = Bounds {
    records: (2_000, 100_000),
    bytes: (3 << 20, 64 << 20),
    compressions: &[Compression::Gzip, Compression::None, Compression::Deflate, Compression::Zstd],
};
const MAX_QUEUE_SIZE: usize = 100_000;

const fn key(name: &'static str, default: &'static str) -> Key {
    Key { name, default, secret: Secret::No }
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "otel",
    keys: &[
        &[
            key("endpoint", ""),
            key("protocol", "\"http/protobuf\""),
            key("service_name", ""),
            key("service_version", ""),
            key("max_queue_size", "100000"),
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| stores::Config::Otel(read(reader))),
};

fn read(reader: &mut Reader<'_, '_, '_>) -> Config {
    let mut protocol = environment::protocol(reader);
    reader.choice("protocol", &Protocol::CHOICES, &mut protocol);
    let endpoint = endpoint(reader, protocol);
    let mut connection = Connection::read(reader);
    environment::connection(reader, &mut connection);
    let mut batching = Batching::read(reader, BOUNDS);
    environment::batching(reader, &mut batching);
    let mut max_queue_size = MAX_QUEUE_SIZE.max(batching.records);
    reader.count("max_queue_size", 1..=10_000_000, &mut max_queue_size);
    if max_queue_size < batching.records {
        let what = format!("less than max_export_batch_size, which is {}", batching.records);
        let help = "it limits the records under way, which are whole batches".to_owned();
        reader.problem("max_queue_size", what, Some(help));
    }
    Config {
        endpoint,
        protocol,
        service_name: reader.optional_text("service_name", "training"),
        service_version: reader.optional_text("service_version", "1.4.2"),
        max_queue_size,
        connection,
        batching,
    }
}

/// The path of the one method that there is.
const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// The path of logs below a base URL.
const LOGS: &str = "/v1/logs";

/// The key `endpoint`: a base URL or the whole one. Without it, the variables and the default.
fn endpoint(reader: &mut Reader<'_, '_, '_>, protocol: Protocol) -> Url {
    let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
    let default = format!("http://localhost:{port}");
    let (url, whole) = match reader.optional_text("endpoint", &default) {
        Some(text) => (http::url(reader, "endpoint", Some(text), &default), false),
        None => environment::endpoint(reader, &default),
    };
    if protocol != Protocol::Grpc {
        return if whole { url } else { below(url) };
    }
    if !whole && reader.is_unclear(&["endpoint"]) && url.path() != "/" {
        let what = "expected a URL without a path: gRPC has its own".to_owned();
        reader.problem("endpoint", what, Some(format!("such as {default:?}")));
    }
    with_path(url, METHOD)
}

/// `url` with the path of logs behind its own, unless it is there already.
fn below(url: Url) -> Url {
    let base = url.path().trim_end_matches('/').to_owned();
    if base.ends_with(LOGS) { with_path(url, &base) } else { with_path(url, &(base + LOGS)) }
}

fn with_path(mut url: Url, path: &str) -> Url {
    url.set_path(path);
    url
}
