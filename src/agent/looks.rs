//! When files were looked for last, also by an agent before this one: what is new since then and has
//! been rotated already is read from its beginning.
//!
//! Apart from [`position`](super::position), which says how far a file was read: here is what is known where
//! nothing was read yet. One small file in the folder of spools, with the inputs that are looked at; its time of
//! modification is that of the last look, so that a look costs no more than setting that.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::record::Nanos;

/// In the folder of the spools.
const FILE: &str = ".looks.json";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looks {
    file: PathBuf,
    /// When an agent before this one looked last, and at which inputs: their names and paths.
    earlier: Option<(Nanos, HashSet<(String, String)>)>,
    /// What the file says by now.
    written: Vec<(String, String)>,
}

impl Looks {
    /// Those below `root`.
    pub(super) fn load(root: &Path) -> Self {
        let file = root.join(FILE);
        // Without it, or if it is damaged, nothing is known.
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let at = fs::metadata(&file).and_then(|metadata| metadata.modified()).ok();
        let at = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let earlier = at.map(|at| Nanos(at.as_nanos() as i64)).zip(known);
        Self { file, earlier, written: Vec::new() }
    }

    /// When an agent before this one looked last for the files of an input with this name and path.
    pub(super) fn earlier(&self, input: &str, path: &str) -> Option<Nanos> {
        let (at, known) = self.earlier.as_ref()?;
        known.contains(&(input.to_owned(), path.to_owned())).then_some(*at)
    }

    /// All files of these inputs that were there at this moment have been found.
    pub(super) fn keep(&mut self, inputs: Vec<(String, String)>, at: Nanos) -> io::Result<()> {
        let at = UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.0).unwrap_or_default());
        if inputs == self.written {
            if inputs.is_empty() {
                return Ok(());
            }
            return fs::File::options().write(true).open(&self.file)?.set_modified(at);
        }
        let new = self.file.with_extension("tmp");
        fs::write(&new, serde_json::to_vec(&inputs)?)?;
        fs::File::options().write(true).open(&new)?.set_modified(at)?;
        fs::rename(new, &self.file)?;
        self.written = inputs;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_knows_when_this_one_looked_last() {
        let root = tempfile::tempdir().unwrap();
        let mut looks = Looks::load(root.path());
        assert_eq!(looks.earlier("a", "/a/*"), None);
        let inputs = vec![("a".to_owned(), "/a/*".to_owned())];
        for at in [Nanos(100_000_000_004), Nanos(200_000_000_008)] {
            looks.keep(inputs.clone(), at).unwrap();
            let next = Looks::load(root.path());
            assert_eq!(next.earlier("a", "/a/*"), Some(at));
            // An input that has another path by now, or is new.
            assert_eq!(next.earlier("a", "/b/*"), None);
            assert_eq!(next.earlier("b", "/a/*"), None);
        }
        fs::write(root.path().join(FILE), "[").unwrap();
        assert_eq!(Looks::load(root.path()).earlier("a", "/a/*"), None);
    }
}
