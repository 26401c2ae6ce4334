//! Which writer a stream goes on from when the agent was stopped or killed in the middle of it, so that
//! readers take the two for one.
//!
//! A writer that was killed is found by its spool. One that was ended may be delivered and gone by the
//! time that the next agent starts, so a file in the spools' folder has the last ones. Apart
//! from [`position`](super::position), which says where reading a file goes on: a pipe has no place.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record::{Exit, Origin, Writer, WriterId};
use crate::spool::{self, SpoolState};

/// Of a writer: the input that it is of.
pub(super) const INPUT: &str = "steplog.input";

/// In the folder of the spools.
const FILE: &str = ".streams.json";

/// The last writer of each stream that was interrupted, until another one goes on from it.
#[derive(Debug, Default)]
pub(super) struct Earlier(Mutex<HashMap<(String, Origin), WriterId>>);

#[derive(Debug, Serialize, Deserialize)]
struct Stopped {
    input: String,
    writer: WriterId,
    #[serde(flatten)]
    origin: Origin,
}

impl Earlier {
    /// Those below `root`. To be asked before any spool is delivered.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        let mut newest = HashMap::new();
        let mut add = |input: String, origin: Origin, writer: WriterId| {
            let known = newest.entry((input, origin)).or_insert(writer);
            *known = writer.max(*known);
        };
        // Without it, or if it is damaged, streams are shown in two pieces.
        let kept = fs::read(root.join(FILE)).unwrap_or_default();
        for Stopped { input, writer, origin } in
            serde_json::from_slice::<Vec<Stopped>>(&kept).unwrap_or_default()
        {
            add(input, origin, writer);
        }
        for entry in spool::list(root)? {
            let Ok(meta) = entry.meta else { continue };
            let interrupted = match entry.state {
                SpoolState::Interrupted => true,
                SpoolState::Live => false,
                SpoolState::Finished => {
                    spool::read_exit(&entry.path)?.as_ref().is_some_and(Exit::is_unknown)
                }
            };
            let Writer { id, origin, mut attributes, .. } = meta.writer;
            if interrupted && let Some(input) = attributes.remove(INPUT) {
                add(input, origin, id);
            }
        }
        Ok(Self(Mutex::new(newest)))
    }

    /// The writer that a new one of this input and origin goes on from.
    pub(super) fn take(&self, input: &str, origin: &Origin) -> Option<WriterId> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.remove(&(input.to_owned(), origin.clone()))
    }

    /// The agent stops: these writers end before their steps.
    pub(super) fn keep<'a>(
        root: &Path,
        writers: impl Iterator<Item = (&'a str, &'a Writer)>,
    ) -> io::Result<()> {
        let stopped = writers.map(|(input, writer)| Stopped {
            input: input.to_owned(),
            writer: writer.id,
            origin: writer.origin.clone(),
        });
        let text = serde_json::to_vec(&stopped.collect::<Vec<_>>())?;
        // Another ending than that of a spool that is being made.
        let new = root.join(".streams.json.tmp");
        fs::write(&new, text)?;
        fs::rename(new, root.join(FILE))
    }
}
