//! Finding, counting and killing the processes of one sandbox.
//!
//! They are known by a variable in their environment, so that a test never touches a process
//! that it did not start, and leaves none behind.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable; its value is the sandbox's folder.
pub(crate) const MARK: &str = "STEPLOG_TEST_SANDBOX";

/// A process of a sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) arguments: Vec<String>,
}

impl Process {
    /// Whether it is `steplog <command> …`.
    pub(crate) fn is_steplog(&self, command: &str) -> bool {
        self.arguments.first().is_some_and(|program| program.ends_with("steplog"))
            && self.arguments.get(1).is_some_and(|argument| argument == command)
    }

    /// Kills it; that it is gone already is as good.
    pub(crate) fn kill(&self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).ok();
    }
}

/// All living processes with the mark. Zombies have no environment and are not among them.
pub(crate) fn marked(value: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={value}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if !environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes()) {
            continue;
        }
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = arguments
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        found.push(Process { pid, arguments });
    }
    found
}
