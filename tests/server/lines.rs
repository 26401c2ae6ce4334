//! Lines by number and by cursor, of one stream and of several that were written at the same time.

use serde_json::Value;

use super::answers::run;
use super::client::{Answer, Serving, items, names, word};
use crate::support::sandbox::{LOCAL, Sandbox, collect, in_small_pieces};

/// Prints so many lines, in bursts, and says who it is.
const BURSTS: &str = "import sys, time
for number in range(int(sys.argv[2])):
    print(sys.argv[1], number, flush=number % 7 == 0)
    if number % 100 == 0: time.sleep(0.003)";

/// Three steps side by side, one of them short.
fn side_by_side() -> Sandbox {
    let sandbox = Sandbox::with_stack(&in_small_pieces(LOCAL));
    let steps = [("a", "9000"), ("b", "7000"), ("c", "50")].map(|(step, lines)| {
        let mut command = sandbox.wrap("run-1", ["python3", "-c", BURSTS, step, lines]);
        command.env("STEPLOG_STEP_ID", step).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    for step in steps {
        collect(step).expect(0);
    }
    sandbox
}

/// Numbers count on from where a window says that it starts.
#[track_caller]
fn check_window(window: &Value, records: &[(String, u64)]) {
    let lines = items(window);
    let start = window["start"].as_u64().unwrap();
    for (number, line) in (start..).zip(&lines) {
        assert_eq!(line["number"], number);
    }
    let from = start as usize;
    assert_eq!(names(&lines), records[from..from + lines.len()]);
}

#[test]
fn any_number_leads_to_its_line() {
    for sandbox in [run(), side_by_side()] {
        let records = names(&sandbox.records("run-1"));
        let serving = Serving::new(&sandbox);
        let last = records.len() as u64 - 1;
        for start in [0, 1, 49, 50, 51, 1999, 2000, 2001, 4999, last / 2, last - 1, last, last + 1]
        {
            let path = format!("runs/run-1/lines?start={start}&count=100");
            let window = serving.get(&path).json();
            assert_eq!(window["start"], start.min(last + 1), "{path}");
            assert_eq!((&window["total"], &window["complete"]), (&(last + 1).into(), &true.into()));
            let expected = 100.min((last + 1).saturating_sub(start));
            assert_eq!(items(&window).len() as u64, expected, "{path}");
            check_window(&window, &records);
        }
    }
}

#[test]
fn cursors_go_on_both_ways_on_any_server() {
    let sandbox = side_by_side();
    let records = names(&sandbox.records("run-1"));
    // Two of them behind a load balancer: whichever is asked, it goes on.
    let servers = [Serving::new(&sandbox), Serving::new(&sandbox)];
    let turn = std::cell::Cell::new(0);
    let get = |path: &str| -> Answer {
        turn.set(turn.get() + 1);
        servers[turn.get() % 2].get(path)
    };
    let middle = get("runs/run-1/lines?start=8000&count=500").json();
    check_window(&middle, &records);
    let mut all = names(&items(&middle));
    let mut after = word(&middle["after"]);
    while let Some(cursor) = after {
        let window = get(&format!("runs/run-1/lines?count=1777&cursor={cursor}")).json();
        check_window(&window, &records);
        all.extend(names(&items(&window)));
        after = word(&window["after"]);
    }
    let mut before = word(&middle["before"]);
    while let Some(cursor) = before {
        let window = get(&format!("runs/run-1/lines?count=-1333&cursor={cursor}")).json();
        check_window(&window, &records);
        all.splice(0..0, names(&items(&window)));
        before = word(&window["before"]);
    }
    assert_eq!(all, records);

    // The same with conditions, from both ends.
    let wanted: Vec<_> = sandbox
        .records_with("run-1", &["--grep", "7$"])
        .iter()
        .map(|it| names(std::slice::from_ref(it)).remove(0))
        .collect();
    let (mut forward, mut path) = (Vec::new(), "runs/run-1/logs?grep=7$&limit=300".to_owned());
    loop {
        let page = get(&path).json();
        forward.extend(names(&items(&page)));
        let Some(after) = word(&page["after"]) else { break };
        path = format!("runs/run-1/logs?grep=7$&limit=300&after={after}");
    }
    assert_eq!(forward, wanted);
    let mut backward = Vec::new();
    path = "runs/run-1/logs?grep=7$&limit=300&start=newest".to_owned();
    loop {
        let page = get(&path).json();
        backward.splice(0..0, names(&items(&page)));
        let Some(before) = word(&page["before"]) else { break };
        path = format!("runs/run-1/logs?grep=7$&limit=300&before={before}");
    }
    assert_eq!(backward, wanted);
}

#[test]
fn lines_that_match_have_their_numbers_among_all() {
    let sandbox = side_by_side();
    let all = names(&sandbox.records("run-1"));
    let serving = Serving::new(&sandbox);
    let check = |lines: &[Value], path: &str| {
        assert!(lines.len() > 20, "{path}: {}", lines.len());
        for line in lines {
            let number = line["number"].as_u64().unwrap() as usize;
            assert_eq!(Some(all[number].1), line["seq"].as_u64(), "{path}: {line}");
        }
    };
    for path in ["logs?grep=00$", "logs?grep=00$&start=newest&limit=100", "lines?grep=00$"] {
        let found = serving.get(&format!("runs/run-1/{path}")).json();
        assert_eq!(found["exact"], true, "{path}");
        let lines = items(&found);
        for (line, name) in lines.iter().zip(names(&lines)) {
            assert_eq!(all[line["number"].as_u64().unwrap() as usize], name, "{path}");
        }
        check(&lines, path);
    }
    let found = serving.get("runs/run-1/search?grep=00$").json();
    assert_eq!(found["exact"], true);
    check(found["positions"].as_array().unwrap(), "search");
}

#[test]
fn a_line_and_a_time_are_places_too() {
    let sandbox = side_by_side();
    let records = sandbox.records("run-1");
    let all = names(&records);
    let serving = Serving::new(&sandbox);
    let window = serving.get("runs/run-1/lines?start=5000&count=1").json();
    let line = &items(&window)[0];
    let permalink = format!("{}:{}", line["writer"].as_str().unwrap(), line["seq"]);
    let around = serving.get(&format!("runs/run-1/lines?around={permalink}&count=10")).json();
    assert_eq!(names(&items(&around))[0], all[5000]);
    check_window(&around, &all);
    let before = serving.get(&format!("runs/run-1/lines?around={permalink}&count=-10")).json();
    assert_eq!(names(&items(&before)), all[4990..5000]);
    let time = line["time"].as_str().unwrap();
    let at = serving.get(&format!("runs/run-1/lines?at={time}&count=10")).json();
    let first = records.iter().position(|record| record["timestamp"].as_str().unwrap() >= time);
    assert_eq!(at["start"], first.unwrap());
    check_window(&at, &all);
    // Where a reader stands it can go on with conditions.
    let after = word(&around["after"]).unwrap();
    let page = serving.get(&format!("runs/run-1/logs?grep=%5Ea&limit=5&after={after}")).json();
    let expected: Vec<_> =
        all[5010..].iter().filter(|(step, _)| step == "a").take(5).cloned().collect();
    assert_eq!(names(&items(&page)), expected);
}

#[test]
fn a_long_message_is_cut_and_can_be_had() {
    let sandbox = Sandbox::local("[server]\nmax_message_chars = 100\n");
    let script = "print('é' * 1000)";
    crate::support::sandbox::finish(&mut sandbox.wrap("run-1", ["python3", "-c", script]))
        .expect(0);
    let serving = Serving::new(&sandbox);
    let line = items(&serving.get("runs/run-1/lines").json()).remove(0);
    assert_eq!(line["message"], "é".repeat(100));
    assert_eq!(line["cut"], 1000);
    let writer = line["writer"].as_str().unwrap();
    let whole = serving.get(&format!("runs/run-1/raw?writer={writer}&seq=0")).text();
    assert_eq!(whole, "é".repeat(1000) + "\n");
}
