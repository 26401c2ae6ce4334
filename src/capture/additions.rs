//! Secrets that become known while the step runs: `steplog redact add`, from within the step.
//!
//! A Unix socket in the writer's spool directory, mode 0600. A client sends values, one a line,
//! closes its sending side and reads one line: `ok` and a count, or what is wrong. The answer comes
//! when the values are in effect, so what is printed after `redact add` has returned is masked.
//! Values never are on a command line, nor in the spool.
//!
//! One client at a time; the others wait in the socket's queue.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// The socket's name in the writer's spool directory.
const NAME: &str = "redact";

/// The most that one client may send.
const MAX_BYTES: usize = 1 << 20;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients that may wait.
const QUEUE: i32 = 128;

/// Longest path that fits a socket address.
const MAX_PATH: usize = 107;

/// The listening side, in capture.
#[derive(Debug)]
pub(crate) struct Additions {
    listener: UnixListener,
    client: Option<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    sent: Vec<u8>,
    until: Instant,
}

impl Additions {
    /// Makes the socket.
    pub(crate) fn listen(spool: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The mode must be right from the start. Linux gives the file that of the socket, less the umask;
        // to set the umask instead would change it for other threads too.
        fchmod(&socket, Mode::from_bits_truncate(0o600))?;
        reachable(spool, NAME, |path| socket.bind(&SockAddr::unix(path)?))?;
        socket.listen(QUEUE)?;
        socket.set_nonblocking(true)?;
        Ok(Self { listener: std::os::fd::OwnedFd::from(socket).into(), client: None })
    }

    /// Readable when there is something to [`receive`](Self::receive).
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.client.as_ref().map_or_else(|| self.listener.as_fd(), |client| client.stream.as_fd())
    }

    /// When a client that says nothing is given up.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.client.as_ref().map(|client| client.until)
    }

    /// Gives up a client that is over its time.
    pub(crate) fn on_time(&mut self, now: Instant) {
        self.client.take_if(|client| now >= client.until);
    }

    /// Goes on with whoever is there. `apply` puts values into effect and says how many it took,
    /// or what is wrong with them.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        apply: impl FnOnce(&[&[u8]]) -> Result<usize, String>,
    ) {
        if self.client.is_none() {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.client = Some(Client { stream, sent: Vec::new(), until: now + PATIENCE });
            }
        }
        let Some(client) = &mut self.client else { return };
        let room = (MAX_BYTES + 1 - client.sent.len()) as u64;
        match (&client.stream).take(room).read_to_end(&mut client.sent) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => {
                self.client = None;
                return;
            }
        }
        let answer = if client.sent.len() > MAX_BYTES {
            "too much at once".to_owned()
        } else {
            match apply(&values(&client.sent)) {
                Ok(count) => format!("ok {count}"),
                Err(wrong) => wrong,
            }
        };
        // A client that has gone has no use for an answer.
        drop(writeln!(client.stream, "{answer}"));
        self.client = None;
    }
}

/// One value a line; empty lines are none.
fn values(sent: &[u8]) -> Vec<&[u8]> {
    sent.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Values could not be handed to a capture.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Nobody listens there.
    #[error("reach the capture at {}: {source}", path.display())]
    Unreachable {
        /// The writer's spool directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The capture did not take them.
    #[error("mask a value: {0}")]
    Refused(String),
}

/// Hands values, one a line, to the capture with this spool directory; returns when they are in
/// effect. Says how many it took.
pub fn add(spool: &Path, values: &[u8]) -> Result<usize, AddError> {
    let unreachable = |source| AddError::Unreachable { path: spool.to_owned(), source };
    let mut stream = connect(spool).map_err(unreachable)?;
    let mut answer = String::new();
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    // Too much at once is refused before all of it is read: the answer says so, not this error.
    let sent = stream.write_all(values).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    match answer.trim_end().strip_prefix("ok ").and_then(|count| count.parse().ok()) {
        Some(count) => sent.map(|()| count).map_err(unreachable),
        None => Err(AddError::Refused(answer.trim_end().to_owned())),
    }
}

/// The step is started before its spool exists, so its first command may be a moment early.
fn connect(spool: &Path) -> io::Result<UnixStream> {
    let give_up = Instant::now() + Duration::from_secs(2);
    loop {
        match reachable(spool, NAME, |path| UnixStream::connect(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Calls with a path to the socket that is short enough for a socket address.
pub(crate) fn reachable<T>(
    folder: &Path,
    name: &str,
    call: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().as_bytes().len() <= MAX_PATH {
        return call(&path);
    }
    let folder = std::fs::File::open(folder)?;
    call(Path::new(&format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(spool: &Path) {
        let mut additions = Additions::listen(spool).unwrap();
        let mode = spool.join(NAME).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let spool = spool.to_owned();
        let client = std::thread::spawn(move || add(&spool, b"hunter22\n\nanother-one\r\n"));
        let mut seen = Vec::new();
        while seen.is_empty() {
            let mut set = super::super::poll::PollSet::with_capacity(1);
            set.add((), additions.descriptor(), super::super::poll::Interest::Read);
            set.wait(None).unwrap();
            additions.receive(Instant::now(), |values| {
                seen.extend(values.iter().map(|value| value.to_vec()));
                Ok(values.len())
            });
        }
        assert_eq!(client.join().unwrap().unwrap(), 2);
        assert_eq!(seen, [b"hunter22".to_vec(), b"another-one".to_vec()]);
    }

    #[test]
    fn values_arrive_and_are_acknowledged() {
        check(tempfile::tempdir().unwrap().path());
    }

    #[test]
    fn a_long_path_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        check(&deep);
    }

    /// One that changes the umask gives others' files its mode, or never gives it back.
    #[test]
    fn threads_that_listen_leave_each_others_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join("others");
        std::fs::write(&others, "").unwrap();
        let usual = others.metadata().unwrap().permissions().mode();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    for number in 0..50 {
                        let spool = folder.join(format!("{thread}-{number}"));
                        std::fs::create_dir(&spool).unwrap();
                        let _listening = Additions::listen(&spool).unwrap();
                        let mode = |name| spool.join(name).metadata().unwrap().permissions().mode();
                        std::fs::write(spool.join("other"), "").unwrap();
                        assert_eq!((mode(NAME) & 0o777, mode("other")), (0o600, usual));
                    }
                });
            }
        });
    }

    #[test]
    fn a_refusal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut additions = Additions::listen(folder.path()).unwrap();
        let path = folder.path().to_owned();
        let client = std::thread::spawn(move || add(&path, b"a\n"));
        let mut asked = false;
        while !asked {
            additions.receive(Instant::now(), |_| {
                asked = true;
                Err("a value is shorter than 6 bytes".to_owned())
            });
        }
        let error = client.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "mask a value: a value is shorter than 6 bytes");
    }
}
