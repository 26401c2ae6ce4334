//! A machine with a systemd of its own.
//!
//! It is this machine, seen through an overlay: nothing that happens there changes a file here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{attempt, succeed};
use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::{project, wait};

/// Mounts live and die with the process that this becomes.
const BOOT: &str = r#"
mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" &&
exec systemd-nspawn --directory="$1/root" --machine="$2" --boot --register=no --keep-unit \
  --private-network --link-journal=no --console=pipe systemd.unit=basic.target
"#;

/// A machine that has booted.
pub(super) struct Machine<'a> {
    sandbox: &'a Sandbox,
    nspawn: Child,
    /// Its systemd, seen from outside.
    leader: String,
}

impl<'a> Machine<'a> {
    /// Without steplog.
    pub(super) fn bare(sandbox: &'a Sandbox) -> Self {
        fs::create_dir(sandbox.path("machine")).unwrap();
        let log = fs::File::create(sandbox.path("boot.log")).unwrap();
        // Without a mark of the sandbox: its processes end with their systemd.
        let nspawn = Command::new("unshare")
            .args(["--mount", "sh", "-c", BOOT, "sh"])
            .arg(sandbox.path("machine"))
            .arg(format!("steplog-{}", std::process::id()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let children = PathBuf::from(format!("/proc/{0}/task/{0}/children", nspawn.id()));
        let leader = wait::until("systemd to start", || {
            let children = fs::read_to_string(&children).ok()?;
            let leader = children.split_whitespace().next()?;
            let name = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
            (name == "systemd\n").then(|| leader.to_owned())
        });
        let machine = Self { sandbox, nspawn, leader };
        wait::until_true("systemd to be up", || {
            let state = attempt(&mut machine.inside(&["systemctl", "is-system-running"])).text();
            ["running\n", "degraded\n"].contains(&state.as_str())
        });
        machine
    }

    /// With this program as a package would put it.
    pub(super) fn boot(sandbox: &'a Sandbox) -> Self {
        let machine = Self::bare(sandbox);
        machine.put(Path::new(env!("CARGO_BIN_EXE_steplog")), "/usr/bin/steplog");
        machine
    }

    /// Copies a file into the machine.
    #[track_caller]
    pub(super) fn put(&self, from: &Path, to: &str) {
        let mut install = self.inside(&["install", "-D", "--mode=755", "/dev/stdin", to]);
        finish(install.stdin(fs::File::open(from).unwrap())).expect(0);
    }

    /// A command in the machine, as root of a service would run it: without a home.
    pub(super) fn inside(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.leader, "--mount", "--uts", "--ipc", "--net", "--pid"]);
        enter.arg(format!("--wd={}", project("").display())).args(["env", "--ignore-environment"]);
        enter.arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin").args(command);
        enter
    }

    /// Runs a command to its end; it must succeed. Gives what it printed.
    #[track_caller]
    pub(super) fn succeed(&self, command: &[&str]) -> String {
        succeed(&mut self.inside(command))
    }

    /// A file in the machine.
    #[track_caller]
    pub(super) fn write(&self, path: &str, text: &str) {
        let script = "mkdir -p \"${1%/*}\" && printf %s \"$2\" >\"$1\"";
        self.succeed(&["sh", "-c", script, "sh", path, text]);
    }

    /// What a unit has said.
    pub(super) fn journal(&self, unit: &str) -> String {
        self.succeed(&["journalctl", "--unit", unit, "--no-pager", "--output=cat"])
    }

    /// A step whose logs cannot be delivered: the store is a folder below a file.
    #[track_caller]
    pub(super) fn leave_behind(&self, run: &str) {
        self.write("/etc/steplog/stack.toml", &stack("/etc/hostname/store"));
        let step = ["steplog", "run", "--deadline=0s", "--run", run, "--", "echo", "left", run];
        let left: Output = attempt(&mut self.inside(&step)).expect(0);
        assert!(left.errors().contains("the logs are safe in /var/lib/steplog/spool/"), "{left:?}");
        self.write("/etc/steplog/stack.toml", &stack("${credential:store}"));
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        Command::new("kill").args(["-KILL", &self.leader]).status().ok();
        self.nspawn.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.sandbox.path("boot.log")).unwrap());
        }
    }
}

/// A stack file with a local artifact store.
pub(super) fn stack(path: &str) -> String {
    format!(
        "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n\
         [artifact_stores.a]\nflavor = \"local\"\npath = \"{path}\"\n"
    )
}
