//! What must not lose, double, reorder or hide a line. Each test is named by what happens.

mod clock;
mod shipper;
mod spool;
mod store;
mod wrapper;

use std::fs;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::sandbox::Sandbox;
use crate::support::{lines, step, wait};

/// A wrapped step that prints a share of known lines each time it is told to.
struct Paced {
    child: Child,
    stdin: ChildStdin,
    input: String,
    told: usize,
    shares: usize,
}

impl Paced {
    /// `count` lines in `shares` shares; none is printed yet.
    fn start(sandbox: &Sandbox, run: &str, count: usize, shares: usize) -> Self {
        Self::start_with(sandbox, run, count, shares, |_| {})
    }

    fn start_with(
        sandbox: &Sandbox,
        run: &str,
        count: usize,
        shares: usize,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let input = lines::numbered(count);
        fs::write(sandbox.path("input"), &input).unwrap();
        let arguments = [
            "python3".to_owned(),
            step("shares.py").display().to_string(),
            sandbox.path("input").display().to_string(),
            shares.to_string(),
            sandbox.path("printed").display().to_string(),
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
        Self { child, stdin, input, told: 0, shares }
    }

    /// The step prints the next share.
    fn more(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
        self.told += 1;
    }

    /// Waits until the step has written all that it was told to.
    fn printed(&self, sandbox: &Sandbox) {
        let told = self.told.to_string();
        wait::until_true("the step to have printed its share", || {
            fs::read_to_string(sandbox.path("printed")).is_ok_and(|text| text == told)
        });
    }

    /// Waits until the spool has all that the step was told to print: read, and stamped.
    fn captured(&self, sandbox: &Sandbox) {
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

    /// The rest is printed; the step and the wrapper end. Gives the input and what the wrapper said.
    #[track_caller]
    fn finish(mut self) -> (String, String) {
        while self.told < self.shares {
            self.more();
        }
        drop(self.stdin);
        let output = crate::support::sandbox::collect(self.child).expect(0);
        (self.input, output.errors())
    }
}

/// The bytes came back, and `verify` agrees.
#[track_caller]
fn all_there(sandbox: &Sandbox, run: &str, expected: &str) {
    sandbox.verify(run);
    lines::assert_same("logs -o raw", expected.as_bytes(), &sandbox.raw(run));
}

/// Numbers that look random, the same ones in every run: a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
