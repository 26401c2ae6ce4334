//! What a stream is read from, and how each kind is opened.
//!
//! Apart from [`intake`](super::intake), which waits: here are the descriptors, and the care that paths
//! need which steps can write to. Reads nothing but the first line of a connection.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Pid, mkfifo};
use serde::Deserialize;

use super::{Metadata, process};
use crate::capture::file::Follower;
use crate::capture::process::spawn::grow_pipe;
use crate::record::{Exit, WriterId};

/// The longest first line that is looked at for metadata.
const MAX_HEADER: usize = 16 << 10;

/// The largest env file or exit record, and the most that is read of a process's variables.
const MAX_SMALL: u64 = 256 << 10;

/// The longest reason that an exit record may give, characters.
const MAX_REASON: usize = 256;

/// An exit record that makes no sense may be half written for so long.
const WRITING: Duration = Duration::from_secs(2);

/// A process that has just been started may have no variables yet for so long.
const BEGINNING: Duration = Duration::from_millis(50);

/// Ends the name of the record that a step leaves beside its FIFO or file.
pub(super) const EXIT_RECORD: &str = ".exit.json";

/// See the module.
pub(super) enum Source {
    /// A FIFO, which never ends by itself.
    Fifo(OwnedFd),
    /// Who has connected.
    Connection(Connection),
    /// Standard input.
    Stdin(OwnedFd),
    /// A file.
    File(Box<Followed>),
    /// Lines that are brought, whole: see [`Intake::deliver`](super::intake::Intake::deliver).
    Brought,
}

/// A file that is followed.
pub(super) struct Followed {
    pub(super) follower: Follower,
    pub(super) generation: u64,
    /// There has been a part of a line since then.
    pub(super) partial_since: Option<Instant>,
    /// The path names nothing any more, and all is read.
    pub(super) missing: bool,
    /// The writer whose kept position is of no more use when this one's is kept.
    pub(super) before: Option<WriterId>,
}

/// A connection.
pub(super) struct Connection {
    pub(super) descriptor: OwnedFd,
    /// Its first line, until that is whole.
    pub(super) head: Option<Vec<u8>>,
}

impl Source {
    /// What epoll can wait for.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Fifo(descriptor) | Self::Stdin(descriptor) => Some(descriptor.as_fd()),
            Self::Connection(connection) => Some(connection.descriptor.as_fd()),
            Self::File(_) | Self::Brought => None,
        }
    }

    /// What somebody else may go on with.
    pub(super) fn into_descriptor(self) -> Option<OwnedFd> {
        match self {
            Self::Fifo(descriptor) => Some(descriptor),
            Self::Connection(connection) => Some(connection.descriptor),
            Self::Stdin(_) | Self::File(_) | Self::Brought => None,
        }
    }
}

/// Opens a FIFO, for writers that may come and go; makes it if it is missing.
pub(super) fn open_fifo(path: &Path, mode: u32, pipe_bytes: usize) -> io::Result<OwnedFd> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        match mkfifo(path, Mode::from_bits_truncate(0o600)) {
            // Past the umask, which is about files that nobody has thought of.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))?,
            Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Both ways, so that it is never at its end while nobody writes. No link: it may have been put there.
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let descriptor = open(path, flags, Mode::empty())?;
    if !fs::File::from(descriptor.try_clone()?).metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a FIFO"));
    }
    grow_pipe(&descriptor, pipe_bytes);
    Ok(descriptor)
}

