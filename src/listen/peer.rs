//! Who has connected: over the network an address, over a Unix socket a process, by the kernel's word.
//!
//! Apart because control socket, socket inputs and servers all ask.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;

/// Who has connected. A server's requests have it among their extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Network(SocketAddr),
    /// Over a Unix socket.
    Process {
        /// The process that has connected; it may have ended, and may have handed the connection on.
        pid: i32,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Peer {
    /// At the other end of a Unix socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let found = getsockopt(socket, PeerCredentials)?;
        Ok(Self::Process { pid: found.pid(), uid: found.uid(), gid: found.gid() })
    }

    /// Whether it is this process's user, or root.
    pub fn is_own_or_root(self) -> bool {
        let Self::Process { uid, .. } = self else { return false };
        uid == 0 || uid == geteuid().as_raw()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        let Peer::Process { pid, .. } = peer else { panic!("{peer:?}") };
        assert_eq!(pid, std::process::id() as i32);
        assert!(peer.is_own_or_root());
        assert!(!Peer::Network("127.0.0.1:1".parse().unwrap()).is_own_or_root());
    }
}
