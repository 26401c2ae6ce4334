//! What is masked when the stack file says nothing.
//!
//! Apart so that the lists can be read, and copied into a stack file, at a glance. Nothing here
//! decides whether a value is fit to be masked; see [`super::secrets_from_env`].

/// Environment variables whose values are secret.
pub const DEFAULT_ENV: &[&str] = &[
    "*TOKEN",
    "*PASSWORD",
    "*PASSWD",
    "*PASSPHRASE",
    "*_PWD",
    "*SECRET",
    "*_SECRET_*KEY",
    "*API_KEY",
    "*APIKEY",
    "*_APP_KEY",
    "*SECRET_KEY",
    "*_ACCESS_KEY",
    "*_ACCOUNT_KEY",
    "*PRIVATE_KEY",
    "*_ENCRYPTION_KEY",
    "*_SIGNING_KEY",
    "*_AUTH_KEY",
    "*_CONNECTION_STRING",
];

/// Secrets that are known by their looks: each begins with letters that its issuer chose so that
/// it is found, so ordinary text does not match and the search stays fast.
pub const DEFAULT_PATTERNS: &[&str] = &[
    // AWS access key ids.
    r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    // GitHub: personal, OAuth, user, server, refresh; fine-grained.
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    // GitLab.
    r"\bglpat-[A-Za-z0-9_-]{20,}",
    // Slack.
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    // Hugging Face, Anthropic, OpenAI.
    r"\bhf_[A-Za-z]{34,}",
    r"\bsk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}",
    // Google.
    r"\bAIza[A-Za-z0-9_-]{35}",
    // A private key on one line, as in JSON. (By lines, only a key known as a value is found.)
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----(?:\\+[nr]|[A-Za-z0-9+/= ])+",
];

/// What each match of [`DEFAULT_PATTERNS`] begins with; a test holds it to them.
pub(super) const DEFAULT_STARTS: &[&str] = &[
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxo-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "hf_",
    "sk-ant-",
    "sk-proj-",
    "sk-svcacct-",
    "AIza",
    "-----BEGIN ",
];
