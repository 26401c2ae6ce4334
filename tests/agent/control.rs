//! The control socket: attach, detach, status, and wrappers that hand their spools over.

use std::fs;

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
