//! `steplog pipe`: standard input instead of a step.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use nix::libc;
use steplog::record::IoStream;

use super::{captured, exit_record, sandbox, start};

use crate::support::sandbox::{Sandbox, collect, finish_with_input};

fn pipe(sandbox: &Sandbox) -> Command {
    let mut command =
        sandbox.steplog(["pipe", "--run=r", "--on-undelivered=ignore", "--exit-record"]);
    command.arg(sandbox.path("exit.json"));
    command
}

#[test]
fn input_goes_through_and_is_kept() {
    let sandbox = sandbox();
    let input = crate::support::lines::numbered(20_000);
    let output = finish_with_input(&mut pipe(&sandbox), input.as_bytes()).expect(0);
    crate::support::lines::assert_same("stdout", input.as_bytes(), &output.stdout);
    crate::support::lines::assert_same(
        "spool",
        input.as_bytes(),
        captured(&sandbox, IoStream::Stdout).as_bytes(),
    );
    let exit = exit_record(&sandbox);
    assert_eq!((exit.code, exit.drain.as_deref()), (Some(0), Some("eof")));
}

#[test]
fn a_file_as_input_is_read_to_its_end() {
    let sandbox = sandbox();
    std::fs::write(sandbox.path("work/input"), "from a file\n").unwrap();
    let input = std::fs::File::open(sandbox.path("work/input")).unwrap();
    let output = collect(start(pipe(&sandbox).stdin(input))).expect(0);
    assert_eq!(output.text(), "from a file\n");
}

#[test]
fn term_reads_what_is_there_and_finishes() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let sandbox = sandbox();
        let mut child = start(pipe(&sandbox).stdin(Stdio::piped()));
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"first\n").unwrap();
        let mut first = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        input.write_all(b"second\n").unwrap();
        // SAFETY: kill(2) touches no memory; the child is ours and not waited for yet.
        unsafe { libc::kill(child.id() as i32, signal) };
        let output = collect(child).expect(128 + signal);
        assert_eq!(output.text(), "second\n");
        assert_eq!(captured(&sandbox, IoStream::Stdout), "first\nsecond\n");
        assert!(exit_record(&sandbox).reason.is_some());
        drop(input);
    }
}
