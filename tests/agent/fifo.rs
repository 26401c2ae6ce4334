//! Named pipes: writers that come and go, many at once, and an agent that comes and goes.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::{Running, arrives, fifo, open_fifo, sandbox, write_all, write_stack};
use crate::support::lines;
use crate::support::wait;

#[test]
fn what_is_written_arrives_with_its_metadata() {
    let sandbox = sandbox(&fifo("pipe"));
    let agent = Running::start(&sandbox);
    let path = sandbox.path("pipe");
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_fifo());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o622);
    fs::write(&path, "one\ntwo\n").unwrap();
    arrives(&sandbox, "pipe", b"one\ntwo\n");
    fs::write(&path, "three\n").unwrap();
    arrives(&sandbox, "pipe", b"one\ntwo\nthree\n");
    let records = sandbox.records("pipe");
    assert_eq!(records[0]["step_id"], "train");
    agent.stop().expect(0);
    assert!(sandbox.spooled().is_empty());
    sandbox.verify("pipe");
}

#[test]
fn a_pipe_is_removed_and_made_again() {
    let sandbox = sandbox(&format!(
        "{}[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{{sandbox}}/steps\"\n\
         metadata = {{ pipeline_run_id = \"steps\" }}\n",
        fifo("p")
    ));
    fs::create_dir(sandbox.path("steps")).unwrap();
    let make = |path: &Path| nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
    make(&sandbox.path("steps/train"));
    let agent = Running::start(&sandbox);
    let open =
        |input: usize| agent.status()["inputs"][input]["streams"].as_array().map_or(0, Vec::len);
    for (input, run, path) in [(0, "p", "p"), (1, "steps", "steps/train")] {
        let path = sandbox.path(path);
        let mut old = open_fifo(&path);
        write_all(&mut old, b"one\n");
        arrives(&sandbox, run, b"one\n");
        let inode = fs::metadata(&path).unwrap().ino();
        fs::remove_file(&path).unwrap();
        if run == "steps" {
            make(&path);
        }
        wait::until_true("the agent to have both", || open(input) == 2);
        assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
        let mut new = open_fifo(&path);
        write_all(&mut new, b"two\n");
        arrives(&sandbox, run, b"one\ntwo\n");
        // Whoever has the old one open still can write to it.
        write_all(&mut old, b"three\n");
        arrives(&sandbox, run, b"one\ntwo\nthree\n");
        drop(old);
        wait::until_true("the old one to end", || open(input) == 1);
    }
    agent.stop().expect(0);
}

#[test]
fn several_writers_at_once_lose_nothing() {
    let sandbox = sandbox(&fifo("many"));
    let agent = Running::start(&sandbox);
    let path = sandbox.path("many");
    let script = "for n in $(seq 500); do echo writer $1 line $n; done > $2";
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let mut command = sandbox.command("sh");
            command.args(["-c", script, "sh", &number.to_string()]).arg(&path);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let expected: usize = 8 * 500;
    wait::until_true("all lines to arrive", || {
        lines::count(&sandbox.call(["logs", "many", "-o", "raw"]).stdout) == expected
    });
    agent.stop().expect(0);
    let found = sandbox.raw("many");
    let text = String::from_utf8(found).unwrap();
    for number in 0..8 {
        let own: Vec<_> =
            text.lines().filter(|line| line.starts_with(&format!("writer {number} "))).collect();
        let in_order = (1..=500).map(|line| format!("writer {number} line {line}"));
        assert!(own.iter().copied().eq(in_order), "writer {number}");
    }
}

#[test]
fn the_agent_is_killed_and_what_was_read_arrives_and_what_was_not_stays_in_the_pipe() {
    let sandbox = sandbox(&fifo("killed"));
    let agent = Running::start(&sandbox);
    let mut step = open_fifo(&sandbox.path("killed"));
    let text = lines::numbered(3000);
    let (first, rest) = text.as_bytes().split_at(text.len() / 2);
    write_all(&mut step, first);
    agent.has_read("killed", first.len() as u64);
    agent.kill();
    // The step goes on while nobody reads.
    let (second, third) = rest.split_at(30_000);
    write_all(&mut step, second);
    let agent = Running::start(&sandbox);
    write_all(&mut step, third);
    agent.has_read("killed", rest.len() as u64);
    agent.stop().expect(0);
    // The border between the two writers is in the middle of a line.
    assert_eq!(sandbox.raw("killed").len(), text.len());
    lines::assert_same("killed", text.as_bytes(), &sandbox.raw("killed"));
}

