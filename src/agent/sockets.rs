//! Inputs of kind `socket`: who connects, whose lines a connection has, and what an agent before had open.
//!
//! The third part of [`Inputs`], apart for its size. A connection is kept by the service manager from the
//! moment it is taken, so that its writer sees nothing of a restart; what its first line says is kept too,
//! as that is gone from the socket.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::Input;
use super::identity::environ;
use super::inputs::{Inputs, State, streams};
use super::intake::{Intake, Token};
use super::service::Taken;
use super::source::{self, Connection, Head, Source};
use crate::listen::{Peer, bind_unix};
use crate::redact;

/// A socket that listens for an input.
pub(super) struct Listener {
    pub(super) input: String,
    pub(super) listener: UnixListener,
}

impl Inputs {
    /// The socket of an input: the one that its path leads to already, or a new one.
    pub(super) fn bind(&mut self, input: &Input) -> io::Result<UnixListener> {
        let path = Path::new(&input.path);
        let listener = match self.service.listener(&input.name, path) {
            Some(listener) => {
                fs::set_permissions(path, fs::Permissions::from_mode(input.mode))?;
                listener
            }
            None => bind_unix(path, input.mode)?,
        };
        self.service.keep(&listener, &input.name);
        Ok(listener)
    }

    pub(super) fn listen(&mut self, input: &str, listener: UnixListener, intake: &Intake) {
        let number = self.listeners.iter().position(Option::is_none).unwrap_or_else(|| {
            self.listeners.push(None);
            self.listeners.len() - 1
        });
        if let Err(error) = intake.watch(Token::Listener(number), listener.as_fd()) {
            self.log.warn(&format!("input {input}: {error}"));
        }
        if let Some(slot) = self.listeners.get_mut(number) {
            *slot = Some(Listener { input: input.to_owned(), listener });
        }
    }

    /// Everybody who has connected to a socket.
    pub(super) fn accept(&mut self, number: usize, intake: &mut Intake) {
        loop {
            let Some(Some(listener)) = self.listeners.get(number) else { return };
            let Ok((stream, _)) = listener.listener.accept() else { return };
            let name = listener.input.clone();
            let Some(mut state) = self.all.remove(&name) else { return };
            let connected = streams(intake, &name).len();
            if !self.has_room(&state.input, intake) {
                self.too_many(&mut state, intake);
            } else if connected >= state.input.max_connections {
                let why = format!("{connected} are connected already (max_connections)");
                self.failed(&mut state, &why);
            } else if stream.set_nonblocking(true).is_ok() {
                let connection = OwnedFd::from(stream);
                self.service.keep(&connection, &name);
                self.connect(&mut state, Taken { connection, metadata: None }, intake);
                state.error = None;
            }
            self.all.insert(name, state);
        }
    }

    /// The connections that an input has already.
    pub(super) fn take_over(&mut self, state: &mut State, intake: &mut Intake) {
        let (name, path) = (state.input.name.clone(), PathBuf::from(&state.input.path));
        while let Some(taken) = self.service.connection(&name, &path) {
            self.connect(state, taken, intake);
        }
    }

    fn connect(&mut self, state: &mut State, taken: Taken, intake: &mut Intake) {
        let Taken { connection, metadata } = taken;
        let Ok(Peer::Process { pid, uid, .. }) = Peer::of(&connection) else { return };
        let head = metadata.is_none().then(Vec::new);
        let own = metadata.unwrap_or_default();
        let mut known = self.known(&state.input, own, None, &state.input.name);
        let variables = self.environ(pid, Some(uid));
        // What is secret there may be printed by who has it.
        let names = &intake.common.stack.redact.env;
        let secrets = redact::secrets_from_env(names, variables.clone().into_iter());
        known.said = variables;
        known.attributes.insert("process.pid".to_owned(), pid.to_string());
        let label = format!("{} pid {pid} uid {uid}", state.input.path);
        let source = Source::Connection(Connection { descriptor: connection, head });
        let index = Self::open(state, label, known, source, None, intake);
        intake.has_secrets(index, secrets);
    }

    /// The variables of who writes, if it is of this user; none if they may not be seen, which is said once.
    pub(super) fn environ(&mut self, pid: i32, uid: Option<u32>) -> BTreeMap<String, String> {
        match source::environ(pid, uid) {
            Ok(variables) => environ(&variables),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if !std::mem::replace(&mut self.blind, true) {
                    self.log.warn(&format!(
                        "the variables of other users' processes cannot be seen, of process {pid}'s for one: what \
                         `steplog attach` or a connection's first line says is used (CAP_SYS_PTRACE would show \
                         them)"
                    ));
                }
                BTreeMap::new()
            }
            // It has gone.
            Err(_) => BTreeMap::new(),
        }
    }

    /// A connection's first bytes have come.
    pub(super) fn header(&mut self, index: usize, intake: &mut Intake) {
        match intake.head(index) {
            Head::Undecided => return,
            Head::Header(metadata) => {
                if let Some(slot) = intake.slot_mut(index) {
                    slot.stream.is_said(metadata);
                }
            }
            Head::Plain(None) => {}
            Head::Plain(Some(why)) => {
                if let Some(slot) = intake.slot_mut(index) {
                    let label = &slot.stream.label;
                    self.log.limited(&format!("{label}: its first line is not used: {why}"));
                }
            }
        }
        // Before any of its lines is taken: the first line is known to nobody but this process.
        if let Some(slot) = intake.slot(index)
            && let Source::Connection(connection) = &slot.source
        {
            let metadata = || slot.stream.whose(&intake.common);
            self.service.keep_metadata(&connection.descriptor, metadata);
        }
        intake.go_on(index);
    }
}
