//! The service manager: what systemd is told, and what it keeps and gives back (sd_notify(3),
//! sd_listen_fds(3)).
//!
//! | message | when |
//! |---|---|
//! | `READY=1` | all inputs were opened; after a reload |
//! | `STATUS=…` | now and then: inputs, streams, what is not delivered |
//! | `RELOADING=1`, `MONOTONIC_USEC` | a reload begins |
//! | `STOPPING=1` | the end begins |
//! | `WATCHDOG=1` | twice in `WatchdogSec=`, from the thread that reads |
//! | `FDSTORE=1`, `FDPOLL=0` | a FIFO or socket was opened: it stays open while the agent is restarted or dead (`kept`) |
//! | `FDSTOREREMOVE=1` | its stream has ended |
//!
//! Without systemd nothing here does anything but hand over what inputs give back. By hand, since it is one
//! datagram and two variables. Reads no environment: it is given.

mod kept;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::time::{ClockId, clock_gettime};

use self::kept::Kept;
pub(super) use self::kept::{Taken, listens_at, unread};
use super::Metadata;

/// The first descriptor that a service manager gives.
const FIRST: i32 = 3;
/// The most that are looked at.
const MAX_GIVEN: i32 = 65_536;
/// Between two `STATUS=`.
const STATUS: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: Option<Manager>,
    /// Between two `WATCHDOG=1`.
    watchdog: Option<Duration>,
    ping_at: Option<Instant>,
    status_at: Option<Instant>,
    told: String,
    kept: Kept,
}

/// Where messages go.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The same, for messages with descriptors.
    unix: UnixAddr,
}

/// What the service manager has given.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Sockets that listen.
    pub(super) sockets: Vec<OwnedFd>,
    kept: Kept,
}

impl Given {
    /// Takes the descriptors that this process was started with. To be called once, and before anything
    /// is opened.
    pub(super) fn take(environment: &BTreeMap<String, String>) -> Self {
        let number = |name: &str| environment.get(name).and_then(|text| text.parse::<i32>().ok());
        let mut given = Self::default();
        if number("LISTEN_PID") != Some(std::process::id() as i32) {
            return given;
        }
        let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MAX_GIVEN);
        let names = environment.get("LISTEN_FDNAMES").map_or("", String::as_str);
        let mut names = names.split(':');
        for descriptor in FIRST..FIRST + count {
            let name = names.next().unwrap_or_default();
            // SAFETY: the descriptor is only asked for its flags.
            let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
            if fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_err() {
                continue;
            }
            // SAFETY: it is open, and by sd_listen_fds(3) it is this process's, which takes it once.
            let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
            given.sockets.extend(given.kept.give(name, owned));
        }
        given
    }
}

impl Service {
    /// Whether somebody has started this process who will start it again.
    pub(super) fn is_managed(&self) -> bool {
        self.manager.is_some()
    }

    /// As the environment says: who listens, and how often it wants to hear.
    pub(super) fn new(environment: &BTreeMap<String, String>, given: &mut Given) -> Self {
        let manager = environment.get("NOTIFY_SOCKET").and_then(|name| Manager::connect(name).ok());
        let own = std::process::id().to_string();
        let mine = environment.get("WATCHDOG_PID").is_none_or(|pid| *pid == own);
        let micros = environment.get("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = micros.filter(|micros| mine && *micros > 0).map(Duration::from_micros);
        Self {
            manager,
            watchdog: watchdog.map(|every| every / 2),
            ping_at: None,
            status_at: None,
            told: String::new(),
            kept: std::mem::take(&mut given.kept),
        }
    }

    /// All inputs were opened.
    pub(super) fn ready(&mut self) {
        self.tell("READY=1");
    }

    /// The stack file is being read again; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&mut self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The end begins.
    pub(super) fn stopping(&mut self) {
        self.tell("STOPPING=1\nSTATUS=delivering what is left");
    }

    /// When something is to be told though nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.ping_at, self.status_at].into_iter().flatten().min()
    }

