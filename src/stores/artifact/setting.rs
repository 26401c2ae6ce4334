//! What a client's complaint about its options means: which key of the stack file, and what to do.
//!
//! Apart because the clients of `object_store` name their own fields or nothing at all: "Account must be
//! specified", "failed to parse "maybe" as boolean". What they miss is known here by name. Which value they
//! do not take is found by leaving out one option after the other; making a client asks nothing of a
//! store. Shows no value: it may be a secret.

use std::fmt;

use super::open::{OpenError, Service};

/// What is wrong with one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As in the stack file.
    pub key: String,
    /// What is wrong.
    pub what: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.key, self.what, self.help)
    }
}

/// What a client says, the key that it means, what is wrong with it, and what to do.
type Row = (&'static str, &'static str, &'static str, &'static str);

const NOT_SET: &str = "it is not set";

const S3: &[Row] = &[
    (
        "Missing AccessKeyId",
        "access_key_id",
        "it is not set, and secret_access_key is",
        "set it here or as $AWS_ACCESS_KEY_ID, or neither of them",
    ),
    (
        "Missing SecretAccessKey",
        "secret_access_key",
        "it is not set, and access_key_id is",
        "set it here or as $AWS_SECRET_ACCESS_KEY, or neither of them",
    ),
];
const AZURE: &[Row] = &[(
    "Account must be specified",
    "account_name",
    NOT_SET,
    "set it here or as $AZURE_STORAGE_ACCOUNT_NAME",
)];
const GCS: &[Row] = &[(
    "One of service account path or service account key may be provided",
    "service_account_key",
    "it is set, and so is service_account_path",
    "set one of them, here or as $GOOGLE_…",
)];

/// What values of an option look like, for those where people go wrong.
const EXPECTED: &[(&str, &str)] = &[
    ("account_key", "expected base64, as the portal shows it"),
    ("access_key", "expected base64, as the portal shows it"),
    ("master_key", "expected base64, as the portal shows it"),
    ("sas_token", "expected \"key=value&key=value\", without an address before it"),
    ("sas_key", "expected \"key=value&key=value\", without an address before it"),
    ("server_side_encryption", "expected AES256, sse:kms, sse:kms:dsse or sse-c"),
    ("service_account_key", "expected the JSON text of a service account's key"),
    ("service_account_path", "expected a readable file, a service account's key in JSON"),
    ("service_account", "expected a readable file, a service account's key in JSON"),
    ("application_credentials", "expected a readable file with credentials in JSON"),
    ("timeout", "expected a duration such as \"30s\""),
    ("connect_timeout", "expected a duration such as \"5s\""),
    ("allow_http", "expected true or false"),
    ("allow_invalid_certificates", "expected true or false"),
    ("skip_signature", "expected true or false"),
];

/// Makes sense of what the client said of these options. `takes` tries others.
pub(super) fn explain(
    service: Service,
    options: &[(&str, &str)],
    error: object_store::Error,
    takes: impl Fn(&[(&str, &str)]) -> bool,
) -> OpenError {
    let said = error.to_string();
    let known = match service {
        Service::S3 => S3,
        Service::Gcs => GCS,
        Service::Azure => AZURE,
    };
    if let Some((_, key, what, help)) = known.iter().find(|(text, ..)| said.contains(text)) {
        return OpenError::Setting(Setting { key: (*key).to_owned(), what, help });
    }
    let at_fault = (0..options.len()).find(|at| {
        let mut others = options.to_vec();
        others.remove(*at);
        takes(&others)
    });
    let Some((key, _)) = at_fault.and_then(|at| options.get(at)) else {
        return OpenError::Client(error);
    };
    let own = ["aws_", "google_", "azure_storage_", "azure_"];
    let short = own.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
    let help = EXPECTED.iter().find(|(name, _)| *name == short).map_or(
        "see what its documentation says of it, and that a file it names can be read",
        |(_, expected)| expected,
    );
    OpenError::Setting(Setting { key: (*key).to_owned(), what: "its value is not usable", help })
}
