//! What the agent costs: doing nothing, with many inputs that are quiet, with many that print, and with
//! one at full speed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::measure::{self, Input};
use crate::support::sandbox::{LOCAL, Sandbox};
use crate::support::wait;
use crate::table::{Table, mebibytes, milliseconds, none};
use crate::{Group, Sizes, write};

/// Lines a second of each stream that prints.
const LINES: usize = 100;
/// Each writes so often a second.
const WRITES: usize = 10;
/// The folder of FIFOs or files.
const INPUT: &str = "[[inputs]]\nname = 'steps'\nkind = 'steps'\npath = '{sandbox}/steps'\n\
                     metadata = { pipeline_run_id = 'many' }\n[agent]\nscan_interval = '1s'\ndeadline = '1m'\n";

pub(crate) struct Agent<'a> {
    sandbox: &'a Sandbox,
    child: Child,
}

impl<'a> Agent<'a> {
    pub(crate) fn start(sandbox: &'a Sandbox) -> Self {
        let mut log = OpenOptions::new();
        let log = log.create(true).append(true).open(sandbox.path("agent.log")).unwrap();
        let mut child =
            sandbox.steplog(["agent"]).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        wait::until_true("the agent to be ready", || {
            assert!(child.try_wait().unwrap().is_none(), "the agent has ended");
            sandbox.call(["status"]).code == Some(0)
        });
        Self { sandbox, child }
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.sandbox.call(["status", "-o", "json"]).expect(0).stdout)
            .unwrap()
    }

    fn streams(&self) -> Vec<serde_json::Value> {
        let status = self.status();
        status["inputs"].as_array().unwrap()[0]["streams"].as_array().unwrap().clone()
    }

    /// Of all its inputs.
    pub(crate) fn all_streams(&self) -> Vec<serde_json::Value> {
        let status = self.status();
        let inputs = status["inputs"].as_array().unwrap().iter();
        inputs.flat_map(|input| input["streams"].as_array().unwrap().clone()).collect()
    }

    /// Waits until it reads so many streams.
    fn reads(&self, count: usize) {
        wait::until_within(Duration::from_secs(120), "all streams to be open", || {
            (self.streams().len() == count).then_some(())
        });
    }

    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Times that one of its threads has stopped running to wait.
    fn waits(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .filter_map(|text| field(&text, "voluntary_ctxt_switches:"))
            .sum()
    }

    pub(crate) fn memory(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        field(&text, name).unwrap()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn stop(self) {
        self.stop_with(Some(0));
    }

    /// Ends it; with a code, that is how it must end.
    pub(crate) fn stop_with(mut self, code: Option<i32>) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(code.is_none() || status.code() == code, "{status}");
    }

    /// As the kernel does it.
    pub(crate) fn kill(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_stack(&format!("{LOCAL}{INPUT}"));
    fs::create_dir(sandbox.path("steps")).unwrap();
    sandbox
}

/// Makes FIFOs or empty files, and opens them for writing.
fn outputs(sandbox: &Sandbox, count: usize, fifos: bool) -> Vec<File> {
    (0..count)
        .map(|number| {
            let path = sandbox.path(&format!("steps/step-{number:05}"));
            if fifos {
                nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
            }
            let mut options = OpenOptions::new();
            options.read(fifos).write(true).create(!fifos);
            // The file is written before anybody looks at it: appending is the rule for logs.
            options.append(!fifos).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap()
        })
        .collect()
}

/// Streams that say nothing.
pub(crate) fn idle(sizes: Sizes) -> Group {
    let mut table = Table::new(
        "The agent, nothing to read",
        &["inputs", "resident", "its own", "descriptors", "CPU a second", "wake-ups a second"],
    );
    for (name, count, fifos) in
        [("none", 0, true), ("FIFOs", sizes.idle, true), ("files", sizes.idle, false)]
    {
        let sandbox = sandbox();
        let files = outputs(&sandbox, count, fifos);
        let agent = Agent::start(&sandbox);
        agent.reads(count);
        let (cpu, waits, started) = (agent.cpu(), agent.waits(), Instant::now());
        thread::sleep(sizes.quiet);
        let seconds = started.elapsed().as_secs_f64();
        let cpu = agent.cpu().saturating_sub(cpu);
        let waits = (agent.waits() - waits) as f64 / seconds;
        table.row([
            if count == 0 { name.to_owned() } else { format!("{count} {name}") },
            mebibytes(agent.memory("VmRSS:")),
            mebibytes(agent.memory("RssAnon:")),
            agent.descriptors().to_string(),
            milliseconds(cpu.div_f64(seconds)),
            format!("{waits:.1}"),
        ]);
        agent.stop();
        drop(files);
    }
    table
}

