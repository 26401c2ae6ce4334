//! The exit codes of the commands that read. 4 and 7 need a store that refuses or is away: they are
//! in `faults/store.rs`; 6 in `stores/`.

use std::fs;

use crate::support::sandbox::{Sandbox, finish};
use crate::support::wait;

#[test]
fn a_run_with_a_gap_is_incomplete_to_whoever_reads_it() {
    let stack = "max_bytes = \"64 KiB\"\nwhen_full = \"drop_newest\"\n[ship]\ndeadline = \"0s\"\n\
                 [capture]\nread_bytes = \"4 KiB\"\n";
    let sandbox = Sandbox::local(stack);
    // Nothing can be delivered while a file is where the store is to be.
    fs::write(sandbox.store(), "").unwrap();
    finish(&mut sandbox.wrap("r", ["seq", "100000"])).expect(0);
    fs::remove_file(sandbox.store()).unwrap();
    sandbox.call(["ship", "--all"]).expect(0);

    for arguments in [
        &["logs", "r"][..],
        &["logs", "r", "-n", "1"],
        &["logs", "r", "--grep", "^17$"],
        &["logs", "r", "-o", "raw"],
        &["download", "r", "--output", "to"],
    ] {
        let output = sandbox.call(arguments).expect(5);
        assert!(output.errors().contains("has 1 gap"), "{arguments:?}: {}", output.errors());
    }
    sandbox.call(["verify", "r"]).expect(5);
    // Whoever follows asks how the step ended.
    sandbox.call(["logs", "r/train", "-f"]).expect(0);
}

#[test]
fn a_step_whose_machine_is_gone_is_incomplete() {
    let sandbox = Sandbox::local("");
    let mut step = sandbox.wrap("r", ["sh", "-c", "echo begun; exec sleep 1000"]);
    let mut running = step.spawn().unwrap();
    wait::until_true("the line to be in the store", || {
        sandbox.call(["logs", "r"]).text() == "begun\n"
    });
    let while_it_runs = sandbox.call(["logs", "r"]).expect(0);
    assert!(while_it_runs.errors().contains("train is still running"));
    for process in sandbox.processes("ship").iter().chain(&sandbox.processes("run")) {
        process.kill();
    }
    running.wait().unwrap();
    // Its last sign of life is a long time ago.
    let later = sandbox
        .command("faketime")
        .args(["-f", "+10d"])
        .args([env!("CARGO_BIN_EXE_steplog"), "logs", "r"])
        .output()
        .unwrap();
    assert_eq!(later.status.code(), Some(5), "{later:?}");
    assert_eq!(later.stdout, b"begun\n");
}

#[test]
fn whoever_follows_too_early_is_told_how_to_wait() {
    let sandbox = Sandbox::local("");
    let said = sandbox.call(["logs", "r", "-f"]).expect(3).errors();
    assert!(said.contains("--wait 5m"), "{said}");
    let mut follow = sandbox.steplog(["logs", "r/train/1", "-f", "--wait", "60s"]);
    let following = follow.stdout(std::process::Stdio::piped()).spawn().unwrap();
    finish(&mut sandbox.wrap("r", ["sh", "-c", "echo here; exit 6"])).expect(6);
    let followed = crate::support::sandbox::collect(following);
    assert_eq!((followed.code, followed.text().as_str()), (Some(6), "here\n"));
    let said = sandbox.call(["logs", "other", "-f", "--wait", "10ms"]).expect(3).errors();
    assert!(said.contains("has not begun"), "{said}");
}
