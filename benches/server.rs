//! `steplog serve`: a large log opened, jumped about in and searched; a thousand followers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::measure::{self, Input, quantile};
use crate::support::sandbox::{Sandbox, finish};
use crate::support::{project, wait};
use crate::table::{Table, mebibytes, milliseconds};
use crate::{Group, Sizes};

struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.steplog(["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().trim_end_matches('/').rsplit_once("//").unwrap().1;
        Self { child, address: address.parse().unwrap() }
    }

    /// A request that stays open.
    fn open(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reader = BufReader::with_capacity(4096, stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{path}: {line}");
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader
    }

    fn get(&self, path: &str) -> (Duration, Vec<u8>) {
        let started = Instant::now();
        let mut body = Vec::new();
        self.open(path).read_to_end(&mut body).unwrap();
        (started.elapsed(), body)
    }

    fn json(&self, path: &str) -> (Duration, Value) {
        let (wall, body) = self.get(path);
        (wall, serde_json::from_slice(&body).unwrap())
    }

    /// KiB of a line of the process's status.
    fn memory(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A log of ten times the input.
pub(crate) fn large(input: &Input, sizes: Sizes) -> Group {
    let times = sizes.scale;
    let lines = (input.lines * times) as u64;
    let bytes = (input.bytes.len() * times) as f64;
    let title = format!("steplog serve: a log of {lines} lines");
    let mut table = Table::new(&title, &["", "median", "slowest", "MB/s"]);
    // In the [spool] of that file: it is faster printed than delivered.
    let sandbox = Sandbox::local("max_bytes = \"16 GiB\"\n");
    let files = vec![input.path().display().to_string(); times];
    let mut command = vec!["cat".to_owned()];
    command.extend(files);
    measure::cost(&mut sandbox.wrap("run", command), None);
    // So much at once may take longer to deliver than a step waits for.
    sandbox.call(["ship", "--all"]).expect(0);
    let serving = Serving::start(&sandbox);

    let mut row = |name: &str, walls: Vec<Duration>, rate: Option<f64>| {
        let slowest = walls.iter().max().copied().unwrap_or_default();
        let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        let median = quantile(walls, 0.5);
        table.row([name.to_owned(), milliseconds(median), milliseconds(slowest), rate]);
    };
    // What the page asks for before it shows anything, with nothing read before.
    let started = Instant::now();
    let (_, run) = serving.json("runs/run");
    assert_eq!(run["lines"], lines);
    let (_, window) = serving.json("runs/run/lines?start=0&count=200");
    assert_eq!(window["total"], lines);
    row("first screen: the run and 200 lines", vec![started.elapsed()], None);
    let jumps = (1..=50_u64)
        .map(|number| {
            let start = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (lines - 200);
            let (wall, window) = serving.json(&format!("runs/run/lines?start={start}&count=200"));
            assert_eq!(window["items"][199]["number"], start + 199);
            wall
        })
        .collect();
    row("jump to any line, 200 lines", jumps, None);
    let density = |_| serving.get("runs/run/density?buckets=200").0;
    row("density in 200 buckets", (0..5).map(density).collect(), None);
    let search = |query: &'static str| {
        let serving = &serving;
        move |_| {
            let (wall, found) = serving.json(&format!("runs/run/search?{query}"));
            assert_eq!(found["complete"], true, "{found}");
            wall
        }
    };
    let mut searched = |name: &str, query: &'static str| {
        let walls: Vec<Duration> = (0..sizes.repetitions.min(3)).map(search(query)).collect();
        let rate = bytes / 1e6 / quantile(walls.clone(), 0.5).as_secs_f64();
        row(name, walls, Some(rate));
    };
    searched("search: text that is nowhere", "grep=nowhere&fixed");
    searched("search: text in one of 10,000 lines", "grep=9999+step&fixed");
    searched("search: text in any case", "grep=NOWHERE&fixed&ignore_case");
    searched("search: an expression", "grep=line=000012%5B0-9%5D%2B+step=.%2A7+loss");
    let started = Instant::now();
    let mut reader = serving.open("runs/run/raw");
    let (mut buffer, mut read) = (vec![0; 1 << 16], 0);
    loop {
        let some = reader.read(&mut buffer).unwrap();
        if some == 0 {
            break;
        }
        read += some;
    }
    assert_eq!(read, input.bytes.len() * times);
    let wall = started.elapsed();
    row("the whole, as it was printed", vec![wall], Some(bytes / 1e6 / wall.as_secs_f64()));
    in_a_browser(&serving, &mut table);
    table.note(format!("Peak memory of the server: {}.", mebibytes(serving.memory("VmHWM:"))));
    table
}

/// What a person waits for: the page in Chromium, as `tests/browser/measure.mjs` measures it.
fn in_a_browser(serving: &Serving, table: &mut Table) {
    let mut command = Command::new("node");
    command.arg(project("tests/browser/measure.mjs"));
    command.args([&format!("http://{}", serving.address), "run"]);
    let output = finish(&mut command).expect(0).text();
    let seen: Value = serde_json::from_str(output.trim()).unwrap();
    let number = |key: &str| seen[key].as_f64().unwrap();
    let time = |key: &str| milliseconds(Duration::from_secs_f64(number(key) / 1000.0));
    for (name, median, slowest) in [
        ("in Chromium: first screen", "first_screen_ms", "first_screen_most_ms"),
        ("in Chromium: jump to any line", "jump_ms", "jump_most_ms"),
    ] {
        table.row([name.to_owned(), time(median), time(slowest), "-".to_owned()]);
    }
    table.note(format!(
        "A page of one word has its first frame in Chromium after {:.0} ms. Scrolled at 3,000 pixels a second: {:.0} \
         frames a second, {} tasks over 50 ms.",
        number("empty_page_ms"),
        number("frames_per_second"),
        number("long_tasks"),
    ));
}

/// Many followers of one stream: what they cost, and how late lines come beside `logs -f`.
pub(crate) fn followers(sizes: Sizes) -> Group {
    const EVERY: Duration = Duration::from_millis(100);
    let count = sizes.followers;
    let mut table = Table::new(
        &format!("steplog serve: {} lines, ten a second", sizes.live),
        &["followers", "late, median", "late, p99", "CPU", "memory", "a follower"],
    );
    let sandbox = Sandbox::local("");
    for followers in [1, count] {
        let serving = Serving::start(&sandbox);
        let run = format!("run-{followers}");
        let script = format!(
            "import time\nfor n in range({}):\n  print(f'{{time.time_ns()}} {{n}}', flush=True)\n  time.sleep({})",
            sizes.live,
            EVERY.as_secs_f64()
        );
        let before = serving.memory("RssAnon:");
        let path = format!("runs/{run}/logs/stream?wait=120&linger=0");
        let late: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (connected, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (cpu, peak) = std::thread::scope(|scope| {
            for _ in 0..followers {
                let (path, serving) = (&path, &serving);
                let (late, connected, seen) = (&late, &connected, &seen);
                let builder = std::thread::Builder::new().stack_size(128 << 10);
                let follow = move || {
                    let mut reader = serving.open(path);
                    connected.fetch_add(1, Ordering::Relaxed);
                    let mut line = String::new();
                    while reader.read_line(&mut line).unwrap() > 0 {
                        if let Some(data) = line.strip_prefix("data: {\"items\":") {
                            let now = std::time::SystemTime::now();
                            let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
                            for message in data.split("\"message\":\"").skip(1) {
                                let nanos = message.split(' ').next().unwrap();
                                let printed = Duration::from_nanos(nanos.parse().unwrap());
                                late.lock().unwrap().push(now.saturating_sub(printed));
                                seen.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        line.clear();
                    }
                };
                builder.spawn_scoped(scope, follow).unwrap();
            }
            wait::until_within(Duration::from_secs(60), "all to be connected", || {
                (connected.load(Ordering::Relaxed) == followers).then_some(())
            });
            let cpu = serving.cpu();
            let mut step = sandbox.wrap(&run, ["python3", "-c", &script]);
            let mut step = step.stdout(Stdio::null()).spawn().unwrap();
            let all = followers * sizes.live;
            wait::until_within(Duration::from_secs(120), "all lines to be seen", || {
                (seen.load(Ordering::Relaxed) >= all).then_some(())
            });
            step.wait().unwrap();
            (serving.cpu().saturating_sub(cpu), serving.memory("VmHWM:"))
        });
        let late = late.lock().unwrap().clone();
        assert_eq!(late.len(), followers * sizes.live);
        let each = peak.saturating_sub(before) / followers as u64;
        table.row([
            followers.to_string(),
            milliseconds(quantile(late.clone(), 0.5)),
            milliseconds(quantile(late, 0.99)),
            milliseconds(cpu),
            mebibytes(peak),
            format!("{each} KiB"),
        ]);
    }
    table.note(
        "Late: from the print to the follower, the store's own delay (the age at which a chunk is sealed, 200 ms) included."
            .to_owned(),
    );
    table
}
