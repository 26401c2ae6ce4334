//! The agent's own output, which it must not read: each line of it would make another.
//!
//! Known by what cannot be wrong: a file that is its standard output or error, and the container that it runs in. A
//! kubelet mounts a file of the container's own at `/dev/termination-log`, whose place on the node
//! (`…/pods/UID/containers/NAME/…`) is in `/proc/self/mountinfo` and has both names that the path of the container's log
//! has. Apart from `exclude`, which is the user's to say.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::capture::file::Found;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Device and inode.
    files: Vec<(u64, u64)>,
    container: Option<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Container {
    pod_uid: String,
    name: String,
}

impl Own {
    /// Looks at this process.
    pub(super) fn find() -> Self {
        let files = [file(io::stdout()), file(io::stderr())].into_iter().flatten().collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self { files, container: container(&mounts) }
    }

    /// Whether this is where the agent's own lines go.
    pub(super) fn is(&self, found: &Found) -> bool {
        self.files.contains(&(found.device, found.inode))
            || self.container.as_ref().is_some_and(|own| own.writes(&found.path))
    }
}

impl Container {
    /// Whether its output is kept at `…/NAMESPACE_POD_UID/CONTAINER/….log`.
    fn writes(&self, path: &Path) -> bool {
        let mut folders = path.iter().rev().skip(1).filter_map(|name| name.to_str());
        folders.next() == Some(self.name.as_str())
            && folders
                .next()
                .and_then(|pod| pod.strip_suffix(self.pod_uid.as_str()))
                .is_some_and(|rest| rest.ends_with('_'))
    }
}

/// A regular file, by device and inode.
fn file(descriptor: impl AsFd) -> Option<(u64, u64)> {
    let file = fs::File::from(descriptor.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

/// The container that has these mounts (proc_pid_mountinfo(5)).
fn container(mounts: &str) -> Option<Container> {
    mounts.lines().find_map(|line| {
        // The fourth field: which part of its file system is mounted.
        let place = line.split(' ').nth(3)?;
        let mut parts = place.rsplit('/');
        let (_, name, containers, pod_uid, pods) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_one = containers == "containers" && pods == "pods" && !pod_uid.is_empty();
        is_one.then(|| Container { pod_uid: pod_uid.to_owned(), name: name.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
1190 1077 0:289 / / ro,relatime master:440 - overlay overlay rw,lowerdir=/x
1193 1190 8:1 /var/lib/kubelet/pods/9a1e-77/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
1195 1190 8:1 /var/lib/kubelet/pods/9a1e-77/volumes/kubernetes.io~empty-dir/logs /logs rw - ext4 /dev/sda1 rw
1194 1190 8:1 /var/lib/kubelet/pods/9a1e-77/containers/steplog/3f0ab1 /dev/termination-log rw - ext4 /dev/sda1 rw
";

    #[test]
    fn the_container_s_own_log_is_known_and_no_other() {
        let own = Own { files: vec![(1, 7)], container: container(MOUNTS) };
        let is = |path: &str, inode: u64| {
            let captures = crate::capture::file::Captures::default();
            own.is(&Found { path: path.into(), captures, device: 1, inode })
        };
        assert!(is("/var/log/pods/kube-system_steplog-node-x2_9a1e-77/steplog/0.log", 1));
        // Another container of the pod, and the same one of another.
        assert!(!is("/var/log/pods/kube-system_steplog-node-x2_9a1e-77/other/0.log", 1));
        assert!(!is("/var/log/pods/kube-system_steplog-node-x2_19a1e-77/steplog/0.log", 1));
        assert!(!is("/var/log/pods/kube-system_steplog-node-x2_9a1e-7/steplog/0.log", 1));
        assert!(is("/var/log/jobs/agent.log", 7));
        assert_eq!(container("1 2 8:1 / / rw - ext4 /dev/sda1 rw\n"), None);
        assert_eq!(container(""), None);
    }
}
