//! What may go: runs that are old or too many, and what crashes have left lying about.
//!
//! First the names alone say what could go, then the objects' own times decide: a run in which
//! anything has arrived lately stays, however long ago it was started. What goes, goes in an order
//! in which a crash leaves nothing that a later `gc` would not find: the entry in the index by run
//! is last, and it is by these that runs are found.
//!
//! | left over | why it may go |
//! |---|---|
//! | live chunk that a segment holds | readers take the segment's |
//! | lines of a writer without an entry, long untouched | its run went, but not all of it |
//! | `name#1` on a local store | a write that was never finished |

use std::collections::{BTreeMap, HashMap};
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::failure::read_error;
use super::fetch::{Entry, Reader, seen};
use super::layout;
use crate::read::store::ReadError;
use crate::record::{Nanos, WriterId};

/// Without an end, a run in which something came within this time may still be running.
const MAY_RUN: Duration = Duration::from_secs(24 * 3600);
/// A file that is being written is younger than this.
const UNFINISHED_FILE: Duration = Duration::from_secs(3600);
/// Requests under way at a time.
const AT_A_TIME: usize = 8;

/// What is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Runs in which nothing has come for this long.
    pub older_than: Option<Duration>,
    /// All runs but the newest ones, this many.
    pub keep: Option<usize>,
}

/// What can go.
#[derive(Clone, Debug, Default)]
pub struct Garbage {
    /// Whole runs, oldest first.
    pub runs: Vec<Run>,
    /// Objects that no one needs.
    pub leftovers: Vec<Object>,
    /// Files of a local store that were never finished.
    pub files: Vec<PathBuf>,
    /// Runs that would go, if they were not perhaps still running.
    pub may_run: Vec<String>,
    /// Runs that stay.
    pub kept: usize,
}

/// A run that can go.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub pipeline_run_id: String,
    /// When something of it came last.
    pub last_seen: Nanos,
    /// In the order in which they are to go.
    pub objects: Vec<Object>,
}

/// An object that can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub path: Path,
    /// Its size.
    pub bytes: u64,
}

impl Run {
    /// What goes with it.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

/// A writer as the listing of its folder shows it.
#[derive(Default)]
struct Folder {
    objects: Vec<ObjectMeta>,
}

impl Folder {
    fn last_seen(&self) -> Option<Nanos> {
        self.objects.iter().map(seen).max()
    }

