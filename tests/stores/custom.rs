//! A flavor of one's own: the example in Python, `examples/flavors/sqlite.py`, behind a program that misbehaves
//! where it is told to, `tests/servers/python/program.py`. The example in shell only writes and has
//! its test beside the code.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::conformance::{BATCH, Bench, Doubles, Stored, Subject, assert_arrived, conformance};
use crate::servers::nobody;
use crate::support::sandbox::finish;
use crate::support::{lines, project, wait};

pub(super) struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The next `count` writes meet with this.
    fn next(&self, count: usize, fault: &Value) {
        for number in 0..count {
            let waiting = self.path(&format!("{number:03}"));
            fs::write(&waiting, fault.to_string()).unwrap();
            fs::rename(waiting, self.path(&format!("faults/{number:03}"))).unwrap();
        }
    }

    /// Every write does, from now on.
    fn always(&self, fault: &Value) {
        fs::write(self.path("new"), fault.to_string()).unwrap();
        fs::rename(self.path("new"), self.path("always")).unwrap();
    }

    fn behaves(&self) {
        fs::remove_file(self.path("always")).unwrap();
    }

    /// Runs a few words of Python that know the example as `sqlite`, and `path`.
    fn python(&self, script: &str) -> String {
        let mut command = Command::new("python3");
        let script = format!("import sys; path = sys.argv[1]; import sqlite\n{script}");
        command.args(["-B", "-c", &script]).arg(self.path("logs.db"));
        command.env("PYTHONPATH", project("examples/flavors"));
        finish(&mut command).expect(0).text()
    }
}

