//! The agent as its user starts it: inputs, restarts, the control socket, life beside a step.

mod control;
mod delivery;
mod fifo;
mod files;
mod hostile;
mod otlp;
mod sidecar;
mod socket;
mod telemetry;
mod tls;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::lines::assert_same;
use crate::support::sandbox::{LOCAL, Output, Sandbox, collect};
use crate::support::wait;

/// Quick looks and tries; to the end it has all the time that a loaded machine may need.
const QUICK: &str = "[agent]\nscan_interval = \"100ms\"\ndeadline = \"60s\"\n\
                     [ship]\nretry_initial = \"5ms\"\nretry_max = \"50ms\"\n";

/// A sandbox with these inputs.
fn sandbox(inputs: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, inputs);
    sandbox
}

fn write_stack(sandbox: &Sandbox, inputs: &str) {
    sandbox.write_stack(&format!("{LOCAL}{QUICK}{inputs}"));
}

/// A FIFO of one step.
fn fifo(name: &str) -> String {
    format!(
        "[[inputs]]\nname = \"{name}\"\nkind = \"fifo\"\npath = \"{{sandbox}}/{name}\"\n\
         metadata = {{ pipeline_run_id = \"{name}\", step_id = \"train\" }}\n"
    )
}

/// An agent that runs.
struct Running<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    said: PathBuf,
}

impl<'a> Running<'a> {
    /// Starts one and waits until it is ready.
    fn start(sandbox: &'a Sandbox) -> Self {
        Self::start_with(sandbox, |_| {})
    }

    fn start_with(sandbox: &'a Sandbox, change: impl FnOnce(&mut Command)) -> Self {
        let said = sandbox.path("agent.log");
        let mut command = sandbox.steplog(["agent"]);
        change(&mut command);
        command.stdout(Stdio::piped()).stderr(File::create(&said).unwrap());
        let mut agent = Self { sandbox, child: command.spawn().unwrap(), said };
        wait::until_true("the agent to be ready", || {
            let ended = agent.child.try_wait().unwrap();
            assert!(ended.is_none(), "the agent has ended: {}", agent.said());
            agent.said().contains("agent is ready")
        });
        agent
    }

    /// What it has said.
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Kills it as the out-of-memory killer would.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end and waits for that.
    fn stop(self) -> Output {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    fn wait(self) -> Output {
        let said = self.said.clone();
        let mut output = collect(self.child);
        output.stderr = fs::read(said).unwrap();
        output
    }

    /// How it is doing.
    fn status(&self) -> serde_json::Value {
        let output = self.sandbox.call(["status", "-o", "json"]).expect(0);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until all that this input has read is in the spool: `bytes` of it.
    fn has_read(&self, input: &str, bytes: u64) {
        wait::until_true(&format!("{bytes} bytes of {input} to be read"), || {
            let status = self.status();
            let inputs = status["inputs"].as_array().unwrap().iter();
            let streams =
                inputs.filter(|it| it["name"] == input).filter_map(|it| it["streams"].as_array());
            streams.flatten().filter_map(|it| it["bytes"].as_u64()).sum::<u64>() >= bytes
        });
    }
}

/// Opens a FIFO as a step would, though nobody may read it now.
fn open_fifo(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .unwrap()
}

/// Writes all of it, however little the pipe takes at a time.
fn write_all(file: &mut File, mut bytes: &[u8]) {
    wait::until_true("the pipe to take everything", || {
        match file.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        bytes.is_empty()
    });
}

/// Waits until the store has exactly this of a run.
#[track_caller]
fn arrives(sandbox: &Sandbox, run: &str, expected: &[u8]) {
    let mut found = Vec::new();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::until_within(std::time::Duration::from_secs(60), run, || {
            found = sandbox.call(["logs", run, "-o", "raw"]).stdout;
            (found.len() >= expected.len()).then_some(())
        });
    }));
    assert_same(run, expected, &found);
    assert!(waited.is_ok());
}