    /// Tells that the agent works, where that is wanted, and now and then how: `status` is asked only then.
    pub(super) fn on_time(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if self.manager.is_none() {
            return;
        }
        if let Some(every) = self.watchdog
            && self.ping_at.is_none_or(|at| now >= at)
        {
            self.tell("WATCHDOG=1");
            self.ping_at = Some(now + every);
        }
        if self.status_at.is_none_or(|at| now >= at) {
            let status = status();
            if status != self.told {
                self.tell(&format!("STATUS={}", status.replace('\n', " ")));
                self.told = status;
            }
            self.status_at = Some(now + STATUS);
        }
    }

    /// An input has opened this: it stays open whatever becomes of this process.
    pub(super) fn keep(&mut self, descriptor: &impl AsFd, input: &str) {
        let Some(name) = self.kept.enter(descriptor, input) else { return };
        let stored = self.manager.as_ref().is_some_and(|it| it.store(&name, descriptor).is_ok());
        // Where it cannot be kept, the agent works as without systemd.
        if !stored {
            self.kept.remove(descriptor);
        }
    }

    /// A connection's first line has been read: these are whose lines it has.
    pub(super) fn keep_metadata(
        &self,
        connection: &impl AsFd,
        metadata: impl FnOnce() -> Metadata,
    ) {
        if let Some(manager) = &self.manager
            && let Some(name) = self.kept.name(connection)
            && let Ok(file) = kept::write(&metadata())
        {
            // Without it the next agent asks the process that has connected.
            manager.store(&name, &file).ok();
        }
    }

    /// The stream that this was read for has ended.
    pub(super) fn release(&mut self, descriptor: &impl AsFd) {
        if let Some(name) = self.kept.remove(descriptor) {
            self.forget(&name);
        }
    }

    /// An input ends that had this; another may take its place, until [`settle`](Self::settle).
    pub(super) fn give_back(&mut self, input: &str, had: OwnedFd, metadata: Option<Metadata>) {
        self.kept.put(input, had, metadata);
    }

    /// The socket that listens at this path already.
    pub(super) fn listener(&mut self, input: &str, path: &Path) -> Option<UnixListener> {
        self.kept.listener(input, path)
    }

    /// One of the connections that this input has already.
    pub(super) fn connection(&mut self, input: &str, path: &Path) -> Option<Taken> {
        self.kept.connection(input, path)
    }

    /// All inputs are open: what none of them has taken is let go. Returns that.
    pub(super) fn settle(&mut self) -> Vec<OwnedFd> {
        let left = self.kept.left();
        for (name, _) in &left {
            self.forget(name);
        }
        left.into_iter().filter_map(|(_, descriptor)| descriptor).collect()
    }

    fn forget(&self, name: &str) {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    fn tell(&self, message: &str) {
        if let Some(manager) = &self.manager {
            // A manager that does not listen is no reason to stop working.
            drop(manager.socket.send_to_addr(message.as_bytes(), &manager.address));
        }
    }
}

impl Manager {
    fn connect(name: &str) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let (address, unix) = match name.strip_prefix('@') {
            Some(name) => {
                (SocketAddr::from_abstract_name(name)?, UnixAddr::new_abstract(name.as_bytes())?)
            }
            None if name.starts_with('/') => {
                (SocketAddr::from_pathname(name)?, UnixAddr::new(name)?)
            }
            None => return Err(invalid()),
        };
        Ok(Self { socket: UnixDatagram::unbound()?, address, unix })
    }

    fn store(&self, name: &str, descriptor: &impl AsFd) -> io::Result<()> {
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        let descriptors = [descriptor.as_fd().as_raw_fd()];
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(message.as_bytes())],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            Some(&self.unix),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    struct Heard {
        socket: UnixDatagram,
        folder: tempfile::TempDir,
    }

    impl Heard {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self { socket, folder }
        }

