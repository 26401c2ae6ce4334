//! Waiting for a spool to grow: inotify as a hint, a timer as the truth.
//!
//! Apart because it is about one kernel interface and its gaps: no watch may be had, network and
//! overlay file systems may be silent, queues overflow. So there is always a timer too; it is
//! slow where the hints have proved themselves. Reads nothing of the spool.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};
use notify::event::{CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::stop::Stop;

/// Between looks, where nothing tells.
const BLIND: Duration = Duration::from_millis(40);
/// Between looks, where hints have come in time, or nothing has come for long.
const TRUSTING: Duration = Duration::from_millis(500);
/// A blind look comes after this part of the time that it has been quiet: who prints a line a second
/// is looked after closely, who sleeps for an hour is not woken for.
const QUIET_PART: u32 = 20;
/// Not more often than this, however busy the writer: what comes in between is read at once.
const PACE: Duration = Duration::from_millis(5);

/// Waits for one spool.
pub(super) struct Follower {
    dir: PathBuf,
    watch: Watch,
    /// A hint came since something was found last.
    hinted: bool,
    /// A hint was followed by a find.
    trusted: bool,
    woken: Option<Instant>,
    quiet_since: Instant,
}

enum Watch {
    /// A finished spool is never waited for, and needs none.
    NotYet,
    On {
        hints: Receiver<()>,
        _watcher: Box<RecommendedWatcher>,
    },
    Impossible,
}

impl Follower {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            watch: Watch::NotYet,
            hinted: false,
            trusted: false,
            woken: None,
            quiet_since: Instant::now(),
        }
    }

    /// Something new was there. If it came without a hint, hints cannot be relied on.
    pub(super) fn found(&mut self) {
        if self.woken.is_some() {
            self.trusted = self.hinted;
        }
        self.hinted = false;
        if self.woken.take().is_some() {
            self.quiet_since = Instant::now();
        }
    }

    pub(super) fn wait(&mut self, until: Option<Instant>, halt: &Stop) {
        if matches!(self.watch, Watch::NotYet) {
            self.watch = watch(&self.dir);
            // Something may have come before the watch: look once more.
            return;
        }
        let start = Instant::now();
        let quiet = start.saturating_duration_since(self.quiet_since);
        let poll =
            if self.trusted { TRUSTING } else { (quiet / QUIET_PART).clamp(BLIND, TRUSTING) };
        let until = until.map_or(start + poll, |until| until.min(start + poll));
        let silent = never();
        let hints = match &self.watch {
            Watch::On { hints, .. } => hints,
            Watch::NotYet | Watch::Impossible => &silent,
        };
        select! {
            recv(hints) -> hint => match hint {
                Ok(()) => self.hinted = true,
                Err(_) => self.watch = Watch::Impossible,
            },
            recv(halt.channel()) -> _ => return,
            default(until.saturating_duration_since(start)) => {}
        }
        if self.hinted && start.elapsed() < PACE {
            select! {
                recv(halt.channel()) -> _ => {}
                default(PACE) => {}
            }
        }
        self.woken = Some(start);
    }
}

fn watch(dir: &Path) -> Watch {
    let (sender, hints) = bounded(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| matters(&event)) {
            hint(&sender);
        }
    });
    let Ok(mut watcher) = watcher else { return Watch::Impossible };
    match watcher.watch(dir, RecursiveMode::NonRecursive) {
        Ok(()) => Watch::On { hints, _watcher: Box::new(watcher) },
        Err(_) => Watch::Impossible,
    }
}

fn hint(hints: &Sender<()>) {
    match hints.try_send(()) {
        // One that has not been heard yet will do.
        Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
    }
}

/// Our own reads and checkpoints are events too, and wake nobody.
fn matters(event: &Event) -> bool {
    if event.need_rescan() {
        return true;
    }
    let may_add = matches!(
        event.kind,
        EventKind::Create(CreateKind::File | CreateKind::Any)
            | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Name(_) | ModifyKind::Any)
            | EventKind::Remove(_)
            | EventKind::Any
    );
    may_add
        && event.paths.iter().any(|path| {
            path.extension() == Some(OsStr::new("seg"))
                || path.file_name() == Some(OsStr::new("exit.json"))
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ship::stop::stop;

    #[test]
    fn growth_and_the_end_wake_and_our_own_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path());
        let (stopper, halt) = stop();
        // The first wait only sets up the watch.
        follower.wait(None, &halt);
        for (file, wakes) in [("checkpoint.0", false), ("00000000.seg", true), ("exit.json", true)]
        {
            fs::write(dir.path().join(file), "x").unwrap();
            let start = Instant::now();
            while !follower.hinted
                && start.elapsed() < Duration::from_secs(if wakes { 10 } else { 0 })
            {
                follower.wait(None, &halt);
            }
            assert_eq!(follower.hinted, wakes, "{file}");
            follower.found();
            // Several events may come of one write.
            while matches!(&follower.watch, Watch::On { hints, .. } if hints.try_recv().is_ok()) {}
        }
        assert!(follower.trusted);
        drop(stopper);
        follower.wait(Some(Instant::now() + Duration::from_hours(1)), &halt);
    }

    #[test]
    fn without_a_watch_there_is_the_timer() {
        let (_stopper, halt) = stop();
        let mut follower = Follower::new(Path::new("/nowhere/at/all"));
        follower.wait(None, &halt);
        assert!(matches!(follower.watch, Watch::Impossible));
        let start = Instant::now();
        follower.wait(None, &halt);
        assert!(start.elapsed() >= BLIND);
    }
}
