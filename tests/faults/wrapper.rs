//! The wrapper dies.

use std::fs;
use std::path::Path;

use crate::support::paced::Paced;
use crate::support::sandbox::Sandbox;
use crate::support::{lines, wait};

/// Payload bytes in the spool, about: segments without their frame headers' share.
fn spooled_bytes(spool: &Path) -> u64 {
    fs::read_dir(spool)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "seg"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[test]
fn killed_while_the_step_runs_loses_nothing_that_was_written_before() {
    // Nothing is delivered while it lives, so that the spool alone has it all.
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    fs::write(sandbox.store(), "in the way").unwrap();
    let mut step = Paced::start(&sandbox, "run", 20_000, 1);
    step.more();
    step.printed();
    let spool = wait::until("a spool", || sandbox.spooled().pop());
    wait::until_true("the wrapper to have read it all", || {
        spooled_bytes(&spool) > step.input.len() as u64
    });
    step.child.kill().unwrap();
    step.child.wait().unwrap();
    fs::remove_file(sandbox.store()).unwrap();

    // Its ship goes on by itself and delivers; `ship --all` waits for that or does it.
    wait::until_true("the spool to be delivered", || {
        sandbox.call(["ship", "--all"]);
        sandbox.spooled().is_empty()
    });
    let read = sandbox.call(["logs", "run", "-o", "raw"]);
    lines::assert_same("logs -o raw", step.input.as_bytes(), &read.stdout);
    sandbox.verify("run");
    let listed = sandbox.call(["ls", "run"]).expect(0).text();
    assert!(listed.contains("interrupted"), "{listed}");
}

#[test]
fn killed_together_with_its_ship_is_delivered_by_ship_all() {
    let sandbox = Sandbox::local("");
    let mut step = Paced::start(&sandbox, "run", 50_000, 10);
    for _ in 0..5 {
        step.more();
    }
    step.printed();
    let half = lines::numbered(25_000);
    wait::until_true("the lines to be readable live", || {
        sandbox.call(["logs", "run", "-o", "raw"]).stdout.len() >= half.len()
    });
    let ship = wait::until("its ship", || sandbox.processes("ship").pop());
    step.child.kill().unwrap();
    ship.kill();
    step.child.wait().unwrap();
    wait::until_true("the spool to be delivered", || {
        sandbox.call(["ship", "--all"]);
        sandbox.spooled().is_empty()
    });
    let read = sandbox.call(["logs", "run", "-o", "raw"]);
    lines::assert_same("logs -o raw", half.as_bytes(), &read.stdout);
    sandbox.verify("run");
}
