//! Which environment variables hold secrets.

/// Names of variables whose values are secret if nothing else is configured.
///
/// Endings that people and services use for secrets and for nothing else; `*_KEY` alone would take
/// in cache keys and sort keys.
pub const DEFAULT_ENV: [&str; 33] = [
    "TOKEN",
    "*_TOKEN",
    "PASSWORD",
    "*_PASSWORD",
    "*_PASSWD",
    "*_PASSPHRASE",
    "PGPASSWORD",
    "MYSQL_PWD",
    "SECRET",
    "*_SECRET",
    "*_SECRET_VALUE",
    "*_SECRET_ID",
    "SECRET_KEY",
    "*_SECRET_KEY",
    "SECRET_KEY_BASE",
    "API_KEY",
    "*_API_KEY",
    "*_APIKEY",
    "*_APP_KEY",
    "*_APPLICATION_KEY",
    "*_ACCESS_KEY",
    "*_ACCOUNT_KEY",
    "*_STORAGE_KEY",
    "*_PRIVATE_KEY",
    "*_SSH_KEY",
    "*_DEPLOY_KEY",
    "*_ENCRYPTION_KEY",
    "*_SIGNING_KEY",
    "*_CREDENTIALS",
    "*_CONNECTION_STRING",
    "*_PAT",
    "*_JWT",
    "*_WEBHOOK_URL",
];

/// The secret values among `env`: of the variables whose names match one of `globs` (in any case),
/// and the password in any URL (`postgres://user:password@host/`).
///
/// Left out are values that are too short to mask and those that such variables hold when they
/// hold no secret: a path (`GOOGLE_APPLICATION_CREDENTIALS`), a switch.
pub fn secrets_from_env<Name: AsRef<[u8]>, Value: AsRef<[u8]>>(
    globs: &[String],
    env: impl IntoIterator<Item = (Name, Value)>,
) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for (name, value) in env {
        let value = value.as_ref();
        if let Some(password) = url_password(value) {
            secrets.push(password.to_vec());
            // Programs print what they decode.
            let decoded = percent_decoded(password);
            if decoded != password {
                secrets.push(decoded);
            }
        } else if globs.iter().any(|glob| matches(glob.as_bytes(), name.as_ref()))
            && !is_path(value)
            && !is_switch(value)
        {
            secrets.push(value.to_vec());
        }
    }
    secrets.retain(|secret| secret.len() >= super::MINIMUM_LENGTH);
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

/// Whether `name` is one of those that `glob` stands for.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let mut parts = glob.split(|byte| *byte == b'*');
    let starts = |text: &[u8], part: &[u8]| {
        text.get(..part.len()).is_some_and(|head| head.eq_ignore_ascii_case(part))
    };
    let first = parts.next().unwrap_or_default();
    if !starts(name, first) {
        return false;
    }
    let mut rest = name.get(first.len()..).unwrap_or_default();
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // Each part at the first place it fits leaves the most for those after it.
    for part in parts {
        let Some(at) =
            (0..=rest.len()).find(|at| starts(rest.get(*at..).unwrap_or_default(), part))
        else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    let tail = rest.len().checked_sub(last.len()).and_then(|at| rest.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(last))
}

/// `scheme://user:PASSWORD@host…`
fn url_password(value: &[u8]) -> Option<&[u8]> {
    let scheme = memchr::memmem::find(value, b"://")?;
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme == 0 || !value.get(..scheme)?.iter().all(is_scheme) {
        return None;
    }
    let rest = value.get(scheme + 3..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let at = memchr::memrchr(b'@', authority)?;
    let user = authority.get(..at)?;
    let colon = memchr::memchr(b':', user)?;
    user.get(colon + 1..).filter(|password| password.len() >= super::MINIMUM_LENGTH)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| (*byte as char).to_digit(16));
        if *first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            out.push((high * 16 + low) as u8);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// A path below a directory that every system has. A slash alone proves nothing: base64 has it.
fn is_path(value: &[u8]) -> bool {
    const ROOTS: [&[u8]; 14] = [
        b"/etc/",
        b"/run/",
        b"/var/",
        b"/home/",
        b"/root/",
        b"/tmp/",
        b"/usr/",
        b"/opt/",
        b"/mnt/",
        b"/srv/",
        b"/proc/",
        b"/dev/",
        b"/secrets/",
        b"/workspace/",
    ];
    ROOTS.iter().any(|root| value.starts_with(root)) && value.iter().all(u8::is_ascii_graphic)
}

fn is_switch(value: &[u8]) -> bool {
    let words: [&[u8]; 5] = [b"enabled", b"disabled", b"required", b"optional", b"default"];
    words.iter().any(|word| word.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(env: &[(&str, &str)]) -> Vec<String> {
        let globs: Vec<String> = DEFAULT_ENV.iter().map(|glob| (*glob).to_owned()).collect();
        secrets_from_env(&globs, env.iter().copied())
            .into_iter()
            .map(|secret| String::from_utf8(secret).unwrap())
            .collect()
    }

    #[test]
    fn globs() {
        let table = [
            ("*_TOKEN", "GITHUB_TOKEN", true),
            ("*_TOKEN", "github_token", true),
            ("*_TOKEN", "_TOKEN", true),
            ("*_TOKEN", "TOKEN", false),
            ("*_TOKEN", "MAX_TOKENS", false),
            ("TOKEN", "TOKEN", true),
            ("TOKEN", "TOKENS", false),
            ("CI_*_KEY", "CI_DEPLOY_KEY", true),
            ("CI_*_KEY", "CI_KEY", false),
            ("*SECRET*", "MY_SECRET_THING", true),
            ("*", "ANYTHING", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXc", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "A", false),
        ];
        for (glob, name, expected) in table {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expected, "{glob} {name}");
        }
    }

    #[test]
    fn secrets_are_told_from_settings() {
        let env = [
            ("GITHUB_TOKEN", "ghs_abcdef"),
            ("AWS_SECRET_ACCESS_KEY", "/wJalrXUtnFEMI/K7MDENG"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/run/secrets/google.json"),
            ("USE_TOKEN", "true"),
            ("NO_PASSWORD", "disabled"),
            ("DB_PASSWORD", "short"),
            ("MAX_TOKENS", "1000000"),
            ("PATH", "/usr/bin:/bin"),
            ("DATABASE_URL", "postgres://app:p%40ssw0rd@db:5432/app?sslmode=off"),
            ("PIP_INDEX_URL", "https://user:tok3n-abc@pypi.example/simple"),
            ("HTTP_PROXY", "http://proxy.example:3128"),
            ("HOMEPAGE", "https://example.com/a:bcdefghi@x"),
        ];
        let expected =
            ["/wJalrXUtnFEMI/K7MDENG", "ghs_abcdef", "p%40ssw0rd", "p@ssw0rd", "tok3n-abc"];
        assert_eq!(found(&env), expected);
    }
}
