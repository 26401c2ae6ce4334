//! The checkpoint: how far each log store has what the spool holds, and which cuts are decided.
//!
//! Apart from the reader because ship alone writes it and decides what is in it; here is only
//! its shape and how it is kept whole. `A` is the state from which line splitting is taken up
//! again (`line::State`), which this module does not look into.
//!
//! | file | written | survives |
//! |---|---|---|
//! | `checkpoint` | under another name, flushed, renamed: where it must be durable | the loss of power |
//! | `checkpoint.0`, `checkpoint.1` | in place, by turns: all others | the death of any process: the other one is whole |
//!
//! On a full disk there is no room for another name, but these two have theirs from the first on. What must be durable is written in place then, and flushed, as
//! is all after it until one by another name has been: so one of the two is always whole on the disk too.
//!
//! The one with the highest number holds. Written in place since there are many: a file that is replaced costs
//! a new inode and gives one back (on ext4 without a journal, which looks at all that were given back
//! lately, that was a third of all time of a thousand busy streams).
//!
//! ```text
//! number, bytes of the JSON, CRC-32C of both in hexadecimal: "7 812 1c291ca3\n"; the JSON; what longer ones have left
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dir::{Durability, write_file};
use super::disk::{RealDisk, is_full, read_all};

const DURABLE: &str = "checkpoint";
const BY_TURNS: [&str; 2] = ["checkpoint.0", "checkpoint.1"];
const VERSION: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint<A> {
    version: u32,
    /// Of those of a spool, the highest is the last.
    #[serde(skip)]
    number: u64,
    /// What is durable lies in one of those that are written in place.
    #[serde(skip)]
    in_place: bool,
    /// By the log store's name.
    pub stores: BTreeMap<String, StoreCheckpoint<A>>,
}

/// One log store's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreCheckpoint<A> {
    /// Where to take up reading: after the last acknowledged chunk.
    pub acked: A,
    /// Number of the chunk after the last acknowledged one.
    pub next_chunk: u64,
    /// Cuts that are decided and may have been sent, oldest first. Written before the first
    /// request, so that a later try sends the same bytes under the same name.
    #[serde(default = "Vec::new")]
    pub in_flight: Vec<Cut<A>>,
    /// The store's own state.
    #[serde(default)]
    pub store: serde_json::Value,
    /// Why the last try failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// All is delivered and the store has been told that it ends here.
    #[serde(default)]
    pub finished: bool,
}

/// Where a chunk ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut<A> {
    /// The chunk's number.
    pub chunk: u64,
    /// `seq` of the first line that is not in it.
    pub to_seq: u64,
    /// Where reading is taken up if the store turns out to have the chunk. None where the cut was
    /// learnt from the store.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub after: Option<A>,
}

fn none<A>() -> Option<A> {
    None
}

/// Why [`Checkpoint::load`] failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what ship writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A later version of steplog wrote it.
    #[error("{} has version {found}, this steplog reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
}

impl<A> Default for Checkpoint<A> {
    fn default() -> Self {
        Self { version: VERSION, number: 0, in_place: false, stores: BTreeMap::new() }
    }
}

impl<A: Serialize + DeserializeOwned> Checkpoint<A> {
    /// What was stored last; the default if nothing was.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let mut last: Option<(u64, Vec<u8>, PathBuf)> = None;
        let mut damaged = None;
        for name in [DURABLE].into_iter().chain(BY_TURNS) {
            let path = dir.join(name);
            let contents = match read_all(&RealDisk, &path) {
                Ok(contents) => contents,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(LoadError::Io { path, source }),
            };
            // Before there were several it was the JSON alone.
            let bare = || contents.starts_with(b"{").then_some((0, contents.as_slice()));
            match decode(&contents).or_else(bare) {
                Some((number, json)) if last.as_ref().is_none_or(|(last, ..)| number > *last) => {
                    last = Some((number, json.to_owned(), path));
                }
                Some(_) => {}
                None => damaged = Some(path),
            }
        }
        let Some((number, json, path)) = last else {
            return damaged
                .map_or_else(|| Ok(Self::default()), |path| Err(LoadError::Damaged { path }));
        };
        // The version first: a later one may have other fields.
        let value: Option<serde_json::Value> = serde_json::from_slice(&json).ok();
        let version = value.as_ref().and_then(|value| value.get("version")?.as_u64());
        if let Some(found) = version.filter(|found| *found > u64::from(VERSION)) {
            return Err(LoadError::Version { path, found: found as u32 });
        }
        let parsed = value.and_then(|value| serde_json::from_value::<Self>(value).ok());
        let checkpoint = parsed.map(|checkpoint| Self { number, ..checkpoint });
        checkpoint.ok_or(LoadError::Damaged { path })
    }

    /// Stores it in place of what was stored: whatever dies meanwhile, one of the two is there.
    pub fn store(&mut self, dir: &Path, durability: Durability) -> io::Result<()> {
        let number = self.number + 1;
        let contents = encode(number, &serde_json::to_vec(self)?);
        let replaced = match durability {
            Durability::Power => write_file(&RealDisk, dir, DURABLE, &contents, durability),
            Durability::Process => Ok(()),
        };
        let is_durable = durability == Durability::Power;
        match replaced {
            Ok(()) if is_durable => self.in_place = false,
            Err(error) if !is_full(&error) => return Err(error),
            replaced => {
                let [even, odd] = BY_TURNS.map(|name| dir.join(name));
                let (this, other) =
                    if number.is_multiple_of(2) { (even, odd) } else { (odd, even) };
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false);
                let mut file = options.open(this)?;
                file.write_all(&contents)?;
                if replaced.is_err() || self.in_place {
                    file.sync_data()?;
                    self.in_place = true;
                }
                if number == 1 {
                    // So that both have their place on the disk, should it become full.
                    fs::write(other, &contents)?;
                }
            }
        }
        // Only now: what has failed half way is tried again in the same place, and the other one stays.
        self.number = number;
        Ok(())
    }
}

