//! The checkpoint of one spool, shared by the pipelines that deliver it.
//!
//! Apart because it answers the one question that no pipeline can answer alone: what has every
//! store acknowledged, and is that known for certain. Reading starts at the checkpoint, so
//! a segment may only be deleted when a checkpoint behind it would survive a loss of power.
//!
//! A checkpoint that cannot be written (a full disk) stops nothing: the stores themselves say
//! what they have. It only keeps segments from being deleted. It is not written any more when the last
//! store has everything: the spool is removed with it, and should that not be done, whoever finds the
//! spool asks the stores, or has it written then ([`Keeper::write`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::line;
use crate::spool::{self, Checkpoint, Disk as _, Durability, LoadError, RealDisk};
use crate::stores::Summary;

/// What a pipeline goes on from: how lines are cut, and what they came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// After the last line.
    pub lines: line::State,
    /// All lines up to there.
    pub totals: Summary,
}

/// One store's part of the checkpoint.
pub type StoreCheckpoint = spool::StoreCheckpoint<Mark>;
/// A cut as the checkpoint has it.
pub type Cut = spool::Cut<Mark>;

/// Keeps the checkpoint.
pub struct Keeper {
    /// None where there is no spool on disk.
    dir: Option<PathBuf>,
    stores: Vec<String>,
    /// The limit of the spool.
    room: u64,
    checkpoint: Mutex<Checkpoint<Mark>>,
    /// All stores have acknowledged what is before this, for certain. Not behind the lock: readers
    /// ask all the time, and must not wait for a disk.
    released: AtomicU64,
}

/// Most bytes that are acknowledged before the checkpoint is made durable.
const STEP: u64 = 8 << 20;

/// Where there are so many writers that each would have less, it has this much; in little room a 128th.
const MIN_STEP: u64 = 256 << 10;

impl Keeper {
    /// The checkpoint of the spool in `dir`, for delivery to these stores. `spool_bytes` is the
    /// spool's limit. A checkpoint that is damaged is as good as none: the stores know.
    pub fn open(dir: &Path, stores: Vec<String>, spool_bytes: u64) -> Result<Self, LoadError> {
        let checkpoint = match Checkpoint::load(dir) {
            Ok(checkpoint) => checkpoint,
            Err(LoadError::Damaged { .. }) => Checkpoint::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            dir: Some(dir.to_owned()),
            stores,
            room: spool_bytes,
            checkpoint: Mutex::new(checkpoint),
            released: AtomicU64::new(0),
        })
    }

    /// Where there is no spool: nothing outlives the process.
    pub fn in_memory(stores: Vec<String>) -> Self {
        Self {
            dir: None,
            stores,
            room: u64::MAX,
            checkpoint: Mutex::new(Checkpoint::default()),
            released: AtomicU64::new(0),
        }
    }

    /// A store's part; none if it has never had one.
    pub fn get(&self, store: &str) -> Option<StoreCheckpoint> {
        self.checkpoint().stores.get(store).cloned()
    }

    /// Replaces a store's part.
    pub fn put(&self, store: &str, part: StoreCheckpoint) {
        let mut checkpoint = self.checkpoint();
        checkpoint.stores.insert(store.to_owned(), part);
        let is_finished = |name| checkpoint.stores.get(name).is_some_and(|part| part.finished);
        if !self.stores.is_empty() && self.stores.iter().all(is_finished) {
            return;
        }
        self.store(&mut checkpoint);
    }

    /// Writes what is known, whatever it is.
    pub fn write(&self) {
        self.store(&mut self.checkpoint());
    }

    fn store(&self, checkpoint: &mut Checkpoint<Mark>) {
        let Some(dir) = &self.dir else { return };
        let acked = self.acknowledged(checkpoint);
        let durability = if acked.saturating_sub(self.released()) >= self.step(dir) {
            Durability::Power
        } else {
            Durability::Process
        };
        let stored = checkpoint.store(dir, durability);
        if stored.is_ok() && durability == Durability::Power {
            self.released.store(acked, Ordering::Relaxed);
        }
    }

    /// Whether enough is acknowledged by a store that has it all up to `offset` to be made durable: somebody may be
    /// waiting for what can be deleted then.
    pub fn owes(&self, offset: u64) -> bool {
        let Some(dir) = &self.dir else { return false };
        offset.saturating_sub(self.released()) >= self.step(dir)
    }

    fn step(&self, dir: &Path) -> u64 {
        let room = self.room.min(RealDisk.free(dir).unwrap_or(u64::MAX));
        step(room, dir.parent().map_or(1, spool::count))
    }

    /// Bytes before this are acknowledged by every store, and that is on disk.
    pub fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }

    fn acknowledged(&self, checkpoint: &Checkpoint<Mark>) -> u64 {
        let offset = |name: &String| match checkpoint.stores.get(name) {
            Some(store) => store.acked.lines.resume_offset(),
            None => 0,
        };
        self.stores.iter().map(offset).min().unwrap_or(0)
    }

    fn checkpoint(&self) -> MutexGuard<'_, Checkpoint<Mark>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes between two durable checkpoints, of a spool or a disk with room for so many, which these writers share. Where
