//! The spool's disk is full, read-only, or goes away. The step must not notice, and nothing is
//! lost without a gap record.

use std::fs;

use crate::support::paced::Paced;
use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::{lines, wait};

/// Everything is accounted for: what is there is there once and in order, what is not is in gap
/// records, by bytes and lines. Gives how many lines are gone.
#[track_caller]
fn accounted(sandbox: &Sandbox, run: &str, input: &str) -> u64 {
    let mut expected = input.lines();
    let (mut kept_bytes, mut gap_bytes, mut gap_lines) = (0, 0, 0);
    for record in sandbox.records(run) {
        if let Some(gap) = record.get("gap") {
            gap_bytes += gap["bytes"].as_u64().unwrap();
            gap_lines += gap["lines"].as_u64().unwrap();
            continue;
        }
        let message = record["message"].as_str().unwrap();
        kept_bytes += message.len() as u64;
        if record.get("eol").is_none() {
            kept_bytes += 1;
        }
        // A line that a gap cut in two is there in part; whole ones are in order.
        if message.len() == lines::numbered_line(0).len() {
            assert!(expected.any(|line| line == message), "doubled or out of order: {message}");
        }
    }
    assert_eq!(kept_bytes + gap_bytes, input.len() as u64, "bytes kept and lost");
    gap_lines
}

fn full(when_full: &str) -> (Sandbox, String) {
    // Nothing can be delivered, so the spool fills.
    let sandbox = Sandbox::with_stack(&crate::support::sandbox::LOCAL.replace(
        "[spool]",
        &format!(
            "[ship]\ndeadline = \"0s\"\n[spool]\nmax_bytes = \"1 MiB\"\nwhen_full = \"{when_full}\""
        ),
    ));
    fs::write(sandbox.store(), "in the way").unwrap();
    let (input, _) = Paced::start(&sandbox, "run", 40_000, 4).succeed();
    fs::remove_file(sandbox.store()).unwrap();
    sandbox.call(["ship", "--all"]).expect(0);
    (sandbox, input)
}

#[test]
fn full_drops_the_oldest_and_says_how_much() {
    let (sandbox, input) = full("drop_oldest");
    assert!(accounted(&sandbox, "run", &input) > 20_000);
    let text = sandbox.call(["logs", "run", "-o", "text"]).text();
    assert!(text.contains("line=00039999"), "the newest is kept");
}

#[test]
fn full_drops_the_newest_and_says_how_much() {
    let (sandbox, input) = full("drop_newest");
    assert!(accounted(&sandbox, "run", &input) > 20_000);
    let text = sandbox.call(["logs", "run", "-o", "text"]).text();
    assert!(text.contains("line=00000000"), "the oldest is kept");
}

#[test]
fn full_blocks_the_step_if_told_to_and_loses_nothing() {
    let sandbox = Sandbox::with_stack(&crate::support::sandbox::LOCAL.replace(
        "[spool]",
        "[ship]\nretry_max = \"100ms\"\n[spool]\nmax_bytes = \"1 MiB\"\nwhen_full = \"block\"",
    ));
    fs::write(sandbox.store(), "in the way").unwrap();
    let mut step = Paced::start(&sandbox, "run", 40_000, 2);
    step.more();
    wait::until_true("the spool to be full", || {
        let Some(spool) = sandbox.spooled().pop() else { return false };
        let bytes: u64 = fs::read_dir(spool)
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.len())
            .sum();
        bytes > 700 << 10
    });
    assert!(!sandbox.path("printed").exists(), "the step waits in its first share");
    fs::remove_file(sandbox.store()).unwrap();
    let (input, _) = step.succeed();
    super::all_there(&sandbox, "run", &input);
}

/// Runs a script in a mount namespace of its own, where `$1` is an empty folder to mount on and
/// the rest is `steplog`'s arguments.
fn in_a_namespace(sandbox: &Sandbox, script: &str, arguments: &[&str]) -> Output {
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["-Ur"] };
    fs::create_dir_all(sandbox.spool()).unwrap();
    let mut command = sandbox.command("unshare");
    command.args(user).args(["-m", "sh", "-ec", script, env!("CARGO_BIN_EXE_steplog")]);
    command.arg(sandbox.spool()).args(arguments);
    command.env("STEPLOG_PIPELINE_RUN_ID", "run").env("STEPLOG_STEP_ID", "train");
    finish(&mut command)
}

