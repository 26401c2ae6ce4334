//! The control socket: attach, detach, status, and wrappers that hand their spools over.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Running, arrives, fifo, sandbox};
use crate::support::wait;

#[test]
fn what_is_attached_is_read_until_it_is_detached_also_after_a_restart() {
    let sandbox = sandbox("");
    let agent = Running::start(&sandbox);
    let path = sandbox.path("late").display().to_string();
    let attach = ["attach", "late", "--fifo", path.as_str(), "--run", "late", "--step", "train"];
    sandbox.call(attach).expect(0);
    let again = sandbox.call(attach).expect(1).errors();
    assert!(again.contains("there is an input \"late\" already"), "{again}");
    fs::write(&path, "one\n").unwrap();
    arrives(&sandbox, "late", b"one\n");
    agent.stop().expect(0);
    let agent = Running::start(&sandbox);
    fs::write(&path, "two\n").unwrap();
    arrives(&sandbox, "late", b"one\ntwo\n");
    let unknown = sandbox.call(["detach", "lat"]).expect(1).errors();
    assert!(unknown.contains("did you mean \"late\""), "{unknown}");
    sandbox.call(["detach", "late"]).expect(0);
    wait::until_true("the spool to be delivered", || sandbox.spooled().is_empty());
    assert!(agent.status()["inputs"].as_array().unwrap().is_empty());
    agent.stop().expect(0);
    let agent = Running::start(&sandbox);
    assert!(agent.status()["inputs"].as_array().unwrap().is_empty());
    agent.stop().expect(0);
}

#[test]
fn the_next_agent_waits_until_the_one_that_was_killed_is_gone() {
    let sandbox = sandbox(&fifo("pipe"));
    let first = Running::start(&sandbox);
    first.signal(Signal::SIGSTOP);
    let killer = std::thread::spawn({
        let pid = Pid::from_raw(first.child.id() as i32);
        move || {
            // While the next one waits; if it has not begun to by then, it need not wait.
            std::thread::sleep(Duration::from_millis(300));
            kill(pid, Signal::SIGKILL).unwrap();
        }
    });
    let second = Running::start(&sandbox);
    killer.join().unwrap();
    first.kill();
    fs::write(sandbox.path("pipe"), "one\n").unwrap();
    arrives(&sandbox, "pipe", b"one\n");
    second.stop().expect(0);
}

#[test]
fn what_cannot_be_attached_is_refused_and_says_why() {
    let sandbox = sandbox("");
    let none = sandbox.call(["status"]).expect(1).errors();
    assert!(none.contains("start `steplog agent`"), "{none}");
    let agent = Running::start(&sandbox);
    let file = sandbox.path("a file").display().to_string();
    fs::write(&file, "").unwrap();
    let refused = sandbox.call(["attach", "x", "--fifo", &file]).expect(1).errors();
    assert!(refused.contains("it is not a FIFO"), "{refused}");
    let refused = sandbox.call(["attach", "x", "--fifo", "/x", "--run", "a\nb"]).expect(1).errors();
    assert!(refused.contains("pipeline_run_id has characters that cannot be shown"), "{refused}");
    assert!(agent.status()["inputs"].as_array().unwrap().is_empty());
    let second = sandbox.call(["agent"]).expect(1).errors();
    assert!(second.contains("another agent is running on the spools"), "{second}");
    agent.stop().expect(0);
}

#[test]
fn status_says_how_things_are() {
    let sandbox = sandbox(&fifo("pipe"));
    let agent = Running::start(&sandbox);
    fs::write(sandbox.path("pipe"), "hello\n").unwrap();
    wait::until_true("no lag", || {
        let stream = agent.status()["inputs"][0]["streams"][0].clone();
        stream["bytes"] == 6 && stream["lag_bytes"] == 0
    });
    let status = agent.status();
    assert_eq!(status["stack"], "test");
    assert_eq!(status["pid"], agent.child.id());
    assert_eq!(status["stores"][0]["name"], "here");
    assert_eq!(status["inputs"][0]["streams"][0]["step_id"], "train");
    let text = sandbox.call(["status"]).expect(0).text();
    assert!(text.contains("input    pipe (fifo "), "{text}");
    agent.stop().expect(0);
}

