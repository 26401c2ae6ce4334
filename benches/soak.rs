//! The agent for a long time with faults: a store that is down at times, the agent killed and stopped, files
//! rotated. And the same for a moment, with a look at each writer: how long a restart keeps it waiting.
//!
//! Every line is counted in the end, so each of these is a test as well: no line of a file is lost or doubled,
//! whatever kills the agent; a FIFO's are not doubled, and lost only by SIGKILL, which may take what was
//! read and not yet written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::agent::Agent;
use crate::null::{Null, Says};
use crate::support::sandbox::{LOCAL, Sandbox};
use crate::support::wait;
use crate::table::{Table, mebibytes, milliseconds};
use crate::{Group, Sizes};

/// Of each kind.
const STREAMS: usize = 20;
/// Lines a second of each stream, in so many writes.
const LINES: usize = 50;
const WRITES: usize = 10;
/// Longer than the agent waits for more from a file that was rotated.
const LINGER: f64 = 7.0;

/// Both stores get everything.
const STACK: &str = r#"
active = "test"
[stacks.test]
artifact_store = "here"
log_stores = ["kept", "sent"]
[artifact_stores.here]
flavor = "local"
path = "{sandbox}/store"
[log_stores.kept]
flavor = "artifact"
[log_stores.sent]
flavor = "http"
endpoint = "http://ADDRESS/"
[ship]
retry_max = "2s"
[spool]
dir = "{sandbox}/spool"
"#;
const INPUTS: &str = r#"
[[inputs]]
name = "pipes"
kind = "steps"
path = "{sandbox}/pipes"
metadata = { pipeline_run_id = "many" }
[[inputs]]
name = "files"
kind = "file"
path = "{sandbox}/files/{step_id}.log"
metadata = { pipeline_run_id = "many" }
[agent]
scan_interval = "1s"
"#;

/// One that prints.
struct Printer {
    name: String,
    path: PathBuf,
    file: File,
    is_fifo: bool,
    lines: usize,
    longest: Duration,
}

impl Printer {
    fn new(sandbox: &Sandbox, number: usize, is_fifo: bool) -> Self {
        let (name, path) = if is_fifo {
            let name = format!("pipe-{number:02}");
            let path = sandbox.path(&format!("pipes/{name}"));
            nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
            (name, path)
        } else {
            let name = format!("file-{number:02}");
            (name.clone(), sandbox.path(&format!("files/{name}.log")))
        };
        let file = open(&path, is_fifo);
        Self { name, path, file, is_fifo, lines: 0, longest: Duration::ZERO }
    }

    fn print(&mut self) {
        let mut text = String::new();
        for _ in 0..LINES / WRITES {
            text.push_str(&format!("{} {:08} goes on and on\n", self.name, self.lines));
            self.lines += 1;
        }
        let started = Instant::now();
        self.file.write_all(text.as_bytes()).unwrap();
        self.longest = self.longest.max(started.elapsed());
    }

    /// As logrotate does it.
    fn rotate(&mut self) {
        if !self.is_fifo {
            fs::rename(&self.path, self.path.with_extension("log.1")).unwrap();
            self.file = open(&self.path, false);
        }
    }
}

fn open(path: &PathBuf, is_fifo: bool) -> File {
    let mut options = OpenOptions::new();
    // Its own reader too: while the agent is away, what is in the pipe stays there.
    options.read(is_fifo).write(true).create(!is_fifo).append(!is_fifo).mode(0o644);
    options.open(path).unwrap()
}

fn sandbox(address: Option<SocketAddr>) -> Sandbox {
    let (stack, deadline) = match address {
        Some(address) => (STACK.replace("ADDRESS", &address.to_string()), ""),
        // A store that is there has taken everything when the agent has ended.
        None => (LOCAL.to_owned(), "deadline = '1m'\n"),
    };
    let sandbox = Sandbox::with_stack(&format!("{stack}{INPUTS}{deadline}"));
    fs::create_dir(sandbox.path("pipes")).unwrap();
    fs::create_dir(sandbox.path("files")).unwrap();
    sandbox
}

/// Lines that are not there, and lines that are there again.
#[derive(Default)]
struct Wrong {
    lost: usize,
    doubled: usize,
}

