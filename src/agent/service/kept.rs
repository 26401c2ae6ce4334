//! Descriptors that outlive the agent: systemd keeps them while no agent runs (`FDSTORE=1`,
//! sd_pid_notify_with_fds(3)), and a reload hands them from an input to the one that takes its place.
//!
//! | name | what | what would happen without it |
//! |---|---|---|
//! | `fifo-DEV-INODE` | a FIFO | who writes to it gets SIGPIPE |
//! | `listener-DEV-INODE-INPUT` | a socket that listens | who connects meanwhile is refused |
//! | `connection-DEV-INODE-INPUT` | a connection | who writes to it gets SIGPIPE |
//! | the same once more | a memfd with whose lines the connection has | its first line has been read, and cannot be read again |
//!
//! Device and inode are those of the descriptor itself, so that every agent finds the same name for it.
//! A FIFO is opened by its path as always, and has what was written meanwhile: what is kept only has to
//! stay open until then. Sockets are taken over.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{UnixAddr, getsockname, getsockopt, sockopt};

use crate::agent::Metadata;

/// The most that is read of a memfd: what is written is a few hundred bytes.
const MAX_METADATA: u64 = 256 << 10;

const FIFO: &str = "fifo";
const LISTENER: &str = "listener";
const CONNECTION: &str = "connection";

/// Where sockets are bound whose path is too long for an address.
const INDIRECT: &str = "/proc/self/fd";

/// What is kept, by its name without the input.
#[derive(Debug, Default)]
pub(super) struct Kept(HashMap<String, Held>);

/// Something that is kept.
#[derive(Debug, Default)]
struct Held {
    /// The input's name, of sockets.
    input: Option<String>,
    /// Open here, for an input to take over; none once one has.
    descriptor: Option<OwnedFd>,
    /// Whose lines a connection has, if that is known already and nobody has taken it over.
    metadata: Option<Metadata>,
}

/// A connection that an earlier agent, or an input before, had.
#[derive(Debug)]
pub(in crate::agent) struct Taken {
    pub(in crate::agent) connection: OwnedFd,
    /// Whose lines it has, if its first line has been read.
    pub(in crate::agent) metadata: Option<Metadata>,
}

impl Kept {
    /// Takes a descriptor that the service manager gives, if it is one that an agent has had kept; else
    /// returns it.
    pub(super) fn give(&mut self, name: &str, descriptor: OwnedFd) -> Option<OwnedFd> {
        let mut parts = name.splitn(4, '-');
        let key: Vec<&str> = parts.by_ref().take(3).collect();
        let key = key.join("-");
        let kind = key_of(&descriptor);
        let is_socket = kind.as_deref().is_some_and(|kind| !kind.starts_with(FIFO));
        if kind.as_ref() != Some(&key) && !(kind.is_none() && key.starts_with(CONNECTION)) {
            // A FIFO of another name is nobody's: what is not kept here is a socket of a unit.
            return is_socket.then_some(descriptor);
        }
        let held = self.0.entry(key).or_default();
        held.input = parts.next().map(str::to_owned);
        match kind {
            Some(_) => held.descriptor = Some(descriptor),
            None => held.metadata = read(descriptor).ok(),
        }
        None
    }

    /// What this descriptor is to be called, if it is not kept yet. One that is needs no second of itself.
    pub(super) fn enter(&mut self, descriptor: &impl AsFd, input: &str) -> Option<String> {
        let key = key_of(descriptor)?;
        let input = (!key.starts_with(FIFO)).then(|| input.to_owned());
        let held = Held { input, ..Held::default() };
        match self.0.entry(key) {
            Entry::Occupied(mut there) => {
                there.get_mut().descriptor = None;
                None
            }
            Entry::Vacant(there) => {
                let name = name(there.key(), &held);
                there.insert(held);
                Some(name)
            }
        }
    }

    /// What this descriptor is called, if it is kept.
    pub(super) fn name(&self, descriptor: &impl AsFd) -> Option<String> {
        let (key, held) = self.0.get_key_value(&key_of(descriptor)?)?;
        Some(name(key, held))
    }

    /// It is not needed any more. Says what it was called, if it was kept.
    pub(super) fn remove(&mut self, descriptor: &impl AsFd) -> Option<String> {
        let (key, held) = self.0.remove_entry(&key_of(descriptor)?)?;
        Some(name(&key, &held))
    }

