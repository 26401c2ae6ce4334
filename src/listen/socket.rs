//! A socket that listens: made here, or given by a service manager.
//!
//! Apart from serving, as a socket outlives the servers that use it one after the other: nobody is
//! refused while they change.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockaddrLike as _, SockaddrStorage, getsockname, listen,
};

use super::Address;
use crate::capture::additions::reachable;

/// A socket that listens.
#[derive(Debug)]
pub enum Socket {
    /// On an address.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

impl Socket {
    /// Listens there. `mode`: who may connect to a Unix socket, which is who may write to it.
    pub fn bind(address: &Address, mode: u32) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                wait_in_line(&listener)?;
                Ok(Self::Tcp(listener))
            }
            Address::Unix(path) => bind_unix(path, mode).map(Self::Unix),
        }
    }

    /// A socket that somebody else has made; none if it is another kind of thing.
    pub fn inherit(descriptor: OwnedFd) -> Option<Self> {
        let address = getsockname::<SockaddrStorage>(descriptor.as_raw_fd()).ok()?;
        match address.family()? {
            AddressFamily::Inet | AddressFamily::Inet6 => Some(Self::Tcp(descriptor.into())),
            AddressFamily::Unix => Some(Self::Unix(descriptor.into())),
            _ => None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Self::Unix(listener) => {
                Some(Address::Unix(listener.local_addr().ok()?.as_pathname()?.to_owned()))
            }
        }
    }

    /// The same socket once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

/// Listens at a path; a socket that nobody listens at any more is replaced.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
        match reachable(folder, name, |path| UnixStream::connect(path)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
            }
            Err(error) => return Err(error),
        }
    }
    let listener = reachable(folder, name, |path| UnixListener::bind(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    wait_in_line(&listener)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Clients that come all at once wait to be taken, as many as the system lets; the standard library has
/// 128 wait, and the others see their connection reset.
fn wait_in_line(listener: &impl AsFd) -> io::Result<()> {
    listen(listener, Backlog::MAXCONN)?;
    Ok(())
}
