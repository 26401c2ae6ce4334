//! What the README promises: one command, no configuration, and the logs are there by run and step.

use std::fs;

use crate::support::sandbox::{Sandbox, finish};
use crate::support::{lines, project};

/// `steplog run [OPTIONS] -- python3 examples/train.py [ARGUMENTS]`.
fn train(sandbox: &Sandbox, options: &[&str], arguments: &[&str]) -> std::process::Command {
    let mut command = sandbox.steplog(["run"]);
    command
        .args(options)
        .args(["--", "python3"])
        .arg(project("examples/train.py"))
        .args(["--pause", "0"])
        .args(arguments);
    command
}

fn as_train(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env("STEPLOG_PIPELINE_RUN_ID", "run-1").env("STEPLOG_STEP_ID", "train")
}

#[test]
fn a_step_without_any_configuration_is_captured_and_read_back() {
    let sandbox = Sandbox::new();
    let ran = finish(&mut train(&sandbox, &[], &[])).expect(0);
    assert!(ran.text().contains("prepare: 60000 images"), "{}", ran.text());
    assert!(ran.errors().contains("\repoch 1:  20/20 [####################]"));
    // No run id in the environment: a new one, with the command that reads its logs.
    let hint = ran.errors();
    let hint = hint.lines().last().unwrap();
    let command = hint.split_once("steplog logs ").unwrap_or_else(|| panic!("no hint: {hint}")).1;
    let run = command.split([' ', '/', '`', '\'']).next().unwrap();

    for name in [run, "@latest"] {
        let text = sandbox.call(["logs", name]).expect(0).text();
        for (what, needle) in [
            ("stdout", "INFO train: starting: 3 epochs of 20 batches"),
            ("the subprocess's stdout", "prepare: 60000 images, 10 classes"),
            ("the subprocess's stderr", "prepare: 3 images are empty, left out"),
            ("the bar's last state", "epoch 3:  20/20 [####################]"),
            ("the traceback", "Traceback (most recent call last):"),
            ("its end", "ConnectionError: checkpoint store: connection reset by peer"),
            ("the last line", "INFO train: done"),
        ] {
            assert!(text.contains(needle), "{what} is missing from:\n{text}");
        }
        assert!(!text.contains("epoch 3:   7/20"), "the progress bar is collapsed:\n{text}");
    }
    sandbox.verify(run);
    let spool = sandbox.path("state/steplog/spool");
    let left: Vec<_> = fs::read_dir(&spool).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "delivered spools are removed: {left:?}");
}

#[test]
fn the_same_bytes_come_out_of_the_wrapper_and_of_the_store() {
    let sandbox = Sandbox::local("");
    let expected = lines::numbered(5000);
    fs::write(sandbox.path("input"), &expected).unwrap();
    let mut command = sandbox.steplog(["run", "--", "cat"]);
    let ran = finish(as_train(command.arg(sandbox.path("input")))).expect(0);
    lines::assert_same("the wrapper's stdout", expected.as_bytes(), &ran.stdout);
    assert_eq!(ran.errors(), "", "nothing is printed when nothing is wrong");
    lines::assert_same("logs -o raw", expected.as_bytes(), &sandbox.raw("run-1"));
    lines::assert_same("of the step", expected.as_bytes(), &sandbox.raw("run-1/train"));
    sandbox.verify("run-1");
}

#[test]
fn records_carry_the_metadata_the_levels_and_the_groups() {
    let sandbox = Sandbox::local("");
    finish(as_train(&mut train(&sandbox, &["--quiet"], &[]))).expect(0);
    let records = sandbox.records("run-1");
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq, "dense from 0: {record}");
        assert_eq!(record["pipeline_run_id"], "run-1", "{record}");
        assert_eq!(record["step_id"], "train", "{record}");
        assert_eq!(record["source"], "step", "{record}");
        assert_eq!(record["attempt"], 1, "{record}");
    }
    let of = |needle: &str| {
        records
            .iter()
            .find(|record| record["message"].as_str().unwrap().contains(needle))
            .unwrap_or_else(|| panic!("no record with {needle:?}"))
    };
    assert_eq!(of("starting: 3 epochs")["level"], "INFO");
    assert_eq!(of("optimizer step")["level"], "DEBUG");
    assert_eq!(of("loss is still")["level"], "WARNING");
    assert_eq!(of("not uploaded, going on")["level"], "ERROR");
    assert_eq!(of("epoch 1: ")["progress"], true);
    assert_eq!(of("epoch 1: ")["iostream"], "stderr");
    assert!(of("prepare: 3 images").get("level").is_none(), "stderr is not a level");
    let json = of("epoch done");
    assert_eq!((&json["level"], &json["attributes"]["epoch"]), (&"INFO".into(), &1.into()));
    let traceback = of("Traceback (most");
    assert_eq!(traceback["group"], of("ConnectionError: checkpoint")["group"]);
    assert!(traceback["group"].is_u64(), "{traceback}");
}

