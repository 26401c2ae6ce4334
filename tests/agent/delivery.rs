//! Deliveries of many spools: whose turn it is, stores that are down, and what goes when it is old.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{QUICK, Running, arrives, fifo, open_fifo, write_all};
use crate::support::sandbox::{LOCAL, Sandbox};
use crate::support::wait;

#[test]
fn many_streams_take_turns() {
    let names: Vec<String> = (0..20).map(|number| format!("step-{number:02}")).collect();
    let inputs: String = names.iter().map(|name| fifo(name)).collect();
    let sandbox = Sandbox::with_stack(
        &format!("{LOCAL}{QUICK}{inputs}").replace("[agent]\n", "[agent]\ndeliveries = 1\n"),
    );
    let agent = Running::start(&sandbox);
    let mut files: Vec<_> = names.iter().map(|name| open_fifo(&sandbox.path(name))).collect();
    for round in 1..=3 {
        for (name, file) in names.iter().zip(&mut files) {
            write_all(file, format!("{name} says {round}\n").as_bytes());
        }
        let last = names.last().unwrap();
        let said: String = (1..=round).map(|it| format!("{last} says {it}\n")).collect();
        arrives(&sandbox, last, said.as_bytes());
    }
    agent.stop().expect(0);
    for name in &names {
        let said: String = (1..=3).map(|it| format!("{name} says {it}\n")).collect();
        arrives(&sandbox, name, said.as_bytes());
        sandbox.verify(name);
    }
}

/// Where nobody listens.
const DEAD: &str = r#"
active = "test"
[stacks.test]
artifact_store = "here"
log_stores = ["kept", "dead"]
[artifact_stores.here]
flavor = "local"
path = "{sandbox}/store"
[log_stores.kept]
flavor = "artifact"
[log_stores.dead]
flavor = "http"
endpoint = "http://127.0.0.1:9/"
[spool]
dir = "{sandbox}/spool"
[agent]
deliveries = 2
scan_interval = "100ms"
deadline = "100ms"
"#;

#[test]
fn the_end_is_bounded_where_neither_a_store_nor_a_collector_answers_and_loses_nothing() {
    // Whoever connects is not answered, ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let sandbox = Sandbox::new();
    let both = "artifact_store = \"here\"\nlog_stores = [\"sent\"]";
    sandbox.write_stack(&format!(
        "{}[log_stores.sent]\nflavor = \"http\"\nendpoint = \"http://{address}/\"\n\
         [agent]\ndeadline = \"200ms\"\n{}",
        LOCAL.replace("artifact_store = \"here\"", both),
        fifo("pipe"),
    ));
    let agent = Running::start_with(&sandbox, |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    });
    fs::write(sandbox.path("pipe"), "hello\n").unwrap();
    agent.has_read("pipe", 6);
    let asked = Instant::now();
    let output = agent.stop().expect(1);
    let took = asked.elapsed();
    let said = output.errors();
    assert!(
        said.contains("not everything is delivered within [agent] deadline; the rest stays"),
        "{said}"
    );
    // One try at a store, `[ship] timeout`, takes 30 s, and so does `[ship] deadline`.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(sandbox.spooled().len(), 1);
    sandbox.write_stack(LOCAL);
    sandbox.call(["ship", "--all"]).expect(0);
    assert_eq!(sandbox.raw("pipe"), b"hello\n");
}

