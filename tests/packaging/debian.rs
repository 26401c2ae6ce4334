//! The Debian package: cargo-deb makes it of the tested binary, lintian judges it, and it goes through its life
//! on a machine with a systemd of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use super::machine::{Machine, stack};
use super::{attempt, succeed};
use crate::support::sandbox::{Sandbox, collect};
use crate::support::{project, wait};

/// The package of this revision.
fn package(sandbox: &Sandbox, revision: &str) -> PathBuf {
    static GENERATED: Once = Once::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_steplog"));
    GENERATED.call_once(|| {
        succeed(Command::new(project("packaging/debian/generate.sh")).arg(binary));
    });
    let release = binary.parent().is_some_and(|folder| folder.ends_with("release"));
    let mut build = Command::new(project(".tools/bin/cargo-deb"));
    build.args(["--no-build", "--fast", "--locked", "--offline", "--deb-revision", revision]);
    build.args(["--profile", if release { "release" } else { "dev" }, "--output"]);
    build.arg(sandbox.root()).current_dir(project(""));
    PathBuf::from(succeed(&mut build))
}

#[test]
fn the_package_has_what_belongs_on_a_node_and_lintian_finds_nothing() {
    let sandbox = Sandbox::new();
    let package = package(&sandbox, "1");
    let version = env!("CARGO_PKG_VERSION");
    let name = package.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("steplog_{version}-1_")), "{name}");
    let listed = succeed(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for file in [
        "./usr/bin/steplog",
        "./etc/steplog/stack.toml",
        "./lib/systemd/system/steplog-ship.timer",
        "./lib/systemd/system/steplog-agent.service",
        "./usr/lib/sysusers.d/steplog.conf",
        "./usr/lib/tmpfiles.d/steplog.conf",
        "./usr/share/bash-completion/completions/steplog",
        "./usr/share/zsh/vendor-completions/_steplog",
        "./usr/share/fish/vendor_completions.d/steplog.fish",
        "./usr/share/man/man1/steplog-run.1.gz",
        "./usr/share/doc/steplog/docs/stack-file.md",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(file)), "no {file} in\n{listed}");
    }
    let mut lintian = sandbox.command("lintian");
    lintian.args(["--fail-on=error,warning", "--info", "--allow-root"]);
    // The package is not for Debian's archive, which has a bug report for each that is new.
    lintian.args(["--suppress-tags=initial-upload-closes-no-bugs"]);
    assert_eq!(succeed(lintian.arg(package)), "");
}

#[test]
fn the_package_is_installed_started_upgraded_removed_and_purged() {
    let sandbox = Sandbox::new();
    let machine = Machine::bare(&sandbox);
    // Where this machine is itself made from an image, it may have been told to start nothing.
    machine.succeed(&["rm", "--force", "/usr/sbin/policy-rc.d"]);
    for revision in ["1", "2"] {
        machine.put(&package(&sandbox, revision), &format!("/var/tmp/{revision}.deb"));
    }
    let installed =
        || machine.succeed(&["dpkg-query", "--show", "--showformat=${Version}", "steplog"]);
    let timer = |verb| {
        attempt(&mut machine.inside(&["systemctl", verb, "steplog-ship.timer"]))
            .text()
            .trim()
            .to_owned()
    };
    let read = |path| machine.succeed(&["cat", path]);
    let kept = || machine.succeed(&["steplog", "logs", "run"]);

    machine.succeed(&["dpkg", "--install", "/var/tmp/1.deb"]);
    assert!(installed().ends_with("-1"));
    assert_eq!((timer("is-active").as_str(), timer("is-enabled").as_str()), ("active", "enabled"));
    let default = fs::read_to_string(project("src/stack/default.toml")).unwrap();
    assert_eq!(read("/etc/steplog/stack.toml"), default.trim_end());
    machine.succeed(&["steplog", "check"]);
    machine.succeed(&["man", "--where", "steplog-run"]);
    let complete = "source /usr/share/bash-completion/completions/steplog; complete -p steplog";
    machine.succeed(&["bash", "-ec", complete]);

    // What a run has left is delivered by the unit.
    let edited = stack("/var/lib/steplog/logs");
    machine.write("/etc/steplog/stack.toml", &stack("/etc/hostname/store"));
    let left = ["steplog", "run", "--deadline=0s", "--run=run", "--", "echo", "left"];
    attempt(&mut machine.inside(&left)).expect(0);
    machine.write("/etc/steplog/stack.toml", &edited);
    machine.succeed(&["systemctl", "start", "steplog-ship.service"]);
    assert_eq!(kept(), "left");

    // An upgrade asks nothing, and keeps what was edited and what was started.
    machine.succeed(&["dpkg", "--install", "/var/tmp/2.deb"]);
    assert!(installed().ends_with("-2"));
    assert_eq!(read("/etc/steplog/stack.toml"), edited.trim_end());
    assert_eq!((timer("is-active").as_str(), timer("is-enabled").as_str()), ("active", "enabled"));
    // What somebody has disabled stays so.
    machine.succeed(&["systemctl", "disable", "--now", "steplog-ship.timer"]);
    machine.succeed(&["dpkg", "--install", "/var/tmp/2.deb"]);
    assert_eq!(
        (timer("is-active").as_str(), timer("is-enabled").as_str()),
        ("inactive", "disabled")
    );
    machine.succeed(&["systemctl", "enable", "--now", "steplog-ship.timer"]);

    machine.succeed(&["dpkg", "--remove", "steplog"]);
    assert_eq!(timer("is-active"), "inactive");
    attempt(&mut machine.inside(&["test", "-e", "/usr/bin/steplog"])).expect(1);
    assert_eq!(read("/etc/steplog/stack.toml"), edited.trim_end());

    machine.succeed(&["dpkg", "--install", "/var/tmp/2.deb"]);
    assert_eq!((timer("is-active").as_str(), kept().as_str()), ("active", "left"));
    let purged = attempt(&mut machine.inside(&["dpkg", "--purge", "steplog"])).expect(0);
    assert!(purged.errors().contains("logs are left in /var/lib/steplog;"), "{purged:?}");
    attempt(&mut machine.inside(&["test", "-e", "/etc/steplog"])).expect(1);
    let units = machine.succeed(&["find", "/etc/systemd/system", "-name", "steplog*"]);
    assert_eq!(units, "");
    machine.succeed(&["test", "-d", "/var/lib/steplog/logs"]);
}

