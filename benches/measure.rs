//! Running a command and measuring what it took: wall time, processor time of it and all that it
//! waited for, peak memory of each of its processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::support::sandbox::Sandbox;
use crate::support::{lines, processes};

/// The lines that everything is measured with, in a file that the page cache holds.
pub(crate) struct Input {
    folder: tempfile::TempDir,
    pub(crate) lines: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    pub(crate) fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = lines::numbered(count).into_bytes();
        fs::write(folder.path().join("input"), &bytes).unwrap();
        Self { folder, lines: count, bytes }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    /// A folder for what the yardsticks write.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }
}

/// What one run of a command took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and kernel time of the command and all that it waited for.
    pub(crate) cpu: Duration,
    /// From the start until the step was over, for a step that leaves a mark.
    pub(crate) released: Option<Duration>,
}

/// Runs a command whose outputs go nowhere; it must succeed. `mark` is a file that the step
/// creates when it is done.
pub(crate) fn cost(command: &mut Command, mark: Option<&Path>) -> Cost {
    let cpu_before = children_cpu();
    let clock = SystemTime::now();
    let started = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let wall = started.elapsed();
    assert!(status.status.success(), "{command:?}: {}", String::from_utf8_lossy(&status.stderr));
    let released = mark.map(|mark| {
        let time = fs::metadata(mark).unwrap().modified().unwrap();
        time.duration_since(clock).unwrap_or_default()
    });
    Cost { wall, cpu: children_cpu().saturating_sub(cpu_before), released }
}

/// [`cost`] several times, each after `before`; the median of each figure.
pub(crate) fn median_cost(repetitions: usize, mut run: impl FnMut() -> Cost) -> Cost {
    let costs: Vec<Cost> = (0..repetitions).map(|_| run()).collect();
    Cost {
        wall: median(costs.iter().map(|cost| cost.wall)),
        cpu: median(costs.iter().map(|cost| cost.cpu)),
        released: costs[0].released.map(|_| median(costs.iter().filter_map(|cost| cost.released))),
    }
}

pub(crate) fn median(values: impl Iterator<Item = Duration>) -> Duration {
    quantile(values.collect(), 0.5)
}

pub(crate) fn quantile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort();
    values[((values.len() - 1) as f64 * share).round() as usize]
}

fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let time = |value: TimeVal| Duration::new(value.tv_sec() as u64, value.tv_usec() as u32 * 1000);
    time(usage.user_time()) + time(usage.system_time())
}

/// The most memory that a process had, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// As the kernel counts it (VmHWM), with pages of files that it shares with others.
    pub(crate) resident: u64,
    /// Its own (RssAnon), as far as looking every few milliseconds shows it.
    pub(crate) own: u64,
}

/// Runs a command in a sandbox and reads the peak memory of each steplog process, by its
/// subcommand, while it lives.
pub(crate) fn peaks(sandbox: &Sandbox, command: &mut Command) -> BTreeMap<String, Peak> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mark = sandbox.root().to_str().unwrap().to_owned();
    let mut peaks: BTreeMap<String, Peak> = BTreeMap::new();
    let status = loop {
        for process in processes::marked(&mark) {
            let name = match process.arguments.get(1) {
                Some(command) if process.is_steplog(command) => command.clone(),
                _ => continue,
            };
            let peak = peaks.entry(name).or_default();
            let status = fs::read_to_string(format!("/proc/{}/status", process.pid));
            let status = status.unwrap_or_default();
            peak.resident = peak.resident.max(kibibytes(&status, "VmHWM:").unwrap_or_default());
            peak.own = peak.own.max(kibibytes(&status, "RssAnon:").unwrap_or_default());
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(3));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success(), "{command:?}: {said}");
    peaks
}

/// A figure of `/proc/<pid>/status`.
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Runs a command to its end and says how long it took, how many bytes it gave and how many it
/// read from files and pipes.
pub(crate) fn reading(command: &mut Command) -> (Duration, Vec<u8>, u64) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    let pid = child.id();
    // A process that has ended but was not waited for still has its counts.
    waitid(
        Id::Pid(nix::unistd::Pid::from_raw(pid as i32)),
        WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
    )
    .unwrap();
    let wall = started.elapsed();
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let read = counts
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .and_then(|count| count.parse().ok())
        .unwrap_or_default();
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    (wall, output, read)
}
