//! Indexes of segments that were read lately. A segment never changes, so what was read of it holds for ever; who
//! jumps about in a long log reads the same few again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;

use super::super::object::Index;

/// Frames of all of them: about 200 bytes each.
const FRAMES: usize = 40_000;

/// The last few, newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Indexes(Arc<Mutex<VecDeque<Entry>>>);

type Entry = (Path, Arc<Index>);

impl Indexes {
    /// That of this object, if it is here.
    pub(super) fn get(&self, path: &Path) -> Option<Arc<Index>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| other == path)?;
        let found = all.remove(at)?;
        let index = Arc::clone(&found.1);
        all.push_front(found);
        Some(index)
    }

    /// Keeps one, and of the others those that there is room for.
    pub(super) fn put(&self, path: &Path, index: &Arc<Index>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_front((path.clone(), Arc::clone(index)));
        let mut frames = 0;
        // The newest stays however large it is: whoever reads it has it anyway.
        let room = |(_, index): &Entry| {
            let before = frames;
            frames += index.frames.len();
            before == 0 || frames <= FRAMES
        };
        let kept = all.iter().map(room).take_while(|fits| *fits).count();
        all.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Codec;
    use super::super::super::object::FrameInfo;
    use super::*;
    use crate::record::WriterId;

    #[test]
    fn those_used_last_stay_while_there_is_room() {
        let index = |frames| {
            let mut index = Index::new(WriterId::new(), Codec::Zstd);
            index.frames = vec![FrameInfo::default(); frames];
            Arc::new(index)
        };
        let indexes = Indexes::default();
        let path = |name: &str| Path::from(name);
        for name in ["a", "b", "c"] {
            indexes.put(&path(name), &index(FRAMES / 3));
        }
        assert!(indexes.get(&path("a")).is_some());
        indexes.put(&path("d"), &index(FRAMES / 3));
        let there = ["a", "b", "c", "d"].map(|name| indexes.get(&path(name)).is_some());
        assert_eq!(there, [true, false, true, true]);
        indexes.put(&path("large"), &index(2 * FRAMES));
        assert!(indexes.get(&path("large")).is_some() && indexes.get(&path("d")).is_none());
    }
}
