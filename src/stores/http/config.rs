//! The keys of the `http` flavor.

use reqwest::{Method, Url};

use crate::stack::{Reader, Secret};
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{self, Batching, Bounds};
use crate::stores::records::http::{self, Connection};
use crate::stores::{self, Flavor, Key, Read};

/// A URL, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to.
    pub endpoint: Url,
    /// POST or PUT.
    pub method: Method,
    /// What a body is.
    pub format: BodyFormat,
    /// How to connect.
    pub connection: Connection,
    /// How records become requests.
    pub batching: Batching,
}

/// What a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// One array of objects.
    Json,
}

const BOUNDS: Bounds = Bounds {
    records: (2_000, 100_000),
    bytes: (4 << 20, 64 << 20),
    compressions: &[Compression::None, Compression::Gzip, Compression::Deflate, Compression::Zstd],
};

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "http",
    keys: &[
        &[
            Key { name: "endpoint", default: "", secret: Secret::No },
            Key { name: "method", default: "\"POST\"", secret: Secret::No },
            Key { name: "format", default: "\"ndjson\"", secret: Secret::No },
        ],
        http::KEYS,
        config::KEYS,
    ],
    read: Read::LogStore(|reader, _| {
        let endpoint = http::endpoint(reader, "https://logs.example.com/ingest");
        let mut method = Method::POST;
        read_method(reader, &mut method);
        let mut format = BodyFormat::default();
        let formats = [("ndjson", BodyFormat::Ndjson), ("json", BodyFormat::Json)];
        reader.choice("format", &formats, &mut format);
        stores::Config::Http(Config {
            endpoint,
            method,
            format,
            connection: Connection::read(reader),
            batching: Batching::read(reader, BOUNDS),
        })
    }),
};

fn read_method(reader: &mut Reader<'_, '_, '_>, method: &mut Method) {
    let mut put = false;
    reader.choice("method", &[("POST", false), ("PUT", true)], &mut put);
    if put {
        *method = Method::PUT;
    }
}
