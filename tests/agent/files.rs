//! Files: found by their paths, and not a line lost or doubled whatever happens to the agent.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::thread;

use super::{Running, arrives, sandbox, write_stack};
use crate::support::lines;
use crate::support::wait;

const FILES: &str = "[[inputs]]\nname = \"files\"\nkind = \"file\"\n\
                     path = \"{sandbox}/steps/{pipeline_run_id}/{step_id}.log\"\n\
                     env_file = \"{sandbox}/steps/{pipeline_run_id}/{step_id}.env\"\n\
                     metadata = { source = \"fixed\" }\n";

#[test]
fn metadata_comes_from_the_table_the_path_and_the_file_beside_it() {
    let sandbox = sandbox(FILES);
    let agent = Running::start(&sandbox);
    fs::create_dir_all(sandbox.path("steps/r1")).unwrap();
    let variables = "STEPLOG_SOURCE=forged\nSTEPLOG_STEP_ID=forged\nSTEPLOG_ATTEMPT=4\n";
    fs::write(sandbox.path("steps/r1/train.env"), variables).unwrap();
    fs::write(sandbox.path("steps/r1/train.log"), "a line\n").unwrap();
    arrives(&sandbox, "r1", b"a line\n");
    let record = &sandbox.records("r1")[0];
    assert_eq!(record["step_id"], "train");
    assert_eq!(record["attempt"], 4);
    assert_eq!(record["source"], "fixed");
    agent.stop().expect(0);
}

#[test]
fn the_agent_is_killed_again_and_again_under_load() {
    let sandbox = sandbox(&format!(
        "{FILES}[capture]\nread_bytes = \"8 KiB\"\n[redact]\npatterns = [\"step=[0-9a-f]+5 \"]\n"
    ));
    fs::create_dir_all(sandbox.path("steps/load")).unwrap();
    let path = sandbox.path("steps/load/train.log");
    let count = 40_000;
    let mut expected = String::new();
    for number in 0..count {
        expected.push_str(&lines::numbered_line(number));
        expected.push('\n');
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            for part in expected.as_bytes().chunks(777) {
                file.write_all(part).unwrap();
                // Not all at once: the kills are to come in between.
                thread::yield_now();
            }
        });
        for kill in 1..=6 {
            let agent = Running::start(&sandbox);
            wait::until_true("some of it to be spooled or delivered", || {
                let spooled: u64 = sandbox
                    .spooled()
                    .iter()
                    .flat_map(|spool| fs::read_dir(spool).into_iter().flatten().flatten())
                    .filter(|entry| entry.file_name().to_string_lossy().ends_with(".seg"))
                    .map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()))
                    .sum();
                spooled > 10_000 * kill
            });
            agent.kill();
        }
    });
    let agent = Running::start(&sandbox);
    wait::until_true("all of the file to be read", || {
        let stream = agent.status()["inputs"][0]["streams"][0].clone();
        stream["unread_bytes"] == 0 && stream["label"].is_string()
    });
    agent.stop().expect(0);
    let pattern = regex::Regex::new("step=[0-9a-f]+5 ").unwrap();
    let expected = pattern.replace_all(&expected, "***");
    lines::assert_same("load", expected.as_bytes(), &sandbox.raw("load"));
    // One that was killed may have been making a spool, which is not one yet.
    let mut left = sandbox.spooled();
    left.retain(|spool| !spool.file_name().unwrap().to_string_lossy().starts_with('.'));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_spool_that_somebody_else_delivered_leaves_its_place_behind() {
    let sandbox = sandbox(FILES);
    fs::create_dir_all(sandbox.path("steps/r1")).unwrap();
    let path = sandbox.path("steps/r1/train.log");
    fs::write(&path, "one\ntwo\n").unwrap();
    let agent = Running::start(&sandbox);
    agent.has_read("files", 8);
    agent.kill();
    sandbox.call(["ship", "--all"]).expect(0);
    assert!(sandbox.spooled().is_empty());
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"three\n").unwrap();
    let agent = Running::start(&sandbox);
    arrives(&sandbox, "r1", b"one\ntwo\nthree\n");
    agent.stop().expect(0);
    // And again when it was stopped as it should be.
    file.write_all(b"four\n").unwrap();
    let agent = Running::start(&sandbox);
    arrives(&sandbox, "r1", b"one\ntwo\nthree\nfour\n");
    agent.stop().expect(0);
    let listed = sandbox.call(["ls", "r1", "-o", "json"]).expect(0).text();
    assert!(listed.contains("\"status\":\"continued\""), "{listed}");
    // Of a file one place is kept, whatever many writers it had.
    let kept = fs::read_dir(sandbox.spool().join(".positions")).unwrap().count();
    assert_eq!(kept, 1);
}

