//! The units of `systemd/`, installed as its README says, under a systemd of their own.
//!
//! The machine is this one, seen through an overlay: nothing that happens there changes a file here.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{attempt, succeed};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::{project, wait};

/// The README's block for the timer.
const TIMER: usize = 1;

/// Mounts live and die with the process that this becomes.
const BOOT: &str = r#"
mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" &&
cp "$2" "$1/root/usr/bin/steplog" &&
exec systemd-nspawn --directory="$1/root" --machine="$3" --boot --register=no --keep-unit \
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
    pub(super) fn boot(sandbox: &'a Sandbox) -> Self {
        fs::create_dir(sandbox.path("machine")).unwrap();
        let log = fs::File::create(sandbox.path("boot.log")).unwrap();
        // Without a mark of the sandbox: its processes end with their systemd.
        let nspawn = Command::new("unshare")
            .args(["--mount", "sh", "-c", BOOT, "sh"])
            .arg(sandbox.path("machine"))
            .args([env!("CARGO_BIN_EXE_steplog"), &format!("steplog-{}", std::process::id())])
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

    /// A command in the machine, as root of a service would run it: without a home.
    pub(super) fn inside(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.leader, "--mount", "--uts", "--ipc", "--net", "--pid"]);
        enter.arg(format!("--wd={}", project("").display())).args(["env", "--ignore-environment"]);
        enter.arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin").args(command);
        enter
    }

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

    pub(super) fn journal(&self, unit: &str) -> String {
        self.succeed(&["journalctl", "--unit", unit, "--no-pager", "--output=cat"])
    }

    /// A step whose logs cannot be delivered: the store is a folder below a file.
    #[track_caller]
    fn leave_behind(&self, run: &str) {
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

pub(super) fn stack(path: &str) -> String {
    format!(
        "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n\
         [artifact_stores.a]\nflavor = \"local\"\npath = \"{path}\"\n"
    )
}

/// The commands of a block of the README, from 0.
pub(super) fn installation(block: usize) -> String {
    let readme = fs::read_to_string(project("systemd/README.md")).unwrap();
    let block = readme.split("```sh\n").nth(block + 1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_units_deliver_what_runs_left_behind() {
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    machine.succeed(&["sh", "-ec", &installation(TIMER)]);
    assert_eq!(machine.succeed(&["systemctl", "is-active", "steplog-ship.timer"]), "active");
    // What the README says of secrets: a value that only the service is given.
    machine.write("/etc/steplog/store", "/var/lib/steplog/store");
    machine.write(
        "/etc/systemd/system/steplog-ship.service.d/store.conf",
        "[Service]\nLoadCredential=store:/etc/steplog/store\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);

    machine.leave_behind("one");
    machine.succeed(&["systemctl", "start", "steplog-ship.service"]);
    let said = machine.journal("steplog-ship.service");
    assert!(said.contains("1 spool delivered"), "{said}");

    // And by the timer, whose time is brought forward.
    machine.leave_behind("two");
    machine.write(
        "/etc/systemd/system/steplog-ship.timer.d/soon.conf",
        "[Timer]\nOnBootSec=\nRandomizedDelaySec=0\nOnActiveSec=10ms\nAccuracySec=1ms\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "restart", "steplog-ship.timer"]);
    wait::until_true("the timer to deliver", || {
        machine.succeed(&["ls", "/var/lib/steplog/spool"]).is_empty()
    });

    machine.write("/etc/steplog/stack.toml", &stack("/var/lib/steplog/store"));
    for run in ["one", "two"] {
        assert_eq!(machine.succeed(&["steplog", "logs", run]), format!("left {run}"));
        machine.succeed(&["steplog", "verify", run]);
    }
}

#[test]
fn a_service_of_a_user_made_up_keeps_its_logs_in_its_own_folder() {
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    machine.write(
        "/etc/systemd/system/app.service",
        "[Service]\nType=oneshot\nDynamicUser=yes\nStateDirectory=app\n\
         ExecStartPre=-/usr/bin/steplog ship --all\n\
         ExecStart=/usr/bin/steplog run --run=r --step=s -- echo hello\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "start", "app.service"]);
    let said = machine.journal("app.service");
    assert!(said.contains("\nhello\n"), "{said}");
    let read = ["env", "STATE_DIRECTORY=/var/lib/app", "steplog", "logs", "r/s"];
    assert_eq!(machine.succeed(&read), "hello");
}