    /// An input gives back what it has, for the one that takes its place.
    pub(super) fn put(&mut self, input: &str, descriptor: OwnedFd, metadata: Option<Metadata>) {
        let Some(key) = key_of(&descriptor) else { return };
        let of = (!key.starts_with(FIFO)).then(|| input.to_owned());
        let held = self.0.entry(key).or_insert_with(|| Held { input: of, ..Held::default() });
        held.descriptor = Some(descriptor);
        held.metadata = metadata;
    }

    /// The socket that listens at this path.
    pub(super) fn listener(&mut self, input: &str, path: &Path) -> Option<UnixListener> {
        // Nobody would find it if its path were gone, or another thing by now.
        fs::symlink_metadata(path).ok().filter(|there| there.file_type().is_socket())?;
        let taken = self.take(LISTENER, |held, bound| {
            bound == path || bound.starts_with(INDIRECT) && held.input.as_deref() == Some(input)
        });
        taken.map(|taken| taken.connection.into())
    }

    /// One of the connections of this input.
    pub(super) fn connection(&mut self, input: &str, path: &Path) -> Option<Taken> {
        self.take(CONNECTION, |held, bound| held.input.as_deref() == Some(input) || bound == path)
    }

    fn take(&mut self, kind: &str, is_it: impl Fn(&Held, &Path) -> bool) -> Option<Taken> {
        let held = self.0.iter_mut().filter(|(key, _)| key.starts_with(kind)).map(|(_, held)| held);
        let found = |held: &&mut Held| {
            let bound = held.descriptor.as_ref().map(|socket| bound(socket).unwrap_or_default());
            bound.is_some_and(|bound| is_it(held, &bound))
        };
        let held = held.into_iter().find(found)?;
        Some(Taken { connection: held.descriptor.take()?, metadata: held.metadata.take() })
    }

    /// What no input has taken, with what it is called.
    pub(super) fn left(&mut self) -> Vec<(String, Option<OwnedFd>)> {
        let is_left =
            |_: &String, held: &mut Held| held.descriptor.is_some() || held.metadata.is_some();
        let left = self.0.extract_if(is_left);
        left.map(|(key, held)| (name(&key, &held), held.descriptor)).collect()
    }
}

/// What it is called in the store.
fn name(key: &str, held: &Held) -> String {
    held.input.as_ref().map_or_else(|| key.to_owned(), |input| format!("{key}-{input}"))
}

/// Its name without the input; `None` if it is nothing that is kept.
fn key_of(descriptor: &impl AsFd) -> Option<String> {
    let metadata = File::from(descriptor.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_fifo() => FIFO,
        kind if kind.is_socket() => {
            let listens = getsockopt(&descriptor.as_fd(), sockopt::AcceptConn).ok()?;
            if listens { LISTENER } else { CONNECTION }
        }
        _ => return None,
    };
    Some(format!("{kind}-{:x}-{:x}", metadata.dev(), metadata.ino()))
}

/// The path that this listens at, if it listens.
pub(in crate::agent) fn listens_at(descriptor: &OwnedFd) -> Option<PathBuf> {
    let listens = getsockopt(descriptor, sockopt::AcceptConn).is_ok_and(|listens| listens);
    listens.then(|| bound(descriptor)).flatten()
}

/// The path that a Unix socket is bound to.
fn bound(socket: &OwnedFd) -> Option<PathBuf> {
    getsockname::<UnixAddr>(socket.as_raw_fd()).ok()?.path().map(Path::to_owned)
}

/// Bytes that are in a FIFO or connection and have not been read.
pub(in crate::agent) fn unread(descriptor: &OwnedFd) -> u64 {
    nix::ioctl_read_bad!(fionread, nix::libc::FIONREAD, nix::libc::c_int);
    let mut count = 0;
    // SAFETY: the call writes one integer to where `count` is.
    let asked = unsafe { fionread(descriptor.as_raw_fd(), &raw mut count) };
    asked.map_or(0, |_| u64::try_from(count).unwrap_or(0))
}

/// Whose lines, as something that can be kept.
pub(super) fn write(metadata: &Metadata) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"steplog", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(metadata)?)?;
    Ok(file.into())
}

fn read(descriptor: OwnedFd) -> io::Result<Metadata> {
    let mut file = File::from(descriptor);
    file.rewind()?;
    let mut text = Vec::new();
    file.take(MAX_METADATA).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