#[test]
fn files_are_rotated_while_they_are_read() {
    let sandbox = sandbox(FILES);
    fs::create_dir_all(sandbox.path("steps/rotated")).unwrap();
    let path = sandbox.path("steps/rotated/train.log");
    let agent = Running::start(&sandbox);
    let mut expected = String::new();
    for number in 0..5 {
        let text = format!("file {number} line 1\nfile {number} line 2\n");
        fs::write(&path, &text).unwrap();
        expected.push_str(&text);
        arrives(&sandbox, "rotated", expected.as_bytes());
        // As logrotate does: the newest is number 1.
        let rotated = |number: usize| path.with_extension(format!("log.{number}"));
        for older in (1..=number).rev() {
            fs::rename(rotated(older), rotated(older + 1)).unwrap();
        }
        fs::rename(&path, rotated(1)).unwrap();
    }
    agent.stop().expect(0);
    lines::assert_same("rotated", expected.as_bytes(), &sandbox.raw("rotated"));
}

/// A program that rotates its own log, with Python's handler: to a file for each few lines, in an instant.
const ROTATING: &str = "import logging.handlers, sys\n\
    handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=200, backupCount=500)\n\
    log = logging.getLogger()\n\
    log.addHandler(handler)\n\
    log.setLevel(logging.INFO)\n\
    for number in range(int(sys.argv[2]), int(sys.argv[3])): log.info('line %06d of a step', number)\n";

#[test]
fn a_program_rotates_its_log_more_often_than_the_agent_looks() {
    let sandbox = sandbox(FILES);
    fs::create_dir_all(sandbox.path("steps/r1")).unwrap();
    let write = |step: &str, lines: std::ops::Range<u32>| {
        let path = sandbox.path(&format!("steps/r1/{step}.log"));
        let written = Command::new("python3")
            .args(["-c", ROTATING, path.to_str().unwrap()])
            .args([lines.start.to_string(), lines.end.to_string()])
            .status();
        assert!(written.unwrap().success());
    };
    let lines = |lines: std::ops::Range<u32>| -> String {
        lines.map(|number| format!("line {number:06} of a step\n")).collect()
    };
    let arrives = |step: &str, expected: &str| {
        let mut read = Vec::new();
        wait::until_true("all of the step to be read", || {
            let of = format!("r1/{step}");
            read = sandbox.call(["logs", &of, "-o", "raw"]).stdout;
            read.len() >= expected.len()
        });
        lines::assert_same(step, expected.as_bytes(), &read);
    };
    // New, and rotated before it was found.
    let agent = Running::start(&sandbox);
    write("train", 0..100);
    arrives("train", &lines(0..100));
    agent.kill();
    // Rotated, and one of them compressed, while nobody is there; another one is new.
    write("train", 100..200);
    write("test", 0..100);
    let rotated = sandbox.path("steps/r1/train.log.3");
    assert!(Command::new("gzip").arg(rotated).status().unwrap().success());
    let agent = Running::start(&sandbox);
    arrives("train", &lines(0..200));
    arrives("test", &lines(0..100));
    agent.stop().expect(0);
    // Moved away, with nothing in its place.
    write("train", 200..202);
    fs::rename(sandbox.path("steps/r1/train.log"), sandbox.path("steps/r1/train.log.0")).unwrap();
    let agent = Running::start(&sandbox);
    arrives("train", &lines(0..202));
    agent.stop().expect(0);
}