#[test]
fn a_wrapper_hands_its_spool_to_the_agent() {
    let sandbox = sandbox("");
    // Nobody is there: the wrapper delivers, or leaves it where it is told so.
    sandbox.wrap("alone", ["echo", "alone"]).status().unwrap();
    assert_eq!(sandbox.raw("alone"), b"alone\n");
    let wrap = |run: &str, via: &str| {
        let mut command = sandbox.steplog(["run", "--quiet", "--run", run, "--step", "s"]);
        command.args(["--via", via, "--", "echo", run]);
        crate::support::sandbox::finish(&mut command).expect(0)
    };
    wrap("before", "agent");
    assert_eq!(sandbox.spooled().len(), 1);
    let agent = Running::start(&sandbox);
    arrives(&sandbox, "before", b"before\n");
    let said = wrap("auto", "auto");
    assert_eq!(said.errors(), "");
    arrives(&sandbox, "auto", b"auto\n");
    wait::until_true("the agent to have delivered two", || {
        agent.status()["deliveries"]["delivered"] == 2
    });
    wrap("self", "self");
    assert_eq!(sandbox.raw("self"), b"self\n");
    assert_eq!(agent.status()["deliveries"]["delivered"], 2);
    agent.stop().expect(0);
    assert!(sandbox.spooled().is_empty());
    sandbox.verify("auto");
}

/// Whether the kernel tells how a process ended that is nobody's child.
fn ends_are_told() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn a_process_says_whose_its_lines_are_and_when_they_end() {
    let sandbox = sandbox("");
    let agent = Running::start(&sandbox);
    let log = sandbox.path("step.log");
    let script = "import os, sys\nprint('the token is correct-horse', flush=True)\n\
                  sys.stdin.read()\nprint('last', flush=True)\nos._exit(3)";
    let mut command = sandbox.command("python3");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(File::create(&log).unwrap());
    command.env("STEPLOG_PIPELINE_RUN_ID", "of-a-process").env("API_TOKEN", "correct-horse");
    let mut step = command.spawn().unwrap();
    let pid = step.id().to_string();
    sandbox.call(["attach", "step", "--pid", &pid, "--step", "train"]).expect(0);
    arrives(&sandbox, "of-a-process", b"the token is ***\n");
    let status = sandbox.call(["status"]).expect(0).text();
    assert!(status.contains(&format!("attached to process {pid}")), "{status}");
    // The next agent knows all that, though the process ends meanwhile.
    agent.kill();
    let agent = Running::start(&sandbox);
    drop(step.stdin.take());
    assert_eq!(step.wait().unwrap().code(), Some(3));
    wait::until_true("the input to end", || {
        agent.status()["inputs"].as_array().unwrap().is_empty()
    });
    arrives(&sandbox, "of-a-process", b"the token is ***\nlast\n");
    assert_eq!(sandbox.records("of-a-process")[1]["step_id"], "train");
    wait::until_true("the end to be delivered", || sandbox.spooled().is_empty());
    let runs = sandbox.call(["ls", "of-a-process"]).expect(0).text();
    let expected = if ends_are_told() { "failed (3)" } else { "interrupted" };
    assert!(runs.contains(expected), "{runs}");
    agent.stop().expect(0);
    let agent = Running::start(&sandbox);
    assert!(agent.status()["inputs"].as_array().unwrap().is_empty());
    // What only its reader can read is refused.
    let gone = sandbox.call(["attach", "x", "--pid", &pid]).expect(2).errors();
    assert!(gone.contains(&format!("there is no process {pid}")), "{gone}");
    let mut piped = sandbox.command("cat");
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let refused = sandbox.call(["attach", "x", "--pid", &piped.id().to_string()]);
    let refused = refused.expect(2).errors();
    assert!(refused.contains("it is pipe:"), "{refused}");
    drop(piped.stdin.take());
    piped.wait().unwrap();
    agent.stop().expect(0);
}
