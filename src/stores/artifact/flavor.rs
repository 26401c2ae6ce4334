//! The artifact store's flavors in the stack file: keys, bounds, and how they are read.
//!
//! Every remote store also takes the options of its `object_store` client, under the names and
//! aliases that the client itself knows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::config::{Codec, Config, Location};
use super::open::{Address, Service};
use crate::stack::{Reader, Secret};
use crate::stores::{self, Flavor, Key, Read, Siblings};

const fn key(name: &'static str, default: &'static str) -> Key {
    Key { name, default, secret: Secret::No }
}

/// How objects are made, wherever they go.
const OBJECTS: &[Key] = &[
    key("codec", "\"zstd\""),
    key("level", "1"),
    key("chunk_bytes", "\"4 MiB\""),
    key("segment_chunks", "256"),
    key("segment_bytes", "\"64 MiB\""),
];
const RETENTION: &[Key] = &[key("retention", "\"inf\"")];
const LOCAL_SEAL: Key = key("local_seal", "\"200ms\"");

/// A folder.
pub(crate) const LOCAL: Flavor = Flavor {
    name: "local",
    keys: &[&[key("path", "")], OBJECTS, RETENTION, &[LOCAL_SEAL]],
    read: Read::ArtifactStore(|reader| {
        let mut path = reader.default_data();
        reader.path("path", &mut path);
        let mut config = Config::new(Location::Local { path });
        objects(reader, &mut config);
        retention(reader, &mut config);
        local_seal(reader, &mut config);
        config
    }),
};

/// Amazon S3 and its likes.
pub(crate) const S3: Flavor = Flavor {
    name: "s3",
    keys: &[&[key("uri", "")], OBJECTS, RETENTION],
    read: Read::ArtifactStore(|reader| remote(reader, Service::S3, "s3://my-bucket/steplog")),
};

/// Google Cloud Storage.
pub(crate) const GCS: Flavor = Flavor {
    name: "gcs",
    keys: &[&[key("uri", "")], OBJECTS, RETENTION],
    read: Read::ArtifactStore(|reader| remote(reader, Service::Gcs, "gs://my-bucket/steplog")),
};

/// Azure Blob Storage.
pub(crate) const AZURE: Flavor = Flavor {
    name: "azure",
    keys: &[&[key("uri", "")], OBJECTS, RETENTION],
    read: Read::ArtifactStore(|reader| remote(reader, Service::Azure, "az://my-container/steplog")),
};

/// An artifact store as log store: the stack's, or another, made into objects in its own way.
pub(crate) const LOG_STORE: Flavor = Flavor {
    name: "artifact",
    keys: &[&[key("artifact_store", "")], OBJECTS, &[LOCAL_SEAL]],
    read: Read::LogStore(|reader, siblings| {
        let mut config = siblings.own.clone();
        if let Some(named) = artifact_store(reader, siblings) {
            config = named;
        }
        objects(reader, &mut config);
        local_seal(reader, &mut config);
        stores::Config::Artifact(config)
    }),
};

fn artifact_store(reader: &mut Reader<'_, '_, '_>, siblings: &Siblings<'_>) -> Option<Config> {
    let name = reader.optional_text("artifact_store", "local")?;
    let found = siblings.all.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let names = siblings.all.iter().map(|(name, _)| name.as_str());
        reader.not_there("artifact_store", "artifact store", &name, names);
    }
    found.map(|(_, config)| config.clone())
}

fn objects(reader: &mut Reader<'_, '_, '_>, config: &mut Config) {
    let codecs = [("zstd", Codec::Zstd), ("gzip", Codec::Gzip)];
    reader.choice("codec", &codecs, &mut config.codec);
    let levels = match config.codec {
        Codec::Zstd => 1..=22,
        Codec::Gzip => 0..=9,
    };
    reader.count("level", levels, &mut config.level);
    reader.bytes("chunk_bytes", 4 << 10..=1 << 30, &mut config.chunk_bytes);
    reader.count("segment_chunks", 2..=10_000, &mut config.segment_chunks);
    reader.bytes("segment_bytes", 64 << 10..=4 << 30, &mut config.segment_bytes);
}

