//! Lines as they come: what a follower sees, resuming, and that many cost no more than one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Stdio};

use nix::sys::stat::Mode;
use serde_json::Value;

use super::client::{Coming, Event, Serving, items, names};
use crate::support::sandbox::{Sandbox, collect};
use crate::support::wait;

/// A step that prints what is written to it.
struct Step {
    child: Option<Child>,
    input: Option<File>,
}

impl Step {
    fn new(sandbox: &Sandbox, step: &str) -> Self {
        let path = sandbox.path(&format!("{step}.fifo"));
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut command = sandbox.wrap("run-1", ["cat", path.to_str().unwrap()]);
        command.env("STEPLOG_STEP_ID", step).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Some(command.spawn().unwrap());
        Self { child, input: Some(fs::OpenOptions::new().write(true).open(path).unwrap()) }
    }

    fn print(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
    }

    fn end(&mut self) {
        self.input = None;
        collect(self.child.take().unwrap()).expect(0);
    }
}

/// The lines that come, until there are so many.
fn lines(coming: &mut Coming, count: usize) -> (Vec<Value>, Option<String>) {
    let (mut lines, mut id) = (Vec::new(), None);
    while lines.len() < count {
        let Event { name, id: at, data } = coming.event().expect("more lines");
        match name.as_str() {
            "lines" => {
                assert!(at.is_some());
                lines.extend(items(&data));
                id = at;
            }
            "streams" => {}
            other => panic!("{other}: {data}"),
        }
    }
    (lines, id)
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

/// Has seen all there was, and the end.
fn ends(coming: Coming) -> Vec<Value> {
    let events = coming.events();
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data["status"]), ("end", &"succeeded".into()));
    events.iter().filter(|it| it.name == "lines").flat_map(|it| items(&it.data)).collect()
}

#[test]
fn lines_come_while_the_step_runs_and_resuming_loses_none() {
    let sandbox = Sandbox::local("");
    let servers = [Serving::new(&sandbox), Serving::new(&sandbox)];
    let mut step = Step::new(&sandbox, "train");
    step.print("one\ntwo\n");
    let wait = "runs/run-1/logs/stream?wait=60&linger=0";
    let mut coming = servers[0].open(wait, &[]);
    assert_eq!(coming.status, 200);
    let (first, _) = lines(&mut coming, 2);
    assert_eq!(messages(&first), ["one", "two"]);
    assert_eq!((&first[0]["number"], &first[1]["number"]), (&0.into(), &1.into()));
    step.print("three\n");
    let (third, id) = lines(&mut coming, 1);
    assert_eq!((messages(&third), &third[0]["number"]), (vec!["three"], &2.into()));
    // The connection breaks, and the next one leads to another server.
    drop(coming);
    step.print("four\nfive\n");
    let id = id.unwrap();
    let mut resumed = servers[1].open(wait, &[("last-event-id", &id)]);
    let (next, _) = lines(&mut resumed, 2);
    assert_eq!(messages(&next), ["four", "five"]);
    let mut tail = servers[0].open("runs/run-1/logs/stream?tail=1&linger=0", &[]);
    assert_eq!(messages(&lines(&mut tail, 1).0), ["five"]);
    let mut matching = servers[0].open("runs/run-1/logs/stream?grep=%5Es&linger=0", &[]);
    assert_eq!(matching.event().unwrap().name, "streams");
    step.print("six\nend\n");
    assert_eq!(messages(&lines(&mut matching, 1).0), ["six"]);
    step.end();
    assert_eq!(messages(&ends(resumed)), ["six", "end"]);
    assert_eq!(messages(&ends(tail)), ["six", "end"]);
    assert!(ends(matching).is_empty());
    // Of what has ended, all comes and then the end.
    let all = ends(servers[0].open("runs/run-1/logs/stream?linger=0", &[]));
    assert_eq!(messages(&all), ["one", "two", "three", "four", "five", "six", "end"]);
}

#[test]
fn a_step_that_comes_up_is_followed_too() {
    let sandbox = Sandbox::local("");
    let serving = Serving::new(&sandbox);
    let mut first = Step::new(&sandbox, "load");
    first.print("load\n");
    let mut coming = serving.open("runs/run-1/logs/stream?wait=60&linger=30", &[]);
    assert_eq!(messages(&lines(&mut coming, 1).0), ["load"]);
    let mut second = Step::new(&sandbox, "train");
    second.print("train\n");
    let (lines, _) = lines(&mut coming, 1);
    assert_eq!(names(&lines), [("train".to_owned(), 0)]);
    first.end();
    second.end();
    // Both have ended: the streams say so.
    let seen = std::iter::from_fn(|| coming.event()).find(|event| {
        let streams = event.data["streams"].as_array();
        event.name == "streams"
            && streams.is_some_and(|all| {
                all.len() == 2 && all.iter().all(|it| it["status"] == "succeeded")
            })
    });
    assert!(seen.is_some());
}

#[test]
fn many_followers_see_the_same_and_read_the_store_once() {
    let sandbox = Sandbox::local("");
    let serving = Serving::new(&sandbox);
    let mut step = Step::new(&sandbox, "train");
    step.print("first\n");
    let path = "runs/run-1/logs/stream?wait=60&linger=0";
    let mut all: Vec<Coming> = (0..100).map(|_| serving.open(path, &[])).collect();
    for coming in &mut all {
        assert_eq!(messages(&lines(coming, 1).0), ["first"]);
    }
    let text: String = (0..500).map(|number| format!("line {number}\n")).collect();
    for piece in text.as_bytes().chunks(1000) {
        step.print(std::str::from_utf8(piece).unwrap());
    }
    step.end();
    let expected: Vec<&str> = text.lines().collect();
    let mut seen = HashSet::new();
    for coming in all {
        let lines = ends(coming);
        assert_eq!(messages(&lines), expected);
        seen.insert(names(&lines));
    }
    assert_eq!(seen.len(), 1);
}

#[test]
fn a_server_that_stops_ends_its_followers() {
    let sandbox = Sandbox::local("");
    let serving = Serving::new(&sandbox);
    let mut step = Step::new(&sandbox, "train");
    step.print("first\n");
    let mut coming = serving.open("runs/run-1/logs/stream?wait=60", &[]);
    lines(&mut coming, 1);
    assert_eq!(serving.stop(), Some(0));
    wait::until_true("the stream to end", || coming.event().is_none());
    step.end();
}