    fn is_finished(&self) -> bool {
        self.objects.iter().any(|meta| meta.location.filename() == Some("end.json"))
    }
}

/// Finds out what can go. `folder`: of a local store, for files that were never finished.
pub async fn find(
    reader: &Reader,
    policy: Policy,
    now: Nanos,
    folder: Option<&FilePath>,
) -> Result<Garbage, ReadError> {
    let client = reader.client();
    let metas = client.list(&Path::from(layout::BY_ID)).await?;
    let entries: Vec<(Entry, ObjectMeta)> = stream::iter(metas)
        .map(async |meta| Ok::<_, ReadError>((reader.entry(&meta.location).await?, meta)))
        .buffered(AT_A_TIME)
        .try_filter_map(async |(entry, meta)| Ok(entry.map(|entry| (entry, meta))))
        .try_collect()
        .await?;
    let mut runs: BTreeMap<&str, Vec<&(Entry, ObjectMeta)>> = BTreeMap::new();
    for entry in &entries {
        runs.entry(&entry.0.writer.origin.pipeline_run_id).or_default().push(entry);
    }
    let last =
        |writers: &[&(Entry, ObjectMeta)]| writers.iter().map(|(entry, _)| entry.writer.id).max();
    let newest =
        |writers: &[&(Entry, ObjectMeta)]| last(writers).map(WriterId::started).unwrap_or_default();
    let mut by_age: Vec<(&str, Vec<&(Entry, ObjectMeta)>)> = runs.into_iter().collect();
    // Ids sort by start, finer than the time in them.
    by_age.sort_by_key(|(_, writers)| std::cmp::Reverse(last(writers)));
    let before = policy.older_than.map(|age| Nanos(now.0.saturating_sub(nanos(age))));
    let asked = policy.older_than.is_some() || policy.keep.is_some();

    let mut folders = folders(reader).await?;
    let mut garbage = Garbage::default();
    for (rank, (run, writers)) in by_age.into_iter().enumerate() {
        let counted = policy.keep.is_none_or(|keep| rank >= keep);
        let aged = before.is_none_or(|before| newest(&writers) < before);
        let own: Vec<Folder> = writers
            .iter()
            .map(|(entry, _)| folders.remove(&entry.writer.id).unwrap_or_default())
            .collect();
        let last_seen = own.iter().filter_map(Folder::last_seen).max();
        let last_seen = last_seen.unwrap_or_default().max(newest(&writers));
        let quiet = before.is_none_or(|before| last_seen < before);
        let may_run = own.iter().any(|folder| !folder.is_finished())
            && last_seen.0 >= now.0.saturating_sub(nanos(MAY_RUN));
        if asked && counted && aged && quiet {
            if may_run {
                garbage.may_run.push(run.to_owned());
            } else {
                garbage.runs.push(whole(run, last_seen, &writers, &own));
                continue;
            }
        }
        garbage.kept += 1;
        for (folder, (entry, _)) in own.iter().zip(&writers) {
            let prefix = layout::writer_prefix(&entry.writer);
            garbage.leftovers.extend(covered(&prefix, &folder.objects));
        }
    }
    garbage.runs.reverse();
    // What has no entry: of a run that went, but not all of it.
    let orphaned = Nanos(now.0.saturating_sub(nanos(policy.older_than.unwrap_or(MAY_RUN))));
    for folder in folders.into_values() {
        if folder.last_seen().is_some_and(|seen| seen < orphaned) {
            garbage.leftovers.extend(folder.objects.iter().map(object));
        }
    }
    garbage.leftovers.sort_by(|one, other| one.path.cmp(&other.path));
    if let Some(folder) = folder {
        unfinished_files(folder, UNFINISHED_FILE, &mut garbage.files);
    }
    Ok(garbage)
}

/// All that lies in the writers' folders.
async fn folders(reader: &Reader) -> Result<HashMap<WriterId, Folder>, ReadError> {
    let mut folders: HashMap<WriterId, Folder> = HashMap::new();
    for meta in reader.client().list(&Path::from(layout::LOGS)).await? {
        let writer =
            meta.location.as_ref().split('/').find_map(|part| part.strip_prefix("writer="));
        if let Some(id) = writer.and_then(|id| id.parse().ok()) {
            folders.entry(id).or_default().objects.push(meta);
        }
    }
    Ok(folders)
}

/// A run with everything of it. `end.json` goes first, so that nobody takes the rest for whole.
fn whole(run: &str, last_seen: Nanos, writers: &[&(Entry, ObjectMeta)], folders: &[Folder]) -> Run {
    let mut objects: Vec<Object> = Vec::new();
    for (entry, _) in writers {
        let path = layout::run_by_day(&entry.writer);
        if objects.iter().all(|object| object.path != path) {
            objects.push(Object { path, bytes: 0 });
        }
    }
    let all = || folders.iter().flat_map(|folder| &folder.objects);
    let is_end = |meta: &&ObjectMeta| meta.location.filename() == Some("end.json");
    objects.extend(all().filter(is_end).map(object));
    objects.extend(all().filter(|meta| !is_end(meta)).map(object));
    objects.extend(writers.iter().map(|(_, meta)| object(meta)));
    Run { pipeline_run_id: run.to_owned(), last_seen, objects }
}

/// Live chunks that a segment holds.
fn covered(prefix: &Path, metas: &[ObjectMeta]) -> Vec<Object> {
    let segments: Vec<(u64, u64)> = metas
        .iter()
        .filter_map(|meta| match layout::member(prefix, &meta.location)? {
            layout::Member::Segment { first, last, .. } => Some((first, last)),
            _ => None,
        })
        .collect();
    metas
        .iter()
        .filter(|meta| match layout::member(prefix, &meta.location) {
            Some(layout::Member::Live { number, .. }) => {
                segments.iter().any(|(first, last)| (*first..=*last).contains(&number))
            }
            _ => false,
        })
        .map(object)
        .collect()
}

fn object(meta: &ObjectMeta) -> Object {
    Object { path: meta.location.clone(), bytes: meta.size }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The client of local stores writes to `name#1`, `name#2`, … and renames; a crash leaves them, and
/// no listing shows them.
pub(super) fn unfinished_files(folder: &FilePath, least_age: Duration, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            unfinished_files(&path, least_age, found);
            continue;
        }
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
        let temporary =
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()));
        let old = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| {
            SystemTime::now().duration_since(modified).is_ok_and(|age| age >= least_age)
        });
        if kind.is_file() && temporary && old {
            found.push(path);
        }
    }
}

/// Removes all of it. `run_gone` hears of each run, `stays` of each file that cannot be removed.
pub async fn remove_all(
    reader: &Reader,
    garbage: &Garbage,
    run_gone: impl Fn(),
    stays: impl Fn(&FilePath, std::io::Error),
) -> Result<(), ReadError> {
    for run in &garbage.runs {
        remove(reader, &run.objects).await?;
        run_gone();
    }
    remove(reader, &garbage.leftovers).await?;
    for file in &garbage.files {
        if let Err(error) = std::fs::remove_file(file) {
            stays(file, error);
        }
    }
    Ok(())
}

