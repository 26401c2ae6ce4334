//! Which files match a template now.
//!
//! Apart from [`Template`], which is pure: this walks folders, and only those that the template leads into. A
//! rotated file is no stream of its own: its [`Follower`](super::Follower) reads it. That it is
//! one is known by its inode, which matched under another name before, or by its name beside the file that it was
//! rotated from.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::beneath::open_file;
use super::rotation::{base_of, rotated};
use super::template::{BadValue, Captures, Part, Template};

/// Folders below each other that `**` goes through.
const MAX_DEPTH: usize = 32;

/// Refused paths that are named; the others are counted.
const MAX_REFUSED: usize = 16;

/// The files of one template, scan after scan.
#[derive(Debug)]
pub struct Globs {
    template: Template,
    exclude: Vec<Template>,
    max_files: usize,
    follow_symlinks: bool,
    /// Under which path an inode matched first.
    known: HashMap<(u64, u64), PathBuf>,
}

/// What one scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The files, by path: those of the scan before first if there are too many.
    pub files: Vec<Found>,
    /// The folders in which a new one may appear.
    pub folders: BTreeSet<PathBuf>,
    /// Paths that match and are not taken; only the first 16.
    pub refused: Vec<(PathBuf, Refused)>,
    /// How many were refused.
    pub refused_count: u64,
    /// How many were left out because there are too many.
    pub over_limit: u64,
}

/// A file that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// What the path says.
    pub captures: Captures,
    /// The device it is on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// Why a path that matches is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A capture cannot be metadata.
    #[error(transparent)]
    Value(BadValue),
    /// It cannot be looked at, or leads out of the root.
    #[error(transparent)]
    Io(io::Error),
}

impl Globs {
    /// For a template; finds up to `max_files`, and follows links out of its root only if told to.
    pub fn new(template: Template, max_files: usize, follow_symlinks: bool) -> Self {
        Self { template, exclude: Vec::new(), max_files, follow_symlinks, known: HashMap::new() }
    }

    /// Leaves out files, and folders with all that is in them, that match one of these.
    #[must_use]
    pub fn excluding(self, exclude: Vec<Template>) -> Self {
        Self { exclude, ..self }
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What [`Settings::root`](super::Settings::root) of the followers has to be.
    pub fn root(&self) -> Option<&Path> {
        (!self.follow_symlinks).then(|| self.template.root())
    }

    /// An inode is known to be that path's, from a position of an earlier process: under other names it
    /// is a rotated file.
    pub fn remember(&mut self, device: u64, inode: u64, path: PathBuf) {
        self.known.insert((device, inode), path);
    }

    /// What a path says that matches, whether or not there is a file now.
    pub fn captures(&self, path: &Path) -> Option<Captures> {
        let mut parents = path.ancestors();
        let excluded = parents.any(|path| is_excluded(&self.exclude, path));
        self.template.captures(path)?.ok().filter(|_| !excluded)
    }

    /// Looks for all files that match.
    pub fn scan(&mut self) -> Scan {
        let mut walk = Walk {
            template: &self.template,
            exclude: &self.exclude,
            root: self.root(),
            scan: Scan::default(),
            matched: Vec::new(),
        };
        let values = self.template.no_values();
        walk.folder(self.template.root().to_owned(), &self.template.parts, values, 0);
        let Walk { mut scan, mut matched, .. } = walk;

        matched.sort_by(|one, other| one.path.cmp(&other.path));
        matched.dedup_by(|one, other| one.path == other.path);
        let paths: BTreeSet<PathBuf> = matched.iter().map(|found| found.path.clone()).collect();
        let known = std::mem::take(&mut self.known);
        let mut fresh = Vec::new();
        for found in matched {
            let inode = (found.device, found.inode);
            let before = known.get(&inode);
            if let Some(base) = before.filter(|base| is_rotated(base, &found.path)) {
                self.known.insert(inode, base.clone());
            } else if let Some(base) = base_path(&found.path).filter(|base| paths.contains(base)) {
                self.known.insert(inode, base);
            } else if before == Some(&found.path) {
                self.known.insert(inode, found.path.clone());
                scan.files.push(found);
            } else {
                fresh.push(found);
            }
        }
        // Old ones may not be pushed out by new ones.
        for found in fresh {
            if scan.files.len() < self.max_files {
                self.known.insert((found.device, found.inode), found.path.clone());
                scan.files.push(found);
            } else {
                scan.over_limit += 1;
            }
        }
        scan.files.sort_by(|one, other| one.path.cmp(&other.path));
        scan
    }
}

fn is_excluded(exclude: &[Template], path: &Path) -> bool {
    exclude.iter().any(|template| template.captures(path).is_some())
}

fn is_rotated(base: &Path, path: &Path) -> bool {
    base.parent() == path.parent()
        && base
            .file_name()
            .zip(path.file_name())
            .is_some_and(|(base, name)| rotated(base, name).is_some())
}

fn base_path(path: &Path) -> Option<PathBuf> {
    Some(path.with_file_name(base_of(path.file_name()?)?))
}

struct Walk<'a> {
    template: &'a Template,
    exclude: &'a [Template],
    root: Option<&'a Path>,
    scan: Scan,
    matched: Vec<Found>,
}