#[test]
fn its_disk_fills_up() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    let input = lines::numbered(20_000);
    fs::write(sandbox.path("input"), &input).unwrap();
    // When the spool is there, the step fills the disk that it is on, prints, and makes room at the
    // end.
    let step = format!(
        "until ls {spool}/*/meta.json; do sleep 0.01; done >/dev/null 2>&1; head -c 10M /dev/zero > {spool}/ballast 2>/dev/null; cat {input}; rm {spool}/ballast",
        spool = sandbox.spool().display(),
        input = sandbox.path("input").display()
    );
    // The spool is gone with the namespace, so what is left in it is delivered there.
    let script =
        r#"mount -t tmpfs -o size=2m tmpfs "$1"; "$0" run -- sh -c "$2"; rm "$3"; "$0" ship --all"#;
    fs::write(sandbox.store(), "in the way").unwrap();
    let store = sandbox.store().display().to_string();
    let output = in_a_namespace(&sandbox, script, &[&step, &store]).expect(0);
    lines::assert_same("the step's own output", input.as_bytes(), &output.stdout);
    let lost = accounted(&sandbox, "run", &input);
    assert!(lost > 0);
    assert!(output.errors().contains("spool"), "it says so: {}", output.errors());
}

#[test]
fn its_disk_is_full_of_other_things_and_what_is_delivered_makes_room() {
    let sandbox = Sandbox::with_stack(
        &crate::support::sandbox::LOCAL
            .replace("[spool]", "[ship]\nretry_max = \"100ms\"\n[spool]\nwhen_full = \"block\""),
    );
    let input = lines::numbered(100_000);
    fs::write(sandbox.path("input"), &input).unwrap();
    // There are several segments when others take the rest of the disk: all that moves then moves in what is
    // deleted of them.
    let step = format!(
        "head -c 2M {input}; until test -s {spool}/*/checkpoint.0; do sleep 0.01; done; head -c 10M /dev/zero > {spool}/ballast 2>/dev/null; tail -c +2097153 {input}",
        spool = sandbox.spool().display(),
        input = sandbox.path("input").display()
    );
    let script = r#"mount -t tmpfs -o size=4m tmpfs "$1"; exec "$0" run -- sh -c "$2""#;
    let output = in_a_namespace(&sandbox, script, &[&step]).expect(0);
    lines::assert_same("the step's own output", input.as_bytes(), &output.stdout);
    super::all_there(&sandbox, "run", &input);
}

#[test]
fn its_folder_is_read_only() {
    let sandbox = Sandbox::local("");
    let script = r#"mount -t tmpfs -o ro tmpfs "$1"; exec "$0" run -- echo hello"#;
    let output = in_a_namespace(&sandbox, script, &[]).expect(0);
    from_memory(&sandbox, &output);
}

/// Captured and delivered all the same, by one process, which says that it is less safe.
#[track_caller]
fn from_memory(sandbox: &Sandbox, output: &Output) {
    let said = output.errors();
    assert!(said.contains("memory") && said.contains("[spool] dir"), "{said}");
    assert!(said.contains(sandbox.spool().to_str().unwrap()), "it names the folder: {said}");
    assert!(!said.contains("steplog ship"), "there is no spool to deliver: {said}");
    assert_eq!(output.text(), "hello\n");
    super::all_there(sandbox, "run", "hello\n");
}

#[test]
fn its_folder_is_a_file() {
    let sandbox = Sandbox::local("");
    fs::write(sandbox.spool(), "in the way").unwrap();
    let mut command = sandbox.steplog(["run", "--", "echo", "hello"]);
    command.env("STEPLOG_PIPELINE_RUN_ID", "run").env("STEPLOG_STEP_ID", "train");
    let output = finish(&mut command).expect(0);
    from_memory(&sandbox, &output);
}

#[test]
fn its_folder_vanishes_while_the_step_runs() {
    let sandbox = Sandbox::local("");
    let mut step = Paced::start(&sandbox, "run", 20_000, 4);
    step.more();
    step.printed();
    wait::until("the spool to be there", || sandbox.spooled().pop());
    fs::remove_dir_all(sandbox.spool()).unwrap();
    // The step goes on to its end; the spool is made again with what was at hand.
    let (input, _) = step.succeed();
    super::all_there(&sandbox, "run", &input);
    assert!(sandbox.spooled().is_empty());
}
