//! The page of `steplog serve` in a real browser: each test makes runs with the real program, serves them, and
//! lets a script of this folder do and see what a person does (`node tests/browser/NAME.mjs ADDRESS`).
//!
//! Apart from `tests/server/`, which asks the API without a browser. Pictures of what was seen are left in
//! `target/screenshots/`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::stat::Mode;

use crate::support::paced::Paced;
use crate::support::sandbox::{LOCAL, Sandbox, finish};
use crate::support::{lines, project, step, wait};

/// A server on a free port of this machine, killed with its sandbox.
struct Server {
    address: String,
    _process: Child,
}

impl Server {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.steplog(["serve", "--listen", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        let mut lines = said.lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once(" at ")?;
            Some(address.trim_end_matches('/').to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { address: address.expect("the server says where it is"), _process: process }
    }

    /// Lets a script look at it.
    #[track_caller]
    fn look(&self, script: &str, given: &[&str]) {
        let script = project("tests/browser").join(format!("{script}.mjs"));
        let output = finish(Command::new("node").arg(script).arg(&self.address).args(given));
        eprintln!("{}", output.text());
        output.expect(0);
    }
}

/// Runs a step, whatever its end.
fn run<'a>(sandbox: &Sandbox, place: [&str; 4], command: impl IntoIterator<Item = &'a str>) {
    let [run, step, attempt, source] = place;
    let options =
        ["run", "--quiet", "--run", run, "--step", step, "--attempt", attempt, "--source", source];
    let mut wrapped = sandbox.steplog(options);
    wrapped.arg("--").args(command).stdout(Stdio::null()).stderr(Stdio::null());
    wrapped.status().unwrap();
}

/// A run of three steps: one succeeded, one failed in its second attempt, one was killed.
fn several(sandbox: &Sandbox) {
    let showcase = step("showcase.py");
    let showcase = showcase.to_str().unwrap();
    let prepare = "for i in range(140): print('prepare: shard', i, 'of 140, 60000 images')";
    run(sandbox, ["nightly", "prepare", "1", "step"], ["python3", "-c", prepare]);
    run(sandbox, ["nightly", "train", "1", "step"], ["sh", "-c", "echo first attempt; exit 2"]);
    run(sandbox, ["nightly", "train", "2", "step"], ["python3", showcase]);
    run(sandbox, ["nightly", "train", "2", "hook:after"], ["echo", "from the hook"]);
    let killed = "echo evaluating; kill -KILL $$";
    run(sandbox, ["nightly", "killed", "1", "step"], ["sh", "-c", killed]);
}

/// A run of one step with so many known lines.
fn many(sandbox: &Sandbox, count: usize) {
    let file = sandbox.path("work/many.txt");
    fs::write(&file, lines::numbered(count)).unwrap();
    run(sandbox, ["many", "load", "1", "step"], ["cat", file.to_str().unwrap()]);
}

#[test]
fn a_failed_step_is_read() {
    let sandbox = Sandbox::local("");
    run(
        &sandbox,
        ["nightly", "prepare", "1", "step"],
        ["sh", "-c", "seq 140 | sed 's/$/ images/'"],
    );
    let showcase = step("showcase.py");
    let train = ["nightly", "train", "1", "step"];
    run(&sandbox, train, ["python3", showcase.to_str().unwrap()]);
    Server::start(&sandbox).look("reading", &["nightly"]);
}

#[test]
fn runs_steps_attempts_and_sources_are_chosen() {
    let sandbox = Sandbox::local("");
    several(&sandbox);
    Server::start(&sandbox).look("tree", &["nightly"]);
}

#[test]
fn a_long_log_is_searched_and_filtered() {
    let sandbox = Sandbox::local("");
    many(&sandbox, 300_000);
    Server::start(&sandbox).look("searching", &["many"]);
}

#[test]
fn a_long_log_is_scrolled() {
    let sandbox = Sandbox::local("");
    many(&sandbox, 300_000);
    Server::start(&sandbox).look("scrolling", &["many"]);
}

#[test]
fn a_step_is_followed_while_it_runs() {
    let sandbox = Sandbox::local("");
    let fifo = sandbox.path("work/fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let printed = "cat fifo; exit 3";
    let options = ["run", "--quiet", "--run", "live", "--step", "train", "--", "sh", "-c", printed];
    let mut wrapped = sandbox.steplog(options).stdout(Stdio::null()).spawn().unwrap();
    // Held open, so that the script can open it before the step does.
    let held = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&fifo);
    wait::until("the run to be there", || {
        sandbox.call(["ls", "live"]).code.filter(|code| *code == 0)
    });
    let server = Server::start(&sandbox);
    server.look("following", &["live", fifo.to_str().unwrap()]);
    drop(held.unwrap());
    assert_eq!(wrapped.wait().unwrap().code(), Some(3));
}

#[test]
fn several_steps_are_followed_while_they_run() {
    let sandbox = Sandbox::local("");
    let steps = [("prepare", "exit 6"), ("train", "exit 0"), ("evaluate", "exit 0")];
    let fifos = steps.map(|(name, _)| sandbox.path(&format!("work/{name}")));
    for fifo in &fifos {
        nix::unistd::mkfifo(fifo, Mode::S_IRWXU).unwrap();
    }
    let begin = |(name, end): (&str, &str)| {
        let printed = format!("cat {name}; {end}");
        let options =
            ["run", "--quiet", "--run", "live", "--step", name, "--", "sh", "-c", &printed];
        sandbox.steplog(options).stdout(Stdio::null()).spawn().unwrap()
    };
    let [prepare, train, evaluate] = steps;
    let mut running = vec![begin(prepare), begin(train)];
    wait::until("the run to be there", || {
        let run = sandbox.call(["ls", "live"]);
        (run.code == Some(0) && run.text().contains("prepare") && run.text().contains("train"))
            .then_some(())
    });
    let server = Server::start(&sandbox);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            let wanted = sandbox.path("work/evaluate.begin");
            wait::until_true("the script to want the last step", || wanted.exists());
            begin(evaluate)
        });
        let given =
            steps.iter().zip(&fifos).flat_map(|((name, _), fifo)| [*name, fifo.to_str().unwrap()]);
        let given: Vec<&str> = ["live"].into_iter().chain(given).collect();
        server.look("several", &given);
        running.push(late.join().unwrap());
    });
    let ends = running.iter_mut().map(|step| step.wait().unwrap().code());
    assert_eq!(ends.collect::<Vec<_>>(), [Some(6), Some(0), Some(0)]);
}

