//! From a [`Config`] to a client that speaks to the store.
//!
//! Apart from the configuration so that reading a stack file needs no client. The same few
//! properties hold for every store: names are relative to the configured root, a put can be
//! conditional (`PutMode::Create`), what a put has answered for is durable, and a request is
//! tried three times at the most, because whoever calls has its own way of trying again. Makes no request.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::config::{Config, Location};
use super::setting::{self, Setting};

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of a local store.
    #[error("create the folder {path}", path = path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The URI.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An option is missing, or its value is wrong.
    #[error("configure the store: {0}")]
    Setting(Setting),
    /// What the client said, where no option of the stack file is to blame.
    #[error("configure the store, or the environment that its client reads")]
    Client(#[from] object_store::Error),
}

/// Why a URI does not name a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme, or one that names no store.
    #[error("the URI must begin with s3://, gs:// or az://")]
    Scheme,
    /// Nothing between the scheme and the first slash.
    #[error("the URI names no bucket or container")]
    Bucket,
    /// The rest is no path.
    #[error("the URI's path is not the prefix of an object name")]
    Prefix,
}

/// The remote stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and all that speak its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    /// The scheme of its URIs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

/// A remote location, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose it is.
    pub service: Service,
    /// Bucket or container.
    pub bucket: String,
    /// Everything goes below this; may be empty.
    pub prefix: object_store::path::Path,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = uri.split_once("://").ok_or(AddressError::Scheme)?;
        let service = [Service::S3, Service::Gcs, Service::Azure]
            .into_iter()
            .find(|service| service.scheme() == scheme)
            .ok_or(AddressError::Scheme)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains(['@', '?', '#', ' ']) {
            return Err(AddressError::Bucket);
        }
        let prefix = object_store::path::Path::parse(prefix.trim_end_matches('/'))
            .map_err(|_| AddressError::Prefix)?;
        Ok(Self { service, bucket: bucket.to_owned(), prefix })
    }
}

impl Config {
    /// A client for the store. Creates the folder of a local one; asks nothing of a remote one.
    pub fn open(&self) -> Result<Arc<dyn ObjectStore>, OpenError> {
        self.open_with(None)
    }

    /// A client whose requests are limited by whoever makes them.
    pub(super) fn open_to_deliver(&self) -> Result<Arc<dyn ObjectStore>, OpenError> {
        self.open_with(Some(("timeout", "1 day")))
    }

    /// `option` stands back behind those of the stack file.
    fn open_with(
        &self,
        option: Option<(&'static str, &'static str)>,
    ) -> Result<Arc<dyn ObjectStore>, OpenError> {
        match &self.location {
            Location::Local { path } => open_local(path),
            Location::Remote { uri, options } => {
                let address: Address = uri.parse()?;
                let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let options: Vec<_> = option.into_iter().chain(options).collect();
                let store = match open_remote(&address, &options) {
                    Err(OpenError::Client(error)) => {
                        // Where the system has no root certificates at all there is no client with
                        // them; plain HTTP works without.
                        let without =
                            [&[("disable_system_certificates", "true")], options.as_slice()];
                        let takes = |others: &[(&str, &str)]| open_remote(&address, others).is_ok();
                        open_remote(&address, &without.concat())
                            .map_err(|_| setting::explain(address.service, &options, error, takes))
                    }
                    other => other,
                }?;
                if address.prefix.as_ref().is_empty() {
                    Ok(store)
                } else {
                    Ok(Arc::new(PrefixStore::new(store, address.prefix)))
                }
            }
        }
    }
}

fn open_local(path: &Path) -> Result<Arc<dyn ObjectStore>, OpenError> {
    std::fs::create_dir_all(path)
        .map_err(|source| OpenError::Root { path: path.to_owned(), source })?;
    // Without fsync a put would promise what only the page cache holds. Clean-up removes the
    // folders that segments and `gc` leave empty.
    let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
    Ok(Arc::new(store.with_automatic_cleanup(true)))
}

/// The environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`) comes first, then the stack file's options.
/// `object_store` limits a connect to 5 s and a request to 30 s unless one of these says otherwise.
fn open_remote(
    address: &Address,
    options: &[(&str, &str)],
) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let bucket = address.bucket.as_str();
    Ok(match address.service {
        Service::S3 => {
            let mut builder = AmazonS3Builder::from_env()
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_retry(retry());
            for (key, value) in options.iter().copied() {
                builder = builder.with_config(option::<AmazonS3ConfigKey>(key)?, value);
            }
            let allow_http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
            may_be_used(
                builder.get_config_value(&AmazonS3ConfigKey::Endpoint),
                builder.get_config_value(&allow_http),
            )?;
            Arc::new(builder.with_bucket_name(bucket).build()?)
        }
        Service::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_retry(retry());
            for (key, value) in options.iter().copied() {
                builder = builder.with_config(option::<GoogleConfigKey>(key)?, value);
            }
            Arc::new(builder.with_bucket_name(bucket).build()?)
        }
        Service::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_retry(retry());
            for (key, value) in options.iter().copied() {
                builder = builder.with_config(option::<AzureConfigKey>(key)?, value);
            }
            let allow_http = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
            may_be_used(
                builder.get_config_value(&AzureConfigKey::Endpoint),
                builder.get_config_value(&allow_http),
            )?;
            Arc::new(builder.with_container_name(bucket).build()?)
        }
    })
}