#[test]
fn a_rotated_file_in_a_folder_of_steps_is_no_step() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{sandbox}/steps\"\n\
         metadata = { pipeline_run_id = \"r\" }\n",
    );
    fs::create_dir(sandbox.path("steps")).unwrap();
    let path = sandbox.path("steps/train.log");
    let agent = Running::start(&sandbox);
    let mut expected = String::new();
    for text in ["one\n", "two\n", "three\n"] {
        fs::write(&path, text).unwrap();
        expected.push_str(text);
        arrives(&sandbox, "r", expected.as_bytes());
        if path.with_extension("log.1").exists() {
            fs::rename(path.with_extension("log.1"), path.with_extension("log.2")).unwrap();
        }
        fs::rename(&path, path.with_extension("log.1")).unwrap();
    }
    fs::write(&path, "four\n").unwrap();
    fs::write(sandbox.path("steps/train.log.exit.json"), "{\"code\": 0}").unwrap();
    expected.push_str("four\n");
    arrives(&sandbox, "r", expected.as_bytes());
    // Removed before it was looked at again.
    let other = sandbox.path("steps/test.log");
    fs::write(&other, "a line\n").unwrap();
    agent.has_read("steps", 7);
    fs::remove_file(&other).unwrap();
    fs::write(sandbox.path("steps/test.log.exit.json"), "{\"code\": 3}").unwrap();
    wait::until_true("the end of the step", || {
        sandbox.call(["ls", "r"]).expect(0).text().contains("failed (3)")
    });
    agent.stop().expect(0);
    assert_eq!(sandbox.raw("r/train"), expected.as_bytes());
}

#[test]
fn a_step_that_has_ended_is_read_to_its_end_though_the_spool_is_full() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{sandbox}/steps\"\n\
         metadata = { pipeline_run_id = \"r\" }\n",
    );
    let stack = fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    let small = "max_bytes = \"1 MiB\"\nwhen_full = \"block\"\n[agent]\n";
    sandbox.write_stack(&stack.replace("[agent]\n", small));
    fs::create_dir(sandbox.path("steps")).unwrap();
    let expected: String = (0..80_000).map(|number| lines::numbered_line(number) + "\n").collect();
    fs::write(sandbox.path("steps/train.log"), &expected).unwrap();
    fs::write(sandbox.path("steps/train.log.exit.json"), "{\"code\": 3}").unwrap();
    let agent = Running::start(&sandbox);
    arrives(&sandbox, "r", expected.as_bytes());
    wait::until_true("the end of the step", || {
        sandbox.call(["ls", "r"]).expect(0).text().contains("failed (3)")
    });
    agent.stop().expect(0);
}

#[test]
fn a_file_is_not_read_again_when_it_is_detached_twice() {
    let sandbox = sandbox("");
    fs::write(sandbox.path("x.log"), "one\n").unwrap();
    let agent = Running::start(&sandbox);
    let path = sandbox.path("x.log");
    for _ in 0..3 {
        let path = path.to_str().unwrap();
        sandbox.call(["attach", "x", "--file", path, "--run", "r", "--step", "s"]).expect(0);
        arrives(&sandbox, "r", b"one\n");
        sandbox.call(["detach", "x"]).expect(0);
    }
    agent.stop().expect(0);
    assert_eq!(sandbox.raw("r"), b"one\n");
}