/// Removes objects in this order; those of the same kind several at a time. What is gone already
/// is no failure.
pub async fn remove(reader: &Reader, objects: &[Object]) -> Result<(), ReadError> {
    let store = reader.client().store();
    // The first and the last ones mark a border each: they go one by one.
    let is_mark = |object: &Object| {
        !object.path.as_ref().contains("/live/") && !object.path.as_ref().contains("/seg/")
    };
    for group in objects.chunk_by(|one, other| !is_mark(one) && !is_mark(other)) {
        stream::iter(group)
            .map(async |object| match store.delete(&object.path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(read_error(error)),
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStore;

    use super::super::testing::{self, Shape};
    use super::*;
    use crate::read::testing::Spec;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn specs() -> Vec<Spec> {
        (0..40).map(|n| Spec::text(&format!("line {n}"))).collect()
    }

    async fn world(runs: &[(&str, Shape)]) -> (Arc<dyn ObjectStore>, Reader) {
        let store = testing::memory();
        for (run, shape) in runs {
            for step in ["one", "two"] {
                let writer = testing::writer(run, step, 1);
                testing::put(&*store, &writer, &specs(), shape).await;
            }
        }
        (Arc::clone(&store), Reader::new(store, false))
    }

    fn days_later(days: i64) -> Nanos {
        Nanos(Nanos::now().0 + days * nanos(DAY))
    }

    fn named(garbage: &Garbage) -> Vec<&str> {
        garbage.runs.iter().map(|run| run.pipeline_run_id.as_str()).collect()
    }

    async fn names(store: &Arc<dyn ObjectStore>) -> Vec<Path> {
        let metas: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        metas.into_iter().map(|meta| meta.location).collect()
    }

    #[test]
    fn what_is_old_or_too_much_goes_and_nothing_of_it_stays() {
        testing::block_on(async {
            let finished = Shape::finished();
            let runs = [("a", finished.clone()), ("b/ä", finished.clone()), ("c", finished)];
            let (store, reader) = world(&runs).await;
            let find = async |policy, now| find(&reader, policy, now, None).await.unwrap();
            let old = Policy { older_than: Some(DAY * 3), ..Policy::default() };
            assert!(find(old, days_later(2)).await.runs.is_empty());
            assert!(find(Policy::default(), days_later(99)).await.runs.is_empty());
            assert_eq!(named(&find(old, days_later(4)).await), ["a", "b/ä", "c"]);
            let both = Policy { keep: Some(1), ..old };
            assert_eq!(named(&find(both, days_later(4)).await), ["a", "b/ä"]);
            assert!(find(both, days_later(2)).await.runs.is_empty());
            let keep = Policy { keep: Some(1), ..Policy::default() };
            let garbage = find(keep, days_later(0)).await;
            assert_eq!((named(&garbage), garbage.kept), (vec!["a", "b/ä"], 1));
            assert!(garbage.runs[0].bytes() > 100);
            for run in &garbage.runs {
                let last = run.objects.last().unwrap().path.as_ref();
                assert!(last.starts_with("runs/by-id/"), "{last}");
                remove(&reader, &run.objects).await.unwrap();
                // Twice does no harm.
                remove(&reader, &run.objects).await.unwrap();
            }
            let left = names(&store).await;
            assert!(
                left.iter()
                    .all(|name| name.as_ref().contains("/c") || name.as_ref().contains("=c"))
            );
            // Two writers: entry, segment and end of each, and one entry of the day.
            assert_eq!(left.len(), 7, "{left:?}");
        });
    }

    #[test]
    fn what_may_still_run_stays() {
        testing::block_on(async {
            let (_, reader) = world(&[("a", Shape::live()), ("b", Shape::finished())]).await;
            let keep = Policy { keep: Some(0), ..Policy::default() };
            let garbage = find(&reader, keep, days_later(0), None).await.unwrap();
            assert_eq!(named(&garbage), ["b"]);
            assert_eq!(garbage.may_run, ["a"]);
            let garbage = find(&reader, keep, days_later(2), None).await.unwrap();
            assert_eq!(named(&garbage), ["a", "b"]);
        });
    }

    #[test]
    fn leftovers_are_found() {
        testing::block_on(async {
            let shape = Shape { leftovers: true, ..Shape::finished() };
            let (store, reader) = world(&[("a", shape)]).await;
            let garbage = find(&reader, Policy::default(), days_later(0), None).await.unwrap();
            assert_eq!(garbage.leftovers.len(), 10);
            remove(&reader, &garbage.leftovers).await.unwrap();
            assert!(names(&store).await.iter().all(|name| !name.as_ref().contains("/live/")));
            // The entries go, the lines stay behind.
            for name in names(&store).await {
                if name.as_ref().starts_with(layout::BY_ID) {
                    store.delete(&name).await.unwrap();
                }
            }
            let garbage = find(&reader, Policy::default(), days_later(0), None).await.unwrap();
            assert!(garbage.leftovers.is_empty());
            let garbage = find(&reader, Policy::default(), days_later(2), None).await.unwrap();
            assert_eq!(garbage.leftovers.len(), 4);
        });
    }

    #[test]
    fn files_that_were_never_finished_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, age: Duration| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let old = make("logs/a/end.json#1", DAY);
        make("logs/a/end.json#2", Duration::ZERO);
        make("logs/a/end.json", DAY);
        make("logs/a/x#y", DAY);
        let mut found = Vec::new();
        unfinished_files(dir.path(), UNFINISHED_FILE, &mut found);
        assert_eq!(found, [old]);
    }
}
