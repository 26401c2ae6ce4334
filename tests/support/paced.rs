//! A wrapped step that prints a share of known lines each time it is told to, so that a test can do
//! something between two shares.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::sandbox::{Output, Sandbox, collect};
use super::{lines, step, wait};

/// See the module.
pub(crate) struct Paced {
    pub(crate) child: Child,
    stdin: ChildStdin,
    pub(crate) input: String,
    /// How many shares the step has written.
    note: PathBuf,
    told: usize,
    shares: usize,
}

impl Paced {
    /// `count` lines in `shares` shares; none is printed yet.
    pub(crate) fn start(sandbox: &Sandbox, run: &str, count: usize, shares: usize) -> Self {
        Self::start_with(sandbox, run, count, shares, |_| {})
    }

    /// The same, the wrapper changed before.
    pub(crate) fn start_with(
        sandbox: &Sandbox,
        run: &str,
        count: usize,
        shares: usize,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let (text, note) = (lines::numbered(count), sandbox.path("printed"));
        let input = sandbox.path("input");
        fs::write(&input, &text).unwrap();
        let arguments = [
            "python3".to_owned(),
            step("shares.py").display().to_string(),
            input.display().to_string(),
            shares.to_string(),
            note.display().to_string(),
        ];
        let mut command = sandbox.wrap(run, arguments);
        change(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, input: text, note, told: 0, shares }
    }

    /// The step prints the next share.
    pub(crate) fn more(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
        self.told += 1;
    }

    /// Waits until the step has written all that it was told to.
    pub(crate) fn printed(&self) {
        let told = self.told.to_string();
        wait::until_true("the step to have printed its share", || {
            fs::read_to_string(&self.note).is_ok_and(|text| text == told)
        });
    }

    /// Waits until the spool has all that the step was told to print: read, and stamped.
    pub(crate) fn captured(&self, sandbox: &Sandbox) {
        let bytes = self.input.len() * self.told / self.shares;
        wait::until_true("the share to be in the spool", || {
            let files =
                sandbox.spooled().into_iter().flat_map(|spool| fs::read_dir(spool).unwrap());
            let lengths = files.flatten().filter_map(|file| {
                let is_segment = file.path().extension().is_some_and(|it| it == "seg");
                is_segment.then(|| file.metadata().map_or(0, |it| it.len()))
            });
            lengths.sum::<u64>() >= bytes as u64
        });
    }

    /// The rest is printed; the step and the wrapper end. Gives what was printed and what the wrapper
    /// left.
    pub(crate) fn finish(mut self) -> (String, Output) {
        while self.told < self.shares {
            self.more();
        }
        drop(self.stdin);
        (self.input, collect(self.child))
    }

    /// The same, with exit code 0; gives what was printed and what the wrapper said.
    #[track_caller]
    pub(crate) fn succeed(self) -> (String, String) {
        let (input, output) = self.finish();
        (input, output.expect(0).errors())
    }
}