/// What has become of all lines, by whether they went through FIFOs.
fn compare(sandbox: &Sandbox, printers: &[Printer]) -> BTreeMap<bool, Wrong> {
    sandbox.verify("many");
    let mut seen: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for printer in printers {
        seen.insert(&printer.name, vec![0; printer.lines]);
    }
    let raw = String::from_utf8(sandbox.raw("many")).unwrap();
    for line in raw.lines() {
        let (name, rest) = line.split_once(' ').unwrap();
        let number: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
        let count = &mut seen.get_mut(name).unwrap()[number];
        *count = count.saturating_add(1);
    }
    let mut wrong: BTreeMap<bool, Wrong> = BTreeMap::new();
    for printer in printers {
        let counts = &seen[printer.name.as_str()];
        let lost = || (0..).zip(counts).filter(|(_, count)| **count == 0).map(|(number, _)| number);
        if let Some(first) = lost().next() {
            let (name, last) = (&printer.name, lost().last().unwrap_or(first));
            eprintln!("{name}: {} lines of {first} to {last} are lost", lost().count());
        }
        let entry = wrong.entry(printer.is_fifo).or_default();
        entry.lost += lost().count();
        entry.doubled += counts.iter().filter(|count| **count > 1).count();
    }
    wrong
}

/// Waits until all that was printed is delivered, and stops the agent.
fn drain(sandbox: &Sandbox, agent: Agent<'_>) {
    wait::until_within(Duration::from_secs(120), "all to be delivered", || {
        let streams = agent.all_streams();
        // A file that was rotated is watched for a while before the next one is read.
        let quiet = |it: &serde_json::Value| it["idle_seconds"].as_f64() > Some(LINGER);
        let behind =
            |it: &serde_json::Value| it["lag_bytes"] != 0 || it["unread_bytes"] != 0 || !quiet(it);
        (!streams.iter().any(behind)).then_some(())
    });
    // What is left of the ends of many streams on a busy machine is the next one's.
    agent.stop_with(None);
    sandbox.call(["ship", "--all"]).expect(0);
}

/// Printers go on while the agent is stopped, or killed, and started again.
pub(crate) fn restart(sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("The agent started again under load, {STREAMS} FIFOs and {STREAMS} files"),
        &["", "restarts", "lines", "lost", "doubled", "longest block of a writer", "agent away"],
    );
    for kill in [false, true] {
        let sandbox = sandbox(None);
        let mut printers: Vec<Printer> =
            (0..2 * STREAMS).map(|it| Printer::new(&sandbox, it / 2, it % 2 == 0)).collect();
        let over = AtomicBool::new(false);
        let mut away = Duration::ZERO;
        thread::scope(|scope| {
            for printer in &mut printers {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        printer.print();
                        thread::sleep(Duration::from_secs(1) / WRITES as u32);
                    }
                });
            }
            let mut agent = Agent::start(&sandbox);
            for _ in 0..sizes.restarts {
                thread::sleep(sizes.life);
                let gone = Instant::now();
                if kill {
                    agent.kill();
                } else {
                    agent.stop();
                }
                agent = Agent::start(&sandbox);
                away = away.max(gone.elapsed());
            }
            thread::sleep(sizes.life);
            over.store(true, Ordering::Relaxed);
            // What is in a write comes before the look whether all is delivered.
            thread::sleep(Duration::from_millis(500));
            drain(&sandbox, agent);
        });
        let wrong = compare(&sandbox, &printers);
        for (is_fifo, wrong) in wrong {
            let how = if kill { "killed" } else { "stopped" };
            let what = if is_fifo { "FIFOs" } else { "files" };
            assert_eq!(wrong.doubled, 0, "{what}, {how}");
            assert!(wrong.lost == 0 || (is_fifo && kill), "{what}, {how}: {}", wrong.lost);
            let own = || printers.iter().filter(|it| it.is_fifo == is_fifo);
            table.row([
                format!("{what}, {how}"),
                sizes.restarts.to_string(),
                own().map(|it| it.lines).sum::<usize>().to_string(),
                wrong.lost.to_string(),
                wrong.doubled.to_string(),
                milliseconds(own().map(|it| it.longest).max().unwrap()),
                milliseconds(away),
            ]);
        }
    }
    table
}