/// Said here, where it can be understood: the client says at each request that a "URL scheme is not
/// allowed".
fn may_be_used(endpoint: Option<String>, allow_http: Option<String>) -> Result<(), OpenError> {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let allowed = allow_http.is_some_and(|allow| {
        ["1", "true", "on", "yes", "y"].contains(&allow.to_ascii_lowercase().as_str())
    });
    if plain && !allowed {
        return Err(OpenError::Setting(Setting {
            key: "endpoint".to_owned(),
            what: "it is not encrypted: what is sent could be read by others on its way",
            help: "allow_http = true lets it be used",
        }));
    }
    Ok(())
}

fn option<K: FromStr>(key: &str) -> Result<K, OpenError> {
    key.parse().map_err(|_| {
        let help = "see docs/stack-file.md for those that there are";
        OpenError::Setting(Setting { key: key.to_owned(), what: "unknown option", help })
    })
}

/// `object_store` would try ten times in three minutes and heed no Retry-After.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::StreamExt;
    use object_store::{ObjectStoreExt, PutMode, PutOptions};

    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: Result<(Service, &str, &str), AddressError>) {
        let expected = expected.map(|(service, bucket, prefix)| Address {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.into(),
        });
        assert_eq!(uri.parse(), expected, "{uri}");
    }

    #[test]
    fn uris() {
        check("s3://bucket", Ok((Service::S3, "bucket", "")));
        check("s3://bucket/", Ok((Service::S3, "bucket", "")));
        check("s3://bucket/a/b/", Ok((Service::S3, "bucket", "a/b")));
        check("gs://my_bucket/logs", Ok((Service::Gcs, "my_bucket", "logs")));
        check("az://container/logs", Ok((Service::Azure, "container", "logs")));
        check("bucket/logs", Err(AddressError::Scheme));
        check("ftp://bucket/logs", Err(AddressError::Scheme));
        check("s3:///logs", Err(AddressError::Bucket));
        check("s3://user@bucket", Err(AddressError::Bucket));
        check("s3://bucket/a//b", Err(AddressError::Prefix));
        check("s3://bucket/../b", Err(AddressError::Prefix));
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_local_store_is_created_and_puts_are_conditional() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("not/yet/there");
        let store = Config::new(Location::Local { path: root.clone() }).open().unwrap();
        let name = object_store::path::Path::from("a=%2E%2E/b");
        let create = || PutOptions::from(PutMode::Create);
        block_on(async {
            store.put_opts(&name, "one".into(), create()).await.unwrap();
            let again = store.put_opts(&name, "two".into(), create()).await.unwrap_err();
            assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again}");
            let listed: Vec<_> = store.list(None).collect().await;
            assert_eq!(listed[0].as_ref().unwrap().location, name);
            store.delete(&name).await.unwrap();
        });
        assert!(root.exists() && std::fs::read_dir(root).unwrap().next().is_none());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("below");
        let error = Config::new(Location::Local { path: path.clone() }).open().unwrap_err();
        assert_eq!(error.to_string(), format!("create the folder {}", path.display()));
    }

    #[test]
    fn remote_stores_open_without_a_request() {
        for (uri, key, value) in [
            ("s3://bucket/prefix", "endpoint", "https://127.0.0.1:1"),
            ("gs://bucket/prefix", "skip_signature", "true"),
            ("az://container/prefix", "account_name", "devstoreaccount1"),
        ] {
            let options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let location = Location::Remote { uri: uri.to_owned(), options };
            let store = Config::new(location).open().unwrap();
            assert!(store.to_string().contains("prefix"), "{store}");
        }
    }

    #[test]
    fn an_option_that_no_client_knows_is_named() {
        let options = BTreeMap::from([("endpiont".to_owned(), "x".to_owned())]);
        let location = Location::Remote { uri: "s3://bucket".to_owned(), options };
        let error = Config::new(location).open().unwrap_err();
        let said = "configure the store: endpiont: unknown option; see docs";
        assert!(error.to_string().starts_with(said), "{error}");
    }

    /// URI, options, the key that is named, and what else is said.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

    #[test]
    fn what_a_client_does_not_take_is_said_of_its_key() {
        let (id, secret) = (("access_key_id", "me"), ("secret_access_key", "hunter2"));
        let account = ("account_name", "me");
        let table: &[Case<'_>] = &[
            ("s3://b", &[secret], "access_key_id", "$AWS_ACCESS_KEY_ID"),
            ("s3://b", &[id], "secret_access_key", "$AWS_SECRET_ACCESS_KEY"),
            ("s3://b", &[("allow_http", "maybe"), id, secret], "allow_http", "true or false"),
            ("s3://b", &[("timeout", "soon")], "timeout", "30s"),
            ("s3://b", &[("server_side_encryption", "rot13")], "server_side_encryption", "AES256"),
            ("gs://b", &[("service_account_path", "/not/there")], "service_account_path", "file"),
            (
                "gs://b",
                &[("google_service_account_key", "x")],
                "google_service_account_key",
                "JSON",
            ),
            (
                "gs://b",
                &[("service_account_path", "/not/there"), ("service_account_key", "{}")],
                "service_account_key",
                "one of them",
            ),
            ("az://c", &[], "account_name", "$AZURE_STORAGE_ACCOUNT_NAME"),
            ("az://c", &[account, ("account_key", "hunter2!")], "account_key", "base64"),
            ("az://c", &[account, ("sas_token", "hunter2")], "sas_token", "key=value"),
            (
                "az://c",
                &[account, ("credential_type", "guess")],
                "credential_type",
                "documentation",
            ),
        ];
        for (uri, options, key, needle) in table {
            let options =
                options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let location = Location::Remote { uri: (*uri).to_owned(), options: options.collect() };
            let error = Config::new(location).open().unwrap_err();
            let OpenError::Setting(setting) = &error else { panic!("{uri} {key}: {error:?}") };
            assert_eq!(setting.key, *key, "{error}");
            assert!(error.to_string().contains(needle), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