#[test]
fn an_upgrade_restarts_the_agent_and_no_line_of_a_step_is_lost() {
    let sandbox = Sandbox::new();
    let machine = Machine::bare(&sandbox);
    machine.succeed(&["rm", "--force", "/usr/sbin/policy-rc.d"]);
    for revision in ["1", "2"] {
        machine.put(&package(&sandbox, revision), &format!("/var/tmp/{revision}.deb"));
    }
    machine.succeed(&["dpkg", "--install", "/var/tmp/1.deb"]);
    let agent = |verb| {
        let asked = attempt(&mut machine.inside(&["systemctl", verb, "steplog-agent.service"]));
        asked.text().trim().to_owned()
    };
    assert_eq!(
        (agent("is-active").as_str(), agent("is-enabled").as_str()),
        ("inactive", "disabled")
    );
    let input = "[[inputs]]\nname = \"train\"\nkind = \"fifo\"\npath = \"/run/steplog/train\"\n\
                 metadata = { pipeline_run_id = \"run\", step_id = \"train\" }\n";
    machine.write("/etc/steplog/stack.toml", &(stack("/var/lib/steplog/logs") + input));
    machine.succeed(&["systemctl", "enable", "--now", "steplog-agent.service"]);
    // The step has the FIFO open all the time, and writes on while the package is replaced.
    let script = "{ n=0; while [ ! -e /var/tmp/upgraded ]; do echo $n; n=$((n+1)); sleep 0.01; done; echo end; } \
                  >/run/steplog/train; echo $n >/var/tmp/lines";
    let mut step = machine.inside(&["sh", "-c", script]);
    let step = step.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let logged = || attempt(&mut machine.inside(&["steplog", "logs", "run", "-o", "raw"])).text();
    wait::until_true("the step to write", || logged().starts_with("0\n"));
    let process =
        || machine.succeed(&["systemctl", "show", "--property=MainPID", "steplog-agent.service"]);
    let before = process();
    machine.succeed(&["dpkg", "--install", "/var/tmp/2.deb"]);
    assert_eq!(agent("is-active"), "active");
    assert_ne!(process(), before);
    machine.succeed(&["touch", "/var/tmp/upgraded"]);
    collect(step).expect(0);
    wait::until_true("the end of the step's log", || logged().ends_with("end\n"));
    let lines: u32 = machine.succeed(&["cat", "/var/tmp/lines"]).parse().unwrap();
    let expected: String = (0..lines).map(|number| format!("{number}\n")).collect();
    assert_eq!(logged(), expected + "end\n");
    machine.succeed(&["dpkg", "--purge", "steplog"]);
    assert_eq!(agent("is-active"), "inactive");
}
