//! The control socket: how other steplog processes talk to the agent.
//!
//! A Unix stream socket. A client sends one JSON object on one line and gets one back; then the
//! connection ends. Everybody who can reach the socket may ask whether an agent is there; all else is for
//! the agent's own user and root, by the kernel's word on who has connected. Apart from
//! [`intake`](super::intake), which does what is asked.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Input;
use super::status::Status;
use crate::capture::additions::reachable;
use crate::listen::Peer;

/// The longest request.
const MAX_REQUEST: usize = 1 << 20;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to say that it is there.
const PING: Duration = Duration::from_secs(2);
/// How long the agent may take to do it: it may be in the middle of a long read.
const ANSWER: Duration = Duration::from_secs(30);

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Is anybody there?
    Ping,
    /// How are things?
    Status,
    /// Read this too.
    Attach {
        /// What.
        input: Box<Input>,
    },
    /// Read this no longer.
    Detach {
        /// The input's name.
        name: String,
    },
    /// Read the stack file again.
    Reload,
}

/// What the agent answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done {
        /// What there is to say of it.
        note: String,
    },
    /// How things are.
    Status {
        /// All of it.
        status: Box<Status>,
    },
    /// It cannot be done.
    Refused {
        /// Why.
        why: String,
    },
}

/// Why the agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("there is no agent at {}: start `steplog agent`, or name its stack file with --stack", path.display())]
    Nobody {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("cannot talk to the agent at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answers something else.
    #[error("what answers at {} is no agent of this version", path.display())]
    Strange {
        /// The socket.
        path: PathBuf,
    },
}

/// Asks the agent at this socket.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    ask_within(path, request, ANSWER)
}

fn ask_within(path: &Path, request: &Request, limit: Duration) -> Result<Answer, AskError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::Nobody { path: path.to_owned() }
        }
        _ => AskError::Io { path: path.to_owned(), source },
    };
    let mut stream = connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(limit)).map_err(failed)?;
    let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|_| AskError::Strange { path: path.to_owned() })
}

/// Whether an agent listens there.
pub fn is_there(path: &Path) -> bool {
    matches!(ask_within(path, &Request::Ping, PING), Ok(Answer::Done { .. }))
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (folder, name) = parts(path)?;
    reachable(folder, name, |path| UnixStream::connect(path))
}

fn parts(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent().zip(name).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// The listening side.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

/// One who has connected.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    said: Vec<u8>,
    /// Its user.
    pub(super) may_change: bool,
    /// It is given up then.
    pub(super) until: Instant,
}

impl Control {
    /// Makes the socket; one that a dead agent has left is replaced. Who calls knows that no other lives.
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        let (folder, name) = parts(path)?;
        fs::create_dir_all(folder)?;
        if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = reachable(folder, name, |path| UnixListener::bind(path))?;
        // Who may do what is decided by who it is.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The next who has connected.
    pub(super) fn accept(&self, now: Instant) -> Option<Client> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let may_change = Peer::of(&stream).ok()?.is_own_or_root();
        Some(Client { stream, said: Vec::new(), may_change, until: now + PATIENCE })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody connects in vain to an agent that has ended.
        drop(fs::remove_file(&self.path));
    }
}

impl Client {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What it asks; `Ok(None)` while it has not said all. An error ends the connection.
    pub(super) fn hear(&mut self) -> io::Result<Option<Result<Request, String>>> {
        let room = (MAX_REQUEST + 1).saturating_sub(self.said.len()) as u64;
        let ended = match (&self.stream).take(room).read_to_end(&mut self.said) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(error),
        };
        let Some(end) = memchr::memchr(b'\n', &self.said) else {
            return if ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        };
        let request = serde_json::from_slice(self.said.get(..end).unwrap_or_default());
        Ok(Some(match request {
            Ok(Request::Ping) => Ok(Request::Ping),
            Ok(_) if !self.may_change => {
                Err("only the user that the agent runs as may ask for that, and root".to_owned())
            }
            Ok(request) => Ok(request),
            Err(error) => Err(format!("not a request: {error}")),
        }))
    }

    /// Answers and ends.
    pub(super) fn answer(mut self, answer: &Answer) {
        let mut line = serde_json::to_vec(answer).unwrap_or_default();
        line.push(b'\n');
        // Who has gone needs no answer.
        drop(self.stream.set_nonblocking(false));
        drop(self.stream.set_write_timeout(Some(Duration::from_secs(1))));
        drop(self.stream.write_all(&line));
    }
}
