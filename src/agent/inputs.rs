//! Which streams there are: `[[inputs]]` and what was attached, opened, looked for, ended.
//!
//! | kind | streams | one ends by |
//! |---|---|---|
//! | `fifo` | one | an exit record beside it; detach |
//! | `socket` | one a connection | the connection's end |
//! | `stdin` | one | end of file |
//! | `file`, `cri` | one a path that matches | the file's removal |
//! | `otlp` | one for each that its records name | quiet |
//! | `steps` | one a FIFO or file in the folder | an exit record beside it |
//!
//! Apart from [`intake`](super::intake), which reads them and does not know why they are there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::brought::{Brought, label};
use super::identity::{Known, variables};
use super::inbox::Verdict;
use super::intake::{Event, Intake, Token};
use super::log::Log;
use super::otlp::Batch;
use super::own::Own;
use super::position::{Positions, Written};
use super::process::{Process, Watched};
use super::service::{Service, listens_at, unread};
use super::sockets::Listener;
use super::source::{self, EXIT_RECORD, Source};
use super::status::{InputStatus, StreamStatus};
use super::stream::{Common, Stream};
use super::{Input, Kind, Metadata, Settings};
use crate::capture::file::{self, BadTemplate, Globs, Take, Template, Watch};
use crate::record::{Exit, Nanos};
use crate::redact;

/// See the module.
pub(super) struct Inputs {
    pub(super) all: BTreeMap<String, State>,
    pub(super) listeners: Vec<Option<Listener>>,
    /// Of folders with files: also of what is written to them.
    watch: Option<Watch>,
    /// Of folders with FIFOs, in which only names matter: each write to a FIFO would be a hint.
    names: Option<Watch>,
    pub(super) positions: Positions,
    pub(super) brought: Brought,
    pub(super) service: Service,
    pub(super) own: Own,
    /// That variables cannot be seen has been said.
    pub(super) blind: bool,
    /// The agent's own variables: what nobody else says.
    environment: Arc<BTreeMap<String, String>>,
    pub(super) settings: Settings,
    pub(super) log: Log,
}

/// One input, and what is known of it.
pub(super) struct State {
    pub(super) input: Input,
    attached: bool,
    pub(super) error: Option<String>,
    ended: u64,
    /// Their exit record has been seen, or their end.
    pub(super) over: HashSet<PathBuf>,
    pub(super) globs: Option<Globs>,
    /// Standard input has been opened.
    pub(super) opened: bool,
    /// When its files were looked for last.
    pub(super) looked: Option<Nanos>,
    /// Files that are known and were renamed while no agent was there have been looked for.
    pub(super) recovered: bool,
    /// Who writes it.
    watched: Option<Watched>,
    /// What that process may print and nobody may see.
    secrets: Vec<Vec<u8>>,
}