impl Walk<'_> {
    /// Looks in a folder for what the first of `parts` stands for.
    fn folder(
        &mut self,
        folder: PathBuf,
        parts: &[Part],
        values: Vec<Option<String>>,
        depth: usize,
    ) {
        let Some((part, rest)) = parts.split_first() else { return };
        match part {
            Part::Folders => {
                self.folder(folder.clone(), rest, values.clone(), depth);
                for (name, kind) in self.entries(&folder) {
                    // Links to folders may lead in a circle.
                    if kind.is_dir() && part.matches(&name, &mut []) && depth < MAX_DEPTH {
                        let folder = folder.join(name);
                        if !self.is_excluded(&folder) {
                            self.folder(folder, parts, values.clone(), depth + 1);
                        }
                    }
                }
            }
            Part::Name(name) => {
                self.scan.folders.insert(folder.clone());
                self.entry(folder.join(name), rest, values, None, depth);
            }
            Part::Pattern(..) => {
                for (name, kind) in self.entries(&folder) {
                    let mut values = values.clone();
                    if part.matches(&name, &mut values) {
                        self.entry(folder.join(name), rest, values, Some(kind), depth);
                    }
                }
            }
        }
    }

    fn entry(
        &mut self,
        path: PathBuf,
        rest: &[Part],
        values: Vec<Option<String>>,
        kind: Option<FileType>,
        depth: usize,
    ) {
        if self.is_excluded(&path) {
            return;
        }
        if !rest.is_empty() {
            let link = kind.is_some_and(|kind| kind.is_symlink());
            let may_be = kind.is_none_or(|kind| kind.is_dir() || kind.is_symlink());
            if may_be && self.is_folder(&path, link) {
                self.folder(path, rest, values, depth);
            }
            return;
        }
        if kind.is_some_and(|kind| !kind.is_file() && !kind.is_symlink()) {
            return;
        }
        let is_file = kind.is_some_and(|kind| kind.is_file());
        let metadata = if is_file || self.root.is_none() {
            fs::metadata(&path)
        } else {
            // Opened as its follower will: only so it is sure where a link leads.
            open_file(&path, self.root).and_then(|file| file.metadata())
        };
        let metadata = match metadata {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.refuse(path, Refused::Io(error)),
        };
        match self.template.checked(&values) {
            Ok(captures) => {
                let (device, inode) = (metadata.dev(), metadata.ino());
                self.matched.push(Found { path, captures, device, inode });
            }
            Err(error) => self.refuse(path, Refused::Value(error)),
        }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        is_excluded(self.exclude, path)
    }

    /// Whether to go on in there. A link is followed only where links may lead anywhere.
    fn is_folder(&self, path: &Path, link: bool) -> bool {
        let metadata =
            if self.root.is_none() { fs::metadata(path) } else { fs::symlink_metadata(path) };
        (!link || self.root.is_none()) && metadata.is_ok_and(|metadata| metadata.is_dir())
    }

    fn entries(&mut self, folder: &Path) -> Vec<(OsString, FileType)> {
        self.scan.folders.insert(folder.to_owned());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Vec::new();
            }
            Err(error) => {
                self.refuse(folder.to_owned(), Refused::Io(error));
                return Vec::new();
            }
        };
        // What cannot be looked at is gone by now.
        entries
            .flatten()
            .filter_map(|entry| Some((entry.file_name(), entry.file_type().ok()?)))
            .collect()
    }

    fn refuse(&mut self, path: PathBuf, why: Refused) {
        self.scan.refused_count += 1;
        if self.scan.refused.len() < MAX_REFUSED {
            self.scan.refused.push((path, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            fs::create_dir(folder.path("")).unwrap();
            for file in files {
                folder.write(file);
            }
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("root").join(name)
        }

        fn write(&self, name: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), "x\n").unwrap();
        }

        fn globs(&self, template: &str, max_files: usize, follow_symlinks: bool) -> Globs {
            let template = format!("{}/{template}", self.path("").to_str().unwrap());
            Globs::new(Template::new(&template).unwrap(), max_files, follow_symlinks)
        }

        fn check(&self, globs: &mut Globs, expected: &[&str]) -> Scan {
            let scan = globs.scan();
            let found: Vec<_> = scan.files.iter().map(|found| found.path.clone()).collect();
            assert_eq!(found, expected.iter().map(|name| self.path(name)).collect::<Vec<_>>());
            scan
        }
    }

    #[test]
    fn files_and_folders_are_left_out() {
        let names =
            ["a/own/0.log", "a/own/b/1.log", "a/other/0.log", "a/other/1.tmp.log", "owner/2.log"];
        let folder = Folder::new(&names);
        let found = |exclude: &[&str]| -> Vec<String> {
            let root = folder.path("");
            let template =
                |name: &&str| Template::new(&format!("{}/{name}", root.to_str().unwrap())).unwrap();
            let exclude = exclude.iter().map(template).collect();
            let scan = folder.globs("**/*.log", 100, false).excluding(exclude).scan();
            let name = |found: &Found| {
                found.path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()
            };
            scan.files.iter().map(name).collect()
        };
        assert_eq!(found(&[]).len(), names.len());
        assert_eq!(
            found(&["a/own", "**/*.tmp.log"]),
            ["a/other/0.log", "owner/2.log"],
            "a folder goes with all that is in it"
        );
        assert_eq!(found(&["*/*"]), [""; 0]);
    }

    #[test]
    fn files_that_match_and_what_their_paths_say() {
        let folder = Folder::new(&[
            "r1/a.log",
            "r1/b.log",
            "r2/a.log",
            "r2/a.txt",
            "r2/deep/c.log",
            ".r/a.log",
        ]);
        let mut globs = folder.globs("{pipeline_run_id}/{step_id}.log", 10, false);
        let scan = folder.check(&mut globs, &["r1/a.log", "r1/b.log", "r2/a.log"]);
        assert_eq!(scan.files[2].captures.pipeline_run_id.as_deref(), Some("r2"));
        assert_eq!(scan.files[2].captures.step_id.as_deref(), Some("a"));
        assert_eq!(scan.folders, ["", "r1", "r2"].map(|name| folder.path(name)).into());
        folder.check(
            &mut folder.globs("**/[ac].log", 10, false),
            &["r1/a.log", "r2/a.log", "r2/deep/c.log"],
        );
        folder.check(&mut folder.globs("r2/deep/c.log", 10, false), &["r2/deep/c.log"]);
        folder.check(&mut folder.globs("*/deep/*", 10, false), &["r2/deep/c.log"]);
        folder.check(&mut folder.globs("none/*/x", 10, false), &[]);
    }

    #[test]
    fn a_rotated_file_is_no_stream_of_its_own() {
        let folder = Folder::new(&["x.log", "x.log.1", "x.log.2.gz", "y.log.1"]);
        let mut globs = folder.globs("*", 10, false);
        folder.check(&mut globs, &["x.log", "y.log.1"]);
        // Renamed, and nothing in its place yet; then before the extension.
        fs::rename(folder.path("x.log"), folder.path("x.log.3")).unwrap();
        folder.check(&mut globs, &["x.log.1", "x.log.2.gz", "y.log.1"][2..]);
        fs::rename(folder.path("x.log.3"), folder.path("x-20261125.log")).unwrap();
        folder.check(&mut globs, &["y.log.1"]);
        folder.write("x.log");
        folder.check(&mut globs, &["x.log", "y.log.1"]);
        // A later process knows it from its positions.
        let mut later = folder.globs("*.log", 10, false);
        folder.check(&mut later, &["x-20261125.log", "x.log"]);
        let inode = fs::metadata(folder.path("x-20261125.log")).unwrap();
        let mut later = folder.globs("*.log", 10, false);
        later.remember(inode.dev(), inode.ino(), folder.path("x.log"));
        folder.check(&mut later, &["x.log"]);
    }

    #[test]
    fn links_lead_no_further_than_allowed() {
        let folder = Folder::new(&["in/a.log"]);
        fs::create_dir(folder.0.path().join("out")).unwrap();
        fs::write(folder.0.path().join("out/secret.log"), "s").unwrap();
        symlink("../out", folder.path("folder")).unwrap();
        symlink("../../out/secret.log", folder.path("in/secret.log")).unwrap();
        symlink("a.log", folder.path("in/b.log")).unwrap();
        symlink("in", folder.path("loop")).unwrap();
        let scan = folder.check(&mut folder.globs("*/*.log", 10, false), &["in/a.log", "in/b.log"]);
        assert_eq!(scan.refused_count, 1);
        assert_eq!(scan.refused[0].0, folder.path("in/secret.log"));
        let all = [
            "folder/secret.log",
            "in/a.log",
            "in/b.log",
            "in/secret.log",
            "loop/a.log",
            "loop/b.log",
            "loop/secret.log",
        ];
        folder.check(&mut folder.globs("*/*.log", 10, true), &all);
    }

    #[test]
    fn there_are_never_too_many_and_old_ones_stay() {
        let folder = Folder::new(&["b.log", "c.log"]);
        let mut globs = folder.globs("*.log", 2, false);
        folder.check(&mut globs, &["b.log", "c.log"]);
        folder.write("a.log");
        assert_eq!(folder.check(&mut globs, &["b.log", "c.log"]).over_limit, 1);
        fs::remove_file(folder.path("b.log")).unwrap();
        folder.check(&mut globs, &["a.log", "c.log"]);
    }

    #[test]
    fn what_cannot_be_metadata_is_refused() {
        let folder = Folder::new(&["a/x.log", "a/1.log", "b\u{7}/1.log"]);
        let mut globs = folder.globs("{step_id}/{attempt}.log", 10, false);
        let scan = folder.check(&mut globs, &["a/1.log"]);
        let mut refused: Vec<_> = scan.refused.iter().map(|(_, why)| why.to_string()).collect();
        refused.sort();
        assert_eq!(
            refused,
            ["attempt is not a number from 1", "step_id has characters that cannot be shown"]
        );
    }
}