/// Streams that print all the time.
pub(crate) fn busy(sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("The agent, streams of {LINES} lines a second each"),
        &["streams", "CPU a second", "ns a line", "peak", "lag p50", "lag p99", "lag most"],
    );
    // Removed together: ext4 without a journal looks at each file that was removed in the last minutes before it
    // makes one, which would be measured in place of the agent.
    let sandboxes = [sandbox(), sandbox()];
    for (sandbox, (name, fifos)) in sandboxes.iter().zip([("FIFOs", true), ("files", false)]) {
        let mut files = outputs(sandbox, sizes.busy, fifos);
        let agent = Agent::start(sandbox);
        agent.reads(sizes.busy);
        let (cpu, started) = (agent.cpu(), Instant::now());
        let (mut written, mut lags, mut round) = (0, Vec::new(), 0);
        let pause = Duration::from_secs(1) / WRITES as u32;
        while started.elapsed() < sizes.printing {
            for (number, file) in files.iter_mut().enumerate() {
                let text: String = (0..LINES / WRITES)
                    .map(|line| {
                        format!("{round:08} {line:02} step {number:05} goes on {:64}\n", "")
                    })
                    .collect();
                file.write_all(text.as_bytes()).unwrap();
                written += LINES / WRITES;
            }
            round += 1;
            if round % WRITES == 0 {
                let lag = |stream: &serde_json::Value| stream["lag_seconds"].as_f64().unwrap();
                lags.extend(agent.streams().iter().map(lag).map(Duration::from_secs_f64));
            }
            thread::sleep(
                (started + pause * round as u32).saturating_duration_since(Instant::now()),
            );
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu = agent.cpu().saturating_sub(cpu);
        let peak = agent.memory("VmHWM:");
        agent.stop();
        sandbox.verify("many");
        assert_eq!(crate::support::lines::count(&sandbox.raw("many")), written, "{name}");
        let at = |share| milliseconds(measure::quantile(lags.clone(), share));
        table.row([
            format!("{} {name}", sizes.busy),
            milliseconds(cpu.div_f64(seconds)),
            format!("{:.0}", cpu.as_secs_f64() * 1e9 / written as f64),
            mebibytes(peak),
            at(0.5),
            at(0.99),
            at(1.0),
        ]);
    }
    table
}

/// One stream at full speed: until its writer is done, and until all is delivered.
pub(crate) fn one(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("{} lines from one writer", input.lines),
        &["", "writer done", "delivered", "CPU"],
    );
    let pipe = measure::median_cost(sizes.repetitions.min(3), || {
        let sandbox = Sandbox::local("");
        let mark = sandbox.path("mark");
        let mut command = sandbox.command("sh");
        command
            .args(["-c", r#"{ cat "$1"; : > "$2"; } | "$3" pipe --quiet"#, "sh"])
            .args([&input.path(), &mark])
            .arg(env!("CARGO_BIN_EXE_steplog"))
            .env("STEPLOG_PIPELINE_RUN_ID", "run");
        let cost = measure::cost(&mut command, Some(&mark));
        write::check(&sandbox, "run", &input.bytes);
        cost
    });
    table.row([
        "cat | steplog pipe".to_owned(),
        milliseconds(pipe.released.unwrap()),
        milliseconds(pipe.wall),
        milliseconds(pipe.cpu),
    ]);
    let sandbox = sandbox();
    drop(outputs(&sandbox, 1, true));
    let agent = Agent::start(&sandbox);
    agent.reads(1);
    let (cpu, started) = (agent.cpu(), Instant::now());
    let fifo = sandbox.path("steps/step-00000");
    std::io::copy(&mut File::open(input.path()).unwrap(), &mut File::create(fifo).unwrap())
        .unwrap();
    let done = started.elapsed();
    wait::until_within(Duration::from_secs(120), "all to be delivered", || {
        let stream = &agent.streams()[0];
        let all = stream["bytes"].as_u64() == Some(input.bytes.len() as u64);
        (all && stream["lag_bytes"] == 0).then_some(())
    });
    let wall = started.elapsed();
    let cpu = agent.cpu().saturating_sub(cpu);
    agent.stop();
    write::check(&sandbox, "many", &input.bytes);
    table.row([
        "cat > FIFO of the agent".to_owned(),
        milliseconds(done),
        milliseconds(wall),
        milliseconds(cpu),
    ]);
    table.row(["program, its file".to_owned(), none(), none(), {
        let bytes = fs::metadata(env!("CARGO_BIN_EXE_steplog")).unwrap().len();
        mebibytes(bytes >> 10)
    }]);
    table
}