impl Inputs {
    pub(super) fn new(
        positions: Positions,
        environment: BTreeMap<String, String>,
        settings: Settings,
        log: Log,
        intake: &Intake,
        brought: Brought,
        service: Service,
    ) -> io::Result<Self> {
        // Without hints there are looks.
        let (watch, names) = (Watch::new().ok(), Watch::of_names().ok());
        for watch in [&watch, &names].into_iter().flatten() {
            intake.watch(Token::Watch, watch.as_fd())?;
        }
        let (all, listeners) = (BTreeMap::new(), Vec::new());
        Ok(Self {
            all,
            listeners,
            watch,
            names,
            positions,
            brought,
            service,
            own: Own::find(),
            blind: false,
            environment: Arc::new(environment),
            settings,
            log,
        })
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    pub(super) fn get(&self, name: &str) -> Option<(&Input, bool)> {
        self.all.get(name).map(|state| (&state.input, state.attached))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    /// Adds an input; it is opened by the next [`scan`](Self::scan).
    pub(super) fn add(&mut self, input: Input, attached: bool, intake: &mut Intake) {
        let mut state = State {
            attached,
            error: None,
            ended: 0,
            over: HashSet::new(),
            globs: None,
            opened: false,
            looked: self.positions.looks.earlier(&input.name, &input.path),
            recovered: false,
            watched: None,
            secrets: Vec::new(),
            input,
        };
        match state.input.kind {
            Kind::File | Kind::Cri => match globs(&state.input, self.settings.max_inputs) {
                Ok(mut globs) => {
                    for Written { path, position, .. } in self.positions.of(&state.input.name) {
                        let file::Identity { device, inode, .. } = position.file;
                        globs.remember(device, inode, path.into());
                    }
                    state.globs = Some(globs);
                }
                Err(error) => state.error = Some(error.to_string()),
            },
            Kind::Socket => match self.bind(&state.input) {
                Ok(listener) => self.listen(&state.input.name, listener, intake),
                Err(error) => state.error = Some(error.to_string()),
            },
            Kind::Otlp => state.error = self.brought.listen(&state.input).err(),
            Kind::Fifo | Kind::Stdin | Kind::Steps => {}
        }
        if let Some(error) = &state.error {
            self.log.warn(&format!("input {}: {}: {error}", state.input.name, state.input.path));
        }
        if let Some(process) = state.input.process {
            self.watch_process(&mut state, process, intake);
        }
        if state.input.kind == Kind::Socket {
            self.take_over(&mut state, intake);
        }
        self.all.insert(state.input.name.clone(), state);
    }

    /// Ends an input with all its streams. What it had is for [`add`](Self::add) to take over, until
    /// [`let_go`](Self::let_go).
    pub(super) fn remove(&mut self, name: &str, reason: &str, intake: &mut Intake) {
        let exit = Exit { reason: Some(reason.to_owned()), ..Exit::default() };
        self.end(name, &exit, Take::Lines, intake);
    }

    fn end(&mut self, name: &str, exit: &Exit, take: Take, intake: &mut Intake) {
        if self.all.remove(name).is_none() {
            return;
        }
        for slot in &mut self.listeners {
            if let Some(Listener { listener, .. }) = slot.take_if(|it| it.input == name) {
                intake.unwatch(listener.as_fd());
                self.service.give_back(name, listener.into(), None);
            }
        }
        self.brought.close(name);
        for index in streams(intake, name) {
            let metadata = intake.slot(index).and_then(|slot| match &slot.source {
                Source::Connection(connection) => {
                    let read = connection.head.as_ref().is_none_or(|head| !head.is_empty());
                    read.then(|| slot.stream.whose(&intake.common))
                }
                _ => None,
            });
            let mut told = Vec::new();
            if let Some(place) = intake.end(index, exit.clone(), take, &mut told) {
                self.positions.put(place);
            }
            for event in told {
                if let Event::Ended { descriptor: Some(descriptor), .. } = event {
                    self.service.give_back(name, descriptor, metadata.clone());
                }
            }
        }
    }

    /// Whose lines an input has that a process writes: as the input says, or its variables do.
    pub(super) fn whose(&mut self, input: &Input, process: Process, common: &Common) -> Metadata {
        let mut known = self.known(input, Metadata::default(), None, &input.name);
        known.said = self.environ(process.pid, None);
        known.attributes.insert("process.pid".to_owned(), process.pid.to_string());
        known.metadata(&common.stack.metadata)
    }

    /// Its end will be that of this input.
    fn watch_process(&mut self, state: &mut State, process: Process, intake: &Intake) {
        let watched = match Watched::new(process) {
            Ok(watched) => watched,
            Err(error) => {
                return self.failed(state, &format_args!("watch {}: {error}", process.pid));
            }
        };
        if let Some(descriptor) = watched.descriptor() {
            if let Err(error) = intake.watch(Token::Process(process.pid), descriptor) {
                return self.failed(state, &error);
            }
            let variables = self.environ(process.pid, None);
            let names = &intake.common.stack.redact.env;
            state.secrets = redact::secrets_from_env(names, variables.into_iter());
        }
        state.watched = Some(watched);
    }

    /// A process has ended.
    pub(super) fn process_ends(&mut self, pid: i32, intake: &Intake) {
        for watched in self.all.values_mut().filter_map(|state| state.watched.as_mut()) {
            if watched.process.pid == pid
                && let Some(descriptor) = watched.descriptor()
            {
                intake.unwatch(descriptor);
                watched.ends(Instant::now());
            }
        }
    }

    /// Ends the inputs whose processes have ended, as those have; returns their names. What they wrote is
    /// read to its end first: where that takes longer than a turn, they end at a later call.
    pub(super) fn end_with_processes(&mut self, intake: &mut Intake) -> Vec<String> {
        let now = Instant::now();
        let exit = |state: &State| state.watched.as_ref().and_then(|watched| watched.exit(now));
        let over = self.all.iter().filter_map(|(name, state)| Some((name.clone(), exit(state)?)));
        let mut over: Vec<(String, Exit)> = over.collect();
        over.retain(|(name, _)| streams(intake, name).into_iter().all(|index| intake.drain(index)));
        for (name, exit) in &over {
            self.end(name, exit, Take::Everything, intake);
        }
        over.into_iter().map(|(name, _)| name).collect()
    }

    /// Whether a process has ended of which it is not known how.
    pub(super) fn waits_for_processes(&self) -> bool {
        self.all.values().any(|state| state.watched.as_ref().is_some_and(Watched::has_ended))
    }

    /// What ended inputs had and no other has taken.
    pub(super) fn let_go(&mut self) {
        let mut lost = 0;
        for descriptor in self.service.settle() {
            lost += unread(&descriptor);
            let Some(path) = listens_at(&descriptor) else { continue };
            let is_used = |state: &State| {
                state.input.kind == Kind::Socket && Path::new(&state.input.path) == path
            };
            if !self.all.values().any(is_used) {
                drop(fs::remove_file(path));
            }
        }
        if lost > 0 {
            self.log.error(&format!(
                "{lost} bytes are lost: they were in FIFOs or connections of inputs that are no more; let steps end \
                 before their input is detached or taken out of the stack file"
            ));
        }
    }

    /// Looks for what has come and what has ended.
    pub(super) fn scan(&mut self, intake: &mut Intake, told: &mut Vec<Event>) {
        let (mut folders, mut names) = (BTreeSet::new(), BTreeSet::new());
        let (begun, mut looked) = (Nanos::now(), Vec::new());
        let open = by_input(intake);
        for name in self.names() {
            let Some(mut state) = self.all.remove(&name) else { continue };
            let open = open.get(&name).map(Vec::as_slice).unwrap_or_default();
            match state.input.kind {
                Kind::Stdin => self.scan_stdin(&mut state, intake),
                Kind::Fifo => {
                    let path = PathBuf::from(&state.input.path);
                    names.extend(path.parent().map(Path::to_owned));
                    let there = |index: &&usize| {
                        intake.slot(**index).is_some_and(|slot| slot.path.is_some())
                    };
                    let open = open.iter().find(there).copied();
                    self.scan_fifo(&mut state, &path, open, intake, told);
                }
                Kind::Steps => {
                    let is_file = |index: &usize| {
                        intake.slot(*index).is_some_and(|it| matches!(it.source, Source::File(_)))
                    };
                    if open.iter().any(is_file) {
                        folders.insert(PathBuf::from(&state.input.path));
                    }
                    names.insert(PathBuf::from(&state.input.path));
                    self.scan_steps(&mut state, open, intake, told);
                }
                Kind::File | Kind::Cri => {
                    folders.extend(self.scan_files(&mut state, open, intake, told));
                }
                Kind::Socket | Kind::Otlp => {}
            }
            if matches!(state.input.kind, Kind::File | Kind::Cri | Kind::Steps) {
                state.looked = Some(begun);
                looked.push((name.clone(), state.input.path.clone()));
            }
            self.all.insert(name, state);
        }
        if let Err(error) = self.positions.looks.keep(looked, begun) {
            self.log.limited(&format!("when files were looked for last cannot be kept: {error}"));
        }
        for (watch, folders) in [(&mut self.watch, folders), (&mut self.names, names)] {
            if let Some(watch) = watch {
                watch.set(folders.iter().map(PathBuf::as_path));
            }
        }
    }

    /// Hints have come. True: a scan is worth it.
    pub(super) fn hinted(&mut self, intake: &mut Intake, told: &mut Vec<Event>) -> bool {
        let (mut changed, mut scan) = (HashSet::new(), false);
        for watch in [&mut self.watch, &mut self.names].into_iter().flatten() {
            scan |= watch.drain(|path| _ = changed.insert(path));
        }
        for path in &changed {
            // An exit record is complete.
            scan |= path.to_string_lossy().ends_with(EXIT_RECORD);
            if let Some(index) = intake.file(path) {
                intake.read(index, told);
            }
        }
        scan
    }

    /// Records have come: puts them into their streams' spools, all of them or none: they come again as a whole.
    pub(super) fn bring(&mut self, input: &str, batches: &[Batch], intake: &mut Intake) -> Verdict {
        let Some(state) = self.all.get(input) else { return Verdict::Ending };
        let mut streams = Vec::with_capacity(batches.len());
        for batch in batches {
            let index = self.brought.stream(input, &batch.metadata, intake).or_else(|| {
                if !self.has_room(&state.input, intake) {
                    return None;
                }
                let own = batch.metadata.clone();
                let known = self.known(&state.input, own, None, input);
                let label = label(input, &batch.metadata);
                let stream = Stream::new(input, label, known, Instant::now());
                let ends = state.input.ends_after_idle;
                Some(intake.add(stream, Source::Brought, None, ends))
            });
            let Some(index) = index else { return Verdict::TooManyStreams };
            self.brought.know(input, &batch.metadata, index);
            streams.push(index);
        }
        // What goes in one piece is taken or not; of several none may be the first that is not.
        let is_one = matches!(batches, [batch] if batch.pieces.len() == 1);
        if !is_one && !streams.iter().all(|index| intake.has_room(*index)) {
            return Verdict::Full;
        }
        let mut brought = streams.into_iter().zip(batches);
        if brought.all(|(index, batch)| intake.deliver(index, batch)) {
            Verdict::Taken
        } else {
            Verdict::Full
        }
    }

    /// A stream has ended.
    pub(super) fn ended(&mut self, input: &str, path: Option<PathBuf>, intake: &mut Intake) {
        let Some(state) = self.all.get_mut(input) else { return };
        state.ended += 1;
        if state.input.kind == Kind::Otlp {
            self.brought.tidy(intake);
        }
        // Of files and FIFOs that ended by themselves there is nothing more to read.
        if let Some(path) = path
            && matches!(state.input.kind, Kind::Fifo | Kind::Steps)
        {
            state.over.insert(path);
        }
    }

    /// Whether there was something to read, and all of it has ended.
    pub(super) fn is_done(&self, intake: &Intake) -> bool {
        let all_open = by_input(intake);
        let over = |state: &State| {
            let open = all_open.get(&state.input.name).map(Vec::as_slice).unwrap_or_default();
            let is_written =
                |index: &usize| intake.slot(*index).is_some_and(|it| it.stream.spool().is_some());
            match state.input.kind {
                // A file that nobody writes any more stays open: its writer has ended.
                Kind::File | Kind::Cri => state.ended > 0 && !open.iter().any(is_written),
                _ => state.ended > 0 && open.is_empty(),
            }
        };
        self.all.values().all(over)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn open(
        state: &mut State,
        label: String,
        known: Known,
        source: Source,
        path: Option<PathBuf>,
        intake: &mut Intake,
    ) -> usize {
        let stream = Stream::new(&state.input.name, label, known, Instant::now());
        Self::start(state, stream, source, path, intake)
    }

    pub(super) fn start(
        state: &State,
        stream: Stream,
        source: Source,
        path: Option<PathBuf>,
        intake: &mut Intake,
    ) -> usize {
        let index = intake.add(stream, source, path, state.input.ends_after_idle);
        if !state.secrets.is_empty() {
            intake.has_secrets(index, state.secrets.clone());
        }
        index
    }

    /// What is known of a stream.
    pub(super) fn known(
        &self,
        input: &Input,
        own: Metadata,
        env_file: Option<&Path>,
        what: &str,
    ) -> Known {
        Known {
            table: input.metadata.clone(),
            own,
            said: env_file.and_then(|path| self.read_env_file(path)).unwrap_or_default(),
            environment: Arc::clone(&self.environment),
            what: what.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    fn read_env_file(&self, path: &Path) -> Option<BTreeMap<String, String>> {
        match source::read_small(path) {
            Ok(text) => Some(variables(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.log.limited(&format!("{} is not used: {error}", file::shown(path)));
                None
            }
        }
    }

    pub(super) fn failed(&self, state: &mut State, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        self.log.limited(&format!("input {}: {error}", state.input.name));
        state.error = Some(error);
    }

    /// How they are doing.
    pub(super) fn status(
        &self,
        intake: &Intake,
        lag: impl Fn(&Path, u64) -> (u64, f64),
    ) -> Vec<InputStatus> {
        let now = Instant::now();
        let open = by_input(intake);
        let stream = |slot: &super::intake::Slot| {
            let origin = slot.stream.writer();
            let (lag_bytes, lag_seconds) =
                slot.stream.spool().map_or((0, 0.0), |(dir, offset)| lag(dir, offset));
            StreamStatus {
                label: slot.stream.label.clone(),
                pipeline_run_id: origin.map(|writer| writer.origin.pipeline_run_id.clone()),
                step_id: origin.map(|writer| writer.origin.step_id.clone()),
                writer: origin.map(|writer| writer.id.to_string()),
                bytes: slot.stream.captured,
                idle_seconds: now.saturating_duration_since(slot.stream.last).as_secs_f64(),
                lag_bytes,
                lag_seconds,
                unread_bytes: match &slot.source {
                    Source::File(followed) => followed.follower.lag(),
                    _ => 0,
                },
            }
        };
        let input = |state: &State| InputStatus {
            name: state.input.name.clone(),
            kind: state.input.kind.as_str().to_owned(),
            path: state.input.path.clone(),
            pid: state.input.process.map(|process| process.pid),
            attached: state.attached,
            error: state.error.clone(),
            ended: state.ended,
            bytes: intake.read_bytes(&state.input.name),
            streams: open
                .get(&state.input.name)
                .into_iter()
                .flatten()
                .filter_map(|index| intake.slot(*index).map(stream))
                .collect(),
        };
        self.all.values().map(input).collect()
    }
}

pub(super) fn streams(intake: &Intake, input: &str) -> Vec<usize> {
    let own = intake.slots().filter(|(_, slot)| slot.stream.input == input);
    own.map(|(index, _)| index).collect()
}

/// The open streams of all inputs.
fn by_input(intake: &Intake) -> HashMap<String, Vec<usize>> {
    let mut open: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, slot) in intake.slots() {
        open.entry(slot.stream.input.clone()).or_default().push(index);
    }
    open
}

/// What finds an input's files.
fn globs(input: &Input, max_files: usize) -> Result<Globs, BadTemplate> {
    let exclude = input.exclude.iter().map(|text| Template::new(text)).collect::<Result<_, _>>()?;
    Ok(Globs::new(Template::new(&input.path)?, max_files, false).excluding(exclude))
}
