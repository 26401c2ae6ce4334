//! Looking for the streams of each kind: what has come, what has ended.
//!
//! The second half of [`Inputs`], apart for its size: a look at standard input, a FIFO, a folder of
//! steps, the files of a template.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::{Known, filled};
use super::inputs::{Inputs, State};
use super::intake::{Event, Intake, all_was_read};
use super::position::{Last, Written};
use super::source::{
    EXIT_RECORD, Followed, Source, exit_record, is_at, open_fifo, open_stdin, read_exit,
};
use super::stream::Stream;
use super::{Kind, Metadata};
use crate::capture::file::{
    self, Captures, Follower, Format, Globs, Start, Take, base_of, rotated_bases, shown,
};
use crate::record::IoStream;

impl Inputs {
    pub(super) fn scan_stdin(&mut self, state: &mut State, intake: &mut Intake) {
        if state.opened {
            return;
        }
        state.opened = true;
        match open_stdin() {
            Ok(descriptor) => {
                let known = self.known(&state.input, Metadata::default(), None, "stdin");
                let source = Source::Stdin(descriptor);
                Self::open(state, "stdin".to_owned(), known, source, None, intake);
            }
            Err(error) => self.failed(state, &error),
        }
    }

    pub(super) fn scan_fifo(
        &mut self,
        state: &mut State,
        path: &Path,
        open: Option<usize>,
        intake: &mut Intake,
        told: &mut Vec<Event>,
    ) {
        let exit = read_exit(path);
        // With a record of its end it is over, whatever became of it.
        let open = match (open, &exit) {
            (Some(index), None) if has_left(index, path, intake) => {
                self.part(index, intake, told);
                None
            }
            _ => open,
        };
        match (open, exit) {
            (None, None) => {
                state.over.clear();
                if let Some(descriptor) = self.open_fifo(state, path, intake) {
                    let known =
                        self.known(&state.input, Metadata::default(), None, &state.input.name);
                    Self::open_pipe(state, path, known, descriptor, intake);
                }
            }
            // It has ended before we came: what is in the pipe is its.
            (None, Some(_)) if !state.over.contains(path) => {
                if let Some(descriptor) = self.open_fifo(state, path, intake) {
                    let known =
                        self.known(&state.input, Metadata::default(), None, &state.input.name);
                    let index = Self::open_pipe(state, path, known, descriptor, intake);
                    self.scan_fifo(state, path, Some(index), intake, told);
                }
            }
            (Some(index), Some(exit)) if intake.drain(index) => {
                intake.end(index, exit, Take::Everything, told);
                state.over.insert(path.to_owned());
            }
            (None | Some(_), _) => {}
        }
    }

    fn part(&mut self, index: usize, intake: &mut Intake, told: &mut Vec<Event>) {
        if let Some(Source::Fifo(fifo)) = intake.slot(index).map(|slot| &slot.source) {
            self.service.release(fifo);
        }
        intake.part(index, told);
    }

    fn open_fifo(&mut self, state: &mut State, path: &Path, intake: &Intake) -> Option<OwnedFd> {
        if !self.has_room(&state.input, intake) {
            self.too_many(state, intake);
            return None;
        }
        let pipe_bytes = intake.common.stack.capture.pipe_bytes;
        match open_fifo(path, state.input.mode, pipe_bytes) {
            Ok(descriptor) => {
                state.error = None;
                self.service.keep(&descriptor, &state.input.name);
                Some(descriptor)
            }
            Err(error) => {
                self.failed(state, &format_args!("{}: {error}", shown(path)));
                None
            }
        }
    }

    fn open_pipe(
        state: &mut State,
        path: &Path,
        known: Known,
        descriptor: OwnedFd,
        intake: &mut Intake,
    ) -> usize {
        let label = shown(path);
        let source = Source::Fifo(descriptor);
        Self::open(state, label, known, source, Some(path.to_owned()), intake)
    }