#[test]
fn an_exit_record_beside_it_ends_the_stream() {
    let sandbox = sandbox(&fifo("ends"));
    let agent = Running::start(&sandbox);
    fs::write(sandbox.path("ends"), "the last words").unwrap();
    fs::write(sandbox.path("ends.exit.json"), "{\"code\":3,\"reason\":\"OOMKilled\"}").unwrap();
    wait::until_true("the spool to be delivered", || {
        agent.status()["deliveries"]["delivered"].as_u64() == Some(1)
    });
    let listed = sandbox.call(["ls", "ends", "-o", "json"]).expect(0).text();
    assert!(listed.contains("OOMKilled") && listed.contains("failed"), "{listed}");
    assert_eq!(sandbox.raw("ends"), b"the last words");
    // When the record is gone, the pipe is there for the next.
    fs::remove_file(sandbox.path("ends.exit.json")).unwrap();
    wait::until_true("the pipe to be open again", || {
        agent.status()["inputs"][0]["streams"].as_array().unwrap().len() == 1
    });
    agent.stop().expect(0);
}

#[test]
fn two_hundred_at_once() {
    let names: Vec<String> = (0..200).map(|number| format!("fifo-{number:03}")).collect();
    let sandbox = sandbox(&names.iter().map(|name| fifo(name)).collect::<String>());
    let agent = Running::start(&sandbox);
    let mut steps: Vec<_> = names.iter().map(|name| open_fifo(&sandbox.path(name))).collect();
    let share = |name: &str, number: usize| format!("{name} says {number}\n");
    for number in 0..20 {
        for (step, name) in steps.iter_mut().zip(&names) {
            write_all(step, share(name, number).as_bytes());
        }
    }
    let expected = |name: &str| (0..20).map(|number| share(name, number)).collect::<String>();
    wait::until_true("everything to be read", || {
        let status = agent.status();
        let inputs = status["inputs"].as_array().unwrap();
        inputs.iter().all(|input| {
            let name = input["name"].as_str().unwrap();
            input["streams"][0]["bytes"].as_u64() == Some(expected(name).len() as u64)
        })
    });
    // No delivery needs a thread of its own for ever: a few take turns.
    let most = agent.status()["deliveries"]["running"].as_u64().unwrap();
    assert!(most <= 8, "{most}");
    agent.stop().expect(0);
    assert!(sandbox.spooled().is_empty());
    for name in names.iter().step_by(23).chain(names.last()) {
        assert_eq!(String::from_utf8(sandbox.raw(name)).unwrap(), expected(name));
    }
}

#[test]
fn secrets_are_masked_and_a_quiet_line_shows() {
    let sandbox = sandbox(&format!("[capture]\npartial_idle = \"50ms\"\n{}", fifo("quiet")));
    let agent = Running::start_with(&sandbox, |command| {
        command.env("DB_PASSWORD", "correct-horse");
    });
    fs::write(sandbox.path("quiet"), "login correct-horse now? ").unwrap();
    arrives(&sandbox, "quiet", b"login *** now? ");
    agent.stop().expect(0);
}

#[test]
fn a_store_that_is_down_holds_nothing_up() {
    let sandbox = sandbox(&fifo("down"));
    // Where the store should be is a file.
    fs::write(sandbox.store(), "").unwrap();
    let agent = Running::start(&sandbox);
    fs::write(sandbox.path("down"), "while it is down\n").unwrap();
    agent.has_read("down", 17);
    wait::until_true("the trouble to be said", || {
        let status = agent.status();
        !status["errors"].as_array().unwrap().is_empty() || status["stores"][0]["error"].is_string()
    });
    assert_eq!(sandbox.spooled().len(), 1);
    fs::remove_file(sandbox.store()).unwrap();
    fs::write(sandbox.path("down"), "and when it is up\n").unwrap();
    arrives(&sandbox, "down", b"while it is down\nand when it is up\n");
    agent.stop().expect(0);
}

