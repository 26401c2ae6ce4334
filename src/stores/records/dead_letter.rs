//! Records that a service refused for good, kept in a file with its reason.
//!
//! ```text
//! <dir>/<log store>/<writer>.ndjson     {"rejected_at":…,"log_store":…,"writer":…,"reason":…,"record":…}
//! ```
//!
//! Apart from the session so that it can be filled and broken in tests. A record is on disk before
//! the chunk that had it is acknowledged; one that is refused again after a crash is there twice.
//! The folder is limited in bytes: at the limit nothing more is taken, and delivery stops with the
//! lines in the spool. A line that a full disk or a crash has cut short is ended before the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::record::{Nanos, WriterId};

/// Where dead letters go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One folder for all log stores.
    pub dir: PathBuf,
    /// The most that it takes.
    pub max_bytes: u64,
}

/// One log store's part of it.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    settings: Settings,
    log_store: String,
    /// Several chunks may have some at the same time.
    one_at_a_time: Mutex<()>,
}

/// One record that was refused.
#[derive(Debug, Serialize)]
pub(crate) struct Letter {
    /// The service's words.
    pub(crate) reason: String,
    /// The record as it was sent.
    pub(crate) record: Value,
}

/// Why a record could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeadLetterError {
    /// The folder is full.
    #[error("the folder of rejected records {} is full ({max_bytes} bytes)", dir.display())]
    Full {
        /// The folder.
        dir: PathBuf,
        /// Its limit.
        max_bytes: u64,
    },
    /// The system said no.
    #[error("failed to keep rejected records in {}", dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Entry<'a> {
    rejected_at: String,
    log_store: &'a str,
    writer: WriterId,
    #[serde(flatten)]
    letter: &'a Letter,
}

impl DeadLetter {
    /// Touches nothing yet.
    pub(crate) fn new(settings: Settings, log_store: &str) -> Self {
        Self { settings, log_store: log_store.to_owned(), one_at_a_time: Mutex::default() }
    }

    /// Where this writer's are.
    pub(crate) fn path(&self, writer: WriterId) -> PathBuf {
        // A name is a TOML key: it may hold anything.
        let folder = crate::stores::artifact::layout::encode(&self.log_store);
        self.settings.dir.join(folder).join(format!("{writer}.ndjson"))
    }

    /// Keeps these, durably. Waits for the disk.
    pub(crate) fn keep(&self, writer: WriterId, letters: &[Letter]) -> Result<(), DeadLetterError> {
        let dir = &self.settings.dir;
        let failed = |source| DeadLetterError::Write { dir: dir.clone(), source };
        let mut text = Vec::new();
        let rejected_at = Nanos::now().to_rfc3339();
        for letter in letters {
            let (rejected_at, log_store) = (rejected_at.clone(), self.log_store.as_str());
            let entry = Entry { rejected_at, log_store, writer, letter };
            serde_json::to_writer(&mut text, &entry).map_err(|error| failed(error.into()))?;
            text.push(b'\n');
        }
        let _alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(writer);
        let folder = path.parent().unwrap_or(dir);
        // What a step prints is for its owner.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        if bytes_below(dir).map_err(failed)? + text.len() as u64 > self.settings.max_bytes {
            let max_bytes = self.settings.max_bytes;
            return Err(DeadLetterError::Full { dir: dir.clone(), max_bytes });
        }
        append(&path, &text).map_err(failed)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// Appends whole lines, durably, on lines of their own.
fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let mut last = *b"\n";
    if let Some(at) = length.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    let written = match &last {
        b"\n" => file.write_all(text),
        _ => file.write_all(b"\n").and_then(|()| file.write_all(text)),
    };
    if let Err(error) = written {
        // It will all be written again. If this fails too, the next line ends the half one.
        drop(file.set_len(length));
        return Err(error);
    }
    file.sync_data()
}

/// Bytes of all files in the folders of `dir`.
fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for folder in fs::read_dir(dir)? {
        let folder = folder?;
        if folder.file_type()?.is_dir() {
            for file in fs::read_dir(folder.path())? {
                sum += file?.metadata()?.len();
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().to_owned(), max_bytes: 4000 };
        let (dead, writer) = (DeadLetter::new(settings, "it"), WriterId::new());
        let letter = |n: u8| Letter { reason: "no".into(), record: serde_json::json!({"n": n}) };
        dead.keep(writer, &[letter(1)]).unwrap();
        let path = dead.path(writer);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"rejected_at\":\"20");
        fs::write(&path, text).unwrap();
        dead.keep(writer, &[letter(2), letter(3)]).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let numbers: Vec<_> = whole.map(|entry| entry["record"]["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn records_are_kept_with_their_reason_until_the_folder_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().join("dead"), max_bytes: 400 };
        let dead = DeadLetter::new(settings, "a/../b");
        let writer = WriterId::new();
        let letter =
            || Letter { reason: "no such field".into(), record: serde_json::json!({"x": 1}) };
        dead.keep(writer, &[letter()]).unwrap();
        dead.keep(writer, &[letter()]).unwrap();
        let full = dead.keep(writer, &[letter()]).unwrap_err();
        assert!(matches!(full, DeadLetterError::Full { max_bytes: 400, .. }), "{full}");
        let path = dead.path(writer);
        assert!(path.starts_with(dir.path().join("dead")));
        let text = fs::read_to_string(path).unwrap();
        let entries: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0]["record"]["x"], 1);
        assert_eq!(entries[0]["reason"], "no such field");
        assert_eq!(entries[0]["log_store"], "a/../b");
    }
}