fn retention(reader: &mut Reader<'_, '_, '_>, config: &mut Config) {
    let range = Duration::from_secs(1)..=Duration::from_hours(24 * 36_500);
    reader.duration_or_inf("retention", range, &mut config.retention);
}

fn local_seal(reader: &mut Reader<'_, '_, '_>, config: &mut Config) {
    let range = Duration::from_millis(10)..=Duration::from_secs(3600);
    reader.milliseconds("local_seal", range, &mut config.local_seal_ms);
}

fn remote(reader: &mut Reader<'_, '_, '_>, service: Service, example: &str) -> Config {
    let uri = reader.required_text("uri", example).unwrap_or_default();
    let mut options = BTreeMap::new();
    let mut config = Config::new(Location::Local { path: PathBuf::new() });
    objects(reader, &mut config);
    retention(reader, &mut config);
    if !uri.is_empty() {
        match uri.parse::<Address>() {
            Ok(address) if address.service == service => {}
            Ok(address) => {
                let (scheme, wanted) = (address.service.scheme(), service.scheme());
                let what = format!("a URI of this flavor begins with {wanted}://, not {scheme}://");
                reader.problem("uri", what, Some(format!("write {example:?}, or change flavor")));
            }
            Err(error) => {
                reader.problem("uri", error.to_string(), Some(format!("write {example:?}")));
            }
        }
    }
    reader.options(
        service.options(),
        |name| service.option(name),
        |name, value| {
            options.insert(name.to_owned(), value);
        },
    );
    for (name, value) in &options {
        // The clients take anything, and panic when they use it.
        if service.is_address(name) && !is_web_address(value) {
            let what = "expected an address, such as \"https://host:9000\"".to_owned();
            reader.problem(name, what, None);
        }
    }
    config.location = Location::Remote { uri, options };
    config
}

/// What other names than those of [`Service::options`] a flavor's client knows its options by: what they
/// may begin with, and all others.
pub(crate) fn other_options(flavor: &str) -> Option<(&'static str, Vec<&'static str>)> {
    let service = [Service::S3, Service::Gcs, Service::Azure]
        .into_iter()
        .find(|service| service.flavor() == flavor)?;
    let (prefix, own) = service.other_options();
    Some((prefix, [own, CLIENT_OPTIONS].concat()))
}

/// Options of every client that hardly anybody needs.
const CLIENT_OPTIONS: &[&str] = &[
    "default_content_type",
    "http1_only",
    "http2_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "randomize_addresses",
    "read_timeout",
    "user_agent",
];

