//! Writing a stack file: whole or not at all, and never over another by accident.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who may do what with a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    /// Permissions, exactly.
    pub(super) mode: u32,
    /// User and group; none: whoever writes it.
    pub(super) owner: Option<(u32, u32)>,
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Whether a file that is there already may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// No: that is an error.
    Keep,
    /// Yes.
    Replace,
}

/// Why a stack file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is one, and it was to be kept.
    #[error("{path} exists", path = .0.display())]
    Exists(PathBuf),
    /// What the system said.
    #[error("write {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `text` to `path` with exactly this access; makes the folders above it.
pub(super) fn write(
    path: &Path,
    text: &str,
    access: Access,
    existing: Existing,
) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}.{number}", std::process::id()));
    let temporary = folder.join(name);
    let published = fill(&temporary, text, access).and_then(|()| match existing {
        Existing::Replace => fs::rename(&temporary, path),
        // A link, unlike a rename, fails where there is a file.
        Existing::Keep => fs::hard_link(&temporary, path),
    });
    // After a rename there is nothing to remove; what else could fail here does no harm.
    drop(fs::remove_file(&temporary));
    match published {
        Ok(()) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(WriteError::Exists(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn fill(path: &Path, text: &str, access: Access) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some((user, group)) = access.owner {
        let metadata = file.metadata()?;
        if (metadata.uid(), metadata.gid()) != (user, group) {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
    }
    // After the owner: changing that may take permissions away.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(access.mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_kept_unless_it_may_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/stack.toml");
        let access = |mode| Access { mode, owner: None };
        write(&path, "one", access(0o644), Existing::Keep).unwrap();
        let error = write(&path, "two", access(0o600), Existing::Keep).unwrap_err();
        assert!(matches!(error, WriteError::Exists(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "two", access(0o600), Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing left over");
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let path = dir.path().join("file/stack.toml");
        let error =
            write(&path, "", Access { mode: 0o644, owner: None }, Existing::Keep).unwrap_err();
        assert_eq!(error.to_string(), format!("write {}", path.display()));
    }
}
