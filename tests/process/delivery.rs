//! What `run` does about delivery: keeps ship alive, waits for it, and does without a spool where
//! there cannot be one.

use super::{exit_record, numbers, start, wrapped};
use crate::support::sandbox::{Sandbox, collect, finish};
use crate::support::{lines, wait};

#[test]
fn what_was_captured_is_delivered_and_the_spool_is_gone() {
    let sandbox = Sandbox::local("");
    let output = finish(&mut wrapped(&sandbox, &[], &["sh", "-c", "seq 1 1000; exit 3"])).expect(3);
    assert_eq!(output.errors(), "");
    assert!(sandbox.spooled().is_empty());
    assert_eq!(sandbox.raw("r"), output.stdout);
    let exit = exit_record(&sandbox);
    assert_eq!(exit.delivery.as_deref(), Some("delivered"));
    assert_eq!(exit.bytes_delivered, Some(exit.bytes_captured));
}

#[test]
fn a_ship_that_is_killed_is_started_again() {
    let sandbox = Sandbox::local("");
    let script = "seq 1 20000; read go; seq 20001 40000";
    let mut command = wrapped(&sandbox, &["--quiet"], &["sh", "-c", script]);
    let mut child = start(command.stdin(std::process::Stdio::piped()));
    for _ in 0..3 {
        wait::until_true("ship to run", || {
            let ships = sandbox.processes("ship");
            ships.iter().for_each(crate::support::processes::Process::kill);
            !ships.is_empty()
        });
    }
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\n").unwrap();
    collect(child).expect(0);
    let expected = numbers(1..40_001);
    lines::assert_same("logs", expected.as_bytes(), &sandbox.raw("r"));
    assert!(sandbox.spooled().is_empty());
}

/// A folder in which not even root can make anything.
const NO_SPOOL: &str = "[stacks.default]\nartifact_store = \"here\"\n[artifact_stores.here]\n\
    flavor = \"local\"\npath = \"{sandbox}/store\"\n[spool]\ndir = \"/proc/steplog\"\n";

#[test]
fn without_a_directory_it_works_in_memory_and_says_so() {
    let sandbox = Sandbox::with_stack(NO_SPOOL);
    let output = finish(&mut wrapped(&sandbox, &[], &["sh", "-c", "seq 1 1000; exit 3"])).expect(3);
    assert_eq!(output.errors().lines().count(), 1, "{}", output.errors());
    assert!(output.errors().contains("/proc/steplog") && output.errors().contains("in memory"));
    assert_eq!(sandbox.raw("r"), output.stdout);
    assert_eq!(exit_record(&sandbox).delivery.as_deref(), Some("delivered"));
}

#[test]
fn in_memory_a_store_that_is_down_costs_logs_and_nothing_else() {
    let sandbox = super::sandbox();
    sandbox.write_stack(&super::STACK.replace("{sandbox}/spool", "/proc/steplog"));
    let mut command = sandbox.steplog(["run", "--run=r", "--", "sh", "-c"]);
    // More than the channel holds.
    let output = finish(command.arg("seq 1 3000000; exit 3")).expect(3);
    assert_eq!(lines::count(&output.stdout), 3_000_000);
    let said = output.errors();
    assert!(said.contains("output is being dropped") && said.contains("lost"), "{said}");
}

#[test]
fn what_ship_says_is_told_in_one_voice() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"10s\"\n");
    // A file where the store is to be: no try can succeed.
    std::fs::write(sandbox.store(), "").unwrap();
    let mut command = sandbox.wrap("r", ["sh", "-c", "sleep 0.3"]);
    let said = finish(command.env("STEPLOG_STEP_ID", "s")).expect(0).errors();
    assert!(said.contains("set up the log store"), "{said}");
    assert!(!said.contains("steplog: steplog:"), "{said}");
}