        fn environment(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
            let name = self.folder.path().join("notify").to_str().unwrap().to_owned();
            let more = more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            more.chain([("NOTIFY_SOCKET".to_owned(), name)]).collect()
        }

        fn service(&self, more: &[(&str, &str)]) -> Service {
            Service::new(&self.environment(more), &mut Given::default())
        }

        /// The next message, and how many descriptors came with it.
        fn next(&self) -> Option<(String, usize)> {
            let mut buffer = [0; 4096];
            let mut space = nix::cmsg_space!([i32; 4]);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::empty();
            let descriptor = self.socket.as_raw_fd();
            let message =
                recvmsg::<UnixAddr>(descriptor, &mut slices, Some(&mut space), flags).ok()?;
            let mut count = 0;
            for part in message.cmsgs().unwrap() {
                if let ControlMessageOwned::ScmRights(descriptors) = part {
                    for descriptor in descriptors {
                        // SAFETY: it has just come, and nobody else knows it.
                        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
                        count += 1;
                    }
                }
            }
            let bytes = message.bytes;
            Some((String::from_utf8(buffer[..bytes].to_vec()).unwrap(), count))
        }

        fn listener(&self) -> UnixListener {
            UnixListener::bind(self.folder.path().join("socket")).unwrap()
        }

        fn fifo(&self, name: &str) -> OwnedFd {
            let path = self.folder.path().join(name);
            mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
            File::options().read(true).write(true).open(path).unwrap().into()
        }
    }

    #[test]
    fn the_manager_is_told() {
        let heard = Heard::new();
        let mut service = heard.service(&[("WATCHDOG_USEC", "2000000")]);
        let now = Instant::now();
        service.ready();
        service.on_time(now, || "1 input\nquiet".to_owned());
        assert_eq!(service.due(), Some(now + Duration::from_secs(1)));
        // It is too early.
        service.on_time(now, || unreachable!());
        let later = now + STATUS;
        service.on_time(later, || "1 input\nquiet".to_owned());
        service.reloading();
        service.stopping();
        let said: Vec<String> = std::iter::from_fn(|| heard.next()).map(|(text, _)| text).collect();
        let expected = ["READY=1", "WATCHDOG=1", "STATUS=1 input quiet", "WATCHDOG=1"];
        assert_eq!(said[..4], expected);
        let micros = said[4].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0);
        assert_eq!(said[5], "STOPPING=1\nSTATUS=delivering what is left");
        assert_eq!(said.len(), 6);
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let heard = Heard::new();
        let mut service = heard.service(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "1")]);
        service.on_time(Instant::now(), String::new);
        assert_eq!(heard.next(), None);
    }

    #[test]
    fn what_is_open_is_kept_once_and_let_go() {
        let heard = Heard::new();
        let mut service = heard.service(&[]);
        let (fifo, listener) = (heard.fifo("a"), heard.listener());
        let (one, _other) = UnixStream::pair().unwrap();
        service.keep(&fifo, "of fifos");
        service.keep(&fifo, "of fifos");
        service.keep(&listener, "of-sockets");
        service.keep(&one, "of-sockets");
        service.keep_metadata(&one, Metadata::default);
        let stored: Vec<String> = (0..4)
            .map(|_| {
                let (text, descriptors) = heard.next().unwrap();
                assert_eq!(descriptors, 1);
                let name = text.strip_prefix("FDSTORE=1\nFDNAME=").unwrap();
                name.strip_suffix("\nFDPOLL=0").unwrap().to_owned()
            })
            .collect();
        let kinds = stored.iter().map(|name| name.split('-').next().unwrap());
        assert!(kinds.eq(["fifo", "listener", "connection", "connection"]), "{stored:?}");
        // All that is kept of a connection goes with its name.
        assert_eq!(stored[2], stored[3]);
        assert!(stored[2].ends_with("-of-sockets") && !stored[0].contains("of"), "{stored:?}");
        for (descriptor, name) in [(&fifo, &stored[0]), (&OwnedFd::from(one), &stored[2])] {
            service.release(descriptor);
            service.release(descriptor);
            assert_eq!(heard.next(), Some((format!("FDSTOREREMOVE=1\nFDNAME={name}"), 0)));
            assert_eq!(heard.next(), None);
        }
    }

    /// What an agent has had kept, as the next one is given it.
    fn given(heard: &Heard, kept: &[(&dyn AsFd, &str)]) -> Given {
        let mut earlier = heard.service(&[]);
        let mut given = Given::default();
        for (descriptor, input) in kept {
            earlier.keep(descriptor, input);
            let (text, _) = heard.next().unwrap();
            let name = text.lines().nth(1).unwrap().strip_prefix("FDNAME=").unwrap().to_owned();
            let descriptor = descriptor.as_fd().try_clone_to_owned().unwrap();
            assert!(given.kept.give(&name, descriptor).is_none(), "{name}");
            let said = Metadata { step_id: Some("said".to_owned()), ..Metadata::default() };
            if *input == "said" {
                assert!(given.kept.give(&name, kept::write(&said).unwrap()).is_none(), "{name}");
            }
        }
        given
    }

    #[test]
    fn what_an_earlier_agent_kept_is_not_stored_again() {
        let heard = Heard::new();
        let (wanted, orphan) = (heard.fifo("a"), heard.fifo("b"));
        nix::unistd::write(&orphan, b"12345").unwrap();
        let mut given = given(&heard, &[(&wanted, ""), (&orphan, "")]);
        let mut service = Service::new(&heard.environment(&[]), &mut given);
        service.keep(&wanted, "");
        let left = service.settle();
        assert_eq!(left.iter().map(unread).collect::<Vec<_>>(), [5]);
        let (text, _) = heard.next().unwrap();
        assert!(text.starts_with("FDSTOREREMOVE=1\nFDNAME=fifo-"), "{text}");
        assert_eq!(heard.next(), None);
    }

    #[test]
    fn sockets_are_taken_over_by_their_path_or_their_input() {
        let heard = Heard::new();
        let path = heard.folder.path().join("socket");
        let listener = heard.listener();
        let _step = UnixStream::connect(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let (said, _other) = UnixStream::pair().unwrap();
        let kept: [(&dyn AsFd, &str); 3] =
            [(&listener, "before"), (&accepted, "before"), (&said, "said")];
        let mut given = given(&heard, &kept);
        let mut service = Service::new(&heard.environment(&[]), &mut given);
        // Renamed: the path is the same. Moved: the name is.
        assert!(service.listener("after", Path::new("/elsewhere")).is_none());
        assert!(service.listener("after", &path).is_some());
        assert!(service.listener("after", &path).is_none());
        let taken = service.connection("after", &path).unwrap();
        assert_eq!(taken.metadata, None);
        assert!(service.connection("after", &path).is_none());
        let taken = service.connection("said", Path::new("/elsewhere")).unwrap();
        assert_eq!(taken.metadata.unwrap().step_id.as_deref(), Some("said"));
        assert!(service.settle().is_empty());
        assert_eq!(heard.next(), None);
        // A socket whose path leads elsewhere by now is of no use.
        service.give_back("after", listener.into(), None);
        std::fs::remove_file(&path).unwrap();
        assert!(service.listener("after", &path).is_none());
        assert_eq!(service.settle().len(), 1);
    }

    #[test]
    fn without_a_manager_nothing_is_told() {
        let environment = BTreeMap::from([
            ("NOTIFY_SOCKET".to_owned(), "vsock:2:1".to_owned()),
            ("LISTEN_PID".to_owned(), "1".to_owned()),
            ("LISTEN_FDS".to_owned(), "2".to_owned()),
        ]);
        let mut given = Given::take(&environment);
        assert!(given.sockets.is_empty());
        let mut service = Service::new(&environment, &mut given);
        service.ready();
        service.on_time(Instant::now(), || unreachable!());
        assert_eq!(service.due(), None);
    }
}
