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
//! | `FDSTORE=1`, `FDPOLL=0` | a FIFO was opened: it stays open while the agent is restarted or dead |
//! | `FDSTOREREMOVE=1` | its stream has ended |
//!
//! A FIFO that anybody has open keeps its bytes, and who writes to it gets no SIGPIPE. So the next agent opens
//! it by its path as always, and has what was written meanwhile: what systemd gives back only has to stay
//! open until then. Without systemd nothing here does anything. By hand, since it is one datagram and two
//! variables. Reads no environment: it is given.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::time::{ClockId, clock_gettime};

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
    /// FIFOs that systemd keeps, by name; those of an earlier agent with their descriptors.
    kept: HashMap<String, Option<OwnedFd>>,
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
    /// FIFOs that an earlier agent had open, by name.
    fifos: HashMap<String, Option<OwnedFd>>,
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
            match fifo_name(&owned) {
                Some(own) if own == name => _ = given.fifos.insert(own, Some(owned)),
                // Something else: another program's, or none that this version knows.
                Some(_) => {}
                None => given.sockets.push(owned),
            }
        }
        given
    }
}

impl Service {
    /// As the environment says: who listens, and how often it wants to hear.
    pub(super) fn new(environment: &BTreeMap<String, String>, given: &mut Given) -> Self {
        let manager =
            environment.get("NOTIFY_SOCKET").and_then(|name| Manager::connect(name).ok());
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
            kept: std::mem::take(&mut given.fifos),
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

    /// A FIFO has been opened: it stays open whatever becomes of this process.
    pub(super) fn keep(&mut self, fifo: &OwnedFd) {
        let Some(name) = fifo_name(fifo) else { return };
        // It is kept already: then the descriptor that has come is not needed any more.
        if let Some(given) = self.kept.get_mut(&name) {
            *given = None;
            return;
        }
        let Some(manager) = &self.manager else { return };
        // Where it cannot be kept, the agent works as without systemd.
        if manager.store(&name, fifo).is_ok() {
            self.kept.insert(name, None);
        }
    }

    /// A FIFO's stream has ended.
    pub(super) fn release(&mut self, fifo: &OwnedFd) {
        if let Some(name) = fifo_name(fifo)
            && self.kept.remove(&name).is_some()
        {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }

    /// All inputs are open: what an earlier agent has kept and none of them is, is let go. Says how many
    /// bytes are lost with it.
    pub(super) fn settle(&mut self) -> u64 {
        let gone: Vec<String> =
            self.kept.iter().filter(|(_, fd)| fd.is_some()).map(|(name, _)| name.clone()).collect();
        let mut lost = 0;
        for name in gone {
            if let Some(Some(fifo)) = self.kept.remove(&name) {
                lost += unread(&fifo);
            }
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
        lost
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
            Some(name) => (
                SocketAddr::from_abstract_name(name)?,
                UnixAddr::new_abstract(name.as_bytes())?,
            ),
            None if name.starts_with('/') => {
                (SocketAddr::from_pathname(name)?, UnixAddr::new(name)?)
            }
            None => return Err(invalid()),
        };
        Ok(Self { socket: UnixDatagram::unbound()?, address, unix })
    }

    fn store(&self, name: &str, descriptor: &OwnedFd) -> io::Result<()> {
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        let descriptors = [descriptor.as_raw_fd()];
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

/// What a FIFO is called in the store; `None` if it is no FIFO.
fn fifo_name(descriptor: &OwnedFd) -> Option<String> {
    let metadata = File::from(descriptor.try_clone().ok()?).metadata().ok()?;
    let fifo = metadata.file_type().is_fifo();
    fifo.then(|| format!("fifo-{:x}-{:x}", metadata.dev(), metadata.ino()))
}

/// Bytes that are in a FIFO.
fn unread(fifo: &OwnedFd) -> u64 {
    nix::ioctl_read_bad!(fionread, nix::libc::FIONREAD, nix::libc::c_int);
    let mut count = 0;
    // SAFETY: the call writes one integer to where `count` is.
    let asked = unsafe { fionread(fifo.as_raw_fd(), &raw mut count) };
    asked.map_or(0, |_| u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

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
            let message = recvmsg::<UnixAddr>(descriptor, &mut slices, Some(&mut space), flags).ok()?;
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
    fn fifos_are_kept_once_and_let_go() {
        let heard = Heard::new();
        let mut service = heard.service(&[]);
        let fifo = heard.fifo("a");
        let name = fifo_name(&fifo).unwrap();
        service.keep(&fifo);
        service.keep(&fifo);
        service.release(&fifo);
        service.release(&fifo);
        let stored = (format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), 1);
        assert_eq!(heard.next(), Some(stored));
        assert_eq!(heard.next(), Some((format!("FDSTOREREMOVE=1\nFDNAME={name}"), 0)));
        assert_eq!(heard.next(), None);
    }

    #[test]
    fn what_an_earlier_agent_kept_is_not_stored_again() {
        let heard = Heard::new();
        let (wanted, orphan) = (heard.fifo("a"), heard.fifo("b"));
        nix::unistd::write(&orphan, b"12345").unwrap();
        let name = fifo_name(&orphan).unwrap();
        let mut given = Given::default();
        for fifo in [&wanted, &orphan] {
            let descriptor = Some(fifo.try_clone().unwrap());
            given.fifos.insert(fifo_name(fifo).unwrap(), descriptor);
        }
        let mut service = Service::new(&heard.environment(&[]), &mut given);
        service.keep(&wanted);
        assert_eq!(service.settle(), 5);
        assert_eq!(heard.next(), Some((format!("FDSTOREREMOVE=1\nFDNAME={name}"), 0)));
        assert_eq!(heard.next(), None);
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