#[test]
fn hostile_lines_stay_text() {
    let sandbox = Sandbox::local("");
    let hostile = step("hostile.py");
    let place = ["hostile", "hostile", "1", "step"];
    run(&sandbox, place, ["python3", hostile.to_str().unwrap()]);
    Server::start(&sandbox).look("hostile", &["hostile"]);
}

#[test]
fn why_there_is_nothing_or_not_all_is_said() {
    // Nothing can be delivered at first, so the spool fills and drops what comes.
    let stack = LOCAL.replace(
        "[spool]",
        "[ship]\ndeadline = \"0s\"\n[spool]\nmax_bytes = \"1 MiB\"\nwhen_full = \"drop_newest\"",
    );
    let sandbox = Sandbox::with_stack(&stack);
    fs::write(sandbox.store(), "in the way").unwrap();
    Paced::start(&sandbox, "gaps", 40_000, 4).succeed();
    fs::remove_file(sandbox.store()).unwrap();
    sandbox.call(["ship", "--all"]).expect(0);
    run(&sandbox, ["silent", "train", "1", "step"], ["true"]);
    sandbox.call(["ship", "--all"]).expect(0);
    // As a container's log and what is known of its end come to an agent.
    fs::create_dir(sandbox.path("steps")).unwrap();
    fs::write(sandbox.path("steps/train.log"), "too much\n").unwrap();
    let exit = r#"{"signal": "SIGKILL", "reason": "OOMKilled"}"#;
    fs::write(sandbox.path("steps/train.log.exit.json"), exit).unwrap();
    let steps = "[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{sandbox}/steps\"\n\
                 metadata = { pipeline_run_id = \"memory\" }\n";
    sandbox.write_stack(&format!("{stack}{steps}"));
    sandbox.call(["agent", "--until-done"]).expect(0);
    let options = ["run", "--quiet", "--run", "endless", "--step", "train", "--", "sh", "-c"];
    let mut command = sandbox.steplog(options);
    command.arg("echo begun; exec sleep 1000").stdout(Stdio::null()).stderr(Stdio::null());
    let mut endless = command.spawn().unwrap();
    wait::until("its line to be there", || {
        let shown = sandbox.call(["logs", "endless"]);
        shown.text().contains("begun").then_some(())
    });
    Server::start(&sandbox).look("standing", &["gaps", "silent", "endless", "memory"]);
    endless.kill().unwrap();
    endless.wait().unwrap();
}

#[test]
fn a_token_is_asked_for_and_kept_secret() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let sandbox = Sandbox::local("[server]\ntoken_file = \"{sandbox}/tokens\"\n");
    let tokens = format!("[[tokens]]\nname = \"me\"\ntoken = \"{TOKEN}\"\nruns = [\"mine-*\"]\n");
    let path = sandbox.path("tokens");
    fs::write(&path, tokens).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    run(&sandbox, ["mine-1", "train", "1", "step"], ["echo", "for your eyes"]);
    run(&sandbox, ["other-1", "train", "1", "step"], ["echo", "secret"]);
    Server::start(&sandbox).look("token", &[TOKEN, "mine-1", "other-1"]);
}

#[test]
fn pure_modules_do_as_their_models() {
    Server::start(&Sandbox::local("")).look("modules", &[]);
}

#[test]
fn the_page_is_small_and_names_nobody_else() {
    let mut size = 0;
    for entry in fs::read_dir(project("src/server/page")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes).unwrap();
        size += encoder.finish().unwrap().len();
    }
    assert!(size <= 150_000, "the page is {size} bytes compressed");
    let index = fs::read_to_string(project("src/server/page/index.html")).unwrap();
    assert!(!index.contains("://"), "everything that the page loads is its own");
    assert!(!index.contains(" style=") && !index.contains("<style"), "the policy forbids it");
}