fn encode(number: u64, json: &[u8]) -> Vec<u8> {
    let mut contents = format!("{number} {} {:08x}\n", json.len(), crc(number, json)).into_bytes();
    contents.extend_from_slice(json);
    contents
}

/// The number and the JSON; `None` if it is not whole.
fn decode(contents: &[u8]) -> Option<(u64, &[u8])> {
    let end = memchr::memchr(b'\n', contents)?;
    let (head, rest) = contents.split_at_checked(end + 1)?;
    let mut head = std::str::from_utf8(head).ok()?.split_ascii_whitespace();
    let (number, bytes) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
    let expected = u32::from_str_radix(head.next()?, 16).ok()?;
    let json = rest.get(..bytes)?;
    (crc(number, json) == expected).then_some((number, json))
}

fn crc(number: u64, json: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&number.to_le_bytes());
    digest.update(json);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint<u64> {
        let store = StoreCheckpoint {
            acked: 42,
            next_chunk: 3,
            in_flight: vec![Cut { chunk: 3, to_seq: 99, after: Some(50) }],
            store: serde_json::json!({ "segments": 1 }),
            last_error: Some("refused".into()),
            finished: false,
        };
        Checkpoint { stores: [("s3".to_owned(), store)].into(), ..Checkpoint::default() }
    }

    #[test]
    fn what_is_stored_last_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::<u64>::load(dir.path()).unwrap(), Checkpoint::default());
        let mut checkpoint = checkpoint();
        let (process, power) = (Durability::Process, Durability::Power);
        for (index, durability) in
            [process, process, process, power, process, power, power].into_iter().enumerate()
        {
            // Shorter ones leave something of longer ones behind.
            checkpoint.stores.get_mut("s3").unwrap().last_error = Some("x".repeat(9 - index));
            checkpoint.store(dir.path(), durability).unwrap();
            assert_eq!(Checkpoint::load(dir.path()).unwrap(), checkpoint);
        }
        let mut later = Checkpoint::<u64>::load(dir.path()).unwrap();
        later.stores.clear();
        later.store(dir.path(), process).unwrap();
        assert_eq!(Checkpoint::load(dir.path()).unwrap(), later);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn one_that_is_half_written_leaves_the_one_before() {
        for durability in [Durability::Process, Durability::Power] {
            let dir = tempfile::tempdir().unwrap();
            let mut checkpoint = checkpoint();
            checkpoint.store(dir.path(), durability).unwrap();
            let before = checkpoint.clone();
            checkpoint.stores.get_mut("s3").unwrap().acked = 43;
            checkpoint.store(dir.path(), Durability::Process).unwrap();
            let path = dir.path().join("checkpoint.0");
            let whole = std::fs::read(&path).unwrap();
            for len in [0, 1, 10, whole.len() - 1] {
                std::fs::write(&path, &whole[..len]).unwrap();
                assert_eq!(Checkpoint::load(dir.path()).unwrap(), before, "{durability:?} {len}");
            }
            let mut torn = whole.clone();
            torn[40] ^= 1;
            std::fs::write(&path, torn).unwrap();
            assert_eq!(Checkpoint::load(dir.path()).unwrap(), before);
            std::fs::write(dir.path().join("checkpoint.tmp"), "{").unwrap();
            let mut found = Checkpoint::<u64>::load(dir.path()).unwrap();
            found.store(dir.path(), Durability::Power).unwrap();
            assert_eq!(Checkpoint::load(dir.path()).unwrap(), found);
            assert!(!dir.path().join("checkpoint.tmp").exists());
        }
    }

    #[test]
    fn one_of_an_earlier_version_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let json = serde_json::to_vec(&checkpoint()).unwrap();
        std::fs::write(dir.path().join(DURABLE), json).unwrap();
        let mut found = Checkpoint::<u64>::load(dir.path()).unwrap();
        assert_eq!(found, checkpoint());
        found.stores.get_mut("s3").unwrap().acked = 43;
        found.store(dir.path(), Durability::Process).unwrap();
        assert_eq!(Checkpoint::load(dir.path()).unwrap(), found);
    }

    #[test]
    fn what_fails_again_and_again_leaves_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = checkpoint();
        checkpoint.store(dir.path(), Durability::Process).unwrap();
        let before = checkpoint.clone();
        // Nothing can be written there.
        let blocked = dir.path().join("checkpoint.0");
        std::fs::remove_file(&blocked).unwrap();
        std::fs::create_dir(&blocked).unwrap();
        checkpoint.stores.get_mut("s3").unwrap().acked = 43;
        for _ in 0..3 {
            checkpoint.store(dir.path(), Durability::Process).unwrap_err();
        }
        std::fs::remove_dir(blocked).unwrap();
        assert_eq!(Checkpoint::load(dir.path()).unwrap(), before);
        checkpoint.store(dir.path(), Durability::Process).unwrap();
        assert_eq!(Checkpoint::load(dir.path()).unwrap(), checkpoint);
    }

    #[test]
    fn damage_and_a_later_version_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let write = |json: &str| {
            std::fs::write(dir.path().join(DURABLE), encode(1, json.as_bytes())).unwrap();
        };
        write("{\"version\":1,\"stores\":{\"s3\":{}}}");
        let error = Checkpoint::<u64>::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
        write("{\"version\":2,\"shops\":[]}");
        let error = Checkpoint::<u64>::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Version { found: 2, .. }), "{error}");
        std::fs::write(dir.path().join(DURABLE), "{").unwrap();
        let error = Checkpoint::<u64>::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
    }
}
