//! Ship dies; the step and the logs must not notice.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Random, all_there};
use crate::servers::seaweed;
use crate::support::paced::Paced;
use crate::support::sandbox::{LOCAL, Sandbox, in_small_pieces};
use crate::support::wait;

/// Ship is started again at once, as it would be after having lived for a while.
const QUICK: &str = "[ship]\nretry_initial = \"10ms\"\nretry_max = \"50ms\"\n";

/// Kills ship `kills` times at random moments while the step prints `count` lines.
fn killed(stack: &str, run: &str, count: usize, kills: usize, seed: u64) {
    let sandbox = Sandbox::with_stack(&in_small_pieces(stack));
    let mut random = Random(seed);
    let mut step = Paced::start(&sandbox, run, count, kills);
    let mut last = 0;
    for _ in 0..kills {
        let ship = wait::until("a new ship process", || {
            sandbox.processes("ship").into_iter().find(|ship| ship.pid != last)
        });
        step.more();
        // The moment is what is random here; nothing waits for it to be long enough.
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
        ship.kill();
        last = ship.pid;
    }
    let (input, _) = step.succeed();
    all_there(&sandbox, run, &input);
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn killed_fifty_times_in_a_run_of_200_000_lines() {
    killed(&format!("{LOCAL}{QUICK}"), "killed", 200_000, 50, 0x5EED_0001);
}

#[test]
fn killed_twenty_times_while_delivering_to_s3() {
    let stack = seaweed::remote().stack("ship-killed", QUICK);
    killed(&stack, "ship-killed", 40_000, 20, 0x5EED_0002);
}

#[test]
fn killed_while_it_delivers_what_earlier_runs_left() {
    // The store is a file, so nothing can be delivered; then it is a folder.
    let stack = format!("{LOCAL}[ship]\ndeadline = \"0s\"\n");
    let sandbox = Sandbox::with_stack(&in_small_pieces(&stack));
    std::fs::write(sandbox.store(), "in the way").unwrap();
    let mut inputs = Vec::new();
    for run in ["one", "two", "three"] {
        inputs.push((run, Paced::start(&sandbox, run, 30_000, 1).succeed().0));
    }
    assert_eq!(sandbox.spooled().len(), 3);
    std::fs::remove_file(sandbox.store()).unwrap();
    let mut random = Random(0x5EED_0003);
    for _ in 0..20 {
        let mut ship = sandbox.steplog(["ship", "--all"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        ship.kill().unwrap();
        ship.wait().unwrap();
    }
    sandbox.call(["ship", "--all"]).expect(0);
    for (run, input) in inputs {
        all_there(&sandbox, run, &input);
    }
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn a_spool_that_another_process_holds_is_not_counted_as_delivered() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    std::fs::write(sandbox.store(), "in the way").unwrap();
    let (input, _) = Paced::start(&sandbox, "run", 2000, 1).succeed();
    std::fs::remove_file(sandbox.store()).unwrap();
    let [spool] = sandbox.spooled().try_into().unwrap();
    let lock = std::fs::File::create(spool.join("ship.lock")).unwrap();
    lock.lock().unwrap();
    let waiting = || {
        let mut ship = sandbox.steplog(["ship", "--all"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(ship.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("another process"), "{line}");
        (ship, said)
    };
    let end = |(mut ship, mut said): (Child, BufReader<_>)| {
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        (ship.wait().unwrap().code(), rest)
    };
    let stopped = waiting();
    let pid = Pid::from_raw(i32::try_from(stopped.0.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(end(stopped), (Some(1), "steplog: 0 spools delivered, 1 left\n".to_owned()));

    let outlived = waiting();
    let away = sandbox.path("away");
    std::fs::rename(&spool, &away).unwrap();
    let said = "steplog: 0 spools delivered, 1 delivered by another process\n".to_owned();
    assert_eq!(end(outlived), (Some(0), said));

    std::fs::rename(&away, &spool).unwrap();
    let taking_over = waiting();
    drop(lock);
    assert_eq!(end(taking_over), (Some(0), "steplog: 1 spool delivered\n".to_owned()));
    all_there(&sandbox, "run", &input);
}

#[test]
fn two_at_once_on_the_same_spool_deliver_once() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    std::fs::write(sandbox.store(), "in the way").unwrap();
    let (input, _) = Paced::start(&sandbox, "run", 20_000, 1).succeed();
    std::fs::remove_file(sandbox.store()).unwrap();
    let mut ships: Vec<_> =
        (0..4).map(|_| sandbox.steplog(["ship", "--all"]).spawn().unwrap()).collect();
    for ship in &mut ships {
        ship.wait().unwrap();
    }
    sandbox.call(["ship", "--all"]).expect(0);
    all_there(&sandbox, "run", &input);
}

#[test]
fn a_stack_file_of_another_user_is_not_followed() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    // That of the spool: it could name a program to run.
    let text = std::fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    let store = sandbox.store().to_str().unwrap().to_owned();
    let theirs = sandbox.path("work/theirs.toml");
    std::fs::write(&theirs, text.replace(&store, &format!("{store}-of-theirs"))).unwrap();
    std::fs::write(sandbox.path("store-of-theirs"), "in the way").unwrap();
    let run = ["run", "--run=r", "--step=s", "--stack", theirs.to_str().unwrap(), "--", "seq", "9"];
    sandbox.call(run).expect(0);
    let [spool] = sandbox.spooled().try_into().unwrap();
    // By who has written it: with the store that it names, which is not there.
    sandbox.call(["ship", "--all"]).expect(1);
    std::os::unix::fs::chown(spool.join("meta.json"), Some(65534), None).unwrap();
    let said = sandbox.call(["ship", "--all"]).expect(0).errors();
    assert!(said.contains("belongs to user 65534: its stack file"), "{said}");
    assert!(said.contains("1 spool delivered"), "{said}");
    assert_eq!(sandbox.raw("r"), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}
