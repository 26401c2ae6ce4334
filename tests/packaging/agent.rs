//! The agent as a service of a real systemd: killed, reloaded, restarted and stuck while a step writes.

use std::process::{Child, Stdio};

use super::attempt;
use super::machine::{Machine, stack};
use super::systemd::{AGENT, installation};
use crate::support::sandbox::{Sandbox, collect};
use crate::support::{project, wait};

const UNIT: &str = "steplog-agent.service";
const INPUT: &str = "[agent]\nscan_interval = \"100ms\"\nlog_format = \"logfmt\"\n\
    [[inputs]]\nname = \"trainer\"\nkind = \"fifo\"\npath = \"/run/steplog/trainer\"\nmode = \"0622\"\n\
    metadata = { pipeline_run_id = \"r\", step_id = \"train\" }\n\
    [[inputs]]\nname = \"socket\"\nkind = \"socket\"\npath = \"/run/steplog/socket\"\nmode = \"0666\"\n\
    metadata = { pipeline_run_id = \"r\" }\n";
/// The step in the machine.
const PROGRAM: &str = "/var/tmp/numbered.py";
/// What the step says that connects: after a restart of the agent nobody could say it.
const FIRST_LINE: &str = "{\"steplog\":{\"step_id\":\"connected\"}}";

fn property(machine: &Machine<'_>, name: &str) -> String {
    machine.succeed(&["systemctl", "show", "--value", "--property", name, UNIT])
}

fn is_active(machine: &Machine<'_>) -> bool {
    property(machine, "ActiveState") == "active"
}

/// Bytes that the agent that runs has read of an input.
fn read(machine: &Machine<'_>, input: &str) -> u64 {
    let status = attempt(&mut machine.inside(&["steplog", "status", "-o", "json"]));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    let inputs = status["inputs"].as_array();
    let found = inputs.and_then(|inputs| inputs.iter().find(|it| it["name"] == input));
    found.and_then(|found| found["bytes"].as_u64()).unwrap_or(0)
}

/// Waits until the agent reads what the steps write.
fn reads_on(machine: &Machine<'_>) {
    for input in ["trainer", "socket"] {
        let before = read(machine, input);
        wait::until_true("the agent to read on", || read(machine, input) > before);
    }
}

fn installed<'a>(sandbox: &'a Sandbox, more: &str) -> Machine<'a> {
    let machine = Machine::boot(sandbox);
    machine.succeed(&["sh", "-ec", "mkdir -p /etc/steplog; touch /etc/steplog/stack.toml"]);
    let stack = stack("/var/lib/steplog/store");
    machine.write("/etc/steplog/stack.toml", &format!("{stack}{INPUT}{more}"));
    machine.succeed(&["sh", "-ec", &installation(AGENT)]);
    machine
}

