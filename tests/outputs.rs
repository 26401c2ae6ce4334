//! Whatever a step prints comes back byte for byte.

use std::process::Command;

use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::{lines, step};

/// The output of a kind of `tests/steps/output.py`, bare and wrapped.
fn both(sandbox: &Sandbox, kind: &str) -> (Output, Output) {
    let arguments =
        ["python3".to_owned(), step("output.py").display().to_string(), kind.to_owned()];
    let mut bare: Command = sandbox.command(&arguments[0]);
    bare.args(&arguments[1..]);
    let mut wrapped = sandbox.steplog(["run", "--"]);
    wrapped.args(&arguments).env("STEPLOG_PIPELINE_RUN_ID", "run");
    let wrapped = finish(wrapped.env("STEPLOG_STEP_ID", "step"));
    (finish(&mut bare).expect(0), wrapped.expect(0))
}

/// One stream: order is exact.
fn comes_back(kind: &str) {
    let sandbox = Sandbox::local("");
    let (bare, wrapped) = both(&sandbox, kind);
    lines::assert_same("the wrapper's stdout", &bare.stdout, &wrapped.stdout);
    lines::assert_same("the wrapper's stderr", &bare.stderr, &wrapped.stderr);
    let expected = [bare.stdout, bare.stderr].concat();
    lines::assert_same("logs -o raw", &expected, &sandbox.raw("run"));
    sandbox.verify("run");
}

#[test]
fn nothing() {
    comes_back("nothing");
}

#[test]
fn one_byte() {
    comes_back("one_byte");
}

#[test]
fn one_newline() {
    comes_back("one_newline");
}

#[test]
fn empty_lines() {
    comes_back("empty_lines");
}

#[test]
fn a_hundred_megabytes_without_a_newline() {
    comes_back("hundred_megabytes_without_newline");
}

#[test]
fn binary_noise() {
    comes_back("binary_noise");
}

#[test]
fn ten_thousand_lines_in_one_write() {
    comes_back("ten_thousand_lines_in_one_write");
}

#[test]
fn one_byte_a_write() {
    comes_back("one_byte_a_write");
}

#[test]
fn carriage_returns_and_windows_line_ends() {
    comes_back("carriage_returns");
}

#[test]
fn nul_escapes_and_broken_utf8() {
    comes_back("nul_and_escapes");
}

#[test]
fn lines_that_look_like_records() {
    comes_back("lookalike");
}

#[test]
fn only_stderr() {
    comes_back("only_stderr");
}

#[test]
fn a_step_that_closes_its_stdout_goes_on_with_stderr() {
    comes_back("closes_stdout");
}

#[test]
fn a_step_that_closes_both_and_lives_on() {
    comes_back("closes_both");
}

#[test]
fn lines_of_many_threads_stay_whole() {
    let sandbox = Sandbox::local("");
    let (bare, wrapped) = both(&sandbox, "many_threads");
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        lines.sort_unstable();
        lines.concat()
    };
    lines::assert_same("as many lines", &sorted(&bare.stdout), &sorted(&wrapped.stdout));
    lines::assert_same("in the same order", &wrapped.stdout, &sandbox.raw("run"));
    sandbox.verify("run");
}
