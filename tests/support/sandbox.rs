//! A place of its own for one test: home, data, spool and stack file under one temporary folder,
//! the environment cleared, and every process that it started killed at the end.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::processes::{self, Process};
use super::{project, wait};

/// See the module.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics, with what was printed, if the exit code is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let clip = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4000)..]).into_owned()
        };
        assert!(
            self.code == Some(code),
            "exit code {:?} instead of {code}\n--- stdout (end)\n{}\n--- stderr (end)\n{}",
            self.code,
            clip(&self.stdout),
            clip(&self.stderr)
        );
        self
    }
}

impl Sandbox {
    /// An empty one: no stack file, so the embedded default applies, in this folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("steplog-test-").tempdir().unwrap();
        for name in ["home", "data", "state", "config", "cache", "runtime", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// With a stack file. `{sandbox}` in it becomes this folder.
    pub(crate) fn with_stack(text: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write_stack(text);
        sandbox
    }

    /// With the usual test stack: a local artifact store in `store/`, the spool in `spool/`, quick
    /// retries; `more` is appended to the file.
    pub(crate) fn local(more: &str) -> Self {
        Self::with_stack(&format!("{LOCAL}{more}"))
    }

    /// (Re)writes the stack file.
    pub(crate) fn write_stack(&self, text: &str) {
        let folder = self.path("config/steplog");
        fs::create_dir_all(&folder).unwrap();
        let text = text.replace("{sandbox}", self.root().to_str().unwrap());
        fs::write(folder.join("stack.toml"), text).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// The artifact store of [`Sandbox::local`].
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The spool folder of [`Sandbox::local`].
    pub(crate) fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    /// Any program, in this sandbox's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("HOME", self.path("home"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env(processes::MARK, self.root())
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    /// `steplog ARGUMENTS`.
    pub(crate) fn steplog<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_steplog"));
        command.args(arguments);
        command
    }

    /// `steplog run OPTIONS -- STEP`, as run `run` and step `step`.
    pub(crate) fn wrap<A: AsRef<OsStr>>(
        &self,
        run: &str,
        step: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.steplog(["run", "--quiet", "--"]);
        command.args(step).env("STEPLOG_PIPELINE_RUN_ID", run).env("STEPLOG_STEP_ID", "train");
        command
    }

    /// `steplog ARGUMENTS` to its end.
    #[track_caller]
    pub(crate) fn call<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        finish(&mut self.steplog(arguments))
    }

    /// What `steplog logs RUN -o raw` gives; it must succeed.
    #[track_caller]
    pub(crate) fn raw(&self, run: &str) -> Vec<u8> {
        self.call(["logs", run, "-o", "raw"]).expect(0).stdout
    }

    /// `steplog verify RUN` must find nothing wrong.
    #[track_caller]
    pub(crate) fn verify(&self, run: &str) -> Output {
        self.call(["verify", run]).expect(0)
    }

    /// The records of a run, as `logs -o json` gives them.
    #[track_caller]
    pub(crate) fn records(&self, run: &str) -> Vec<serde_json::Value> {
        self.records_with(run, &[])
    }

    /// The same with further options.
    #[track_caller]
    pub(crate) fn records_with(&self, run: &str, options: &[&str]) -> Vec<serde_json::Value> {
        let output = self.call([&["logs", run, "-o", "json"], options].concat());
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        // Where lines could not be kept the log is incomplete, and says so.
        let incomplete = records.iter().any(|record| record.get("gap").is_some());
        output.expect(if incomplete { 5 } else { 0 });
        records
    }

    /// The living processes of this sandbox that are `steplog COMMAND`.
    pub(crate) fn processes(&self, command: &str) -> Vec<Process> {
        let mut found = processes::marked(self.root().to_str().unwrap());
        found.retain(|process| process.is_steplog(command));
        found
    }

    /// What the ships of [`Sandbox::local`]'s spools have said.
    pub(crate) fn ship_said(&self) -> String {
        let logs = self.spooled().into_iter().map(|spool| spool.join("ship.log"));
        logs.filter_map(|log| fs::read_to_string(log).ok()).collect()
    }

    /// Writer folders in the spool of [`Sandbox::local`].
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.spool()) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("meta.json").exists())
            .collect();
        found.sort();
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let mark = self.root().to_str().unwrap().to_owned();
        wait::until_true("the sandbox's processes to end", || {
            let left = processes::marked(&mark);
            left.iter().for_each(Process::kill);
            left.is_empty()
        });
        if std::thread::panicking() && std::env::var_os("STEPLOG_TEST_KEEP").is_some() {
            let kept = self.folder.path().with_extension("kept");
            fs::rename(self.folder.path(), &kept).ok();
            eprintln!("kept: {}", kept.display());
        }
    }
}

/// A local artifact store and a spool in the sandbox.
pub(crate) const LOCAL: &str = r#"
active = "test"
[stacks.test]
artifact_store = "here"
[artifact_stores.here]
flavor = "local"
path = "{sandbox}/store"
[spool]
dir = "{sandbox}/spool"
"#;

/// A stack file whose artifact store makes small chunks and segments, so that a few thousand lines
/// make several of each.
pub(crate) fn in_small_pieces(stack: &str) -> String {
    let store = "chunk_bytes = \"64 KiB\"\nsegment_chunks = 4\nflavor =";
    let capture = "[capture]\nblock_bytes = \"32 KiB\"\nmax_line_bytes = \"16 KiB\"\n";
    format!("{}{capture}", stack.replace("flavor =", store))
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    collect(child)
}

/// Runs a command to its end with bytes on its stdin.
#[track_caller]
pub(crate) fn finish_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // The reader may go away early; that is for the caller to judge by the exit code.
        scope.spawn(move || stdin.write_all(input).ok());
        collect(child)
    })
}

/// Waits for a command that was started with both outputs piped.
pub(crate) fn collect(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
}

/// A tool from the virtual environment that `tests/run setup` makes.
pub(crate) fn tool(name: &str) -> PathBuf {
    installed(project(".venv/bin").join(name))
}

/// A tool from the Node folder that `tests/run setup` makes.
pub(crate) fn node_tool(name: &str) -> PathBuf {
    installed(project(".node/node_modules/.bin").join(name))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: `tests/run setup` installs it", path.display());
    path
}
