//! Progress bars as tqdm draws them: what whoever follows sees of them, and what is left of them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::support::sandbox::{Sandbox, collect, finish, tool};
use crate::support::screen::Screen;
use crate::support::step;

fn bars(sandbox: &Sandbox, which: &str) -> std::process::Command {
    let python = tool("python");
    sandbox.wrap("r", [python.as_os_str(), step("bars.py").as_os_str(), which.as_ref()])
}

#[test]
fn a_bar_that_never_pauses_is_seen_while_it_goes_on() {
    let sandbox = Sandbox::local("[capture]\npartial_age = \"100ms\"\n");
    let mut run = bars(&sandbox, "endless").stderr(Stdio::null()).spawn().unwrap();
    let mut follow = sandbox.steplog(["logs", "r", "-f", "--wait", "60s"]);
    let mut following = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let seen: Vec<String> = shown.by_ref().take(3).collect();
    assert!(run.try_wait().unwrap().is_none(), "only seen in the end: {seen:?}");
    let mut watch = sandbox.steplog(["logs", "r", "-f"]);
    watch.env("TERM", "xterm");
    let mut screen = Screen::start(watch);
    // Drawn over itself, where there is a screen.
    let before = screen.expect("\r\x1b[Kepoch: ");
    assert!(!before.contains('\n'), "{before:?}");
    fs::write(sandbox.path("work/stop"), "").unwrap();
    let rest: Vec<String> = shown.collect();
    collect(following);
    assert!(run.wait().unwrap().success());
    let counts: Vec<u64> = seen.iter().chain(&rest).filter_map(|line| count(line)).collect();
    assert!(counts.len() > 3 && counts.is_sorted(), "{counts:?}");
    // One bar is one line to whoever reads it when it is done.
    let read = sandbox.call(["logs", "r"]).expect(0).text();
    assert_eq!(read.lines().filter_map(count).collect::<Vec<_>>(), [*counts.last().unwrap()]);
    assert_eq!(read.lines().count(), 1, "{read:?}");
    sandbox.verify("r");
}

/// `epoch: 17it [00:01, …]` → 17
fn count(line: &str) -> Option<u64> {
    line.strip_prefix("epoch: ")?.split("it ").next()?.parse().ok()
}

#[test]
fn nested_bars_are_a_line_each_in_the_end() {
    let sandbox = Sandbox::local("");
    let python = tool("python");
    let mut run = sandbox.steplog(["run", "--run=r", "--step=train", "--"]);
    let ran = finish(run.arg(python).arg(step("bars.py")).arg("nested")).expect(1);
    let raw = sandbox.call(["logs", "r", "-o", "raw"]).expect(0).stdout;
    assert!(memchr::memchr_iter(b'\n', &raw).count() > 500, "each redraw is a line end");
    assert!(ran.stderr.starts_with(&raw), "the bytes are those of the step");
    let records = sandbox.records("r");
    assert!(records.len() < 20, "{} records", records.len());
    let read = sandbox.call(["logs", "r"]).expect(0).text();
    let lines: Vec<&str> = read.lines().collect();
    // The state in which the second bar found the first, the first as it ended, the traceback.
    assert!(lines[0].starts_with("epochs:   0%|"), "{read}");
    assert!(lines[1].starts_with("epochs: 100%|"), "{read}");
    assert_eq!(lines[2], "Traceback (most recent call last):", "{read}");
    assert_eq!(*lines.last().unwrap(), "ValueError: after the bars", "{read}");
    let shown = sandbox.call(["ls", "r"]).expect(0).text();
    assert!(shown.contains(": first error: ValueError: after the bars\n"), "{shown}");
    sandbox.verify("r");
}