/// Everything at once, for long.
pub(crate) fn soak(sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("The agent for {} s with faults", sizes.soak.as_secs()),
        &["after", "", "resident", "its own", "descriptors", "threads", "spool", "lag", "lines"],
    );
    let store = Null::start(Says::Http(200, "text/plain", ""), Duration::ZERO);
    let sandbox = sandbox(Some(store.address));
    let mut printers: Vec<Printer> =
        (0..2 * STREAMS).map(|it| Printer::new(&sandbox, it / 2, it % 2 == 0)).collect();
    let mut agent = Agent::start(&sandbox);
    let started = Instant::now();
    // Each of these happens so often.
    let sample = sizes.soak / 30;
    let (mut sampled, mut rotated, mut fallen, mut ended) = (0, 0, 0, 0);
    let (mut rounds, mut kills) = (0, 0);
    while started.elapsed() < sizes.soak {
        printers.iter_mut().for_each(Printer::print);
        rounds += 1;
        let at = started.elapsed();
        let times = |every: Duration| (at.as_secs_f64() / every.as_secs_f64()) as usize;
        if times(sample) > sampled {
            sampled = times(sample);
            let what = if store.is_down() { "store down" } else { "" };
            let lines = printers.iter().map(|it| it.lines).sum::<usize>();
            table.row(agent.sample(at, what, lines));
        }
        // In the middle of a life.
        if ((at.as_secs_f64() / sample.as_secs_f64() + 2.5) / 5.0) as usize > rotated {
            rotated += 1;
            // What the agent has open it reads to its end.
            agent.reads_all(printers.len());
            printers.iter_mut().for_each(Printer::rotate);
        }
        // Down for one of three.
        if times(sample) > fallen {
            fallen = times(sample);
            store.set_down(fallen % 3 == 1);
        }
        // The last life is two thirds of the time: what it uses is to stay what it is.
        if times(sample * 5) > ended && ended < 2 {
            ended = times(sample * 5);
            if ended % 2 == 1 {
                agent.kill();
                kills += 1;
            } else {
                agent.stop_with(None);
            }
            agent = Agent::start(&sandbox);
        }
        let next = started + Duration::from_secs(1) / WRITES as u32 * rounds;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    store.set_down(false);
    drain(&sandbox, agent);
    let wrong = compare(&sandbox, &printers);
    let (files, fifos) = (&wrong[&false], &wrong[&true]);
    assert_eq!((files.lost, files.doubled, fifos.doubled), (0, 0, 0));
    assert!(kills > 0 || fifos.lost == 0);
    let left = fs::read_dir(sandbox.path("spool")).unwrap().flatten();
    let left = left.filter(|it| !it.file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(left, 0, "spools that are not delivered");
    table.note(format!(
        "{} lines of files: {} lost, {} doubled; as many of FIFOs: {} lost by {kills} kills, {} doubled. \
         The other store took {} requests.",
        printers.iter().filter(|it| !it.is_fifo).map(|it| it.lines).sum::<usize>(),
        files.lost,
        files.doubled,
        fifos.lost,
        fifos.doubled,
        store.taken().0,
    ));
    table
}

impl Agent<'_> {
    fn reads_all(&self, count: usize) {
        wait::until_true("all streams to be open", || self.all_streams().len() == count);
    }

    fn sample(&self, at: Duration, what: &str, lines: usize) -> [String; 9] {
        let status = self.status();
        let streams = self.all_streams();
        let lag = streams.iter().filter_map(|it| it["lag_seconds"].as_f64()).fold(0.0, f64::max);
        [
            format!("{:.0} s", at.as_secs_f64()),
            what.to_owned(),
            mebibytes(self.memory("VmRSS:")),
            mebibytes(self.memory("RssAnon:")),
            self.descriptors().to_string(),
            self.memory("Threads:").to_string(),
            mebibytes(status["spool"]["bytes"].as_u64().unwrap_or_default() >> 10),
            format!("{lag:.1} s"),
            lines.to_string(),
        ]
    }
}