/// A step in the machine that writes to the FIFO until it is told to stop, and one that is connected to the
/// socket.
fn steps(machine: &Machine<'_>) -> [(&'static str, Child); 2] {
    // The project's folder may be none of the machine's.
    machine.put(&project("tests/steps/numbered.py"), PROGRAM);
    let step = |path: &str, first: &[&str]| {
        let mut command = machine.inside(&["python3", PROGRAM, path, "/tmp/stop"]);
        command.args(first).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    [
        ("train", step("/run/steplog/trainer", &[])),
        ("connected", step("/run/steplog/socket", &[FIRST_LINE])),
    ]
}

/// Ends the steps; every line that they have written must be in the store, once.
fn nothing_is_lost_or_doubled(machine: &Machine<'_>, steps: [(&str, Child); 2]) {
    machine.succeed(&["touch", "/tmp/stop"]);
    let steps = steps.map(|(name, step)| (name, collect(step).expect(0).text()));
    machine.succeed(&["systemctl", "stop", UNIT]);
    for (name, said) in steps {
        all_is_there(machine, name, &said);
    }
}

fn all_is_there(machine: &Machine<'_>, step: &str, said: &str) {
    let (lines, longest) = said.trim().split_once(' ').unwrap();
    let (lines, longest): (usize, u64) = (lines.parse().unwrap(), longest.parse().unwrap());
    let logs = machine.succeed(&["steplog", "logs", &format!("r/{step}"), "-o", "raw"]);
    let mut numbers: Vec<usize> = logs
        .lines()
        .map(|line| {
            let number = line.strip_prefix("line ").and_then(|it| it.strip_suffix(" of the step"));
            number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
        })
        .collect();
    numbers.sort_unstable();
    let missing: Vec<usize> =
        (0..lines).filter(|number| numbers.binary_search(number).is_err()).collect();
    assert_eq!(
        (missing, numbers.len()),
        (vec![], lines),
        "{step}: lines that are missing, and how many there are"
    );
    eprintln!("{step}: {lines} lines; the longest write took {longest} ms");
    // Where the agent is away for long a full pipe waits for it; how long that is depends on the machine.
    assert!(longest < 30_000, "a write took {longest} ms");
}

#[test]
fn not_a_line_is_lost_or_doubled_whatever_becomes_of_the_agent() {
    let sandbox = Sandbox::new();
    let machine = installed(&sandbox, "");
    assert!(is_active(&machine));
    // It is told right after READY.
    wait::until_true("the agent's status", || {
        property(&machine, "StatusText").starts_with("2 inputs")
    });
    // The FIFO, and the socket that listens.
    assert_eq!(property(&machine, "NFileDescriptorStore"), "2");
    let steps = steps(&machine);
    reads_on(&machine);
    // Who has connected is another user's, hidden from the agent.
    let journal = machine.journal(UNIT);
    assert!(
        journal.contains("the variables of other users' processes cannot be seen"),
        "{journal}"
    );
    // The connection, and what its first line has said.
    assert_eq!(property(&machine, "NFileDescriptorStore"), "4");

    for _ in 0..3 {
        let restarts: u64 = property(&machine, "NRestarts").parse().unwrap();
        machine.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-who=main", UNIT]);
        wait::until_true("systemd to start it again", || {
            property(&machine, "NRestarts").parse::<u64>().unwrap() > restarts
                && is_active(&machine)
        });
        reads_on(&machine);
    }
    // A file that is wrong changes nothing, and is told.
    let good = machine.succeed(&["cat", "/etc/steplog/stack.toml"]);
    machine.write("/etc/steplog/stack.toml", &format!("{good}\nmore = 1\n"));
    machine.succeed(&["systemctl", "reload", UNIT]);
    wait::until_true("the agent to say what is wrong", || {
        machine.journal(UNIT).contains("level=warning message=\"not reloaded")
    });
    let other = "[[inputs]]\nname = \"other\"\nkind = \"fifo\"\npath = \"/run/steplog/other\"\n";
    machine.write("/etc/steplog/stack.toml", &format!("{good}\n{other}"));
    machine.succeed(&["systemctl", "reload", UNIT]);
    wait::until_true("the new input to be kept too", || {
        property(&machine, "NFileDescriptorStore") == "5"
    });
    reads_on(&machine);
    machine.write("/etc/steplog/stack.toml", &format!("{good}\n"));
    machine.succeed(&["systemctl", "reload", UNIT]);
    wait::until_true("the input that has gone to be let go", || {
        property(&machine, "NFileDescriptorStore") == "4"
    });
    machine.succeed(&["systemctl", "restart", UNIT]);
    assert_eq!(property(&machine, "NFileDescriptorStore"), "4");
    reads_on(&machine);
    nothing_is_lost_or_doubled(&machine, steps);
    // The journal has taken the level from the line.
    let warnings = ["journalctl", "--unit", UNIT, "--priority=4", "--output=cat", "--no-pager"];
    assert!(machine.succeed(&warnings).contains("not reloaded"));
}

#[test]
fn an_agent_that_is_stuck_is_killed_and_goes_on() {
    let sandbox = Sandbox::new();
    let machine = installed(&sandbox, "");
    machine.write(
        "/etc/systemd/system/steplog-agent.service.d/soon.conf",
        "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\nLimitCORE=0\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "restart", UNIT]);
    let steps = steps(&machine);
    reads_on(&machine);
    machine.succeed(&["systemctl", "kill", "--signal=STOP", "--kill-who=main", UNIT]);
    wait::until_true("the watchdog to start it again", || {
        property(&machine, "NRestarts") != "0" && is_active(&machine)
    });
    assert!(machine.journal(UNIT).contains("Watchdog timeout"), "{}", machine.journal(UNIT));
    reads_on(&machine);
    nothing_is_lost_or_doubled(&machine, steps);
}

#[test]
fn a_socket_of_systemd_takes_records_before_the_agent_runs() {
    const SEND: &str = "import json, urllib.request\n\
        attributes = [{'key': key, 'value': {'stringValue': text}} for key, text in [('pipeline_run_id', 'r'), ('step_id', 'sdk')]]\n\
        record = {'body': {'stringValue': 'hello'}, 'attributes': attributes}\n\
        body = {'resourceLogs': [{'scopeLogs': [{'logRecords': [record]}]}]}\n\
        request = urllib.request.Request('http://127.0.0.1:4318/v1/logs', json.dumps(body).encode(), {'Content-Type': 'application/json'})\n\
        print(urllib.request.urlopen(request).status)\n";
    let sandbox = Sandbox::new();
    let machine = installed(&sandbox, "[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\n");
    machine.succeed(&["systemctl", "stop", UNIT]);
    machine.succeed(&["systemctl", "start", "steplog-agent.socket"]);
    // The first record starts the agent.
    assert_eq!(machine.succeed(&["python3", "-c", SEND]), "200");
    assert!(is_active(&machine));
    machine.succeed(&["systemctl", "restart", UNIT]);
    assert_eq!(machine.succeed(&["python3", "-c", SEND]), "200");
    machine.succeed(&["systemctl", "stop", "steplog-agent.socket", UNIT]);
    let logs = machine.succeed(&["steplog", "logs", "r/sdk"]);
    // Two writers: the agent was another one.
    let messages: Vec<_> = logs.lines().map(|line| line.rsplit(" | ").next()).collect();
    assert_eq!(messages, [Some("hello"), Some("hello")]);
}

/// `systemd-analyze security` gives a number from 0, safe, to 10.
#[test]
fn the_agent_s_sandbox_is_tight() {
    let unit = project("systemd/steplog-agent.service");
    let analyze = ["--offline=true", "--no-pager", "--threshold=20", "security"];
    let mut command = std::process::Command::new("systemd-analyze");
    super::succeed(command.args(analyze).arg(unit));
}