#[test]
fn a_store_that_is_down_starves_no_other() {
    let names: Vec<String> = (0..8).map(|number| format!("step-{number}")).collect();
    let inputs: String = names.iter().map(|name| fifo(name)).collect();
    let sandbox = Sandbox::with_stack(&format!("{DEAD}{inputs}"));
    let agent = Running::start(&sandbox);
    let mut files: Vec<_> = names.iter().map(|name| open_fifo(&sandbox.path(name))).collect();
    for round in 1..=2 {
        for (name, file) in names.iter().zip(&mut files) {
            write_all(file, format!("{name} says {round}\n").as_bytes());
        }
        for name in &names {
            let said: String = (1..=round).map(|it| format!("{name} says {it}\n")).collect();
            arrives(&sandbox, name, said.as_bytes());
        }
    }
    let status = agent.status();
    let dead = status["stores"].as_array().unwrap().iter().find(|it| it["name"] == "dead").unwrap();
    assert!(dead["error"].is_string(), "{status}");
    // The spools keep what that store lacks.
    agent.stop().expect(1);
    let left = fs::read_dir(sandbox.path("spool")).unwrap().flatten();
    let left = left.filter(|it| !it.file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(left, names.len());
}

#[test]
fn a_run_older_than_the_retention_goes_and_one_that_goes_on_stays() {
    let stack = format!("{LOCAL}{QUICK}{}{}", fifo("old"), fifo("new"))
        .replace("flavor = \"local\"\n", "flavor = \"local\"\nretention = \"1s\"\n")
        .replace("[agent]\n", "[agent]\ngc_interval = \"1s\"\n");
    let sandbox = Sandbox::with_stack(&stack);
    let agent = Running::start(&sandbox);
    let mut new = open_fifo(&sandbox.path("new"));
    write_all(&mut new, b"it goes on\n");
    write_all(&mut open_fifo(&sandbox.path("old")), b"it is over\n");
    agent.has_read("old", 11);
    let record = sandbox.path("old.exit.json");
    fs::write(record.with_extension("tmp"), br#"{"code": 0}"#).unwrap();
    fs::rename(record.with_extension("tmp"), record).unwrap();
    let from_here = "1 run and 0 leftovers from here";
    wait::until_true("the old run to go", || agent.said().contains(from_here));
    arrives(&sandbox, "new", b"it goes on\n");
    let gone = sandbox.call(["logs", "old", "-o", "raw"]);
    assert_ne!(gone.code, Some(0), "{gone:?}");
    agent.stop().expect(0);
}

#[test]
fn who_waits_for_room_is_not_forgotten_while_others_are_busy() {
    // One delivery at a time, so that a turn ends before what it has sent is acknowledged.
    let stack = format!("{LOCAL}{QUICK}{}{}", fifo("slow"), fifo("much"));
    let stack = stack
        .replace("[agent]\n", "[agent]\ndeliveries = 1\n")
        .replace("[spool]\n", "[spool]\nmax_bytes = \"1 MiB\"\nwhen_full = \"block\"\n");
    let sandbox = Sandbox::with_stack(&stack);
    let agent = Running::start(&sandbox);
    let mut slow = open_fifo(&sandbox.path("slow"));
    let much = open_fifo(&sandbox.path("much"));
    let expected = crate::support::lines::numbered(200_000);
    let writing = {
        let (mut much, bytes) = (much, expected.clone().into_bytes());
        std::thread::spawn(move || write_all(&mut much, &bytes))
    };
    let mut said = String::new();
    wait::until_within(Duration::from_secs(120), "all of it to be taken", || {
        write_all(&mut slow, b"still here\n");
        said.push_str("still here\n");
        writing.is_finished().then_some(())
    });
    writing.join().unwrap();
    arrives(&sandbox, "much", expected.as_bytes());
    arrives(&sandbox, "slow", said.as_bytes());
    agent.stop().expect(0);
}

#[test]
fn many_that_have_little_room_block_for_a_moment_and_go_on() {
    let names: Vec<String> = (0..32).map(|number| format!("step-{number:02}")).collect();
    let inputs: String = names.iter().map(|name| fifo(name)).collect();
    let stack = format!("{LOCAL}{QUICK}{inputs}");
    let small = "[spool]\nmax_bytes = \"16 MiB\"\nwhen_full = \"block\"\n";
    let sandbox = Sandbox::with_stack(&stack.replace("[spool]\n", small));
    let agent = Running::start(&sandbox);
    let expected = crate::support::lines::numbered(20_000);
    let mut files: Vec<_> = names.iter().map(|name| open_fifo(&sandbox.path(name))).collect();
    // In step: each has as much as all others, again and again.
    for share in expected.as_bytes().chunks(64 << 10) {
        for file in &mut files {
            write_all(file, share);
        }
    }
    for name in &names {
        arrives(&sandbox, name, expected.as_bytes());
    }
    agent.stop().expect(0);
}