#[test]
fn no_input_takes_all_streams() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"all\"\nkind = \"file\"\npath = \"{sandbox}/{step_id}.log\"\n\
         [[inputs]]\nname = \"one\"\nkind = \"file\"\npath = \"{sandbox}/one/{step_id}.log\"\n\
         metadata = { pipeline_run_id = \"one\" }\n",
    );
    let stack = fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    sandbox.write_stack(&stack.replace("[agent]\n", "[agent]\nmax_inputs = 4\n"));
    for number in 0..6 {
        fs::write(sandbox.path(&format!("{number}.log")), "a line\n").unwrap();
    }
    let agent = Running::start(&sandbox);
    fs::create_dir(sandbox.path("one")).unwrap();
    fs::write(sandbox.path("one/train.log"), "a line\n").unwrap();
    arrives(&sandbox, "one", b"a line\n");
    let status = agent.status();
    let all = &status["inputs"][0];
    assert_eq!(all["streams"].as_array().unwrap().len(), 3, "{status}");
    let error = all["error"].as_str().unwrap();
    assert!(error.contains("max_inputs") && error.contains("input all has 3"), "{error}");
    // What was in its way is gone, and so is the error.
    for number in 0..6 {
        fs::remove_file(sandbox.path(&format!("{number}.log"))).unwrap();
    }
    wait::until_true("the error to be gone", || agent.status()["inputs"][0]["error"].is_null());
    agent.stop().expect(0);
}

#[test]
fn what_is_excluded_and_the_agent_s_own_output_are_left_out() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"jobs\"\nkind = \"file\"\npath = \"{sandbox}/**/{step_id}.log\"\n\
         exclude = [\"{sandbox}/scratch\", \"{sandbox}/*.tmp.log\"]\n\
         metadata = { pipeline_run_id = \"r\" }\n",
    );
    fs::create_dir(sandbox.path("scratch")).unwrap();
    for left_out in ["scratch/a.log", "b.tmp.log"] {
        fs::write(sandbox.path(left_out), "no\n").unwrap();
    }
    // Its standard error is agent.log, there too.
    let agent = Running::start(&sandbox);
    assert!(sandbox.path("agent.log").exists());
    fs::write(sandbox.path("job.log"), "yes\n").unwrap();
    arrives(&sandbox, "r", b"yes\n");
    let status = agent.status();
    let streams = status["inputs"][0]["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{status}");
    agent.stop().expect(0);
    assert_eq!(sandbox.raw("r"), b"yes\n");

    write_stack(
        &sandbox,
        "[[inputs]]\nname = \"a\"\nkind = \"fifo\"\npath = \"/f\"\nexclude = [\"/x\"]\n",
    );
    let refused = sandbox.call(["agent"]).expect(2);
    assert!(refused.errors().contains("inputs.exclude: only files"), "{}", refused.errors());
}

#[test]
fn container_logs_of_a_node() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"node\"\nkind = \"cri\"\n\
         path = \"{sandbox}/pods/{k8s.namespace.name}_{k8s.pod.name}_{k8s.pod.uid}/{k8s.container.name}/*.log\"\n\
         metadata = { pipeline_run_id = \"node\" }\n",
    );
    let folder = sandbox.path("pods/ns_pod_uid/main");
    fs::create_dir_all(&folder).unwrap();
    let agent = Running::start(&sandbox);
    let text = "2026-11-25T10:00:00.000000001Z stdout F to stdout\n\
                2026-11-25T10:00:00.100000001Z stderr P to st\n\
                2026-11-25T10:00:00.100000002Z stderr F derr\n";
    fs::write(folder.join("0.log"), text).unwrap();
    arrives(&sandbox, "node", b"to stdout\nto stderr\n");
    let records = sandbox.records("node");
    assert_eq!(records[0]["iostream"], "stdout");
    assert_eq!(records[1]["iostream"], "stderr");
    assert_eq!(records[0]["timestamp"], "2026-11-25T10:00:00.000000001Z");
    agent.stop().expect(0);
}
