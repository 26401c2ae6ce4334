//! What a killed ship was writing into a local store: files that no listing shows.
//!
//! Apart because it is the only place of a session that looks at the folder itself. Remote stores
//! have nothing of the kind but uploads in parts, which their buckets have rules for. What is not
//! found here `gc` finds.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ArtifactSession;
use crate::stores::artifact::Location;
use crate::stores::artifact::gc::unfinished_files;

impl ArtifactSession {
    /// Removes them, once a process: later they may be files that this process is writing.
    pub(super) async fn remove_leftovers(&self) {
        let Location::Local { path } = &self.config.location else { return };
        if !self.first_of_process.swap(false, Ordering::Relaxed) {
            return;
        }
        let folder: PathBuf = path.join(self.prefix.as_ref());
        let removal = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            unfinished_files(&folder, Duration::ZERO, &mut found);
            for file in found {
                // What cannot be removed harms nobody.
                drop(fs::remove_file(file));
            }
        });
        drop(removal.await);
    }
}