/// Whether this FIFO is the one at a path: a step may have removed it, and made another.
pub(super) fn is_at(fifo: &OwnedFd, path: &Path) -> bool {
    match (fs::symlink_metadata(path), fstat(fifo)) {
        (Ok(there), Ok(own)) => (there.dev(), there.ino()) == (own.st_dev, own.st_ino),
        (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
        (Ok(_), Err(_)) => true,
    }
}

/// The same FIFO without its other end, so that it ends when its last writer has gone.
pub(super) fn without_writer(fifo: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fifo.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(open(path.as_str(), flags, Mode::empty())?)
}

/// Standard input.
pub(super) fn open_stdin() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// The variables of a process, of this user if one is given, as much of them as is bearable. Of one that
/// has only just been started it waits for them, up to [`BEGINNING`].
pub(super) fn environ(pid: i32, uid: Option<u32>) -> io::Result<Vec<u8>> {
    let until = Instant::now() + BEGINNING;
    loop {
        let is_beginning = process::is_beginning(pid);
        let variables = environ_now(pid, uid)?;
        if !variables.is_empty() || !is_beginning || Instant::now() >= until {
            return Ok(variables);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn environ_now(pid: i32, uid: Option<u32>) -> io::Result<Vec<u8>> {
    let mut variables = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).map_err(|error| {
        // Processes of others may be hidden (`ProtectProc=`, `hidepid=`), which is not the same as gone.
        let there = || kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
        let hidden = error.kind() == io::ErrorKind::NotFound && there();
        if hidden { io::ErrorKind::PermissionDenied.into() } else { error }
    })?;
    let owner = file.metadata()?.uid();
    if uid.is_some_and(|uid| uid != owner) {
        // Another process by now, whose variables nobody who has connected may take for its own.
        return Err(io::ErrorKind::NotFound.into());
    }
    file.take(MAX_SMALL).read_to_end(&mut variables)?;
    Ok(variables)
}

/// What became of a connection's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// More has to come to know.
    Undecided,
    /// A header; the rest is what the step wrote.
    Header(Metadata),
    /// The step's own bytes from the first one on; or a header that says nothing that can be used.
    Plain(Option<String>),
}

/// Looks at the first bytes of a connection for a line like `{"steplog":{"pipeline_run_id":"r1"}}`. Any
/// other first line, also of JSON, is the step's. A header is taken out of `head`.
pub(super) fn header(head: &mut Vec<u8>, ended: bool) -> Head {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Header {
        steplog: Metadata,
    }
    const START: &[u8] = b"{\"steplog\"";
    let known = head.len().min(START.len());
    if head.get(..known) != START.get(..known) {
        return Head::Plain(None);
    }
    let Some(end) = memchr::memchr(b'\n', head) else {
        let hopeless = ended || head.len() > MAX_HEADER;
        return if hopeless { Head::Plain(None) } else { Head::Undecided };
    };
    let parsed = serde_json::from_slice::<Header>(head.get(..end).unwrap_or_default());
    let checked = parsed
        .map_err(|error| error.to_string())
        .and_then(|header| header.steplog.check().map(|()| header.steplog));
    match checked {
        Ok(metadata) => {
            head.drain(..=end);
            Head::Header(metadata)
        }
        Err(why) => Head::Plain(Some(why)),
    }
}

/// Reads a small file that a step has put beside its output: no link, no FIFO that would keep us waiting, nothing
/// large.
pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let file = fs::File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_SMALL {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file, or a large one"));
    }
    let mut contents = Vec::new();
    file.take(MAX_SMALL).read_to_end(&mut contents)?;
    Ok(contents)
}

/// The path of the record that a step leaves beside its FIFO or file.
pub(super) fn exit_record(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(EXIT_RECORD);
    path.with_file_name(name)
}

/// How the step ended, if it has said so. What is not said is unknown; what cannot be read is an end
/// all the same, once it is too old to be in the middle of being written.
pub(super) fn read_exit(path: &Path) -> Option<Exit> {
    let record = exit_record(path);
    let age = match fs::symlink_metadata(&record) {
        Ok(metadata) => metadata.modified().ok().and_then(|modified| modified.elapsed().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => None,
    };
    let text = read_small(&record).unwrap_or_default();
    match parse_exit(&text) {
        Some(exit) => Some(exit),
        None if age.is_some_and(|age| age < WRITING) => None,
        None => Some(Exit { reason: Some("unreadable exit record".into()), ..Exit::default() }),
    }
}

pub(super) fn parse_exit(text: &[u8]) -> Option<Exit> {
    let serde_json::Value::Object(said) = serde_json::from_slice(text).ok()? else { return None };
    let serde_json::Value::Object(mut all) = serde_json::to_value(Exit::default()).ok()? else {
        return None;
    };
    all.extend(said);
    let exit: Exit = serde_json::from_value(all.into()).ok()?;
    Some(Exit { reason: exit.reason.and_then(shown), signal: exit.signal.and_then(shown), ..exit })
}

/// Text that a step gives, such that it may be shown: without control characters, and short.
fn shown(text: String) -> Option<String> {
    let shown = text.chars().filter(|char| !char.is_control()).take(MAX_REASON);
    Some(shown.collect::<String>()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_a_header_is_taken_for_one() {
        let check = |text: &str, ended: bool| {
            let mut head = text.as_bytes().to_vec();
            let found = header(&mut head, ended);
            (found, String::from_utf8(head).unwrap())
        };
        assert_eq!(check("{\"steplog", false).0, Head::Undecided);
        assert_eq!(check("{\"steplog\":{}", true).0, Head::Plain(None));
        assert_eq!(check("{\"message\":1}\n", false).0, Head::Plain(None));
        let (found, rest) = check("{\"steplog\":{\"step_id\":\"train\"}}\nfirst\n", false);
        let Head::Header(metadata) = found else { panic!("{found:?}") };
        assert_eq!((metadata.step_id.as_deref(), rest.as_str()), (Some("train"), "first\n"));
        let (found, rest) = check("{\"steplog\":{\"step_id\":\"..\"}}\n", false);
        assert!(matches!(found, Head::Plain(Some(_))), "{found:?}");
        assert_eq!(rest, "{\"steplog\":{\"step_id\":\"..\"}}\n");
        assert_eq!(
            check(&format!("{{\"steplog\"{}", "x".repeat(MAX_HEADER)), false).0,
            Head::Plain(None)
        );
    }

    #[test]
    fn a_process_that_was_just_started_has_its_variables() {
        for _ in 0..20 {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).env("OF_THE_STEP", "this");
            let mut child = command.spawn().unwrap();
            let variables = environ(child.id() as i32, None).unwrap();
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(variables.split(|&byte| byte == 0).any(|one| one == b"OF_THE_STEP=this"));
        }
        let mut bare = Command::new("cat").stdin(Stdio::piped()).env_clear().spawn().unwrap();
        assert_eq!(environ(bare.id() as i32, None).unwrap(), b"");
        drop(bare.stdin.take());
        bare.wait().unwrap();
    }

    #[test]
    fn an_exit_record_may_say_little() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train");
        assert_eq!(read_exit(&path), None);
        fs::write(exit_record(&path), "{\"code\":3}").unwrap();
        assert_eq!(read_exit(&path), Some(Exit { code: Some(3), ..Exit::default() }));
        let reason = |text: &str| {
            let record = serde_json::json!({ "reason": text }).to_string();
            parse_exit(record.as_bytes()).unwrap().reason
        };
        assert_eq!(reason("out\u{1b}]0;x\u{7} of\nluck").as_deref(), Some("out]0;x ofluck"));
        assert_eq!(reason(&"ä".repeat(300)), Some("ä".repeat(MAX_REASON)));
        assert_eq!(reason("\n"), None);
        // It may be in the middle of being written; but not for ever.
        let old = SystemTime::now() - 2 * WRITING;
        let unreadable = |exit: Option<Exit>| exit.unwrap().reason.unwrap();
        let file = fs::File::create(exit_record(&path)).unwrap();
        assert_eq!(read_exit(&path), None);
        file.set_modified(old).unwrap();
        assert_eq!(unreadable(read_exit(&path)), "unreadable exit record");
        // What a hostile step puts there neither leads elsewhere nor keeps the agent waiting.
        fs::remove_file(exit_record(&path)).unwrap();
        mkfifo(&exit_record(&path), Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(read_exit(&path), None);
        fs::remove_file(exit_record(&path)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", exit_record(&path)).unwrap();
        assert!(read_small(&exit_record(&path)).is_err());
    }
}
