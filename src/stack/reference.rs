//! `${env:X}`, `${file:/p}`, `${credential:x}` in the strings of a stack file.
//!
//! Apart because what comes out of here is secret: the rest of the stack module sees a value
//! either as it was written, which may be shown, or as this file resolved it, which may not. No
//! error here quotes what a reference resolved to.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::env::Env;
use super::problem::nearest;

/// A secret is a line, a key, a certificate: never more than this.
const MAX_FILE_BYTES: u64 = 64 << 10;

const SCHEMES: [&str; 3] = ["env", "file", "credential"];

/// Why a reference is not one, or leads nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error("\"${{\" without \"}}\"")]
    Unclosed,
    #[error("unknown kind of reference ${{{0}:…}}")]
    Scheme(String),
    #[error("reference without a name: ${{{0}:}}")]
    Empty(String),
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("the environment variable {0} is not UTF-8")]
    NotUtf8(String),
    #[error("cannot read {path}: {why}", path = path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("there is no credential {0}: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
    #[error("a credential's name is no path: {0}")]
    CredentialName(String),
}

impl ReferenceError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Unclosed | Self::Empty(_) => {
                "write ${env:NAME}, ${file:/path} or ${credential:name}; $${ stands for ${"
                    .to_owned()
            }
            Self::Scheme(scheme) => match nearest(scheme, SCHEMES) {
                Some(known) => format!("did you mean ${{{known}:…}}?"),
                None => "the kinds are: env, file, credential; $${ stands for ${".to_owned(),
            },
            Self::NotSet(name) | Self::NotUtf8(name) => {
                format!("set {name} where steplog runs, or name another source")
            }
            Self::Unreadable { .. } => {
                "the file must be readable by the user that steplog runs as".to_owned()
            }
            Self::NoCredentials(name) | Self::CredentialName(name) => {
                format!("add LoadCredential={name}:/path to the systemd unit")
            }
        }
    }
}

/// A string with its references resolved.
pub(crate) struct Resolved {
    pub(crate) text: String,
    /// What the references stood for, one by one.
    pub(crate) secrets: Vec<String>,
}

/// Where references lead.
pub(crate) enum Sources<'a> {
    /// To the world.
    World {
        env: &'a Env,
        /// Of the stack file; relative paths start here.
        folder: &'a Path,
    },
    /// Nowhere: the value is not needed. Only the form is looked at.
    Unread,
}

/// Resolves every reference in `written`. `None`: it has some and the sources are unread.
pub(crate) fn resolve(
    written: &str,
    sources: &Sources<'_>,
) -> Result<Option<Resolved>, ReferenceError> {
    let mut resolved = Resolved { text: String::with_capacity(written.len()), secrets: Vec::new() };
    let mut unread = false;
    let mut rest = written;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        resolved.text.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            resolved.text.push_str("${");
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let (reference, after) = after.split_once('}').ok_or(ReferenceError::Unclosed)?;
            let (scheme, name) = reference.split_once(':').unwrap_or((reference, ""));
            if !SCHEMES.contains(&scheme) {
                return Err(ReferenceError::Scheme(scheme.to_owned()));
            }
            if name.is_empty() {
                return Err(ReferenceError::Empty(scheme.to_owned()));
            }
            match sources {
                Sources::World { env, folder } => {
                    let secret = look_up(scheme, name, env, folder)?;
                    resolved.text.push_str(&secret);
                    resolved.secrets.push(secret);
                }
                Sources::Unread => unread = true,
            }
            rest = after;
        } else {
            resolved.text.push('$');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    resolved.text.push_str(rest);
    Ok((!unread).then_some(resolved))
}

/// Whether a string has a reference in it.
pub(crate) fn has_reference(written: &str) -> bool {
    written.replace("$${", "").contains("${")
}

fn look_up(scheme: &str, name: &str, env: &Env, folder: &Path) -> Result<String, ReferenceError> {
    match scheme {
        "env" => {
            let value = env.get(name).ok_or_else(|| ReferenceError::NotSet(name.to_owned()))?;
            let value = value.to_str().ok_or_else(|| ReferenceError::NotUtf8(name.to_owned()))?;
            Ok(value.to_owned())
        }
        "file" => read(&env.path(name, folder)),
        _ => {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(ReferenceError::CredentialName(name.to_owned()));
            }
            let folder = env
                .get("CREDENTIALS_DIRECTORY")
                .ok_or_else(|| ReferenceError::NoCredentials(name.to_owned()))?;
            read(&Path::new(folder).join(name))
        }
    }
}

/// A file's text without the line end that editors and `echo` put behind it.
fn read(path: &Path) -> Result<String, ReferenceError> {
    let unreadable = |why: String| ReferenceError::Unreadable { path: path.to_owned(), why };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(plain(&error)))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(plain(&error)))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable("it is larger than 64 KiB".to_owned()));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    Ok(text)
}

/// What the system said, without the number that std puts behind it.
pub(super) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Result<&str, &str>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "from file\r\n").unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        std::fs::write(dir.path().join("large"), vec![b'x'; 70_000]).unwrap();
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        let env = Env::given(
            0,
            [("X", "from env"), ("E", ""), ("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())],
        );
        let sources = Sources::World { env: &env, folder: dir.path() };
        let actual = resolve(written, &sources)
            .map(|resolved| resolved.unwrap().text)
            .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"));
        assert_eq!(actual.as_deref().map_err(String::as_str), expected, "{written}");
    }

    #[test]
    fn references() {
        check("", Ok(""));
        check("plain $5 $", Ok("plain $5 $"));
        check("${env:X}", Ok("from env"));
        check("a ${env:X}, ${file:key}!", Ok("a from env, from file!"));
        check("${credential:key}", Ok("from file"));
        check("$${env:X} $$ ${env:X}", Ok("${env:X} $$ from env"));
        check("^a{2}$", Ok("^a{2}$"));
        check("${env:X", Err("\"${\" without \"}\""));
        check("${env:}", Err("reference without a name: ${env:}"));
        check("${X}", Err("unknown kind of reference ${X:…}"));
        check("${evn:X}", Err("unknown kind of reference ${evn:…}"));
        check("${env:Y}", Err("the environment variable Y is not set"));
        check("${env:E}", Err("the environment variable E is not set"));
        check("${file:no}", Err("cannot read DIR/no: there is no such file"));
        check("${file:empty}", Err("cannot read DIR/empty: it is empty"));
        check("${file:large}", Err("cannot read DIR/large: it is larger than 64 KiB"));
        check("${file:binary}", Err("cannot read DIR/binary: it is not UTF-8"));
        check("${file:.}", Err("cannot read DIR/.: it is a folder"));
        check("${credential:../key}", Err("a credential's name is no path: ../key"));
    }

    #[test]
    fn without_systemd_there_are_no_credentials() {
        let env = Env::given(0, []);
        let sources = Sources::World { env: &env, folder: Path::new("/") };
        let error = resolve("${credential:dd}", &sources).err().unwrap();
        assert_eq!(error, ReferenceError::NoCredentials("dd".to_owned()));
        assert_eq!(error.help(), "add LoadCredential=dd:/path to the systemd unit");
    }

    #[test]
    fn unread_sources_still_check_the_form() {
        assert!(resolve("plain", &Sources::Unread).unwrap().is_some());
        assert!(resolve("${env:NOT_SET}", &Sources::Unread).unwrap().is_none());
        assert!(resolve("${evn:X}", &Sources::Unread).is_err());
        assert!(has_reference("a ${env:X}") && !has_reference("$${env:X}"));
    }
}