    pub(super) fn scan_steps(
        &mut self,
        state: &mut State,
        open: &[usize],
        intake: &mut Intake,
        told: &mut Vec<Event>,
    ) {
        let folder = PathBuf::from(&state.input.path);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.failed(state, &format_args!("{}: {error}", folder.display()));
                return;
            }
        };
        state.error = None;
        let path_of = |index: &usize| Some((intake.slot(*index)?.path.clone()?, *index));
        let mut open: BTreeMap<PathBuf, usize> = open.iter().filter_map(path_of).collect();
        // One look at the folder tells of all exit records.
        let there: BTreeMap<PathBuf, _> = entries
            .flatten()
            .filter_map(|entry| Some((entry.path(), entry.file_type().ok()?)))
            .collect();
        for index in open.values() {
            if matches!(intake.slot(*index).map(|slot| &slot.source), Some(Source::File(_))) {
                // Hints may have been lost, and the time of a renamed one runs.
                intake.read(*index, told);
            }
        }
        let left = open.iter().map(|(path, index)| (path.clone(), *index));
        let left = left.filter(|(path, index)| has_left(*index, path, intake));
        for (path, index) in left.collect::<Vec<_>>() {
            open.remove(&path);
            match read_exit(&path) {
                Some(exit) => drop(intake.end(index, exit, Take::Everything, told)),
                None => self.part(index, intake, told),
            }
        }
        // A file was removed when its step had ended.
        for (path, index) in open.iter().filter(|(path, _)| !there.contains_key(*path)) {
            if there.contains_key(&exit_record(path))
                && let Some(exit) = read_exit(path)
                && intake.drain(*index)
            {
                intake.end(*index, exit, Take::Everything, told);
            }
        }
        for (path, kind) in &there {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !is_step(name) || !(kind.is_fifo() || kind.is_file()) || state.over.contains(path) {
                continue;
            }
            // Read with the file that it was.
            let base = base_of(name.as_ref()).map(|base| path.with_file_name(base));
            let is_file = |base: &PathBuf| {
                open.contains_key(base) || there.get(base).is_some_and(FileType::is_file)
            };
            if kind.is_file() && base.as_ref().is_some_and(is_file) {
                continue;
            }
            let path = path.clone();
            if !open.contains_key(&path) {
                if !self.has_room(&state.input, intake) {
                    self.too_many(state, intake);
                    continue;
                }
                let step = step_name(name).to_owned();
                let own = Metadata { step_id: Some(step.clone()), ..Metadata::default() };
                if let Err(why) = own.check() {
                    self.log.limited(&format!("{}: {why}", shown(&path)));
                    state.over.insert(path);
                    continue;
                }
                let env_file = folder.join(format!("{step}.env"));
                let known = self.known(&state.input, own, Some(&env_file), &step);
                let index = if kind.is_fifo() {
                    let Some(descriptor) = self.open_fifo(state, &path, intake) else { continue };
                    let label = shown(&path);
                    let source = Source::Fifo(descriptor);
                    Some(Self::open(state, label, known, source, Some(path.clone()), intake))
                } else {
                    self.follow(state, &path, known, Some(&folder), intake)
                };
                open.extend(index.map(|index| (path.clone(), index)));
            }
            if let Some(index) = open.get(&path)
                && there.contains_key(&exit_record(&path))
                && let Some(exit) = read_exit(&path)
                && intake.drain(*index)
            {
                if let Some(place) = intake.end(*index, exit, Take::Everything, told) {
                    self.positions.put(place);
                }
                state.over.insert(path);
            }
        }
        state.over.retain(|path| there.contains_key(path));
    }

    pub(super) fn scan_files(
        &mut self,
        state: &mut State,
        open: &[usize],
        intake: &mut Intake,
        told: &mut Vec<Event>,
    ) -> BTreeSet<PathBuf> {
        let recovered = std::mem::replace(&mut state.recovered, true);
        let Some(globs) = &mut state.globs else { return BTreeSet::new() };
        let mut scan = globs.scan();
        let renamed = if recovered { Vec::new() } else { self.renamed(&state.input.name, globs) };
        scan.files.retain(|found| !self.own.is(found));
        let root = globs.root().map(Path::to_owned);
        for (path, why) in &scan.refused {
            self.log.limited(&format!("{}: {why}", shown(path)));
        }
        state.error = None;
        if scan.over_limit > 0 {
            self.too_many(state, intake);
        }
        let there: HashSet<&PathBuf> = scan.files.iter().map(|found| &found.path).collect();
        for index in open {
            let path = intake.slot(*index).and_then(|slot| slot.path.as_ref());
            if path.is_some_and(|path| !there.contains(path)) {
                // It was renamed or deleted, and its time runs.
                intake.read(*index, told);
            }
        }
        let is_gone = |index: &usize| {
            intake.slot(*index).is_some_and(|slot| {
                let missing = matches!(&slot.source, Source::File(file) if file.missing);
                let is_read = missing && slot.stream.is_ready();
                is_read && slot.path.as_ref().is_some_and(|path| !there.contains(path))
            })
        };
        let gone: Vec<usize> = open.iter().copied().filter(is_gone).collect();
        for index in gone {
            let exit = all_was_read("the file was removed");
            intake.end(index, exit, Take::Everything, told);
        }
        for (path, captures) in renamed {
            if !there.contains(&path) {
                self.follow_found(state, &path, captures, root.as_deref(), intake);
            }
        }
        let mut full = false;
        for found in scan.files {
            if let Some(index) = intake.file(&found.path) {
                // Hints may have been lost.
                intake.read(index, told);
                continue;
            }
            if full || state.over.contains(&found.path) {
                continue;
            }
            if !self.has_room(&state.input, intake) {
                self.too_many(state, intake);
                full = true;
                continue;
            }
            self.follow_found(state, &found.path, found.captures, root.as_deref(), intake);
        }
        scan.folders
    }

    /// Paths that were followed by an earlier agent and have rotated files, whose rest may not have been read: also
    /// if they name nothing now.
    fn renamed(&self, input: &str, globs: &Globs) -> Vec<(PathBuf, Captures)> {
        let mut bases: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        let mut found = Vec::new();
        for Written { path, .. } in self.positions.of(input) {
            let path = PathBuf::from(path);
            if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
                && let Some(captures) = globs.captures(&path)
            {
                let bases = bases.entry(folder.to_owned());
                // A folder that is gone has no files.
                let bases = bases.or_insert_with(|| rotated_bases(folder).unwrap_or_default());
                if bases.contains(name) {
                    found.push((path, captures));
                }
            }
        }
        found
    }

    fn follow_found(
        &mut self,
        state: &mut State,
        path: &Path,
        captures: Captures,
        root: Option<&Path>,
        intake: &mut Intake,
    ) {
        let own = Metadata::from(captures);
        let env_file = state.input.env_file.as_ref().map(|path| filled(path, &own));
        let what = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let known = self.known(&state.input, own, env_file.as_deref().map(Path::new), what);
        self.follow(state, path, known, root, intake);
    }

    /// Follows a file, from where it was left.
    fn follow(
        &mut self,
        state: &mut State,
        path: &Path,
        mut known: Known,
        root: Option<&Path>,
        intake: &mut Intake,
    ) -> Option<usize> {
        let settings = file::Settings {
            format: match state.input.kind {
                Kind::Cri => Format::CRI,
                _ => Format::Plain(IoStream::Stdout),
            },
            // Of a file that is new since the last look, so is what was rotated meanwhile.
            start: state.looked.map_or(Start::Beginning, Start::Since),
            root: root.map(Path::to_owned),
            ..file::Settings::default()
        };
        let last = self.positions.take(&state.input.name, path);
        let follower = match &last {
            Some(Last { written, following, .. }) => {
                Follower::resume(path, settings, &written.position, *following)
            }
            None => Follower::new(path, settings),
        };
        let follower = match follower {
            Ok(follower) => follower,
            Err(error) => {
                if let Some(last) = last {
                    self.positions.put(last);
                }
                self.failed(state, &crate::delivery::chain(&error));
                return None;
            }
        };
        let label = shown(path);
        known.attributes.insert("log.file.path".to_owned(), path.display().to_string());
        let followed = Followed {
            follower,
            generation: 0,
            partial_since: None,
            missing: false,
            before: last.as_ref().map(|last| last.writer),
        };
        let source = Source::File(Box::new(followed));
        let mut stream = Stream::new(&state.input.name, label, known, Instant::now());
        stream.comes_from(path, last);
        Some(Self::start(state, stream, source, Some(path.to_owned()), intake))
    }
}

/// Whether a stream's FIFO is not at its path any more.
fn has_left(index: usize, path: &Path, intake: &Intake) -> bool {
    let source = intake.slot(index).map(|slot| &slot.source);
    matches!(source, Some(Source::Fifo(fifo)) if !is_at(fifo, path))
}

/// Whether a name in a folder of steps is that of a step.
fn is_step(name: &str) -> bool {
    let other = [EXIT_RECORD, ".env", ".tmp"].iter().any(|end| name.ends_with(end));
    !other && !name.starts_with('.')
}

/// The step that a FIFO or file belongs to.
fn step_name(name: &str) -> &str {
    let ends = [".log", ".fifo"];
    ends.iter()
        .find_map(|end| name.strip_suffix(end))
        .filter(|name| !name.is_empty())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_folder_of_steps() {
        for (name, step) in [("train", "train"), ("train.log", "train"), ("a.b.fifo", "a.b")] {
            assert!(is_step(name));
            assert_eq!(step_name(name), step);
        }
        for other in ["train.exit.json", "train.env", ".train", "x.tmp"] {
            assert!(!is_step(other), "{other}");
        }
        assert_eq!(exit_record(Path::new("/s/train")), Path::new("/s/train.exit.json"));
    }
}
