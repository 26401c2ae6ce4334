//! Where reading of a file goes on: what the spools and the kept positions of a folder say.
//!
//! Apart from [`capture::file`](crate::capture::file), which makes positions, and from the
//! [`spool`], which keeps them: here they get the name of an input and a path, and the last of each
//! is found after a restart.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::looks::Looks;
use crate::capture::file;
use crate::record::{Nanos, WriterId};
use crate::spool::{self, SpoolState};

/// What is written with the bytes of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    /// The input's name.
    pub(super) input: String,
    /// The path that is followed.
    pub(super) path: String,
    /// The place.
    pub(super) position: file::Position,
}

/// The last position of a path, and how many bytes came after it.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) written: Written,
    pub(super) following: u64,
    pub(super) writer: WriterId,
}

/// After so long the place in a file that is gone is of no use: it does not come back.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

fn is_forgotten(kept: &spool::Kept) -> bool {
    let Ok(written) = serde_json::from_slice::<Written>(&kept.position.payload) else {
        return false;
    };
    let age = Nanos::now().0.saturating_sub(kept.writer.started().0);
    age > FORGOTTEN.as_nanos() as i64 && !Path::new(&written.path).exists()
}

/// Forgets those of files that are long gone.
pub(super) fn forget_old(root: &Path) -> io::Result<()> {
    for kept in spool::kept_positions(root)? {
        if is_forgotten(&kept) {
            spool::forget_position(root, kept.writer)?;
        }
    }
    Ok(())
}

/// The last positions by input and path.
#[derive(Debug, Default)]
pub(super) struct Positions {
    last: HashMap<(String, String), Last>,
    /// Where nothing was read yet.
    pub(super) looks: Looks,
}

impl Positions {
    /// Those below `root`. To be asked before the first file is opened: what a writer that lives has
    /// written is not looked at.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        let mut positions = Self { last: HashMap::new(), looks: Looks::load(root) };
        for kept in spool::kept_positions(root)? {
            if is_forgotten(&kept) {
                // If it cannot be removed now, the next agent tries.
                drop(spool::forget_position(root, kept.writer));
                continue;
            }
            positions.add(kept.writer, &kept.position);
        }
        for entry in spool::list(root)? {
            let Ok(meta) = &entry.meta else { continue };
            if entry.state == SpoolState::Interrupted
                && let Some(position) = spool::last_position(&entry.path)?
            {
                positions.add(meta.writer.id, &position);
            }
        }
        Ok(positions)
    }

    fn add(&mut self, writer: WriterId, position: &spool::Position) {
        // One that a later version wrote, or nobody: then the file is read from its start.
        let Ok(written) = serde_json::from_slice::<Written>(&position.payload) else { return };
        let key = (written.input.clone(), written.path.clone());
        let newer = self.last.get(&key).is_none_or(|known| known.writer <= writer);
        if newer {
            self.last.insert(key, Last { written, following: position.following, writer });
        }
    }

    /// The last one of this path.
    pub(super) fn take(&mut self, input: &str, path: &Path) -> Option<Last> {
        self.last.remove(&(input.to_owned(), path.to_string_lossy().into_owned()))
    }

    /// All of an input whose paths are not followed yet.
    pub(super) fn of<'a>(&'a self, input: &'a str) -> impl Iterator<Item = &'a Written> {
        self.last.values().map(|last| &last.written).filter(move |written| written.input == input)
    }

    /// A writer of this process has ended with this.
    pub(super) fn put(&mut self, last: Last) {
        let key = (last.written.input.clone(), last.written.path.clone());
        self.last.insert(key, last);
    }
}

#[cfg(test)]
mod tests {
    use uuid::{Timestamp, Uuid};

    use super::*;
    use crate::record::IoStream;
    use crate::spool::{Settings, SpoolWriter};
    use crate::stores::artifact::testing;

    #[test]
    fn places_in_files_that_are_long_gone_are_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("there.log");
        std::fs::write(&there, "").unwrap();
        let gone = root.path().join("gone.log");
        let days = |days: i64| (Nanos::now().0 / 1_000_000_000 - days * 86_400) as u64;
        let keep = |path: &Path, age: i64| {
            let mut writer = testing::writer("run", "step", 1);
            writer.id = WriterId(Uuid::new_v7(Timestamp::from_unix_time(days(age), 0, 0, 0)));
            let meta = spool::Meta {
                version: spool::VERSION,
                writer: writer.clone(),
                lines: crate::line::Settings::default(),
                stack: None,
                stack_file: None,
                stranger: None,
            };
            let position = file::Position {
                file: file::Identity::default(),
                modified: Nanos(1),
                iostream: IoStream::Stdout,
                from: file::Place::default(),
                to: file::Place::default(),
                bytes: 5,
            };
            let path = path.to_str().unwrap().to_owned();
            let written = Written { input: "files".to_owned(), path, position };
            let settings = Settings { dir: root.path().join("spool"), ..Settings::default() };
            let mut spool = SpoolWriter::create(&settings, &meta).unwrap();
            let payload = serde_json::to_vec(&written).unwrap();
            spool.append_at(IoStream::Stdout, Nanos(1), &payload, b"line\n");
            spool.finish(&crate::record::Exit::default()).unwrap();
            writer.id
        };
        let kept = [keep(&there, 30), keep(&gone, 1)];
        let old = keep(&gone, 30);
        let spools = root.path().join("spool");
        let writers = || -> Vec<_> {
            spool::kept_positions(&spools).unwrap().iter().map(|kept| kept.writer).collect()
        };
        assert!(writers().contains(&old) && writers().len() == 3);
        forget_old(&spools).unwrap();
        assert_eq!(writers(), kept);
    }
}
