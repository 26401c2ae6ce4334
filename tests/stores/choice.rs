//! Which log store of a stack the commands that read use, and what they say where none can be read.

use crate::servers::nobody;
use crate::support::lines;
use crate::support::sandbox::{Sandbox, finish};

/// The stack's log stores, of those in the file: one that only writes, and one of artifacts.
fn log_stores(sandbox: &Sandbox, names: &[&str]) {
    sandbox.write_stack(&format!(
        "active = \"test\"\n[stacks.test]\nartifact_store = \"here\"\nlog_stores = {names:?}\n\
         [artifact_stores.here]\nflavor = \"local\"\npath = \"{{sandbox}}/store\"\n\
         [log_stores.hook]\nflavor = \"http\"\nendpoint = \"http://user:secret@{}/in?key=secret\"\n\
         [log_stores.kept]\nflavor = \"artifact\"\n\
         [spool]\ndir = \"{{sandbox}}/spool\"\n",
        nobody()
    ));
}

/// A run of which the artifact store has all lines.
fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    log_stores(&sandbox, &["kept"]);
    let text = lines::numbered(50);
    std::fs::write(sandbox.path("input"), &text).unwrap();
    let input = sandbox.path("input").display().to_string();
    finish(&mut sandbox.wrap("run-1", ["cat", &input])).expect(0);
    (sandbox, text)
}

#[test]
fn the_first_that_can_be_read_is_read() {
    let (sandbox, text) = sandbox();
    log_stores(&sandbox, &["hook", "kept"]);
    assert_eq!(sandbox.raw("run-1"), text.as_bytes());
    assert!(sandbox.call(["ls"]).expect(0).text().contains("run-1"));
    sandbox.call(["download", "run-1", "--output", "out"]).expect(0);
    let file = sandbox.path("work/out/train.1.step.log");
    assert_eq!(std::fs::read(file).unwrap(), text.as_bytes());
}

#[test]
fn the_one_that_is_named_is_read() {
    let (sandbox, text) = sandbox();
    log_stores(&sandbox, &["hook", "kept"]);
    let named = ["logs", "run-1", "-o", "raw", "--log-store", "kept"];
    assert_eq!(sandbox.call(named).expect(0).stdout, text.as_bytes());
    for command in [
        &["logs", "run-1", "--log-store", "hook"][..],
        &["ls", "--log-store", "hook"],
        &["download", "run-1", "--log-store", "hook"],
    ] {
        let said = sandbox.call(command).expect(2).errors();
        assert!(said.contains("log store hook: the http flavor only writes: look at"), "{said}");
        assert!(said.contains("kept can be read"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let said = sandbox.call(["logs", "run-1", "--log-store", "none"]).expect(2).errors();
    assert!(said.contains("no log store \"none\"; it has hook, kept"), "{said}");
}

#[test]
fn where_none_can_be_read_it_is_said_where_the_logs_are() {
    let (sandbox, _) = sandbox();
    log_stores(&sandbox, &["hook"]);
    for command in [&["logs", "run-1"][..], &["ls"], &["ls", "run-1"], &["download", "run-1"]] {
        let said = sandbox.call(command).expect(2).errors();
        assert!(said.contains("log store hook: the http flavor only writes: look at"), "{said}");
        assert!(said.contains("add a log store of the flavor artifact"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