/// there is little, a writer may be waiting for what can be deleted then.
fn step(room: u64, writers: u64) -> u64 {
    let least = (room / 128).min(MIN_STEP);
    (room / 16 / writers.max(1)).max(least).clamp(1, STEP)
}

/// A store's part before anything was delivered.
pub(super) fn fresh() -> StoreCheckpoint {
    StoreCheckpoint {
        acked: Mark::default(),
        next_chunk: 0,
        in_flight: Vec::new(),
        store: serde_json::Value::Null,
        last_error: None,
        finished: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory of the only writer.
    fn alone(root: &tempfile::TempDir) -> PathBuf {
        let dir = root.path().join("writer");
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    fn acked(offset: u64) -> StoreCheckpoint {
        let mut part = fresh();
        part.acked.lines.stdout.offset = offset;
        part.acked.lines.stderr.offset = offset;
        part
    }

    #[test]
    fn many_writers_share_the_room() {
        assert_eq!((step(1 << 30, 1), step(1 << 30, 64)), (STEP, 1 << 20));
        assert_eq!((step(1 << 30, 10_000), step(1600, 1), step(0, 0)), (MIN_STEP, 100, 1));
    }

    #[test]
    fn the_writers_beside_it_count_whoever_they_are_of() {
        let root = tempfile::tempdir().unwrap();
        for writer in 0..40 {
            std::fs::create_dir(root.path().join(format!("writer-{writer}"))).unwrap();
        }
        let dir = root.path().join("writer-0");
        let keeper = Keeper::open(&dir, vec!["a".to_owned()], 16 << 20).unwrap();
        assert!(!keeper.owes(100 << 10));
        assert!(keeper.owes(200 << 10), "a share of it, and no step of one that is alone");
        keeper.put("a", acked(200 << 10));
        assert_eq!(keeper.released(), 200 << 10);
    }

    #[test]
    fn released_is_what_all_stores_have_and_power_cannot_take() {
        let root = tempfile::tempdir().unwrap();
        let dir = alone(&root);
        let stores = vec!["a".to_owned(), "b".to_owned()];
        let keeper = Keeper::open(&dir, stores.clone(), 1600).unwrap();
        keeper.put("a", acked(500));
        assert_eq!(keeper.released(), 0);
        keeper.put("b", acked(50));
        assert_eq!(keeper.released(), 0, "less than a step");
        keeper.put("b", acked(300));
        assert_eq!(keeper.released(), 300);
        keeper.put("b", StoreCheckpoint { finished: true, ..acked(450) });
        assert_eq!(keeper.released(), 450, "the end of one is not the end of the spool");
        let again = Keeper::open(&dir, stores, 1600).unwrap();
        assert_eq!(again.get("a"), Some(acked(500)));
        assert!(again.get("b").is_some_and(|part| part.finished));
    }

    #[test]
    fn the_less_room_there_is_the_sooner_it_is_given_back() {
        assert_eq!([0, 1600, 1 << 40].map(|room| step(room, 1)), [1, 100, STEP]);
    }

    #[test]
    fn what_is_finished_for_all_is_not_written_unless_asked() {
        let root = tempfile::tempdir().unwrap();
        let dir = alone(&root);
        let stores = vec!["a".to_owned(), "b".to_owned()];
        let keeper = Keeper::open(&dir, stores.clone(), 1600).unwrap();
        let on_disk = |name| Keeper::open(&dir, stores.clone(), 1600).unwrap().get(name);
        let finished = StoreCheckpoint { finished: true, ..acked(450) };
        keeper.put("a", finished.clone());
        assert_eq!(on_disk("a"), Some(finished.clone()), "the other may take hours yet");
        keeper.put("b", finished.clone());
        assert_eq!((on_disk("b"), keeper.get("b")), (None, Some(finished.clone())));
        keeper.write();
        assert_eq!(on_disk("b"), Some(finished));
    }

    #[test]
    fn a_damaged_checkpoint_is_none_and_one_that_cannot_be_written_releases_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = alone(&root);
        std::fs::write(dir.join("checkpoint"), "{\"version\":1,").unwrap();
        let keeper = Keeper::open(&dir, vec!["a".to_owned()], 16).unwrap();
        assert_eq!(keeper.get("a"), None);
        root.close().unwrap();
        keeper.put("a", acked(500));
        assert_eq!(keeper.released(), 0);
        assert_eq!(keeper.get("a"), Some(acked(500)));
    }
}
