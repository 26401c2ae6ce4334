//! Who holds the step's output open: the processes with one of its pipes among their descriptors.
//!
//! Looked for once, after the drain has ended without an end of file; what cannot be looked into
//! (another user's process) is passed over.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process that holds the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// What `ps` calls it.
    pub name: String,
}

/// Identity of a pipe or terminal, however its descriptors are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(descriptor: BorrowedFd<'_>) -> Option<Self> {
        let metadata = File::from(descriptor.try_clone_to_owned().ok()?).metadata().ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// All but this process, by process id.
pub(super) fn find(outputs: &[Identity]) -> Vec<Holder> {
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut holders: Vec<Holder> = processes
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(pid, path)| *pid != own && holds(path, outputs))
        .map(|(pid, path)| {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            Holder { pid, name: name.trim_end().to_owned() }
        })
        .collect();
    holders.sort_unstable_by_key(|holder| holder.pid);
    holders
}

fn holds(process: &Path, outputs: &[Identity]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::metadata(descriptor.path()).is_ok_and(|metadata| {
            outputs.contains(&Identity { device: metadata.dev(), inode: metadata.ino() })
        })
    })
}

/// The descriptor's identity, for callers that have it as something else.
pub(super) fn identity(descriptor: &impl AsFd) -> Option<Identity> {
    Identity::of(descriptor.as_fd())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn names_the_process_that_has_the_pipe() {
        let (read, write) = std::io::pipe().unwrap();
        let identity = identity(&read).unwrap();
        assert!(find(&[identity]).is_empty());
        let mut child =
            Command::new("sleep").arg("60").stdin(Stdio::null()).stdout(write).spawn().unwrap();
        let holders = find(&[identity]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holders, [Holder { pid: child.id(), name: "sleep".into() }]);
    }
}
