//! `packaging/Containerfile`, and a step's image made as `packaging/README.md` says, run by Podman.

use std::fs;
use std::os::unix::fs::chown;

use super::podman::Podman;
use super::{attempt, succeed};
use crate::support::sandbox::{LOCAL, Output, Sandbox};
use crate::support::wait;

/// The image's user.
const NOBODY: u32 = 65532;

/// A sandbox whose folders `store` and `spool` are the containers' `/store` and `/spool`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::local("");
    for folder in ["container", "store", "spool"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    fs::write(sandbox.path("container/stack.toml"), LOCAL.replace("{sandbox}", "")).unwrap();
    sandbox
}

#[test]
fn as_pid_1_it_reaps_orphans_and_keeps_what_they_print() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    let script = "echo parent $PPID; (sleep 0.1; echo orphan) & exit 7";
    let ran = attempt(&mut podman.run(&[&podman.spool()], "step", &["sh", "-c", script])).expect(7);
    assert_eq!((ran.text().as_str(), ran.errors().as_str()), ("parent 1\norphan\n", ""));
    assert_eq!(sandbox.raw("r/s"), b"parent 1\norphan\n");
    sandbox.verify("r");
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn a_container_that_is_stopped_delivers_what_its_step_says_last() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    let script = "trap 'echo stopped; exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let options = ["--detach", "--name=c", &podman.spool()];
    succeed(&mut podman.run(&options, "step", &["sh", "-c", script]));
    podman.printed("c", "up");
    succeed(&mut podman.podman(&["stop", "--time=60", "c"]));
    assert_eq!(succeed(&mut podman.podman(&["wait", "c"])), "9");
    let text = String::from_utf8(sandbox.raw("r/s")).unwrap();
    assert!(text.starts_with("up\n") && text.contains("stopped\n"), "{text}");
    sandbox.verify("r");
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn without_a_folder_to_write_to_logs_are_kept_in_memory_and_that_is_said() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    let options = ["--read-only", "--read-only-tmpfs=false"];
    let step = ["sh", "-c", "echo kept; exit 3"];
    let ran = attempt(&mut podman.run(&options, "step", &step)).expect(3);
    assert_eq!(ran.text(), "kept\n");
    assert!(ran.errors().contains("logs are held in memory only"), "{}", ran.errors());
    assert_eq!(sandbox.raw("r/s"), b"kept\n");
    sandbox.verify("r");
}

#[test]
fn with_nothing_to_write_to_at_all_the_step_runs_and_nothing_is_promised() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    let mut command = podman.podman(&["run", "--network=none", "--read-only"]);
    command.arg("--read-only-tmpfs=false").args(podman.libraries());
    let Output { code, stdout, stderr } =
        attempt(command.args(["localhost/step", "sh", "-c", "echo shown; exit 3"]));
    assert_eq!((code, stdout.as_slice()), (Some(3), b"shown\n".as_slice()));
    let errors = String::from_utf8(stderr).unwrap();
    assert!(errors.contains("the logs of this step are not kept"), "{errors}");
    assert!(!errors.contains("to read them"), "{errors}");
}

#[test]
fn what_a_killed_container_left_is_delivered_from_the_bare_image() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    // As the step's own program reads no file of the store, it need not be there.
    fs::write(
        sandbox.path("container/stack.toml"),
        LOCAL.replace("{sandbox}/store", "/proc/none").replace("{sandbox}", ""),
    )
    .unwrap();
    let script = "echo one; echo two; exec sleep 1000";
    let options = ["--detach", "--name=c", "--read-only", &podman.spool()];
    succeed(&mut podman.run(&options, "step", &["sh", "-c", script]));
    podman.printed("c", "two");
    succeed(&mut podman.podman(&["kill", "--signal=KILL", "c"]));
    succeed(&mut podman.podman(&["wait", "c"]));
    assert_eq!(sandbox.spooled().len(), 1);
    fs::write(sandbox.path("container/stack.toml"), LOCAL.replace("{sandbox}", "")).unwrap();
    // As the user who has spooled.
    let options = ["--read-only", "--user=0", "--no-healthcheck", &podman.spool()];
    let shipped = attempt(&mut podman.run(&options, "steplog", &["ship", "--all"])).expect(0);
    assert!(shipped.errors().contains("1 spool delivered"), "{}", shipped.errors());
    assert_eq!(sandbox.raw("r/s"), b"one\ntwo\n");
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn the_image_s_agent_is_nobody_writes_only_to_its_volumes_and_says_whether_it_is_well() {
    let sandbox = sandbox();
    let podman = Podman::new(&sandbox);
    for folder in ["store", "spool"] {
        chown(sandbox.path(folder), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let input = "[[inputs]]\nname = \"steps\"\nkind = \"fifo\"\npath = \"/spool/train\"\n\
                 metadata = { pipeline_run_id = \"r\", step_id = \"train\" }\n";
    let stack = LOCAL.replace("{sandbox}", "") + input;
    fs::write(sandbox.path("container/stack.toml"), stack).unwrap();
    let confined = [
        "--detach",
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        // No systemd here that would ask again and again: the test asks.
        "--health-interval=disable",
        &podman.spool(),
    ];
    let agent = [&["--name=agent"], &confined[..]].concat();
    succeed(&mut podman.run(&agent, "steplog", &["agent"]));
    let health = |name: &str| attempt(&mut podman.podman(&["healthcheck", "run", name])).code;
    wait::until_true("the agent to be well", || health("agent") == Some(0));
    let pid = succeed(&mut podman.podman(&["inspect", "--format={{.State.Pid}}", "agent"]));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["Uid:\t65532\t65532\t", "Gid:\t65532\t65532\t", "CapEff:\t0000000000000000\n"] {
        assert!(status.contains(line), "{status}");
    }
    fs::write(sandbox.path("spool/train"), "training\n").unwrap();
    wait::until_true("the line in the store", || {
        sandbox.call(["logs", "r/train", "-o", "raw"]).stdout == b"training\n"
    });
    succeed(&mut podman.podman(&["stop", "--time=60", "agent"]));
    assert_eq!(succeed(&mut podman.podman(&["wait", "agent"])), "0");
    sandbox.verify("r");

    // Where there is no agent nothing is well.
    let other = [&["--name=other", "--interactive"], &confined[..]].concat();
    succeed(&mut podman.run(&other, "steplog", &["pipe"]));
    assert_eq!(health("other"), Some(1));
    let running = podman.podman(&["inspect", "--format={{.State.Running}}", "other"]);
    assert_eq!(succeed(&mut { running }), "true");
}
