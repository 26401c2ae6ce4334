//! The kernel kills for want of memory: evidence from a control group of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use steplog::record::Exit;

use super::exit_record;
use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::wait;

/// A control group with little memory; gone with this.
struct Group(PathBuf);

impl Group {
    fn new(sandbox: &Sandbox) -> Self {
        let name = sandbox.root().file_name().unwrap();
        let first = Path::new("/sys/fs/cgroup/memory");
        let (folder, limits): (PathBuf, &[(&str, &str)]) = if first.is_dir() {
            (first.join(name), &[("memory.limit_in_bytes", "100M"), ("memory.swappiness", "0")])
        } else {
            let second = Path::new("/sys/fs/cgroup");
            fs::write(second.join("cgroup.subtree_control"), "+memory").unwrap();
            (second.join(name), &[("memory.max", "100M"), ("memory.swap.max", "0")])
        };
        if let Err(error) = fs::create_dir(&folder) {
            panic!("{}: {error}; this test makes a control group, as root", folder.display());
        }
        let group = Self(folder);
        for (file, value) in limits {
            // Without swap in the kernel there is no file to say so.
            let file = group.0.join(file);
            assert!(fs::write(&file, value).is_ok() || !file.exists(), "{}", file.display());
        }
        group
    }

    /// The same command, in here from its start.
    fn with(&self, command: &Command, sandbox: &Sandbox) -> Command {
        let mut inside = sandbox.command("sh");
        inside.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Busy until the last process is gone from it.
        wait::until_true("the control group to be empty", || fs::remove_dir(&self.0).is_ok());
    }
}

/// `steplog run` with a Python script as step, where there is little memory.
fn run(sandbox: &Sandbox, script: &str) -> (Output, Exit) {
    let group = Group::new(sandbox);
    let mut command = sandbox.steplog(["run", "--run=r", "--step=s", "--exit-record"]);
    command.arg(sandbox.path("exit.json")).args(["--", "python3", "-c", script]);
    let output = finish(&mut group.with(&command, sandbox));
    (output, exit_record(sandbox))
}

const GREEDY: &str = "held = []\nwhile True: held.append(b'x' * (1 << 20))";

#[test]
fn a_step_that_is_killed_for_want_of_memory_says_so_everywhere() {
    let sandbox = Sandbox::local("");
    let (output, exit) = run(&sandbox, &format!("print('begun')\n{GREEDY}"));
    assert_eq!((output.code, output.text().as_str()), (Some(137), "begun\n"));
    assert_eq!(exit.signal.as_deref(), Some("SIGKILL"));
    assert_eq!(exit.reason.as_deref(), Some("OOMKilled"));
    let listed = sandbox.call(["ls", "r"]).expect(0).text();
    assert!(listed.contains("failed (SIGKILL, OOMKilled)"), "{listed}");
    let followed = sandbox.call(["logs", "r/s/1", "-f"]).expect(137).errors();
    assert!(followed.contains("s failed: killed by SIGKILL (OOMKilled)"), "{followed}");
    sandbox.verify("r");
}

#[test]
fn so_does_one_whose_child_was_killed() {
    let sandbox = Sandbox::local("");
    let script = format!(
        "import subprocess, sys\n\
         sys.exit(subprocess.run([sys.executable, '-c', {GREEDY:?}]).returncode + 12)"
    );
    let (output, exit) = run(&sandbox, &script);
    assert_eq!((output.code, exit.code), (Some(3), Some(3)));
    assert_eq!((exit.signal, exit.reason.as_deref()), (None, Some("OOMKilled")));
}

#[test]
fn another_kill_is_not_taken_for_it() {
    let sandbox = Sandbox::local("");
    let (output, exit) = run(&sandbox, "import os; os.kill(os.getpid(), 9)");
    assert_eq!((output.code, exit.signal.as_deref()), (Some(137), Some("SIGKILL")));
    assert_eq!(exit.reason, None);
}