#[test]
fn a_failing_step_fails_the_same_way_and_its_logs_say_so() {
    let sandbox = Sandbox::local("");
    finish(as_train(&mut train(&sandbox, &["--quiet"], &["--fail"]))).expect(1);
    let text = sandbox.call(["logs", "@failed"]).expect(0).text();
    assert!(text.contains("RuntimeError: CUDA out of memory"), "{text}");
    let listed = sandbox.call(["ls", "run-1"]).expect(0).text();
    assert!(listed.contains("train") && listed.contains("failed"), "{listed}");
    sandbox.verify("run-1");
}

#[test]
fn download_gives_files_with_the_same_bytes() {
    let sandbox = Sandbox::local("");
    let expected = lines::numbered(300);
    fs::write(sandbox.path("input"), &expected).unwrap();
    for step in ["one", "two"] {
        let mut command = sandbox.steplog(["run", "--quiet", "--", "cat"]);
        command.arg(sandbox.path("input")).env("STEPLOG_STEP_ID", step);
        finish(command.env("STEPLOG_PIPELINE_RUN_ID", "run-1")).expect(0);
    }
    let to = sandbox.path("downloaded");
    let mut command = sandbox.steplog(["download", "run-1", "--output"]);
    finish(command.arg(&to)).expect(0);
    let mut files = files_below(&to);
    files.sort();
    let with_lines: Vec<_> =
        files.iter().filter(|file| fs::read(file).unwrap() == expected.as_bytes()).collect();
    assert_eq!(with_lines.len(), 2, "{files:?}");
}

#[test]
fn attempts_are_kept_apart() {
    let sandbox = Sandbox::local("");
    for attempt in ["1", "2"] {
        let mut command = sandbox.wrap("run-1", ["echo", "attempt", attempt]);
        finish(command.env("STEPLOG_ATTEMPT", attempt)).expect(0);
    }
    for (name, expected) in [("run-1/train/1", "attempt 1\n"), ("run-1/train/2", "attempt 2\n")] {
        assert_eq!(String::from_utf8(sandbox.raw(name)).unwrap(), expected);
    }
    sandbox.verify("run-1");
}

#[test]
fn stdin_is_captured_by_pipe() {
    let sandbox = Sandbox::local("");
    let expected = lines::numbered(1000);
    let mut command = sandbox.steplog(["pipe"]);
    command.env("STEPLOG_PIPELINE_RUN_ID", "run-1").env("STEPLOG_STEP_ID", "train");
    let piped = crate::support::sandbox::finish_with_input(&mut command, expected.as_bytes());
    piped.expect(0);
    lines::assert_same("logs -o raw", expected.as_bytes(), &sandbox.raw("run-1"));
    sandbox.verify("run-1");
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let sandbox = Sandbox::local("");
    finish(&mut sandbox.wrap("run-1", ["echo", "hello"])).expect(0);
    for (arguments, code) in [
        (vec!["logs", "run-2"], 3),
        (vec!["logs", "run-1/other"], 3),
        (vec!["verify", "run-2"], 3),
        (vec!["logs", "run-1", "--grep", "hello"], 0),
        (vec!["logs", "run-1", "--grep", "goodbye"], 1),
        (vec!["logs", "run-1", "--no-such-option"], 2),
    ] {
        let output = sandbox.call(&arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.errors());
        assert_eq!(output.errors().is_empty(), code <= 1, "{arguments:?}: {}", output.errors());
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