#[test]
fn what_cannot_be_delivered_stays_in_the_spool() {
    let sandbox = sandbox(&fifo("left"));
    fs::write(sandbox.store(), "").unwrap();
    let manager = sandbox.path("manager");
    let _manager = UnixDatagram::bind(&manager).unwrap();
    // A service whose next start delivers the rest has not failed.
    for (lines, managed, code) in [("kept\n", false, 1), ("and that\n", true, 0)] {
        let agent = Running::start_with(&sandbox, |command| {
            if managed {
                command.env("NOTIFY_SOCKET", &manager);
            }
        });
        fs::write(sandbox.path("left"), lines).unwrap();
        agent.has_read("left", lines.len() as u64);
        agent.signal(Signal::SIGTERM);
        wait::until_true("the writer to end", || {
            sandbox.spooled().iter().all(|spool| spool.join("exit.json").exists())
        });
        agent.signal(Signal::SIGTERM);
        agent.wait().expect(code);
    }
    fs::remove_file(sandbox.store()).unwrap();
    sandbox.call(["ship", "--all"]).expect(0);
    assert_eq!(sandbox.raw("left"), b"kept\nand that\n");
}

#[test]
fn a_reload_touches_only_what_has_changed() {
    let sandbox = sandbox(&format!("{}{}", fifo("stays"), fifo("goes")));
    let agent = Running::start(&sandbox);
    let mut step = open_fifo(&sandbox.path("stays"));
    write_all(&mut step, b"before\n");
    fs::write(sandbox.path("goes"), "goes\n").unwrap();
    agent.has_read("stays", 7);
    agent.has_read("goes", 5);
    let writer = |agent: &Running| {
        let status = agent.status();
        let inputs = status["inputs"].as_array().unwrap().clone();
        let stays = inputs.into_iter().find(|input| input["name"] == "stays").unwrap();
        stays["streams"][0]["writer"].clone()
    };
    let before = writer(&agent);

    write_stack(&sandbox, "[[inputs]]\nname = \"x\"\nkind = \"fife\"\n");
    let refused = sandbox.call(["agent", "--reload"]);
    // The file cannot be read by whoever asks either.
    assert_eq!(refused.code, Some(2), "{}", refused.errors());
    agent.signal(Signal::SIGHUP);
    wait::until_true("the agent to say why", || agent.said().contains("not reloaded"));
    assert!(agent.said().contains("found \"fife\""), "{}", agent.said());

    write_stack(&sandbox, &format!("{}{}", fifo("stays"), fifo("comes")));
    sandbox.call(["agent", "--reload"]).expect(0);
    fs::write(sandbox.path("comes"), "comes\n").unwrap();
    write_all(&mut step, b"after\n");
    agent.has_read("stays", 13);
    agent.has_read("comes", 6);
    assert_eq!(writer(&agent), before);
    let names: Vec<_> = agent.status()["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["comes", "stays"]);
    agent.stop().expect(0);
    for (run, text) in [("stays", "before\nafter\n"), ("goes", "goes\n"), ("comes", "comes\n")] {
        assert_eq!(String::from_utf8(sandbox.raw(run)).unwrap(), text);
    }
}

#[test]
fn a_stream_over_stops_and_kills_of_the_agent_is_shown_as_one() {
    let sandbox = sandbox(&fifo("long"));
    let path = sandbox.path("long");
    let statuses = || -> Vec<String> {
        let list = sandbox.call(["ls", "long", "-o", "json"]).expect(0).text();
        let streams = list.lines().map(|line| serde_json::from_str(line).unwrap());
        streams.map(|it: serde_json::Value| it["status"].as_str().unwrap().to_owned()).collect()
    };

    let agent = Running::start(&sandbox);
    fs::write(&path, "one\n").unwrap();
    arrives(&sandbox, "long", b"one\n");
    // Its writer is delivered and gone by the time that the next agent starts.
    agent.stop().expect(0);
    assert!(sandbox.spooled().is_empty());
    assert_eq!(statuses(), ["interrupted"]);

    let agent = Running::start(&sandbox);
    fs::write(&path, "two\n").unwrap();
    arrives(&sandbox, "long", b"one\ntwo\n");
    agent.kill();
    let agent = Running::start(&sandbox);
    fs::write(&path, "three\n").unwrap();
    arrives(&sandbox, "long", b"one\ntwo\nthree\n");
    fs::write(sandbox.path("long.exit.json"), "{\"code\":0}").unwrap();
    wait::until_true("the stream to end", || statuses() == ["continued", "continued", "succeeded"]);
    let run = sandbox.call(["ls", "-o", "json"]).expect(0).text();
    let run: serde_json::Value = serde_json::from_str(run.trim()).unwrap();
    assert_eq!((&run["status"], &run["failed"]), (&"succeeded".into(), &0.into()));
    // No label tells the pieces apart.
    let logs = sandbox.call(["logs", "long"]).expect(0);
    assert_eq!((logs.text().as_str(), logs.errors().as_str()), ("one\ntwo\nthree\n", ""));
    agent.stop().expect(0);
}
