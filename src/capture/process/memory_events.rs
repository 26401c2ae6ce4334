//! Evidence that the kernel killed something of the step for want of memory: the cgroup's counter
//! of such kills, before and after.
//!
//! Reads what /proc/self/cgroup names, version 2 or 1; where neither is to be read there is no
//! evidence, and none is made up.

use std::fs;
use std::path::PathBuf;

/// The cgroup's counter file.
#[derive(Debug)]
pub(super) struct MemoryEvents {
    file: PathBuf,
    before: u64,
}

impl MemoryEvents {
    /// Notes the counter as it stands.
    pub(super) fn start() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        candidates(&groups).into_iter().find_map(|file| {
            let before = oom_kills(&fs::read_to_string(&file).ok()?)?;
            Some(Self { file, before })
        })
    }

    /// Kills since the start.
    pub(super) fn kills(&self) -> u64 {
        fs::read_to_string(&self.file)
            .ok()
            .and_then(|text| oom_kills(&text))
            .map_or(0, |after| after.saturating_sub(self.before))
    }
}

/// Where the counter may be, best first. In a container the paths of /proc/self/cgroup may be the
/// host's, with the container's own group mounted at the root.
fn candidates(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                files.push(PathBuf::from(root).join(path).join("memory.events"));
            }
            files.push(PathBuf::from("/sys/fs/cgroup/memory.events"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let root = PathBuf::from("/sys/fs/cgroup/memory");
            files.push(root.join(path).join("memory.oom_control"));
            files.push(root.join("memory.oom_control"));
        }
    }
    files
}

/// `oom_kill N` in either version's file.
fn oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        assert_eq!(
            oom_kills("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n"),
            Some(1)
        );
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[test]
    fn finds_the_group_s_file() {
        let files = candidates("0::/user.slice/a.scope\n");
        assert_eq!(files[0], PathBuf::from("/sys/fs/cgroup/user.slice/a.scope/memory.events"));
        let files = candidates("11:cpu,cpuacct:/x\n10:memory:/docker/abc\n0::/\n");
        assert_eq!(files[0], PathBuf::from("/sys/fs/cgroup/memory/docker/abc/memory.oom_control"));
    }
}
