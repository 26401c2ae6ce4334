//! Secret values from the environment and from text.
//!
//! Apart because it judges: a variable's name only suggests that its value is secret. It reads
//! nothing itself; the caller hands in the environment and the text.

use super::MIN_SECRET;
use crate::glob;

/// Values that are settings, whatever the name of their variable: masking them would hide
/// ordinary words.
const WORDS: &[&str] = &[
    "always",
    "changeme",
    "default",
    "disabled",
    "enabled",
    "optional",
    "password",
    "required",
    "secret",
    "undefined",
];

/// The values of the variables whose names match one of the globs (`*` is any run of characters,
/// case does not matter). Left out are values that are
/// - shorter than [`MIN_SECRET`] bytes, as flags and small numbers are;
/// - one of a few words, as `disabled`;
/// - a path: begins with `/`, `./`, `../` or `~/`, all in small letters, digits and `._-/`
///   (a random value in base64 has capitals).
pub fn secrets_from_env(
    globs: &[String],
    env: impl Iterator<Item = (String, String)>,
) -> Vec<Vec<u8>> {
    env.filter(|(name, value)| {
        globs.iter().any(|glob| glob::matches(glob, name, u8::eq_ignore_ascii_case))
            && is_secret(value)
    })
    .map(|(_, value)| value.into_bytes())
    .collect()
}

/// The lines of a file of secrets, one value a line; empty lines and those too short are left out.
pub fn secrets_from_text(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.len() >= MIN_SECRET)
        .map(<[u8]>::to_vec)
        .collect()
}

fn is_secret(value: &str) -> bool {
    let value = value.trim();
    value.len() >= MIN_SECRET
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
        && !is_path(value)
}

fn is_path(value: &str) -> bool {
    ["/", "./", "../", "~/"].iter().any(|start| value.starts_with(start))
        && value.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/~".contains(&byte)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Settings;

    fn from_env(name: &str, value: &str) -> Vec<String> {
        secrets_from_env(
            &Settings::default().env,
            [(name.to_owned(), value.to_owned())].into_iter(),
        )
        .into_iter()
        .map(|value| String::from_utf8(value).unwrap())
        .collect()
    }

    #[test]
    fn names_that_are_secret() {
        for (name, want) in [
            ("HF_TOKEN", true),
            ("TOKEN", true),
            ("npm_config_authToken", true),
            ("PGPASSWORD", true),
            ("MYSQL_PWD", true),
            ("PWD", false),
            ("OLDPWD", false),
            ("AWS_SECRET_ACCESS_KEY", true),
            ("AWS_ACCESS_KEY_ID", false),
            ("DD_API_KEY", true),
            ("DD_APP_KEY", true),
            ("DJANGO_SECRET_KEY", true),
            ("SSH_PRIVATE_KEY", true),
            ("AZURE_STORAGE_CONNECTION_STRING", true),
            ("PRIMARY_KEY", false),
            ("TOKENIZERS_PARALLELISM", false),
            ("DB_PASSWORD_FILE", false),
        ] {
            assert_eq!(!from_env(name, "aB3$dE6&").is_empty(), want, "{name}");
        }
    }

    #[test]
    fn values_that_are_secret() {
        for (value, want) in [
            ("true", false),
            ("12345", false),
            ("  abc   ", false),
            ("123456", true),
            ("Disabled", false),
            ("/run/secrets/db-password", false),
            ("./token.txt", false),
            ("/aB3dE6/x", true),
            ("hunter22", true),
        ] {
            assert_eq!(!from_env("X_TOKEN", value).is_empty(), want, "{value}");
        }
    }

    #[test]
    fn globs() {
        for (glob, name, want) in [
            ("", "", true),
            ("*", "", true),
            ("A", "a", true),
            ("A", "AB", false),
            ("*_X", "A_X_X", true),
            ("*_X", "A_X_Y", false),
            ("A*B*C", "AxxBxBxC", true),
            ("A*B*C", "AxxBxBx", false),
            ("**A", "A", true),
        ] {
            assert_eq!(glob::matches(glob, name, u8::eq_ignore_ascii_case), want, "{glob} {name}");
        }
    }

    #[test]
    fn lines_of_a_file() {
        let lines = secrets_from_text(b"first-one\r\n\n12345\n  second-one\nthird-one");
        assert_eq!(lines, [&b"first-one"[..], b"second-one", b"third-one"]);
    }
}
