//! Opening a file for reading without being led elsewhere.
//!
//! A folder that steps write into is a folder that a hostile step may put links into: to a file that only we
//! may read, or in place of one that we have just looked at. So the kernel is asked to resolve the
//! path below a root and no further (openat2(2)), which leaves no moment between look and open. Apart
//! because it is about that one danger.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

/// A FIFO would keep us waiting without NONBLOCK, a terminal would become ours without NOCTTY.
const READ: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Opens a regular file; with a root, only if no link leads out of it.
pub(super) fn open_file(path: &Path, root: Option<&Path>) -> io::Result<File> {
    let file = match root {
        None => File::from(open(path, READ, Mode::empty())?),
        Some(root) => File::from(open_below(path, root)?),
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

fn open_below(path: &Path, root: &Path) -> io::Result<OwnedFd> {
    let Ok(relative) = path.strip_prefix(root) else { return Err(outside()) };
    let folder = open(root, FOLDER, Mode::empty())?;
    let how = OpenHow::new()
        .flags(READ)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&folder, relative, how) {
        Ok(file) => Ok(file),
        Err(Errno::EXDEV) => Err(outside()),
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => open_without_links(relative, folder),
        Err(error) => Err(error.into()),
    }
}

/// Where openat2(2) is missing: step by step, and no link at all.
fn open_without_links(relative: &Path, mut folder: OwnedFd) -> io::Result<OwnedFd> {
    let mut components = relative.components().peekable();
    while let Some(component) = components.next() {
        let Component::Normal(name) = component else { return Err(outside()) };
        let flags = if components.peek().is_some() { FOLDER } else { READ } | OFlag::O_NOFOLLOW;
        match openat(folder.as_fd(), name, flags, Mode::empty()) {
            Ok(next) => folder = next,
            Err(Errno::ELOOP | Errno::ENOTDIR) => return Err(outside()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(folder)
}

fn outside() -> io::Error {
    io::Error::new(
        ErrorKind::PermissionDenied,
        "a link leads out of the folder in which the input's path begins, and is not followed",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("deep")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("deep/x.log"), "x").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("deep/x.log", root.join("in")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), Mode::S_IRWXU).unwrap();

        for (path, beneath, without_links) in [
            ("deep/x.log", true, true),
            ("in", true, false),
            ("out", false, false),
            ("up/secret", false, false),
            ("../secret", false, false),
            ("fifo", false, true),
        ] {
            assert_eq!(open_file(&root.join(path), Some(&root)).is_ok(), beneath, "{path}");
            let folder = open(&root, FOLDER, Mode::empty()).unwrap();
            let opened = open_without_links(Path::new(path), folder);
            assert_eq!(opened.is_ok(), without_links, "{path}");
        }
        assert!(open_file(&root.join("out"), None).is_ok());
        assert!(open_file(&root.join("fifo"), None).is_err());
        assert!(open_file(dir.path().join("secret").as_path(), Some(&root)).is_err());
        let missing = open_file(&root.join("missing"), Some(&root)).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
