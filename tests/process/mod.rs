//! How steplog stands in for the step: exit codes, signals, terminals, and what becomes of
//! processes that do not behave.
//!
//! No log store takes part: the stack names one that nobody answers for and a deadline of nothing,
//! so that everything is still in the spool when the command has ended.

mod codes;
mod delivery;
mod drain;
mod memory;
mod nested;
mod pipe;
mod secrets;
mod signals;
mod tee;
mod terminal;

use std::process::{Child, Command, Stdio};

use steplog::record::{Exit, IoStream};
use steplog::spool::{Kind, Next, SpoolReader};

use crate::support::sandbox::{Output, Sandbox, collect};

/// Nothing is delivered.
const STACK: &str = r#"
[stacks.default]
artifact_store = "nowhere"
[artifact_stores.nowhere]
flavor = "s3"
uri = "s3://bucket/logs"
endpoint = "http://127.0.0.1:9"
allow_http = true
region = "none"
access_key_id = "none"
secret_access_key = "none"
[spool]
dir = "{sandbox}/spool"
[ship]
deadline = "0s"
[capture]
drain_idle = "100ms"
"#;

/// A command that ran in a sandbox of its own.
struct Ran {
    sandbox: Sandbox,
    output: Output,
}

impl Ran {
    /// The exit record that `--exit-record` wrote.
    fn exit(&self) -> Exit {
        exit_record(&self.sandbox)
    }

    /// What was captured of one stream, from the only spool there is.
    fn captured(&self, iostream: IoStream) -> String {
        captured(&self.sandbox, iostream)
    }
}

fn sandbox() -> Sandbox {
    Sandbox::with_stack(STACK)
}

fn exit_record(sandbox: &Sandbox) -> Exit {
    serde_json::from_slice(&std::fs::read(sandbox.path("exit.json")).unwrap()).unwrap()
}

/// `steplog run OPTIONS -- STEP`, with the exit record in `exit.json`.
fn wrapped(sandbox: &Sandbox, options: &[&str], step: &[&str]) -> Command {
    let mut command =
        sandbox.steplog(["run", "--run=r", "--on-undelivered=ignore", "--exit-record"]);
    command.arg(sandbox.path("exit.json")).args(options).arg("--").args(step);
    command
}

/// … to its end.
#[track_caller]
fn run(options: &[&str], step: &[&str]) -> Ran {
    let sandbox = sandbox();
    let output = collect(start(&mut wrapped(&sandbox, options, step)));
    Ran { sandbox, output }
}

/// … with a shell script as the step.
#[track_caller]
fn run_script(options: &[&str], script: &str) -> Ran {
    run(options, &["sh", "-c", script])
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The bytes of one stream in the only spool of a sandbox.
fn captured(sandbox: &Sandbox, iostream: IoStream) -> String {
    let spools = sandbox.spooled();
    assert_eq!(spools.len(), 1, "{spools:?}");
    let mut bytes = Vec::new();
    for (kind, payload) in frames(&spools[0]) {
        if kind == Kind::from(iostream) {
            bytes.extend(payload);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Numbers, one a line.
fn numbers(range: std::ops::Range<usize>) -> String {
    let lines: Vec<String> = range.map(|number| number.to_string()).collect();
    lines.join("\n") + "\n"
}

/// All frames of a spool.
fn frames(spool: &std::path::Path) -> Vec<(Kind, Vec<u8>)> {
    let mut reader = SpoolReader::open(spool, 0).unwrap();
    let mut frames = Vec::new();
    loop {
        let mut payload = Vec::new();
        match reader.next(&mut payload).unwrap() {
            Next::Frame(frame) => frames.push((frame.kind, payload)),
            Next::Pending | Next::Finished | Next::Interrupted => return frames,
        }
    }
}
