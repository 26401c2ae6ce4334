//! Beside a step: the agent ends by itself when the step is over and delivered.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Running, sandbox};
use crate::support::wait;

const STEPS: &str = "[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{sandbox}/shared\"\n\
                     metadata = { pipeline_run_id = \"pod\" }\n";

#[test]
fn it_ends_when_the_steps_of_its_folder_are_over() {
    let sandbox = sandbox(STEPS);
    let shared = sandbox.path("shared");
    fs::create_dir(&shared).unwrap();
    let mut agent = Running::start_with(&sandbox, |command| {
        command.arg("--until-done");
    });
    mkfifo(&shared.join("train"), Mode::from_bits_truncate(0o600)).unwrap();
    fs::write(shared.join("eval.log"), "of a file\n").unwrap();
    fs::write(shared.join("train"), "of a pipe\n").unwrap();
    agent.has_read("steps", 20);
    fs::write(shared.join("train.exit.json"), "{\"code\":0}").unwrap();
    wait::until_true("one of them to be delivered", || {
        agent.status()["deliveries"]["delivered"] == 1
    });
    assert!(agent.child.try_wait().unwrap().is_none());
    fs::write(shared.join("eval.log.exit.json"), "{\"code\":1}").unwrap();
    agent.wait().expect(0);
    let listed = sandbox.call(["ls", "pod", "-o", "json"]).expect(0).text();
    assert!(listed.contains("succeeded") && listed.contains("failed"), "{listed}");
    let text = String::from_utf8(sandbox.raw("pod")).unwrap();
    assert!(text.contains("of a file\n") && text.contains("of a pipe\n"), "{text}");
    sandbox.verify("pod");
}

#[test]
fn it_ends_when_wrapped_steps_are_over() {
    let sandbox = sandbox("");
    let agent = Running::start_with(&sandbox, |command| {
        command.arg("--until-done");
    });
    let mut command = sandbox.steplog(["run", "--quiet", "--run", "wrapped", "--via", "agent"]);
    command.args(["--", "echo", "wrapped"]);
    crate::support::sandbox::finish(&mut command).expect(0);
    agent.wait().expect(0);
    assert_eq!(sandbox.raw("wrapped"), b"wrapped\n");
}

#[test]
fn it_ends_with_its_standard_input() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"in\"\nkind = \"stdin\"\nmetadata = { pipeline_run_id = \"in\" }\n",
    );
    let mut agent = Running::start_with(&sandbox, |command| {
        command.arg("--until-done").stdin(Stdio::piped());
    });
    let mut input = agent.child.stdin.take().unwrap();
    input.write_all(b"from standard input\n").unwrap();
    drop(input);
    agent.wait().expect(0);
    assert_eq!(sandbox.raw("in"), b"from standard input\n");
}

#[test]
fn who_is_told_to_end_while_it_delivers_the_rest_has_its_deadline_for_that() {
    let sandbox = sandbox("");
    let agent = Running::start_with(&sandbox, |command| {
        command.arg("--until-done");
    });
    // The store is a file, so nothing can be delivered.
    fs::write(sandbox.store(), "in the way").unwrap();
    let mut command = sandbox.steplog(["run", "--quiet", "--run", "wrapped", "--via", "agent"]);
    command.args(["--", "echo", "wrapped"]);
    crate::support::sandbox::finish(&mut command).expect(0);
    wait::until_true("nothing to be left but to deliver", || {
        sandbox.call(["status"]).code != Some(0)
    });
    agent.signal(Signal::SIGTERM);
    fs::remove_file(sandbox.store()).unwrap();
    agent.wait().expect(0);
    assert_eq!(sandbox.raw("wrapped"), b"wrapped\n");
}
