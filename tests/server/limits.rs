//! What a server does not let anybody take.

use std::fs;

use super::client::{Serving, items, word};
use crate::support::lines;
use crate::support::sandbox::{Sandbox, finish};
use crate::support::wait;

/// A run of many lines.
fn sandbox(server: &str, lines: usize) -> Sandbox {
    let sandbox = Sandbox::local(&format!("[server]\n{server}"));
    fs::write(sandbox.path("input"), lines::numbered(lines)).unwrap();
    let input = sandbox.path("input").display().to_string();
    finish(&mut sandbox.wrap("run-1", ["cat", &input])).expect(0);
    sandbox
}

/// Memory of the process that is its own, bytes.
fn memory(serving: &Serving) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn who_takes_nothing_is_cut_off_and_holds_no_memory() {
    let sandbox = sandbox("write_timeout = \"1s\"\nmax_downloads = 8\n", 300_000);
    let serving = Serving::new(&sandbox);
    let whole = serving.get("runs/run-1/raw").body.len();
    let before = memory(&serving);
    let open = || fs::read_dir(format!("/proc/{}/fd", serving.pid())).unwrap().count();
    let idle = open();
    // What a client does not take stands in the sockets' buffers, and some of it here.
    let mut slow: Vec<_> = (0..8).map(|_| serving.open("runs/run-1/raw", &[])).collect();
    for coming in &mut slow {
        drop(coming.read(1000));
    }
    let mut following = serving.open("runs/run-1/logs/stream", &[]);
    drop(following.read(1000));
    let held = memory(&serving).saturating_sub(before);
    assert!(held < 64 << 20, "{held} bytes for nine clients that take nothing");
    // All but the first has come, and then it was cut off in the middle.
    wait::until_true("the connections to be cut", || open() <= idle);
    for coming in slow {
        assert!(coming.rest().map_or(true, |rest| rest < whole - 1000));
    }
    // Whoever takes it has it.
    assert_eq!(serving.get("runs/run-1/raw").body.len(), whole);
}

#[test]
fn who_is_slow_holds_little_and_gets_it_all() {
    let sandbox = sandbox("", 300_000);
    let serving = Serving::new(&sandbox);
    let whole = serving.get("runs/run-1/raw").body;
    let before = memory(&serving);
    let mut slow: Vec<_> = (0..4).map(|_| serving.open("runs/run-1/raw", &[])).collect();
    let some: Vec<_> = slow.iter_mut().map(|coming| coming.read(1000)).collect();
    wait::until_true("what was read ahead to be let go of", || {
        memory(&serving) < before + (6 << 20)
    });
    for (mut coming, some) in slow.into_iter().zip(some) {
        let rest = coming.read(whole.len() - some.len());
        lines::assert_same("slow", &whole, &[some, rest].concat());
        assert_eq!(coming.rest().unwrap(), 0);
    }
}

#[test]
fn patterns_that_take_much_are_refused_and_followers_share_theirs() {
    let sandbox = sandbox("", 100);
    let serving = Serving::new(&sandbox);
    let large = r"&grep=\w{200}";
    let next = "all of a request have 4096 KiB";
    for path in ["logs?", "logs/stream?", "lines?", "search?", "raw?"] {
        serving.get(&format!("runs/run-1/{path}{}", large.repeat(500))).problem(
            400,
            "500 patterns, and at most 16",
            "a|b|c",
        );
        let answer = serving.get(&format!("runs/run-1/{path}{large}"));
        answer.problem(400, "takes more than 4096 KiB of memory", next);
    }
    // One that takes some 2 MiB.
    let path = r"runs/run-1/logs/stream?linger=3600&grep=\w{50}";
    let first = serving.open(path, &[]);
    let before = memory(&serving);
    let others: Vec<_> = (0..40).map(|_| serving.open(path, &[])).collect();
    assert!(others.iter().all(|coming| coming.status == first.status));
    wait::until_true("the patterns to be let go of", || memory(&serving) < before + (24 << 20));
}

#[test]
fn slow_downloads_keep_nobody_from_the_rest() {
    let sandbox = sandbox("max_downloads = 2\nmax_requests = 1\n", 300_000);
    let serving = Serving::new(&sandbox);
    let whole = serving.get("runs/run-1/raw").body.len();
    let slow = ["runs/run-1/raw", "runs/run-1/logs"].map(|path| {
        let mut coming = serving.open(path, &[("accept", "application/x-ndjson")]);
        coming.read(1000);
        coming
    });
    let lines = serving.get("runs/run-1/lines?count=1").json();
    for (path, accept) in [("raw", "*/*"), ("logs", "application/x-ndjson")] {
        let busy = serving.get_with(&format!("runs/run-1/{path}"), &[("accept", accept)]);
        let problem =
            busy.problem(429, "2 downloads are under way already", "some lines at a time");
        assert_eq!(problem["limit"], "max_downloads");
    }
    let writer = items(&lines)[0]["writer"].as_str().unwrap().to_owned();
    let one = serving.get(&format!("runs/run-1/raw?writer={writer}&seq=0"));
    assert_eq!((one.status, one.text().lines().count()), (200, 1));
    drop(slow);
    wait::until_true("the downloads to end", || serving.get("runs/run-1/raw").body.len() == whole);
}

#[test]
fn limits_have_names_and_ways_on() {
    let sandbox = sandbox(
        "max_streams = 1\nmax_followed = 1\nmax_answer_bytes = \"64 KiB\"\nmax_scan_bytes = \"1 MiB\"\n",
        20_000,
    );
    let serving = Serving::new(&sandbox);
    let first = serving.open("runs/run-1/logs/stream?linger=60", &[]);
    assert_eq!(first.status, 200);
    let busy = serving.get("runs/run-1/logs/stream");
    let problem = busy.problem(429, "1 clients follow already", "try again");
    assert_eq!((&problem["limit"], busy.header("retry-after")), (&"max_streams".into(), Some("1")));
    // Small answers, each going on where the last ended.
    let page = serving.get("runs/run-1/logs?limit=10000").json();
    let count = items(&page).len();
    assert!(count < 1000, "{count}");
    let after = word(&page["after"]).unwrap();
    let next = serving.get(&format!("runs/run-1/logs?limit=1&after={after}")).json();
    assert_eq!(items(&next)[0]["number"], count);
}

#[test]
fn a_search_that_looks_at_too_much_says_where_to_go_on() {
    let sandbox = sandbox("max_scan_bytes = \"1 MiB\"\n", 60_000);
    let serving = Serving::new(&sandbox);
    let (mut matches, mut answers, mut after) = (0, 0, String::new());
    loop {
        let path = format!("runs/run-1/search?grep=line=0005&limit=100000{after}");
        let found = serving.get(&path).json();
        assert!(found["scanned_bytes"].as_u64().unwrap() < 2 << 20, "{}", found["scanned_bytes"]);
        matches += found["matches"].as_u64().unwrap();
        answers += 1;
        if found["complete"] == true {
            break;
        }
        after = format!("&after={}", word(&found["after"]).unwrap());
    }
    assert_eq!(matches, 10_000);
    assert!(answers >= 4, "{answers}");
}