impl Subject for Sqlite {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("steplog-sqlite-").tempdir().unwrap();
        for name in ["faults", "met", "processes"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// It listens nowhere.
    fn address(&self) -> SocketAddr {
        nobody()
    }

    fn keys(&self, _base: &str) -> String {
        format!("flavor = \"own\"\npath = \"{}\"", self.path("logs.db").display())
    }

    fn tables(&self) -> String {
        let command = [
            "python3".into(),
            "-B".into(),
            project("tests/servers/python/program.py"),
            self.folder.path().to_owned(),
            "python3".into(),
            project("examples/flavors/sqlite.py"),
        ];
        format!(
            "[flavors.own]\ncommand = {command:?}\ncan_fetch = true\n\
             keys.path = {{ type = \"string\", required = true }}\n"
        )
    }

    /// It ends, and so does every other one that is started.
    fn stop(&mut self) {
        fs::write(self.path("away"), "").unwrap();
        for entry in fs::read_dir(self.path("processes")).unwrap() {
            let path = entry.unwrap().path();
            let pid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // Another may have its number by now.
            if command.contains(self.folder.path().to_str().unwrap()) {
                let pid = nix::unistd::Pid::from_raw(pid);
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
            }
            fs::remove_file(path).unwrap();
        }
    }

    fn restart(&mut self) {
        fs::remove_file(self.path("away")).unwrap();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let select = "for row in sqlite.open_database(path).execute('SELECT run, record FROM records'): \
                      print(*row, sep='\\t')";
        let text = self.python(select);
        let rows = text.lines().filter_map(|row| row.split_once('\t'));
        rows.filter(|(of, _)| *of == run)
            .map(|(_, record)| {
                let record: Value = serde_json::from_str(record).unwrap();
                Stored {
                    writer: record["writer"].as_str().unwrap().to_owned(),
                    seq: record["seq"].as_u64().unwrap(),
                    event: record["steplog_event"].as_str().map(str::to_owned),
                    record,
                }
            })
            .collect()
    }

    fn refuse(&mut self, text: &str) {
        self.python(&format!(
            "sqlite.open_database(path).execute(\"\"\"CREATE TRIGGER no BEFORE INSERT ON records \
             WHEN NEW.event = '' AND instr(NEW.record, '{text}') \
             BEGIN SELECT RAISE(ABORT, 'not liked'); END\"\"\")"
        ));
    }
}

// No groups `faults`, `wire`, `secure` and `searching`: there is no connection between us and a program, so
// nothing can be put into it. What a program can do wrong instead is below.
conformance!(Sqlite: basics, partial, reading);

/// The first `count` writes meet with a fault: everything must arrive within the run all the same,
/// and once, for the example keeps one of each.
#[track_caller]
fn survives(run: &str, count: usize, fault: &Value) {
    let subject = Sqlite::start();
    let bench = Bench::of(&subject);
    subject.next(count, fault);
    let mut step = bench.paced(run, 6 * BATCH, 3);
    step.more();
    step.printed();
    let (input, output) = step.finish();
    assert_eq!(output.expect(0).errors(), "", "{}", bench.sandbox.ship_said());
    bench.all_delivered();
    let met = fs::read_dir(subject.path("met")).unwrap().count();
    assert_eq!(met, count, "writes that met with it");
    assert_arrived(&subject, run, input.as_bytes(), Doubles::Never);
}

fn error(kind: &str) -> Value {
    json!({ "do": "error", "error": { "kind": kind } })
}

#[test]
fn it_asks_to_be_asked_again() {
    survives("asks-again", 5, &error("retry"));
}

#[test]
fn it_says_when_to_come_back() {
    let began = Instant::now();
    let error = json!({ "kind": "retry", "retry_after_ms": 1000 });
    survives("says-when", 1, &json!({ "do": "error", "error": error }));
    assert!(began.elapsed() >= Duration::from_secs(1), "came back before that");
}

#[test]
fn it_ends_before_it_has_kept_anything() {
    survives("ends-before", 3, &json!({ "do": "end" }));
}

#[test]
fn it_ends_without_an_answer() {
    survives("ends-after", 3, &json!({ "do": "end_after" }));
}

#[test]
fn it_ends_in_the_middle_of_an_answer() {
    survives("ends-within", 3, &json!({ "do": "half_answer" }));
}

#[test]
fn it_talks_nonsense() {
    survives("nonsense", 3, &json!({ "do": "nonsense" }));
}

#[test]
fn it_is_slow() {
    let subject = Sqlite::start();
    let bench = Bench::of(&subject);
    subject.always(&json!({ "do": "delay" }));
    let text = lines::numbered(10 * BATCH);
    bench.deliver("slow", text.as_bytes());
    assert_arrived(&subject, "slow", text.as_bytes(), Doubles::Never);
}

#[test]
fn it_hangs() {
    let subject = Sqlite::start();
    let mut bench = Bench::of(&subject);
    bench.change_keys(|keys| format!("{keys}export_timeout_millis = 1000\n"));
    subject.next(2, &json!({ "do": "hang" }));
    let text = lines::numbered(2 * BATCH);
    bench.deliver("hangs", text.as_bytes());
    assert_arrived(&subject, "hangs", text.as_bytes(), Doubles::Never);
}

#[test]
fn it_says_that_requests_are_too_large() {
    let subject = Sqlite::start();
    let bench = Bench::of(&subject);
    let mut fault = error("too_large");
    fault["records"] = 50.into();
    subject.always(&fault);
    let text = lines::numbered(2 * BATCH);
    bench.deliver("too-large", text.as_bytes());
    assert_arrived(&subject, "too-large", text.as_bytes(), Doubles::Never);
    assert!(bench.dead_letters().is_empty());
}

#[test]
fn it_says_that_one_record_is_invalid() {
    let subject = Sqlite::start();
    let bench = Bench::of(&subject);
    let mut fault = error("invalid");
    fault["text"] = "POISON".into();
    subject.always(&fault);
    let line = |number: usize| match number {
        600 => "a line with POISON\n".to_owned(),
        _ => lines::numbered_line(number) + "\n",
    };
    let text: String = (0..2 * BATCH).map(line).collect();
    let run = "one-is-invalid";
    let output = bench.print(run, text.as_bytes()).expect(0);
    bench.all_delivered();
    super::conformance::partial::assert_refused(&subject, &bench, run, 2 * BATCH, &[600]);
    super::conformance::partial::assert_told(&bench, &output);
}

#[test]
fn it_does_not_allow_it() {
    let subject = Sqlite::start();
    let bench = Bench::of(&subject);
    subject.always(&error("not_allowed"));
    let text = lines::numbered(BATCH);
    let began = Instant::now();
    let said = bench.print("not-allowed", text.as_bytes()).expect(0).errors();
    assert!(began.elapsed() < wait::LONG / 4, "it does not wait for the deadline");
    assert!(said.contains("log store it") && said.contains("as told"), "{said}");
    assert_eq!(bench.sandbox.spooled().len(), 1, "the spool keeps it");
    bench.sandbox.call(["ship", "--all"]).expect(4);
    subject.behaves();
    bench.sandbox.call(["ship", "--all"]).expect(0);
    bench.all_delivered();
    assert_arrived(&subject, "not-allowed", text.as_bytes(), Doubles::Never);
}

#[test]
fn it_cannot_be_read_while_it_is_away() {
    let mut subject = Sqlite::start();
    let bench = Bench::of(&subject);
    bench.deliver("r", b"hello\n");
    subject.stop();
    for question in ["logs r", "ls", "ls r", "download r to"] {
        let said = bench.sandbox.call(question.split(' ')).expect(7).errors();
        assert!(said.contains("the program of flavor own: it ended; it said: away"), "{said}");
    }
    subject.restart();
    assert_eq!(bench.sandbox.raw("r"), b"hello\n");
}