impl Service {
    /// The options of its client, by the shorter of their names.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &[
                "access_key_id",
                "secret_access_key",
                "session_token",
                "region",
                "endpoint",
                "virtual_hosted_style_request",
                "role_arn",
                "role_session_name",
                "web_identity_token_file",
                "container_credentials_relative_uri",
                "container_credentials_full_uri",
                "container_authorization_token_file",
                "endpoint_url_sts",
                "metadata_endpoint",
                "imdsv1_fallback",
                "skip_signature",
                "unsigned_payload",
                "checksum_algorithm",
                "conditional_put",
                "disable_bulk_delete",
                "disable_tagging",
                "request_payer",
                "s3_express",
                "server_side_encryption",
                "sse_kms_key_id",
                "sse_bucket_key_enabled",
                "sse_customer_key_base64",
                "allow_http",
                "allow_invalid_certificates",
                "connect_timeout",
                "timeout",
                "proxy_url",
                "proxy_ca_certificate",
                "proxy_excludes",
            ],
            Self::Gcs => &[
                "service_account_path",
                "service_account_key",
                "application_credentials",
                "bearer_token",
                "base_url",
                "skip_signature",
                "allow_http",
                "allow_invalid_certificates",
                "connect_timeout",
                "timeout",
                "proxy_url",
                "proxy_ca_certificate",
                "proxy_excludes",
            ],
            Self::Azure => &[
                "account_name",
                "account_key",
                "client_id",
                "client_secret",
                "tenant_id",
                "authority_host",
                "sas_token",
                "bearer_token",
                "endpoint",
                "use_emulator",
                "use_azure_cli",
                "msi_endpoint",
                "object_id",
                "msi_resource_id",
                "federated_token_file",
                "skip_signature",
                "disable_tagging",
                "allow_http",
                "allow_invalid_certificates",
                "connect_timeout",
                "timeout",
                "proxy_url",
                "proxy_ca_certificate",
                "proxy_excludes",
            ],
        }
    }

    fn flavor(self) -> &'static str {
        match self {
            Self::S3 => S3.name,
            Self::Gcs => GCS.name,
            Self::Azure => AZURE.name,
        }
    }

    fn other_options(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::S3 => {
                ("aws_", &["default_region", "endpoint_url", "token", "copy_if_not_exists"])
            }
            Self::Gcs => ("google_", &["service_account"]),
            Self::Azure => (
                "azure_",
                &[
                    "access_key",
                    "master_key",
                    "authority_id",
                    "sas_key",
                    "token",
                    "identity_endpoint",
                    "use_fabric_endpoint",
                    "fabric_token_service_url",
                    "fabric_workload_host",
                    "fabric_session_token",
                    "fabric_cluster_identifier",
                    "credential_type",
                    "encryption_key",
                ],
            ),
        }
    }

    /// Whether an option of its client says where to connect to.
    fn is_address(self, name: &str) -> bool {
        match self {
            Self::S3 => matches!(
                name.parse(),
                Ok(AmazonS3ConfigKey::Endpoint
                    | AmazonS3ConfigKey::StsEndpoint
                    | AmazonS3ConfigKey::MetadataEndpoint)
            ),
            Self::Gcs => matches!(name.parse(), Ok(GoogleConfigKey::BaseUrl)),
            Self::Azure => matches!(
                name.parse(),
                Ok(AzureConfigKey::Endpoint
                    | AzureConfigKey::AuthorityHost
                    | AzureConfigKey::MsiEndpoint)
            ),
        }
    }

    /// Whether its client has an option of this name, and whether that is secret. The bucket is
    /// none: it comes from the URI.
    pub(crate) fn option(self, name: &str) -> Option<Secret> {
        use {AmazonS3ConfigKey as S3, AzureConfigKey as Azure, GoogleConfigKey as Gcs};
        let secret = match self {
            Self::S3 => match S3::from_str(name).ok()? {
                S3::Bucket => return None,
                S3::SecretAccessKey | S3::Token => true,
                S3::Encryption(_) => name.contains("customer_key"),
                _ => false,
            },
            Self::Gcs => match Gcs::from_str(name).ok()? {
                Gcs::Bucket => return None,
                Gcs::ServiceAccountKey | Gcs::BearerToken => true,
                _ => false,
            },
            Self::Azure => match Azure::from_str(name).ok()? {
                Azure::ContainerName => return None,
                Azure::AccessKey
                | Azure::ClientSecret
                | Azure::SasKey
                | Azure::Token
                | Azure::EncryptionKey
                | Azure::FabricSessionToken => true,
                _ => false,
            },
        };
        Some(if secret || name.ends_with("proxy_url") { Secret::Yes } else { Secret::No })
    }
}

fn is_web_address(text: &str) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_option_is_known_to_the_client() {
        for service in [Service::S3, Service::Gcs, Service::Azure] {
            let (prefix, others) = other_options(service.flavor()).unwrap();
            for name in service.options().iter().chain(&others) {
                assert!(service.option(name).is_some(), "{service:?} {name}");
            }
            assert!(service.option(&format!("{prefix}allow_http")).is_some(), "{prefix}");
        }
        assert_eq!(Service::S3.option("bucket"), None);
    }

    #[test]
    fn secrets_are_secret_under_every_name() {
        for (service, names) in [
            (Service::S3, "secret_access_key aws_secret_access_key token aws_session_token"),
            (Service::S3, "sse_customer_key_base64 proxy_url"),
            (Service::Gcs, "service_account_key google_service_account_key bearer_token"),
            (Service::Azure, "access_key account_key master_key client_secret sas_token sas_key"),
            (Service::Azure, "token azure_storage_token encryption_key fabric_session_token"),
        ] {
            for name in names.split(' ') {
                assert_eq!(service.option(name), Some(Secret::Yes), "{service:?} {name}");
            }
        }
    }
}
